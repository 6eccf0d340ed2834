"""A build root whose rpm has no rpmspec, as el6's: its rpm proves the same of a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from world import RUN, SETTINGS

from sheepvirt.builds import expansion
from sheepvirt.builds.buildroot import defines, environment
from sheepvirt.config import catalog, inventory
from sheepvirt.images import recipes
from sheepvirt.spec.lines import by_section

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engine
SPEC = """\
%define with_sheep 0%{!?_without_sheep:1}
Name: flock
Version: 1
Release: 1%{?dist}
Summary: A package of a test
License: Public Domain
BuildArch: noarch
Requires: flock-daemon = %{version}-%{release}
%if %{with_sheep}
BuildRequires: sheepdog
%endif
%description
A package of a test.
%package daemon
Summary: Its daemon
%if %{with_sheep}
Requires: sheepdog >= 0.7
%endif
%description daemon
A package of a test.
%prep
echo %{?rhel} is the release
%build
./configure \\
%if %{with_sheep}
    --with-storage-sheepdog \\
%endif
    --prefix=%{_prefix}
%files
%files daemon
"""


def test_an_old_rpm_shows_the_same_as_rpmspec(tmp_path: Path) -> None:
    target = inventory.load_target(SETTINGS, "rehearsal")
    env = environment(target)
    words = defines(target, catalog.load_package(SETTINGS, "pocketsheep"))
    image = recipes.ensure(RUN, target, "builder")
    path = tmp_path / "flock.spec"
    path.write_text(SPEC)
    shown = []
    with RUN.engine.container(image, network="none") as container:
        container.run(["mkdir", "-p", "/build/SPECS"], check=True)
        container.put(path, "/build/SPECS")
        # Newer rpms run rpmspec for `rpm -q --specfile` by its path: it is hidden, not removed.
        hide = "mkdir /old && ln -sf /usr/bin/* /bin/* /old && rm /old/rpmspec"
        container.run(["sh", "-c", hide], check=True)
        for search, scratch in ((env["PATH"], "/build/one"), ("/old", "/build/two")):
            told = {**env, "PATH": search}
            text = expansion.expand(
                container, "/build/SPECS/flock.spec", words, told, scratch=scratch
            )
            shown.append(by_section(text))
    new, old = shown
    assert "files daemon" in new, "rpmspec's way was taken"
    assert "files daemon" not in old, "the way of an old rpm was taken"
    for line in ("BuildRequires: sheepdog", "Requires: flock-daemon = 1-1.rehearsal"):
        for sections in (new, old):
            assert line in {" ".join(ln.split()) for ln in sections[""]}
    for sections in (new, old):
        assert "Requires: sheepdog >= 0.7\n" in sections["package daemon"]
        assert any("--with-storage-sheepdog" in line for line in sections["build"])
        assert "echo 8 is the release\n" in sections["prep"]

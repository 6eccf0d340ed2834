"""A spec of upstream's own tree is adjusted: what it asks for, what configure is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.config import catalog, inventory
from sheepvirt.core.errors import SpecError
from sheepvirt.model.builds import AddedFile, Adjustment
from sheepvirt.spec import adjust
from tests.here import SETTINGS

if TYPE_CHECKING:
    from sheepvirt.spec.model import Patched

MACROS = {"dist": ".x", "rhel": "8"}
SPEC = """\
Name: tiny
Version: @VERSION@
Requires: corosync >= 1.2, fuse %{_requires}
%if 0%{?fedora}
BuildRequires: gcc
%endif
BuildRequires: make corosync-devel
Requires(post): corosync
%description
Requires: corosync is only told of here.
%build
%{configure} --with-a \\
  --enable-corosync
make
%files
"""


def adjustment(
    without: tuple[str, ...] = (),
    build_requires: tuple[str, ...] = (),
    configure: tuple[str, ...] = (),
    define: dict[str, str] | None = None,
    substitute: dict[str, str] | None = None,
) -> Adjustment:
    placeholders = {"@VERSION@": "1.2"} if substitute is None else substitute
    return Adjustment(
        substitute=placeholders,
        define=define or {},
        without=without,
        build_requires=build_requires,
        configure=configure,
    )


def apply(wanted: Adjustment, text: str = SPEC) -> Patched:
    return adjust.apply(text, wanted, MACROS, name="tiny.spec")


def test_what_upstreams_makefile_fills_in_is_filled_in() -> None:
    done = apply(adjustment())
    assert done.text == SPEC.replace("@VERSION@", "1.2")
    assert "+Version: 1.2" in done.diff
    assert done.actions == ("@VERSION@: '1.2' in 1 places",)


def test_a_placeholder_that_nobody_fills_in_is_named_with_its_line() -> None:
    with pytest.raises(SpecError, match="line 2: @VERSION@ has no value"):
        apply(adjustment(substitute={"@date@": "x"}))


def test_a_dependency_goes_from_every_tag_and_from_nothing_else() -> None:
    done = apply(adjustment(without=("corosync", "%{_requires}", "absent")))
    lines = done.text.splitlines()
    assert "Requires: fuse" in lines
    assert "BuildRequires: make corosync-devel" in lines
    assert not any(line.startswith("Requires(post)") for line in lines)
    assert "Requires: corosync is only told of here." in lines
    assert "without corosync: line 3, 8" in done.actions
    assert "without absent: unchanged" in done.actions


def test_what_is_missing_is_asked_for_after_the_last_unconditional_line() -> None:
    done = apply(adjustment(build_requires=("make", "gcc", "%{?_have_x:x-devel}")))
    after = done.text.partition("BuildRequires: make corosync-devel\n")[2]
    assert after.startswith("BuildRequires: gcc %{?_have_x:x-devel}\n")
    assert done.text.count("make corosync-devel") == 1


def test_what_may_be_empty_on_a_target_is_no_tag_of_its_own() -> None:
    """Rpm refuses `BuildRequires:` without a value, and the macro may have none."""
    done = apply(adjustment(build_requires=("%{?_have_x:x-devel}",)))
    assert "\nBuildRequires: make corosync-devel %{?_have_x:x-devel}\n" in done.text
    again = apply(adjustment(build_requires=("%{?_have_x:x-devel}",), substitute={}), done.text)
    assert again.already
    bare = "Name: tiny\n%description\nA package of a test.\n"
    with pytest.raises(SpecError, match=r"no BuildRequires on whose line %\{\?_have_x"):
        apply(adjustment(build_requires=("%{?_have_x:x-devel}",), substitute={}), bare)


def test_configure_is_told_at_the_end_of_its_command_however_long() -> None:
    done = apply(adjustment(configure=("--disable-corosync", "%{?_have_x:--enable-x}")))
    assert "  --enable-corosync --disable-corosync %{?_have_x:--enable-x}\nmake\n" in done.text


def test_a_spec_without_configure_cannot_be_told() -> None:
    with pytest.raises(SpecError, match="no %configure in %build"):
        apply(adjustment(configure=("--x",)), SPEC.replace("%{configure}", "./configure"))


def test_macros_are_defined_before_everything() -> None:
    done = apply(adjustment(define={"optflags": "%{optflags} -fcommon", "_x": "%{nil}"}))
    assert done.text.startswith("%global optflags %{optflags} -fcommon\n%global _x %{nil}\nName:")


EXPANDED = """\
Name: tiny
BuildRequires: make, fuse-devel >= 2
Requires: {requires}
%build
./configure --build=x \\
  --enable-zoo --disable-corosync {more}
make
"""


def missing(requires: str = "fuse", more: str = "") -> list[str]:
    wanted = adjustment(
        without=("corosync",),
        build_requires=("fuse-devel", "%{?_have_x:x-devel}"),
        configure=("--disable-corosync", "--with-unitdir=%{_unitdir}"),
    )
    values = {
        "fuse-devel": "fuse-devel",
        "%{?_have_x:x-devel}": "",
        "--disable-corosync": "--disable-corosync",
        "--with-unitdir=%{_unitdir}": "--with-unitdir=/u",
    }
    text = EXPANDED.format(requires=requires, more=f"--with-unitdir=/u {more}")
    return [e.claim for e in adjust.prove(wanted, values, text, package="tiny") if not e.ok]


def test_rpms_expansion_proves_what_was_adjusted() -> None:
    assert missing() == []
    assert missing(requires="fuse, corosync") == ["nothing asks for corosync"]
    assert missing(more="--enable-corosync") == ["configure is told --disable-corosync"]
    assert missing(more="--without-unitdir") == ["configure is told --with-unitdir=/u"]


NAMES = st.sampled_from(["corosync", "corosync-devel", "fuse", "zookeeper", "a"])
ONE = st.tuples(NAMES, st.sampled_from(["", " >= 1.2", " = 3"])).map("".join)


@given(
    st.lists(ONE, min_size=1, max_size=6),
    st.sampled_from([" ", ", ", ",", "  "]),
    st.lists(NAMES, unique=True),
)
def test_dropping_leaves_all_others_in_their_order(
    items: list[str], separator: str, without: list[str]
) -> None:
    text = f"Name: a\nRequires: {separator.join(items)}\n%description\n"
    done = apply(adjustment(without=tuple(without)), text)
    line = next((x for x in done.text.splitlines() if x.startswith("Requires")), "Requires:")
    left = [i for i in items if i.split(" ")[0] not in without]
    assert line.removeprefix("Requires:").replace(",", " ").split() == " ".join(left).split()


FILES = SPEC.replace(
    "%files\n",
    """\
%install
make install
%if 0%{?fedora}
rm x
%endif

%files
%doc README
%attr(755,-,-)%config %{_initddir}/tiny
%if 0%{?fedora}
/usr/bin/other
%endif
%changelog
""",
)
INIT = AddedFile(file="tiny.init", path="%{_initddir}/tiny", mode="0755")
OPTIONS = AddedFile(file="tiny.sysconfig", path="/etc/sysconfig/tiny", config="config(noreplace)")


def with_files(text: str = FILES) -> Patched:
    return apply(replace(adjustment(), files=(INIT, OPTIONS)), text)


def test_added_files_are_installed_last_and_listed_once() -> None:
    done = with_files()
    assert (
        "Requires(post): corosync\nSource9001: tiny.init\nSource9002: tiny.sysconfig\n" in done.text
    )
    assert (
        "make install\n"
        "install -D -p -m 0755 %{SOURCE9001} %{buildroot}%{_initddir}/tiny\n"
        "install -D -p -m 0644 %{SOURCE9002} %{buildroot}/etc/sysconfig/tiny\n"
        "%if 0%{?fedora}\nrm x\n"
    ) in done.text
    assert done.text.count("%{_initddir}/tiny\n") == 2  # its command, and upstream's own line
    assert "%config(noreplace) %attr(0644,root,root) /etc/sysconfig/tiny\n" in done.text
    assert done.actions[-2:] == (
        "%{_initddir}/tiny: tiny.init, replaces upstream's",
        "/etc/sysconfig/tiny: tiny.sysconfig, added to %files",
    )


@pytest.mark.parametrize("section", ["%install", "%files"])
def test_a_spec_without_the_section_takes_no_added_file(section: str) -> None:
    with pytest.raises(SpecError, match=f"no {section}"):
        with_files(FILES.replace(f"{section}\n", "%check\n"))


BUILT = """\
Name: tiny
%install
make install
install -D -p -m 0755 /s/tiny.init /root/etc/init.d/tiny
%files
%config /etc/init.d/tiny
"""


@pytest.mark.parametrize(
    ("text", "missed"),
    [
        (BUILT, []),
        (
            BUILT.replace("/s/tiny.init", "/s/other"),
            ["%install puts tiny.init at /etc/init.d/tiny"],
        ),
        (BUILT.replace("%config /etc/init.d/tiny\n", ""), ["%files lists /etc/init.d/tiny"]),
    ],
)
def test_rpms_expansion_proves_what_was_added(text: str, missed: list[str]) -> None:
    wanted = replace(adjustment(), files=(INIT,))
    values = {INIT.path: "/etc/init.d/tiny"}
    found = adjust.prove(wanted, values, text, package="tiny")
    assert [e.claim for e in found if not e.ok] == missed


# The shape of upstream's spec in 1.0.1, in our words.
UPSTREAM = """\
Name: sheepdog
Version: @version@
Requires: corosync %{_requires}
BuildRequires: autoconf automake
BuildRequires: corosynclib-devel userspace-rcu-devel %{_buildrequires}
%build
%{configure} --with-initddir=%{_initrddir} %{_configopts}
%install
make install
%postun
if [ "$1" -ge "1" ] ; then
	/sbin/service sheepdog condrestart >/dev/null 2>&1 || :
else
	rm -f /usr/sbin/collie
fi
%files
%config %{_initddir}/sheepdog
%changelog
* @date@ A <a@b> - @version@-1.@alphatag@
"""


def test_the_recipe_of_sheepdog_fits_the_shape_of_its_spec() -> None:
    package = catalog.load_package(SETTINGS, "sheepdog")
    assert package.adjust
    macros = inventory.load_target(SETTINGS, "rehearsal").for_package(package).macros
    done = adjust.apply(UPSTREAM, package.adjust, macros, name=package.spec_file)
    tags = [x for x in done.text.splitlines() if "equires:" in x]
    assert not any("corosync " in f"{tag} " or "_requires}" in tag for tag in tags)
    assert "BuildRequires: corosynclib-devel userspace-rcu-devel" in tags
    assert "BuildRequires: fuse-devel %{?_zookeeper:zookeeper-lib-devel}" in tags
    assert "--enable-corosync --enable-sheepfs %{?_zookeeper:--enable-zookeeper}" in done.text
    assert macros["_zookeeper"] == "1"
    assert "%global _have_zookeeper 0%{?_zookeeper}\n" in done.text
    assert "Version: 1.0.1\n" in done.text
    assert "rm -f %{_bindir}/collie\n" in done.text
    assert "condrestart" not in done.text, "an upgrade would stop the disks of running guests"
    assert "install -D -p -m 0755 %{SOURCE9001} %{buildroot}%{_initddir}/sheepdog\n" in done.text
    assert done.text.count("%config %{_initddir}/sheepdog") == 1
    assert (
        "%config(noreplace) %attr(0644,root,root) %{_sysconfdir}/sysconfig/sheepdog\n" in done.text
    )


@pytest.mark.parametrize("target", ["el6", "el7", "el8", "rehearsal"])
def test_the_unit_of_sheepdog_has_its_folder_on_every_target(target: str) -> None:
    """%files lists it without condition: without the option, el6's build would end at it."""
    adjusted = catalog.load_package(SETTINGS, "sheepdog").adjust
    assert adjusted
    assert "--with-systemdsystemunitdir=%{_prefix}/lib/systemd/system" in adjusted.configure

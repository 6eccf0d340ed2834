"""A base from a registry or an archive, with the real engine and a real registry.

The root file systems are made by hand (registry.py): what is proven is our way with what comes, and
with what should not; not that a CentOS 6 works.
"""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from local_registry import (
    Files,
    Registry,
    compressed,
    digest_of,
    image,
    rootfs,
    running,
    tools,
)
from world import RUN, SETTINGS

from sheepvirt.builds import preflight
from sheepvirt.config import catalog, inventory
from sheepvirt.core import paths, web
from sheepvirt.core.errors import (
    EngineError,
    RegistryError,
    SheepvirtError,
    SourceError,
    SourceHashError,
)
from sheepvirt.core.files import sha256
from sheepvirt.engine import image_store
from sheepvirt.engine.registry import reference, refusal, repository_and_tag
from sheepvirt.images import base_proof, bases, recipes, rpm_keys
from sheepvirt.model.builds import Target
from sheepvirt.model.targets import Image, Rootfs, RpmKey

if TYPE_CHECKING:
    from sheepvirt.engine.engine import Engine

pytestmark = pytest.mark.engine
EL6 = inventory.load_target(SETTINGS, "el6")
KEYS = Path(__file__).parent.parent / "unit" / "data" / "keys"
LASTING, EXPIRED = (
    "a0d1c0776973771ad29c3b3b598966c5b1364278",
    "4616a5ba3c3020628b5f17af931b66141443e364",
)
CENTOS: Files = {
    "etc/centos-release": "CentOS release 6.10 (Final)\n",
    "etc/redhat-release@": "centos-release",
    "etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-6": (KEYS / "lasting.asc").read_bytes(),
    "etc/yum.repos.d/CentOS-Base.repo": "[base]\n",
}
TAG = "sheepvirt/test-base:1"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return RUN.engine


@pytest.fixture(scope="module")
def served(engine: Engine) -> Iterator[Registry]:
    with running(engine, image(RUN)) as one:
        yield one


@pytest.fixture
def tag(engine: Engine) -> Iterator[str]:
    engine.remove_image(TAG)
    yield TAG
    engine.remove_image(TAG)


Pack = Callable[[Files], Path]


@pytest.fixture
def pack(served: Registry, tmp_path: Path) -> Pack:
    """Return ``pack(files)``: a root file system as an archive on the disk."""

    def archive(files: Files) -> Path:
        path = tmp_path / "c6.tar"
        path.write_bytes(rootfs(served.container, files))
        return path

    return archive


Mirrored = Callable[..., Target]


@pytest.fixture
def mirrored(engine: Engine, served: Registry) -> Iterator[Mirrored]:
    """Return ``mirrored(*names)``: el6 with these images on the registry.

    What was pulled of them goes afterwards, so that the next pull really asks.
    """
    pulled: list[str] = []

    def target(*names: str) -> Target:
        found = replace(EL6, images=tuple(Image(n) for n in names), registry_mirror=served.address)
        pulled.extend(reference(one, served.address) for one in found.images)
        return found

    yield target
    for name in pulled:
        repository, tag = repository_and_tag(name)
        engine.remove_image(f"{repository}@{tag}" if ":" in tag else f"{repository}:{tag}")


def test_a_pinned_image_is_pulled_from_the_mirror_and_proven(
    engine: Engine, served: Registry, tag: str, mirrored: Mirrored
) -> None:
    marked = {**CENTOS, "etc/motd": "pinned"}
    digest = served.push("library/centos", "6", rootfs(served.container, marked))
    target = mirrored(f"centos:6@{digest}")
    found = {f.what: f for f in preflight.examine(RUN, replace(target, repos=(), keys=()))}
    assert found["base image"].ok
    assert served.address in found["base image"].detail
    bases.make(RUN, target, tag)
    assert engine.labels(tag)[bases.ORIGIN] == f"{served.address}/library/centos:6@{digest}"
    assert engine.read_file(tag, "/etc/redhat-release") == b"CentOS release 6.10 (Final)\n"


def test_the_next_image_is_taken_and_its_digest_told(
    engine: Engine, served: Registry, tag: str, mirrored: Mirrored
) -> None:
    marked = {**CENTOS, "etc/motd": "second"}
    digest = served.push("centos/centos", "6", rootfs(served.container, marked))
    target = mirrored(f"centos:6@sha256:{'a' * 64}", "quay.io/centos/centos:6")
    bases.make(RUN, target, tag)
    origin = engine.labels(tag)[bases.ORIGIN]
    assert origin == f"{served.address}/centos/centos:6 (unpinned: {digest})"


def test_only_the_files_of_an_image_are_taken(
    engine: Engine, served: Registry, tag: str, mirrored: Mirrored
) -> None:
    """The no-vsyscall image has a compiler of its own, by its variables."""
    settings = {
        "Env": ["PATH=/opt/bin", "LD_LIBRARY_PATH=/opt/lib", 'QUOTED=a "b" $c'],
        "User": "nobody",
        "Entrypoint": ["/bin/false"],
        "WorkingDir": "/opt",
    }
    marked = {**CENTOS, "etc/motd": "settings"}
    digest = served.push("library/centos", "6", rootfs(served.container, marked), settings)
    target = mirrored(f"centos:6@{digest}")
    bases.make(RUN, target, tag)
    with engine.container(tag, network="none") as container:
        script = 'echo "$PATH|$LD_LIBRARY_PATH|$QUOTED|$UID|$(ulimit -Sn)"'
        said = container.run(["sh", "-c", script], check=True)
    assert said.stdout == f"{image_store.PATH}|||0|1024\n"


def test_a_truncated_image_is_said_to_be_that(
    engine: Engine, served: Registry, tag: str, mirrored: Mirrored
) -> None:
    marked = {**CENTOS, "etc/motd": "truncated", "noise": bytes(range(256)) * 9000}
    content = rootfs(served.container, marked)
    digest = served.push("library/centos", "6", content)
    layer = served.path_of(digest_of(content))
    served.container.run(["truncate", "-s", "1000000", layer], check=True)
    target = mirrored(f"centos:6@{digest}")
    with pytest.raises(EngineError, match="truncated or altered") as caught:
        bases.make(RUN, target, tag)
    assert served.address in caught.value.message
    assert "damaged" in caught.value.hint
    assert engine.image_id(tag) is None


def test_what_a_mirror_has_not_is_named(
    engine: Engine, tag: str, served: Registry, mirrored: Mirrored
) -> None:
    target = mirrored(f"nothing:6@sha256:{'b' * 64}")
    with pytest.raises(EngineError, match="the registry has no such image"):
        bases.make(RUN, target, tag)
    with pytest.raises(RegistryError):
        engine.manifest(f"{served.address}/library/nothing:6")
    found = {f.what: f for f in preflight.examine(RUN, replace(target, repos=(), keys=()))}
    assert not found["base image"].ok
    assert found["base image"].fix


def test_a_mirror_that_is_no_registry_is_named(engine: Engine, page: str) -> None:
    with pytest.raises(RegistryError) as caught:
        engine.pull(f"{page.removeprefix('http://')}/library/centos:6", lambda _: None)
    assert "web page" in refusal(caught.value.words).why


@pytest.mark.parametrize(
    ("files", "word"),
    [
        (
            {"etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n'},
            "is not 'CentOS release 6.': it is 'Debian GNU/Linux 11 (bullseye)'",
        ),
        (
            {"etc/redhat-release": "CentOS Linux release 7.9.2009 (Core)\n"},
            "it is 'CentOS Linux release 7.9.2009 (Core)'",
        ),
        (
            {**CENTOS, "bin/rpm": None},
            "says it is 'CentOS release 6.10 (Final)', but it has no rpm",
        ),
        ({**CENTOS, "bin/yum": None}, "but it has no yum"),
        (
            {**CENTOS, "bin/rpm": "#!/bin/sh\nsh -c 'kill -SEGV $$'\n"},
            "rpm dies there with exit code 139",
        ),
        ({"manifest.json": "[]", "repositories": "{}"}, "`docker save`"),
        ({"etc/redhat-release@": "/etc/redhat-release"}, "a system without a name"),
    ],
)
def test_an_archive_of_something_else_is_named_for_what_it_is(
    engine: Engine, tag: str, pack: Pack, files: Files, word: str
) -> None:
    path = pack(files)
    with pytest.raises(EngineError) as caught:
        bases.make(RUN, replace(EL6, rootfs=Rootfs(str(path))), tag)
    assert word in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert engine.image_id(tag) is None
    assert engine.image_id(f"{tag}-unproven") is None


def test_the_rehearsals_own_base_is_no_centos(engine: Engine) -> None:
    base = recipes.ensure(RUN, inventory.load_target(SETTINGS, "rehearsal"), "base")
    with pytest.raises(EngineError, match=r"it is 'Debian GNU/Linux 11 \(bullseye\)'"):
        base_proof.prove(engine, EL6, base, base)


def test_an_archive_is_imported_by_its_hash_and_said_to_be_unpinned_without(
    engine: Engine, tag: str, pack: Pack
) -> None:
    path = pack(CENTOS)
    digest = sha256(path)
    bases.make(RUN, replace(EL6, rootfs=Rootfs(str(path), digest)), tag)
    assert engine.labels(tag)[bases.ORIGIN] == f"{path} (sha256 {digest})"
    engine.remove_image(tag)
    bases.make(RUN, replace(EL6, rootfs=Rootfs(str(path))), tag)
    assert engine.labels(tag)[bases.ORIGIN] == f"{path} (unpinned: sha256 {digest})"
    engine.remove_image(tag)
    with pytest.raises(SourceHashError, match="is not the pinned archive"):
        bases.make(RUN, replace(EL6, rootfs=Rootfs(str(path), "a" * 64)), tag)
    assert engine.image_id(tag) is None


@pytest.mark.parametrize(  # inside compressed data, the engine notices it
    ("ending", "kind"), [("", SourceError), (".gz", EngineError), (".xz", EngineError)]
)
def test_a_truncated_archive_is_named(
    engine: Engine, tag: str, pack: Pack, tmp_path: Path, *, ending: str, kind: type[SheepvirtError]
) -> None:
    content = compressed(pack(CENTOS).read_bytes(), ending)
    path = tmp_path / f"c6.tar{ending}"
    path.write_bytes(content)
    bases.make(RUN, replace(EL6, rootfs=Rootfs(str(path))), tag)
    engine.remove_image(tag)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(kind) as caught:
        bases.make(RUN, replace(EL6, rootfs=Rootfs(str(path))), tag)
    assert "truncated" in str(caught.value)
    assert str(path) in caught.value.message
    assert engine.image_id(tag) is None


class Page(http.server.BaseHTTPRequestHandler):
    """Serves keys by name; a login page in place of everything else."""

    def do_GET(self) -> None:
        path = KEYS / self.path.rpartition("/")[2]
        body = path.read_bytes() if path.is_file() else b"<!DOCTYPE html><html>log in</html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def page() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "release", "rpm", "yum"),
    [
        ("el6", "CentOS release 6.10 (Final)", "4.8.0", "3.2.29"),
        ("el7", "CentOS Linux release 7.9.2009 (Core)", "4.11.3", "3.4.3"),
        ("el8", "CentOS Linux release 8.4.2105", "4.14.3", "4.7.0"),
    ],
)
def test_a_builder_is_made_as_its_recipe_says(
    engine: Engine, pack: Pack, page: str, *, name: str, release: str, rpm: str, yum: str
) -> None:
    """The real Containerfile, on a base whose rpm and yum only write down how they are called."""
    target = inventory.load_target(SETTINGS, name)
    ours, epel = target.keys
    path = pack(
        {
            **CENTOS,
            **tools(rpm, yum),
            "etc/centos-release": release,
            rpm_keys.path_of(ours).lstrip("/"): (KEYS / "lasting.asc").read_bytes(),
        }
    )
    target = replace(
        target,
        rootfs=Rootfs(str(path)),
        keys=(
            replace(ours, fingerprint=LASTING),
            replace(epel, fingerprint=LASTING, mirrors=(f"{page}/lasting.asc",)),
        ),
    )
    base = recipes.tag_of(SETTINGS, target, "base")
    try:
        builder = recipes.ensure(RUN, target, "builder")
        with engine.container(builder, network="none") as container:  # as a build root
            log = container.run(["cat", "/log"], check=True).stdout.splitlines()
        assert f"rpm --import {' '.join(rpm_keys.path_of(k) for k in target.keys)}" in log
        install = next(x for x in log if x.startswith("yum -y install") and "rpm-build" in x)
        assert {"gcc", "userspace-rcu-devel", "libselinux-devel"} <= set(install.split())
        assert target.createrepo[0] in install.split()
        asked = next(x for x in log if x.startswith("rpm -q --whatprovides")).split()[3:]
        assert asked == install.split()[3 : 3 + len(asked)]
        assert "yum clean all" in log
        repo = (engine.read_file(builder, "/etc/yum.repos.d/sheepvirt.repo") or b"").decode()
        assert all(f"[{r.name}]" in repo and r.urls[0] in repo for r in target.repos)
        assert engine.read_file(builder, "/etc/yum.repos.d/CentOS-Base.repo") is None
        bundle = web.ca_bundle()
        assert bundle is not None
        assert engine.read_file(builder, "/etc/pki/tls/certs/ca-bundle.crt") == bundle.read_bytes()
    finally:
        engine.remove_image(recipes.tag_of(SETTINGS, target, "builder"))
        engine.remove_image(base)


@pytest.mark.parametrize(
    ("key", "word"),
    [
        (
            RpmKey(file="K", fingerprint=LASTING, urls=("{}/a-login-page",)),
            "no ASCII-armored OpenPGP public key",
        ),
        (RpmKey(file="K", fingerprint=EXPIRED, urls=("{}/expired.asc",)), "expired on 2021-01-01"),
        (
            RpmKey(file="K", fingerprint=EXPIRED, urls=("{}/lasting.asc",)),
            f"its fingerprint is {LASTING}",
        ),
        (RpmKey(file="K", fingerprint=LASTING), "the base image has no /etc/pki/rpm-gpg/K"),
    ],
)
def test_a_key_that_is_not_good_stops_the_builder(
    engine: Engine, pack: Pack, page: str, key: RpmKey, word: str
) -> None:
    path = pack(CENTOS)
    key = replace(key, urls=tuple(url.format(page) for url in key.urls))
    target = replace(EL6, rootfs=Rootfs(str(path)), keys=(key,))
    try:
        with pytest.raises(SourceError) as caught:
            recipes.ensure(RUN, target, "builder")
        assert word in caught.value.message
        assert caught.value.hint
        if key.urls:  # preflight sees it before anything is pulled or imported
            found = {f.what: f for f in preflight.examine(RUN, target)}
            assert not found["key K"].ok
            assert word in found["key K"].detail
    finally:
        engine.remove_image(recipes.tag_of(SETTINGS, target, "base"))


def doctor(config_file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SHEEPVIRT_CONFIG": str(config_file), "COLUMNS": "300"}
    argv = [sys.executable, "-m", "invoke", "doctor", *words]
    return subprocess.run(argv, cwd=paths.ROOT, env=env, capture_output=True, text=True)


def test_doctor_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    own = tmp_path / "sheepvirt.toml"
    own.write_text('[el6]\nrootfs = "gone.tar"\n', encoding="utf-8")
    lacking = doctor(own, "--target", "el6")
    assert lacking.returncode == 12, lacking.stderr
    lines = lacking.stdout.splitlines()
    found = next(n for n, line in enumerate(lines) if "LACKS  rootfs" in line)
    assert f"{tmp_path}/gone.tar: is not a file here" in lines[found]
    assert "what to do: correct `rootfs` in your sheepvirt.toml" in lines[found + 1]
    able = doctor(own, "--target", "rehearsal")
    assert able.returncode == 0
    assert "target rehearsal can be built here" in able.stdout
    assert "LACKS" not in able.stdout
    both = doctor(own)
    assert both.returncode == 0
    for name in catalog.target_names(SETTINGS):
        assert f"target {name} can" in both.stdout

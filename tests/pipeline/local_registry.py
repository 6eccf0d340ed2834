"""A real registry for tests, in a container: Debian's docker-registry on this machine's loopback.

And what is put into it: small root file systems made by hand, since no image of CentOS is in reach.
They have a real shell (bash: busybox's knows an rpm of its own), and an rpm and a yum that say what
they were told to.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import socket
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.config import inventory
from sheepvirt.images import recipes

if TYPE_CHECKING:
    from sheepvirt.engine.container import Container
    from sheepvirt.engine.engine import Engine
    from sheepvirt.run import Run

STORE = "/var/lib/docker-registry"
COMMANDS = ("cat", "rm", "touch", "mkdir")
SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
PARTS = "application/vnd.docker."


def image(run: Run) -> str:
    """Return the image with the registry and a static busybox; make it if absent."""
    base = recipes.ensure(run, inventory.load_target(run.settings, "rehearsal"), "base")
    tag = f"sheepvirt/test-registry:{base.rpartition(':')[2]}"
    if run.engine.image_id(tag) is None:
        with tempfile.TemporaryDirectory() as context:
            (Path(context) / "Containerfile").write_text(
                f"FROM {base}\nENV DEBIAN_FRONTEND noninteractive\nRUN apt-get update -q \\\n"
                " && apt-get install -y -q --no-install-recommends \\\n"
                "    docker-registry busybox-static bash-static\n",
                encoding="utf-8",
            )
            run.engine.build(Path(context), tag, lambda _: None)
    return tag


@dataclass(frozen=True)
class Registry:
    """A registry that runs: its address for the engine, and its container."""

    address: str
    container: Container

    def push(
        self, repository: str, tag: str, rootfs: bytes, settings: Mapping[str, object] | None = None
    ) -> str:
        """Put an image of one layer there, as a client does; return its digest."""
        layer = self._blob(repository, rootfs)
        whole = {
            "architecture": "amd64",
            "os": "linux",
            "config": dict(settings or {}),
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        }
        data = json.dumps(whole).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": SCHEMA_2,
            "config": {
                "mediaType": PARTS + "container.image.v1+json",
                "size": len(data),
                "digest": self._blob(repository, data),
            },
            "layers": [
                {"mediaType": PARTS + "image.rootfs.diff.tar", "size": len(rootfs), "digest": layer}
            ],
        }
        body = json.dumps(manifest).encode()
        self._ask("PUT", f"/v2/{repository}/manifests/{tag}", body, SCHEMA_2)
        return digest_of(body)

    def path_of(self, digest: str) -> str:
        """Return where the registry keeps a blob, inside its container."""
        hexes = digest.removeprefix("sha256:")
        return f"{STORE}/docker/registry/v2/blobs/sha256/{hexes[:2]}/{hexes}/data"

    def _blob(self, repository: str, content: bytes) -> str:
        place = self._ask("POST", f"/v2/{repository}/blobs/uploads/", b"")
        self._ask("PUT", f"{place}&digest={digest_of(content)}", content)
        return digest_of(content)

    def _ask(self, method: str, path: str, body: bytes, kind: str = "") -> str:
        url = path if "://" in path else f"http://{self.address}{path}"
        headers = {"Content-Type": kind or "application/octet-stream"}
        request = urllib.request.Request(url, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.headers.get("Location", ""))


@contextmanager
def running(engine: Engine, tag: str) -> Iterator[Registry]:
    """Run a registry for as long as it is needed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = (
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {STORE}}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    with engine.container(tag, network="host") as container:
        container.write("/etc/registry.yml", settings)
        serve = ["docker-registry", "serve", "/etc/registry.yml"]
        threading.Thread(target=_serve, args=(container, serve), daemon=True).start()
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the registry does not answer"
                time.sleep(0.1)
        yield Registry(address, container)


def _serve(container: Container, argv: list[str]) -> None:
    container.run(argv, keep=False)  # ends with the container


def tools(rpm: str, yum: str) -> dict[str, str]:
    """Return an rpm and a yum that say these versions and write into /log how they are called."""
    said = {"rpm": f"RPM version {rpm}", "yum": yum}
    return {f"bin/{n}": f'#!/bin/sh\necho "{n} $*" >> /log\necho "{v}"\n' for n, v in said.items()}


Files = Mapping[str, str | bytes | None]


def rootfs(container: Container, files: Files) -> bytes:
    """Return a tar archive of a root file system: ``files``, a shell from ``container``, tools.

    The tools are an rpm and a yum of CentOS 6's age that write into /log how they are called. A
    name that ends in ``@`` is a link; a content of None leaves the file out.
    """
    with tempfile.TemporaryDirectory() as folder:
        busybox, bash = (
            container.get(path, Path(folder)).read_bytes()
            for path in ("/bin/busybox", "/bin/bash-static")
        )
    rows: dict[str, str | bytes | None] = {
        "bin/busybox": busybox,
        "bin/sh": bash,
        "var/lib/rpm/Packages": "",
        "log": "",
    }
    rows |= {f"bin/{name}@": "busybox" for name in COMMANDS}
    rows["bin/sleep"] = "#!/bin/sh\nexec busybox sleep 100000\n"  # it knows no infinity
    rows |= tools("4.8.0", "3.2.29")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in {**rows, **files}.items():
            if content is None:
                continue
            info = tarfile.TarInfo(name.rstrip("@"))
            info.mode = 0o755
            data = content.encode() if isinstance(content, str) else content
            if name.endswith("@"):
                info.type, info.linkname, data = tarfile.SYMTYPE, data.decode(), b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def compressed(content: bytes, ending: str) -> bytes:
    """Return ``content`` as a file of that name would have it."""
    if ending == ".gz":
        return gzip.compress(content)
    return lzma.compress(content) if ending == ".xz" else content


def digest_of(content: bytes) -> str:
    """Return what a registry calls ``content``."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"

"""The only user of docker: images, build containers that always go away, host containers.

Source of the calls: https://docker-py.readthedocs.io/ (low-level API where a stream and an exit
code are both wanted: ``exec_run`` loses the code when it streams).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests.exceptions

from sheepvirt.errors import EngineError, EngineUnavailableError
from sheepvirt.signals import terminate_as_exception

OnLine = Callable[[str], None]
LABEL = "sheepvirt"


@dataclass(frozen=True)
class Result:
    """What a command in a container came to: exit code and decoded output."""

    code: int
    stdout: str
    stderr: str


class Lines:
    """Cuts chunks of bytes into whole lines for a callback."""

    def __init__(self, on_line: OnLine | None) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Take a chunk; hand every line that is complete to the callback."""
        if self._on_line is None:
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._on_line(line.decode(errors="replace"))

    def end(self) -> None:
        """Hand over a last line that has no newline."""
        if self._on_line is not None and self._rest:
            self._on_line(self._rest.decode(errors="replace"))
            self._rest = b""


class Container:
    """One running container."""

    def __init__(self, client: docker.DockerClient, ident: str) -> None:
        self._client = client
        self.id = ident

    def run(
        self,
        argv: Sequence[str],
        *,
        on_line: OnLine | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str = "/",
        check: bool = False,
        keep: bool = True,
    ) -> Result:
        """Run ``argv`` inside; ``on_line`` gets each output line as it comes.

        ``keep=False`` leaves the output out of the result (long logs). With ``check`` a non-zero
        exit raises EngineError with the command and its last lines. The result's code is -1 where
        the container or the engine died meanwhile.
        """
        api = self._client.api
        try:
            ident = api.exec_create(
                self.id, list(argv), environment=dict(env or {}), workdir=workdir
            )["Id"]
            out, err = bytearray(), bytearray()
            lines = Lines(on_line)
            for stdout, stderr in api.exec_start(ident, stream=True, demux=True):
                for chunk, sink in ((stdout, out), (stderr, err)):
                    if chunk:
                        if keep:
                            sink.extend(chunk)
                        lines.feed(chunk)
            lines.end()
            code = api.exec_inspect(ident)["ExitCode"]
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise EngineError(
                f"the engine could not run `{argv[0]}`: {error}",
                hint="is the container still there (`docker ps`), and does the engine still run?",
            ) from error
        result = Result(-1 if code is None else code, _text(out), _text(err))
        if check and result.code:
            tail = "\n".join((result.stdout + result.stderr).splitlines()[-8:])
            raise EngineError(
                f"`{' '.join(argv)}` failed with exit code {result.code}:\n{tail}",
                hint="the lines above are its last ones; the run's log in dist/logs has all",
            )
        return result

    def put(self, source: Path, folder: str) -> None:
        """Copy a file or a folder (with its name) into ``folder``, owned by root."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.add(source, arcname=source.name, filter=_as_root)
        self._client.api.put_archive(self.id, folder, buffer.getvalue())

    def write(self, path: str, content: str, *, mode: int = 0o644) -> None:
        """Write a text file inside; its folder must exist."""
        data = content.encode()
        info = tarfile.TarInfo(Path(path).name)
        info.size, info.mode = len(data), mode
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.addfile(info, io.BytesIO(data))
        self._client.api.put_archive(self.id, str(Path(path).parent), buffer.getvalue())

    def get(self, path: str, folder: Path) -> Path:
        """Copy the file or folder ``path`` out into ``folder``; return where it is now."""
        try:
            stream, _ = self._client.api.get_archive(self.id, path)
        except docker.errors.NotFound as error:
            raise EngineError(f"{path} is not in the container", hint="") from error
        buffer = io.BytesIO(b"".join(stream))
        with tarfile.open(fileobj=buffer) as archive:
            archive.extractall(folder, filter="data")
        return folder / Path(path).name

    def commit(self, tag: str) -> None:
        """Keep the container's file system as image ``tag``."""
        name, _, version = tag.partition(":")
        self._client.api.commit(self.id, repository=name, tag=version or "latest")

    def published_port(self, port: int) -> int:
        """Return the loopback port that reaches TCP ``port`` of the container, running or not."""
        ports = self._inspect()["HostConfig"]["PortBindings"].get(f"{port}/tcp")
        if not ports:
            raise EngineError(f"the container publishes no port {port}", hint="recreate the host")
        return int(ports[0]["HostPort"])

    @property
    def running(self) -> bool:
        """Tell whether the container runs now."""
        return bool(self._inspect()["State"]["Running"])

    @property
    def image(self) -> str:
        """The id of the image the container was made from."""
        return str(self._inspect()["Image"])

    def start(self) -> None:
        """Start a stopped container."""
        self._client.api.start(self.id)

    def _inspect(self) -> Any:
        return self._client.api.inspect_container(self.id)


class Engine:
    """The container engine of this machine. Raises EngineUnavailableError where none answers."""

    def __init__(self) -> None:
        try:
            self._client = docker.from_env(timeout=1800)
            self._client.ping()
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise EngineUnavailableError(
                "no container engine answers on this machine",
                hint="run `make engine` (as root), which installs and starts it",
            ) from error

    def image_id(self, tag: str) -> str | None:
        """Return the id of image ``tag``, or None."""
        try:
            return str(self._client.images.get(tag).id)
        except docker.errors.ImageNotFound:
            return None

    def import_tar(self, path: Path, tag: str) -> str:
        """Make image ``tag`` of a root file system's tar file; return its id."""
        name, _, version = tag.partition(":")
        self._client.api.import_image_from_file(str(path), repository=name, tag=version or "latest")
        ident = self.image_id(tag)
        if ident is None:
            raise EngineError(f"the engine refused {path} as an image", hint="is the disk full?")
        return ident

    def build(self, context: Path, tag: str, on_line: OnLine) -> str:
        """Build ``context``'s Containerfile as ``tag``; return the image's id."""
        tail: list[str] = []
        stream = self._client.api.build(
            path=str(context), dockerfile="Containerfile", tag=tag, rm=True, forcerm=True,
            decode=True, labels={LABEL: "1"},
        )  # fmt: skip
        for row in stream:
            for line in str(row.get("stream", "")).splitlines():
                if line.strip():
                    on_line(line)
                    tail = [*tail[-9:], line]
            if "error" in row:
                lines = "\n".join([*tail, row["error"]])
                raise EngineError(
                    f"image {tag} did not build:\n{lines}", hint="mend the step named"
                )
        ident = self.image_id(tag)
        if ident is None:
            raise EngineError(f"image {tag} is not there after its build", hint="is the disk full?")
        return ident

    @contextmanager
    def container(
        self,
        image: str,
        *,
        mounts: Mapping[Path, tuple[str, str]] | None = None,
        network: str = "bridge",
        owner: str = "",
    ) -> Iterator[Container]:
        """Run a container for work; it is removed whatever happens, SIGTERM included.

        ``mounts`` maps a folder here to (folder inside, "rw" or "ro"). ``owner`` is a label by
        which ``reap`` finds what a killed run (SIGKILL, power) could not remove.
        """
        api = self._client.api
        binds = [f"{k}:{v[0]}:{v[1]}" for k, v in (mounts or {}).items()]
        try:
            config = api.create_host_config(binds=binds, network_mode=network, init=True)
            with terminate_as_exception():
                ident = api.create_container(
                    image,
                    ["sleep", "infinity"],
                    host_config=config,
                    labels={LABEL: "work", f"{LABEL}.owner": owner},
                )["Id"]
                try:
                    api.start(ident)
                    yield Container(self._client, ident)
                finally:
                    api.remove_container(ident, force=True, v=True)
        except docker.errors.ImageNotFound as error:
            raise EngineError(f"there is no image {image}", hint="run the command again") from error

    def reap(self, owner: str) -> None:
        """Remove work containers of ``owner`` that a killed run left. Hold the owner's lock."""
        filters = {"label": [f"{LABEL}=work", f"{LABEL}.owner={owner}"]}
        for row in self._client.api.containers(all=True, filters=filters):
            self._client.api.remove_container(row["Id"], force=True, v=True)

    def remove_image(self, tag: str) -> None:
        """Remove image ``tag``; nothing where it is absent."""
        try:
            self._client.api.remove_image(tag)
        except docker.errors.ImageNotFound:
            return

    def start_host(
        self,
        name: str,
        image: str,
        *,
        command: Sequence[str],
        hostname: str,
        environment: Mapping[str, str],
        publish: Mapping[int, int],
        labels: Mapping[str, str],
    ) -> Container:
        """Start a container that plays a machine: systemd as PID 1, back after a reboot.

        ``publish`` maps its TCP ports to loopback ports here: a free one of the engine's choice
        would be another one after every reboot. Raises EngineError where one of them is taken.

        Its capabilities are asked for by name, not ``--privileged``: that fails where this
        machine itself lacks one (here CAP_SYS_RESOURCE).
        """
        api = self._client.api
        config = api.create_host_config(
            cap_add=["ALL"],
            cap_drop=["SYS_RESOURCE"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            tmpfs={"/run": "", "/tmp": ""},
            binds=["/sys/fs/cgroup:/sys/fs/cgroup:ro"],
            restart_policy={"Name": "always"},
            port_bindings={inside: ("127.0.0.1", here) for inside, here in publish.items()},
        )
        config["CgroupnsMode"] = "host"  # docker-py 7 has no argument for it in this call
        ident = api.create_container(
            image, list(command), name=name, hostname=hostname, host_config=config,
            environment=dict(environment), ports=list(publish), labels={LABEL: "host", **labels},
            stop_signal="SIGRTMIN+3",
        )["Id"]  # fmt: skip
        try:
            api.start(ident)
        except docker.errors.APIError as error:
            api.remove_container(ident, force=True, v=True)
            raise EngineError(
                f"the container {name} did not start: {error.explanation or error}",
                hint="mend what the engine says and run this again",
            ) from error
        return Container(self._client, ident)

    def find(self, name: str) -> Container | None:
        """Return the container called ``name``, running or not, or None."""
        try:
            return Container(self._client, self._client.api.inspect_container(name)["Id"])
        except docker.errors.NotFound:
            return None

    def remove(self, name: str) -> None:
        """Remove the container called ``name`` and its volumes; nothing where it is absent."""
        try:
            self._client.api.remove_container(name, force=True, v=True)
        except docker.errors.NotFound:
            return


def _text(data: bytes | bytearray) -> str:
    return bytes(data).decode(errors="replace")


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info

"""One container of the engine: run commands in it, copy files in and out, commit it."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import docker.errors

from sheepvirt.core.errors import EngineError
from sheepvirt.core.processes import OnLine, Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


HEADER = struct.Struct(">BxxxL")  # of a piece of output: its stream and size
STDERR = 2


class Lines:
    """Splits chunks of bytes into lines for a callback."""

    def __init__(self, on_line: OnLine | None) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Add a chunk; pass every complete line to the callback."""
        if self._on_line is None:
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._on_line(line.decode(errors="replace"))

    def end(self) -> None:
        """Pass a last line without a newline to the callback."""
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
        """Run ``argv`` inside; ``on_line`` gets each output line immediately.

        ``keep=False`` leaves the output out of the result (long logs). With ``check`` a non-zero
        exit raises EngineError with the command and its last lines. The result's code is -1 if the
        container or the engine died.
        """
        api = self._client.api
        try:
            ident = api.exec_create(
                self.id, list(argv), environment=dict(env or {}), workdir=workdir
            )["Id"]
            out, err = bytearray(), bytearray()
            lines = Lines(on_line)
            for stream, chunk in _output(api, ident):
                if keep:
                    (err if stream == STDERR else out).extend(chunk)
                lines.feed(chunk)
            lines.end()
            code = api.exec_inspect(ident)["ExitCode"]
        except (docker.errors.DockerException, OSError) as error:
            raise EngineError(
                f"the engine could not run `{argv[0]}`: {error}",
                hint="check with `docker ps` that the engine and the container still run",
            ) from error
        result = Result(code=-1 if code is None else code, stdout=_text(out), stderr=_text(err))
        if check and result.code:
            tail = "\n".join((result.stdout + result.stderr).splitlines()[-8:])
            raise EngineError(
                f"`{' '.join(argv)}` failed with exit code {result.code}:\n{tail}",
                hint="read the run's log in dist/logs; the lines above are its last ones",
            )
        return result

    def put(self, source: Path, folder: str) -> None:
        """Copy a file or a folder (with its name) to ``folder``, owned by root."""
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
        """Copy the file or folder ``path`` from the container to ``folder``; return its path."""
        try:
            stream, _ = self._client.api.get_archive(self.id, path)
        except docker.errors.NotFound as error:
            raise EngineError(f"{path} is not in the container") from error
        buffer = io.BytesIO(b"".join(stream))
        with tarfile.open(fileobj=buffer) as archive:
            archive.extractall(folder, filter="data")
        return folder / Path(path).name

    def peek(self, path: str) -> tuple[str, bytes]:
        """Return ("file", content), ("link", its target) or ("", b"") for ``path``.

        The container may be stopped; nothing is run inside.
        """
        try:
            stream, _ = self._client.api.get_archive(self.id, path)
        except docker.errors.APIError:
            return "", b""
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            member = archive.next()
            if member is not None and member.issym():
                return "link", member.linkname.encode()
            handle = archive.extractfile(member) if member is not None else None
            return ("file", handle.read()) if handle else ("", b"")

    def commit(self, tag: str) -> None:
        """Keep the container's file system as image ``tag``."""
        name, _, version = tag.partition(":")
        self._client.api.commit(self.id, repository=name, tag=version or "latest")

    def published_port(self, port: int) -> int:
        """Return the loopback port for TCP ``port`` of the container, running or not."""
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
        """The id of the container's image."""
        return str(self._inspect()["Image"])

    @property
    def image_name(self) -> str:
        """The name and tag of the container's image, even if the image is gone."""
        return str(self._inspect()["Config"]["Image"])

    def start(self) -> None:
        """Start a stopped container."""
        self._client.api.start(self.id)

    def _inspect(self) -> Any:
        return self._client.api.inspect_container(self.id)


def _output(api: Any, ident: str) -> Iterator[tuple[int, bytes]]:
    """Start a command; yield its output as it comes, each piece with its stream.

    docker-py's own reader takes it from the socket, and so loses what had come in one piece with
    the header of the answer (docker-py 7.1.0, ``_read_from_socket``): some output, or the sense of
    all. It is in the buffer from which the header was read. Source of the format:
    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
    """
    socket = api.exec_start(ident, socket=True)
    api._disable_socket_timeout(socket)  # a command may be silent for long
    response = socket._response
    buffered = response.raw._fp.fp
    try:
        while len(header := buffered.read(HEADER.size)) == HEADER.size:
            stream, size = HEADER.unpack(header)
            yield stream, buffered.read(size)
    finally:
        response.close()


def _text(data: bytes | bytearray) -> str:
    return bytes(data).decode(errors="replace")


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info

"""The engine: work containers, which are always removed, and host containers.

Images are in image_store.py. Only these two modules and container.py use docker. Source of the
calls: https://docker-py.readthedocs.io/ (the low-level API if both a stream and an exit code are
needed: ``exec_run`` loses the code when it streams).
"""

from __future__ import annotations

import posixpath
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import docker.errors
import docker.types
import requests.exceptions

from sheepvirt.core.errors import EngineError
from sheepvirt.core.processes import Result
from sheepvirt.core.signals import terminate_as_exception
from sheepvirt.engine.container import Container
from sheepvirt.engine.image_store import LABEL, PATH, ImageStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TRY_SECONDS = 30
# rpm before 4.14.2 closes every possible file descriptor before each scriptlet: thousands of
# millions if the engine sets no limit (moby#23137: a yum install of six hours).
OPEN_FILES = docker.types.Ulimit(name="nofile", soft=1024, hard=4096)


class Engine(ImageStore):
    """The container engine of this machine. Raises EngineUnavailableError: none answers."""

    @contextmanager
    def container(
        self,
        image: str,
        *,
        mounts: Mapping[Path, tuple[str, str]] | None = None,
        network: str = "bridge",
        owner: str = "",
    ) -> Iterator[Container]:
        """Run a work container; it is always removed, also on SIGTERM.

        ``mounts`` maps a folder here to (folder inside, "rw" or "ro"). ``owner`` is a label by
        which ``reap`` finds the containers of a killed run (SIGKILL, power).
        """
        api = self._client.api
        binds = [f"{k}:{v[0]}:{v[1]}" for k, v in (mounts or {}).items()]
        try:
            config = api.create_host_config(
                binds=binds, network_mode=network, init=True, ulimits=[OPEN_FILES]
            )
            with terminate_as_exception():
                ident = api.create_container(
                    image,
                    ["sleep", "infinity"],
                    hostname=LABEL,  # one name for all: builds write it into their results
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

    def read_file(self, image: str, path: str) -> bytes | None:
        """Return the content of file ``path`` in ``image``, or None; run nothing of the image.

        Links are followed inside the image.
        """
        with _created(self._client.api, image) as ident:
            container = Container(self._client, ident)
            for _ in range(8):
                kind, content = container.peek(path)
                if kind != "link":
                    return content if kind else None
                path = posixpath.join(posixpath.dirname(path), content.decode(errors="replace"))
        return None

    def try_command(self, image: str, argv: Sequence[str]) -> Result:
        """Run ``argv`` as the only process of a container of ``image``, without a network.

        The result's code is 139 if it died of SIGSEGV, 127 if the image has no such program for
        this machine. Raises EngineError.
        """
        api = self._client.api
        with _created(api, image, argv) as ident:
            try:
                api.start(ident)
                code = int(api.wait(ident, timeout=TRY_SECONDS)["StatusCode"])
                out = api.logs(ident, stdout=True, stderr=False).decode(errors="replace")
                err = api.logs(ident, stdout=False, stderr=True).decode(errors="replace")
                return Result(code=code, stdout=out, stderr=err)
            except docker.errors.APIError as error:  # the process could not be started
                words = str(error.explanation or error)
                if re.search(r"no such file|not found in|permission denied|format err", words):
                    return Result(code=127, stdout="", stderr=words)
                raise EngineError(
                    f"`{argv[0]}` of {image}: {words}",
                    hint=f"try it yourself: `docker run --rm {image} {argv[0]}`",
                ) from error
            except requests.exceptions.RequestException:
                return Result(code=-1, stdout="", stderr=f"it did not end within {TRY_SECONDS} s")

    def reap(self, owner: str) -> None:
        """Remove work containers of ``owner`` from a killed run. The caller holds its lock."""
        filters = {"label": [f"{LABEL}=work", f"{LABEL}.owner={owner}"]}
        for row in self._client.api.containers(all=True, filters=filters):
            self._client.api.remove_container(row["Id"], force=True, v=True)

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
        mounts: Mapping[str, str] | None = None,
    ) -> Container:
        """Start a container that acts as a machine: with an init, and restarted after a reboot.

        ``publish`` maps its TCP ports to loopback ports here: a port that the engine chooses would
        change with every reboot. ``mounts`` maps folders here to folders of the machine. Raises
        EngineError: a port is taken.

        Its capabilities are named instead of ``--privileged``, which fails on a machine that lacks
        one (such as CAP_SYS_RESOURCE). It gets /dev/kvm if this machine has it; its bootstrap tries
        whether that works.
        """
        api = self._client.api
        config = api.create_host_config(
            cap_add=["ALL"],
            cap_drop=["SYS_RESOURCE"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            tmpfs={"/run": "", "/tmp": ""},
            binds=[
                "/sys/fs/cgroup:/sys/fs/cgroup:ro",
                *(f"{here}:{inside}:rw" for here, inside in (mounts or {}).items()),
            ],
            devices=["/dev/kvm:/dev/kvm:rwm"] if Path("/dev/kvm").exists() else [],
            restart_policy={"Name": "always"},
            port_bindings={inside: ("127.0.0.1", here) for inside, here in publish.items()},
        )
        config["CgroupnsMode"] = "host"  # docker-py 7 has no argument for it in this call
        ident = api.create_container(
            image,
            list(command),
            name=name,
            hostname=hostname,
            host_config=config,
            environment=dict(environment),
            ports=list(publish),
            labels={LABEL: "host", **labels},
            stop_signal="SIGRTMIN+3",
        )["Id"]
        try:
            api.start(ident)
        except docker.errors.APIError as error:
            api.remove_container(ident, force=True, v=True)
            raise EngineError(
                f"the container {name} did not start: {error.explanation or error}",
                hint="fix what the engine reports, then run this again",
            ) from error
        return Container(self._client, ident)

    def find(self, name: str) -> Container | None:
        """Return the container called ``name``, running or not, or None."""
        try:
            return Container(self._client, self._client.api.inspect_container(name)["Id"])
        except docker.errors.NotFound:
            return None

    def remove(self, name: str) -> None:
        """Remove the container called ``name`` and its volumes, if it exists."""
        try:
            self._client.api.remove_container(name, force=True, v=True)
        except docker.errors.NotFound:
            return


@contextmanager
def _created(api: docker.APIClient, image: str, argv: Sequence[str] = ("-",)) -> Iterator[str]:
    """Yield the id of a container of ``image`` that is not started and has no network."""
    config = api.create_host_config(network_mode="none")
    with terminate_as_exception():
        try:
            ident = api.create_container(
                image,
                entrypoint=list(argv),
                host_config=config,
                labels={LABEL: "work"},
                user="0:0",
                environment={"PATH": PATH},
            )["Id"]
        except docker.errors.APIError as error:
            raise EngineError(
                f"no container of {image}: {error.explanation or error}",
                hint="fix what the engine reports, then run this again",
            ) from error
        try:
            yield ident
        finally:
            api.remove_container(ident, force=True, v=True)

"""Images of the engine: made, fetched, saved, taken in. With engine.py and container.py the only
users of docker.

Source of the calls: https://docker-py.readthedocs.io/
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.types
import requests.exceptions

from sheepvirt.core.errors import EngineError, EngineUnavailableError, RegistryError
from sheepvirt.engine.container import OnLine
from sheepvirt.engine.registry import refusal, repository_and_tag, takes_schema_1

LABEL = "sheepvirt"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ImageStore:
    """The engine's images. Raises EngineUnavailableError where no engine answers."""

    def __init__(self, seconds: int = 1800) -> None:
        """``seconds``: how long one answer of the engine may take."""
        try:
            self._client = docker.from_env(timeout=seconds)
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

    def layers(self, image: str) -> tuple[str, ...]:
        """Return the hashes of the layers of an image: its content, whatever engine has it."""
        return tuple(self._client.images.get(image).attrs["RootFS"]["Layers"])

    def save(self, image: str) -> Iterator[bytes]:
        """Give an image as ``docker save`` does; by its id, so that it brings no tag along.

        Raises EngineError: the image or the engine went away.
        """
        try:
            yield from self._client.api.get_image(image)
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise EngineError(
                f"the engine did not give image {image} out: {error}",
                hint="is it still there (`docker images`)? run the command again",
            ) from error

    def load(self, content: Iterable[bytes]) -> str:
        """Take in an image that ``save`` gave, compressed with gzip or not; return its id.

        Raises EngineError: it is none, or more than one.
        """
        said: list[str] = []
        try:
            for row in self._client.api.load_image(content):  # type: ignore[no-untyped-call]
                said.append(str(row.get("stream") or row.get("error") or ""))
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            said.append(str(error))
        found = [
            line.partition("ID: ")[2] for line in "\n".join(said).splitlines() if "ID: " in line
        ]
        if len(found) != 1:
            raise EngineError(
                "the engine did not take one image in: " + " ".join(" ".join(said).split()),
                hint="is the disk full?",
            )
        return found[0].strip()

    def tag(self, image: str, tag: str) -> None:
        """Give an image a tag; whatever had it loses it."""
        name, _, version = tag.partition(":")
        self._client.api.tag(image, name, version)

    def import_tar(self, path: Path, tag: str) -> str:
        """Make image ``tag`` of a root file system's tar file; return its id.

        Raises EngineError.
        """
        name, _, version = tag.partition(":")
        try:
            self._client.api.import_image_from_file(
                str(path), repository=name, tag=version or "latest"
            )
        except docker.errors.APIError as error:
            words = str(error.explanation or error)
            raise EngineError(
                f"the engine could not import {path}: {words}", hint=refusal(words).fix
            ) from error
        ident = self.image_id(tag)
        if ident is None:
            raise EngineError(f"the engine refused {path} as an image", hint="is the disk full?")
        return ident

    def manifest(self, name: str) -> str:
        """Return the digest that the registry has for ``name``; nothing is pulled.

        Raises RegistryError.
        """
        try:
            found: Any = self._client.images.get_registry_data(name)
            kind = str(found.attrs["Descriptor"]["mediaType"])
            version = str(self._client.version()["Version"])
            if ".manifest.v1+" in kind and not takes_schema_1(version):
                raise RegistryError(name, f"{kind} is not supported by engine {version}")
            return str(found.id)
        except (docker.errors.APIError, requests.exceptions.RequestException) as error:
            raise _refused(name, error) from error

    def pull(self, name: str, on_line: OnLine) -> str:
        """Pull ``name`` and return its digest; where the name has one, the content is that.

        Raises RegistryError.
        """
        repository, tag = repository_and_tag(name)
        digest = ""
        try:
            for row in self._client.api.pull(repository, tag, stream=True, decode=True):
                if "error" in row:
                    raise RegistryError(name, str(row["error"]))
                status = str(row.get("status", ""))
                if not row.get("progressDetail"):
                    on_line(f"{row.get('id', '')} {status}".strip())
                if status.startswith("Digest: "):
                    digest = status.removeprefix("Digest: ")
        except (docker.errors.APIError, requests.exceptions.RequestException) as error:
            raise _refused(name, error) from error
        return digest

    def build(self, context: Path, tag: str, on_line: OnLine) -> str:
        """Build ``context``'s Containerfile as ``tag``; return the image's id."""
        tail: list[str] = []
        stream = self._client.api.build(
            path=str(context), dockerfile="Containerfile", tag=tag, rm=True, forcerm=True,
            decode=True, labels={LABEL: "1"}, buildargs=proxies(),
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

    def adopt(self, image: str, tag: str, labels: Mapping[str, str]) -> None:
        """Make image ``tag`` of the files of ``image`` (a tag), with ``labels``.

        Nothing else of it stays: no user, entry point or folder, and variables (as of images with
        a compiler of their own) are empty. Raises EngineError.
        """
        attributes: Any = self._client.images.get(image).attrs
        names = {row.partition("=")[0] for row in attributes["Config"].get("Env") or ()}
        # A build, since a commit would keep the entry point where it is to be none.
        lines = [f"FROM {image}", "USER 0:0", "WORKDIR /", "ENTRYPOINT []", 'CMD ["/bin/sh"]']
        lines += [f'ENV {key}=""' for key in sorted(names - {"PATH"})] + [f"ENV PATH={PATH}"]
        lines += [f'LABEL {key}="{_quoted(value)}"' for key, value in labels.items()]
        with tempfile.TemporaryDirectory() as scratch:
            recipe = "".join(f"{line}\n" for line in lines)
            (Path(scratch) / "Containerfile").write_text(recipe, encoding="utf-8")
            self.build(Path(scratch), tag, lambda _: None)

    def labels(self, image: str) -> dict[str, str]:
        """Return the labels of ``image``; none where it is absent."""
        try:
            return dict(self._client.images.get(image).labels)
        except docker.errors.ImageNotFound:
            return {}

    @property
    def root(self) -> Path | None:
        """The folder that the engine keeps images in, if it is on this machine."""
        path = Path(str(self._client.info().get("DockerRootDir", "")))
        return path if path.is_absolute() and path.is_dir() else None

    def remove_image(self, tag: str) -> None:
        """Remove image ``tag``; nothing where it is absent."""
        try:
            self._client.api.remove_image(tag)
        except docker.errors.ImageNotFound:
            return


def _refused(name: str, error: Exception) -> RegistryError:
    return RegistryError(name, str(getattr(error, "explanation", None) or error))


def proxies() -> dict[str, str]:
    """Return the user's proxies, which the engine keeps out of what it builds and out of its cache.

    Source: https://docs.docker.com/reference/dockerfile/#predefined-args
    """
    names = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    both = (*names, *(name.upper() for name in names))
    return {name: os.environ[name] for name in both if os.environ.get(name)}


def _quoted(text: str) -> str:
    """Return ``text`` as it stands between the double quotes of a LABEL instruction."""
    return "".join("\\" + c if c in '"\\$' else " " if c in "\r\n" else c for c in text)

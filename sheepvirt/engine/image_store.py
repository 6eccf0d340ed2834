"""The engine's images: build, pull, save, load, import.

Source of the calls: https://docker-py.readthedocs.io/
"""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import docker
import docker.errors
import docker.types
import requests.exceptions

from sheepvirt.core.errors import EngineError, EngineUnavailableError, RegistryError
from sheepvirt.engine.registry import refusal, repository_and_tag, takes_schema_1

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sheepvirt.core.processes import OnLine

LABEL = "sheepvirt"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ImageStore:
    """The engine's images. Raises EngineUnavailableError: no engine answers."""

    def __init__(self, seconds: int = 1800) -> None:
        """Set the time limit for one answer of the engine. The first use connects."""
        self._seconds = seconds

    def within(self, seconds: int) -> Self:
        """Return the same engine with another time limit for one answer."""
        return type(self)(seconds)

    def connect(self) -> None:
        """Check that the engine answers. Raises EngineUnavailableError."""
        self._client.ping()

    @functools.cached_property
    def _client(self) -> docker.DockerClient:
        try:
            client = docker.from_env(timeout=self._seconds)
            client.ping()
            return client
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise EngineUnavailableError(
                "no container engine answers on this machine",
                hint="run `make engine` as root, which installs and starts it",
            ) from error

    def image_id(self, tag: str) -> str | None:
        """Return the id of image ``tag``, or None."""
        try:
            return str(self._client.images.get(tag).id)
        except docker.errors.ImageNotFound:
            return None

    def layers(self, image: str) -> tuple[str, ...]:
        """Return the hashes of an image's layers: they identify its content in every engine."""
        return tuple(self._client.images.get(image).attrs["RootFS"]["Layers"])

    def save(self, image: str) -> Iterator[bytes]:
        """Yield an image as ``docker save`` does; by its id, so without a tag.

        Raises EngineError: the image or the engine is gone.
        """
        try:
            yield from self._client.api.get_image(image)
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise EngineError(
                f"the engine could not save image {image}: {error}",
                hint="check with `docker images` that it exists, and run the command again",
            ) from error

    def load(self, content: Iterable[bytes]) -> str:
        """Load an image from ``save``, compressed with gzip or not; return its id.

        Raises EngineError: the content is not exactly one image.
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
                "the engine did not load one image: " + " ".join(" ".join(said).split()),
                hint="check that the engine's disk is not full",
            )
        return found[0].strip()

    def tag(self, image: str, tag: str) -> None:
        """Tag an image; another image with this tag loses it."""
        name, _, version = tag.partition(":")
        self._client.api.tag(image, name, version)

    def import_tar(self, path: Path, tag: str) -> str:
        """Make image ``tag`` from a root file system's tar file; return its id.

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
        return self._existing(tag, f"the engine refused {path} as an image")

    def manifest(self, name: str) -> str:
        """Return the registry's digest of ``name`` without a pull.

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
        """Pull ``name`` and return its digest; a digest in the name is verified.

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
            path=str(context),
            dockerfile="Containerfile",
            tag=tag,
            rm=True,
            forcerm=True,
            decode=True,
            labels={LABEL: "1"},
            buildargs=proxies(),
        )
        for row in stream:
            for line in str(row.get("stream", "")).splitlines():
                if line.strip():
                    on_line(line)
                    tail = [*tail[-9:], line]
            if "error" in row:
                lines = "\n".join([*tail, row["error"]])
                raise EngineError(
                    f"image {tag} did not build:\n{lines}", hint="fix the step that failed"
                )
        return self._existing(tag, f"image {tag} does not exist after its build")

    def _existing(self, tag: str, otherwise: str) -> str:
        """Return the id of image ``tag``. Raises EngineError ``otherwise``."""
        ident = self.image_id(tag)
        if ident is None:
            raise EngineError(otherwise, hint="check that the engine's disk is not full")
        return ident

    def adopt(self, image: str, tag: str, labels: Mapping[str, str]) -> None:
        """Make image ``tag`` from the files of ``image`` (a tag), with ``labels``.

        Everything else is reset: user, entry point and folder; variables (which images with their
        own compiler set) become empty. Raises EngineError.
        """
        attributes: Any = self._client.images.get(image).attrs
        names = {row.partition("=")[0] for row in attributes["Config"].get("Env") or ()}
        # A build, because a commit cannot remove the entry point.
        lines = [f"FROM {image}", "USER 0:0", "WORKDIR /", "ENTRYPOINT []", 'CMD ["/bin/sh"]']
        lines += [f'ENV {key}=""' for key in sorted(names - {"PATH"})] + [f"ENV PATH={PATH}"]
        lines += [f'LABEL {key}="{_quoted(value)}"' for key, value in labels.items()]
        with tempfile.TemporaryDirectory() as scratch:
            recipe = "".join(f"{line}\n" for line in lines)
            (Path(scratch) / "Containerfile").write_text(recipe, encoding="utf-8")
            self.build(Path(scratch), tag, lambda _: None)

    def labels(self, image: str) -> dict[str, str]:
        """Return the labels of ``image``; empty if it does not exist."""
        try:
            return dict(self._client.images.get(image).labels)
        except docker.errors.ImageNotFound:
            return {}

    @property
    def root(self) -> Path | None:
        """The engine's folder for images, if it is on this machine."""
        path = Path(str(self._client.info().get("DockerRootDir", "")))
        return path if path.is_absolute() and path.is_dir() else None

    def remove_image(self, tag: str) -> None:
        """Remove image ``tag``, if it exists."""
        try:
            self._client.api.remove_image(tag)
        except docker.errors.ImageNotFound:
            return


def _refused(name: str, error: Exception) -> RegistryError:
    return RegistryError(name, str(getattr(error, "explanation", None) or error))


def proxies() -> dict[str, str]:
    """Return the user's proxies, which the engine keeps out of images and of its cache.

    Source: https://docs.docker.com/reference/dockerfile/#predefined-args
    """
    names = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    both = (*names, *(name.upper() for name in names))
    return {name: os.environ[name] for name in both if os.environ.get(name)}


def _quoted(text: str) -> str:
    """Escape ``text`` for the double quotes of a LABEL instruction."""
    return "".join("\\" + c if c in '"\\$' else " " if c in "\r\n" else c for c in text)

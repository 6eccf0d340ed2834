"""HTTP: check whether a URL answers, read its beginning, download it. Nothing else fetches."""

from __future__ import annotations

import http.client
import shutil
import ssl
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sheepvirt.core.errors import WebError

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 20.0  # seconds without a byte
CHUNK = 1 << 20
AGENT = {"User-Agent": "sheepvirt"}
# Where distributions keep their certificates, if OpenSSL's default is not a file.
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
           "/etc/ssl/ca-bundle.pem")  # fmt: skip  # a table


def ask(url: str, *, seconds: float) -> None:
    """Check that ``url`` answers, without its content. Raises WebError."""
    with _opened(url, seconds, method="HEAD"):
        return


def read(url: str, limit: int, *, seconds: float) -> bytes:
    """Return the first ``limit`` bytes of ``url``. Raises WebError."""
    with _opened(url, seconds) as answer:
        return bytes(answer.read(limit))


def download(url: str, path: Path) -> Path:
    """Download ``url`` to ``path``; return ``path``. Raises WebError, also if it ends early."""
    with _opened(url, TIMEOUT) as answer, path.open("wb") as out:
        shutil.copyfileobj(answer, out, CHUNK)
        promised = answer.headers.get("Content-Length")
        if promised and out.tell() < int(promised):
            raise WebError(f"only {out.tell()} of {promised} bytes arrived")
    return path


def ca_bundle() -> Path | None:
    """Return the file with the certificates that this machine trusts, or None.

    Python trusts the same file: ``$SSL_CERT_FILE``, or the system's.
    """
    own = ssl.get_default_verify_paths().cafile
    return next((p for p in (Path(name) for name in (own, *BUNDLES) if name) if p.is_file()), None)


@contextmanager
def _opened(url: str, seconds: float, method: str = "GET") -> Iterator[Any]:
    request = urllib.request.Request(url, headers=AGENT, method=method)
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        raise WebError(str(error)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)
        raise WebError(
            str(cause) or type(cause).__name__, tls=isinstance(cause, ssl.SSLError)
        ) from error

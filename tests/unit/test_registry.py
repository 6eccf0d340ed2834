"""Names of images, and the engine's words about a pull."""

from __future__ import annotations

import pytest

from sheepvirt.engine import registry
from sheepvirt.model.targets import Image

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [
        (f"centos:6@{DIGEST}", f"r.lan:5000/library/centos:6@{DIGEST}"),
        ("docker.io/centos:6", "r.lan:5000/library/centos:6"),
        ("owner/image", "r.lan:5000/owner/image"),
        ("quay.io/centos/centos:6", "r.lan:5000/centos/centos:6"),
        ("localhost/a:1", "r.lan:5000/a:1"),
    ],
)
def test_a_mirror_has_an_image_under_its_own_path(name: str, mirrored: str) -> None:
    assert registry.reference(Image(name), "r.lan:5000") == mirrored
    assert registry.reference(Image(name), "") == name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("centos", ("centos", "latest")),
        ("centos:6", ("centos", "6")),
        (f"centos:6@{DIGEST}", ("centos", DIGEST)),
        (f"centos@{DIGEST}", ("centos", DIGEST)),
        ("r.lan:5000/a/b", ("r.lan:5000/a/b", "latest")),
        ("r.lan:5000/a/b:6", ("r.lan:5000/a/b", "6")),
    ],
)
def test_what_the_engine_is_asked_for(name: str, parts: tuple[str, str]) -> None:
    assert registry.repository_and_tag(name) == parts


# As engines wrote them: 20.10 here; schema 1 as reported for Docker 24 to 28 and containerd.
WORDS = [
    (
        'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on '
        "192.0.2.53:53: no such host",
        "unreachable",
    ),
    ('Get "http://localhost:5999/v2/": dial tcp 127.0.0.1:5999: connect: connection refused',
     "unreachable"),
    ('Get "https://a.lan/v2/": net/http: TLS handshake timeout', "unreachable"),
    ("UnixHTTPConnectionPool(host='localhost', port=None): Read timed out.", "unreachable"),
    (f"filesystem layer verification failed for digest {DIGEST}", "truncated or altered"),
    (f"manifest verification failed for digest {DIGEST}", "truncated or altered"),
    ("unknown blob", "truncated or altered"),
    ("Error processing tar file(exit status 1): unexpected EOF", "truncated or altered"),
    (
        f"manifest for a.lan/b@{DIGEST} not found: manifest unknown: manifest unknown",
        "no such image",
    ),
    (
        "pull access denied for a/b, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied",
        "requires a login",
    ),
    (
        'Get "https://192.0.2.1:5000/v2/": x509: cannot validate certificate for 192.0.2.1 '
        "because it doesn't contain any IP SANs",
        "does not trust",
    ),
    (
        'Get "https://a.lan:5000/v2/": http: server gave HTTP response to HTTPS client',
        "plain http",
    ),
    (
        "error parsing HTTP 404 response body: invalid character '<' looking for beginning of "
        'value: "<!DOCTYPE HTML>\\n<html lang=\\"en\\">"',
        "a web page",
    ),
    (
        "[DEPRECATION NOTICE] Docker Image Format v1 and Docker Image manifest version 2, schema 1 "
        "support is disabled by default and will be removed in an upcoming release.",
        "schema 1",
    ),
    ("application/vnd.docker.distribution.manifest.v1+prettyjws not supported", "schema 1"),
    (
        'not implemented: media type "application/vnd.docker.distribution.manifest.v1+prettyjws" '
        "is no longer supported since containerd v2.1",
        "schema 1",
    ),
    (
        "Pulling Schema 1 images have been deprecated and disabled by default since containerd "
        "v2.0.",
        "schema 1",
    ),
    ("toomanyrequests: You have reached your pull rate limit.", "rate limit"),
    ("write /var/lib/docker/tmp/x: no space left on device", "disk is full"),
    ("something nobody has seen", "refused"),
]  # fmt: skip  # a table


@pytest.mark.parametrize(("words", "meaning"), WORDS)
def test_the_engines_words_are_understood(words: str, meaning: str) -> None:
    found = registry.refusal(words)
    assert meaning in found.why
    assert found.fix


@pytest.mark.parametrize(
    ("version", "takes"),
    [
        ("20.10.24+dfsg1", True),
        ("25.0.3", True),
        ("26.0.0", False),
        ("28.2.2", False),
        ("dev", True),
    ],
)
def test_which_engines_take_schema_1(version: str, takes: bool) -> None:
    assert registry.takes_schema_1(version) == takes

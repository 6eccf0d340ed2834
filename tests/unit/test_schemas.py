"""Where the schemas come from. What they refuse is in tests/pipeline: it needs libvirt's RPM."""

from pathlib import Path

import pytest
from finished import RECORD, WANTED

from sheepvirt.bootstrap import schemas
from sheepvirt.core.errors import ConfigError

GRAMMAR = b"""<grammar xmlns="http://relaxng.org/ns/structure/1.0">
<start><element name="a"><empty/></element></start></grammar>"""


def test_the_schemas_come_from_the_published_rpm_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Path] = []

    def read_folder(path: Path, folder: str) -> dict[str, bytes]:
        asked.append(path)
        return dict.fromkeys(schemas.KINDS.values(), GRAMMAR) if folder == schemas.FOLDER else {}

    monkeypatch.setattr("sheepvirt.rpm.rpms.read_folder", read_folder)
    for _ in range(2):
        schemas.load(tmp_path, WANTED.repo, (RECORD,))
    assert asked == [Path("/repo/libvirt/l.rpm")]
    assert (tmp_path / ("f" * 64) / "domain.rng").read_bytes() == GRAMMAR


def test_a_repo_without_schemas_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sheepvirt.rpm.rpms.read_folder", lambda *_: {})
    with pytest.raises(ConfigError, match="none of the RPMs"):
        schemas.load(tmp_path, WANTED.repo, (RECORD,))

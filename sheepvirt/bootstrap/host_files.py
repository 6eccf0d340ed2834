"""The files that sheepvirt puts on a host: ``host/files/`` as they are, ``host/templates/`` filled.

They are read once, before any step looks at a host, so that the steps' checks take values only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class HostFiles:
    """Contents by file name."""

    files: Mapping[str, bytes]
    templates: Mapping[str, str]

    def render(self, name: str, **values: object) -> str:
        """Fill template ``name``. jinja's autoescape escapes the values for XML.

        Raises jinja2.UndefinedError: a value is missing.
        """
        return self._environment.get_template(name).render(**values).lstrip("\n")

    @cached_property
    def _environment(self) -> jinja2.Environment:
        """Compile each template once: a run renders a guest's domain many times."""
        return jinja2.Environment(
            loader=jinja2.DictLoader(self.templates),
            undefined=jinja2.StrictUndefined,
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )


def load(folder: Path) -> HostFiles:
    """Read ``files/`` and ``templates/`` of ``folder``."""
    return HostFiles(
        files={p.name: p.read_bytes() for p in _plain(folder / "files")},
        templates={p.name: p.read_text(encoding="utf-8") for p in _plain(folder / "templates")},
    )


def _plain(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())

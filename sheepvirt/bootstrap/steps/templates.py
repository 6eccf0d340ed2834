"""Render the templates in ``host/templates/``. jinja's autoescape escapes values for XML."""

from __future__ import annotations

import jinja2

from sheepvirt.core import paths


def render(name: str, **values: object) -> str:
    """Render template ``name`` with ``values``. Raises jinja2.UndefinedError: one is missing."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.HOST / "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(**values).lstrip("\n")

"""Facts of the installed RPMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.fact import Fact, Fragment, of_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from sheepvirt.bootstrap.facts.fact import Sections

# One line per RPM: name, NEVRA, SHA1 of its header, file name of its source.
_INSTALLED = Fragment(
    name="packages",
    shell=r"""
if has rpm; then
  rpm -qa --qf '%{NAME}\t%{NAME}-%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}.%{ARCH}\t'\
'%{SHA1HEADER}\t%{SOURCERPM}\n'
fi
""",
)


def _column(number: int) -> Callable[[Sections], dict[str, str]]:
    """Return a parser that maps each RPM's name to one column."""

    def parse(sections: Sections) -> dict[str, str]:
        rows = (line.split("\t") for line in sections.get(_INSTALLED.name, "").splitlines())
        return {row[0]: row[number] for row in rows if len(row) == 4}

    return parse


PACKAGES = Fact((_INSTALLED,), _column(1))
HEADERS = Fact((_INSTALLED,), _column(2))
SOURCE_RPMS = Fact((_INSTALLED,), _column(3))

# One query for all; only where it finds that not all are provided, each is asked for.
_PROVIDED = Fragment(
    name="provided",
    shell=r"""
has rpm && [ $# -gt 0 ] || exit
all=no
! rpm -q --whatprovides "$@" >/dev/null 2>&1 || all=yes
for value; do
  begin "$value"
  if [ $all = yes ]; then printf yes
  else rpm -q --whatprovides --qf 'yes' "$value" 2>/dev/null
  fi
done
""",
    arguments=lambda query: query.names,
    together=True,
)


def _provided(sections: Sections) -> frozenset[str]:
    answers = of_kind(sections, _PROVIDED.name)
    return frozenset(name for name, text in answers.items() if text.startswith("yes"))


PROVIDED = Fact((_PROVIDED,), _provided)

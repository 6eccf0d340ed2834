"""Facts of what is sheepvirt's on a host: the notes that mark it; interfaces with an address."""

from __future__ import annotations

from sheepvirt.bootstrap import marks
from sheepvirt.bootstrap.facts.fact import fixed_fact

MARKS = fixed_fact(
    "owned",
    f"""
for note in {marks.FOLDER}/*.json; do
  [ ! -r "$note" ] || {{ cat "$note"; printf '\\n'; }}
done
""",
    marks.parse,
)


def _addressed(text: str) -> frozenset[str]:
    rows = (line.split() for line in text.splitlines())
    return frozenset(row[1] for row in rows if len(row) > 1)


ADDRESSED = fixed_fact(
    "addressed", "has ip && ip -o addr show scope global 2>/dev/null\n", _addressed
)

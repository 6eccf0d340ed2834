"""Facts of what is sheepvirt's on a host: the notes that mark it."""

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

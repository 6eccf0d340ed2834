"""Init scripts' headers, as chkconfig reads them: its own line, and LSB's block."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

NO_START, NO_STOP, LAST = -1, 100, 99
LINE = re.compile(r"\s*(\S+)\s+([+-]?\d+)\s+([+-]?\d+)\s", re.ASCII)
NUMBER = re.compile(r"\s*([+-]?\d+)", re.ASCII)
DEPENDENCIES = ("Required-Start", "Should-Start", "Required-Stop", "Should-Stop")


@dataclass
class Service:
    """An init script as its header, its override file and its links have it."""

    name: str
    levels: frozenset[int] | None = None
    start: int = NO_START
    stop: int = NO_STOP
    lsb: bool = False
    provides: tuple[str, ...] = ()
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    on: frozenset[int] = frozenset()  # where it starts now, or is going to

    def wants(self, level: int) -> bool:
        """Tell whether it starts in a runlevel by default."""
        return self.levels is None or level in self.levels  # fault: an override without any is all


def parse(text: str, name: str, partial: bool = False) -> Service | None:
    """Read a header; None where chkconfig does not manage a script with it."""
    found = Service(name, provides=(name,))
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end].lstrip()
        if line.startswith("#"):
            start = end - len(line) + 1  # what follows the sign, up to the end of the whole text
            if line.startswith("### BEGIN INIT INFO"):
                found.lsb = True
            key, _, value = line[1:].strip().partition(":")
            # Numbers are read on from the colon without regard to the end of the line.
            rest = text[start + line[1:].index(":") + 1 :] if ":" in line else ""
            if not _take(found, key, value.split(), rest):
                return None
        position = end + 1
    numbered = found.start != NO_START and found.stop != NO_STOP
    if not partial and (found.levels is None or not (found.lsb or numbered)):
        return None
    return found


def _take(found: Service, key: str, words: list[str], rest: str) -> bool:
    if key == "chkconfig":
        return bool(words) and _take_line(found, rest)
    if key in ("Default-Start", "Default-Stop"):
        position = 0
        while match := NUMBER.match(rest, position):
            position = match.end()
            level = {int(match[1]) % 32}  # fault: a shift of 1 by "2345" is one by 9
            base = found.levels or frozenset()
            found.levels = base | level if key == "Default-Start" else base - level
    elif key in DEPENDENCIES:
        found.needs[key] = tuple(words)  # the last such line alone counts
    elif key == "Provides" and words:
        found.provides = tuple(words)
    return True


def _take_line(found: Service, rest: str) -> bool:
    match = LINE.match(rest)
    if not match or not (0 <= int(match[2]) <= LAST and 0 <= int(match[3]) <= LAST):
        return False
    if found.start == NO_START:
        found.start = int(match[2])
    if found.stop == NO_STOP:
        found.stop = int(match[3])
    if found.levels is None:  # an LSB block above the line has given them
        found.levels = levels_of("" if match[1] == "-" else match[1], empty=True)
    return found.levels is not None


def levels_of(text: str, empty: bool = False) -> frozenset[int] | None:
    """Read runlevels as ``--level`` has them."""
    if not re.fullmatch("[0-6]*" if empty else "[0-6]+", text):
        return None
    return frozenset(int(level) for level in text)

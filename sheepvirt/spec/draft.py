"""A spec's text while rules change it, with the original line of the user for each line.

So messages name and quote the user's lines, even after lines were added. Imports only ``units``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.spec.units import directive, goes_on, may_act

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTEXT = 3  # lines of context in a unified diff


@dataclass(frozen=True)
class Origin:
    """A line of the user's spec. An added line has the origin of the line before it."""

    number: int
    text: str


@dataclass(frozen=True, eq=False)
class Draft:
    """The pieces of a text: its lines; changelog lines without meaning for rpm form one piece."""

    pieces: tuple[str, ...]
    origins: tuple[Origin, ...]  # one for each piece

    @staticmethod
    def of(text: str) -> Draft:
        """Return the draft of a user's text."""
        pieces: list[str] = []
        origins: list[Origin] = []
        number = 1
        for run in _runs(split_lines(text)):
            pieces.append(run[0] if len(run) == 1 else "".join(run))
            origins.append(Origin(number, run[0]))
            number += len(run)
        return Draft(tuple(pieces), tuple(origins))

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)

    def edited(self, pieces: Sequence[str]) -> Draft:
        """Return the draft with ``pieces``: the new text of each piece.

        A new text may have several lines; if it is empty, the line is removed.
        """
        new: list[str] = []
        origins: list[Origin] = []
        for old, piece, origin in zip(self.pieces, pieces, self.origins, strict=True):
            lines = [piece] if piece == old else split_lines(piece)
            new += lines
            origins += [origin] * len(lines)
        return Draft(tuple(new), tuple(origins))

    def replaced(self, index: int, piece: str) -> Draft:
        """Return the draft with one piece replaced."""
        return self.edited([*self.pieces[:index], piece, *self.pieces[index + 1 :]])

    def inserted(self, after: int, lines: Sequence[str]) -> Draft:
        """Return the draft with ``lines`` added after ``after`` pieces, with their line ending."""
        last = self.pieces[after - 1]
        ending = "\r\n" if last.endswith("\r\n") else "\n"
        if last.endswith("\n"):
            return self.replaced(after - 1, last + "".join(line + ending for line in lines))
        # the spec's last line, which has no line ending
        return self.replaced(after - 1, last + ending + ending.join(lines))


def split_lines(text: str) -> list[str]:
    r"""Split only at ``\n``, as rpm does, and keep it: joining the result gives ``text``."""
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def unified_diff(old: str, new: str, name: str) -> str:
    """Return the unified diff. A common end of both texts is skipped."""
    before, after = split_lines(old), split_lines(new)
    same = 0
    for one, other in zip(reversed(before), reversed(after), strict=False):
        if one != other:
            break
        same += 1
    cut = max(same - CONTEXT, 0)
    before, after = before[: len(before) - cut], after[: len(after) - cut]
    lines = difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", n=CONTEXT)
    no_end = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + no_end for line in lines)


def _runs(lines: Sequence[str]) -> list[list[str]]:
    """Group lines: changelog lines without meaning for rpm together, all others alone.

    The changelog ends with the branch in which it began, or at a macro over several lines.
    """
    runs: list[list[str]] = []
    in_run = False
    depth = -1  # of conditions in the changelog; below 0: not in a changelog
    for line in lines:
        if depth >= 0 and not may_act(line):
            if in_run:
                runs[-1].append(line)
            else:
                runs.append([line])
            in_run = True
            continue
        runs.append([line])
        in_run = False
        word = directive(line)[0]
        if line.startswith("%") and not word:
            depth = 0 if line.split(None, 1)[0] == "%changelog" else -1
        elif depth >= 0:
            depth += (word.startswith("if")) - (word == "endif")
            depth = -1 if goes_on(line) else depth
    return runs

"""Make text from elsewhere safe to show: what a terminal would obey is written as an escape. Pure.

A host's output may have escape sequences, and characters that reorder or hide text. They never
reach the terminal or the log as they are.
"""

from __future__ import annotations

import re

# Control characters (not newline and tab), and Unicode's invisible ones: they join, reorder or
# separate text (its categories Cc, Cf, Cs, Zl and Zp).
_HIDDEN = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """Return ``text`` with each hidden character as its escape, such as ``\\x1b``."""
    return _HIDDEN.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

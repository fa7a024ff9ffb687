"""Text that others wrote (names of assets and bands, errors of the service), made safe to show to people.

Rule: what is printed reads from left to right as it is stored. Control characters could move the cursor or colour a
terminal, and Unicode's directional and invisible ones could make one name look like another ("Trojan Source",
https://trojansource.codes): each is shown as its escape in Python. Line feeds and tabs stay.
"""

from __future__ import annotations

import re

__all__ = ["printable"]

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # characters without a shape
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # spaces without width, other line ends, direction
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"  # fillers, variation selectors, byte-order mark
    "\ud800-\udfff"  # halves of characters, which no terminal's encoding has
    "\U000e0000-\U000e0fff]"  # tags
)


def printable(text: str) -> str:
    """Return a text with each character that is not seen, or that changes how others are seen, as its escape."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)

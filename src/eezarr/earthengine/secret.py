"""Texts that no message, log or error tracker shows: tokens, and a proxy's password.

Error trackers record what a frame's locals hold, by their `repr`. A secret is therefore an object without a telling
`repr` until the header is made that it is for, and that header's value hides itself, too.
"""

from __future__ import annotations

import hmac

__all__ = ["HiddenText", "Secret"]


class Secret:
    """A text that is shown to nobody, and equal to the same text of another secret.

    Args:
        text: What it keeps.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "<secret>"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def header(self, scheme: str) -> HiddenText:
        """Return the value of an Authorization header: the one place where the text goes out."""
        return HiddenText(f"{scheme} {self._text}")

    def blotted(self, text: str) -> str:
        """Return a stranger's text without the secret, should it echo it."""
        return text.replace(self._text, "[token]") if self._text else text


class HiddenText(str):
    """A text for other people's code, which takes nothing but `str`; its `repr` does not tell it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<secret>'"

"""Our warnings as a command prints them: one line each on stderr, like errors."""

from __future__ import annotations

import warnings

from eezarr.notices import EezarrWarning

__all__ = ["print_warnings"]


def print_warnings() -> None:
    """From now on, print our own warnings as `warning: …`, each once; others stay as Python prints them."""
    others = warnings.formatwarning
    told: set[str] = set()

    def text(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if issubclass(category, EezarrWarning):
            words = " ".join(str(message).split())
            is_new = words not in told
            told.add(words)
            return f"warning: {words}\n" if is_new else ""
        return others(message, category, filename, lineno, line)

    warnings.formatwarning = text

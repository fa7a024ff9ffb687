"""Our warnings as a command prints them: one line each on stderr, like errors."""

from __future__ import annotations

import warnings

from eezarr.notices import EezarrWarning

__all__ = ["print_warnings"]


def print_warnings() -> None:
    """From now on, print our own warnings as `warning: …`, each once; others stay as Python prints them."""
    others = warnings.formatwarning

    def text(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if issubclass(category, EezarrWarning):
            return f"warning: {' '.join(str(message).split())}\n"
        return others(message, category, filename, lineno, line)

    warnings.formatwarning = text

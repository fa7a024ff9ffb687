"""Standard output, where results go: text that others wrote is shown by `printable`, and any encoding will do."""

from __future__ import annotations

import io
import sys

from eezarr.printable import printable

__all__ = ["guard_standard_output"]


class _Results(io.TextIOWrapper):
    def write(self, text: str) -> int:
        super().write(printable(text))
        return len(text)


def guard_standard_output() -> None:
    """Have all that is written to standard output from now on made safe to show."""
    plain = sys.stdout
    if isinstance(plain, io.TextIOWrapper):
        sys.stdout = _Results(
            plain.buffer, encoding=plain.encoding, errors="backslashreplace", line_buffering=plain.line_buffering
        )

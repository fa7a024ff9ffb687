"""Standard output, where results go: text that others wrote is shown by `printable`, and any encoding will do."""

from __future__ import annotations

import io
import sys

from eezarr.printable import printable

__all__ = ["guard_standard_output", "is_untouched"]


class _Results(io.TextIOWrapper):
    is_untouched: bool = True
    """Whether nothing was written yet."""
    plain: io.TextIOWrapper | None = None
    """What it stands for, which others may hold still."""

    def flush(self) -> None:
        super().flush()
        if self.plain is not None:
            self.plain.flush()

    def write(self, text: str) -> int:
        self.is_untouched = False
        super().write(printable(text))
        return len(text)


def is_untouched() -> bool:
    """Return whether nothing was written to standard output since it was guarded."""
    return isinstance(sys.stdout, _Results) and sys.stdout.is_untouched


def guard_standard_output() -> None:
    """Have all that is written to standard output from now on made safe to show."""
    plain = sys.stdout
    if isinstance(plain, io.TextIOWrapper):
        sys.stdout = guarded = _Results(
            plain.buffer, encoding=plain.encoding, errors="backslashreplace", line_buffering=plain.line_buffering
        )
        guarded.plain = plain

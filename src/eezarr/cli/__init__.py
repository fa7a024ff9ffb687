"""The command line: parses and prints, decides nothing.

Results go to stdout, progress and errors to stderr. An error is one line that ends with what to do now, and the exit
code is the error's own. An import that a command does not need is not paid for.
"""

from __future__ import annotations

import os

__all__ = ["main"]


def main() -> None:
    """Run the command line; leaves with its exit code."""
    # Nothing here multiplies matrices, and NumPy's OpenBLAS starts threads that spin: 0.12 CPU s a start, measured.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from eezarr.cli.app import app
    from eezarr.cli.leaving import leave
    from eezarr.cli.results import guard_standard_output
    from eezarr.cli.warned import print_warnings

    guard_standard_output()
    print_warnings()
    try:
        app()
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        leave(end.code or 0)

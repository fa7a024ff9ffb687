"""The command line: parses and prints, decides nothing.

Results go to stdout, progress and errors to stderr. An error is one line that ends with what to do now, and the exit
code is the error's own. An import that a command does not need is not paid for.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; leaves with its exit code."""
    # Nothing here multiplies matrices, and NumPy's OpenBLAS starts threads that spin: 0.12 CPU s a start, measured.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from eezarr.cli.app import app
    from eezarr.cli.leaving import leave
    from eezarr.cli.results import guard_standard_output, is_untouched
    from eezarr.cli.warned import print_warnings

    guard_standard_output()
    print_warnings()
    try:
        app()
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
        if code and "--json" in sys.argv and sys.argv[1:2] in (["fetch"], ["samples"]) and is_untouched():
            # A wrong command line, or Ctrl-C while modules were still imported: before there was a job.
            from eezarr.cli.summary import print_end

            print_end(code)
        leave(code)

"""The command line as its users run it, but for its start: each is forked from a process that has imported all.

That saves a second of CPU a command. What starting costs and does is tested where commands are started in full:
`test_package`, the README, the pages of `docs`, and the tests that interrupt and kill.
"""

import gc
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from chaos.hurried import IMPORTED
from known import environment

_LONGEST_RUN_S = 240.0


def run_command(folder, *arguments, **variables):
    """Run `eezarr` in a folder to its end, with more variables in its environment; return a `CompletedProcess`."""
    started = multiprocessing.get_context("forkserver")
    started.set_forkserver_preload(list(IMPORTED))
    command = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory(prefix="command-") as place:
        out, err = Path(place, "out"), Path(place, "err")
        process = started.Process(
            target=_become, args=(str(folder), command, environment(**variables), str(out), str(err))
        )
        process.start()
        process.join(_LONGEST_RUN_S)
        if process.exitcode is None:
            process.kill()
            process.join()
        code = process.exitcode
        process.close()
        told, errors = (path.read_bytes().decode() if path.exists() else "" for path in (out, err))
    return subprocess.CompletedProcess(command, code, told, errors)


def _become(folder, command, variables, out, err):
    """In the fork: be what `python -m eezarr` would be there."""
    gc.freeze()  # what was imported is for good
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for number, path in ((1, out), (2, err)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, number)
        os.close(descriptor)
    from eezarr.cli import main

    sys.argv = ["eezarr", *command]
    main()

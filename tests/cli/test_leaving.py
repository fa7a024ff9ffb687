"""A command's process ends at once, and has done by then what any process does at its end."""

import os
import subprocess
import sys

import pytest

ENDING = """
import atexit, sys
from eezarr.cli import main

class Late:
    def __del__(self):
        sys.stderr.write("taken apart")

late = Late()
atexit.register(sys.stderr.write, "had its turn")
atexit.register(sys.stdout.write, "last words")
sys.argv = ["eezarr", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    ("arguments", "code", "says"), [(["--version"], 0, "eezarr 0.1.0\nlast words"), (["no-such"], 2, "last words")]
)
def test_a_process_ends_whole_but_is_not_taken_apart(arguments, code, says):
    command = [sys.executable, "-c", ENDING, *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stdout) == (code, says)
    assert ended.stderr.endswith("had its turn")

"""Runs the README: its job, its commands and its Python, in this order, against the emulator."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

if TYPE_CHECKING:
    from sybil import Example

SET_UP = ("python3 -m venv",)
"""The set-up commands: run by CI in a fresh clone, as they stand."""


def write_job(example: Example) -> None:
    """Save the job file that the commands below it name."""
    Path("job.toml").write_text(str(example.parsed), encoding="utf-8")


def run_commands(example: Example) -> None:
    """Run the commands of a block with this Python; each must succeed."""
    for line in str(example.parsed).splitlines():
        if line and not line.startswith(SET_UP):
            command = shlex.split(line, comments=True)
            assert command[0] == "eezarr", line
            subprocess.run([sys.executable, "-m", *command], check=True)


def start(namespace: dict[str, object]) -> None:
    """Work in an empty folder, against an emulator."""
    from eezarr.emulator.thread import EmulatorThread

    emulator, folder = EmulatorThread(), TemporaryDirectory()
    emulator.start()
    namespace.update(emulator=emulator, folder=folder, back=Path.cwd())
    os.chdir(folder.name)
    os.environ["EEZARR_API_URL"] = emulator.url


def stop(namespace: dict[str, object]) -> None:
    """Go back, and leave nothing behind."""
    from eezarr.emulator.thread import EmulatorThread

    os.environ.pop("EEZARR_API_URL")
    emulator, folder, back = namespace["emulator"], namespace["folder"], namespace["back"]
    assert isinstance(emulator, EmulatorThread)
    assert isinstance(folder, TemporaryDirectory)
    assert isinstance(back, Path)
    os.chdir(back)
    emulator.stop()
    folder.cleanup()


pytest_collect_file = Sybil(
    parsers=[
        CodeBlockParser("toml", write_job),
        CodeBlockParser("console", run_commands),
        PythonCodeBlockParser(),
    ],
    patterns=["README.md"],
    setup=start,
    teardown=stop,
).pytest()

"""Runs the guides: their files, commands and Python, in order, against the emulator.

A `console` block holds commands, a `toml` block the file that its first line names, a `python` block Python; a `text`
block is what the block before it printed (`...` stands for anything). Credentials are a service account's key, which
the emulator issues where the guide calls `gcloud`.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser

from eezarr.emulator.thread import EmulatorThread

if TYPE_CHECKING:
    from sybil import Example

OUTSIDE = ("GOOGLE_", "EARTHENGINE_", "EEZARR_", "CLOUDSDK_")
"""Variables of the machine that runs the tests, which the guides must not see."""


class Desk:
    """Where a guide is worked through: an empty folder, an emulator, and what was printed last."""

    def __init__(self) -> None:
        """Start the emulator."""
        self.exits = contextlib.ExitStack()
        self.folder = Path(self.exits.enter_context(TemporaryDirectory()))
        self.emulator = self.exits.enter_context(EmulatorThread())
        self.exits.enter_context(contextlib.chdir(self.folder))
        self.kept = dict(os.environ)
        self.printed = ""
        for name in [name for name in os.environ if name.startswith(OUTSIDE)]:
            del os.environ[name]
        os.environ |= {"EEZARR_API_URL": self.emulator.url, "HOME": str(self.folder), "NO_GCE_CHECK": "true"}

    def close(self) -> None:
        """Leave nothing behind."""
        os.environ.clear()
        os.environ.update(self.kept)
        self.exits.close()


def desk_of(example: Example) -> Desk:
    """Return the desk of the example's guide."""
    desk = example.namespace["desk"]
    assert isinstance(desk, Desk)
    return desk


def run_commands(example: Example) -> None:
    """Run the commands of a block; each must succeed."""
    desk = desk_of(example)
    desk.printed = ""
    for line in str(example.parsed).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        command = shlex.split(line, comments=True)
        if command[0] == "gcloud":
            project = os.environ["EARTHENGINE_PROJECT"]
            desk.emulator.write_service_account_key(command[5], project=project)
        elif command[0] == "export":
            name, _, value = command[1].partition("=")
            os.environ[name] = value
        else:
            assert command[0] == "eezarr", line
            ended = subprocess.run([sys.executable, "-m", *command], check=False, capture_output=True, text=True)
            assert ended.returncode == 0, f"{line}\n{ended.stderr}"
            desk.printed += ended.stdout


def run_python(example: Example) -> None:
    """Run a block in the guide's namespace."""
    printed = io.StringIO()
    code = "\n" * (example.line + example.parsed.line_offset) + str(example.parsed)
    with contextlib.redirect_stdout(printed):
        exec(compile(code, example.path, "exec", dont_inherit=True), example.namespace)  # noqa: S102 - ours
    desk_of(example).printed = printed.getvalue()


def write_file(example: Example) -> None:
    """Save a file under the name in its first line, a comment."""
    first, _, _ = str(example.parsed).partition("\n")
    Path(first.removeprefix("#").strip()).write_text(str(example.parsed), encoding="utf-8")


def compare(example: Example) -> None:
    """Compare what was printed last with what the guide says."""
    printed = desk_of(example).printed
    if not doctest.OutputChecker().check_output(str(example.parsed), printed, doctest.ELLIPSIS):
        raise AssertionError(f"the guide says\n{example.parsed}\nbut it printed\n{printed}")


def start(namespace: dict[str, object]) -> None:
    """Sit down at an empty desk."""
    namespace["desk"] = Desk()


def stop(namespace: dict[str, object]) -> None:
    """Clear the desk."""
    desk = namespace.pop("desk")
    assert isinstance(desk, Desk)
    desk.close()


pytest_collect_file = Sybil(
    parsers=[
        CodeBlockParser("console", run_commands),
        CodeBlockParser("toml", write_file),
        CodeBlockParser("python", run_python),
        CodeBlockParser("text", compare),
    ],
    patterns=["quickstart.md", "computations.md", "cubes.md", "samples.md"],
    setup=start,
    teardown=stop,
).pytest()

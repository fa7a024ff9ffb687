"""Commands as processes that can be watched, signalled and killed: nothing here waits but on something that happens.

Events come through a named pipe (`--events FILE` appends to it), so a signal can follow an event at once, and what
was written before a SIGKILL is read to its end after it.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from known import environment

HURRIED = Path(__file__).with_name("hurried.py")
LONGEST_RUN_S = 120.0
"""No job of the suite has more than some seconds' work."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended, by itself or not."""

    code: int
    """Exit code; the negative number of the signal that ended it."""
    out: str
    err: str
    events: tuple
    """Of `--events`, in order."""
    end_s: float
    """Seconds since the epoch."""
    signalled_s: float | None
    """When it was sent its first signal, if it was."""

    @property
    def summary(self):
        return json.loads(self.out)

    def of_kind(self, kind):
        return [event for event in self.events if event["event"] == kind]

    def stored_s(self):
        """Tiles that were said to be stored, and when."""
        return {event["tile"]: time_s(event) for event in self.of_kind("TileStored")}


def time_s(event):
    return datetime.fromisoformat(event["time"]).timestamp()


@dataclass
class Running:
    """A command that runs."""

    handle: int
    """Its pidfd: no other process is ever hit; negative when it is gone."""
    signalled_s: float | None = None
    events: list = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, number):
        """Send a signal, if the process is still there; from any thread."""
        with self._lock:
            if self.handle < 0:
                return
            try:
                signal.pidfd_send_signal(self.handle, number)
            except ProcessLookupError:
                return
            self.signalled_s = self.signalled_s or time.time()

    def forget(self):
        """The process is gone: what sends it a signal from now on is too late."""
        with self._lock:
            handle, self.handle = self.handle, -1
            if handle >= 0:
                os.close(handle)


class Forge:
    """Makes processes of the command line, one at a time.

    Args:
        longest_run_s: A run that takes longer has hung.
    """

    def __init__(self, longest_run_s=LONGEST_RUN_S):
        self._longest_run_s = longest_run_s
        self._folder = tempfile.TemporaryDirectory(prefix="forge-")
        folder = Path(self._folder.name)
        self._pipe, self._out, self._err = folder / "events", folder / "stdout", folder / "stderr"
        os.mkfifo(self._pipe)
        self._parent = subprocess.Popen(
            [sys.executable, HURRIED],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment(OPENBLAS_NUM_THREADS="1"),  # who forks has one thread
            start_new_session=True,
        )
        self._hear("ready")

    def close(self):
        with self._parent:
            self._parent.stdin.close()
            self._parent.wait(30)
        self._folder.cleanup()

    def run(self, folder, *arguments, on_event=None, on_start=None, seed=0, variables=None, **order):
        """Run a command to its end; return how it ended.

        Args:
            folder: Where it runs.
            arguments: Of `eezarr`.
            on_event: Called with the running command and each event as it comes; `fetch` only.
            on_start: Called with the running command.
            seed: Of its jitter.
            variables: More of its environment.
            order: `die_at`, `stop_at`, `limits`, `is_humble`, `is_spawned`, `compute_s`: see `hurried`.
        """
        is_telling = arguments[0] == "fetch"
        listening = os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK)
        order |= {
            "folder": str(folder),
            "arguments": [*map(str, arguments), *(["--events", str(self._pipe)] if is_telling else [])],
            "environment": variables or {},
            "out": str(self._out),
            "err": str(self._err),
            "seed": seed,
        }
        self._parent.stdin.write(json.dumps(order) + "\n")
        try:
            handle = os.pidfd_open(self._hear("pid"))
        except ProcessLookupError:
            handle = -1  # ended and reaped already
        running = Running(handle)
        try:
            if on_start:
                on_start(running)
            code = self._follow(running, listening, on_event or (lambda *_: None))
        finally:
            os.close(listening)
            running.forget()
        return Ended(
            code=code,
            out=self._out.read_text(encoding="utf-8"),
            err=self._err.read_text(encoding="utf-8"),
            events=tuple(running.events),
            end_s=time.time(),
            signalled_s=running.signalled_s,
        )

    def _follow(self, running, listening, on_event):
        """Read events as they come, until the process has ended and its last event is read; return its exit code."""
        text, deadline_s = b"", time.monotonic() + self._longest_run_s
        with selectors.DefaultSelector() as selector:
            selector.register(listening, selectors.EVENT_READ)
            selector.register(self._parent.stdout, selectors.EVENT_READ)
            has_ended = False
            while not has_ended:
                ready = selector.select(deadline_s - time.monotonic())
                if not ready:
                    running.send(signal.SIGKILL)
                    self._hear("status")
                    raise AssertionError(f"a run has hung; its last events: {running.events[-5:]}")
                has_ended = any(key.fileobj is self._parent.stdout for key, _ in ready)
                while piece := _read(listening):
                    *lines, text = (text + piece).split(b"\n")
                    for line in lines:
                        running.events.append(json.loads(line))
                        on_event(running, running.events[-1])
                if not has_ended and any(key.fd == listening for key, _ in ready) and piece == b"":
                    selector.unregister(listening)  # it closed its end: nothing more can come
        return self._hear("status")

    def _hear(self, what):
        line = self._parent.stdout.readline()
        assert line, "the parent of the commands is gone"
        return json.loads(line)[what]


def _read(descriptor):
    """What is there to read: empty at the end, None if there is nothing now."""
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return None

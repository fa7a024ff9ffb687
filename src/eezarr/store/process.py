"""A process as others can tell it: by its machine, number and start, so that a number given out again is not mistaken.

A process of another machine, or of another container, whose numbers are not ours, is told by its signs of life alone.
Where the system does not say when a process began, it counts as one of another machine.

Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html,
https://learn.microsoft.com/windows/win32/api/processthreadsapi/nf-processthreadsapi-getprocesstimes
"""

from __future__ import annotations

import os
import platform
import subprocess
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Process", "is_running", "this_process"]

_SYSTEM = platform.system()
_DEAD = ("Z", "X", "x")
"""States of Linux in which a process runs no more, though its number is not free yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of some machine."""

    pid: int
    started: str
    """When it began, in the system's own words; empty where it does not say."""
    machine: str
    """One run of one machine, and in Linux the namespace that the number counts in."""
    host: str
    """The machine's name, for people."""


def this_process() -> Process:
    """Return this process, which may be a fork of the one that imported this."""
    pid = os.getpid()
    return Process(pid=pid, started=_started(pid) or "", machine=_machine(), host=platform.node() or "this machine")


def is_running(process: Process) -> bool | None:
    """Return whether a process of this machine runs, be it stopped; None if it is another machine's."""
    if process.machine != _machine() or not process.started:
        return None
    return _started(process.pid) == process.started


def _machine() -> str:
    if _SYSTEM != "Linux":
        return _named_machine()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # Not cached: a fork can be in another namespace than its parent.
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return _named_machine()


@cache
def _named_machine() -> str:
    return f"{platform.node()} {uuid.getnode():012x}"


def _started(pid: int) -> str | None:
    """When a process began, or None if there is none or the system does not say."""
    if _SYSTEM == "Windows":
        return _started_on_windows(pid)
    if _SYSTEM == "Linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in _DEAD else fields[18]
    try:
        command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
        told = subprocess.run(  # noqa: S603 -- a number is all that is put in
            command, capture_output=True, text=True, check=False, timeout=10.0, env={**os.environ, "LC_ALL": "C"}
        ).stdout.split(maxsplit=1)
    except (OSError, subprocess.SubprocessError):
        return None
    return None if len(told) < 2 or told[0][0] in _DEAD else told[1].strip()


def _started_on_windows(pid: int) -> str | None:
    # `os.kill(pid, 0)`, the usual question, would end the process there.
    import ctypes  # noqa: PLC0415 -- one system's
    from ctypes import wintypes  # noqa: PLC0415

    query, running = 0x1000, 259
    kernel = getattr(ctypes, "WinDLL")("kernel32", use_last_error=True)  # noqa: B009 -- unknown to other systems
    kernel.OpenProcess.restype = wintypes.HANDLE
    handle = kernel.OpenProcess(query, False, wintypes.DWORD(pid))
    if not handle:
        return None
    try:
        code, times = wintypes.DWORD(), [wintypes.FILETIME() for _ in range(4)]
        told = kernel.GetProcessTimes(wintypes.HANDLE(handle), *map(ctypes.byref, times))
        if not told or not kernel.GetExitCodeProcess(wintypes.HANDLE(handle), ctypes.byref(code)):
            return None
        return str(times[0].dwHighDateTime << 32 | times[0].dwLowDateTime) if code.value == running else None
    finally:
        kernel.CloseHandle(wintypes.HANDLE(handle))

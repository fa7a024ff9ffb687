"""How a process that does nothing but fetch holds its memory.

glibc gives freed memory back and takes it again page by page: aiohttp's 256 KiB pieces on several connections cost more
CPU in page faults than in copying. With both thresholds high it is kept (receiving on 4 connections: 0.79 to 0.37 CPU
s/GB, measured). One of the two alone is a trap: it freezes the other's own adjustment, and every encoded chunk faults.

Law: it is the whole process's setting, so only a command sets it, never the library.
Source: https://man7.org/linux/man-pages/man3/mallopt.3.html
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_THRESHOLD_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Have glibc keep what is freed; does nothing where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES):
        mallopt(_M_TRIM_THRESHOLD, _THRESHOLD_BYTES)

"""Many at the same time, or one alone: what lets tiles be written side by side and a commit see none half written."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Turnstile"]


class Turnstile:
    """Admits threads together, or one alone; thread-safe, not re-entrant.

    Who waits to be alone goes before those who come later, so a steady stream of others cannot keep it out.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._waiting = 0
        self._is_alone = False

    @property
    def is_occupied(self) -> bool:
        """Whether anybody is inside."""
        return self._is_alone or self._inside > 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Be inside with others, and with nobody who is alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_alone and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be inside with nobody else."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._is_alone and not self._inside)
                self._is_alone = True
            finally:
                self._waiting -= 1
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()

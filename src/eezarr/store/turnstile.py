"""Many at the same time, or one alone: what lets tiles be written side by side and a commit see none half written."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Turnstile"]


class Turnstile:
    """Admits threads together, or one alone, in the order they came; thread-safe, not re-entrant.

    So neither can a steady stream of those who may be together keep out who wants to be alone, nor the other way round.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: deque[object] = deque()
        self._inside = 0
        self._is_alone = False

    @property
    def is_occupied(self) -> bool:
        """Whether anybody is inside."""
        return self._is_alone or self._inside > 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Be inside with others, and with nobody who is alone."""
        with self._changed:
            self._stand_in_line(lambda: not self._is_alone)
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
            self._stand_in_line(lambda: not self._is_alone and not self._inside)
            self._is_alone = True
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()

    def _stand_in_line(self, may_enter: Callable[[], bool]) -> None:
        """Wait until all who came before are in, or gone, and the way is free."""
        turn = object()
        self._line.append(turn)
        try:
            self._changed.wait_for(lambda: self._line[0] is turn and may_enter())
        finally:
            self._line.remove(turn)
            self._changed.notify_all()  # the next one may be allowed in beside

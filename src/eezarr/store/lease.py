"""The writer lease: the record in a store of who is writing it now.

    .eezarr/writer/7.json           the claim of the seventh writer: made once, by one of all that try, never changed
    .eezarr/writer/7-<run>.json     its last sign of life, which it alone writes; at the end it says `released`

The newest claim holds the store. To take a store over is to make the next claim, which one contender does: object
stores create an object only if there is none (`If-None-Match`), file systems link a file to a name only if it is free.
It needs neither locks, which cluster file systems may lack, nor clocks. A run has lost its lease once there is a claim
after its own, or its own is gone; the new holder deletes what is older, oldest first, and a run looks for the next one
before it looks for its own.

Rule: a run looks before every flush of marks, before the end is noted, and before each file is put in place; on object
stores before each tile that it writes more than a second after the last look. So a process that was stopped and goes on
after its store was taken changes nothing on disk but temporary files, and in an object store at most the objects whose
requests it was stopped in; they are the same pixels unless the new holder began another store there (`--overwrite`),
whose marks do not count for it: a store's marks are bound to its birth (see `record`).

A claim is live while its process lives, where that can be seen, or for `STALE_S` after its last sign of life. One of
this very process is live until it is released. A sign of life from the future counts, as clocks differ.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from zarr.storage import LocalStore

from eezarr.errors import StoreError
from eezarr.store.clearing import clear_remains
from eezarr.store.process import Process, is_running, this_process
from eezarr.store.record import OWN_PREFIX, RECORD_KEY

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from eezarr.store.location import Location

__all__ = ["BEAT_S", "STALE_S", "WRITER_PREFIX", "WriterLease", "is_held"]

WRITER_PREFIX = f"{OWN_PREFIX}/writer"
"""The key prefix of claims and signs of life."""

BEAT_S = 10.0
"""Seconds between two signs of life."""
STALE_S = 30.0
"""Seconds after which a sign of life is none any more."""
_LOOK_S = 1.0
"""Seconds for which a look at an object store is good for its next tiles."""
_ATTEMPTS = 10

_held: set[str] = set()
"""Runs of this process that hold a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    number: int
    run: str
    kind: str
    """`exclusive`: of one that writes."""
    process: Process
    since_s: float
    """Seconds since the epoch."""
    seen_s: float
    """The last sign of life."""
    is_released: bool

    @property
    def key(self) -> str:
        return f"{WRITER_PREFIX}/{self.number}.json"

    @property
    def life_key(self) -> str:
        return f"{WRITER_PREFIX}/{self.number}-{self.run}.json"

    def is_live(self, now_s: float) -> bool:
        if self.is_released:
            return False
        if self.process == this_process():
            return self.run in _held
        is_here = is_running(self.process)
        return now_s - self.seen_s < STALE_S if is_here is None else is_here

    def describe(self, now_s: float) -> str:
        since = datetime.fromtimestamp(self.since_s, UTC).isoformat(sep=" ", timespec="seconds")
        return (
            f"process {self.process.pid} on {self.process.host} since {since} "
            f"(last sign of life {max(0.0, now_s - self.seen_s):.0f} s ago)"
        )


def is_held(location: Location, *, clock: Callable[[], float] = time.time) -> bool:
    """Return whether a live run holds a store now.

    Raises:
        StoreError: If the storage fails.
    """
    newest = _newest(location.own)
    return newest is not None and newest.is_live(clock())


class WriterLease:
    """The right to write a store, as long as nobody takes it over; made by `take`. Thread-safe."""

    def __init__(
        self, location: Location, claim: _Claim, clock: Callable[[], float], nodes: tuple[str, ...] = ()
    ) -> None:
        self._location = location
        self._nodes = nodes
        self._claim = claim
        self._clock = clock
        self._writing = threading.Lock()
        self._beaten_s = self._looked_s = clock()
        self._looked_ticks = time.monotonic()
        store = location.own.store
        self._root = store.root if isinstance(store, LocalStore) else None
        self._identity = self._found_identity()

    @classmethod
    def take(
        cls,
        location: Location,
        *,
        nodes: tuple[str, ...] = (),
        steal: bool = False,
        process: Process | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Claim a store for a run of this process.

        Args:
            location: The store; it need not exist.
            nodes: Names of what the run writes at the top; cleared away should the store be deleted meanwhile.
            steal: Whether to take it from a live run, which then stops.
            process: Who claims; None: this process.
            clock: Seconds since the epoch.

        Raises:
            StoreError: If a live run holds it, or the storage fails.
        """
        if location.commits is not None:
            location.commits.prepare()
        own, run, robbed = location.own, secrets.token_hex(8), None
        for _ in range(_ATTEMPTS):
            newest, now_s = _newest(own), clock()
            if newest is not None and newest.is_live(now_s):
                # Of two that take it from one run, the slower must not go on to take it from the faster.
                robbed = robbed or newest.run
                if not steal or newest.run != robbed:
                    raise _refused(location.url, newest, now_s)
            claim = _Claim(
                number=1 if newest is None else newest.number + 1,
                run=run,
                kind="exclusive",
                process=process or this_process(),
                since_s=now_s,
                seen_s=now_s,
                is_released=False,
            )
            _held.add(run)  # before it can be read: a claim of this process that nobody holds counts as released
            is_won = False
            try:
                is_won = own.create(claim.key, _encoded(claim)) and max(_numbers(own), default=0) == claim.number
            finally:
                if not is_won:
                    _held.discard(run)
            if is_won:
                with suppress(StoreError):  # they count for nothing; the next writer deletes them
                    _forget_before(own, claim.number)
                return cls(location, claim, clock, nodes)
        raise StoreError(
            f"{location.url} is being opened by several runs at the same time.", hint="Run the command again."
        )

    def check(self) -> None:
        """Check that the store is still this run's.

        Raises:
            StoreError: If another run took it, it was deleted, or the storage fails.
        """
        own, claim = self._location.own, self._claim
        # Two looks at the file system, some microseconds: it is asked before every file.
        if (
            self._root is not None
            and not _exists(self._root / self._next_key)
            and self._identity == self._found_identity() is not None
        ):
            return
        looked_s, ticks = self._clock(), time.monotonic()
        taken = own.get(self._next_key)
        mine = own.get(claim.key)
        if taken is None and mine is not None and _run_of(mine) == claim.run:
            self._identity = self._found_identity()
            self._looked_s, self._looked_ticks = looked_s, ticks
            return
        raise self._lost()

    def check_soon(self) -> None:
        """Check that the store is still this run's, unless that was seen a moment ago.

        Raises:
            StoreError: As `check`.
        """
        if self._root is None:
            # Two clocks: one goes on while a machine sleeps, the other is never set.
            elapsed_s = abs(self._clock() - self._looked_s), time.monotonic() - self._looked_ticks
            if max(elapsed_s) < _LOOK_S:
                return
        self.check()

    def renew(self) -> None:
        """Give a sign of life, if one is due; `check` first.

        Raises:
            StoreError: As `check`.
        """
        self.check()
        with self._writing:
            if self._claim.run in _held and not 0 <= self._clock() - self._beaten_s < BEAT_S:
                self._beaten_s = self._clock()
                self._location.own.put(self._claim.life_key, _life(self._beaten_s, is_released=False))

    def release(self) -> None:
        """Give the store back, if it is still there.

        Raises:
            StoreError: If the storage fails; the lease then ends with the process, or by its age.
        """
        with self._writing:
            if self._claim.run not in _held:
                return
            _held.discard(self._claim.run)
            own = self._location.own
            if own.get(self._claim.key) is not None:
                own.put(self._claim.life_key, _life(self._clock(), is_released=True))

    @property
    def _next_key(self) -> str:
        return f"{WRITER_PREFIX}/{self._claim.number + 1}.json"

    def _found_identity(self) -> tuple[int, int] | None:
        """Which file the claim is: what lies there after the store was deleted and made again is another."""
        if self._root is None:
            return None
        try:
            found = (self._root / self._claim.key).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _lost(self) -> StoreError:
        url, newest, now_s = self._location.url, _newest(self._location.own), self._clock()
        if newest is not None and newest.run != self._claim.run:
            return StoreError(
                f"{url} was taken over by {newest.describe(now_s)}; this run stopped.",
                hint="Leave it to that run; what this one stored and marked before is there.",
            )
        if self._location.commits is None and self._location.get(RECORD_KEY) is None:
            clear_remains(self._location, self._nodes)
        return StoreError(
            f"{url} was deleted or moved while this run wrote to it; this run stopped.",
            hint="Run the same command again: it begins anew.",
        )


def _refused(url: str, claim: _Claim, now_s: float) -> StoreError:
    return StoreError(
        f"{url} is being written by {claim.describe(now_s)}.",
        hint="Wait for that run or stop it; --steal (in Python: steal=True) takes the store over, and that run stops.",
    )


def _newest(own: Location) -> _Claim | None:
    """The newest claim; one that cannot be read counts as released."""
    if not own.may_exist:
        return None
    for number in sorted(_numbers(own), reverse=True):
        body = own.get(f"{WRITER_PREFIX}/{number}.json")
        if body is not None:
            return _decoded(own, number, body)
    return None


def _numbers(own: Location) -> list[int]:
    names = (Path(key).stem for key in own.keys(f"{WRITER_PREFIX}/"))
    return [int(name) for name in names if name.isdecimal()]


def _forget_before(own: Location, number: int) -> None:
    """Delete older claims, oldest first."""
    old: list[tuple[int, str]] = []
    for key in own.keys(f"{WRITER_PREFIX}/"):
        first = Path(key).name.partition(".")[0].partition("-")[0]
        if first.isdecimal() and int(first) < number:
            old.append((int(first), key))
    for _, key in sorted(old):
        own.remove(key)


def _encoded(claim: _Claim) -> bytes:
    facts = {
        "run": claim.run,
        "kind": claim.kind,
        "process": asdict(claim.process),
        "since": datetime.fromtimestamp(claim.since_s, UTC).isoformat(),
    }
    return json.dumps(facts, indent=1).encode()


def _life(now_s: float, *, is_released: bool) -> bytes:
    seen = datetime.fromtimestamp(now_s, UTC).isoformat()
    return json.dumps({"seen": seen, "released": is_released}).encode()


def _decoded(own: Location, number: int, body: bytes) -> _Claim:
    try:
        facts = json.loads(body)
        told = facts["process"]
        process = Process(
            pid=int(told["pid"]), started=str(told["started"]), machine=str(told["machine"]), host=str(told["host"])
        )
        since_s = datetime.fromisoformat(facts["since"]).timestamp()
        run, kind = str(facts["run"]), str(facts["kind"])
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError):
        nobody = Process(pid=0, started="", machine="", host="")
        return _Claim(number=number, run="", kind="", process=nobody, since_s=0.0, seen_s=0.0, is_released=True)
    seen_s, is_released = since_s, False
    life = own.get(f"{WRITER_PREFIX}/{number}-{run}.json")
    try:
        if life is not None:
            beat = json.loads(life)
            seen_s, is_released = datetime.fromisoformat(beat["seen"]).timestamp(), beat["released"] is True
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError):
        pass
    return _Claim(
        number=number,
        run=run,
        kind=kind,
        process=process,
        since_s=since_s,
        seen_s=max(seen_s, since_s),
        is_released=is_released,
    )


def _run_of(body: bytes) -> str | None:
    try:
        return str(json.loads(body)["run"])
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return None


def _exists(path: Path | os.PathLike[str]) -> bool:
    try:
        Path(path).stat()
    except OSError:
        return False
    return True

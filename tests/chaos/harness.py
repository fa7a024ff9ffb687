"""Runs one drawn job through all its accidents to its end, and requires of it what a calm run gives.

What is required, and of whom:

1. Exit code 0 only with every mark set and every pixel right; any other end is one of those that faults can cause.
2. After each end, however it came: what is marked is there, whole (its checksum) and right (the world's own pixels).
3. The next run asks for no tile that is marked. Of the tiles that a killed run said to be stored, only those of its
   last second can be unmarked; a run that was interrupted loses none (interrupted twice, it leaves as if killed).
4. At the end: the same arrays, types, objects and pixels as a calm run's store, and the world's own.
"""

import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr

import eezarr as package
from chaos.draws import MIXED, MIXED_BANDS, NDVI, SCENE_BANDS
from chaos.worlds import Watch, WatchedWorld, truth
from eezarr.emulator.thread import EmulatorThread
from eezarr.errors import ForeignStore, StoreError
from eezarr.store import open_store
from known import CONFIGS, SCENE_NAME

FLUSH_S = 1.0
"""Marks are durable after so long, says the contract."""
SLACK_S = 0.5
"""For the flush itself and the clock of a busy machine."""
MOST_RUNS = 25
ENDS = {
    "forced": {-signal.SIGKILL, 130, 143, -signal.SIGINT, -signal.SIGTERM},
    "faulty": {1, 6},  # tiles missing; or nothing could be had at all
}
BEYOND_SLOTS = 4
"""Tiles in hand beyond the requests at a time: those being written."""


@dataclass
class Account:
    """What happened in some jobs: the counts of a report."""

    jobs: int = 0
    runs: int = 0
    tiles: int = 0
    ends: Counter = field(default_factory=Counter)
    accidents: Counter = field(default_factory=Counter)
    faults: Counter = field(default_factory=Counter)
    statuses: Counter = field(default_factory=Counter)
    splits: int = 0
    kills: int = 0
    """SIGKILLs that found a job at work."""
    in_flight: int = 0
    """Tiles that were asked for and not stored when a run was killed."""
    lost: int = 0
    """Tiles that were stored but not durably marked when a run was killed."""
    refetched: int = 0
    """Tiles that a run asked for although an earlier one had: never one that was marked."""
    refetched_after_kill: int = 0
    """Of these, the ones that the run before, which was killed, had in flight or had stored in its last second."""
    oldest_lost_s: float = 0.0
    most_lost: int = 0
    slowest_stop_s: float = 0.0
    """From a signal that can be caught to the end."""
    spawned: int = 0
    """Runs in processes from scratch."""
    tokens: int = 0
    expiries: int = 0
    litter: int = 0
    """Temporary files that kills left in stores."""

    def add(self, other):
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(value)
            else:
                is_peak = name.startswith(("oldest", "most", "slowest"))
                setattr(self, name, max(mine, value) if is_peak else mine + value)


class Service:
    """A watched world, served; one for many jobs."""

    def __init__(self):
        self.watch = Watch()
        # Under the mask there is noise that depends on place alone: who guesses there is caught.
        self.world = WatchedWorld(self.watch, under_mask="noise")
        # What the world makes once (seconds on a busy machine) shall not look like a service that stalls.
        place = {"crs": "EPSG:32610", "transform": (10, 0, 560_000, 0, -10, 4_140_000), "height": 64, "width": 64}
        for source, bands in ((SCENE_NAME, SCENE_BANDS), (MIXED, MIXED_BANDS), (NDVI, ["ndvi"])):
            truth(self.world, source, bands, **place)

    def serve(self, settings):
        self.watch.set(None)
        emulator = EmulatorThread(world=self.world)
        emulator.configure(settings)
        return emulator


class Trial:
    """One drawn job in a folder of its own."""

    def __init__(self, drawn, folder, forge, service):
        self.drawn, self.folder, self.forge, self.service = drawn, Path(folder), forge, service
        self.output = self.folder / "out.zarr"
        self.account = Account(jobs=1)
        self.asked, self.owed, self.owed_to_kill = set(), set(), set()
        self.expected = None
        (self.folder / "job.toml").write_text(drawn.toml, encoding="utf-8")
        (self.folder / "ndvi.json").write_text((CONFIGS / "ndvi.json").read_text(encoding="utf-8"), encoding="utf-8")

    def run(self):
        drawn = self.drawn
        with self.service.serve(drawn.service) as emulator:
            variables = {"EEZARR_API_URL": emulator.url}
            if drawn.has_key:
                key = emulator.write_service_account_key(self.folder / "key.json")
                variables["GOOGLE_APPLICATION_CREDENTIALS"] = str(key)
            marked, seen = frozenset(), 0
            for number in range(MOST_RUNS):
                accident = drawn.accidents[number] if number < len(drawn.accidents) else None
                ended = self._run_once(number, accident, emulator, variables)
                asked = list(emulator.stats().recent)
                assert len(asked) < 1000, "the emulator remembers no more requests"
                marked = self._account_for(ended, accident, asked[seen:], marked)
                seen = len(asked)
                if ended.code == 0:
                    break
            assert ended.code == 0, f"not complete after {MOST_RUNS} runs: {ended.err}"
            self._require_modest(emulator)
            self._require_verified()
            self._require_as_calm(emulator, variables)
        return self.account

    def _run_once(self, number, accident, emulator, variables):
        drawn, counts = self.drawn, Counter()
        self.service.watch.set(None)

        def strike(running):
            running.send(accident.signal)
            if accident.is_doubled:
                running.send(accident.signal)

        def on_event(running, event):
            counts[event["event"]] += 1
            if accident and event["event"] == accident.at and counts[accident.at] == accident.number:
                strike(running)
            if event["event"] == "TileStored" and counts["TileStored"] == drawn.expires_at:
                emulator.expire_tokens()
                self.account.expiries += 1

        def on_start(running):
            if accident and accident.at == "read":
                self.service.watch.set(lambda reads: strike(running) if reads == accident.number else None)

        return self.forge.run(
            self.folder,
            "fetch", "job.toml", "--json", "--quiet",
            "--max-concurrency", drawn.concurrency[min(number, len(drawn.concurrency) - 1)],
            on_event=on_event,
            on_start=on_start,
            seed=drawn.seed + number,
            variables=variables,
            is_spawned=drawn.is_spawned and not (accident and accident.at == "write"),
            die_at=accident.number if accident and accident.at == "write" else None,
        )  # fmt: skip

    # What is required after each run.

    def _account_for(self, ended, accident, asked, marked):
        account = self.account
        account.runs += 1
        account.spawned += self.drawn.is_spawned
        account.ends[ended.code] += 1
        if accident and (ended.signalled_s or ended.code == -signal.SIGKILL):
            account.accidents[f"{signal.Signals(accident.signal).name} at {accident.at}"] += 1
        account.splits += len(ended.of_kind("TileSplit"))
        self._require_known_end(ended, accident)
        store = self._opened()
        now = frozenset(store.stored()) if store else frozenset()
        assert marked <= now, f"marks were lost: {sorted(marked - now)}"
        tiles = {_tile_of(store.plan, request) for request in asked} - {None} if store else set()
        assert not tiles & marked, f"marked tiles were asked for again: {sorted(tiles & marked)}"
        again = tiles & self.asked
        assert again <= self.owed, f"asked for again without need: {sorted(again - self.owed)}"
        account.refetched += len(again)
        account.refetched_after_kill += len(again & self.owed_to_kill)
        self.asked |= tiles
        stored_s = ended.stored_s()
        lost = stored_s.keys() - now
        in_flight = tiles - stored_s.keys() - {event["tile"] for event in ended.of_kind("TileFailed")}
        self.owed |= tiles - now
        self.owed_to_kill = set()
        if ended.code == -signal.SIGKILL or (accident and accident.is_doubled and ended.signalled_s):
            self.owed_to_kill = in_flight | lost
            self._account_for_kill(ended, in_flight, stored_s, lost)
        else:
            assert not lost, f"an end by {ended.code} lost tiles that were stored: {sorted(lost)}"
        if ended.code in (130, 143):
            account.slowest_stop_s = max(account.slowest_stop_s, ended.end_s - ended.signalled_s)
        if store:
            self._require_right(store, now)
        if ended.code in (0, 1):
            self._require_honest(ended, store, now, marked)
        return now

    def _account_for_kill(self, ended, in_flight, stored_s, lost):
        account = self.account
        killed_s = ended.signalled_s or ended.end_s
        account.kills += bool(in_flight or stored_s)
        account.in_flight += len(in_flight)
        account.lost += len(lost)
        account.most_lost = max(account.most_lost, len(lost))
        slots = max(self.drawn.concurrency) + BEYOND_SLOTS
        assert len(in_flight) <= slots, f"{len(in_flight)} tiles were in flight, of at most {slots}"
        for tile in lost:
            age_s = killed_s - stored_s[tile]
            account.oldest_lost_s = max(account.oldest_lost_s, age_s)
            assert age_s <= FLUSH_S + SLACK_S, f"tile {tile} was stored {age_s:.2f} s before the kill, and not marked"

    def _require_known_end(self, ended, accident):
        allowed = {0, *ENDS["faulty"]}
        if accident:
            allowed |= ENDS["forced"]
        if self.drawn.service["faults"]["rates"]["unauthenticated"]:
            allowed.add(3)  # twice in a row: the token is taken for refused
        assert ended.code in allowed, (ended.code, ended.err)
        assert "Traceback" not in ended.err or ended.code < 0, ended.err

    def _require_honest(self, ended, store, now, before):
        """The summary says what is so."""
        summary = ended.summary
        total = store.plan.tile_count
        assert summary["complete"] == (len(now) == total) == (ended.code == 0)
        failed = {failure["tile"] for failure in summary["failures"]}
        assert failed == set(range(total)) - now
        assert summary["tiles"] == {
            "total": total,
            "written": len(now - before),
            "resumed": len(before),
            "failed": len(failed),
        }

    def _opened(self):
        try:
            return open_store(self.output)
        except (ForeignStore, StoreError) as error:
            if "no pixels that eezarr stored" in str(error) or "no store at" in str(error):
                return None  # it died before there was one
            raise

    def _require_right(self, store, marked):
        """Whole by their checksums, and right by the world."""
        plan = store.plan
        self.account.tiles = plan.tile_count
        assert tuple(band.name for band in plan.bands) == self.drawn.bands
        assert list(store.verify()) == []
        if self.expected is None:
            grid = plan.grid
            self.expected = truth(
                self.service.world,
                self.drawn.source,
                self.drawn.bands,
                crs=grid.crs,
                transform=tuple(grid.transform)[:6],
                height=grid.height,
                width=grid.width,
            )
        found = self._pixels(self.output)
        for index in marked:
            tile = plan.tile(index)
            for band in tile.bands:
                place = (tile.window.rows, tile.window.cols)
                require_equal(found[band.name][place], self.expected[band.name][place], f"{tile}, {band.name}")

    def _pixels(self, path):
        group = zarr.open_group(path, mode="r")
        if self.drawn.is_stacked:
            assert tuple(group["band"][:]) == self.drawn.bands
            return dict(zip(self.drawn.bands, group["pixels"][:], strict=True))
        return {band: group[band][:] for band in self.drawn.bands}

    # What is required at the end.

    def _require_modest(self, emulator):
        """No fault was met with more than it asks for."""
        stats = emulator.stats()
        self.account.faults.update(stats.faults)
        for route, statuses in stats.requests.items():
            for status, count in statuses.items():
                self.account.statuses[f"{route} {status}"] += count
        self.account.tokens = stats.tokens_issued
        refusals = stats.faults.get("unauthenticated", 0)
        if self.drawn.has_key:
            assert stats.tokens_issued <= self.account.runs + self.account.expiries + refusals
        else:
            assert stats.tokens_issued == 0

    def _require_verified(self):
        ended = self.forge.run(self.folder, "verify", "out.zarr", "--json")
        assert (ended.code, ended.summary["altered"]) == (0, []), ended.err
        assert ended.summary["checked"] == self.account.tiles
        secret = b"ya29."
        for path in (self.folder / "stdout", self.folder / "stderr"):
            assert not path.exists() or secret not in path.read_bytes()

    def _require_as_calm(self, emulator, variables):
        """The same as a run without faults, limits or accidents, and as the world has it."""
        calm = {"quota": {"max_concurrency": 100, "max_requests_per_second": 10_000.0}, "latency": {"base_s": 0.0}}
        rates = dict.fromkeys(self.drawn.service["faults"]["rates"], 0.0)
        emulator.configure(calm | {"faults": {"rates": rates, "rules": []}})
        with_key = variables.get("GOOGLE_APPLICATION_CREDENTIALS")
        job = package.Job.load(self.folder / "job.toml").replaced(
            output=str(self.folder / "calm.zarr"), api_url=emulator.url
        )
        if "limits" in self.drawn.service:  # it would have to learn the limit again
            emulator.configure({"limits": {name: {"max_bytes": 1 << 25} for name in self.drawn.service["limits"]}})
        assert package.fetch(job, credentials=with_key).is_complete
        stormy, calmly = self._pixels(self.output), self._pixels(self.folder / "calm.zarr")
        for band in self.drawn.bands:
            assert stormy[band].dtype == calmly[band].dtype == self.expected[band].dtype
            require_equal(stormy[band], calmly[band], f"{band} of the calm run")
            require_equal(stormy[band], self.expected[band], f"{band} of the world")
        objects, litter = _objects(self.output)
        self.account.litter = litter
        assert objects == _objects(self.folder / "calm.zarr")[0]


def require_equal(found, expected, what):
    """Bit for bit: NaN is NaN, and -0.0 is not 0.0."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), what
    same = np.ascontiguousarray(found).view(np.uint8) == np.ascontiguousarray(expected).view(np.uint8)
    assert same.all(), f"{what}: {np.count_nonzero(~same)} of {same.size} bytes differ"


def _objects(store):
    """Names of all stored objects but marks, and how many temporary files lie beside them."""
    names = {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}
    kept = {name for name in names if not name.endswith(".partial")}
    return {name for name in kept if not name.startswith(".eezarr" + os.sep)}, len(names) - len(kept)


def _tile_of(plan, request):
    """The tile that a request was made for, whole or in part."""
    origin, asked = plan.grid.transform, request.transform
    row, col = round((asked[5] - origin[5]) / origin[4]), round((asked[2] - origin[2]) / origin[0])
    place = row // plan.tile_shape.height * plan.cols + col // plan.tile_shape.width
    names = [tuple(band.name for band in group) for group in plan.request_bands]
    # One pixel is asked for to learn a type; it is no tile's.
    if request.bands not in names or (request.width, request.height) == (1, 1):
        return None
    return place * plan.band_groups + names.index(request.bands)

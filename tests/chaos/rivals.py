"""Two processes on one store at random: started, killed, stopped and continued, with --overwrite and with --steal.

    python tests/chaos/rivals.py [--trials 200] [--seed 0]

The jobs are of two plans whose stored objects have the same names and other pixels. What is required:

1. A run ends with 0 or 5, or as it was killed.
2. When the last run that ended well is followed by none but such as were refused or displaced, the store is whole, and
   its job's.
3. At the end, whatever befell it: what is marked is whole and right, the job of the store's plan completes it, and
   `verify` finds every pixel as the world has it.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

SIDE, CHUNK = 128, 32
BANDS = ("B2", "B3")
SHIFTS = {"one": 0, "other": 640}
"""How far east each job's grid lies."""
STEPS = 3
"""Runs of each rival."""
WATCH_S = 5.0
"""After so long whoever is stopped is continued, also where both are."""
KILLED = -signal.SIGKILL


def transform(job):
    return [10, 0, 520_000 + SHIFTS[job], 0, -10, 4_180_000]


def write_jobs(folder, output):
    from known import SCENE

    for job in SHIFTS:
        (folder / f"{job}.toml").write_text(
            f'output = "{output}"\nproject = "my-project"\n[image]\nasset = "{SCENE}"\nbands = {list(BANDS)}\n'
            f'[grid]\ncrs = "EPSG:32610"\ntransform = {transform(job)}\nshape = [{SIDE}, {SIDE}]\n'
            f"[store]\nchunk = {CHUNK}\n[fetch]\ntile = [{CHUNK}, {CHUNK}]\nmax_concurrency = 3\n",
            encoding="utf-8",
        )


@dataclass(kw_only=True)
class Run:
    """One run of a rival, and what is to befall it."""

    job: str
    options: tuple
    at: int | None
    """The stored tile at which it is struck, from 1."""
    write: int | None
    """Or the write, from 0."""
    number: int
    """By which signal."""
    code: int | None = None
    end_s: float = 0.0
    err: str = ""


@dataclass
class Account:
    """What happened: the counts of a report."""

    trials: int = 0
    ends: Counter = field(default_factory=Counter)
    messages: Counter = field(default_factory=Counter)
    whole: int = 0
    """Trials after which the store was whole before the last calm run."""

    def add(self, other):
        self.trials += other.trials
        self.whole += other.whole
        self.ends.update(other.ends)
        self.messages.update(other.messages)


class RivalTrial:
    """Two rivals for one store, drawn from one number."""

    def __init__(self, seed, folder, forges, service, *, output=None, variables=None):
        self.rng = np.random.default_rng([seed, 19])
        self.folder, self.forges, self.service = Path(folder), forges, service
        self.output = output or str(self.folder / "out.zarr")
        self.variables = variables or {}
        self.account = Account(trials=1)
        self.running, self.errors = {}, []
        write_jobs(self.folder, self.output)
        self.plans = [[self._drawn() for _ in range(STEPS)] for _ in forges]

    def _drawn(self):
        rng = self.rng
        options = tuple(option for option, share in (("--overwrite", 0.3), ("--steal", 0.5)) if rng.random() < share)
        number = int(rng.choice([0, signal.SIGKILL, signal.SIGSTOP], p=[0.35, 0.25, 0.4]))
        is_at_write = bool(rng.random() < 0.5) and "://" not in self.output
        return Run(
            job=str(rng.choice(list(SHIFTS), p=[0.6, 0.4])),
            options=options,
            at=int(rng.integers(1, 16)) if number and not is_at_write else None,
            write=int(rng.integers(0, 50)) if number and is_at_write else None,
            number=number,
        )

    def run(self):
        with self.service.serve({"latency": {"base_s": 0.03, "jitter": 0.6}}) as emulator:
            self.variables |= {"EEZARR_API_URL": emulator.url}
            threads = [threading.Thread(target=self._rival, args=(number,)) for number in range(len(self.forges))]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(WATCH_S / len(threads))
                self._continue_all()
            if self.errors:
                raise self.errors[0]
            runs = sorted((run for runs in self.plans for run in runs), key=lambda run: run.end_s)
            self._require_known_ends(runs)
            self._require_whole(runs)
            self._require_right(is_whole=False)
            job = self._holder() or "one"
            ended = self.forges[0].run(self.folder, "fetch", f"{job}.toml", "--quiet", variables=self.variables)
            assert ended.code == 0, ended.err
            self._require_right(is_whole=True)
            ended = self.forges[0].run(self.folder, "verify", self.output, "--json", variables=self.variables)
            assert (ended.code, ended.summary["altered"]) == (0, []), ended.err
        return self.account

    def _rival(self, number):
        forge = self.forges[number]
        try:
            for step, run in enumerate(self.plans[number]):
                stored = [0]

                def on_event(running, event, run=run, stored=stored):
                    stored[0] += event["event"] == "TileStored"
                    if event["event"] == "TileStored" and stored[0] == run.at:
                        running.send(run.number)

                def on_start(running):
                    self.running[number] = running

                order = {"die_at": run.write} if run.number == signal.SIGKILL else {"stop_at": run.write}
                ended = forge.run(
                    self.folder, "fetch", f"{run.job}.toml", "--quiet", *run.options,
                    on_event=on_event, on_start=on_start, seed=step, variables=self.variables, **order,
                )  # fmt: skip
                run.code, run.end_s, run.err = ended.code, ended.end_s, ended.err
                self._continue_all()
        except Exception as error:  # noqa: BLE001 - it is the trial's
            self.errors.append(error)

    def _continue_all(self):
        for running in list(self.running.values()):
            running.send(signal.SIGCONT)

    def _require_known_ends(self, runs):
        for run in runs:
            self.account.ends[run.code] += 1
            assert run.code in {0, 5, KILLED}, (run.code, run.err)
            assert "Traceback" not in run.err, run.err
            if run.code == 5:
                known = ("is being written by", "was taken over by", "another plan", "by several runs", "Cannot")
                told = next((text for text in known if text in run.err), None)
                assert told, run.err
                self.account.messages[told] += 1

    def _require_whole(self, runs):
        """The last good end was the store's last change: then the store is whole, and that run's."""
        good = [position for position, run in enumerate(runs) if run.code == 0]
        if good and all(run.code == 5 for run in runs[good[-1] + 1 :]):
            from eezarr.store import open_store

            job = runs[good[-1]].job
            assert self._holder() == job, f"{self._holder()} where {job} had ended well"
            assert open_store(self.output).is_complete, [(run.job, run.options, run.code) for run in runs]
            self.account.whole += 1

    def _opened(self):
        from eezarr.errors import ForeignStore, StoreError
        from eezarr.store import open_store

        try:
            return open_store(self.output)
        except (ForeignStore, StoreError) as error:
            if "no pixels that eezarr stored" in str(error) or "no store at" in str(error):
                return None
            raise

    def _holder(self):
        """Whose the store is."""
        store = self._opened()
        if store is None:
            return None
        return next(job for job in SHIFTS if transform(job) == list(tuple(store.plan.grid.transform)[:6]))

    def _require_right(self, *, is_whole):
        from chaos.harness import require_equal
        from chaos.worlds import truth
        from eezarr.store import open_store
        from known import SCENE_NAME

        job = self._holder()
        if job is None:
            assert not is_whole
            return
        place = {"crs": "EPSG:32610", "transform": transform(job), "height": SIDE, "width": SIDE}
        expected = truth(self.service.world, SCENE_NAME, BANDS, **place)
        store = open_store(self.output)
        assert list(store.verify()) == []
        assert store.is_complete or not is_whole
        for index in store.stored():
            tile = store.plan.tile(index)
            for band, block in zip(tile.bands, store.read(tile), strict=True):
                require_equal(block, expected[band.name][tile.window.rows, tile.window.cols], f"{tile}, {band.name}")


def main() -> None:
    """Parse the options, run the trials, and print the account."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first trial; the next one's is one more")
    options = parser.parse_args()
    from chaos.harness import Service
    from chaos.processes import Forge

    forges, service, total, broken = [Forge(), Forge()], Service(), Account(), []
    start_s = time.perf_counter()
    for seed in range(options.seed, options.seed + options.trials):
        folder = tempfile.mkdtemp(prefix=f"rivals-{seed}-")
        try:
            total.add(RivalTrial(seed, folder, forges, service).run())
        except Exception:  # noqa: BLE001 - whatever it is, it is this trial's, and reported
            broken.append(seed)
            sys.stdout.write(f"seed {seed} broke:\n{traceback.format_exc()}\n")
        shutil.rmtree(folder)
        if (seed - options.seed) % 10 == 9:
            say(total, broken, time.perf_counter() - start_s)
    say(total, broken, time.perf_counter() - start_s)
    for forge in forges:
        forge.close()
    sys.exit(1 if broken else 0)


def say(total: Account, broken: list[int], seconds: float) -> None:
    """Print what was counted so far."""
    sys.stdout.write(
        f"{total.trials + len(broken)} trials in {seconds:.0f} s, {len(broken)} broken {broken}; ends "
        f"{dict(total.ends)}; {dict(total.messages)}; {total.whole} whole before the last run\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()

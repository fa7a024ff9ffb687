"""Runs seeded jobs through all faults at once, kills and restarts, and requires of each what a calm run gives.

    python tests/chaos/long.py [--jobs 200] [--seed 0] [--workers 2] [--keep FOLDER]

The long form of `tests/chaos`. A job that breaks a promise is printed with the command that runs it again alone; then
the exit code is 1. What was counted is printed at the end.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.harness import Account

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> None:
    """Parse the options, run the jobs, and print the account."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first job; the next one's is one more")
    parser.add_argument("--workers", type=int, default=2, help="jobs at a time, each with an emulator of its own")
    parser.add_argument("--keep", type=Path, help="leave the folders of broken jobs here")
    options = parser.parse_args()
    from chaos.harness import Account

    total, broken, start_s = Account(), [], time.perf_counter()
    context = multiprocessing.get_context("spawn")
    parts = [
        (options.seed + first, options.seed + options.jobs, options.workers, options.keep)
        for first in range(min(options.workers, options.jobs))
    ]
    queue = context.Queue()
    workers = [context.Process(target=work, args=(*part, queue)) for part in parts]
    for worker in workers:
        worker.start()
    for done in itertools.count(1):
        if done > options.jobs:
            break
        seed, account, failure = queue.get()
        if failure:
            broken.append(seed)
            say(f"seed {seed} broke:\n{failure}\nagain: python tests/chaos/long.py --jobs 1 --seed {seed}")
        else:
            total.add(account)
        if done % 20 == 0:
            say(f"{done} jobs, {len(broken)} broken, {time.perf_counter() - start_s:.0f} s")
    for worker in workers:
        worker.join()
    print_account(total, broken, time.perf_counter() - start_s)
    sys.exit(1 if broken else 0)


def work(first: int, stop: int, step: int, keep: Path | None, queue: multiprocessing.Queue[object]) -> None:
    """Run every `step`-th job, one after the other."""
    from chaos.processes import Forge

    forge = Forge()
    for outcome in outcomes(range(first, stop, step), forge, keep):
        queue.put(outcome)
    forge.close()


def outcomes(seeds: range, forge: object, keep: Path | None) -> Iterator[tuple[int, Account | None, str]]:
    """Yield each job's seed, its account, and what it broke."""
    from chaos.draws import draw
    from chaos.harness import Service, Trial

    service = Service()
    for seed in seeds:
        folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-", dir=keep))
        try:
            account = Trial(draw(seed, is_long=True), folder, forge, service).run()
        except Exception:  # noqa: BLE001 - whatever it is, it is this job's, and reported
            yield seed, None, traceback.format_exc()
            if keep is not None:
                continue
        else:
            yield seed, account, ""
        shutil.rmtree(folder)


def print_account(account: Account, broken: list[int], seconds: float) -> None:
    """Print what was counted."""
    say(f"\n{account.jobs + len(broken)} jobs in {seconds:.0f} s, {len(broken)} broken: {broken}")
    for name, value in vars(account).items():
        shown = dict(sorted(value.items(), key=str)) if isinstance(value, dict) else value
        say(f"  {name:<16} {shown:.3f}" if isinstance(value, float) else f"  {name:<16} {shown}")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

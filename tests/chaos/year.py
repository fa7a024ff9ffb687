"""Fetches a year of Sentinel-2-like mosaics, in each mask mode, locally and to S3, through faults and kills.

    python tests/chaos/year.py [--side 1024] [--modes none,fill,nan,shared,each] [--stores local,s3] [--seed 0]

The long form of `tests/chaos/test_year.py`: 40 solar days of 2017, 4 bands, 1024 x 1024 pixels. Every stored pixel,
mask, time and image id is compared with the emulator's world, after every kill and at the end. A cube that breaks a
promise is printed with the command that runs it again alone; then the exit code is 1.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from chaos.cubes import Account, Truth
    from chaos.harness import Service
    from chaos.processes import Forge

sys.path.insert(0, str(Path(__file__).parents[1]))

CLOUDY = 22
"""Per cent of clouds below which 2017 has 40 days."""
CHUNK = 256
MODES, STORES = "none,fill,nan,shared,each", "local,s3"


def main() -> None:
    """Parse the options, run the cubes, and print the account."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="pixels of the grid")
    parser.add_argument("--modes", default=MODES)
    parser.add_argument("--stores", default=STORES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=4, help="the most that one cube meets")
    options = parser.parse_args()
    from chaos.cubes import Account, Truth, s3_environment
    from chaos.harness import Service
    from chaos.processes import Forge

    forge, service, total, broken = Forge(longest_run_s=1800.0), Service(), Account(), []
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # of every request to S3 it says a line
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    os.environ.update(s3_environment(url))
    with tempfile.TemporaryDirectory(prefix="year-") as scratch:
        start_s = time.perf_counter()
        truth = Truth(service.world, Path(scratch), side=options.side, end="2018-01-01", cloudy=CLOUDY)
        say(f"{len(truth.images)} days, {1 - truth.valid.mean():.0%} masked ({time.perf_counter() - start_s:.0f} s)")
        for mode in options.modes.split(","):
            for store in options.stores.split(","):
                begun_s = time.perf_counter()
                try:
                    account = one(Path(scratch), truth, forge, service, mode, store, url, options.seed, options.kills)
                except Exception:  # noqa: BLE001 - whatever it is, it is this cube's, and reported
                    broken.append((mode, store))
                    again = f"--side {options.side} --modes {mode} --stores {store} --seed {options.seed}"
                    say(f"{mode} {store} broke:\n{traceback.format_exc()}\nagain: python tests/chaos/year.py {again}")
                    continue
                total.add(account)
                say(f"{mode:<7}{store:<6} exact: {told(account)}, {time.perf_counter() - begun_s:.0f} s")
    server.stop()
    forge.close()
    say(f"all: {told(total)}; {len(broken)} broken: {broken}")
    sys.exit(1 if broken else 0)


def one(
    scratch: Path, truth: Truth, forge: Forge, service: Service, mode: str, store: str, url: str, seed: int, kills: int
) -> Account:
    """Run one cube into one kind of store, cut as its seed says."""
    from chaos.cubes import CubeTrial, s3_environment, storm

    rng = np.random.default_rng([seed, MODES.split(",").index(mode), STORES.split(",").index(store)])
    folder = scratch / f"{mode}-{store}"
    folder.mkdir()
    output = str(folder / "out.zarr")
    if store == "s3":
        output = "s3://pixels/out.zarr"
        for path, method in (("moto-api/reset", "POST"), ("pixels", "PUT")):
            urllib.request.urlopen(urllib.request.Request(f"{url}/{path}", method=method)).close()
    trial = CubeTrial(
        folder,
        truth,
        mode=mode,
        output=output,
        layout=("bands", "stacked")[(MODES.split(",").index(mode) + STORES.split(",").index(store)) % 2],
        forge=forge,
        service=service,
        environment=s3_environment(url),
        kills=kills,
    )
    tile = rng.choice(['"auto"', f"[{2 * CHUNK}, {2 * CHUNK}]", f"[{4 * CHUNK}, {CHUNK}]"])
    steps = rng.choice(['"auto"', "1", "3"])
    say(f"{mode:<7}{store:<6} {trial.layout}, tile = {tile}, steps = {steps}")
    account = trial.run(storm(rng), rng, chunk=CHUNK, tile=tile, steps=steps)
    shutil.rmtree(folder)
    return account


def told(account: Account) -> str:
    """Return what was counted, in one line."""
    faults = sum(account.faults.values())
    return (
        f"{account.cubes} cubes, {account.tiles} tiles, {account.runs} runs, {account.kills} kills, "
        f"{account.requests} requests, {faults} faults, {account.refetched} tiles asked for again, "
        f"ends {dict(account.ends)}"
    )


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

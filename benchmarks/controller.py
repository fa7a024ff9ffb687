"""What the gate makes of many services, in virtual time: `python benchmarks/controller.py [--seeds N] [NAME ...]`.

The same simulation as `tests/simulation`, over more services and seeds. Goodput is measured against an oracle that
knows the limits; see `tests/simulation/service.py`.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from simulation.service import Outcome, Scenario, simulate

MOVING = ((0, 40), (150, 10), (300, 25))
SLOWLY_MOVING = ((0, 40), (300, 10), (600, 25))
MANY = ((0, 200),)
QUICK = {"base_s": 0.05, "slope_s": 0.05, "network_s": 0.03}
BY_MINUTE = {"limits": MANY, "server_per_minute": 600, "warm_up_s": 120, "span_s": 600}

SCENARIOS = {
    **{f"limit {limit}": Scenario(limits=((0, limit),)) for limit in (1, 5, 10, 20, 40, 200)},
    "limit 40, ceiling 100": Scenario(ceiling=100),
    "limit 200, ceiling 300": Scenario(limits=MANY, ceiling=300, per_second=1000, span_s=200),
    "40 to 10 to 25": Scenario(limits=MOVING, span_s=450),
    **{
        f"limit {limit}, Retry-After 1": Scenario(limits=((0, limit),), retry_after_s=1, span_s=600)
        for limit in (1, 5, 10, 20)
    },
    "limit 20, Retry-After 5": Scenario(limits=((0, 20),), retry_after_s=5, span_s=600),
    "40 to 10 to 25, Retry-After 2": Scenario(limits=SLOWLY_MOVING, span_s=900, retry_after_s=2),
    "others hold 0..10 of 40": Scenario(others_up_to=10, span_s=600),
    "others hold 0..20 of 40": Scenario(others_up_to=20, span_s=600),
    "others hold 0..20 of 40, slowly": Scenario(others_up_to=20, others_every_s=60, span_s=600),
    "20/s, said": Scenario(limits=MANY, server_per_second=20, is_explicit=True),
    "20/s, not said": Scenario(limits=MANY, server_per_second=20),
    "20/s, said, 0.1 s": Scenario(limits=MANY, server_per_second=20, is_explicit=True, **QUICK),
    "20/s, not said, 0.1 s": Scenario(limits=MANY, server_per_second=20, **QUICK),
    "20/s, not said, 0.02 s": Scenario(limits=MANY, server_per_second=20, base_s=0.005, slope_s=0.005, network_s=0.01),
    "5/s, not said": Scenario(limits=MANY, server_per_second=5),
    "25 slots and 20/s, not said": Scenario(limits=((0, 25),), server_per_second=20),
    "600/min, said": Scenario(is_explicit=True, **BY_MINUTE),
    "600/min, not said": Scenario(**BY_MINUTE),
    "limit 10, tiles of 0.1 s": Scenario(limits=((0, 10),), per_second=1000, span_s=160, **QUICK),
    "limit 10, tiles of 10 s": Scenario(limits=((0, 10),), base_s=5, slope_s=10, span_s=1500, warm_up_s=200),
}


def main() -> None:
    """Print a row for each service."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("names", nargs="*", help="parts of the names of services; default: all")
    asked = parser.parse_args()
    names = [name for name in SCENARIOS if not asked.names or any(part in name for part in asked.names)]
    print(f"{'service':34} goodput mean  worst   throttled mean  worst   limit's CV   slowest tile")
    with ProcessPoolExecutor() as executor:
        runs = {
            name: [executor.submit(simulate, replace(SCENARIOS[name], seed=seed)) for seed in range(asked.seeds)]
            for name in names
        }
        for name, futures in runs.items():
            print(row(name, [future.result() for future in futures]), flush=True)


def row(name: str, outcomes: list[Outcome]) -> str:
    goodput = [outcome.goodput for outcome in outcomes]
    throttled = [outcome.throttled for outcome in outcomes]
    is_met = min(goodput) >= 0.95 and max(throttled) < 0.03
    return (
        f"{name:34} {sum(goodput) / len(goodput):12.1%} {min(goodput):6.1%}"
        f"   {sum(throttled) / len(throttled):14.2%} {max(throttled):6.2%}"
        f"   {max(outcome.unsteadiness for outcome in outcomes):10.2f}"
        f"   {max(outcome.longest_s for outcome in outcomes):10.0f} s{'' if is_met else '  missed'}"
    )


if __name__ == "__main__":
    main()

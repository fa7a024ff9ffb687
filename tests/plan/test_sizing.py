"""Tiles that nobody chose, beside all that somebody could have, where a request takes a + b x bytes.

The oracle draws what each request takes, and gives it to the slot that is free first; it calls none of the planner's.
"""

import heapq
import random
from itertools import product
from math import ceil
from statistics import fmean

import pytest
from affine import Affine

from eezarr.grid import PixelGrid, Shape2D
from eezarr.plan import COMPUTE_PIXELS_LIMITS, Band, Budget, LayoutRequest, Plan, make_plan

pytestmark = pytest.mark.once

BASE_S = 0.5
BYTES_PER_S = 10e6
JITTER = 0.3
DRAWS = 30
LEGAL_BYTES = 50_331_648


def planned(height: int, width: int, bands: int, *, chunk: int = 1024, slots: int = 40, memory: int = 2 << 30) -> Plan:
    return make_plan(
        image_key="x",
        grid=PixelGrid(crs="EPSG:32610", transform=Affine(10, 0, 499980, 0, -10, 4200000), width=width, height=height),
        bands=tuple(Band(f"b{number}", "uint16") for number in range(bands)),
        limits=COMPUTE_PIXELS_LIMITS,
        layout=LayoutRequest(chunk=chunk),
        budget=Budget(concurrency=slots, memory_bytes=memory),
    )


def mean_makespan(tile: tuple[int, int], height: int, width: int, bands: int, slots: int) -> float:
    """Mean seconds until all tiles of a region are there."""
    sizes = [
        min(tile[0], height - row) * min(tile[1], width - col) * bands * 2
        for row, col in product(range(0, height, tile[0]), range(0, width, tile[1]))
    ]
    ends = []
    for seed in range(DRAWS):
        draw = random.Random(seed)  # noqa: S311 - no secret
        free, end = [0.0] * slots, 0.0
        for size in sizes:
            done = heapq.heappop(free) + (BASE_S + size / BYTES_PER_S) * draw.lognormvariate(0, JITTER)
            heapq.heappush(free, done)
            end = max(end, done)
        ends.append(end)
    return fmean(ends)


def tiles_by_hand(height: int, width: int, bands: int, chunk: int) -> list[tuple[int, int]]:
    return [
        (high * chunk, wide * chunk)
        for high in range(1, ceil(height / chunk) + 1)
        for wide in range(1, ceil(width / chunk) + 1)
        if min(high * chunk, height) * min(wide * chunk, width) * bands * 3 <= LEGAL_BYTES
        and high <= 4 * wide <= 16 * high
    ]


@pytest.mark.parametrize("slots", [8, 40])
@pytest.mark.parametrize(
    ("height", "width", "bands"),
    [
        (1500, 700, 1),
        (2048, 2048, 1),
        (2048, 2048, 4),
        (4096, 4096, 2),
        (5000, 3000, 12),
        (8192, 8192, 1),
        (10980, 10980, 4),
        (12288, 12288, 1),
        (3000, 30000, 2),
        (20000, 20000, 4),
        (32768, 32768, 1),
    ],
)
def test_no_other_tile_is_a_tenth_faster(height, width, bands, slots):
    plan = planned(height, width, bands, slots=slots)
    chosen = mean_makespan((plan.tile_shape.height, plan.tile_shape.width), height, width, bands, slots)
    by_hand = [
        mean_makespan(tile, height, width, bands, slots) for tile in tiles_by_hand(height, width, bands, chunk=1024)
    ]
    assert chosen <= 1.1 * min(by_hand)


def test_a_large_region_takes_the_largest_legal_tiles():
    assert planned(100_000, 100_000, 1).tile_shape == Shape2D(4096, 4096)


def test_no_tile_is_larger_than_the_memory_affords_for_every_slot():
    plan = planned(100_000, 100_000, 1, memory=256 << 20)
    assert plan.tile_bytes * 40 <= 256 << 20
    assert plan.tile_shape < Shape2D(4096, 4096)


def test_among_tiles_as_good_the_squarest_is_taken():
    assert planned(65_536, 65_536, 4).tile_shape == Shape2D(2048, 2048)

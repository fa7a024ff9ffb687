"""Plans over random grids, types, limits: the oracle restates each rule and calls none of the planner's code."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from eezarr.errors import InvalidInput
from eezarr.grid import Coverage, PixelGrid, Shape2D
from eezarr.plan import (
    COMPUTE_PIXELS_LIMITS,
    GET_PIXELS_LIMITS,
    Band,
    Budget,
    LayoutRequest,
    Plan,
    RequestLimits,
    Step,
    Tiling,
    make_plan,
)

pytestmark = pytest.mark.once

BYTES = {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "float32": 4, "float64": 8}

dtypes = st.sampled_from(sorted(BYTES))


def grid_of(height: int, width: int) -> PixelGrid:
    return PixelGrid(crs="EPSG:32610", transform=Affine(10, 0, 499980, 0, -10, 4200000), width=width, height=height)


def bands_of(types: list[str]) -> tuple[Band, ...]:
    return tuple(Band(f"b{position}", dtype) for position, dtype in enumerate(types))


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, RequestLimits, Budget]:
    chunk = draw(st.sampled_from([1, 3, 16, 50, 64]))
    height, width = draw(st.integers(1, 12 * chunk)), draw(st.integers(1, 12 * chunk))
    kind = draw(st.sampled_from(["bands", "stacked"]))
    count = draw(st.integers(1, 12))
    types = [draw(dtypes)] * count if kind == "stacked" else draw(st.lists(dtypes, min_size=count, max_size=count))
    limits = RequestLimits(
        max_bytes=draw(st.integers(chunk * chunk * 9, 200_000)),
        max_side=draw(st.integers(chunk, 500)),
        max_bands=draw(st.integers(1, 15)),
    )
    budget = Budget(concurrency=draw(st.integers(1, 60)), memory_bytes=draw(st.integers(10_000_000, 40_000_000)))
    plan = make_plan(
        image_key="x",
        grid=grid_of(height, width),
        bands=bands_of(types),
        limits=limits,
        layout=LayoutRequest(kind=kind, chunk=chunk, is_sharded=draw(st.booleans())),
        budget=budget,
    )
    return plan, limits, budget


@given(plans())
def test_every_pixel_of_every_band_is_asked_for_exactly_once(case):
    plan, _, _ = case
    asked = np.zeros((len(plan.bands), plan.grid.height, plan.grid.width), np.uint8)
    for tile in plan:
        last = tile.first_band + len(tile.bands)
        assert plan.bands[tile.first_band : last] == tile.bands
        asked[tile.first_band : last, tile.window.rows, tile.window.cols] += 1
    assert asked.min() == 1
    assert asked.max() == 1


@given(plans())
def test_every_request_is_legal(case):
    plan, limits, _ = case
    for tile in plan:
        height, width = tile.grid.height, tile.grid.width
        assert (height, width) == (tile.window.height, tile.window.width)
        assert max(height, width) <= limits.max_side
        assert len(tile.bands) <= limits.max_bands
        assert sum(height * width * (BYTES[band.dtype] + 1) for band in tile.bands) <= limits.max_bytes


@given(plans())
def test_no_stored_object_has_two_writers(case):
    plan, _, _ = case
    unit = plan.tile_shape if plan.layout.is_sharded else plan.layout.chunk
    owner: dict[tuple[int, int, int], int] = {}
    for tile in plan:
        step = plan.layout.bands_per_chunk
        units = {
            (band // step, row // unit.height, col // unit.width)
            for band in range(tile.first_band, tile.first_band + len(tile.bands))
            for row in range(tile.window.row, tile.window.row + tile.window.height, unit.height)
            for col in range(tile.window.col, tile.window.col + tile.window.width, unit.width)
        }
        assert tile.window.row % unit.height == 0
        assert tile.window.col % unit.width == 0
        for stored in units:
            assert owner.setdefault(stored, tile.index) == tile.index


@given(plans())
def test_the_tiles_in_flight_stay_within_the_memory_budget(case):
    plan, _, budget = case
    largest = max(
        tile.window.height * tile.window.width * sum(BYTES[band.dtype] for band in tile.bands) for tile in plan
    )
    assert plan.tile_bytes == largest
    assert budget.workers(plan.tile_bytes) >= 1
    assert budget.workers(plan.tile_bytes) * plan.tile_bytes <= budget.memory_bytes


@given(plans(), st.data())
def test_a_tile_lies_where_its_grid_says(case, data):
    plan, _, _ = case
    tile = plan.tile(data.draw(st.integers(0, plan.tile_count - 1)))
    assert tile.grid.crs == plan.grid.crs
    assert tile.grid.transform @ (0, 0) == plan.grid.transform @ (tile.window.col, tile.window.row)


def plan_of(
    height: int,
    width: int,
    types: list[str],
    limits: RequestLimits = COMPUTE_PIXELS_LIMITS,
    layout: LayoutRequest | None = None,
    tile: Shape2D | None = None,
    recorded: Tiling | None = None,
    budget: Budget | None = None,
) -> Plan:
    return make_plan(
        image_key="x",
        grid=grid_of(height, width),
        bands=bands_of(types),
        limits=limits,
        layout=layout or LayoutRequest(),
        budget=budget or Budget(),
        tile=tile,
        recorded=recorded,
    )


def test_a_whole_scene_gives_every_slot_two_tiles():
    plan = plan_of(10980, 10980, ["uint16"] * 4, GET_PIXELS_LIMITS)
    assert plan.tile_count >= 80
    assert plan.tile_shape == Shape2D(1024, 1024)


def test_a_tile_as_large_as_the_region_takes_as_few_requests_as_are_legal():
    assert plan_of(4096, 4096, ["uint16"] * 2, tile=Shape2D(4096, 4096)).tile_count == 2


def test_a_region_smaller_than_a_chunk_is_one_tile():
    plan = plan_of(256, 256, ["uint16"] * 4)
    assert plan.tile_count == 1
    assert plan.tile(0).window.shape == Shape2D(256, 256)


@pytest.mark.parametrize(("chunk", "legal"), [(4096, True), (4097, False)])
def test_the_documented_limit_is_inclusive(chunk, legal):
    # 4096 * 4096 * (2 + 1) is exactly 50 331 648.
    layout = LayoutRequest(chunk=chunk)
    if legal:
        assert plan_of(9000, 9000, ["uint16"], layout=layout).tile_shape == Shape2D(4096, 4096)
    else:
        with pytest.raises(InvalidInput, match="chunk of at most 4096"):
            plan_of(9000, 9000, ["uint16"], layout=layout)


def test_more_bands_than_a_request_may_have_are_asked_for_in_even_groups():
    plan = plan_of(64, 64, ["uint8"] * 1030)
    assert [len(tile.bands) for tile in plan] == [515, 515]


def test_bands_whose_pixels_do_not_fit_together_are_asked_for_in_groups():
    plan = plan_of(8192, 1024, ["float64"] * 64)
    assert plan.band_groups > 1
    assert {tile.window.shape for tile in plan} == {Shape2D(1024, 1024)}


def test_mixed_types_are_counted_each_by_its_own_size():
    # 1 + 1, 2 + 1, 8 + 1 bytes: 14 a pixel.
    limits = RequestLimits(max_bytes=14 * 100, max_side=10_000)
    layout = LayoutRequest(chunk=10)
    assert plan_of(10, 10, ["uint8", "int16", "float64"], limits, layout).tile_count == 1
    smaller = RequestLimits(max_bytes=14 * 100 - 1, max_side=10_000)
    assert plan_of(10, 10, ["uint8", "int16", "float64"], smaller, layout).tile_count == 2


def test_a_billion_tiles_cost_what_one_costs():
    plan = plan_of(2**25, 2**25, ["uint16"], layout=LayoutRequest(chunk=1024), tile=Shape2D(1024, 1024))
    assert plan.tile_count == 2**30
    assert plan.tile(2**30 - 1).window.row == 2**25 - 1024


def test_a_polygons_tiles_come_by_time_then_rows_columns_and_bands():
    whole = plan_of(
        4 * 64, 5 * 64, ["uint8", "uint16", "uint16"], COMPUTE_PIXELS_LIMITS, LayoutRequest(chunk=64), Shape2D(64, 64)
    )
    (left, top), (right, bottom) = (whole.grid.transform @ corner for corner in ((64 + 9, 128 + 9), (3 * 64, 4 * 64)))
    ring = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    plan = replace(
        whole,
        bands_per_tile=2,
        coverage=Coverage.of({"type": "Polygon", "coordinates": [ring]}, whole.grid.crs, whole.grid),
        steps=tuple(Step(time=datetime(2024, 1, day, tzinfo=UTC), images=("x",)) for day in (1, 2, 3)),
        step_starts=(0, 1),
    )
    touched = product((0, 1), (2, 3), (1, 2), (0, 1))  # request in time, row, column, group of bands
    expected = [
        (
            ((time * 4 + row) * 5 + col) * 2 + group,
            (range(1), range(1, 3))[time],
            (row * 64, col * 64),
            group * 2,
            plan.bands[group * 2 :][:2],
        )
        for time, row, col, group in touched
    ]
    for tiles in (list(plan), [plan.tile(index) for index, *_ in expected]):
        got = [(t.index, t.steps, (t.window.row, t.window.col), t.first_band, t.bands) for t in tiles]
        assert got == expected
    assert [index for index in range(plan.tile_count) if plan.is_wanted(index)] == [index for index, *_ in expected]
    assert plan.wanted_count == len(expected)


@pytest.mark.parametrize(
    ("tile", "nearest"), [(Shape2D(1000, 2048), r"\[1024, 2048\]"), (Shape2D(2600, 100), r"\[3072, 1024\]")]
)
def test_a_tile_that_cuts_chunks_is_refused_with_the_nearest_that_does_not(tile, nearest):
    with pytest.raises(InvalidInput, match=nearest):
        plan_of(9000, 9000, ["uint16"], tile=tile)


def test_a_tile_over_the_limit_is_refused_before_anything_is_asked():
    with pytest.raises(InvalidInput, match="tile of at most 4096"):
        plan_of(20000, 20000, ["uint16"], tile=Shape2D(5120, 5120))
    with pytest.raises(InvalidInput, match="32768 pixels a side"):
        plan_of(40000, 40000, ["uint8"], layout=LayoutRequest(chunk=16), tile=Shape2D(16, 40000))


def test_a_stacked_store_takes_one_type():
    with pytest.raises(InvalidInput, match="b0 uint8, b1 int16"):
        plan_of(10, 10, ["uint8", "int16"], layout=LayoutRequest(kind="stacked"))


def test_bands_asked_for_twice_are_refused():
    with pytest.raises(InvalidInput, match="twice: b"):
        make_plan(
            image_key="x",
            grid=grid_of(5, 5),
            bands=(Band("b", "uint8"), Band("b", "uint8")),
            limits=GET_PIXELS_LIMITS,
            layout=LayoutRequest(),
            budget=Budget(),
        )


def test_a_memory_budget_that_holds_no_tile_is_refused_with_one_that_does():
    with pytest.raises(InvalidInput, match=r"memory = 44MiB") as caught:
        plan_of(9000, 9000, ["uint16"] * 4, budget=Budget(memory_bytes=1 << 20))
    assert caught.value.exit_code == 2
    plan_of(9000, 9000, ["uint16"] * 4, budget=Budget(memory_bytes=44 << 20))


def test_a_resumed_store_keeps_the_tiling_its_marks_count_in():
    first = plan_of(9000, 9000, ["uint16"] * 4)
    tiling = Tiling(tile_shape=first.tile_shape, bands_per_tile=first.bands_per_tile)
    again = plan_of(9000, 9000, ["uint16"] * 4, budget=Budget(concurrency=2), recorded=tiling)
    assert plan_of(9000, 9000, ["uint16"] * 4, budget=Budget(concurrency=2)).tile_shape != first.tile_shape
    assert again == first


def test_the_fingerprint_holds_what_changes_pixels_or_their_place_and_nothing_else():
    plan = plan_of(9000, 9000, ["uint16"] * 4)
    assert plan_of(9000, 9000, ["uint16"] * 4, tile=Shape2D(2048, 1024)).fingerprint == plan.fingerprint
    others = [
        plan_of(9000, 9001, ["uint16"] * 4),
        plan_of(9000, 9000, ["uint16"] * 3),
        plan_of(9000, 9000, ["int16"] * 4),
        plan_of(9000, 9000, ["uint16"] * 4, layout=LayoutRequest(chunk=512)),
        plan_of(9000, 9000, ["uint16"] * 4, layout=LayoutRequest(is_sharded=True)),
        plan_of(9000, 9000, ["uint16"] * 4, layout=LayoutRequest(kind="stacked")),
    ]
    assert len({other.fingerprint for other in others} | {plan.fingerprint}) == len(others) + 1

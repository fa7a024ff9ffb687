"""Tiles that are too heavy: cut, asked for in parts, put together; the oracle is the tile's own truth."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from eezarr.engine.asking import Asker
from eezarr.engine.buffers import OwnMemory
from eezarr.engine.gate import Gate
from eezarr.engine.reading import TileReader
from eezarr.engine.splitting import FLOOR_PIXELS, WorkingSize, parts_of
from eezarr.errors import TooHeavy, Unreachable
from eezarr.events import TileSplit
from eezarr.grid import PixelGrid, Shape2D, Window
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.plan import Band, Selection, Tile, record_dtype
from eezarr.retry import RetryPolicy
from virtual_time import run_virtually

REGION = PixelGrid(crs="EPSG:32610", transform=Affine(10, 0, 0, 0, -10, 0), width=4000, height=4000)
BANDS = (Band("a", "uint16"), Band("b", "float32"))
UNIT = Shape2D(128, 128)


def tile_of(height=512, width=512, row=256, col=384):
    return Tile(
        index=7,
        window=Window(row=row, col=col, height=height, width=width),
        region=REGION,
        selection=Selection(bands=BANDS),
    )


def truth(tile):
    rows, cols = np.mgrid[tile.window.rows, tile.window.cols]
    pixels = np.zeros(rows.shape, record_dtype(tile.bands))
    for name, values in {"a": (rows * 31 + cols) % 65_521, "b": cols / 7 - rows}.items():
        if name in pixels.dtype.names:
            pixels[name] = values
    return pixels


@given(
    height=st.integers(1, 900),
    width=st.integers(1, 900),
    unit=st.sampled_from([Shape2D(1, 1), Shape2D(128, 128), Shape2D(64, 256), Shape2D(1000, 1000)]),
    most=st.integers(1, 300_000),
)
def test_parts_are_exactly_the_tile_and_each_small_enough(height, width, unit, most):
    tile = tile_of(height, width, row=2 * unit.height, col=unit.width)
    asked = np.zeros((height, width), np.uint8)
    for part in parts_of(tile, WorkingSize(max_pixels=most), unit):
        assert part.window.height * part.window.width <= max(most, FLOOR_PIXELS)
        assert part.bands == tile.bands
        top, left = part.window.row - tile.window.row, part.window.col - tile.window.col
        asked[top : top + part.window.height, left : left + part.window.width] += 1
    assert asked.min() == asked.max() == 1


def test_cuts_lie_on_write_units_as_long_as_a_part_has_more_than_one():
    for part in parts_of(tile_of(640, 896), WorkingSize(max_pixels=128 * 128), UNIT):
        assert part.window.row % 128 == 0
        assert part.window.col % 128 == 0
        assert part.window.height <= 128
        assert part.window.width <= 128
    inside = parts_of(tile_of(512, 512), WorkingSize(max_pixels=64 * 64), UNIT)
    assert len(inside) == 64


def test_time_is_cut_before_ground():
    selection = Selection(bands=BANDS, steps=range(3, 8), has_time=True)
    tile = replace(tile_of(128, 128), selection=selection)
    parts = parts_of(tile, WorkingSize(max_pixels=2 * 128 * 128), UNIT)
    assert [part.steps for part in parts] == [range(3, 5), range(5, 6), range(6, 8)]
    assert {part.window for part in parts} == {tile.window}
    smaller = parts_of(tile, WorkingSize(max_pixels=64 * 128), UNIT)
    assert [part.steps for part in smaller] == [range(step, step + 1) for step in range(3, 8) for _ in range(2)]


class HeavySource:
    """Refuses what is over its size, whatever the reason given; answers the rest with the truth."""

    def __init__(self, most_pixels=None, error=None, rule=None):
        self.rule = rule or (lambda part: part.window.shape.size > most_pixels)
        self.error = error or {}
        self.asked = []
        self.out = self.most_out = 0

    async def read(self, tile, memory):
        self.asked.append(tile.window)
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        await asyncio.sleep(1)
        self.out -= 1
        if self.rule(tile):
            raise TooHeavy("User memory limit exceeded.", hint="Ask for less.", **self.error)
        body = truth(tile).view(np.uint8).ravel()
        buffer = await memory.take()
        buffer[: body.size] = body
        return buffer[: body.size].view(record_dtype(tile.bands)).reshape(tile.window.height, tile.window.width)


def reader_of(source, events=None):
    observe = (lambda _: None) if events is None else events.append
    gate = Gate(limit=ConcurrencyLimit(ceiling=40, start=40), rate=RateLimit(1e6))
    return TileReader(
        source=source,
        asker=Asker(gate=gate, policy=RetryPolicy(), observe=lambda _: None),
        unit=UNIT,
        body_bytes=lambda part: part.window.shape.size * record_dtype(part.bands).itemsize,
        observe=observe,
    )


def read(reader, tile):
    memory = OwnMemory(tile.window.shape.size * record_dtype(tile.bands).itemsize + 500)

    async def scene():
        (await memory.take())[:] = 0xEE
        return await reader.read(tile, memory)

    return run_virtually(scene())


@pytest.mark.parametrize("most_pixels", [512 * 512, 200_000, 70_000, 16_384, 5_000, 1_024])
def test_a_tile_in_parts_is_the_tile(most_pixels):
    source, tile = HeavySource(most_pixels), tile_of()
    had = read(reader_of(source), tile)
    np.testing.assert_array_equal(had.pixels, truth(tile))
    assert had.attempts == len(source.asked)


def test_what_was_had_is_not_asked_for_again():
    # Only the top-left corner is heavy: the rest is had in large parts, once.
    source = HeavySource(rule=lambda part: part.window.row < 300 and part.window.col < 400 and part.window.height > 64)
    tile = tile_of()
    np.testing.assert_array_equal(read(reader_of(source), tile).pixels, truth(tile))
    served = [window for window in source.asked if not (window.row < 300 and window.col < 400 and window.height > 64)]
    assert sum(window.height * window.width for window in served) == 512 * 512


def test_the_size_that_works_is_where_the_next_tile_starts():
    source = HeavySource(20_000)
    reader = reader_of(source)
    read(reader, tile_of())
    refused = sum(window.height * window.width > 20_000 for window in source.asked)
    assert refused > 0
    source.asked.clear()
    read(reader, tile_of(row=1024))
    assert all(window.height * window.width <= 20_000 for window in source.asked)


def test_a_stated_limit_is_obeyed_from_then_on():
    # 512 * 512 * (2 + 1 + 4 + 1) bytes are counted for the tile.
    source = HeavySource(error={"stated_bytes": 1_000_000}, rule=lambda part: part.window.shape.size * 8 > 1_000_000)
    reader, tile = reader_of(source), tile_of()
    np.testing.assert_array_equal(read(reader, tile).pixels, truth(tile))
    assert len(source.asked) == 1 + 4
    side = HeavySource(error={"stated_side": 300}, rule=lambda part: max(part.window.height, part.window.width) > 300)
    np.testing.assert_array_equal(read(reader_of(side), tile).pixels, truth(tile))
    assert len(side.asked) == 1 + 4


def test_forty_refusals_of_one_size_halve_it_once():
    source = HeavySource(512 * 256)
    reader = reader_of(source)

    async def many():
        async with asyncio.TaskGroup() as group:
            for number in range(6):
                tile = tile_of(row=512 * number)
                group.create_task(reader.read(tile, OwnMemory(tile.window.shape.size * 6)))

    run_virtually(many())
    assert reader.size.max_pixels == 512 * 256


def test_what_is_too_heavy_at_the_floor_is_too_heavy():
    source = HeavySource(0)
    with pytest.raises(TooHeavy):
        read(reader_of(source), tile_of())
    assert min(window.height * window.width for window in source.asked) <= FLOOR_PIXELS
    assert len(source.asked) < 400


def test_a_part_that_fails_fails_the_tile_and_drops_the_others():
    class Failing(HeavySource):
        async def read(self, tile, memory):
            pixels = await super().read(tile, memory)
            if tile.window.col > 384:
                raise Unreachable("Reset.", hint="Wait.")
            return pixels

    source = Failing(512 * 256)
    with pytest.raises(Unreachable):
        read(reader_of(source), tile_of())
    assert source.out == 0


def test_half_of_the_parts_at_most_are_out_at_once():
    source = HeavySource(16_384)
    reader = reader_of(source)
    reader.size.max_pixels = 16_384
    read(reader, tile_of())
    assert len(source.asked) == 16
    assert source.most_out == 8


def test_a_split_is_told():
    events = []
    read(reader_of(HeavySource(512 * 256), events), tile_of())
    assert events == [TileSplit(tile=7, parts=2, reason="User memory limit exceeded.")]


def read_in_turn(reader, tiles):
    """Read tiles one after the other, and return how many are too costly."""

    async def scene():
        failed = 0
        for tile in tiles:
            try:
                await reader.read(tile, OwnMemory(tile.window.shape.size * 6))
            except TooHeavy:
                failed += 1
        return failed

    return run_virtually(scene())


def read_all(reader, tiles):
    """Read tiles at the same time; return their pixels."""

    async def scene():
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    reader.read(tile, OwnMemory(tile.window.shape.size * record_dtype(tile.bands).itemsize))
                )
                for tile in tiles
            ]
        return [task.result().pixels.copy() for task in tasks]

    return run_virtually(scene())


@pytest.mark.parametrize("bands", [("a",), ("b",), ("a", "b")])
def test_bands_are_asked_for_one_by_one_where_the_smallest_window_is_too_costly_with_all(bands):
    source, tile = HeavySource(rule=lambda part: len(part.bands) > 1 and "a" in bands), tile_of()
    np.testing.assert_array_equal(read(reader_of(source), tile).pixels, truth(tile))


def test_where_bands_are_what_was_too_much_windows_are_large_again():
    source = HeavySource(rule=lambda part: len(part.bands) > 1)
    reader = reader_of(source)
    tiles = [tile_of(row=512 * number) for number in range(6)]
    for tile, pixels in zip(tiles, read_all(reader, tiles), strict=True):
        np.testing.assert_array_equal(pixels, truth(tile))
    assert len(source.asked) < 6 * 4 * 2 + 40


def test_where_windows_are_what_was_too_much_too_one_larger_request_is_all_that_is_lost():
    def rule(part):
        return part.window.shape.size * len(part.bands) > 32 * 32

    source = HeavySource(rule=rule)
    reader = reader_of(source)
    tiles = [tile_of(row=512 * number) for number in range(3)]
    for tile, pixels in zip(tiles, read_all(reader, tiles), strict=True):
        np.testing.assert_array_equal(pixels, truth(tile))
    rejected = len(source.asked) - 3 * 2 * 256
    assert rejected <= 3 + 8 + 1 + 1 + 8


@pytest.mark.parametrize("most_pixels", [70_000, 5_000, 1_024])
def test_one_part_proves_a_size_before_others_of_any_tile_are_sent(most_pixels):
    source = HeavySource(most_pixels)
    reader = reader_of(source)
    tiles = [tile_of(row=512 * number) for number in range(6)]
    for tile, pixels in zip(tiles, read_all(reader, tiles), strict=True):
        np.testing.assert_array_equal(pixels, truth(tile))
    rejected = [window for window in source.asked if window.height * window.width > most_pixels]
    # The six that were asked for before the first was rejected, and one at each size on the way down.
    assert len(rejected) <= 6 + 8


def test_a_tile_that_is_too_costly_at_any_size_leaves_the_others_theirs():
    source = HeavySource(rule=lambda part: part.window.row >= 512 and part.window.row < 1024)
    reader = reader_of(source)
    read(reader, tile_of(row=0))
    with pytest.raises(TooHeavy, match="Even 32 x 32 pixels of 1 band are too much"):
        read(reader, tile_of(row=512))
    source.asked.clear()
    read(reader, tile_of(row=1024))
    assert len(source.asked) == 1


def test_the_first_tile_that_is_too_costly_at_any_size_costs_the_others_little():
    source = HeavySource(rule=lambda part: part.window.row < 512)
    assert read_in_turn(reader_of(source), [tile_of(row=row) for row in (0, 512, 1024, 1536)]) == 1
    assert len(source.asked) < 11 + 256 + 3 * 4


def test_a_size_is_noted_whenever_it_changes_and_read_again():
    source, noted = HeavySource(20_000), []
    reader = reader_of(source)
    reader.note = lambda size: noted.append(size.to_json())
    read(reader, tile_of())
    later = WorkingSize.from_json(noted[-1])
    assert later == reader.size
    again = HeavySource(20_000)
    resumed = replace(reader_of(again), size=later)
    np.testing.assert_array_equal(read(resumed, tile_of()).pixels, truth(tile_of()))
    assert all(window.height * window.width <= 20_000 for window in again.asked)


@pytest.mark.parametrize(
    "noted", [b"", b"[" * 5000, b"[]", b'{"max_pixels": "7"}', b'{"max_pixels": -1, "x": 2}', b"\xff"]
)
def test_a_noted_size_that_cannot_be_read_says_nothing(noted):
    assert WorkingSize.from_json(noted) == WorkingSize()


def test_the_smaller_of_two_sizes_holds():
    size = WorkingSize(max_bytes=100, max_side=5)
    size.tighten(WorkingSize(max_bytes=200, max_side=4, max_pixels=7))
    assert size == WorkingSize(max_bytes=100, max_side=4, max_pixels=7)

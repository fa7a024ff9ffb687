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
    pixels["a"] = (rows * 31 + cols) % 65_521
    pixels["b"] = cols / 7 - rows
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

"""What is stored equals what was answered, bit for bit, whatever the plan, the order and the threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from eezarr.errors import StoreError
from eezarr.grid import Window
from eezarr.plan import Selection, Tile
from eezarr.store import open_store
from eezarr.store.location import locate

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")


@st.composite
def plans(draw, bench):
    kind = draw(st.sampled_from(["bands", "stacked"]))
    count = draw(st.integers(1, 5))
    dtypes = draw(st.lists(st.sampled_from(DTYPES), min_size=count, max_size=count))
    if kind == "stacked":
        dtypes = dtypes[:1] * count
    chunk = draw(st.tuples(st.integers(3, 17), st.integers(3, 17)))
    tile = tuple(side * draw(st.integers(1, 4)) for side in chunk)
    zarr_format = draw(st.sampled_from([2, 3]))
    return bench.plan(
        shape=draw(st.tuples(st.integers(1, 40), st.integers(1, 40))),
        tile=tile,
        chunk=chunk,
        dtypes=dtypes,
        kind=kind,
        bands_per_tile=draw(st.integers(1, count)),
        sharded=zarr_format == 3 and draw(st.booleans()),
        compressor=draw(st.sampled_from(["auto", "zstd", "none"])),
        zarr_format=zarr_format,
    )


def read_back(output, plan):
    """The whole store through plain zarr, as {band: (height, width)}."""
    group = zarr.open_group(locate(output, read_only=True).store, mode="r")
    if plan.layout.kind == "bands":
        return {band.name: group[band.name][...] for band in plan.bands}
    stacked = group["pixels"][...]
    return {name: stacked[position] for position, name in enumerate(group["band"][...])}


def assert_same_bits(output, plan, image):
    found = read_back(output, plan)
    assert list(found) == [band.name for band in plan.bands]
    for band in plan.bands:
        assert found[band.name].dtype == np.dtype(band.dtype)
        assert found[band.name].tobytes() == image[band.name].astype(band.dtype).tobytes(), band


@settings(max_examples=40)
@given(data=st.data())
def test_any_plan_in_any_order_from_many_threads(bench, data):
    plan = data.draw(plans(bench))
    image = bench.pixels(plan, seed=data.draw(st.integers(0, 99)))
    order = data.draw(st.permutations(range(plan.tile_count))) if plan.tile_count < 50 else range(plan.tile_count)
    output = bench.memory()
    sink = bench.sink(plan, output)

    def answer(index):
        tile = plan.tile(index)
        body = bench.cut(image, tile)
        sink.write(tile, body)
        body.view(np.uint8)[...] = 0xAA  # the buffer is the source's again

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(answer, order))
    assert list(sink.missing()) == []
    assert sink.finish(bench.now)
    assert_same_bits(output, plan, image)
    assert list(open_store(output).verify()) == []


@pytest.mark.parametrize("kind", ["bands", "stacked"])
@pytest.mark.parametrize("compressor", ["auto", "none"])
def test_reused_memory_does_not_reach_what_is_stored(bench, output, kind, compressor):
    """Tile == chunk, uncompressed: the stored object could be a view of our scratch, if anything kept it."""
    plan = bench.plan(shape=(256, 256), tile=(64, 64), chunk=(64, 64), kind=kind, compressor=compressor)
    image = bench.store_all(plan, output)
    assert_same_bits(output, plan, image)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_pixels_of_only_the_fill_value_are_stored_objects(bench, tmp_path, kind, sharded):
    plan = bench.plan(shape=(100, 100), tile=(64, 64), chunk=(32, 32), kind=kind, sharded=sharded)
    bench.store_all(plan, tmp_path / "s.zarr", np.zeros_like(bench.pixels(plan)))
    arrays = ("B1", "B2", "B3") if kind == "bands" else ("pixels",)
    objects_per_array = 2 * 2 if sharded else 4 * 4
    for name in arrays:
        objects = [path for path in (tmp_path / "s.zarr" / name / "c").rglob("*") if path.is_file()]
        assert len(objects) == objects_per_array


@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_a_shard_is_one_tile(bench, tmp_path, kind):
    plan = bench.plan(shape=(300, 410), tile=(128, 192), chunk=(64, 64), kind=kind, sharded=True)
    image = bench.store_all(plan, tmp_path / "s.zarr")
    assert_same_bits(str(tmp_path / "s.zarr"), plan, image)
    group = zarr.open_group(tmp_path / "s.zarr", mode="r")
    array = group["B1" if kind == "bands" else "pixels"]
    assert array.shards[-2:] == (128, 192)
    assert array.chunks[-2:] == (64, 64)


def test_a_tile_that_cuts_a_write_unit_is_refused_and_not_marked(bench, output):
    plan = bench.plan(shape=(128, 128), tile=(64, 64), chunk=(64, 64), sharded=True)
    sink = bench.sink(plan, output)
    good = plan.tile(0)
    for window in (
        Window(row=0, col=0, height=64, width=32),
        Window(row=32, col=0, height=64, width=64),
        Window(row=32, col=0, height=32, width=64),
        Window(row=0, col=32, height=64, width=32),
        Window(row=0, col=0, height=96, width=64),
        Window(row=128, col=0, height=64, width=64),
    ):
        bad = Tile(index=0, window=window, region=good.region, selection=Selection(bands=good.bands))
        with pytest.raises(StoreError, match="write units"):
            sink.write(bad, np.zeros((window.height, window.width), bench.pixels(plan).dtype))
    assert list(sink.missing()) == [0, 1, 2, 3]
    assert (read_back(output, plan)["B1"] == 65535).all(), "nothing is stored: the least likely value"


def test_a_band_group_that_cuts_a_chunk_of_bands_is_refused(bench, output):
    plan = bench.plan(shape=(64, 64), tile=(64, 64), dtypes=("uint8",) * 4, kind="stacked", bands_per_tile=2)
    sink = bench.sink(plan, output)
    good = plan.tile(0)
    bad = Tile(
        index=0, window=good.window, region=good.region, selection=Selection(bands=plan.bands[1:3], first_band=1)
    )
    with pytest.raises(StoreError, match="write units"):
        sink.write(bad, np.zeros((64, 64), [("B2", "u1"), ("B3", "u1")]))


def test_pixels_of_another_shape_or_type_are_refused(bench, output):
    plan = bench.plan(shape=(64, 64), tile=(64, 64))
    sink = bench.sink(plan, output)
    tile = plan.tile(0)
    right = bench.pixels(plan)
    swapped = np.dtype([("B2", "<u2"), ("B1", "<u2"), ("B3", "<u2")])
    for wrong in (right[:63], right.T[:, :10], right.view(swapped)):
        with pytest.raises(StoreError, match="not written"):
            sink.write(tile, wrong)
    assert not sink.is_stored(0)


def test_a_band_named_as_another_layout_would_not_allow(bench, output):
    """In a stacked array names are labels: anything goes."""
    names = ["x", "a/b", "spatial_ref", "mask", "\u00e9t\u00e9"]
    plan = bench.plan(shape=(64, 64), tile=(64, 64), dtypes=("uint8",) * 5, names=names, kind="stacked")
    image = bench.store_all(plan, output)
    assert_same_bits(output, plan, image)

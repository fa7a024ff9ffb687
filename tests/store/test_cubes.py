"""Cubes and masks: every plane lands where it belongs, readers see time and masks, and a cube grows at its end only."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import rioxarray  # noqa: F401 - registers `.rio`
import xarray as xr
import zarr

from eezarr.errors import ForeignStore, StoreError
from eezarr.store import open_store


def open_xarray(path):
    return xr.open_dataset(path, engine="zarr", decode_coords="all")


def fetch_missing(bench, plan, output, image):
    sink = bench.sink(plan, output)
    asked = list(sink.missing())
    for index in asked:
        sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    assert sink.finish(bench.now)
    return asked


@pytest.mark.once
@pytest.mark.parametrize("kind", ["bands", "stacked"])
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize(("bands_per_tile", "step_starts"), [(3, (0, 2, 4)), (2, (0, 1, 2, 3, 4)), (3, (0,))])
def test_every_plane_of_a_cube_is_where_it_belongs(bench, output, kind, sharded, bands_per_tile, step_starts):
    plan = bench.plan(kind=kind, sharded=sharded, bands_per_tile=bands_per_tile, steps=5, step_starts=step_starts)
    image = bench.store_all(plan, output)
    job = open_store(output)
    assert job.is_complete
    assert list(job.verify()) == []
    assert job.plan == plan
    for tile in plan:
        found = dict(zip(expected_order(plan, tile), bench.planes(job, tile), strict=True))
        assert len(found) == len(tile.fields)
        for name, plane in found.items():
            assert plane.tobytes() == image[name][tile.window.rows, tile.window.cols].tobytes(), name


def expected_order(plan, tile):
    """Names on the wire in the order of the stored arrays: by array, then time, then band."""
    bands = range(tile.first_band, tile.first_band + len(tile.bands))
    if plan.layout.kind == "bands":
        return [f"p{step}_{band}" for band in bands for step in tile.steps]
    return [f"p{step}_{band}" for step in tile.steps for band in bands]


@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_xarray_sees_time_images_bands_and_values(bench, tmp_path, kind):
    plan = bench.plan(kind=kind, shape=(70, 90), steps=4, step_starts=(0, 3))
    image = bench.store_all(plan, tmp_path / "c.zarr")
    with open_xarray(tmp_path / "c.zarr") as dataset:
        assert [str(time) for time in dataset.time.values] == [
            str(np.datetime64(step.time.replace(tzinfo=None), "ns")) for step in plan.steps
        ]
        assert list(dataset.image_ids.values) == [step.images[0] for step in plan.steps]
        assert "image_ids" in dataset.coords
        assert dataset.rio.crs.to_epsg() == 32610
        for step in range(4):
            for band in range(3):
                if kind == "bands":
                    found = dataset[f"B{band + 1}"].isel(time=step)
                else:
                    found = dataset["pixels"].isel(time=step, band=band)
                assert found.dtype == np.uint16
                np.testing.assert_array_equal(found, image[f"p{step}_{band}"])


@pytest.mark.parametrize("kind", ["bands", "stacked"])
@pytest.mark.parametrize("masks", ["shared", "each"])
@pytest.mark.parametrize("bands_per_tile", [1, 2, 3])
def test_masks_lie_beside_the_pixels(bench, tmp_path, kind, masks, bands_per_tile):
    plan = bench.plan(kind=kind, masks=masks, bands_per_tile=bands_per_tile, steps=2, step_starts=(0, 1))
    image = bench.store_all(plan, tmp_path / "m.zarr")
    assert list(open_store(tmp_path / "m.zarr").verify()) == []
    with open_xarray(tmp_path / "m.zarr") as dataset:
        mask = dataset["mask"]
        assert mask.dtype == np.uint8
        assert mask.dims == (("time", "y", "x") if masks == "shared" else ("time", "band", "y", "x"))
        assert mask.rio.crs.to_epsg() == 32610
        for step in range(2):
            if masks == "shared":
                np.testing.assert_array_equal(mask[step], image[f"m{step}"])
            else:
                assert list(mask.band.values) == ["B1", "B2", "B3"]
                for band in range(3):
                    np.testing.assert_array_equal(mask[step, band], image[f"m{step}_{band}"])


def test_nan_is_put_in_where_the_mask_says_so(bench, tmp_path):
    fills = {"B1": math.nan, "B2": -math.inf, "B3": 7}
    plan = bench.plan(dtypes=("float32", "float64", "uint8"), fills=fills)
    image = bench.pixels(plan)
    for name in ("p0_0", "p0_1"):
        image[name] = np.arange(172 * 282).reshape(172, 282)
    image["m0_0"] = image["p0_0"] % 3 == 0
    image["m0_1"] = image["p0_1"] % 5 == 0
    bench.store_all(plan, tmp_path / "n.zarr", image)
    group = zarr.open_group(tmp_path / "n.zarr", mode="r")
    for name, every, fill in (("B1", 3, np.nan), ("B2", 5, -np.inf)):
        numbers = np.arange(172 * 282).reshape(172, 282)
        np.testing.assert_array_equal(group[name][:], np.where(numbers % every == 0, numbers, fill))
    np.testing.assert_array_equal(group["B3"][:], image["p0_2"])
    assert "mask" not in group
    with open_xarray(tmp_path / "n.zarr") as dataset:
        assert dataset["B1"].rio.encoded_nodata != dataset["B1"].rio.encoded_nodata


def test_a_cube_grows_and_touches_nothing_old(bench, output):
    old = bench.plan(steps=5, step_starts=(0, 3))
    new = bench.plan(steps=8, step_starts=(0, 3, 5))
    image = bench.pixels(new, seed=8)
    fetch_missing(bench, old, output, image)
    asked = fetch_missing(bench, new, output, image)
    assert asked == list(range(old.tile_count, new.tile_count))
    job = open_store(output)
    assert job.plan == new
    assert list(job.verify()) == []
    for tile in new:
        for name, plane in zip(expected_order(new, tile), bench.planes(job, tile), strict=True):
            np.testing.assert_array_equal(plane, image[name][tile.window.rows, tile.window.cols])


def test_xarray_sees_a_grown_cube(bench, tmp_path):
    for steps, starts in ((2, (0,)), (5, (0, 2))):
        plan = bench.plan(shape=(70, 90), steps=steps, step_starts=starts)
        fetch_missing(bench, plan, tmp_path / "g.zarr", bench.pixels(plan))
    with open_xarray(tmp_path / "g.zarr") as dataset:
        assert dataset.sizes["time"] == 5
        assert list(dataset.image_ids.values) == [step.images[0] for step in plan.steps]
        assert np.all(np.diff(dataset.time.values) > np.timedelta64(0, "ns"))


@pytest.mark.parametrize("broken_after", ["record", "arrays"])
def test_growing_goes_on_after_a_crash(bench, tmp_path, monkeypatch, broken_after):
    old, new = bench.plan(steps=2), bench.plan(steps=4, step_starts=(0, 2))
    image = bench.pixels(new, seed=2)
    fetch_missing(bench, old, tmp_path / "g.zarr", image)
    name = {"record": "grow_group", "arrays": "replace_attributes"}[broken_after]
    with monkeypatch.context() as broken:
        broken.setattr(f"eezarr.store.creation.{name}", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            bench.sink(new, tmp_path / "g.zarr")
    with pytest.raises(StoreError, match="broken off"):
        open_store(tmp_path / "g.zarr")
    assert len(fetch_missing(bench, new, tmp_path / "g.zarr", image)) == new.tile_count - old.tile_count
    assert list(open_store(tmp_path / "g.zarr").verify()) == []


def test_no_old_step_may_change_vanish_or_be_preceded(bench, output):
    old = bench.plan(steps=3)
    bench.store_all(old, output)
    altered = dataclasses.replace(old.steps[2], images=("projects/p/assets/other",))
    for steps in ((*old.steps[:2], altered), old.steps[:2], (bench.step(-1), *old.steps)):
        starts = (0,) if len(steps) <= 3 else (0, 3)
        with pytest.raises(ForeignStore, match="only grows at the end"):
            bench.sink(dataclasses.replace(old, steps=steps, step_starts=starts), output)
    assert list(open_store(output).verify()) == []


def test_marks_of_a_packed_request_are_not_taken_for_a_longer_one(bench, output):
    """Five steps in one request, stored; a sixth step must not slip into that request's tile."""
    bench.store_all(bench.plan(steps=5), output)
    with pytest.raises(ForeignStore, match="was begun with"):
        bench.sink(bench.plan(steps=6), output)


def test_the_record_of_a_cube_is_plain_json(bench, tmp_path):
    plan = bench.plan(dtypes=("float32",), fills={"B1": math.nan}, steps=2)
    bench.sink(plan, tmp_path / "j.zarr")

    def refuse(name):
        raise AssertionError(name)

    json.loads((tmp_path / "j.zarr/.eezarr/job.json").read_text(), parse_constant=refuse)
    assert repr(open_store(tmp_path / "j.zarr").plan) == repr(plan)

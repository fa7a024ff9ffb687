"""Assets as the Quickstart prints them, and local files as assets."""

from __future__ import annotations

import numpy as np
import pytest

from eezarr.emulator.files import UnreadableFile
from eezarr.emulator.raster import AssetNotFound, EvaluationError, Grid
from eezarr.emulator.world import SyntheticWorld

PUBLIC = "projects/earthengine-public/assets/"
QUICKSTART = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"


@pytest.fixture(scope="module")
def world() -> SyntheticWorld:
    return SyntheticWorld()


def test_the_folder_of_the_quickstart(world):
    assert world.asset(f"{PUBLIC}LANDSAT") == {"id": "LANDSAT", "name": f"{PUBLIC}LANDSAT", "type": "FOLDER"}


def test_the_image_of_the_quickstart(world):
    asset = world.asset(PUBLIC + QUICKSTART)
    assert ",".join(band["id"] for band in asset["bands"]) == (
        "B1,B2,B3,B4,B5,B6,B7,B8,B8A,B9,B10,B11,B12,QA10,QA20,QA60"
    )
    assert asset["bands"][0] == {
        "dataType": {"precision": "INT", "range": {"max": 65535}},
        "grid": {
            "affineTransform": {"scaleX": 60, "scaleY": -60, "translateX": 499980, "translateY": 4200000},
            "crsCode": "EPSG:32610",
            "dimensions": {"height": 1830, "width": 1830},
        },
        "id": "B1",
        "pyramidingPolicy": "MEAN",
    }
    sides = {band["id"]: band["grid"]["dimensions"]["width"] for band in asset["bands"]}
    assert {sides[name] for name in ("B2", "B3", "B4", "B8", "QA10")} == {10980}
    assert {sides[name] for name in ("B5", "B6", "B7", "B8A", "B11", "B12", "QA20")} == {5490}
    assert {sides[name] for name in ("B1", "B9", "B10", "QA60")} == {1830}
    ranges = {band["id"]: band["dataType"]["range"] for band in asset["bands"]}
    assert ranges["QA20"] == {"max": 4294967295}
    assert asset["properties"]["CLOUDY_PIXEL_PERCENTAGE"] == 0
    assert asset["startTime"] == "2017-04-30T19:03:51Z"
    assert asset["type"] == "IMAGE"
    assert asset["id"] == QUICKSTART
    assert isinstance(asset["sizeBytes"], str)
    ring = asset["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert min(x for x, _ in ring) == pytest.approx(-123.0002, abs=0.01)
    assert max(y for _, y in ring) == pytest.approx(37.95, abs=0.01)


def test_the_children_of_a_collection_are_its_images_in_order(world):
    children = world.children(f"{PUBLIC}COPERNICUS/S2")
    names = [child["name"] for child in children]
    assert names == sorted(names)
    assert PUBLIC + QUICKSTART in names
    assert all(child["type"] == "IMAGE" for child in children)
    assert {child["id"][-6:] for child in children} == {"T10SEG", "T10SFG", "T10SEH", "T10SFH"}
    april = [c["properties"] for c in children if "2017-04" in c["startTime"] and c["id"].endswith("T10SEG")]
    clear = {
        item["system:index"]: item["CLOUDY_PIXEL_PERCENTAGE"] for item in april if item["CLOUDY_PIXEL_PERCENTAGE"] < 10
    }
    assert clear == {
        "20170420T184921_20170420T190203_T10SEG": 4.3166,
        "20170430T190351_20170430T190351_T10SEG": 0,
    }
    assert len(april) == 6


def test_folders_hold_what_lies_directly_inside(world):
    inside = [child["id"] for child in world.children(f"{PUBLIC}COPERNICUS")]
    assert inside == ["COPERNICUS/S2", "COPERNICUS/S2_SR_HARMONIZED"]
    assert world.children(f"{PUBLIC}LANDSAT") == []
    assert [child["id"] for child in world.children(f"{PUBLIC}NOAA/NGDC")] == ["NOAA/NGDC/ETOPO1"]


@pytest.mark.parametrize("name", [f"{PUBLIC}NOPE", f"{PUBLIC}COPERNICUS/S2/NOPE", "projects/p/assets/x"])
def test_what_does_not_exist_is_not_found(world, name):
    for method in (world.asset, world.image, world.children):
        with pytest.raises(AssetNotFound):
            method(name)


def test_a_collection_is_no_image(world):
    with pytest.raises(EvaluationError, match="not an Image"):
        world.image(f"{PUBLIC}COPERNICUS/S2")


def test_elevations(world):
    grid = Grid(crs="EPSG:4326", transform=(1.0, 0, -180.0, 0, -1.0, 60.0), width=360, height=110)
    metres = world.image("NOAA/NGDC/ETOPO1").read(grid, ["bedrock"])[0]
    assert metres.values.dtype == np.float32
    assert metres.valid.all()
    assert 0.1 < (metres.values > 0).mean() < 0.6
    land = SyntheticWorld(under_mask="sentinel").image("USGS/SRTMGL1_003").read(grid, ["elevation"])[0]
    assert land.values.dtype == np.int16
    assert 0.1 < land.valid.mean() < 0.6
    assert set(land.values[~land.valid].tolist()) == {-32768}
    assert (land.values[land.valid] >= 0).all()


def test_the_mixed_image_uses_every_type_over_its_range(world):
    image = world.image("projects/eezarr/assets/mixed")
    dtypes = [band.dtype for band in image.bands]
    assert dtypes == ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64", "float64"]
    grid = Grid(crs="EPSG:32610", transform=(10.0, 0, 550_000.0, 0, -10.0, 4_150_000.0), width=300, height=300)
    for plane, band in zip(image.read(grid, [band.id for band in image.bands]), image.bands, strict=True):
        assert plane.values.dtype == band.dtype
        assert 0.8 < plane.valid.mean() < 0.95
        if plane.values.dtype.kind in "iu":
            span = float(plane.values.max()) - float(plane.values.min())
            assert span > 0.99 * (band.maximum - band.minimum)
    longs = image.read(grid, ["i64"])[0].values
    assert np.abs(longs).max() > 2**40
    np.testing.assert_array_equal(longs, np.trunc(longs))


def test_a_geotiff_is_an_asset(tmp_path):
    import rasterio

    path = tmp_path / "a.tif"
    pixels = np.arange(600, dtype=np.int16).reshape(20, 30) - 5
    profile = {"driver": "GTiff", "width": 30, "height": 20, "count": 1, "dtype": "int16", "nodata": -5}
    transform = rasterio.Affine(10, 0, 500_000, 0, -10, 4_200_000)
    with rasterio.open(path, "w", crs="EPSG:32610", transform=transform, **profile) as dataset:
        dataset.write(pixels, 1)
        dataset.set_band_description(1, "height")
    world = SyntheticWorld(files={"projects/p/assets/dem": path}, under_mask="sentinel")
    image = world.image("projects/p/assets/dem")
    grid = Grid(crs="EPSG:32610", transform=(10.0, 0, 499_990.0, 0, -10.0, 4_200_000.0), width=30, height=20)
    plane = image.read(grid, ["height"])[0]
    np.testing.assert_array_equal(plane.values[:, 1:], pixels[:, :-1])
    assert not plane.valid[:, 0].any()
    assert not plane.valid[0, 1]
    assert plane.valid.sum() == 20 * 29 - 1
    assert plane.values[0, 1] == -5
    assert [child["id"] for child in world.children("projects/p/assets")] == ["projects/p/assets/dem"]


def test_a_zarr_group_is_an_asset(tmp_path):
    import zarr

    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w")
    pixels = np.arange(600, dtype=np.float32).reshape(20, 30)
    pixels[3, 4] = np.nan
    group.create_array("ndvi", data=pixels, chunks=(8, 8))
    reference = group.create_array("spatial_ref", shape=(), dtype="int64")
    reference.attrs["crs_wkt"] = "EPSG:32610"
    reference.attrs["GeoTransform"] = "500000.0 10.0 0.0 4200000.0 0.0 -10.0"
    image = SyntheticWorld(files={"users/me/ndvi": path}).image("users/me/ndvi")
    grid = Grid(crs="EPSG:32610", transform=(10.0, 0, 500_000.0, 0, -10.0, 4_200_000.0), width=30, height=20)
    plane = image.read(grid, ["ndvi"])[0]
    np.testing.assert_array_equal(plane.values, np.nan_to_num(pixels))
    assert np.argwhere(~plane.valid).tolist() == [[3, 4]]


def test_a_file_without_a_place_is_refused(tmp_path):
    import zarr

    zarr.open_group(tmp_path / "b.zarr", mode="w").create_array("x", data=np.zeros((2, 2)))
    with pytest.raises(UnreadableFile):
        SyntheticWorld(files={"projects/p/assets/b": tmp_path / "b.zarr"})


def test_the_globe_has_no_seam_and_every_window_shows_the_same():
    from eezarr.emulator.planet import heights

    rows, cols = np.arange(3000, 3400), np.arange(21_600)
    whole = heights(rows, cols, 60, 90)
    np.testing.assert_array_equal(heights(rows[37:90], cols[1234:1300], 60, 90), whole[37:90, 1234:1300])
    np.testing.assert_array_equal(heights(rows[::7], cols[::13], 60, 90), whole[::7, ::13])
    steps = np.abs(np.diff(whole.astype(float), axis=1))
    across = np.abs(whole[:, 0].astype(float) - whole[:, -1])
    # The texture does not close, the forms do: a broken seam of theirs would be hundreds of metres.
    assert np.median(across) < np.median(steps) + 150
    # Nor is there a step where one cell of the forms ends and the next begins, every 30 pixels.
    columns = np.median(steps, axis=0)
    assert columns[29::30].mean() < 1.5 * columns.mean()
    pole = heights(np.arange(4), cols, 60, 90)
    assert np.ptp(pole) < 60
    # Both assets show the same forms.
    fine = heights(np.arange(2400, 2480), np.arange(4000, 4080), 120, 60)
    coarse = heights(np.arange(1200, 1240) + 1800, np.arange(2000, 2040), 60, 90)
    assert abs(float(fine.mean()) - float(coarse.mean())) < 300


def test_the_globe_is_land_and_sea_without_stripes():
    from eezarr.emulator.planet import heights

    world = heights(np.arange(0, 10_800, 30), np.arange(0, 21_600, 30), 60, 90)
    land = world > 0
    assert 0.2 < land.mean() < 0.45
    assert -6000 < world.min() < -4000
    assert 4000 < world.max() < 9000
    # Woven cloth has nine tenths of its relief in forty frequencies; a planet spreads it.
    relief = np.sort(np.abs(np.fft.fft2(np.diff(world.astype(float), axis=1))).ravel() ** 2)
    assert relief[-40:].sum() / relief.sum() < 0.2

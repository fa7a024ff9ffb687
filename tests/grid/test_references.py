"""CRSs as people have them, grids that other libraries have, and pixels that are degrees where metres were meant."""

from __future__ import annotations

import json

import numpy as np
import pyproj
import pytest
from affine import Affine

from eezarr.errors import InvalidInput
from eezarr.grid import PixelGrid, Shape2D, canonical_crs, parse_crs
from eezarr.grid.crs import LON_LAT, projector
from eezarr.samples import patch_grid

BOX = (-122.2, 37.4, -122.1, 37.5)
UTM_10N = pyproj.CRS(32610)
MODIS_WKT = (
    'PROJCS["MODIS Sinusoidal",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,'
    'AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],'
    'UNIT["degree",0.01745329251994328,AUTHORITY["EPSG","9122"]],AUTHORITY["EPSG","4326"]],PROJECTION["Sinusoidal"],'
    'PARAMETER["false_easting",0.0],PARAMETER["false_northing",0.0],PARAMETER["central_meridian",0.0],'
    'PARAMETER["semi_major",6371007.181],PARAMETER["semi_minor",6371007.181],UNIT["m",1.0]{}]'
)


class WithWkt:
    def to_wkt(self):
        return UTM_10N.to_wkt()


def crs_of_rasterio():
    crs = pytest.importorskip("rasterio.crs")
    return crs.CRS.from_epsg(32610)


def crs_of_odc():
    geo = pytest.importorskip("odc.geo")
    return geo.CRS("EPSG:32610")


@pytest.mark.parametrize(
    "crs",
    [
        32610,
        np.int64(32610),
        "32610",
        " epsg:32610 ",
        UTM_10N,
        UTM_10N.to_json(),
        UTM_10N.to_json_dict(),
        WithWkt(),
        crs_of_rasterio,
        crs_of_odc,
        "utm",
        "UTM",
    ],
)
def test_a_crs_is_taken_as_people_have_it(crs):
    crs = crs() if callable(crs) else crs
    expected = PixelGrid.from_region(BOX, crs="EPSG:32610", resolution=10)
    grid = PixelGrid.from_region(BOX, crs=crs, resolution=10)
    assert grid == expected
    if crs not in ("utm", "UTM"):
        assert PixelGrid.of(crs, expected.transform, (expected.height, expected.width)) == grid
        assert PixelGrid.from_region(tuple(grid.bounds), crs=32610, resolution=10, region_crs=crs) == grid


def test_wkt_stays_as_it_was_given_and_means_the_same():
    wkt = UTM_10N.to_wkt()
    assert canonical_crs(wkt) == wkt
    assert PixelGrid.from_region(BOX, crs=wkt, resolution=10).bounds == (
        PixelGrid.from_region(BOX, crs=32610, resolution=10).bounds
    )


@pytest.mark.parametrize(
    "crs",
    [
        "IAU:49900",
        "IAU_2015:49910",
        "IAU_2015:30100",
        None,
        True,
        1.5,
        -1,
        10**30,
        "",
        "nonsense",
        [],
        {},
        {"type": "x"},
        "�",
        "a\x00b",
        "EPSG:5703",
        "+proj=utm",
        object(),
        object,
        pyproj.CRS,
    ],
)
def test_what_is_no_crs_of_the_earth_is_refused(crs):
    for call in (
        lambda: parse_crs(crs),
        lambda: canonical_crs(crs),
        lambda: PixelGrid.from_region(BOX, crs=crs, resolution=10),
        lambda: PixelGrid.from_region(BOX, crs=32610, region_crs=crs, resolution=10),
        lambda: PixelGrid.around(-122, 37, size=5, crs=crs, resolution=10),
        lambda: patch_grid(-122, 37, crs=crs, resolution=10, size=Shape2D(5, 5)),
        lambda: projector(LON_LAT, crs),
    ):
        with pytest.raises(InvalidInput):
            call()


def test_a_crs_object_that_cannot_write_itself_is_refused():
    class Broken:
        def to_wkt(self):
            raise RuntimeError("no database")

    with pytest.raises(InvalidInput, match="no database"):
        parse_crs(Broken())


@pytest.mark.parametrize(
    "crs",
    [
        "SR-ORG:6974",
        "sr-org:6842",
        "SR-ORG:6965",
        MODIS_WKT.format(',AUTHORITY["SR-ORG","6974"]'),
        MODIS_WKT.format(""),
        MODIS_WKT.format("").replace(',PARAMETER["semi_minor",6371007.181]', ""),
        MODIS_WKT.format(',AUTHORITY["SR-ORG","6842"]').replace(
            ',PARAMETER["semi_major",6371007.181],PARAMETER["semi_minor",6371007.181]', ""
        ),
    ],
)
def test_the_sinusoidal_grid_of_modis_is_on_its_sphere_however_it_is_written(crs):
    ((x, y),) = projector(LON_LAT, crs)(np.array([(10.0, 50.0)]))
    assert (x, y) == pytest.approx((714_748.016690, 5_559_752.598833), abs=1e-5)
    written = parse_crs(crs).to_wkt()
    ((_, again),) = projector(LON_LAT, written)(np.array([(10.0, 50.0)]))
    assert again == pytest.approx(5_559_752.598833, abs=1e-5)


def test_axes_in_wkt_are_those_of_any_projection():
    wkt = (
        MODIS_WKT.format("")
        .replace("Sinusoidal", "Cylindrical_Equal_Area")
        .replace("central_meridian", "longitude_of_center")
    )
    wkt = wkt.replace("6371007.181", "6400000")
    assert parse_crs(wkt).ellipsoid.semi_major_metre == 6_400_000


@pytest.mark.parametrize(
    ("crs", "resolution", "region"),
    [
        ("EPSG:4326", 30, BOX),
        ("EPSG:4326", 30, (-180, -90, 180, 90)),
        ("EPSG:4326", 1, BOX),
        ("EPSG:4326", (11, 0.1), (-180, -90, 180, 90)),
        ("EPSG:4269", 10, BOX),
        ("OGC:CRS84", 1000, (0, 0, 40, 40)),
    ],
)
def test_metres_taken_for_degrees_are_refused(crs, resolution, region):
    metres = resolution[0] if isinstance(resolution, tuple) else resolution
    with pytest.raises(InvalidInput, match=f"for metres give scale = {metres}"):
        PixelGrid.from_region(region, crs=crs, resolution=resolution)


def test_coarse_pixels_that_are_meant_are_taken():
    assert PixelGrid.from_region((-180, -90, 180, 90), crs=4326, resolution=10).shape == Shape2D(18, 36)
    assert PixelGrid.from_region(BOX, crs=4326, scale=100_000).shape.size >= 1  # a pixel larger than the region
    assert PixelGrid.from_region(BOX, crs="utm", scale=100_000).shape.size >= 1
    one = (500_000, 4_100_000, 500_010, 4_100_010)
    assert PixelGrid.from_region(one, crs=32610, resolution=10, region_crs=32610).shape == Shape2D(1, 1)
    # Along one side only: a river, a road.
    assert PixelGrid.from_region((500_000, 0, 500_001, 90), crs=32610, resolution=10, region_crs=32610).width == 1


@pytest.mark.parametrize(
    ("crs", "unit"), [("EPSG:32610", "metres"), ("utm", "metres"), ("EPSG:2225", "US survey foot")]
)
def test_a_pixel_larger_than_the_region_is_refused_with_the_numbers(crs, unit):
    with pytest.raises(
        InvalidInput, match=rf"A pixel of 1e\+06 by 1e\+06 {unit} is larger than the region, which is .* scale = 1e"
    ):
        PixelGrid.from_region(BOX, crs=crs, resolution=1e6)


def test_samples_of_a_hundred_degrees_are_refused():
    with pytest.raises(InvalidInput, match=r"larger than 10 degrees.* scale = 30"):
        patch_grid(0, 0, crs="EPSG:4326", resolution=30, size=Shape2D(4, 4))


@pytest.mark.parametrize("size", [1, 2, 5, 64, (3, 4)])
@pytest.mark.parametrize("crs", ["utm", 32610, "EPSG:4326"])
def test_a_patch_round_a_place_is_that_of_a_sample_there(size, crs):
    steps = {"resolution": 10 if crs != "EPSG:4326" else 0.001}
    shape = Shape2D(*size) if isinstance(size, tuple) else Shape2D(size, size)
    grid = PixelGrid.around(-122.17, 37.42, size=size, crs=crs, **steps)
    assert grid == patch_grid(-122.17, 37.42, crs=crs, size=shape, **steps)
    assert PixelGrid.around(-122.17, 37.42, size=size, crs=crs, scale=10).shape == shape


@pytest.mark.parametrize(
    "wrong",
    [
        {"lon": None},
        {"lat": 91},
        {"lon": float("nan")},
        {"lon": "x"},
        {"size": 0},
        {"size": (1, 2, 3)},
        {"size": 1.5},
        {"size": None},
        {"scale": -1},
        {"scale": None},
        {"scale": "10"},
        {"resolution": 3},
        {"lat": 89, "crs": "utm"},
    ],
)
def test_what_makes_no_patch_is_refused(wrong):
    arguments = {"lon": 0, "lat": 0, "size": 4, "scale": 10} | wrong
    with pytest.raises(InvalidInput):
        PixelGrid.around(arguments.pop("lon"), arguments.pop("lat"), **arguments)


def test_grids_go_to_odc_and_back():
    pytest.importorskip("odc.geo")
    grid = PixelGrid.from_region(BOX, crs=32610, resolution=10)
    geobox = grid.to_geobox()
    assert (geobox.shape, geobox.transform, geobox.crs.epsg) == ((grid.height, grid.width), grid.transform, 32610)
    assert PixelGrid.from_geobox(geobox) == grid
    assert PixelGrid.like(geobox) == grid
    with pytest.raises(InvalidInput, match="no GeoBox"):
        PixelGrid.from_geobox(grid.transform)


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rioxarray's
def test_a_grid_like_that_of_a_file_or_of_what_is_open(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    grid = PixelGrid.from_region(BOX, crs=32610, resolution=100)
    path = tmp_path / "image.tif"
    profile = {"width": grid.width, "height": grid.height, "crs": grid.crs, "transform": grid.transform}
    with rasterio.open(path, "w", driver="GTiff", count=1, dtype="uint8", **profile):
        pass
    assert PixelGrid.like(path) == PixelGrid.like(str(path)) == PixelGrid.like(grid) == grid
    with rasterio.open(path) as file:
        assert PixelGrid.like(file) == grid
    rioxarray = pytest.importorskip("rioxarray")
    with rioxarray.open_rasterio(path) as array:
        assert PixelGrid.like(array) == grid
        assert PixelGrid.like(array.to_dataset(name="image")) == grid


@pytest.mark.parametrize("source", [None, 5, "absent.zarr", object(), np.zeros((2, 2)), b"x", __file__])
def test_what_has_no_grid_is_refused(source):
    from eezarr.errors import EezarrError

    with pytest.raises(EezarrError):
        PixelGrid.like(source)


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": "4"},
        {"width": 4.5},
        {"height": True},
        {"height": None},
        {"width": -1},
        {"transform": None},
        {"transform": (1, 2, 3)},
        {"transform": "abcdef"},
        {"transform": (1, 0, 0, 0, float("nan"), 0)},
        {"crs": None},
    ],
)
def test_what_makes_no_grid_is_refused(wrong):
    fields = {"crs": "EPSG:32610", "transform": Affine(10, 0, 0, 0, -10, 0), "width": 4, "height": 4}
    with pytest.raises(InvalidInput):
        PixelGrid(**fields | wrong)
    assert PixelGrid(**fields | {"crs": 32610, "width": np.int64(4), "transform": (10, 0, 0, 0, -10, 0)}) == (
        PixelGrid(**fields)
    )
    assert json.dumps(PixelGrid(**fields | {"width": np.int64(4)}).to_request())

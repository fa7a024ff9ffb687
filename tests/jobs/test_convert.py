"""From the service to overviews and GeoTIFFs: the commands as their users run them."""

import json

import numpy as np
import pytest
import rasterio
import zarr

from known import SCENE

GRID = 'crs = "EPSG:32610"\ntransform = [10, 0, 499980, 0, -10, 4200000]\nshape = [700, 600]'
PLACE = {"crs": "EPSG:32610", "transform": (10, 0, 499980, 0, -10, 4200000), "height": 700, "width": 600}
SCENE_NAME = f"projects/earthengine-public/assets/{SCENE}"

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # inside rasterio


def halves(plane, *, is_mean):
    """Of an even number of rows and columns."""
    cells = plane.reshape(plane.shape[0] // 2, 2, plane.shape[1] // 2, 2)
    return np.rint(cells.mean(axis=(1, 3))).astype(plane.dtype) if is_mean else cells[:, 0, :, 0]


def test_a_store_with_overviews_becomes_a_geotiff(eezarr, emulator, truth, tmp_path, job):
    bands = ["B4", "QA60"]
    job(image=f'asset = "{SCENE}"\nbands = ["B4", "QA60"]', grid=GRID, rest="[store]\noverviews = true")
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--json")
    assert ended.code == 0, ended.err
    expected = truth(SCENE_NAME, bands, **PLACE)
    described = {band.id: band.pyramiding for band in emulator_bands(emulator)}
    level = zarr.open_group(tmp_path / "out.zarr", mode="r")["ovr_2x"]
    for name, plane in zip(bands, expected, strict=True):
        np.testing.assert_array_equal(level[name][:], halves(plane, is_mean=described[name] == "MEAN"))
    ended = eezarr("convert", "out.zarr", "out.tif")
    assert ended.code == 0, ended.err
    assert ended.out == "out.tif: B4, QA60 uint16, 700 rows x 600 columns\n"
    assert "reads the store" in ended.err
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.crs.to_epsg() == 32610
        np.testing.assert_array_equal(file.read(), expected)


def emulator_bands(emulator):
    """The scene's bands as the service describes them."""
    import asyncio

    import eezarr as package

    async def ask():
        async with package.Client(project="my-project", api_url=emulator.url) as client:
            return (await client.get_asset(SCENE)).bands

    return asyncio.run(ask())


def test_overviews_may_be_asked_for_later(eezarr, emulator, tmp_path, job):
    job(grid=GRID)
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url).code == 0
    before = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert "multiscales" not in before.attrs
    asked = emulator.stats().pixel_requests
    job(grid=GRID, rest='[store]\noverviews = "nearest"')
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url)
    assert ended.code == 0, ended.err
    assert emulator.stats().pixel_requests == asked
    after = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert json.loads(after.attrs["eezarr"])["fingerprint"] == json.loads(before.attrs["eezarr"])["fingerprint"]
    np.testing.assert_array_equal(after["ovr_2x/B4"][:], after["B4"][::2, ::2])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere.zarr", "o.tif"], 5, ["no store at nowhere.zarr"]),
        (["other.zarr", "o.tif"], 5, ["no pixels that eezarr stored"]),
        (["out.zarr", "there.tif"], 2, ["there already", "--overwrite"]),
        (["out.zarr", "o.tif", "--bands", "B9"], 2, ["no bands B9", "B2, B4"]),
        (["out.zarr", "o.tif", "--time", "2017"], 2, ["no time axis"]),
        (["out.zarr", "o.tif", "--nodata", "none"], 2, ["'none' is no number"]),
        (["out.zarr", "o.tif", "--dtype", "uint8"], 2, ["'uint8'", "--dtype uint16"]),
    ],
)
def test_what_cannot_be_is_one_clear_line(eezarr, emulator, tmp_path, job, arguments, code, says):
    job(grid=GRID.replace("[700, 600]", "[70, 60]"))
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url).code == 0
    zarr.create_group(tmp_path / "other.zarr")
    (tmp_path / "there.tif").write_bytes(b"dear")
    ended = eezarr("convert", *arguments)
    assert ended.code == code, ended.err
    (line,) = ended.err.strip().splitlines()
    for part in says:
        assert part in line
    assert not (tmp_path / "o.tif").exists()
    assert (tmp_path / "there.tif").read_bytes() == b"dear"


def test_options_reach_the_file(eezarr, emulator, tmp_path, job):
    job(grid=GRID.replace("[700, 600]", "[70, 60]"), rest='[mask]\nmode = "band"')
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url).code == 0
    options = ["--bands", "B4", "--dtype", "float32", "--nodata", "nan", "--compress", "zstd", "--quiet"]
    ended = eezarr("convert", "out.zarr", "o.tif", *options)
    assert (ended.code, ended.err) == (0, "")
    with rasterio.open(tmp_path / "o.tif") as file:
        assert (file.dtypes, file.descriptions) == (("float32",), ("B4",))
        assert np.isnan(file.nodata)
        assert file.compression.value == "ZSTD"

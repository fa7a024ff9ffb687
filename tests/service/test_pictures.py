"""Pictures and GeoTIFF files of any size equal what one request without limits would answer."""

import numpy as np
import pytest
import rasterio
from PIL import Image as Picture

import eezarr
from eezarr import Visualization, frame_corner, frame_image, frame_region, write_geotiff, write_thumbnail
from known import SCENE

STRETCH = Visualization(ranges=((0, 3000),))
RGB = eezarr.Image.asset(SCENE, bands=["B4", "B3", "B2"])


@pytest.fixture
async def narrow(emulator):
    """A client whose tiles are 256 x 256: what is one request for others is many for it."""
    options = eezarr.FetchOptions.model_validate({"tile": (256, 256)})
    async with eezarr.Client(project="my-project", api_url=emulator.url, options=options) as opened:
        yield opened


def read(path):
    with Picture.open(path) as picture:
        return np.asarray(picture.convert("RGBA"))


@pytest.fixture
def limited(monkeypatch):
    """One request holds 600 x 600 pixels of a picture."""
    from eezarr.api import pictures

    monkeypatch.setattr(pictures, "_is_one_request", lambda _image, grid: grid.shape.size <= 360_000)


async def test_tiles_make_the_same_picture_as_one_request(narrow, limited, tmp_path):
    # Beyond the scene's north-west corner, so that a part is masked.
    grid = frame_corner((498_000, 4_201_000), crs="EPSG:32610", scale=10, size=(610, 620))
    await write_thumbnail(narrow, RGB, grid, tmp_path / "tiled.png", visualization=STRETCH)
    request = eezarr.PixelRequest(file_format="PNG", bands=RGB.bands, grid=grid, visualization=STRETCH)
    (tmp_path / "one.png").write_bytes(await narrow.get_pixels(SCENE, request))
    tiled, one = read(tmp_path / "tiled.png"), read(tmp_path / "one.png")
    np.testing.assert_array_equal(tiled[..., 3], one[..., 3])
    assert 0 < (tiled[..., 3] == 0).mean() < 1
    shown = one[..., 3] > 0
    np.testing.assert_allclose(tiled[shown].astype(int), one[shown].astype(int), atol=1)


async def test_a_picture_that_fits_is_the_services_own(client, emulator, tmp_path):
    grid = await frame_image(client, RGB, size=64)
    await write_thumbnail(client, RGB, grid, tmp_path / "a.jpg", visualization=STRETCH)
    assert emulator.stats().pixel_requests == 1
    with Picture.open(tmp_path / "a.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (64, 64))


async def test_a_geotiff_holds_the_values_on_their_grid(narrow, world, tmp_path):
    image = eezarr.Image.asset(SCENE, bands=["B4", "B8"])
    grid = eezarr.PixelGrid.of("EPSG:32610", (10, 0, 510_000, 0, -10, 4_190_000), (300, 520))
    path = tmp_path / "values.tif"
    await write_geotiff(narrow, image, grid, path)
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32610
        assert tuple(file.transform)[:6] == (10, 0, 510_000, 0, -10, 4_190_000)
        assert file.descriptions == ("B4", "B8")
        np.testing.assert_array_equal(file.read(), await narrow.pixels(image, grid))
    assert list(tmp_path.glob(".*")) == []


async def test_a_visualized_geotiff_has_colours_and_alpha(narrow, tmp_path):
    grid = frame_region((-122.2, 37.4, -122.15, 37.45), crs="EPSG:32610", size=300)
    await write_thumbnail(narrow, RGB, grid, tmp_path / "shown.tif", visualization=STRETCH)
    with rasterio.open(tmp_path / "shown.tif") as file:
        assert file.dtypes == ("uint8",) * 4
        assert [kind.name for kind in file.colorinterp] == ["red", "green", "blue", "alpha"]
        assert (file.read(4) == 255).all()
        assert file.read(1).std() > 1


async def test_a_geotiff_that_fails_leaves_no_file(client, emulator, tmp_path):
    grid = eezarr.PixelGrid.of("EPSG:32610", (10, 0, 510_000, 0, -10, 4_190_000), (64, 64))
    with pytest.raises(eezarr.EezarrError):
        await write_geotiff(client, eezarr.Image.asset(SCENE, bands=["B99"]), grid, tmp_path / "a.tif")
    with pytest.raises(eezarr.StoreError):
        await write_geotiff(client, RGB, grid, tmp_path / "missing" / "a.tif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.gif", "a"])
async def test_unknown_kinds_are_refused(client, tmp_path, name):
    grid = frame_corner((0, 0), crs="EPSG:4326", scale=10, size=(2, 2))
    with pytest.raises(eezarr.InvalidInput, match=r"no known kind"):
        await write_thumbnail(client, RGB, grid, tmp_path / name)


async def test_a_picture_has_one_band_or_three(client, emulator, tmp_path):
    grid = frame_corner((500_000, 4_190_000), crs="EPSG:32610", scale=10, size=(2, 2))
    with pytest.raises(eezarr.InvalidInput, match="not 16") as caught:
        await write_thumbnail(client, eezarr.Image.asset(SCENE), grid, tmp_path / "a.png")
    assert "B8A" in caught.value.hint
    assert emulator.stats().pixel_requests == 0


async def test_frames(client):
    whole = await frame_image(client, RGB, size=256)
    assert (whole.width, whole.height, whole.crs) == (256, 256, "EPSG:32610")
    assert whole.bounds == eezarr.PixelGrid.of("EPSG:32610", (10, 0, 499980, 0, -10, 4200000), (10980, 10980)).bounds
    wide = frame_region((10, 50, 12, 51), size=200)
    assert (wide.width, wide.height) == (200, 100)
    assert tuple(wide.bounds) == pytest.approx((10, 50, 12, 51), abs=1e-7)
    assert frame_region((10, 50, 12, 51), scale=1000).transform.a == pytest.approx(0.008983152841195215)
    corner = frame_corner((-122, 37), crs="EPSG:4326", scale=10, size=(3, 2))
    assert corner.transform.a == 8.983152841195215e-05
    assert corner.corner(0, 0) == (-122, 37)
    with pytest.raises(eezarr.InvalidInput):
        frame_region((10, 50, 12, 51))
    with pytest.raises(eezarr.InvalidInput, match="no extent"):
        await frame_image(client, eezarr.Image.expression(RGB.computed), size=3)


async def test_band_groups_find_their_places(emulator, limited, tmp_path):
    options = eezarr.FetchOptions.model_validate({"tile": (256, 256), "limits": {"bands": 1}})
    grid = frame_corner((510_000, 4_190_000), crs="EPSG:32610", scale=10, size=(610, 600))
    async with eezarr.Client(project="my-project", api_url=emulator.url, options=options) as single:
        await write_geotiff(single, RGB, grid, tmp_path / "a.tif")
        await write_thumbnail(single, RGB, grid, tmp_path / "a.png", visualization=STRETCH)
    async with eezarr.Client(project="my-project", api_url=emulator.url) as whole:
        pixels = await whole.pixels(RGB, grid)
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(), pixels)
    expected = np.clip(np.rint(np.moveaxis(pixels, 0, -1) / 3000 * 255), 0, 255)
    np.testing.assert_allclose(read(tmp_path / "a.png")[..., :3], expected, atol=1)

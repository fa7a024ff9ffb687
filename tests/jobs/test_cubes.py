"""Collections into cubes, every pixel and mask compared with the world, through the whole program over HTTP."""

import json

import numpy as np
import pytest
import xarray

from eezarr.emulator.raster import Grid
from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld
from jobs.series import (
    COARSE,
    REDUCERS,
    SEG,
    SEH,
    alter,
    grid_toml,
    image_of,
    layers,
    names_of,
    of,
    run,
    start_ms,
    stored,
    typed,
    without,
    write,
)  # fmt: skip
from known import CONFIGS

BANDS = ("B4", "B8")
SMALL_TILES = "[store]\nchunk = 16\n[fetch]\ntile = [32, 32]\nsteps = 2\n"
SPRING = {"start": "2017-04-05", "end": "2017-04-25"}
"""Four overpasses of a tile, two of them with the edge of the swath."""


UNDER = ("zero", "sentinel", "noise")


MODES = {
    "number": ('mode = "fill"\nfill = 65535', ""),
    "table": ('mode = "fill"\nfill = { B4 = 0, B8 = 9 }', ""),
    "nan": ('mode = "fill"', 'cast = { B4 = "float32", B8 = "float64" }'),
    "shared": ('mode = "band"', ""),
    "shared, filled": ('mode = "band"\nfill = 3', ""),
    "each": ('mode = "band"\nper_band = true', ""),
}
FILLS = {"number": (65535, 65535), "table": (0, 9), "nan": (np.nan, np.nan), "shared, filled": (3, 3)}
DTYPES = {"nan": ("float32", "float64")}


@pytest.mark.parametrize("mode", MODES)
def test_masks_become_what_the_job_says_whatever_lies_under_them(tmp_path, mode):
    """Three services that differ under their masks only: their stores are the same objects, byte for byte."""
    mask, more = MODES[mode]
    found = {}
    for under in UNDER:
        folder, world = tmp_path / under, SyntheticWorld(under_mask=under)
        folder.mkdir()
        path = write(folder, of(**SPRING, bands=BANDS, more=more), rest=f"[mask]\n{mask}\n{SMALL_TILES}")
        with EmulatorThread(world=world) as emulator:
            assert run(path, emulator).is_complete
        require_exact(stored(folder), world, mode)
        found[under] = chunks_of(folder / "out.zarr")
    assert len(found["zero"]) > 4 * 2 * 12
    assert found["zero"] == found["sentinel"] == found["noise"]


def require_exact(group, world, mode):
    names, every = names_of(**SPRING), True
    for position, band in enumerate(BANDS):
        expected = layers(world, names, band)
        dtype = DTYPES.get(mode, ("uint16", "uint16"))[position]
        assert group[band].dtype == dtype
        every = every & ~np.ma.getmaskarray(expected)
        filled = expected.astype(dtype).filled(FILLS.get(mode, (0, 0))[position])
        np.testing.assert_array_equal(group[band][:], filled)
        if mode == "each":
            np.testing.assert_array_equal(group["mask"][:, position], ~np.ma.getmaskarray(expected))
    if mode.startswith("shared"):
        np.testing.assert_array_equal(group["mask"][:], every)
    assert ("mask" in group) == (mode == "each" or mode.startswith("shared"))
    assert 0.2 < every.mean() < 0.8


def chunks_of(store):
    """All stored objects but documents and what is ours, by name."""
    files = [path for path in store.rglob("*") if path.is_file() and path.name != "zarr.json"]
    return {str(path.relative_to(store)): path.read_bytes() for path in files if ".eezarr" not in path.parts}


@pytest.mark.parametrize("under", UNDER)
def test_without_a_mask_mode_it_is_what_the_service_answers(tmp_path, under):
    world = SyntheticWorld(under_mask=under)
    with EmulatorThread(world=world) as emulator:
        assert run(write(tmp_path, of(**SPRING, bands=BANDS), rest=SMALL_TILES), emulator).is_complete
    for band in BANDS:
        planes = [world.image(name).read(COARSE, [band])[0].values for name in names_of(**SPRING)]
        np.testing.assert_array_equal(stored(tmp_path)[band][:], planes)


def test_an_expressions_own_masks_become_nan(tmp_path, job):
    text = (CONFIGS / "ndvi.json").read_text(encoding="utf-8").replace("20170430T190351_20170430T190351", EDGED)
    (tmp_path / "ndvi.json").write_text(text, encoding="utf-8")
    rest = '[mask]\nmode = "fill"\n[store]\nchunk = 16\n[fetch]\ntile = [32, 32]'
    path = job(image='expression = "ndvi.json"', grid=grid_toml(), rest=rest, output=tmp_path / "out.zarr")
    world = SyntheticWorld(under_mask="noise")
    with EmulatorThread(world=world) as emulator:
        assert run(path, emulator).is_complete
    plane = world.evaluate(json.loads(text)).read(COARSE, ["ndvi"])[0]
    assert 0.2 < plane.valid.mean() < 0.8
    found = stored(tmp_path)["ndvi"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:], np.where(plane.valid, plane.values, np.float32(np.nan)))


MIXED = "projects/eezarr/assets/mixed"
CORNER = Grid(crs="EPSG:32610", transform=(10.0, 0.0, 549_700.0, 0.0, -10.0, 4_150_250.0), width=90, height=70)
"""The corner of the mixed image: a third of the pixels lie outside it, an eighth of the rest is masked."""
TYPES = {"u8": "uint8", "i16": "int16", "u32": "uint32", "f32": "float32", "i64": "float64"}


@pytest.mark.parametrize("mode", ['fill"\nfill = { u8 = 255, i16 = -9, u32 = 0 }', 'band"', 'band"\nper_band = true'])
def test_an_assets_own_masks_inside_its_footprint_and_outside(tmp_path, job, mode):
    rest = f'[mask]\nmode = "{mode}\n[store]\nchunk = 32'
    image = f'asset = "{MIXED}"\nbands = {json.dumps(list(TYPES))}'
    path = job(image=image, grid=grid_toml(CORNER), rest=rest, output=tmp_path / "out.zarr")
    world = SyntheticWorld(under_mask="noise")
    with EmulatorThread(world=world) as emulator:
        assert run(path, emulator).is_complete
        assert emulator.stats().count("getPixels") == 0
    group, every = stored(tmp_path), True
    fills = {"u8": 255, "i16": -9, "u32": 0, "f32": np.nan, "i64": np.nan} if mode.startswith("fill") else {}
    for position, (band, dtype) in enumerate(TYPES.items()):
        expected = layers(world, [MIXED], band, CORNER)[0].astype(dtype)
        assert group[band].dtype == dtype
        np.testing.assert_array_equal(group[band][:], expected.filled(fills.get(band, 0)))
        every = every & ~np.ma.getmaskarray(expected)
        if "per_band" in mode:
            np.testing.assert_array_equal(group["mask"][position], ~np.ma.getmaskarray(expected))
    if mode == 'band"':
        np.testing.assert_array_equal(group["mask"][:], every)
    assert 0.1 < every.mean() < 0.7


EDGED = "20170417T184921_20170417T190203"


# Groups

GROUPS = {
    "solar_day": lambda name: name[:8],  # in California no overpass is near the sun's midnight
    "day": lambda name: name[:8],
    "month": lambda name: name[:6],
    "year": lambda name: name[:4],
    "all": lambda _: "",
}
BEGINS = {"day": "D", "month": "M", "year": "Y"}
TURN = {"start": "2017-12-15", "end": "2020-01-15", "tiles": (SEG, SEH)}
"""From one year of the collection into the next one that it has: six overpasses of two tiles."""


@pytest.mark.parametrize(
    ("group", "reduction"),
    [
        *(("month", reduction) for reduction in REDUCERS),
        *((group, reduction) for group in GROUPS if group != "month" for reduction in ("mosaic", "median")),
    ],
)
def test_groups_are_reduced_as_numpy_does(emulator, world, tmp_path, group, reduction):
    more = f'group = "{group}"\nreduce = "{reduction}"'
    rest = f'[mask]\nmode = "band"\nfill = 1\n{SMALL_TILES}'
    path = write(tmp_path, of(**TURN, bands=BANDS, more=more), rest=rest.replace("steps = 2\n", ""))
    assert run(path, emulator).is_complete
    opened, members = stored(tmp_path), {}
    for name in names_of(**TURN):
        members.setdefault(GROUPS[group](name.rpartition("/")[2]), []).append(name)
    assert len(members) == {"solar_day": 6, "day": 6, "month": 2, "year": 2, "all": 1}[group]
    for step, names in enumerate(members.values()):
        every = True
        for band in BANDS:
            expected = REDUCERS[reduction](layers(world, names, band))
            found = opened[band][:] if group == "all" else opened[band][step]
            assert found.dtype == ("float64" if reduction in ("median", "mean") else "uint16")
            np.testing.assert_allclose(found, np.ma.filled(expected, 1), rtol=1e-12, atol=0)
            every = every & ~np.ma.getmaskarray(expected)
        np.testing.assert_array_equal(opened["mask"][:] if group == "all" else opened["mask"][step], every)
        assert 0.05 < every.mean() < 0.95
    if group == "all":
        assert "time" not in opened
        return
    starts = np.array([start_ms(names[0]) for names in members.values()], "datetime64[ms]")
    with xarray.open_zarr(tmp_path / "out.zarr", decode_coords="all") as dataset:
        expected = starts.astype(f"datetime64[{BEGINS[group]}]") if group in BEGINS else starts
        np.testing.assert_array_equal(dataset.time.values, expected.astype(dataset.time.dtype))
        assert list(dataset.image_ids.values) == ["\n".join(names) for names in members.values()]


def test_the_probe_of_a_reduction_is_not_believed_once(emulator, tmp_path):
    """A wrong type that came over the wire once lays out no store."""
    emulator.script(["npy_dtype"])
    path = write(tmp_path, of(**SPRING, bands=BANDS, more='group = "month"\nreduce = "max"'))
    assert run(path, emulator).is_complete
    assert stored(tmp_path)["B4"].dtype == np.uint16


# Images that differ


def test_each_image_is_a_step_with_its_time_and_name(emulator, tmp_path):
    assert run(write(tmp_path, of(**SPRING, bands=BANDS)), emulator).is_complete
    names = names_of(**SPRING)
    assert len(names) == 4
    assert stored(tmp_path)["time"][:].tolist() == [start_ms(name) for name in names]
    assert stored(tmp_path)["image_ids"][:].tolist() == names


def test_types_that_differ_are_harmonised_by_a_cast(emulator, world, tmp_path, monkeypatch):
    alter(
        monkeypatch, {"20170407T190203_T10SEG": typed("B8", "float32"), "20170410T190351_T10SEG": typed("B8", "uint32")}
    )
    more = 'cast = { B8 = "float32" }'
    rest = f'[mask]\nmode = "band"\nper_band = true\n{SMALL_TILES}'
    assert run(write(tmp_path, of(**SPRING, bands=BANDS, more=more), rest=rest), emulator).is_complete
    assert [stored(tmp_path)[band].dtype for band in BANDS] == [np.uint16, np.float32]
    for position, band in enumerate(BANDS):
        expected = layers(world, names_of(**SPRING), band, dtype=np.float32)
        np.testing.assert_array_equal(stored(tmp_path)[band][:], expected.filled(0))
        np.testing.assert_array_equal(stored(tmp_path)["mask"][:, position], ~np.ma.getmaskarray(expected))


def test_images_that_lack_a_band_are_left_out(emulator, world, tmp_path, monkeypatch):
    alter(monkeypatch, {"20170410T190351_T10SEG": without("B8")})
    rest = f'[mask]\nmode = "fill"\nfill = 0\n{SMALL_TILES}'
    path = write(tmp_path, of(**SPRING, bands=BANDS, more='missing = "skip"'), rest=rest)
    assert run(path, emulator).is_complete
    names = [name for name in names_of(**SPRING) if "20170410" not in name]
    assert stored(tmp_path)["image_ids"][:].tolist() == names
    np.testing.assert_array_equal(stored(tmp_path)["B4"][:], layers(world, names, "B4").filled(0))


@pytest.mark.parametrize("group", ["none", "month"])
def test_bands_that_an_image_lacks_are_masked_there(emulator, world, tmp_path, monkeypatch, group):
    alter(monkeypatch, {"20170410T190351_T10SEG": without("B8")})
    rest = f'[mask]\nmode = "band"\nper_band = true\nfill = 5\n{SMALL_TILES}'
    more = f'missing = "mask"\ngroup = "{group}"\n' + ('reduce = "max"' if group == "month" else "")
    assert run(write(tmp_path, of(**SPRING, bands=BANDS, more=more), rest=rest), emulator).is_complete
    names = names_of(**SPRING)
    red = layers(world, names, "B4")
    near = np.ma.stack(
        [np.ma.masked_all((45, 60), np.uint16) if image_of(name).names.count("B8") == 0 else
         layers(world, [name], "B8")[0] for name in names]
    )  # fmt: skip
    for position, expected in enumerate((red, near)):
        planes = expected.max(axis=0)[None] if group == "month" else expected
        np.testing.assert_array_equal(stored(tmp_path)[BANDS[position]][:], planes.filled(5))
        np.testing.assert_array_equal(stored(tmp_path)["mask"][:, position], ~np.ma.getmaskarray(planes))
    assert np.ma.getmaskarray(near[1]).all()


# Grids


def test_the_native_grid_of_a_band_that_all_images_share(emulator, world, tmp_path):
    place = 'native = "B11"\nregion = [-122.03, 37.50, -122.0, 37.52]'
    path = write(tmp_path, of(**SPRING, bands=("B11", "B4")), grid=place, rest='[mask]\nmode = "fill"\nfill = 0')
    assert run(path, emulator).is_complete
    with xarray.open_zarr(tmp_path / "out.zarr", decode_coords="all", mask_and_scale=False) as dataset:
        left, top = float(dataset.x[0]) - 10, float(dataset.y[0]) + 10
        assert (float(dataset.x[1] - dataset.x[0]), float(dataset.y[1] - dataset.y[0])) == (20, -20)
        assert ((left - 499_980) % 20, (4_200_000 - top) % 20) == (0, 0)
        grid = Grid(
            crs="EPSG:32610", transform=(20.0, 0.0, left, 0.0, -20.0, top), height=dataset.sizes["y"],
            width=dataset.sizes["x"],
        )  # fmt: skip
        assert 100 < grid.width < 200
        for band in ("B11", "B4"):
            expected = layers(world, names_of(**SPRING), band, grid).filled(0)
            np.testing.assert_array_equal(dataset[band].values, expected)

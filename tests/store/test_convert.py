"""GeoTIFFs of stores: pixels against the arrays themselves, facts by rasterio, the layout by the TIFF's bytes."""

import math
import resource
import struct
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import zarr
from affine import Affine

from eezarr.errors import InvalidInput, StoreError
from eezarr.outputs.conversion import Conversion, convert_store
from eezarr.store import open_store

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # inside rasterio

CRS = rasterio.crs.CRS.from_epsg(32610)
TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
BIG = (1100, 1300)
"""Large enough for overviews, and a whole number of nothing."""


def convert(store, path, **options):
    return [spec.path for spec in convert_store(open_store(store), path, Conversion(**options))]


def directories(path):
    """The TIFF's image file directories in the order of the file: offset, width, height, kind, offsets of tiles."""
    body = path.read_bytes()
    assert body[:2] == b"II"
    is_big = struct.unpack_from("<H", body, 2)[0] == 43
    offset = struct.unpack_from("<Q", body, 8)[0] if is_big else struct.unpack_from("<I", body, 4)[0]
    head, entry, count_type, value_type = ("<Q", 20, "Q", "Q") if is_big else ("<H", 12, "I", "I")
    found = []
    while offset:
        number = struct.unpack_from(head, body, offset)[0]
        first = offset + struct.calcsize(head)
        tags = {}
        for position in range(first, first + number * entry, entry):
            tag, kind, count = struct.unpack_from(f"<HH{count_type}", body, position)
            code, size = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 16: ("Q", 8)}.get(kind, (None, 0))
            if code is None:
                continue
            inline = position + 4 + struct.calcsize(count_type)
            room = struct.calcsize(value_type)
            place = inline if size * count <= room else struct.unpack_from(f"<{value_type}", body, inline)[0]
            tags[tag] = struct.unpack_from(f"<{count}{code}", body, place)
        found.append({"offset": offset, "tags": tags})
        offset = struct.unpack_from(f"<{value_type}", body, first + number * entry)[0]
    return found, 16 if is_big else 8


def require_cloud_optimized(path, *, has_mask=False):
    """What GDAL's validate_cloud_optimized_geotiff.py asks for, from the bytes."""
    found, start = directories(path)
    sizes = [(one["tags"][256][0], one["tags"][257][0]) for one in found]
    kinds = [one["tags"].get(254, (0,))[0] for one in found]
    assert kinds[0] == 0
    assert all(324 in one["tags"] for one in found), "tiled"
    if 259 not in found[0]["tags"] or found[0]["tags"][259] != (1,):
        assert b"LAYOUT=IFDS_BEFORE_DATA" in path.read_bytes()[start : start + 100], "GDAL says so where it compresses"
    offsets = [one["offset"] for one in found]
    assert offsets == sorted(offsets)
    pictures = [one for one, kind in zip(found, kinds, strict=True) if not kind & 4]
    masks = [one for one, kind in zip(found, kinds, strict=True) if kind & 4]
    assert len(masks) == (len(pictures) if has_mask else 0)
    widths = [one["tags"][256][0] for one in pictures]
    assert widths == sorted(widths, reverse=True)
    if max(sizes[0]) > 512:
        assert len(pictures) > 1, "overviews"
        assert max(pictures[-1]["tags"][256][0], pictures[-1]["tags"][257][0]) <= 512
    # All directories come before all data, and the data of a coarser level before that of a finer one.
    firsts = [min(offset for offset in one["tags"][324] if offset) for one in pictures]
    assert max(offsets) < min(firsts)
    assert firsts == sorted(firsts, reverse=True)


def require_nothing_else(folder, *names):
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("kind", ["bands", "stacked"])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_pixel_and_fact_is_there(bench, tmp_path, kind, dtype):
    plan = bench.plan(dtypes=(dtype,) * 3, kind=kind, names=["B4", "B3", "QA"])
    image = bench.store_all(plan, tmp_path / "s.zarr")
    (path,) = convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    with rasterio.open(path) as file:
        assert (file.crs, file.transform, file.shape) == (CRS, plan.grid.transform, (172, 282))
        assert file.descriptions == ("B4", "B3", "QA")
        assert file.dtypes == (dtype,) * 3
        assert file.nodata is None
        assert file.compression.value == "DEFLATE"
        assert file.mask_flag_enums[0] == [rasterio.enums.MaskFlags.all_valid]
        for number, name in enumerate(("B4", "B3", "QA"), 1):
            assert file.read(number).tobytes() == image[name].tobytes()
    require_cloud_optimized(path)
    require_nothing_else(tmp_path, "s.zarr", "o.tif")


@pytest.mark.parametrize(
    ("compression", "chunk", "sharded"),
    [
        ("deflate", (128, 128), False),
        ("zstd", (100, 137), False),
        ("lzw", (1024, 1024), False),
        ("none", (256, 256), False),
        ("deflate", (128, 128), True),
    ],
)
def test_a_large_one_has_overviews_and_is_cloud_optimized(bench, output, tmp_path, chunk, compression, sharded):
    tile = tuple(4 * side for side in chunk)
    plan = bench.plan(shape=BIG, chunk=chunk, tile=tile, dtypes=("uint16", "uint16"), sharded=sharded)
    bench.store_all(plan, output)
    (path,) = convert(output, tmp_path / "o.tif", compression=compression)
    require_cloud_optimized(path)
    with rasterio.open(path) as file:
        assert file.overviews(1) == [2, 4]
        assert file.block_shapes == [(512, 512)] * 2
        assert (file.compression.value if file.compression else "NONE").lower() == compression
        np.testing.assert_array_equal(file.read(), whole(bench, output))
        np.testing.assert_array_equal(
            file.read(1, out_shape=(550, 650)), whole(bench, output)[0][::2, ::2], err_msg="integers: nearest"
        )


def whole(bench, output):
    """All bands as (band, y, x), from the arrays themselves."""
    from eezarr.store.location import locate

    group = zarr.open_group(locate(output).store, mode="r")
    return np.stack([group["B1"][:], group["B2"][:]])


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (513, 1), (512, 512), (64, 64), (65, 63)])
def test_edge_sizes(bench, tmp_path, shape):
    plan = bench.plan(shape=shape, dtypes=("int16",))
    image = bench.store_all(plan, tmp_path / "s.zarr")
    (path,) = convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    require_cloud_optimized(path)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), image["B1"])


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", Affine(0.001, 0, -122.6, 0, -0.001, 37.8)),
        ("EPSG:32710", Affine(20, 0, 300000, 0, 20, 4000000)),
        ("EPSG:32610", Affine.translation(500000, 4200000) @ Affine.rotation(30) @ Affine.scale(10, -10)),
        (
            rasterio.crs.CRS.from_proj4("+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m").to_wkt(),
            Affine(463.3127165279165, 0, -20015109.354, 0, -463.3127165279165, 10007554.677),
        ),
    ],
    ids=["degrees", "south-up", "rotated", "sinusoidal"],
)
def test_other_places(bench, tmp_path, crs, transform):
    plan = bench.plan(shape=(70, 90), crs=crs, transform=transform, dtypes=("uint8",))
    image = bench.store_all(plan, tmp_path / "s.zarr")
    (path,) = convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    with rasterio.open(path) as file:
        expected = rasterio.crs.CRS.from_user_input(crs)
        assert (file.crs.to_epsg(), file.crs.to_proj4()) == (expected.to_epsg(), expected.to_proj4())
        assert file.transform.almost_equals(transform, precision=1e-9)
        np.testing.assert_array_equal(file.read(1), image["B1"])
    require_nothing_else(tmp_path, "s.zarr", "o.tif")


@pytest.mark.parametrize(
    ("dtype", "fill"), [("float32", math.nan), ("float64", -9999.5), ("uint16", 0), ("int8", -128)]
)
@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_a_declared_fill_is_nodata(bench, tmp_path, kind, dtype, fill):
    plan = bench.plan(dtypes=(dtype, dtype), kind=kind, fills={"B1": fill, "B2": fill})
    image = filled(bench, plan)
    bench.store_all(plan, tmp_path / "s.zarr", image)
    (path,) = convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    array = zarr.open_group(tmp_path / "s.zarr", mode="r")
    stored = array["pixels"][:] if kind == "stacked" else np.stack([array["B1"][:], array["B2"][:]])
    with rasterio.open(path) as file:
        np.testing.assert_equal(file.nodata, float(fill))
        np.testing.assert_array_equal(file.read(), stored)
        expected = np.isnan(stored) if math.isnan(fill) else stored == fill
        np.testing.assert_array_equal(file.read_masks() == 0, expected)
        assert expected.any()


def filled(bench, plan):
    """Numbers, of which every seventh is masked: by us where the fill is no number, else by the service."""
    image = bench.pixels(plan)
    numbers = np.arange(image.size).reshape(image.shape)
    for name in image.dtype.names:
        band = int(name.rpartition("_")[2])
        is_masked = (numbers + band) % 7 == 0
        if name.startswith("m"):
            image[name] = ~is_masked
        else:
            fill = plan.masking.fills[band]
            values = (numbers % 100 + 1).astype(image[name].dtype)
            image[name] = values if math.isnan(fill) else np.where(is_masked, fill, values)
    return image


@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_a_shared_mask_is_the_files_mask(bench, tmp_path, kind):
    plan = bench.plan(shape=BIG, kind=kind, masks="shared", dtypes=("uint16", "uint16"), chunk=(128, 128))
    image = bench.pixels(plan)
    image["m0"] &= 1
    bench.store_all(plan, tmp_path / "s.zarr", image)
    (path,) = convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    require_cloud_optimized(path, has_mask=True)
    with rasterio.open(path) as file:
        assert file.nodata is None
        assert file.mask_flag_enums[1] == [rasterio.enums.MaskFlags.per_dataset]
        np.testing.assert_array_equal(file.dataset_mask(), image["m0"] * 255)
        np.testing.assert_array_equal(file.read(1), image["p0_0"])
        np.testing.assert_array_equal(file.read(2), image["p0_1"])
    require_nothing_else(tmp_path, "s.zarr", "o.tif")


def test_masks_of_their_own_need_one_band_or_nodata(bench, tmp_path):
    plan = bench.plan(masks="each", dtypes=("int16", "int16"), bands_per_tile=1)
    image = bench.pixels(plan)
    for band in range(2):
        image[f"p0_{band}"] %= 1000
        image[f"m0_{band}"] &= 1
    bench.store_all(plan, tmp_path / "s.zarr", image)
    with pytest.raises(InvalidInput, match="one mask"):
        convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    convert(tmp_path / "s.zarr", tmp_path / "one.tif", bands=("B2",))
    with rasterio.open(tmp_path / "one.tif") as file:
        np.testing.assert_array_equal(file.read(1), image["p0_1"])
        np.testing.assert_array_equal(file.dataset_mask(), image["m0_1"] * 255)
    convert(tmp_path / "s.zarr", tmp_path / "all.tif", nodata=-1)
    with rasterio.open(tmp_path / "all.tif") as file:
        assert file.nodata == -1
        for band in range(2):
            expected = np.where(image[f"m0_{band}"] == 1, image[f"p0_{band}"], -1)
            np.testing.assert_array_equal(file.read(band + 1), expected)
    with pytest.raises(InvalidInput, match="would become nodata"):
        convert(tmp_path / "s.zarr", tmp_path / "clash.tif", nodata=7)
    require_nothing_else(tmp_path, "s.zarr", "one.tif", "all.tif")


def test_fills_of_their_own_need_nodata(bench, tmp_path):
    plan = bench.plan(dtypes=("int16", "int16"), fills={"B1": 0, "B2": -5})
    image = filled(bench, plan)
    bench.store_all(plan, tmp_path / "s.zarr", image)
    with pytest.raises(InvalidInput, match="one nodata value"):
        convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    convert(tmp_path / "s.zarr", tmp_path / "o.tif", nodata=-32768)
    with rasterio.open(tmp_path / "o.tif") as file:
        np.testing.assert_array_equal(file.read(1), np.where(image["p0_0"] == 0, -32768, image["p0_0"]))
        np.testing.assert_array_equal(file.read(2), np.where(image["p0_1"] == -5, -32768, image["p0_1"]))


def test_several_types_need_a_choice_or_a_wider_one(bench, tmp_path):
    plan = bench.plan(dtypes=("uint16", "int16", "uint8"))
    image = bench.store_all(plan, tmp_path / "s.zarr")
    with pytest.raises(InvalidInput, match=r"B1 uint16, B2 int16, B3 uint8.*--dtype int32"):
        convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    with pytest.raises(InvalidInput, match="int32"):
        convert(tmp_path / "s.zarr", tmp_path / "o.tif", dtype="int16")
    with pytest.raises(InvalidInput, match="int32"):
        convert(tmp_path / "s.zarr", tmp_path / "o.tif", dtype="complex64")
    convert(tmp_path / "s.zarr", tmp_path / "o.tif", dtype="int32")
    with rasterio.open(tmp_path / "o.tif") as file:
        assert file.dtypes == ("int32",) * 3
        for number in (1, 2, 3):
            np.testing.assert_array_equal(file.read(number), image[f"B{number}"])
    convert(tmp_path / "s.zarr", tmp_path / "p.tif", bands=("B3",))
    with rasterio.open(tmp_path / "p.tif") as file:
        assert (file.dtypes, file.descriptions) == (("uint8",), ("B3",))
        np.testing.assert_array_equal(file.read(1), image["B3"])


@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_bands_come_in_the_order_asked_for(bench, tmp_path, kind):
    plan = bench.plan(kind=kind, bands_per_tile=2)
    image = bench.store_all(plan, tmp_path / "s.zarr")
    convert(tmp_path / "s.zarr", tmp_path / "o.tif", bands=("B3", "B1"))
    with rasterio.open(tmp_path / "o.tif") as file:
        assert file.descriptions == ("B3", "B1")
        np.testing.assert_array_equal(file.read(), np.stack([image["B3"], image["B1"]]))


@pytest.mark.parametrize("kind", ["bands", "stacked"])
@pytest.mark.parametrize("masks", [None, "shared"])
def test_a_cube_is_a_file_a_step_or_the_step_that_is_asked_for(bench, tmp_path, kind, masks):
    plan = bench.plan(kind=kind, steps=3, step_starts=(0, 2), masks=masks)
    image = bench.pixels(plan)
    for name in image.dtype.names:
        if name.startswith("m"):
            image[name] &= 1
    bench.store_all(plan, tmp_path / "s.zarr", image)
    paths = convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    assert [path.name for path in paths] == [f"o-2026-11-{20 + step}T120000.tif" for step in range(3)]
    require_nothing_else(tmp_path, "s.zarr", *[path.name for path in paths])
    for asked, step in (("1", 1), ("-1", 2), ("2026-11-20", 0), ("2026-11-22T12:00", 2)):
        convert(tmp_path / "s.zarr", tmp_path / "one.tif", time=asked, overwrite=True)
        assert (tmp_path / "one.tif").read_bytes() == paths[step].read_bytes()
    for step, path in enumerate(paths):
        with rasterio.open(path) as file:
            assert file.tags()["TIFFTAG_DATETIME"] == f"2026:11:{20 + step} 12:00:00"
            assert file.tags()["IMAGES"] == f"projects/p/assets/{step}"
            for band in range(3):
                np.testing.assert_array_equal(file.read(band + 1), image[f"p{step}_{band}"])
            if masks:
                np.testing.assert_array_equal(file.dataset_mask(), image[f"m{step}"] * 255)


@pytest.mark.parametrize(
    ("asked", "says"), [("2026", "3 time steps"), ("2027", "No time steps"), ("3", "No time steps")]
)
def test_a_time_that_is_not_one_step(bench, tmp_path, asked, says):
    bench.store_all(bench.plan(shape=(70, 90), steps=3), tmp_path / "s.zarr")
    with pytest.raises(InvalidInput, match=says) as caught:
        convert(tmp_path / "s.zarr", tmp_path / "o.tif", time=asked)
    assert "2026-11-20T12:00:00" in caught.value.hint


def partly(bench, plan, output, image, stored):
    """Store some tiles only; in the place of the others is what a writer left that died before it marked them."""
    sink = bench.sink(plan, output)
    for tile in plan:
        sink.write(tile, bench.cut(image, tile))
        if tile.index not in stored:
            sink._marks.unmark(tile.index)
    assert not sink.finish(bench.now)


def is_there(plan, stored):
    there = np.zeros((plan.grid.height, plan.grid.width), bool)
    for index in stored:
        window = plan.tile(index).window
        there[window.rows, window.cols] = True
    return there


@pytest.mark.parametrize("masking", [{}, {"fills": {"B1": 9, "B2": 9}}, {"masks": "shared"}])
@pytest.mark.parametrize("chunk", [(64, 64), (128, 128)])
def test_missing_tiles_are_refused_or_masked(bench, tmp_path, masking, chunk):
    plan = bench.plan(dtypes=("int16", "int16"), chunk=chunk, **masking)
    image = bench.pixels(plan)
    for name in image.dtype.names:
        image[name] = image[name] & 1 if name.startswith("m") else image[name] % 1000
    partly(bench, plan, tmp_path / "s.zarr", image, {1, 3, 5})
    with pytest.raises(StoreError, match="3 of 6 tiles"):
        convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    convert(tmp_path / "s.zarr", tmp_path / "o.tif", is_partial=True)
    there = is_there(plan, {1, 3, 5})
    names = ("B1", "B2") if not masking else ("p0_0", "p0_1")
    with rasterio.open(tmp_path / "o.tif") as file:
        for number, name in enumerate(names, 1):
            np.testing.assert_array_equal(file.read(number)[there], image[name][there])
            assert set(np.unique(file.read(number)[~there])) == {9 if "fills" in masking else 0}
        if "fills" in masking:
            assert file.nodata == 9
        else:
            valid = there & (image["m0"] == 1) if masking else there
            np.testing.assert_array_equal(file.dataset_mask() == 255, valid)


def test_a_pixel_is_masked_where_one_of_its_bands_is_missing(bench, tmp_path):
    plan = bench.plan(shape=(70, 90), dtypes=("uint8", "uint8"), bands_per_tile=1)
    image = bench.pixels(plan)
    partly(bench, plan, tmp_path / "s.zarr", image, {0})
    convert(tmp_path / "s.zarr", tmp_path / "o.tif", is_partial=True)
    convert(tmp_path / "s.zarr", tmp_path / "one.tif", is_partial=True, bands=("B1",))
    with rasterio.open(tmp_path / "o.tif") as file, rasterio.open(tmp_path / "one.tif") as one:
        assert not file.dataset_mask().any()
        np.testing.assert_array_equal(file.read(1), image["B1"])
        assert one.dataset_mask().all()


@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_many_bands_pass_in_parts(bench, tmp_path, monkeypatch, kind):
    monkeypatch.setattr("eezarr.outputs.layers._WINDOW_BYTES", 1)
    plan = bench.plan(shape=(70, 90), dtypes=("uint8",) * 4, bands_per_tile=1, kind=kind)
    image = bench.pixels(plan)
    partly(bench, plan, tmp_path / "s.zarr", image, {index for index in range(plan.tile_count) if index != 1})
    convert(tmp_path / "s.zarr", tmp_path / "o.tif", is_partial=True)
    with rasterio.open(tmp_path / "o.tif") as file:
        assert not file.dataset_mask().any()
        for number in (1, 3, 4):
            np.testing.assert_array_equal(file.read(number), image[f"B{number}"])


def test_a_file_that_is_not_what_was_written_does_not_count(bench, tmp_path, monkeypatch):
    from eezarr.outputs import cloudoptimized

    optimize = cloudoptimized._optimize

    def lose_a_pixel(spec, plain, optimized):
        with rasterio.open(plain, "r+") as file:
            file.write(file.read(1, window=((7, 8), (9, 10))) ^ 1, 1, window=((7, 8), (9, 10)))
        optimize(spec, plain, optimized)

    bench.store_all(bench.plan(shape=(70, 90)), tmp_path / "s.zarr")
    monkeypatch.setattr(cloudoptimized, "_optimize", lose_a_pixel)
    with pytest.raises(StoreError, match="not what was written"):
        convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    require_nothing_else(tmp_path, "s.zarr")


def test_a_file_that_is_there_is_replaced_only_if_told_so(bench, tmp_path):
    image = bench.store_all(bench.plan(shape=(70, 90)), tmp_path / "s.zarr")
    (tmp_path / "o.tif").write_bytes(b"dear")
    with pytest.raises(InvalidInput, match="there already") as caught:
        convert(tmp_path / "s.zarr", tmp_path / "o.tif")
    assert "--overwrite" in caught.value.hint
    assert (tmp_path / "o.tif").read_bytes() == b"dear"
    convert(tmp_path / "s.zarr", tmp_path / "o.tif", overwrite=True)
    with rasterio.open(tmp_path / "o.tif") as file:
        np.testing.assert_array_equal(file.read(2), image["B2"])
    with pytest.raises(InvalidInput, match="no folder"):
        convert(tmp_path / "s.zarr", tmp_path / "nowhere" / "o.tif")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bands": ("B1", "B9")}, "no bands B9"),
        ({"bands": ("B1", "B1")}, "once"),
        ({"time": "0"}, "no time axis"),
        ({"nodata": 70000}, "no value of uint16"),
        ({"nodata": math.nan}, "no value of uint16"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(bench, tmp_path, options, says):
    bench.store_all(bench.plan(shape=(70, 90)), tmp_path / "s.zarr")
    with pytest.raises(InvalidInput, match=says):
        convert(tmp_path / "s.zarr", tmp_path / "o.tif", **options)
    require_nothing_else(tmp_path, "s.zarr")


def test_without_rasterio_the_extra_is_named(bench, tmp_path, monkeypatch):
    bench.store_all(bench.plan(shape=(70, 90)), tmp_path / "s.zarr")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(InvalidInput, match=r"eezarr\[geotiff\]"):
        convert(tmp_path / "s.zarr", tmp_path / "o.tif")


def test_a_failure_leaves_the_old_file_and_nothing_else(bench, tmp_path):
    plan = bench.plan(shape=BIG, chunk=(128, 128))
    bench.store_all(plan, tmp_path / "s.zarr")
    (tmp_path / "o.tif").write_bytes(b"dear")
    chunk = tmp_path / "s.zarr/B3/c/8/10"
    assert chunk.stat().st_size > 4
    chunk.write_bytes(b"junk")
    with pytest.raises(StoreError, match=r"s\.zarr"):
        convert(tmp_path / "s.zarr", tmp_path / "o.tif", overwrite=True)
    assert (tmp_path / "o.tif").read_bytes() == b"dear"
    require_nothing_else(tmp_path, "s.zarr", "o.tif")


@pytest.mark.parametrize("limit", [100_000, 8_000_000])
def test_a_full_disk_is_an_error_that_leaves_nothing(bench, tmp_path, limit):
    """The limit stops the uncompressed file (8.6 MB of pixels), at once or at its last block."""
    bench.store_all(bench.plan(shape=BIG, chunk=(128, 128)), tmp_path / "s.zarr")
    code = (
        "from pathlib import Path\n"
        "from eezarr.outputs.conversion import Conversion, convert_store\n"
        "from eezarr.store import open_store\n"
        f"convert_store(open_store({str(tmp_path / 's.zarr')!r}), Path({str(tmp_path / 'o.tif')!r}), Conversion())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-B", "-c", code],  # a compiled module would be cut short, and stay so
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "StoreError" in ended.stderr.strip().splitlines()[-1], ended.stderr
    require_nothing_else(tmp_path, "s.zarr")

"""`eezarr samples`, end to end: every stored patch is the world's, whatever the layout, and columns say what it is."""

import json

import numpy as np
import pytest
import xarray as xr
from pyproj import Transformer

import eezarr
from eezarr.store import open_stored_samples
from known import SCENE, SCENE_NAME
from sampling import MIXED, on_mixed

ETOPO = "projects/earthengine-public/assets/NOAA/NGDC/ETOPO1"

BASIC = f"""
[image]
asset = "{MIXED}"
bands = ["u16"]
[samples]
sites = "sites.csv"
id = "name"
size = 24
resolution = 10
"""


@pytest.mark.parametrize("store", ["", "shard = 4", "shard = 100", "format = 2", 'shard = 3\ncompressor = "zstd"'])
def test_every_patch_is_what_the_service_has(bench, store):
    bench.sites(on_mixed(11))
    report = bench.run(BASIC.replace("size = 24", "size = [20, 24]") + f"[store]\n{store}")
    assert report.is_complete
    assert (report.tiles_written, report.requests_sent) == (11, 11)
    pixels = bench.group["pixels"]
    assert (pixels.shape, pixels.dtype, pixels.chunks) == ((11, 1, 20, 24), np.uint16, (1, 1, 20, 24))
    for sample in range(11):
        np.testing.assert_array_equal(pixels[sample], bench.truth(MIXED, sample, ["u16"]))
    assert (bench.group["state"][:] == 1).all()
    methods = {request.method for request in bench.emulator.stats().recent}
    assert methods == {"getPixels"}


def test_patches_are_centred_on_their_sites_and_on_one_lattice(bench):
    rows = bench.sites(on_mixed(9))
    bench.run(BASIC)
    to_utm = Transformer.from_crs("EPSG:4326", "EPSG:32610", always_xy=True)
    for sample, row in enumerate(rows):
        assert str(bench.group["id"][sample]) == row["name"]
        a, _, c, _, e, f = bench.group["transform"][sample]
        x, y = to_utm.transform(row["lon"], row["lat"])
        assert (a, e, c % 10, f % 10) == (10, -10, 0, 0)
        assert abs((x - c) / 10 - 12) <= 0.5 + 1e-6
        assert abs((f - y) / 10 - 12) <= 0.5 + 1e-6


def test_each_site_in_its_own_zone_shuffled_split_and_labelled(bench):
    rng = np.random.default_rng(5)
    rows = [
        {
            "id": f"p{n}",
            "lon": lon,
            "lat": lat,
            "kind": "east" if lon > -120 else "west",
            "area": n * 1.5,
            "note": "x" * n,
        }
        for n, (lon, lat) in enumerate(zip(rng.uniform(-121, -119, 40), rng.uniform(36, 39, 40), strict=True))
    ]
    bench.sites(rows, "sites.geojson")
    job = """
[image]
asset = "NOAA/NGDC/ETOPO1"
[samples]
sites = "sites.geojson"
id = "id"
label = "kind"
size = 9
scale = 500
shuffle = true
seed = 3
splits = { by = "hash", train = 0.6, test = 0.4 }
[store]
shard = 16
"""
    assert bench.run(job).is_complete
    group = bench.group
    order = group["site"][:]
    assert sorted(order) == list(range(40))
    assert list(order) != list(range(40))
    assert {str(crs) for crs in group["crs"][:]} == {"EPSG:32610", "EPSG:32611"}
    for sample, row in enumerate(order.tolist()):
        site = rows[row]
        assert str(group["id"][sample]) == site["id"]
        assert str(group["label"][sample]) == site["kind"]
        assert str(group["crs"][sample]) == ("EPSG:32611" if site["lon"] >= -120 else "EPSG:32610")
        assert group["longitude"][sample] == pytest.approx(site["lon"])
        assert group["properties/area"][sample] == site["area"]
        assert str(group["properties/note"][sample]) == site["note"]
        np.testing.assert_array_equal(group["pixels"][sample], bench.truth(ETOPO, sample, ["bedrock", "ice_surface"]))
    facts = json.loads(dict(group.attrs)["eezarr"])
    assert (facts["kind"], facts["complete"], facts["seed"]) == ("samples", True, 3)
    counts = {name: int(sum(str(split) == name for split in group["split"][:])) for name in ("train", "test")}
    assert facts["splits"] == {
        "by": "hash", "fractions": {"train": 0.6, "test": 0.4}, "block_size": None, "counts": counts,
    }  # fmt: skip
    assert min(counts.values()) > 5


def statistics_of(values):
    return {"count": values.size, "mean": values.mean(dtype=np.float64), "std": values.std(dtype=np.float64),
            "min": values.min(), "max": values.max()}  # fmt: skip


@pytest.mark.parametrize("per_band", [False, True])
@pytest.mark.parametrize("shard", ["", "shard = 4"])
def test_masks_beside_the_pixels(bench, per_band, shard):
    bench.sites(on_mixed(10))
    bands = ["i16"]
    job = BASIC.replace('["u16"]', json.dumps(bands)) + f'[mask]\nmode = "band"\nper_band = {str(per_band).lower()}\n'
    assert bench.run(job + f"[store]\n{shard}").is_complete
    group = bench.group
    assert group["mask"].shape == ((10, 1, 24, 24) if per_band else (10, 24, 24))
    valid_values = []
    for sample in range(10):
        (plane,) = bench.planes(MIXED, sample, bands)
        mask = group["mask"][sample][0] if per_band else group["mask"][sample]
        np.testing.assert_array_equal(mask, plane.valid)
        np.testing.assert_array_equal(group["pixels"][sample][0], np.where(plane.valid, plane.values, 0))
        valid_values.append(plane.values[plane.valid])
    stated = json.loads(dict(group.attrs)["statistics"])
    expected = statistics_of(np.concatenate(valid_values))
    assert stated["split"] is None
    assert {name: stated["bands"]["i16"][name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_masked_floats_are_nan_and_statistics_are_of_the_training_split(bench):
    rows = bench.sites(on_mixed(20))
    job = BASIC.replace('["u16"]', '["f32"]') + '[samples.splits]\ntrain = 0.5\ntest = 0.5\n[mask]\nmode = "fill"\n'
    assert bench.run(job).is_complete
    group, values = bench.group, []
    assert len(rows) == 20
    for sample in range(20):
        (plane,) = bench.planes(MIXED, sample, ["f32"])
        np.testing.assert_array_equal(group["pixels"][sample][0], np.where(plane.valid, plane.values, np.nan))
        if str(group["split"][sample]) == "train":
            values.append(plane.values[plane.valid])
    stated = json.loads(dict(group.attrs)["statistics"])
    expected = statistics_of(np.concatenate(values))
    assert stated["split"] == "train"
    assert {name: stated["bands"]["f32"][name] for name in expected} == pytest.approx(expected, rel=1e-9)
    histogram = stated["bands"]["f32"]["histogram"]
    assert sum(histogram["counts"]) == expected["count"]
    middle = float(np.percentile(np.concatenate(values).astype(np.float64), 50))
    assert stated["bands"]["f32"]["percentiles"]["50"] == pytest.approx(middle, rel=3e-4, abs=1)


@pytest.mark.parametrize("mask", ["", '[mask]\nmode = "band"\n'])
def test_label_patches_come_with_the_same_request(bench, mask):
    bench.sites(on_mixed(7))
    job = f"""
[image]
asset = "{SCENE}"
bands = ["B2", "B8"]
[samples]
sites = "sites.csv"
size = 16
resolution = 10
[samples.label_image]
asset = "{MIXED}"
band = "u8"
[store]
shard = 3
{mask}"""
    report = bench.run(job)
    assert (report.tiles_written, report.requests_sent) == (7, 7)
    group = bench.group
    assert (group["target"].dtype, group["target"].shape) == (np.uint8, (7, 16, 16))
    assert group["target"].attrs["band"] == "u8"
    masked = 0
    for sample in range(7):
        np.testing.assert_array_equal(group["pixels"][sample], bench.truth(SCENE_NAME, sample, ["B2", "B8"]))
        (plane,) = bench.planes(MIXED, sample, ["u8"])
        np.testing.assert_array_equal(group["target"][sample], np.where(plane.valid, plane.values, 0))
        masked += int((~plane.valid).sum())
    assert masked > 0, "labels are looked at where they are masked, too"
    if mask:
        assert (group["mask"][:] == 1).all(), "the labels' mask is not the image's"


def test_points_drawn_in_polygons(bench):
    ring = [[-122.35, 37.35], [-122.2, 37.35], [-122.2, 37.45], [-122.35, 37.45], [-122.35, 37.35]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"crop": "oats", "n": "f"},
    }  # fmt: skip
    path = bench.folder / "fields.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    job = BASIC.replace("sites.csv", "fields.geojson").replace('id = "name"', 'id = "n"\nlabel = "crop"')
    assert bench.run(job + '[samples.polygons]\nstrategy = "random"\nper_polygon = 6\n').is_complete
    group = bench.group
    assert [str(name) for name in group["id"][:]] == [f"f/{n}" for n in range(6)]
    assert {str(label) for label in group["label"][:]} == {"oats"}
    assert ((group["longitude"][:] > -122.35) & (group["longitude"][:] < -122.2)).all()
    np.testing.assert_array_equal(group["pixels"][4], bench.truth(MIXED, 4, ["u16"]))


def test_a_patch_larger_than_a_request_is_still_one_sample(bench):
    bench.sites(on_mixed(3))
    job = BASIC.replace("size = 24", "size = 96") + "[fetch]\nlimits = { bytes = 9000, side = 50 }\n"
    report = bench.run(job)
    assert report.is_complete
    assert report.requests_sent > 3
    asked = [request for request in bench.emulator.stats().recent if request.method == "getPixels"]
    assert len(asked) == report.requests_sent + 1  # one pixel tells types
    for sample in range(3):
        np.testing.assert_array_equal(bench.group["pixels"][sample], bench.truth(MIXED, sample, ["u16"]))


@pytest.mark.parametrize("store_format", [2, 3])
def test_xarray_opens_it_quietly(bench, store_format):
    rows = on_mixed(6, day=[f"2017-04-0{n + 1}" for n in range(5)] + [""], klass=[3, 1, 2, 3, 3, 1])
    bench.sites(rows)
    job = (
        BASIC.replace('id = "name"', 'id = "name"\ndate = "day"\nlabel = "klass"')
        + f"[store]\nformat = {store_format}\n"
    )
    bench.run(job)
    with xr.open_zarr(bench.store, chunks=None) as dataset:
        assert dataset.pixels.dims == ("sample", "band", "y", "x")
        assert list(dataset.band.values) == ["u16"]
        assert list(dataset.id.values) == [row["name"] for row in rows]
        assert list(dataset.label.values) == [3, 1, 2, 3, 3, 1]
        assert {"id", "label", "longitude", "date", "crs"} <= set(dataset.coords)
        assert [str(day)[:10] for day in dataset.date.values] == [row["day"] or "NaT" for row in rows]
        np.testing.assert_array_equal(dataset.pixels[2], bench.truth(MIXED, 2, ["u16"]))


async def test_samples_from_python(bench, tmp_path):
    places = [(row["lon"], row["lat"]) for row in on_mixed(5)]
    sites = eezarr.SiteTable.of(places, labels=["a", "b", "a", "b", "b"])
    patches = eezarr.Patches(size=eezarr.Shape2D(8, 8), crs="EPSG:32610", resolution=20)
    async with eezarr.Client(project="p", api_url=bench.emulator.url) as client:
        report = await client.fetch_samples(
            eezarr.Image.asset(MIXED, bands=["u16"]), sites, str(bench.store), patches=patches
        )
    assert report.is_complete
    np.testing.assert_array_equal(bench.group["pixels"][3], bench.truth(MIXED, 3, ["u16"]))
    assert [str(label) for label in bench.group["label"][:]] == ["a", "b", "a", "b", "b"]


def test_what_was_stored_is_verified(bench):
    bench.sites(on_mixed(9))
    bench.run(BASIC + "[store]\nshard = 4\n")
    stored = open_stored_samples(bench.store)
    assert stored.is_complete
    assert list(stored.verify()) == []
    shard = bench.store / "pixels" / "c" / "1" / "0" / "0" / "0"
    body = bytearray(shard.read_bytes())
    body[100] ^= 0xFF
    shard.write_bytes(bytes(body))
    altered = list(open_stored_samples(bench.store).verify())
    assert altered
    assert set(altered) <= {4, 5, 6, 7}
    report = bench.run(BASIC + "[store]\nshard = 4\n", repair=True)
    assert (report.is_complete, report.tiles_written) == (True, len(altered))
    assert list(open_stored_samples(bench.store).verify()) == []
    for sample in range(9):
        np.testing.assert_array_equal(bench.group["pixels"][sample], bench.truth(MIXED, sample, ["u16"]))

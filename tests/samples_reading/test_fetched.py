"""What `eezarr samples` stores is what its reader reads: the writer's own stores, against plain Zarr and the world."""

import numpy as np
import pytest
import xarray as xr
import zarr

from eezarr.outputs.batches import make_reader
from eezarr.outputs.contactsheet import SheetOptions, write_contact_sheet
from eezarr.store import holds_samples, open_samples
from known import netcdf_of_texts
from sampling import MIXED, on_mixed

JOB = f"""
[image]
asset = "{MIXED}"
bands = ["u16"]
[samples]
sites = "sites.csv"
id = "name"
size = 12
resolution = 10
shuffle = true
[samples.splits]
train = 0.7
test = 0.3
[mask]
mode = "band"
"""


@pytest.mark.parametrize(
    "store", ["", "shard = 4", "format = 2", 'compressor = "none"', 'shard = 3\ncompressor = "zstd"']
)
def test_the_readers_store_is_the_writers(bench, store, tmp_path):
    bench.sites(on_mixed(11))
    assert bench.run(f"{JOB}[store]\n{store}").is_complete
    place = bench.store
    assert holds_samples(place)
    samples = open_samples(place)
    group = zarr.open_group(place, mode="r")
    asked = np.random.default_rng(0).permutation(11)
    np.testing.assert_array_equal(samples.pixels(asked), group["pixels"][...][asked])
    np.testing.assert_array_equal(samples.masks(asked), group["mask"][...][asked])
    assert (samples.masking, samples.bands, samples.has_time, samples.has_targets) == ("band", ("u16",), False, False)
    assert len(samples.select()) == 11
    assert len(samples.select(split="train")) + len(samples.select(split="test")) == 11
    xr.testing.assert_identical(samples.to_xarray(), xr.open_zarr(place, chunks=None))
    valid = group["mask"][...] == 1
    chosen = np.isin(np.arange(11), samples.select(split="train"))
    values = group["pixels"][...][:, 0][chosen][valid[chosen]].astype(np.float64)
    batch = make_reader(samples, bands=None, normalise="stored", masked=0.0).read(asked)
    expected = np.where(valid[asked], (group["pixels"][...][asked][:, 0] - values.mean()) / values.std(), 0)
    np.testing.assert_allclose(batch.pixels[:, 0], expected, rtol=1e-6, atol=1e-6)
    assert write_contact_sheet(samples, tmp_path / "sheet.png", SheetOptions(bands=("u16",))) == (11, 11)


DATED = f"""
[collection]
id = "COPERNICUS/S2"
start = "2017-01-01"
end = "2018-01-01"
bands = ["B4", "B8"]
[samples]
sites = "sites.csv"
id = "name"
date = "day"
label = "cover"
size = 8
resolution = 10
window_days = 8
[samples.label_image]
asset = "{MIXED}"
band = "u8"
[mask]
mode = "band"
"""
DAYS = ["2017-04-20", "2017-04-18", "2017-05-01", "2017-04-30"]


@netcdf_of_texts
@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "scipy"])
@pytest.mark.parametrize("job", [JOB, JOB + "[store]\nformat = 2\n", JOB + "[store]\nshard = 2\n", DATED], ids=str)
def test_what_xarray_opens_it_writes_as_netcdf(bench, tmp_path, job, engine):
    bench.sites(on_mixed(4, day=DAYS, cover=["oak", "elm", "oak", "fir"]))
    bench.run(job)
    with xr.open_zarr(bench.store, decode_coords="all", chunks=None) as dataset:
        # NetCDF 3 has no integers without a sign, and none of 64 bits.
        wide = [name for name in dataset.variables if dataset[name].dtype.kind in "uM"]
        encoding = {name: {"dtype": "float64"} for name in wide} if engine == "scipy" else {}
        dataset.to_netcdf(tmp_path / "s.nc", engine=engine, encoding=encoding)
        with xr.open_dataset(tmp_path / "s.nc", engine=engine, decode_coords="all") as back:
            assert set(back.variables) == set(dataset.variables)
            assert {name: back.attrs[name] for name in ("eezarr", "statistics")} == {
                name: dataset.attrs[name] for name in ("eezarr", "statistics")
            }
            for name in dataset.variables:
                texts = dataset[name].dtype.kind in "OTU"
                expected = dataset[name].values
                np.testing.assert_array_equal(back[name].values, expected.astype(object) if texts else expected)

"""Labels, splits and other columns that change after pixels were stored: they are written anew, no pixel is asked."""

import json

import numpy as np
import pytest
import xarray as xr
import zarr

from eezarr import SamplesJob, fetch_samples
from eezarr.errors import ForeignStore, Incomplete, StoreError
from eezarr.store import open_samples, open_stored_samples
from eezarr.store.disk import DiskStore
from eezarr.store.integrity import GroupLayout
from sampling import MIXED, on_mixed

pytestmark = pytest.mark.once

COUNT = 12
JOB = f"""
[image]
asset = "{MIXED}"
bands = ["u16"]
[samples]
sites = "sites.csv"
id = "name"
label = "cover"
split = "part"
size = 12
resolution = 10
shuffle = true
[mask]
mode = "band"
"""
OLD = {"cover": ["oak", "elm"] * 6, "part": ["train", "train", "test"] * 4, "soil": [1] * 12}
NEW = {"cover": [1.5, 2, 7] * 4, "part": ["val", "train", "train", "test"] * 3, "rain": ["much", "none"] * 6}


def fresh(bench, job, name="fresh.zarr"):
    """A store that never had other labels: the oracle."""
    place = str(bench.folder / name)
    fetch_samples(bench.job(job).replaced(output=place))
    return zarr.open_group(place, mode="r")


def require_same(group, truth):
    names = sorted(name for name, node in truth.members(max_depth=None) if isinstance(node, zarr.Array))
    assert sorted(name for name, node in group.members(max_depth=None) if isinstance(node, zarr.Array)) == names
    for name in names:
        np.testing.assert_array_equal(group[name][...], truth[name][...], err_msg=name)
        assert group[name].attrs.asdict() == truth[name].attrs.asdict()
    timeless = {"created", "completed"}
    own, others = (dict(each.attrs) for each in (group, truth))
    for facts in (own, others):
        facts["eezarr"] = {name: fact for name, fact in json.loads(facts["eezarr"]).items() if name not in timeless}
    assert own == others


@pytest.mark.parametrize("store", ["", "[store]\nshard = 5\n", "[store]\nformat = 2\n"])
def test_other_labels_are_written_without_asking_for_a_pixel(bench, eezarr, store):
    bench.sites(on_mixed(COUNT, **OLD))
    bench.run(JOB + store)
    created, fingerprint = open_stored_samples(bench.store).created, open_stored_samples(bench.store).fingerprint
    asked = bench.emulator.stats().pixel_requests
    bench.sites(on_mixed(COUNT, **NEW))
    report = bench.run(JOB + store)
    assert (report.is_complete, report.tiles_resumed, report.requests_sent) == (True, COUNT, 0)
    assert bench.emulator.stats().pixel_requests == asked
    require_same(bench.group, fresh(bench, JOB + store))
    job = open_stored_samples(bench.store)
    assert (job.created, list(job.verify())) == (created, [])
    assert job.fingerprint != fingerprint
    assert open_samples(bench.store).properties == ("rain",)
    assert {"label", "split"} <= set(xr.open_zarr(bench.store, chunks=None).pixels.coords)
    assert "train 6 of 6" in eezarr("status", "out.zarr").stdout
    before = bench.group.attrs.asdict()
    assert bench.run(JOB + store).tiles_resumed == COUNT
    assert bench.group.attrs["statistics"] == before["statistics"]


@pytest.mark.parametrize("is_first", [True, False])
def test_labels_and_splits_that_were_not_there_come_and_those_that_were_go(bench, is_first):
    bench.sites(on_mixed(COUNT, **OLD))
    bare = JOB.replace('label = "cover"\n', "").replace('split = "part"\n', "")
    first, second = (bare, JOB) if is_first else (JOB, bare)
    bench.run(first)
    assert bench.run(second).requests_sent == 0
    require_same(bench.group, fresh(bench, second))
    assert ("label" in bench.group) is is_first


def test_splits_by_hash_with_another_share_move_the_statistics(bench):
    bench.sites(on_mixed(COUNT))
    job = JOB.replace('label = "cover"\n', "").replace('split = "part"\n', "").replace("[mask]", "{}[mask]")
    bench.run(job.format("[samples.splits]\ntrain = 0.5\ntest = 0.5\n"))
    before = json.loads(bench.group.attrs["statistics"])["bands"]["u16"]["count"]
    second = job.format("[samples.splits]\ntrain = 0.9\ntest = 0.1\n")
    assert bench.run(second).requests_sent == 0
    group = bench.group
    trains = group["split"][...] == "train"
    values = group["pixels"][...][trains, 0][group["mask"][...][trains] == 1]
    told = json.loads(group.attrs["statistics"])["bands"]["u16"]
    assert told["count"] == values.size > before
    np.testing.assert_allclose(told["mean"], values.mean(dtype=np.float64), rtol=1e-12)


def test_a_job_that_was_broken_off_goes_on_with_the_other_labels(bench):
    bench.sites(on_mixed(COUNT, **OLD))
    job = JOB + "[store]\nshard = 4\n[fetch]\nattempts = 1\nmax_concurrency = 1\n"
    bench.emulator.script(["none"] * 7 + ["unavailable"])  # one pixel tells types
    with pytest.raises(Incomplete):
        bench.run(job)
    bench.sites(on_mixed(COUNT, **NEW))
    report = bench.run(job)
    assert (report.is_complete, report.tiles_resumed, report.requests_sent) == (True, COUNT - 1, 1)
    require_same(bench.group, fresh(bench, job))


@pytest.mark.parametrize(
    "change", [("size = 12", "size = 14"), ("shuffle = true", "shuffle = false"), ('"band"', '"none"')]
)
def test_what_pixels_depend_on_is_refused_as_before(bench, change):
    bench.sites(on_mixed(COUNT, **OLD))
    bench.run(JOB)
    before = bench.group["label"][...]
    bench.sites(on_mixed(COUNT, **NEW))
    with pytest.raises(ForeignStore, match="holds other samples"):
        bench.run(JOB.replace(*change))
    np.testing.assert_array_equal(bench.group["label"][...], before)


class Crash:
    """Lets so many writes of a local store happen, and fails all that follow."""

    def __init__(self, monkeypatch):
        self.left = None
        for name in ("set", "delete", "delete_dir"):
            self._patch(monkeypatch, name, getattr(DiskStore, name))

    def _patch(self, monkeypatch, name, original):
        async def counted(store, *arguments, **options):
            if self.left is not None:
                if not self.left:
                    raise OSError(5, "crashed")
                self.left -= 1
            return await original(store, *arguments, **options)

        monkeypatch.setattr(DiskStore, name, counted)


def test_after_a_crash_at_any_write_readers_see_old_labels_or_new_ones_or_are_refused(bench, monkeypatch):
    """The oracle are two stores that have had one set of labels only."""
    bench.sites(on_mixed(COUNT, **OLD))
    old = fresh(bench, JOB, "old.zarr")
    bench.run(JOB)
    bench.sites(on_mixed(COUNT, **NEW))
    new = fresh(bench, JOB, "new.zarr")
    jobs = {"new": SamplesJob.load(bench.folder / "job.toml").replaced(api_url=bench.emulator.url)}
    crash, seen = Crash(monkeypatch), set()
    for writes in range(200):
        bench.sites(on_mixed(COUNT, **NEW))
        crash.left = writes
        try:
            fetch_samples(jobs["new"])
        except StoreError:
            pass
        else:
            break
        finally:
            crash.left = None
        seen.add(require_one_or_the_other(bench, old, new))
        bench.sites(on_mixed(COUNT, **OLD))
        assert fetch_samples(jobs["new"]).requests_sent == 0
        require_same(bench.group, old)
    assert writes > 10
    assert seen == {"old", "new", "refused"}
    require_same(bench.group, new)


def require_one_or_the_other(bench, old, new):
    try:
        samples = open_samples(bench.store)
    except StoreError as error:
        if "Run its job again" not in error.hint:
            raise
        return "refused"
    kind, truth = ("old", old) if samples.column("label").dtype.kind == "T" else ("new", new)
    for name in ("label", "split", "pixels", "state"):
        np.testing.assert_array_equal(samples._group.group[name][...], truth[name][...])
    assert samples.properties == (("soil",) if kind == "old" else ("rain",))
    assert samples._group.attributes.get("statistics", truth.attrs["statistics"]) == truth.attrs["statistics"]
    return kind


def test_a_store_whose_labels_are_half_written_is_told(bench, eezarr, monkeypatch):
    bench.sites(on_mixed(COUNT, **OLD))
    bench.run(JOB)
    bench.sites(on_mixed(COUNT, **NEW))

    def fails(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(GroupLayout, "write", fails)
        with pytest.raises(StoreError, match="No space left"):
            bench.run(JOB)
    for command in (("status", "out.zarr"), ("verify", "out.zarr"), ("preview", "out.zarr", "x.png")):
        ended = eezarr(*command)
        assert ended.returncode == 5
        assert "Run its job again" in ended.stderr
    assert bench.run(JOB).requests_sent == 0
    require_same(bench.group, fresh(bench, JOB))

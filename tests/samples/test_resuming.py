"""Samples through kills, faults and mistakes: nothing is lost, nothing is asked twice, nothing is a silent hole."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr

from eezarr import SamplesJob, fetch_samples
from eezarr.errors import ForeignStore, Incomplete, InvalidInput
from eezarr.store import open_stored_samples
from known import environment
from sampling import MIXED, on_mixed

pytestmark = pytest.mark.once

JOB = f"""
[image]
asset = "{MIXED}"
bands = ["u16"]
[samples]
sites = "sites.csv"
id = "name"
size = 16
resolution = 10
shuffle = true
[samples.splits]
train = 0.5
val = 0.5
"""


def require_exact(bench, count):
    for sample in range(count):
        np.testing.assert_array_equal(bench.group["pixels"][sample], bench.truth(MIXED, sample, ["u16"]))


@pytest.mark.parametrize("shard", ["", "[store]\nshard = 8\n"])
def test_killed_and_resumed(bench, shard):
    bench.sites(on_mixed(60))
    bench.emulator.configure({"latency": {"base_s": 0.05}})
    bench.job(JOB + shard)
    events = bench.folder / "events.jsonl"
    events.touch()
    command = [sys.executable, "-m", "eezarr", "samples", "job.toml", "--api-url", bench.emulator.url]
    command += ["--max-concurrency", "4", "--events", str(events), "--quiet"]
    with subprocess.Popen(command, cwd=bench.folder, env=environment(), stdout=subprocess.DEVNULL) as process:
        while events.read_text(encoding="utf-8").count("TileStored") < 25:
            assert process.poll() is None, "it ended before it was killed"
            os.sched_yield()
        process.send_signal(signal.SIGKILL)
    bench.emulator.configure({"latency": {"base_s": 0.0}})
    before = open_stored_samples(bench.store)
    assert list(before.verify()) == []
    resumed = before.stored_count
    asked = bench.emulator.stats().pixel_requests
    report = bench.run(JOB + shard)
    assert report.is_complete
    assert (report.tiles_resumed, report.tiles_written) == (resumed, 60 - resumed)
    assert bench.emulator.stats().pixel_requests - asked == 60 - resumed
    require_exact(bench, 60)
    assert (bench.group["state"][:] == 1).all()
    assert list(open_stored_samples(bench.store).verify()) == []
    statistics = json.loads(dict(bench.group.attrs)["statistics"])
    fresh = str(bench.folder / "fresh.zarr")
    bench.run(JOB + shard)
    fetch_samples(SamplesJob.load(bench.folder / "job.toml").replaced(output=fresh, api_url=bench.emulator.url))
    assert json.loads(dict(zarr.open_group(fresh, mode="r").attrs)["statistics"]) == statistics


def test_interrupted_in_the_midst_of_a_shard_nothing_is_asked_twice(bench):
    bench.sites(on_mixed(40))
    bench.emulator.configure({"latency": {"base_s": 0.05}})
    job = JOB + "[store]\nshard = 40\n"
    bench.job(job)
    events = bench.folder / "events.jsonl"
    events.touch()
    command = [sys.executable, "-m", "eezarr", "samples", "job.toml", "--api-url", bench.emulator.url]
    command += ["--max-concurrency", "2", "--events", str(events), "--quiet"]
    with subprocess.Popen(command, cwd=bench.folder, env=environment(), stdout=subprocess.DEVNULL) as process:
        while events.read_text(encoding="utf-8").count("TileStored") < 10:
            assert process.poll() is None, "it ended before it was interrupted"
            os.sched_yield()
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    stored = open_stored_samples(bench.store)
    assert 10 <= stored.stored_count < 40
    assert int((bench.group["state"][:] == 1).sum()) == stored.stored_count
    report = bench.run(job)
    assert (report.is_complete, report.tiles_resumed) == (True, stored.stored_count)
    require_exact(bench, 40)


@pytest.mark.parametrize("shard", ["", "[store]\nshard = 4\n"])
def test_a_sample_that_cannot_be_had_is_named_and_asked_again(bench, shard):
    bench.sites(on_mixed(10))
    job = JOB + shard + "[fetch]\nattempts = 1\nmax_concurrency = 1\n"
    bench.emulator.script(["none", "none", "none", "unavailable"])  # one pixel tells types
    with pytest.raises(Incomplete, match=r"1 samples are missing: sample 2 \(site '") as error:
        bench.run(job)
    (missing,) = error.value.report.missing
    name = str(bench.group["id"][2])
    assert name in missing.where
    states = bench.group["state"][:]
    assert (states[2], (np.delete(states, 2) == 1).all()) == (2, True)
    assert (bench.group["pixels"][2] == 65535).all()
    facts = {name: json.loads(bench.group.attrs[name]) for name in ("eezarr", "statistics")}
    assert facts["eezarr"]["complete"] is False
    assert sum(band["count"] for band in facts["statistics"]["bands"].values()) > 0
    report = bench.run(job)
    assert (report.is_complete, report.tiles_written, report.requests_sent) == (True, 1, 1)
    assert (bench.group["state"][:] == 1).all()
    require_exact(bench, 10)


def test_through_faults_of_all_kinds(bench):
    bench.sites(on_mixed(40))
    rates = {"unavailable": 0.05, "reset": 0.03, "npy_short": 0.03, "npy_shape": 0.03, "capacity_exceeded": 0.05}
    bench.emulator.configure({"faults": {"seed": 2, "rates": rates}})
    report = bench.run(JOB + "[store]\nshard = 7\n")
    assert report.is_complete
    assert report.requests_retried > 0
    require_exact(bench, 40)


def test_other_samples_are_refused(bench):
    rows = bench.sites(on_mixed(6))
    bench.run(JOB)
    asked = bench.emulator.stats().pixel_requests
    bench.sites(rows[:5])
    with pytest.raises(ForeignStore, match="holds other samples"):
        bench.run(JOB)
    assert bench.emulator.stats().pixel_requests == asked
    assert bench.run(JOB, overwrite=True).is_complete
    assert bench.group["pixels"].shape[0] == 5
    require_exact(bench, 5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("size = 16", "size = 16\nlabel = 'klass'"), "no column 'klass'"),
        (('["u16"]', '["u16", "u8"]'), "one type, but the bands have several: u16 uint16, u8 uint8"),
        (("sites.csv", "nothing.csv"), "cannot be read"),
        (("[samples.splits]", '[mask]\nmode = "band"\n[samples.splits]'), None),
        (('bands = ["u16"]', 'bands = ["u16"]\nmethod = "getPixels"'), None),
    ],
)
def test_mistakes_are_told_before_a_pixel_is_asked_for(bench, change, says):
    bench.sites(on_mixed(3))
    if says is None:
        bench.run(JOB.replace(*change))
        return
    with pytest.raises(InvalidInput, match=says):
        bench.run(JOB.replace(*change))
    assert bench.emulator.stats().pixel_requests == 0


def test_sites_outside_the_image_are_named(bench):
    rows = on_mixed(4)
    rows[1] |= {"lon": 12.0, "lat": 47.0}
    rows[3] |= {"lon": -122.3, "lat": 36.9}
    bench.sites(rows)
    with pytest.raises(InvalidInput, match=r"2 of 4 patches lie outside .*: .*'s1'") as error:
        bench.run(JOB)
    assert "'s3'" in str(error.value)
    assert bench.emulator.stats().pixel_requests == 0


def test_labels_and_masks_are_not_read_by_getpixels(bench):
    bench.sites(on_mixed(3))
    job = JOB.replace('bands = ["u16"]', 'bands = ["u16"]\nmethod = "getPixels"')
    with pytest.raises(InvalidInput, match="no masks"):
        bench.run(job + '[mask]\nmode = "band"\n')


def test_a_shard_that_memory_cannot_hold(bench):
    bench.sites(on_mixed(30))
    with pytest.raises(InvalidInput, match="memory budget"):
        bench.run(JOB + '[store]\nshard = 30\n[fetch]\nmemory = "20KiB"\n')


@pytest.mark.parametrize(
    "damage", [lambda body: body[: len(body) // 2], lambda body: bytes(len(body)), lambda body: body + b"abc"]
)
def test_a_damaged_shard_is_replaced_by_a_repair(bench, damage):
    bench.sites(on_mixed(20))
    job = JOB + "[store]\nshard = 8\n"
    bench.run(job)
    for shard in (0, 2):
        path = bench.store / f"pixels/c/{shard}/0/0/0"
        path.write_bytes(damage(path.read_bytes()))
    report = bench.run(job, repair=True)
    assert (report.is_complete, report.tiles_written) == (True, 8 + 4)
    require_exact(bench, 20)
    assert list(open_stored_samples(bench.store).verify()) == []


def test_samples_that_share_a_damaged_shard_with_a_missing_one_are_fetched_again(bench):
    """The missing one cannot be stored without the others, and those cannot be read any more."""
    bench.sites(on_mixed(12))
    job = JOB + "[store]\nshard = 6\n[fetch]\nattempts = 1\nmax_concurrency = 1\n"
    bench.emulator.script(["none", "none", "none", "unavailable"])  # one pixel tells types
    with pytest.raises(Incomplete):
        bench.run(job)
    path = bench.store / "pixels/c/0/0/0/0"
    path.write_bytes(path.read_bytes()[:100])
    report = bench.run(job)
    assert (report.is_complete, report.requests_sent) == (True, 6)
    require_exact(bench, 12)
    assert list(open_stored_samples(bench.store).verify()) == []
    assert (bench.group["state"][:] == 1).all()

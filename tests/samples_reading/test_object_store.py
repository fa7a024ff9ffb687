"""Samples in a bucket of a real S3 API: through a kill, as in a folder; and the readers read them there."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr

from eezarr import fetch_samples
from eezarr.errors import ForeignStore, StoreError
from eezarr.store import open_samples, open_stored_samples
from known import environment
from sampling import MIXED, on_mixed

pytestmark = pytest.mark.once

COUNT = 40
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
[samples.label_image]
asset = "{MIXED}"
band = "u8"
[mask]
mode = "band"
"""


@pytest.fixture
def output(bench, bucket):
    bench.sites(on_mixed(COUNT))
    return f"{bucket}/out.zarr"


def stored_count(output):
    try:
        return open_stored_samples(output).stored_count
    except StoreError:
        return 0  # nothing is there yet


def run(bench, text, output, **options):
    return fetch_samples(bench.job(text, output=output), **options)


@pytest.mark.parametrize("store", ["[store]\nformat = 2\n", "[store]\nshard = 4\n"])
def test_a_killed_job_goes_on_in_the_bucket(bench, output, store):
    job = JOB + store
    bench.job(job)
    bench.emulator.configure({"latency": {"base_s": 0.1}})
    command = [sys.executable, "-m", "eezarr", "samples", "job.toml", "--api-url", bench.emulator.url]
    command += ["--max-concurrency", "2", "--output", output, "--quiet"]
    with subprocess.Popen(command, cwd=bench.folder, env=environment(), stdout=subprocess.DEVNULL) as process:
        while not stored_count(output):
            assert process.poll() is None, "it ended before it was killed"
            os.sched_yield()
        process.send_signal(signal.SIGKILL)
    bench.emulator.configure({"latency": {"base_s": 0.0}})
    before = open_stored_samples(output)
    resumed = before.stored_count
    assert 0 < resumed < COUNT
    assert list(before.verify()) == []
    asked = bench.emulator.stats().pixel_requests
    report = run(bench, job, output)
    assert (report.is_complete, report.tiles_resumed, report.tiles_written) == (True, resumed, COUNT - resumed)
    assert bench.emulator.stats().pixel_requests - asked == COUNT - resumed
    assert list(open_stored_samples(output).verify()) == []
    assert bench.run(job).is_complete
    samples, truth = open_samples(output), bench.group
    everything = np.arange(COUNT)
    np.testing.assert_array_equal(samples.pixels(everything), truth["pixels"][...])
    np.testing.assert_array_equal(samples.masks(everything), truth["mask"][...])
    np.testing.assert_array_equal(samples.targets(everything), truth["target"][...])
    for name in ("id", "split", "state", "transform"):
        np.testing.assert_array_equal(samples.column(name), truth[name][...])
    assert samples.statistics == open_samples(bench.store).statistics
    with pytest.raises(ForeignStore, match="holds other samples"):
        run(bench, job.replace("size = 12", "size = 14"), output)


def test_the_command_line_compares_and_mends_it(bench, output):
    run(bench, JOB, output)

    ended = bench.eezarr("verify", output, "--sample", 5)
    assert (ended.returncode, ended.stdout.splitlines()) == (
        0,
        [f"{COUNT} samples checked, 0 altered", "5 samples asked for again, 0 different"],
    )
    group = zarr.open_group(open_stored_samples(output)._location.store.with_read_only(read_only=False), mode="r+")
    group["target"][4] ^= 1
    ended = bench.eezarr("verify", output, "--sample", COUNT)
    assert ended.returncode == 5
    assert "sample 4 (target)" in ended.stdout
    assert bench.eezarr("samples", "job.toml", "--output", output, "--repair").returncode == 0
    assert bench.eezarr("verify", output).returncode == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of forks beside threads
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores
def test_the_datasets_of_pytorch_read_it_in_spawned_workers_and_say_so_in_forked_ones(bench, output):
    pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    from eezarr.outputs.torch import SampleStream

    run(bench, JOB, output)
    stream = SampleStream(output, split="train", batch_size=5, seed=1, normalise=None)
    expected = open_samples(output).select(split="train").tolist()
    loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    assert sorted(index for batch in loader for index in batch["index"].tolist()) == expected
    forked = DataLoader(stream, batch_size=None, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(RuntimeError, match=r"(?s)InvalidInput.*spawn"):
        list(forked)

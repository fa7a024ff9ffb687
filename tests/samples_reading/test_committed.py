"""Samples in an Icechunk repository: what a commit has is whole, through kills; and the readers read it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr

from eezarr import fetch_samples
from eezarr.errors import ForeignStore, Incomplete, InvalidInput, StoreError
from eezarr.outputs.batches import make_reader
from eezarr.store import holds_samples, open_samples, open_stored_samples
from known import environment
from sampling import MIXED, on_mixed

pytestmark = pytest.mark.once

icechunk = pytest.importorskip("icechunk", reason="Icechunk is not installed: pip install icechunk")

COUNT = 48
JOB = f"""
[image]
asset = "{MIXED}"
bands = ["u16"]
[samples]
sites = "sites.csv"
id = "name"
label = "cover"
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
SHARDS = ["", "[store]\nshard = 4\n"]
_HEADER_BYTES = 56
"""Of a page of marks; see `eezarr.store.pages`."""


@pytest.fixture
def output(bench):
    return f"icechunk+file://{bench.folder}/out.ice"


@pytest.fixture
def run(bench, output):
    """Run the job of a text into the repository."""
    bench.sites(on_mixed(COUNT, cover=["oak", "elm", "ash"] * (COUNT // 3)))

    def run(text, **options):
        return fetch_samples(bench.job(text, output=output), **options)

    return run


@pytest.fixture
def plain(bench):
    """The same job in a plain store: the oracle of all that is in one."""

    def plain(text):
        return zarr.open_group(bench.store, mode="r") if bench.run(text).is_complete else None

    return plain


def repository(bench):
    """As another program has it: Icechunk's own API, none of ours."""
    return icechunk.Repository.open(icechunk.local_filesystem_storage(str(bench.folder / "out.ice")))


def newest(bench):
    return zarr.open_group(repository(bench).readonly_session("main").store, mode="r")


def messages(bench):
    return [state.message for state in repository(bench).ancestry(branch="main")]


def require_same(group, truth):
    """All arrays and columns of a group, and the statistics, are those of another."""
    names = sorted(name for name, node in truth.members(max_depth=None) if isinstance(node, zarr.Array))
    assert {"pixels", "mask", "target", "state", "label", "split"} < set(names)
    for name in names:
        np.testing.assert_array_equal(group[name][...], truth[name][...], err_msg=name)
    assert group.attrs["statistics"] == truth.attrs["statistics"]


def require_whole_commits(bench, truth):
    """Return how many samples each commit has, newest first; what one calls stored is there, and nothing else is."""
    counts = []
    found = repository(bench)
    for state in list(found.ancestry(branch="main"))[:-1]:
        group = zarr.open_group(found.readonly_session(snapshot_id=state.id).store, mode="r")
        is_stored = group["state"][...] == 1
        marked = np.zeros(COUNT, np.bool_)
        if "_eezarr/marks" in group:
            page = group["_eezarr/marks"][...]
            marked = np.unpackbits(page[_HEADER_BYTES : _HEADER_BYTES + 512], bitorder="little")[:COUNT].astype(bool)
        np.testing.assert_array_equal(is_stored, marked)
        for name in ("pixels", "mask", "target"):
            expected = truth[name][...]
            # The least likely value of the type; no pixel of a mask is valid where nothing is stored.
            limits = np.iinfo(expected.dtype)
            expected[~is_stored] = 0 if name == "mask" else limits.min or limits.max
            np.testing.assert_array_equal(group[name][...], expected, err_msg=f"{state.message}: {name}")
        counts.append(int(is_stored.sum()))
    return counts


@pytest.mark.parametrize("shard", SHARDS)
def test_what_is_stored_is_what_a_plain_store_has(bench, run, plain, shard):
    assert run(JOB + shard).is_complete
    truth = plain(JOB + shard)
    require_same(newest(bench), truth)
    assert json.loads(newest(bench).attrs["eezarr"])["complete"] is True
    assert messages(bench)[0] == f"{COUNT} samples, complete"
    assert messages(bench)[-2] == "open the store"
    counts = require_whole_commits(bench, truth)
    assert (counts[0], counts[-1]) == (COUNT, 0)


@pytest.mark.parametrize("shard", SHARDS)
def test_a_killed_job_goes_on_from_its_last_commit(bench, run, plain, output, shard):
    bench.emulator.configure({"latency": {"base_s": 0.1}})
    bench.job(JOB + shard)
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
    assert len(open_samples(output).select()) == resumed
    asked = bench.emulator.stats().pixel_requests
    report = run(JOB + shard)
    assert (report.is_complete, report.tiles_resumed, report.tiles_written) == (True, resumed, COUNT - resumed)
    assert bench.emulator.stats().pixel_requests - asked == COUNT - resumed
    truth = plain(JOB + shard)
    require_same(newest(bench), truth)
    counts = require_whole_commits(bench, truth)
    assert counts == sorted(counts, reverse=True)
    assert resumed in counts
    assert list(open_stored_samples(output).verify()) == []


def stored_count(output):
    try:
        return open_stored_samples(output).stored_count
    except StoreError:
        return 0  # nothing is committed yet


def test_a_complete_job_is_not_asked_again_and_another_is_refused(bench, run):
    run(JOB)
    asked, before = bench.emulator.stats().pixel_requests, newest(bench).attrs.asdict()
    assert run(JOB).tiles_resumed == COUNT
    assert bench.emulator.stats().pixel_requests == asked
    assert newest(bench).attrs["statistics"] == before["statistics"]
    with pytest.raises(ForeignStore, match="holds other samples"):
        run(JOB.replace("size = 12", "size = 14"))
    assert newest(bench)["pixels"].shape[-1] == 12
    assert run(JOB.replace("size = 12", "size = 14"), overwrite=True).is_complete
    assert newest(bench)["pixels"].shape[-1] == 14


@pytest.mark.parametrize("shard", SHARDS)
def test_a_sample_that_could_not_be_had_is_committed_as_missing(bench, run, plain, output, shard):
    bench.emulator.script(["none"] * 7 + ["unavailable"])  # a pixel of the image and one of the labels tell types
    job = JOB + shard + "[fetch]\nattempts = 1\nmax_concurrency = 1\n"
    with pytest.raises(Incomplete, match="sample 5"):
        run(job)
    assert messages(bench)[0] == f"{COUNT - 1} samples, incomplete"
    assert newest(bench)["state"][5] == 2
    assert 5 not in open_samples(output).select()
    report = run(job)
    assert (report.is_complete, report.tiles_written, report.requests_sent) == (True, 1, 1)
    require_same(newest(bench), plain(job))


def test_altered_samples_are_found_and_fetched_again(bench, run, plain, output):
    run(JOB)
    theirs = repository(bench).writable_session("main")
    group = zarr.open_group(theirs.store, mode="r+")
    for name, sample in (("mask", 3), ("target", 9)):
        group[name][sample] ^= 1
    theirs.commit("theirs")
    assert list(open_stored_samples(output).verify()) == [3, 9]
    report = run(JOB, repair=True)
    assert (report.is_complete, report.tiles_written) == (True, 2)
    require_same(newest(bench), plain(JOB))


@pytest.mark.parametrize("shard", SHARDS)
def test_the_reader_reads_it(bench, run, plain, output, shard):
    xr = pytest.importorskip("xarray")
    run(JOB + shard)
    truth = plain(JOB + shard)
    assert holds_samples(output)
    samples = open_samples(output)
    asked = np.random.default_rng(0).permutation(COUNT)
    np.testing.assert_array_equal(samples.pixels(asked), truth["pixels"][...][asked])
    np.testing.assert_array_equal(samples.masks(asked), truth["mask"][...][asked])
    np.testing.assert_array_equal(samples.targets(asked), truth["target"][...][asked])
    is_train, is_oak = truth["split"][...] == "train", truth["label"][...] == "oak"
    np.testing.assert_array_equal(samples.select(split="train", label="oak"), np.flatnonzero(is_train & is_oak))
    told = json.loads(truth.attrs["statistics"])["bands"]["u16"]
    assert (samples.statistics["u16"].mean, samples.statistics["u16"].std) == (told["mean"], told["std"])
    valid = truth["mask"][...][asked] == 1
    expected = np.where(valid, (truth["pixels"][...][asked][:, 0] - told["mean"]) / told["std"], 0)
    batch = make_reader(samples, bands=None, normalise="stored", masked=0.0).read(asked)
    np.testing.assert_allclose(batch.pixels[:, 0], expected, rtol=1e-6, atol=1e-6)
    theirs = xr.open_zarr(newest(bench).store, consolidated=False, chunks=None)
    xr.testing.assert_identical(samples.to_xarray().load(), theirs.load())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of forks beside threads
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores
def test_the_datasets_of_pytorch_read_it(run, plain, output):
    pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    from eezarr.outputs.torch import SampleDataset, SampleStream

    run(JOB + SHARDS[1])
    truth = plain(JOB + SHARDS[1])
    dataset = SampleDataset(output, split="train", normalise=None)
    expected = np.flatnonzero(truth["split"][...] == "train")
    assert len(dataset) == len(expected)
    for number, sample in enumerate(expected):
        item = dataset[number]
        np.testing.assert_array_equal(item["pixels"], truth["pixels"][sample])
        np.testing.assert_array_equal(item["target"], truth["target"][sample])
    stream = SampleStream(output, split="train", batch_size=5, seed=1, normalise=None)
    for context in (None, "spawn"):
        loader = DataLoader(stream, batch_size=None, num_workers=2 if context else 0, multiprocessing_context=context)
        seen = [index for batch in loader for index in batch["index"].tolist()]
        assert sorted(seen) == expected.tolist()


def test_shapes_that_icechunk_cannot_hold_are_refused_before_anything_is_asked(bench, run):
    with pytest.raises(InvalidInput, match="Icechunk holds Zarr format 3 only"):
        run(JOB + "[store]\nformat = 2\n")
    assert bench.emulator.stats().pixel_requests == 0
    assert not (bench.folder / "out.ice").exists()


def test_the_command_line_knows_it(bench, run, output):
    run(JOB)

    assert f"{COUNT} of {COUNT} stored, complete" in bench.eezarr("status", output).stdout
    ended = bench.eezarr("verify", output, "--sample", 7)
    assert (ended.returncode, ended.stdout.splitlines()) == (
        0,
        [f"{COUNT} samples checked, 0 altered", "7 samples asked for again, 0 different"],
    )

"""`eezarr verify --sample` on samples: some are asked for again, by themselves, and compared with what is stored."""

import json

import numpy as np
import pytest
import zarr

from eezarr.api import comparing
from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld
from eezarr.engine.splitting import WorkingSize
from eezarr.errors import InvalidInput
from eezarr.store import open_stored_samples
from sampling import MIXED, on_mixed

pytestmark = pytest.mark.once

IMAGE = f"""
[image]
asset = "{MIXED}"
bands = ["u16"]
[samples]
sites = "sites.csv"
id = "name"
size = 16
resolution = 10
shuffle = true
"""
LABELLED = f"""{IMAGE}
[samples.label_image]
asset = "{MIXED}"
band = "u8"
[mask]
mode = "band"
"""
DATED = """
[collection]
id = "COPERNICUS/S2"
start = "2017-01-01"
end = "2018-01-01"
bands = ["B4", "B8"]
[samples]
sites = "sites.csv"
id = "name"
date = "day"
size = 12
resolution = 10
window_days = 8
[samples.label_image]
asset = "USGS/SRTMGL1_003"
"""
DAYS = ["2017-04-20", "2017-04-18", "2017-05-01", "2017-04-30", "2017-01-02", "2017-04-10"]


def altered(bench, name, sample):
    """One value of a sample, made another by hand."""
    array = zarr.open_group(bench.store, mode="r+")[name]
    patch = array[sample]
    patch.reshape(-1)[-1] ^= 1
    array[sample] = patch


@pytest.mark.parametrize(
    "store", ["", "[store]\nshard = 4\n", '[store]\nformat = 2\n[mask]\nmode = "fill"\nfill = 7\n']
)
def test_unharmed_samples_are_what_the_service_answers(bench, eezarr, store):
    bench.sites(on_mixed(9))
    bench.run(IMAGE + store)
    asked = bench.emulator.stats().pixel_requests
    ended = eezarr("verify", "out.zarr", "--sample", 4)
    assert (ended.returncode, ended.stdout) == (
        0,
        "9 samples checked, 0 altered\n4 samples asked for again, 0 different\n",
    ), ended.stderr
    assert bench.emulator.stats().pixel_requests - asked == 4
    some = json.loads(eezarr("verify", "out.zarr", "--sample", 4, "--json").stdout)
    assert (len(set(some["compared"])), some["different"], some["altered"]) == (4, [], [])
    assert some["compared"] == sorted(some["compared"])
    everything = json.loads(eezarr("verify", "out.zarr", "--sample", 99, "--json").stdout)
    assert everything == {"checked": 9, "altered": [], "compared": list(range(9)), "different": []}


@pytest.mark.parametrize("store", ["", "[store]\nshard = 4\n"])
def test_what_was_altered_is_found_by_both_comparisons(bench, eezarr, store):
    bench.sites(on_mixed(6))
    bench.run(LABELLED + store)
    assert eezarr("verify", "out.zarr", "--sample", 6).returncode == 0
    for sample, name in ((0, "pixels"), (2, "mask"), (5, "target")):
        altered(bench, name, sample)
    ended = eezarr("verify", "out.zarr", "--sample", 6, "--json")
    assert ended.returncode == 5
    found = [0, 2, 5]
    assert json.loads(ended.stdout) == {"checked": 6, "altered": found, "compared": [*range(6)], "different": found}
    assert "--repair" in ended.stderr
    told = eezarr("verify", "out.zarr", "--sample", 6).stdout.splitlines()
    names = ("sample 0 (pixels)", "sample 2 (mask)", "sample 5 (target)")
    assert [line for line in told if "other pixels" in line] == [
        f"the service answers other pixels now: {name}" for name in names
    ]
    assert eezarr("samples", "job.toml", "--repair").returncode == 0
    assert eezarr("verify", "out.zarr", "--sample", 6).returncode == 0


def test_an_object_that_cannot_be_decoded_differs(bench, eezarr):
    bench.sites(on_mixed(5))
    bench.run(LABELLED)
    (bench.store / "mask" / "c" / "3" / "0" / "0").write_bytes(b"no chunk")
    ended = eezarr("verify", "out.zarr", "--sample", 5)
    assert ended.returncode == 5
    assert "altered: sample 3\nthe service answers other pixels now: sample 3 (mask)\n" in ended.stdout


def test_a_service_that_answers_otherwise_is_told_from_an_altered_store(bench, eezarr, world):
    """The pixels that another world has under its masks are others: an oracle that knows nothing of stores."""
    bench.sites(on_mixed(12))
    job = IMAGE.replace('"u16"', '"u8"')
    bench.run(job)
    other = SyntheticWorld(under_mask="zero")
    other.identity = world.identity  # the same service, of which the pixels changed
    expected = []
    for sample in range(12):
        (plane,) = other.image(MIXED).read(bench.grid(sample), ["u8"])
        if not np.array_equal(plane.values, bench.truth(MIXED, sample, ["u8"])[0]):
            expected.append(sample)
    assert 0 < len(expected) < 12
    with EmulatorThread(world=other) as emulator:
        ended = eezarr("verify", "out.zarr", "--sample", 12, "--json", "--api-url", emulator.url)
    assert ended.returncode == 5
    assert json.loads(ended.stdout) == {"checked": 12, "altered": [], "compared": [*range(12)], "different": expected}
    assert f"{len(expected)} of 12 samples" in ended.stderr
    assert "--overwrite" in ended.stderr


def test_samples_that_could_not_be_had_are_left_out(bench, eezarr):
    bench.sites(on_mixed(8))
    bench.job(IMAGE + "[fetch]\nattempts = 1\nmax_concurrency = 1\n")
    bench.emulator.script(["none"] * 4 + ["unavailable"])  # one pixel tells types
    assert eezarr("samples", "job.toml").returncode == 1
    asked = bench.emulator.stats().pixel_requests
    ended = eezarr("verify", "out.zarr", "--sample", 8, "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["compared"] == [0, 1, 2, 4, 5, 6, 7]
    assert bench.emulator.stats().pixel_requests - asked == 7


def test_nothing_stored_is_nothing_asked(bench, eezarr):
    bench.sites(on_mixed(3))
    bench.job(IMAGE + "[fetch]\nattempts = 1\nmax_concurrency = 1\n")
    bench.emulator.script(["none"] + ["unavailable"] * 20)
    assert eezarr("samples", "job.toml").returncode != 0
    bench.emulator.script([])
    ended = eezarr("verify", "out.zarr", "--sample", 3)
    assert (ended.returncode, ended.stdout) == (
        0,
        "0 samples checked, 0 altered\n0 samples asked for again, 0 different\n",
    )


@pytest.mark.parametrize("mask", ["", '[mask]\nmode = "band"\nper_band = true\n', '[mask]\nmode = "fill"\nfill = 9\n'])
def test_each_time_step_is_asked_for_by_itself(bench, eezarr, mask):
    bench.sites(on_mixed(6, day=DAYS))
    bench.run(DATED + mask)
    steps = (bench.group["times"][:] != -(2**63)).sum(axis=1)
    assert len(set(steps.tolist())) > 1
    asked = bench.emulator.stats().pixel_requests
    ended = eezarr("verify", "out.zarr", "--sample", 6)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("6 samples asked for again, 0 different\n")
    assert bench.emulator.stats().pixel_requests - asked == steps.sum()
    longest = int(steps.argmax())
    array = zarr.open_group(bench.store, mode="r+")["pixels"]
    array[longest, steps[longest] - 1, 1, 3, 5] += 1
    ended = eezarr("verify", "out.zarr", "--sample", 6, "--json")
    assert ended.returncode == 5
    assert json.loads(ended.stdout)["different"] == [longest]


@pytest.mark.parametrize("group", ["month", "all"])
def test_groups_are_reduced_as_the_job_did(bench, eezarr, group):
    bench.sites(on_mixed(4, day=DAYS[:4]))
    job = DATED.replace("[samples]\n", f'group = "{group}"\nreduce = "mean"\n[samples]\n')
    bench.run(job.replace("window_days = 8", "nearest = 3"))
    assert ("times" in bench.group) == (group != "all")
    assert "\n" in str(bench.group["image_ids"][0] if group == "all" else bench.group["image_ids"][0, 0])
    ended = eezarr("verify", "out.zarr", "--sample", 4)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("4 samples asked for again, 0 different\n")


def test_a_step_of_more_than_a_request_may_hold_is_compared_in_parts(bench, monkeypatch):
    bench.sites(on_mixed(3))
    bench.run(LABELLED.replace("size = 16", "size = 48"))
    # u16 and u8 with their mask bytes, and a mask with its own: 7 bytes a pixel as the service counts.
    monkeypatch.setattr(comparing, "working_size", lambda _: WorkingSize(max_bytes=7 * 48 * 30))
    asked = bench.emulator.stats().pixel_requests
    job = open_stored_samples(bench.store)
    options = {"project": "my-project", "api_url": bench.emulator.url}
    assert comparing.compare_samples_with_service(job, 3, **options) == ([0, 1, 2], {})
    assert bench.emulator.stats().pixel_requests - asked == 6
    altered(bench, "pixels", 1)
    altered(bench, "target", 1)
    _, different = comparing.compare_samples_with_service(job, 3, **options)
    assert different == {1: ("pixels", "target")}


def test_a_store_that_does_not_say_what_it_was_read_from_is_told(bench):
    bench.sites(on_mixed(2))
    bench.run(IMAGE)
    record = bench.store / ".eezarr" / "job.json"
    facts = json.loads(record.read_text())
    del facts["provenance"]["image"]
    record.write_text(json.dumps(facts))
    with pytest.raises(InvalidInput, match="does not say what it was read from"):
        comparing.compare_samples_with_service(open_stored_samples(bench.store), 1, api_url=bench.emulator.url)


def test_a_transform_that_was_altered_is_told_before_anything_is_asked(bench, eezarr):
    bench.sites(on_mixed(3))
    bench.run(IMAGE)
    asked = bench.emulator.stats().pixel_requests
    zarr.open_group(bench.store, mode="r+")["transform"][1, 2] += 3.0
    ended = eezarr("verify", "out.zarr", "--sample", 3)
    assert ended.returncode == 5
    assert "transform" in ended.stderr
    assert bench.emulator.stats().pixel_requests == asked

"""The commands that know samples: what they print, and how they end."""

import json

import pytest

from sampling import MIXED, on_mixed

pytestmark = pytest.mark.once

JOB = f"""
[image]
asset = "{MIXED}"
bands = ["u16"]
[samples]
sites = "sites.csv"
id = "name"
label = "cover"
size = 16
resolution = 10
[samples.splits]
train = 0.6
val = 0.4
[store]
shard = 4
[fetch]
attempts = 1
max_concurrency = 1
"""


@pytest.fixture
def sites(bench):
    rows = bench.sites(on_mixed(10, cover=["oak", "elm"] * 5))
    bench.job(JOB)
    return rows


def test_plan_says_what_would_be_asked(bench, eezarr, sites):
    ended = eezarr("plan", "job.toml", "--json", "--geojson", "patches.geojson")
    assert ended.returncode == 0, ended.stderr
    facts = json.loads(ended.stdout)
    assert (facts["samples"], facts["requests"], facts["size"]) == (10, 10, [16, 16])
    assert facts["bytes"] == {"pixels": 10 * 16 * 16 * 2, "largest_request": 16 * 16 * 3}
    assert sum(facts["splits"].values()) == 10
    features = json.loads((bench.folder / "patches.geojson").read_text(encoding="utf-8"))["features"]
    assert [feature["properties"]["id"] for feature in features] == [row["name"] for row in sites]
    for feature, row in zip(features, sites, strict=True):
        lons, lats = zip(*feature["geometry"]["coordinates"][0], strict=True)
        assert min(lons) < row["lon"] < max(lons)
        assert min(lats) < row["lat"] < max(lats)
    assert bench.emulator.stats().pixel_requests == 0


def test_a_missing_sample_is_exit_code_one_and_status_counts_by_split_and_label(bench, eezarr, sites):
    bench.emulator.script(["none"] * 4 + ["unavailable"])  # one pixel tells types
    ended = eezarr("samples", "job.toml", "--json", "--events", "events.jsonl")
    assert ended.returncode == 1
    summary = json.loads(ended.stdout)
    assert (summary["complete"], summary["tiles"]["written"], summary["tiles"]["failed"]) == (False, 9, 1)
    (failure,) = summary["failures"]
    assert failure["where"] == f"sample 3 (site '{sites[3]['name']}')"
    assert "1 samples are missing" in ended.stderr
    events = [json.loads(line) for line in (bench.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["tile"] for event in events if event["event"] == "TileFailed"] == [3]
    facts = json.loads(eezarr("status", "out.zarr", "--json").stdout)
    assert facts["samples"] == {"total": 10, "stored": 9, "unavailable": 1, "without_images": 0}
    assert facts["by_label"] == {"elm": {"total": 5, "stored": 4}, "oak": {"total": 5, "stored": 5}}
    assert sum(own["stored"] for own in facts["by_split"].values()) == 9
    again = eezarr("samples", "job.toml", "--json", "--quiet")
    assert (again.returncode, json.loads(again.stdout)["tiles"]["resumed"]) == (0, 9)
    assert "10 of 10 stored, complete" in eezarr("status", "out.zarr").stdout


def test_verify_names_what_was_altered(bench, eezarr, sites):
    assert eezarr("samples", "job.toml").returncode == 0
    ended = eezarr("verify", "out.zarr")
    assert (ended.returncode, ended.stdout) == (0, "10 samples checked, 0 altered\n")
    chunk = bench.store / "pixels" / "c" / "2" / "0" / "0" / "0"
    body = bytearray(chunk.read_bytes())
    body[40] ^= 0xFF
    chunk.write_bytes(bytes(body))
    ended = eezarr("verify", "out.zarr", "--json")
    assert ended.returncode == 5
    assert set(json.loads(ended.stdout)["altered"]) <= {8, 9}
    assert json.loads(ended.stdout)["altered"]
    assert "--repair" in ended.stderr
    assert eezarr("samples", "job.toml", "--repair").returncode == 0
    assert eezarr("verify", "out.zarr").returncode == 0
    assert eezarr("verify", "out.zarr", "--sample", "2").returncode == 0


def test_a_store_of_another_kind_is_refused(bench, eezarr, sites):
    assert eezarr("samples", "job.toml").returncode == 0
    pixels = (
        f'output = "out.zarr"\nproject = "p"\n[image]\nasset = "{MIXED}"\nbands = ["u16"]\n[grid]\nnative = "u16"\n'
    )
    (bench.folder / "pixels.toml").write_text(pixels, encoding="utf-8")
    ended = eezarr("fetch", "pixels.toml", "--quiet")
    assert ended.returncode == 5
    assert "holds samples" in ended.stderr
    ended = eezarr("fetch", "pixels.toml", "--quiet", "--output", "grid.zarr")
    assert ended.returncode == 0, ended.stderr
    ended = eezarr("samples", "job.toml", "--output", "grid.zarr")
    assert ended.returncode == 5
    assert "no samples" in ended.stderr
    assert eezarr("samples", "job.toml", "--output", "grid.zarr", "--overwrite").returncode == 0
    assert "samples" in eezarr("status", "grid.zarr").stdout
    assert eezarr("fetch", "job.toml").returncode == 2


CLOSE = JOB.replace("size = 16", "size = 64").replace("[samples.splits]\ntrain = 0.6\nval = 0.4", "{splits}")
"""Patches of 640 m, of which neighbours 300 m apart share most of their pixels."""


def planned(eezarr):
    return json.loads(eezarr("plan", "job.toml", "--json").stdout)


@pytest.fixture
def line_of_sites(bench):
    rows = bench.sites(on_mixed(24, cover=["oak", "elm"] * 12))
    first = rows[0]
    for nth, row in enumerate(rows):
        row["lon"], row["lat"] = first["lon"] + 0.0034 * (nth % 6), first["lat"] + 0.0027 * (nth // 6)
    bench.sites(rows)
    return rows


def test_splits_that_share_pixels_are_told_by_plan_and_by_fetch(bench, eezarr, line_of_sites):
    bench.job(CLOSE.format(splits="[samples.splits]\ntrain = 0.6\ntest = 0.4"))
    facts = planned(eezarr)["overlapping"]
    assert facts["train"]["samples"] + facts["test"]["samples"] == 24
    assert facts["test"]["overlapping"] > 0
    told = f"{facts['test']['overlapping']} of {facts['test']['samples']} of test"
    plan = eezarr("plan", "job.toml")
    assert "overlap    Samples share ground with another split's" in plan.stdout
    assert told in plan.stdout
    assert plan.stderr == ""
    ended = eezarr("samples", "job.toml", "--quiet")
    assert ended.returncode == 0
    assert ended.stderr.startswith("warning: Samples share ground with another split's")
    assert told in ended.stderr
    assert 'by = "blocks"' in ended.stderr


def test_blocks_with_a_buffer_leave_no_pixel_in_two_splits(bench, eezarr, line_of_sites):
    """640 m a side: its diagonal is 905 m, but half of it on each side of a border is enough."""
    splits = '[samples.splits]\nby = "blocks"\nblock_size = {size}\n{buffer}train = 0.5\ntest = 0.5'
    bench.job(CLOSE.format(splits=splits.format(size=2000, buffer="")))
    before = planned(eezarr)
    assert (before["samples"], before["left_out"]) == (24, 0)
    assert before["overlapping"]["test"]["overlapping"] > 0
    bench.job(CLOSE.format(splits=splits.format(size=2000, buffer="buffer = 460\n")))
    after = planned(eezarr)
    assert after["samples"] + after["left_out"] == 24
    assert 0 < after["samples"] < 24
    assert {name: facts["overlapping"] for name, facts in after["overlapping"].items()} == dict.fromkeys(
        ["train", "test"], 0
    )
    assert f"{after['left_out']} more sites are too near to another split" in eezarr("plan", "job.toml").stdout
    ended = eezarr("samples", "job.toml", "--quiet")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert bench.group["pixels"].shape[0] == after["samples"]
    told = bench.group.attrs["eezarr"]
    facts = json.loads(told) if isinstance(told, str) else told
    assert facts["splits"]["buffer"] == 460

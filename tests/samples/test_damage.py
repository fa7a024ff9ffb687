"""Documents and columns of samples that are damaged: said in words, never passed over, written again by a repair."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
import zarr

from eezarr.errors import StoreError
from eezarr.store import damaged_nodes, open_samples, open_stored_samples
from sampling import MIXED, on_mixed

pytestmark = pytest.mark.once

COUNT = 6
JOB = f"""
[image]
asset = "{MIXED}"
bands = ["u16"]
[samples]
sites = "sites.csv"
id = "name"
label = "cover"
split = "part"
size = 8
resolution = 10
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
size = 8
resolution = 10
window_days = 8
"""
COLUMNS = {"cover": ["oak", "elm"] * 3, "part": ["train", "test"] * 3, "soil": [1.5] * 6, "rain": ["much", "no"] * 3}
DAYS = ["2017-04-20", "2017-04-18", "2017-05-01", "2017-04-30", "2017-01-02", "2017-04-10"]


def altered(path, **changes):
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | changes), encoding="utf-8")


def altered_attribute(store, name, change):
    document = json.loads((store / "zarr.json").read_text(encoding="utf-8"))
    document["attributes"][name] = change(document["attributes"][name])
    (store / "zarr.json").write_text(json.dumps(document), encoding="utf-8")


def without_consolidated(store):
    document = json.loads((store / "zarr.json").read_text(encoding="utf-8"))
    del document["consolidated_metadata"]
    (store / "zarr.json").write_text(json.dumps(document), encoding="utf-8")


def other_value(store, name):
    array = zarr.open_group(store, mode="r+", use_consolidated=False)[name]
    values = array[...]
    values[-1] = "other" if values.dtype.kind in "OT" else 2
    array[...] = values


def moved(store, name):
    """The column of the first sample for all."""
    array = zarr.open_group(store, mode="r+", use_consolidated=False)[name]
    array[...] = np.broadcast_to(array[...][:1], array.shape)


def emptied(store, name):
    for file in [*(store / name / "c").rglob("*")]:
        if file.is_file():
            file.unlink()


DAMAGES = {
    "pixels: its document is missing": lambda store: (store / "pixels/zarr.json").unlink(),
    "pixels: its document is missing or cannot": lambda store: (store / "pixels/zarr.json").write_text("{"),
    "pixels: its shape is 9 x 1 x 8 x 8": lambda store: altered(store / "pixels/zarr.json", shape=[9, 1, 8, 8]),
    "pixels: its type is int16": lambda store: altered(store / "pixels/zarr.json", data_type="int16", fill_value=0),
    "pixels: its codecs": lambda store: altered(store / "pixels/zarr.json", codecs=[{"name": "bytes"}]),
    "pixels: its fill value": lambda store: altered(store / "pixels/zarr.json", fill_value=7),
    "pixels: the attribute coordinates": lambda store: altered(store / "pixels/zarr.json", attributes={}),
    "pixels: its dimension names": lambda store: altered(store / "pixels/zarr.json", dimension_names=[*"abcd"]),
    "mask: its document": lambda store: (store / "mask/zarr.json").unlink(),
    "mask: the attribute": lambda store: altered(store / "mask/zarr.json", attributes={}),
    "target: its document": lambda store: (store / "target/zarr.json").unlink(),
    "target: its type": lambda store: altered(store / "target/zarr.json", data_type="int8", fill_value=0),
    "id: its values are missing": lambda store: emptied(store, "id"),
    "id: its values": lambda store: other_value(store, "id"),
    "id: its document": lambda store: shutil.rmtree(store / "id"),
    "site: its values": lambda store: moved(store, "site"),
    "longitude: its values": lambda store: emptied(store, "longitude"),
    "longitude: its type": lambda store: altered(store / "longitude/zarr.json", data_type="int64", fill_value=0),
    "latitude: its values": lambda store: (store / "latitude/c/0").write_bytes(b"short"),
    "latitude: its shape": lambda store: altered(store / "latitude/zarr.json", shape=[5]),
    "crs: its values": lambda store: other_value(store, "crs"),
    "transform: its values": lambda store: moved(store, "transform"),
    "band: its values": lambda store: other_value(store, "band"),
    "label: its values": lambda store: other_value(store, "label"),
    "label: the attribute long_name": lambda store: altered(store / "label/zarr.json", attributes={}),
    "split: its values": lambda store: moved(store, "split"),
    "split: its document": lambda store: (store / "split/zarr.json").unlink(),
    "properties: its document": lambda store: (store / "properties/zarr.json").unlink(),
    "properties/soil: its values": lambda store: other_value(store, "properties/soil"),
    "properties/rain: its values": lambda store: emptied(store, "properties/rain"),
    "properties/rain: its document": lambda store: shutil.rmtree(store / "properties"),
    "state: its document": lambda store: shutil.rmtree(store / "state"),
    "state: the attribute long_name": lambda store: altered(store / "state/zarr.json", attributes={}),
    "the group: its document": lambda store: (store / "zarr.json").unlink(),
    "the group: the attribute eezarr": lambda store: altered(store / "zarr.json", attributes={}),
    "the group: the attribute Conventions": lambda store: altered_attribute(store, "Conventions", str.lower),
}


def rounds():
    """The damages, of each node one at a time, many nodes together; those of the group by themselves."""
    alone, together = [], {}
    count = Counter()
    for words in DAMAGES:
        node = words.partition(":")[0]
        if node == "the group":
            alone.append([words])
        else:
            together.setdefault(count[node], []).append(words)
            count[node] += 1
    return [*together.values(), *alone]


def require_same(group, arrays, attributes):
    assert {name for name, node in group.members(max_depth=None) if isinstance(node, zarr.Array)} == set(arrays)
    for name, values in arrays.items():
        np.testing.assert_array_equal(group[name][...], values, err_msg=name)
    found = dict(group.attrs)
    for facts in (found, attributes):
        facts["eezarr"] = {**json.loads(facts["eezarr"]), "completed": None}
    assert found == attributes


def contents(group):
    arrays = {name: node[...] for name, node in group.members(max_depth=None) if isinstance(node, zarr.Array)}
    return arrays, dict(group.attrs)


@pytest.mark.parametrize("damages", rounds(), ids=lambda damages: damages[0])
def test_what_is_damaged_is_said_refused_and_written_again(bench, damages):
    bench.sites(on_mixed(COUNT, **COLUMNS))
    bench.run(JOB)
    assert damaged_nodes(bench.store) == ()
    whole = contents(bench.group)
    for words in damages:
        DAMAGES[words](bench.store)
    found = damaged_nodes(bench.store)
    # Where a folder is gone, all that was in it is.
    tops = [{node.partition(":")[0].partition("/")[0] for node in nodes} for nodes in (damages, found)]
    assert tops[0] == tops[1]
    assert [words for words in damages if not any(node.startswith(words) for node in found)] == [], found
    asked = bench.emulator.stats().pixel_requests
    with pytest.raises(StoreError, match="damaged") as caught:
        bench.run(JOB)
    assert (caught.value.exit_code, "--repair" in caught.value.hint) == (5, True)
    report = bench.run(JOB, repair=True)
    assert (report.is_complete, report.tiles_resumed, report.requests_sent) == (True, COUNT, 0)
    assert bench.emulator.stats().pixel_requests == asked
    assert damaged_nodes(bench.store) == ()
    assert list(open_stored_samples(bench.store).verify()) == []
    require_same(bench.group, *whole)
    assert bench.run(JOB).requests_sent == 0


@pytest.mark.parametrize("store", ["", "[store]\nshard = 4\n"])
@pytest.mark.parametrize("name", ["pixels", "mask", "target"])
def test_of_a_folder_that_was_deleted_only_its_pixels_are_fetched_again(bench, name, store):
    bench.sites(on_mixed(COUNT, **COLUMNS))
    bench.run(JOB + store)
    whole = contents(bench.group)
    shutil.rmtree(bench.store / name)
    with pytest.raises(StoreError, match=f"{name}: its document"):
        bench.run(JOB + store)
    report = bench.run(JOB + store, repair=True)
    assert (report.is_complete, report.tiles_resumed, report.tiles_written) == (True, 0, COUNT)
    assert damaged_nodes(bench.store) == ()
    require_same(bench.group, *whole)


def test_beside_a_damaged_document_only_the_samples_whose_pixels_are_gone_are_fetched(bench):
    bench.sites(on_mixed(COUNT, **COLUMNS))
    bench.run(JOB)
    whole = contents(bench.group)
    (bench.store / "pixels/zarr.json").unlink()
    (bench.store / "pixels/c/2/0/0/0").unlink()
    emptied(bench.store, "label")
    report = bench.run(JOB, repair=True)
    assert (report.is_complete, report.tiles_written, report.requests_sent) == (True, 1, 1)
    require_same(bench.group, *whole)


@pytest.mark.parametrize("name", ["date", "times", "image_ids"])
@pytest.mark.parametrize("damage", [moved, emptied])
def test_times_and_images_are_compared_too(bench, name, damage):
    bench.sites(on_mixed(COUNT, day=DAYS))
    bench.run(DATED)
    whole = contents(bench.group)
    damage(bench.store, name)
    assert damaged_nodes(bench.store) == (f"{name}: its values are missing or were altered",)
    with pytest.raises(StoreError, match=name):
        bench.run(DATED)
    assert bench.run(DATED, repair=True).requests_sent == 0
    require_same(bench.group, *whole)


@pytest.mark.parametrize(
    ("words", "damage"),
    [
        ("the group: the consolidated metadata", without_consolidated),
        ("state: its values", lambda store: emptied(store, "state")),
        ("state: its values", lambda store: other_value(store, "state")),
        (
            "the group: the attribute statistics",
            lambda store: altered_attribute(store, "statistics", lambda text: text.replace('"count": ', '"count": 1')),
        ),
        ("the group: the attribute statistics", lambda store: altered_attribute(store, "statistics", lambda _: "{}")),
    ],
)
@pytest.mark.parametrize("repair", [True, False])
def test_what_follows_the_pixels_is_said_and_made_of_them_again_by_any_run(bench, words, damage, repair):
    bench.sites(on_mixed(COUNT, **COLUMNS))
    bench.run(JOB)
    whole = contents(bench.group)
    damage(bench.store)
    (node,) = damaged_nodes(bench.store)
    assert node.startswith(words)
    assert bench.run(JOB, repair=repair).requests_sent == 0
    assert damaged_nodes(bench.store) == ()
    require_same(bench.group, *whole)


@pytest.mark.parametrize(
    "store", ["[store]\nformat = 2\n", "[store]\nshard = 4\n", '[store]\ncompressor = "none"\n'], ids=str
)
def test_a_sound_store_is_sound_and_formats_are_compared_alike(bench, store):
    bench.sites(on_mixed(COUNT, **COLUMNS))
    bench.run(JOB + store)
    whole = contents(bench.group)
    assert damaged_nodes(bench.store) == ()
    is_old = "format" in store
    (bench.store / "pixels" / (".zarray" if is_old else "zarr.json")).unlink()
    (bench.store / "label" / ("0" if is_old else "c/0")).unlink()
    assert {node.partition(":")[0] for node in damaged_nodes(bench.store)} == {"pixels", "label"}
    assert bench.run(JOB + store, repair=True).requests_sent == 0
    assert damaged_nodes(bench.store) == ()
    require_same(bench.group, *whole)


def test_a_repair_with_other_labels_writes_those(bench):
    bench.sites(on_mixed(COUNT, **COLUMNS))
    bench.run(JOB)
    for damage in ("the group: its document", "longitude: its values", "mask: its document"):
        DAMAGES[damage](bench.store)
    bench.sites(on_mixed(COUNT, **COLUMNS | {"cover": ["fir"] * COUNT}))
    with pytest.raises(StoreError, match="damaged"):
        bench.run(JOB)
    report = bench.run(JOB, repair=True)
    assert (report.is_complete, report.requests_sent) == (True, 0)
    assert damaged_nodes(bench.store) == ()
    assert set(bench.group["label"][...]) == {"fir"}
    assert len(open_samples(bench.store).select(label="fir")) == COUNT


def test_an_unfinished_store_is_refused_too_before_a_pixel_is_asked_for(bench):
    bench.sites(on_mixed(COUNT, **COLUMNS))
    job = JOB + "[fetch]\nattempts = 1\nmax_concurrency = 1\n"
    bench.emulator.script(["none"] * 4 + ["unavailable"])
    with pytest.raises(StoreError.__base__, match="1 samples are missing"):
        bench.run(job)
    assert damaged_nodes(bench.store) == ()
    emptied(bench.store, "split")
    asked = bench.emulator.stats().pixel_requests
    with pytest.raises(StoreError, match="split: its values"):
        bench.run(job)
    assert bench.emulator.stats().pixel_requests == asked
    report = bench.run(job, repair=True)
    assert (report.is_complete, report.tiles_written) == (True, 1)
    assert damaged_nodes(bench.store) == ()


def test_the_command_names_what_is_damaged(bench, eezarr):
    bench.sites(on_mixed(COUNT, **COLUMNS))
    bench.run(JOB)
    emptied(bench.store, "label")
    ended = eezarr("verify", "out.zarr", "--json")
    assert (ended.returncode, json.loads(ended.stdout)) == (
        5,
        {"checked": COUNT, "altered": [], "damaged": ["label: its values are missing or were altered"]},
    )
    (bench.store / "pixels/zarr.json").unlink()
    ended = eezarr("verify", "out.zarr")
    assert ended.returncode == 5
    assert "damaged: pixels: its document is missing" in ended.stdout
    assert "--repair" in ended.stderr
    refused = eezarr("samples", "job.toml")
    assert (refused.returncode, "--repair" in refused.stderr) == (5, True)
    assert eezarr("samples", "job.toml", "--repair").returncode == 0
    assert eezarr("verify", "out.zarr").stdout == f"{COUNT} samples checked, 0 altered\n"


def test_a_store_of_an_earlier_version_is_compared_after_a_repair(bench):
    bench.sites(on_mixed(COUNT, **COLUMNS))
    bench.run(JOB)
    record = bench.store / ".eezarr" / "job.json"
    facts = json.loads(record.read_text(encoding="utf-8"))
    del facts["layout"]
    record.write_text(json.dumps(facts), encoding="utf-8")
    assert bench.run(JOB).requests_sent == 0
    emptied(bench.store, "label")
    assert damaged_nodes(bench.store) == ()
    bench.run(JOB, repair=True)
    assert set(bench.group["label"][...]) == {"oak", "elm"}
    emptied(bench.store, "label")
    assert damaged_nodes(bench.store) == ("label: its values are missing or were altered",)


def test_a_record_that_does_not_say_how_the_store_is_laid_out_is_told(bench):
    bench.sites(on_mixed(COUNT, **COLUMNS))
    bench.run(JOB)
    altered(bench.store / ".eezarr" / "job.json", layout={"documents": {}, "pixels": [], "hashes": {}, "format": 3})
    with pytest.raises(StoreError, match="does not say how the store is laid out") as caught:
        damaged_nodes(bench.store)
    assert "--repair" in caught.value.hint
    bench.run(JOB, repair=True)
    assert damaged_nodes(bench.store) == ()

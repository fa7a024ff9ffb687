"""Documents and coordinates that are damaged: said in words, never passed over, and written again by a repair."""

from __future__ import annotations

import json
import shutil

import pytest

from eezarr.errors import StoreError
from eezarr.store import arrays, damaged_nodes, open_store

pytestmark = pytest.mark.once


def altered(path, **changes):
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | changes), encoding="utf-8")


def without(path, name):
    document = json.loads(path.read_text(encoding="utf-8"))
    del document[name]
    path.write_text(json.dumps(document), encoding="utf-8")


DAMAGES = {
    "B2: its document is missing": lambda store: (store / "B2/zarr.json").unlink(),
    "B2: its document is missing or cannot": lambda store: (store / "B2/zarr.json").write_text("{"),
    "B2: its document is missing or": lambda store: shutil.rmtree(store / "B2"),
    "B2: its shape is 2 x 9 x 9, not 2 x 172 x 282": lambda store: altered(store / "B2/zarr.json", shape=[2, 9, 9]),
    "B2: its type is int16, not uint16": lambda store: altered(store / "B2/zarr.json", data_type="int16", fill_value=0),
    "B2: its codecs": lambda store: altered(store / "B2/zarr.json", codecs=[{"name": "bytes"}]),
    "B2: its fill value is": lambda store: altered(store / "B2/zarr.json", fill_value=0),
    "B2: the attribute grid_mapping": lambda store: altered(store / "B2/zarr.json", attributes={}),
    "B2: its dimension names": lambda store: altered(store / "B2/zarr.json", dimension_names=["time", "a", "b"]),
    "x: its values": lambda store: (store / "x/c/0").unlink(),
    "y: its values": lambda store: (store / "y/c/0").write_bytes(bytes(172 * 8)),
    "y: its values are missing": lambda store: (store / "y/c/0").write_bytes(b"short"),
    "spatial_ref: its document": lambda store: shutil.rmtree(store / "spatial_ref"),
    "spatial_ref: the attribute crs_wkt": lambda store: altered(store / "spatial_ref/zarr.json", attributes={}),
    "time: its values": lambda store: (store / "time/c/0").unlink(),
    "image_ids: its values": lambda store: (store / "image_ids/c/0").unlink(),
    "the group: its document": lambda store: (store / "zarr.json").unlink(),
    "the group: the attribute": lambda store: altered(store / "zarr.json", attributes={}),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_what_is_damaged_is_said_refused_and_written_again(bench, tmp_path, words):
    path = tmp_path / "s.zarr"
    plan = bench.plan(steps=2)
    image = bench.store_all(plan, path)
    assert damaged_nodes(path) == ()
    pixels = {file: file.read_bytes() for file in path.rglob("B[13]/c/*/*/*")}
    DAMAGES[words](path)
    assert any(node.startswith(words) for node in damaged_nodes(path)), damaged_nodes(path)
    with pytest.raises(StoreError, match="damaged") as caught:
        bench.sink(plan, path, repair=False)
    assert (caught.value.exit_code, "--repair" in caught.value.hint) == (5, True)
    sink = bench.sink(plan, path, repair=True)
    taken_back = sink.unmark_altered()
    assert bool(taken_back) == (words == "B2: its document is missing or")
    for index in list(sink.missing()):
        sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    assert sink.finish(bench.now)
    assert damaged_nodes(path) == ()
    assert list(open_store(path).verify()) == []
    assert pixels == {file: file.read_bytes() for file in pixels}


def test_consolidated_metadata_that_is_not_there_is_said_and_gathered_by_any_run(bench, tmp_path):
    path = tmp_path / "s.zarr"
    plan = bench.plan()
    bench.store_all(plan, path)
    without(path / "zarr.json", "consolidated_metadata")
    (node,) = damaged_nodes(path)
    assert node.startswith("the group: the consolidated metadata")
    assert bench.sink(plan, path, repair=False).finish(bench.now)
    assert damaged_nodes(path) == ()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_run_that_was_killed_while_it_ended_leaves_a_sound_store(bench, tmp_path, monkeypatch, zarr_format):
    path = tmp_path / "s.zarr"
    plan = bench.plan(zarr_format=zarr_format)
    image = bench.pixels(plan)
    sink = bench.sink(plan, path, repair=False)
    for index in list(sink.missing()):
        sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))

    def killed(*_):
        raise OSError(5, "killed")

    with monkeypatch.context() as patched:
        patched.setattr(arrays, "consolidate", killed)
        with pytest.raises(OSError, match="killed"):
            sink.finish(bench.now)
    assert damaged_nodes(path) == ()
    assert bench.sink(plan, path, repair=False).finish(bench.now)


@pytest.mark.parametrize(
    "layout", [{"kind": "stacked"}, {"zarr_format": 2}, {"sharded": True}, {"masks": "each"}], ids=str
)
def test_a_sound_store_is_sound(bench, output, layout):
    bench.store_all(bench.plan(**layout), output)
    assert damaged_nodes(output) == ()


def test_format_2_is_compared_too(bench, tmp_path):
    plan = bench.plan(zarr_format=2)
    bench.store_all(plan, tmp_path)
    (tmp_path / "B1/.zarray").unlink()
    (tmp_path / "x/0").unlink()
    assert {node.partition(":")[0] for node in damaged_nodes(tmp_path)} == {"B1", "x"}


def test_documents_of_overviews_are_compared_and_written_again(bench, tmp_path):
    path = tmp_path / "s.zarr"
    plan = bench.plan(shape=(700, 520), tile=(256, 256))
    methods = {band.name: "nearest" for band in plan.bands}
    image = bench.pixels(plan)
    sink = bench.sink(plan, path)
    sink.begin_overviews(methods)
    for index in list(sink.missing()):
        sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    assert sink.finish(bench.now, overviews=methods)
    assert damaged_nodes(path) == ()
    (path / "ovr_2x/B1/zarr.json").unlink()
    shutil.rmtree(path / "ovr_2x/x")
    assert {node.partition(":")[0] for node in damaged_nodes(path)} == {"ovr_2x/B1", "ovr_2x/x"}
    with pytest.raises(StoreError, match="ovr_2x/B1"):
        bench.sink(plan, path, repair=False)
    sink = bench.sink(plan, path, repair=True)
    assert sink.unmark_altered() == 0
    assert sink.finish(bench.now, overviews=methods)
    assert damaged_nodes(path) == ()

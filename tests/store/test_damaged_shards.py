"""A shard that is damaged is replaced without being read: Zarr would read its index, and fail for ever."""

from __future__ import annotations

import obstore
import pytest

from eezarr.store import open_store
from eezarr.store.location import locate

DAMAGES = {
    "half": lambda body: body[: len(body) // 2],
    "zeroed": lambda body: bytes(len(body)),
    "longer": lambda body: body + b"abc",
    "empty": lambda _: b"",
}


def replaced(output, key, damage):
    store = locate(output).store
    if hasattr(store, "root"):
        path = store.root / key
        path.write_bytes(damage(path.read_bytes()))
    else:
        obstore.put(store.store, key, damage(bytes(obstore.get(store.store, key).bytes())))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["bands", "stacked"])
@pytest.mark.parametrize("is_marked", [True, False])
def test_a_damaged_shard_is_replaced(bench, output, damage, kind, is_marked):
    plan = bench.plan(kind=kind, sharded=True)
    image = bench.store_all(plan, output)
    folder = "pixels/c/0" if kind == "stacked" else "B2/c"
    for key in (f"{folder}/0/0", f"{folder}/1/2"):
        replaced(output, key, DAMAGES[damage])
    sink = bench.sink(plan, output)
    if is_marked:
        assert sink.unmark_altered() == 2
    else:
        sink._marks.unmark(0)
        sink._marks.unmark(plan.tile_count - 1)
        sink.flush()
        sink = bench.sink(plan, output)
    for index in list(sink.missing()):
        sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    assert sink.finish(bench.now)
    assert list(open_store(output).verify()) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_of_an_overview_is_replaced(bench, output, damage):
    plan = bench.plan(shape=(600, 600), tile=(128, 128), dtypes=("uint8",), sharded=True)
    image = bench.pixels(plan)
    sink = bench.sink(plan, output)
    sink.begin_overviews({"B1": "nearest"})
    first, *rest = list(sink.missing())
    for index in rest:
        sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    sink.flush()
    location = locate(output)
    location.put("ovr_2x/B1/c/0/0", DAMAGES[damage](bytes(1000)))
    sink.write(plan.tile(first), bench.cut(image, plan.tile(first)))
    assert sink.finish(bench.now, overviews={"B1": "nearest"})

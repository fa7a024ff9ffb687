"""Stored objects of samples while they fill: in whatever order samples come, few are open, and none is lost."""

from datetime import UTC, datetime

import numpy as np
import pytest
import zarr

from eezarr.errors import StoreError
from eezarr.grid import Shape2D
from eezarr.plan import Band, make_masking, record_dtype
from eezarr.samples import SampleLayout, SamplePlan, SiteTable, patch_grids
from eezarr.store import SamplesSink, open_stored_samples

pytestmark = pytest.mark.once

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def plan_of(count, per_shard, mode="band"):
    places = np.column_stack([np.linspace(5, 15, count), np.linspace(40, 50, count)])
    size, bands = Shape2D(4, 5), (Band("a", "int16"), Band("b", "int16"))
    return SamplePlan(
        image_key="k",
        sites=SiteTable.of(places),
        rows=np.arange(count),
        grids=patch_grids(places, crs="EPSG:3857", resolution=10, size=size),
        bands=bands,
        layout=SampleLayout(chunk=size, per_shard=per_shard),
        masking=make_masking(mode, bands, fill=-1 if mode == "fill" else None),
        target=Band("labels", "uint8"),
    )


def answer(tile):
    """Pixels that say which sample and band they are of."""
    pixels = np.zeros((4, 5), record_dtype(tile.wire_bands))
    for nth, name in enumerate(pixels.dtype.names):
        pixels[name] = tile.index % 50 + 60 * nth + np.arange(20).reshape(4, 5)
    pixels["m0"] = np.arange(20).reshape(4, 5) % 3 > 0
    return pixels


def sink_of(plan, path, **options):
    return SamplesSink.create(plan, path, image_info={}, origin="here", now=NOW, steal=True, **options)


def require_all(path, plan, samples):
    group = zarr.open_group(path, mode="r")
    for sample in samples:
        expected = answer(plan.tile(sample))
        np.testing.assert_array_equal(group["pixels"][sample], np.stack([expected["p0_0"], expected["p0_1"]]))
        np.testing.assert_array_equal(group["mask"][sample], expected["m0"])
        np.testing.assert_array_equal(group["target"][sample], expected["t"])
    assert set(np.flatnonzero(group["state"][:] == 1).tolist()) == set(samples)


@pytest.mark.parametrize("per_shard", [None, 3, 8, 30])
@pytest.mark.parametrize("most_open", [1, 2])
@pytest.mark.parametrize("seed", range(2))
def test_any_order_through_little_room(tmp_path, per_shard, most_open, seed):
    plan = plan_of(30, per_shard)
    sink = sink_of(plan, tmp_path / "s.zarr", most_open=most_open)
    for sample in np.random.default_rng(seed).permutation(30).tolist():
        sink.write(plan.tile(sample), answer(plan.tile(sample)))
        assert len(sink._units._open) <= most_open
    assert sink.finish(NOW)
    require_all(tmp_path / "s.zarr", plan, range(30))
    assert list(open_stored_samples(tmp_path / "s.zarr").verify()) == []


@pytest.mark.parametrize("per_shard", [None, 4, 16])
def test_what_was_not_stored_is_asked_for_by_the_next_run(tmp_path, per_shard):
    plan, path = plan_of(16, per_shard), tmp_path / "s.zarr"
    sink = sink_of(plan, path)
    for sample in (0, 1, 2, 3, 9, 5, 14):
        sink.write(plan.tile(sample), answer(plan.tile(sample)))
    sink.flush()
    # Killed here: what is marked is there, and no more than the open shards' samples are lost.
    stored = open_stored_samples(path)
    assert list(stored.verify()) == []
    require_all(path, plan, list(stored.stored()))
    assert {0, 1, 2, 3} <= set(stored.stored()) or per_shard == 16
    again = sink_of(plan, path)
    assert set(again.missing()) == set(range(16)) - set(stored.stored())
    for sample in again.missing():
        again.write(plan.tile(sample), answer(plan.tile(sample)))
    assert again.finish(NOW)
    require_all(path, plan, range(16))


def test_a_half_filled_shard_is_written_at_the_end_of_a_run_and_read_back_once(tmp_path):
    plan, path = plan_of(8, 8), tmp_path / "s.zarr"
    first = sink_of(plan, path)
    for sample in (6, 1, 3):
        first.write(plan.tile(sample), answer(plan.tile(sample)))
    first.give_up(2)
    first.store_all()
    assert not first.finish(NOW)
    require_all(path, plan, (1, 3, 6))
    assert list(zarr.open_group(path, mode="r")["state"][:]) == [0, 1, 2, 1, 0, 0, 1, 0]
    second = sink_of(plan, path)
    for sample in (0, 2, 4, 5, 7):
        second.write(plan.tile(sample), answer(plan.tile(sample)))
    assert second.stored_count == 8
    assert second.finish(NOW)
    require_all(path, plan, range(8))


def test_a_shard_waits_for_no_sample_that_was_given_up(tmp_path):
    plan, path = plan_of(8, 4), tmp_path / "s.zarr"
    sink = sink_of(plan, path)
    sink.give_up(2)
    for sample in (0, 1):
        sink.write(plan.tile(sample), answer(plan.tile(sample)))
    assert sink.stored_count == 0
    sink.write(plan.tile(3), answer(plan.tile(3)))
    assert sink.stored_count == 3
    for sample in (4, 5, 6):
        sink.write(plan.tile(sample), answer(plan.tile(sample)))
    sink.give_up(7)
    assert sink.stored_count == 3
    sink.flush()
    assert sink.stored_count == 6


def test_a_write_that_fails_for_a_moment_loses_nothing(tmp_path, monkeypatch):
    plan, path = plan_of(4, 4), tmp_path / "s.zarr"
    sink = sink_of(plan, path)
    for sample in range(3):
        sink.write(plan.tile(sample), answer(plan.tile(sample)))
    arrays, failures = sink._units._unread, []

    class Refusing:
        def __setitem__(self, place, values):
            failures.append(place)
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sink._units, "_unread", (arrays[0], Refusing(), arrays[2]))
    with pytest.raises(StoreError) as error:
        sink.write(plan.tile(3), answer(plan.tile(3)))
    assert error.value.is_transient
    assert (sink.stored_count, len(failures)) == (0, 1)
    monkeypatch.setattr(sink._units, "_unread", arrays)
    sink.write(plan.tile(3), answer(plan.tile(3)))
    assert sink.stored_count == 4
    assert sink.finish(NOW)
    require_all(path, plan, range(4))


def test_a_unit_that_is_written_while_a_sample_waits_for_it_is_opened_anew(tmp_path):
    plan, path = plan_of(4, 4), tmp_path / "s.zarr"
    sink = sink_of(plan, path)
    sink.write(plan.tile(0), answer(plan.tile(0)))
    (unit,) = sink._units._open.values()
    real = unit.lock

    class Racing:
        """Another thread is faster: by the time the lock is had, the unit is written and gone."""

        def __enter__(self):
            unit.lock = real
            sink.store_all()
            return real.__enter__()

        def __exit__(self, *what):
            return real.__exit__(*what)

    unit.lock = Racing()
    for sample in (1, 2, 3):
        sink.write(plan.tile(sample), answer(plan.tile(sample)))
    assert sink.finish(NOW)
    require_all(path, plan, range(4))


def test_pixels_of_another_shape_are_refused(tmp_path):
    plan = plan_of(3, None)
    sink = sink_of(plan, tmp_path / "s.zarr")
    with pytest.raises(StoreError, match="got pixels of"):
        sink.write(plan.tile(0), answer(plan.tile(0))[:3])
    assert sink.stored_count == 0


def test_a_plan_of_half_a_million_samples_is_some_dozens_of_megabytes():
    rng = np.random.default_rng(0)
    places = np.column_stack([rng.uniform(-170, 170, 500_000), rng.uniform(-60, 60, 500_000)])
    size, bands = Shape2D(64, 64), (Band("a", "uint16"),)
    plan = SamplePlan(
        image_key="k",
        sites=SiteTable.of(places),
        rows=np.arange(500_000),
        grids=patch_grids(places, crs="utm", resolution=10, size=size),
        bands=bands,
        layout=SampleLayout(chunk=size),
    )
    held = sum(column.nbytes for column in (plan.rows, plan.grids.zone, plan.grids.col, plan.grids.row, plan.sites.x))
    assert held < 30e6
    assert plan.tile(499_999).grid.crs.startswith("EPSG:32")
    assert len(plan.fingerprint) == 32

"""What the benchmarks are made of. All of them run in their tiny form in CI: `python -m benchmarks --tiny`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are not in this checkout")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_the_tiny_form_cannot_overwrite_results():
    command = [sys.executable, "-m", "benchmarks", "--tiny"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--output" in ended.stderr


def test_a_schedule_is_the_makespan_in_order():
    from benchmarks.virtual import scheduled_s

    at_once = float("inf")
    assert scheduled_s([3, 1, 1, 1, 5], slots=2, per_second=at_once) == 8
    assert scheduled_s([2, 2, 2], slots=3, per_second=at_once) == 2
    assert scheduled_s([5, 1, 1], slots=2, per_second=at_once) == 5
    assert scheduled_s([], slots=3, per_second=at_once) == 0
    assert scheduled_s([2, 2, 2], slots=3, per_second=4) == 2.5
    assert scheduled_s([2, 2, 2], slots=1, per_second=4) == 6


def test_latency_is_the_same_for_the_same_draw_only():
    from benchmarks.replay import Latency

    model = Latency(base_s=1, per_megabyte_s=0.1, jitter=0.3, seed=4)
    assert model.seconds(10, b"a", 1) == model.seconds(10, b"a", 1)
    assert len({model.seconds(10, request, attempt) for request in (b"a", b"b") for attempt in (1, 2)}) == 4
    assert Latency(base_s=1, per_megabyte_s=0.1).seconds(2_000_000, b"a", 1) == pytest.approx(1.2)
    slow = Latency(base_s=1, straggler_fraction=0.5, straggler_factor=20)
    assert {slow.seconds(0, str(number).encode(), 1) for number in range(50)} == {1, 20}


def test_a_replay_sends_again_what_the_emulator_sent(tmp_path, monkeypatch):
    monkeypatch.setenv("EEZARR_BENCHMARK_CACHE", str(tmp_path))
    from benchmarks.receiving import Receiver
    from benchmarks.scenes import Region, interleaved_pixels
    from benchmarks.service import replaying

    region = Region(side=64, band_count=2)
    expected = interleaved_pixels(region).tobytes()
    with replaying() as service:
        receiver = Receiver(url=service.url, bands=region.bands, side=64, buffer=bytearray(1 << 20))
        for _ in range(3):
            size = receiver.receive()
            assert bytes(receiver.buffer[size - len(expected) : size]) == expected
        receiver.close()
        stats = service.stats()
        assert (stats.pixel_requests, stats.misses, stats.bytes_sent) == (3, 1, 3 * size)
        service.reset()
        assert service.stats().pixel_requests == 0


def test_a_wrong_pixel_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("EEZARR_BENCHMARK_CACHE", str(tmp_path / "cache"))
    import zarr
    from benchmarks.scenes import Region
    from benchmarks.stored import require_periodic
    from benchmarks.ways import WAYS, require_equal

    region = Region(side=96, band_count=1)
    block = np.array(Region(side=1024, band_count=1).expected()["B2"])
    np.testing.assert_array_equal(block[:96, :96], region.expected()["B2"])
    group = zarr.open_group(tmp_path / "out.zarr", mode="w")
    array = group.create_array("B2", shape=(96, 96), chunks=(32, 32), dtype="uint16")
    array[...] = block[:96, :96]
    require_equal(WAYS["eezarr"], tmp_path / "out.zarr", region)
    require_periodic(tmp_path / "out.zarr", region)
    array[95, 3] += 1
    with pytest.raises(AssertionError):
        require_equal(WAYS["eezarr"], tmp_path / "out.zarr", region)
    with pytest.raises(AssertionError):
        require_periodic(tmp_path / "out.zarr", region)


def test_findings_know_which_side_of_their_bound_they_are_on():
    from benchmarks.findings import at_least, at_most

    assert at_most("x", 1.0, 1.0).is_met
    assert not at_most("x", 1.1, 1.0).is_met
    assert at_least("x", 2.0, 1.8).is_met
    assert not at_least("x", 1.7, 1.8).is_met

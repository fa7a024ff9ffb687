"""The options of `python -m eezarr.emulator`: what they set, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eezarr.emulator import __main__ as command
from eezarr.emulator.raster import Grid


@pytest.fixture
def served(monkeypatch):
    """What would have been served."""
    calls = []

    def serve(settings, host, port, *, world, tls, on_ready):
        calls.append((settings, host, port, world))

    monkeypatch.setattr(command, "serve", serve)
    return calls


def test_the_port_stays_for_people_and_is_free_for_programs(served):
    command.main([])
    command.main([], program="eezarr emulator")
    command.main(["--port", "1234", "--host", "0.0.0.0"], program="eezarr emulator")  # noqa: S104
    assert [(host, port) for _, host, port, _ in served] == [("127.0.0.1", 0), ("127.0.0.1", 8099), ("0.0.0.0", 1234)]  # noqa: S104


def test_switches_become_settings_and_the_file_lies_over_them(served, tmp_path):
    over = tmp_path / "settings.json"
    over.write_text(json.dumps({"faults": {"rates": {"cut": 0.5}}, "exports": {"max_running": 1}}))
    faults = ["--fault", "unavailable=0.25", "--fault", "cut=0.1"]
    command.main([*faults, "--gzip", "--chunked", "--export-folder", "out", "--settings", str(over)])
    [(settings, *_)] = served
    assert (settings.faults.rates.unavailable, settings.faults.rates.cut) == (0.25, 0.5)
    assert (settings.transfer.gzip, settings.transfer.chunked) == (True, True)
    assert (settings.export_folder, settings.exports.max_running) == ("out", 1)
    assert settings.quota.max_concurrency == 40


def test_a_local_file_is_an_asset(served, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "mine.tif"
    place = {"crs": "EPSG:32610", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 4_200_000)}
    with rasterio.open(path, "w", driver="GTiff", width=3, height=2, count=1, dtype="uint8", **place) as file:
        file.write(np.arange(6, dtype=np.uint8).reshape(1, 2, 3))
    command.main(["--file", f"projects/p/assets/mine={path}"])
    [(_, _, _, world)] = served
    grid = Grid(crs="EPSG:32610", transform=(10.0, 0.0, 500_000.0, 0.0, -10.0, 4_200_000.0), width=3, height=2)
    plane = world.image("projects/p/assets/mine").read(grid, ["b1"])[0]
    np.testing.assert_array_equal(plane.values, [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--fault", "lightning=1"], "'lightning' is no fault"),
        (["--fault", "cut"], "not of the form NAME=RATE"),
        (["--fault", "cut=0.7", "--fault", "stall=0.7"], "sum to at most 1"),
        (["--file", "x"], "not of the form ID=PATH"),
        (["--file", "x=/no/such/file"], "/no/such/file does not exist"),
        (["--file", f"x={__file__}"], "not recognized"),
        (["--file", "x={empty}"], "no two-dimensional array"),
    ],
)
def test_what_cannot_be_served_is_refused(served, tmp_path, capsys, arguments, text):
    zarr = pytest.importorskip("zarr")
    zarr.create_group(tmp_path / "empty.zarr")
    given = [argument.format(empty=tmp_path / "empty.zarr") for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        command.main(given, program="eezarr emulator")
    assert ended.value.code == 2
    assert text in capsys.readouterr().err
    assert served == []


def test_help_names_every_fault(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(name in shown for name in ("too_many_requests", "npy_pickle", "--export-folder", "(default: 0)"))

"""Temporary files of writers that were really killed, and what is no such file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr
import zarr.storage._local

from eezarr.store.leftovers import sweep_leftovers
from eezarr.store.location import locate

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        not hasattr(zarr.storage._local, "_atomic_write"), reason="this zarr writes in place: nothing is left"
    ),
]

WRITER = """
import os, pathlib, signal, sys
from datetime import UTC, datetime

output, kind, zarr_format, part = sys.argv[1:]
sys.path.insert(0, {folder!r})
from conftest import Workbench

bench = Workbench()
replace = os.replace

def dying(source, target, **options):
    if part in str(target):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target, **options)

plan = bench.plan(kind=kind, zarr_format=int(zarr_format))
sink = bench.sink(plan, output)
image = bench.pixels(plan)
for index in (0, 1):
    sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
sink.flush()
os.replace = dying
for index in (2, 3):
    sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    sink.flush()
sink.finish(datetime(2026, 1, 1, tzinfo=UTC))
"""


def kill_a_writer(output, part, *, kind="bands", zarr_format=3):
    """Let a process write tiles, and kill it when a temporary file would become what has this in its path."""
    script = WRITER.format(folder=os.path.dirname(__file__))  # noqa: PTH120 - for the other process
    ended = subprocess.run(
        [sys.executable, "-c", script, str(output), kind, str(zarr_format), part],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]


def everything_but_claims(folder):
    return {path for path in folder.rglob("*") if path.suffix != ".partial" and path.parent.name != "writer"}


def partials(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.partial"))


@pytest.mark.parametrize(
    ("kind", "zarr_format", "part"),
    [
        ("bands", 3, "/B2/c/"),
        ("stacked", 3, "/pixels/c/"),
        ("bands", 2, "/B1/"),
        ("bands", 3, "/.eezarr/marks/"),
        ("bands", 3, "/zarr.json"),
        ("bands", 2, "/.zattrs"),
    ],
)
def test_what_a_killed_writer_left_is_gone_when_the_next_one_opens_the_store(bench, tmp_path, kind, zarr_format, part):
    output = tmp_path / "s.zarr"
    kill_a_writer(output, part, kind=kind, zarr_format=zarr_format)
    left = partials(output)
    assert left
    assert all(part.rpartition("/")[0] in f"/{path}" for path in left)
    plan = bench.plan(kind=kind, zarr_format=zarr_format)
    whole = everything_but_claims(output)
    bench.sink(plan, output)
    assert partials(output) == []
    assert everything_but_claims(output) == whole
    image = bench.store_all(plan, output)
    group = zarr.open_group(output, mode="r")
    for number, name in enumerate(("B1", "B2", "B3")):
        array = group[name][...] if kind == "bands" else group["pixels"][number]
        np.testing.assert_array_equal(array, image[name])


def test_a_death_while_the_store_is_made_leaves_nothing_in_the_end(bench, tmp_path):
    output = tmp_path / "s.zarr"
    (output / ".eezarr").mkdir(parents=True)
    (output / ".eezarr" / f"job.{'a' * 32}.partial").write_bytes(b"half")
    bench.store_all(bench.plan(), output)
    bench.sink(bench.plan(), output)
    assert partials(output) == []


def test_nothing_else_is_touched(bench, tmp_path):
    output = tmp_path / "s.zarr"
    bench.store_all(bench.plan(), output)
    name = f"0.{'0123456789abcdef' * 2}.partial"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept = [
        output / name,
        output / "mine" / name,
        output / "B1" / "c" / "0" / "0.partial",
        output / "B1" / "c" / "0" / f"0.{'A' * 32}.partial",
        output / "B1" / "c" / "0" / f"{name}.bak",
        elsewhere / name,
    ]
    (output / "mine").mkdir()
    for path in kept:
        path.write_bytes(b"kept")
    (output / "B1" / "c" / "link").symlink_to(elsewhere, target_is_directory=True)
    (output / "B2" / "c" / "0" / f"1.{'b' * 32}.partial").mkdir()
    (output / "B2" / "c" / "0" / f"2.{'b' * 32}.partial").symlink_to(elsewhere / name)
    before = set(tmp_path.rglob("*"))
    dead = output / "B3" / "c" / "1" / name
    dead.write_bytes(b"dead")
    assert sweep_leftovers(locate(output), ("B1", "B2", "B3", "absent")) == 1
    assert set(tmp_path.rglob("*")) == before


def test_only_what_changed_since_the_last_opening_is_listed(bench, tmp_path, monkeypatch):
    output = tmp_path / "s.zarr"
    bench.store_all(bench.plan(), output)
    rows = [folder for name in ("B1", "B2", "B3") for folder in (output / name / "c").iterdir()]
    for folder in rows:
        os.utime(folder, (1000, 1000))
    young = rows[4]
    os.utime(young)
    read = []
    scandir = os.scandir

    class Counted:
        def __init__(self, folder):
            self.folder, self.entries = str(folder), scandir(folder)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.entries.close()

        def __iter__(self):
            for entry in self.entries:
                read.append(self.folder)
                yield entry

    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", Counted)
        sweep_leftovers(locate(output), ("B1", "B2", "B3"))
    for folder in rows:
        assert read.count(str(folder)) == (1 + len(list(folder.iterdir())) if folder == young else 1)


def test_a_store_in_memory_has_none(bench):
    url = bench.memory()
    bench.store_all(bench.plan(), url)
    assert sweep_leftovers(locate(url), ("B1",)) == 0

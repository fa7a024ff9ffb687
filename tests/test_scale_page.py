"""The page on scale says what its script prints: its tables are the script's, and its figures can be had again.

What is measured in real seconds moves with the machine and is not compared.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.bulk import Bulk, simulate_bulk
from simulation.parts import run_loop

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
SECTIONS = ("volumes", "binding", "loop", "parts", "process", "machines")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the script reads /proc")


@pytest.fixture(scope="module")
def printed():
    """The tables of a tiny run, by section, as rows of cells."""
    command = [sys.executable, str(ROOT / "benchmarks/scale.py"), "--tiny"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    parts = re.split(r"^## (\w+)$", ended.stdout, flags=re.MULTILINE)[1:]
    return {name: rows_of(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def rows_of(text):
    return [cells_of(line) for line in text.splitlines() if line.startswith("|")]


def cells_of(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def page_table(header):
    """The page's table with this header, without the header and the rule below it."""
    lines = PAGE.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|") and cells_of(line) == header)
    body = lines[start + 2 :]
    end = next((number for number, line in enumerate(body) if not line.startswith("|")), len(body))
    return [cells_of(line) for line in body[:end]]


def test_every_table_of_the_script_is_in_the_page(printed):
    assert tuple(printed) == SECTIONS
    for rows in printed.values():
        assert len({len(row) for row in rows}) == 1
        assert page_table(rows[0])
        assert all(row[0] for row in rows)


def test_the_rows_are_the_same_jobs_and_parts(printed):
    for name in ("volumes", "binding", "process"):
        header, _, *rows = printed[name]
        assert [row[0] for row in page_table(header)] == [row[0] for row in rows]
    header, _, *rows = printed["machines"]
    assert [row[:2] for row in page_table(header)] == [row[:2] for row in rows]


def test_what_is_computed_is_in_the_page_to_the_digit(printed):
    header, _, *rows = printed["volumes"]
    assert page_table(header) == rows
    header, _, *rows = printed["binding"]
    assert [row[:3] for row in page_table(header)] == [row[:3] for row in rows]


def test_nothing_is_faster_than_arithmetic_allows(printed):
    for name in ("binding", "machines"):
        header, _, *rows = printed[name]
        column = header.index("goodput")
        for row in [*rows, *page_table(header)]:
            assert 0 < float(row[column].rstrip("%")) <= 101, row


def test_a_simulated_row_of_the_page_can_be_had_again(printed):
    header = printed["binding"][0]
    row = next(row for row in page_table(header) if row[0] == "4 bands, 1024 x 1024")
    outcome = simulate_bulk(Bulk(side=1024, tiles=30_000))
    assert outcome.tiles_per_s == pytest.approx(float(row[header.index("tiles/s (simulated)")]), rel=0.01)
    assert f"{outcome.goodput:.0%}" == row[header.index("goodput")]


def test_the_oracle_of_the_simulation_is_the_mean_of_what_it_draws():
    slow = Bulk(side=64, bands=1, tiles=4000, concurrency=1, per_second=1e9, write_gigabyte_s=0.001)
    outcome = simulate_bulk(slow)
    assert outcome.virtual_s / outcome.tiles == pytest.approx(slow.mean_request_s, rel=0.05)


def test_a_late_tile_takes_no_more_work_than_an_early_one():
    run = run_loop(8000)
    early, late = run.calls
    assert early > 100
    assert late == pytest.approx(early, rel=0.03)

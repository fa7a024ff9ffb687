"""Job files that no one should write: each is refused with one short line, soon."""

from __future__ import annotations

import pytest

from eezarr.config import Job
from eezarr.config.jobfile import read_toml
from eezarr.errors import InvalidInput

JOB = """\
output = "out.zarr"
[image]
asset = "A/B"
[grid]
region = [0, 0, 1, 1]
crs = "EPSG:4326"
resolution = 0.1
"""


@pytest.mark.parametrize(
    "text",
    [
        "fetch.tile = " + "[" * 100_000,
        "a = " + "[" * 900 + "]" * 900,
        ".".join(["a"] * 20_000) + " = 1",
        ".".join(['"a"'] * 20_000) + " = 1",
        "[" + ".".join(["a"] * 20_000) + "]",
        "a = " + "{b = " * 5_000,
        "a = " + "1" * 5_000,
        "a" * 900_000,
        '"' * 900_000,
    ],
)
def test_a_parser_is_given_nothing_that_it_would_choke_on(text, tmp_path):
    path = tmp_path / "job.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read_toml(path)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_a_job_file_of_more_than_a_mebibyte_is_refused_unread(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text(JOB + "# long\n" * 150_000)
    with pytest.raises(InvalidInput, match="larger than 1024 KiB"):
        Job.load(path)


def test_a_job_file_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "job.toml"
    path.write_bytes(b"\xef\xbb\xbf" + JOB.encode())
    assert Job.load(path).output == "out.zarr"


def test_what_a_mistaken_key_was_given_is_shown_by_its_beginning(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text(JOB + f'[fetch]\ntile = "{"x" * 500_000}"\n{"k" * 300_000} = 1\n')
    with pytest.raises(InvalidInput) as caught:
        Job.load(path)
    assert len(str(caught.value)) < 2_000

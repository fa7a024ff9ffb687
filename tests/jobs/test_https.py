"""Whole jobs by HTTPS, as with the real service: pixels, tokens and the command line, through its usual faults."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from eezarr.emulator.thread import EmulatorThread

GRID = 'native = "B2"\nregion = [-122.4, 37.4, -122.36, 37.44]'
SMALL = "[store]\nchunk = 128\n[fetch]\ntile = [128, 128]"


@pytest.fixture
def secure(world):
    with EmulatorThread(world=world, tls=True) as emulator:
        yield emulator


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_job_by_https_is_the_same_job(eezarr, emulator, secure, job, tmp_path, variable):
    key = secure.write_service_account_key(tmp_path / "key.json")
    secure.configure({"faults": {"seed": 3, "rates": {"unavailable": 0.1, "reset_midway": 0.1, "cut": 0.1}}})
    job(grid=GRID, rest=SMALL)
    trusting = {
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        "SSL_CERT_FILE": "",
        "REQUESTS_CA_BUNDLE": "",
        "CURL_CA_BUNDLE": "",
        "SSL_CERT_DIR": "",
        variable: str(secure.authority_file),
    }
    by_tls = eezarr("fetch", "job.toml", "--api-url", secure.url, "--json", **trusting)
    assert by_tls.code == 0, by_tls.err
    assert by_tls.summary["complete"] is True
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url, "--output", "plain.zarr").code == 0
    for band in ("B2", "B4"):
        np.testing.assert_array_equal(
            zarr.open_group(tmp_path / "out.zarr", mode="r")[band][:],
            zarr.open_group(tmp_path / "plain.zarr", mode="r")[band][:],
        )


def test_an_untrusted_service_is_told_at_once(eezarr, secure, job):
    job(grid=GRID, rest=SMALL)
    ended = eezarr("fetch", "job.toml", "--api-url", secure.url, "--json")
    assert ended.code == 6
    assert ended.summary["error"]["exit_code"] == 6
    assert "not trusted" in ended.err
    assert "SSL_CERT_FILE" in ended.err
    assert secure.stats().pixel_requests == 0

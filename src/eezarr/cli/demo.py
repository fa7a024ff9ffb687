"""`eezarr demo`: a real job, from plan to picture, against a local Earth Engine in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eezarr.api import run_job
from eezarr.cli.leaving import run_interruptibly
from eezarr.cli.progress import showing_progress
from eezarr.config import Job
from eezarr.errors import StoreError, Unreachable
from eezarr.outputs.preview import default_bands, write_picture
from eezarr.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eezarr.outputs.report import Report

__all__ = ["run_demo"]

JOB = """\
# The job that `eezarr demo` ran. With an account it runs against Earth Engine, into a store of its own:
#   eezarr fetch demo.toml --output scene.zarr
output = "{output}"
project = "my-project"

[image]
asset = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"
bands = ["B2", "B3", "B4", "B8"]

[grid]
native = "B2"
region = [-122.53, 37.38, -121.97, 37.83]

[store]
chunk = 512
"""

TROUBLE = {
    "latency": {"base_s": 0.3, "per_megabyte_s": 0.03, "jitter": 0.4, "straggler_fraction": 0.02},
    "quota": {"max_concurrency": 12},
    "faults": {"seed": 7, "rates": {"unavailable": 0.05, "reset_midway": 0.02, "bad_gateway": 0.01}},
}
"""Latency as observed for small reads; a quota below what is asked for; faults a few times as frequent as real ones."""


def run_demo(folder: Path, *, tls: bool = False) -> None:
    """Fetch a scene's four 10 m bands into `DIR/demo.zarr`, write `DIR/demo.png`, say how to open them.

    Args:
        folder: DIR.
        tls: Whether the local service speaks HTTPS, as the real one does.

    Raises:
        StoreError: If the folder cannot be written.
    """
    job_file, output, picture = folder / "demo.toml", folder / "demo.zarr", folder / "demo.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        job_file.write_text(JOB.format(output=output.as_posix()), encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written: {error.strerror}.", hint="Name another: eezarr demo DIR."
        ) from error
    with _emulator(folder, tls=tls) as (url, key):
        _say(
            f"A local Earth Engine answers at {url}: 0.3 s and more a request, 12 at a time (the job tries 40), "
            "5 % 503, 2 % resets, 1 % 502."
        )
        job = Job.load(job_file).replaced(api_url=url)
        with showing_progress(quiet=False) as observe:
            report = run_interruptibly(run_job(job, credentials=key, overwrite=True, observe=observe))
    store = open_store(str(output))
    write_picture(store, picture, bands=default_bands([band.name for band in store.plan.bands]), size=1024)
    _say(_account(report))
    sys.stdout.write(
        f"{output}: {report.bytes_pixels / 1e6:.0f} MB of pixels, every tile there\n"
        f"{picture}: what it looks like\n"
        f"{job_file}: the job\n"
        f"Open it:  python -c \"import xarray; print(xarray.open_zarr('{output}'))\"   (needs: pip install rioxarray)\n"
        f"Check it: eezarr verify {output}\n"
    )


def _account(report: Report) -> str:
    return (
        f"{report.tiles_written} tiles in {report.seconds:.1f} s: {report.requests_sent} requests, of which "
        f"{report.requests_retried} repeated another, {report.requests_throttled} after a 429; nothing is missing."
    )


@contextmanager
def _emulator(folder: Path, *, tls: bool) -> Iterator[tuple[str, Path]]:
    """Run an emulator while the body runs, trusted by this process; yield its URL and a key for it."""
    key, settings = folder / "emulator-key.json", folder / "emulator-settings.json"
    settings.write_text(json.dumps(TROUBLE), encoding="utf-8")
    command = [sys.executable, "-m", "eezarr.emulator", "--settings", str(settings), "--service-account-key", str(key)]
    authority = folder / "emulator-ca.pem"
    if tls:
        command += ["--tls", str(authority)]
        os.environ["SSL_CERT_FILE"] = str(authority)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise Unreachable("The local Earth Engine did not start.", hint="See the message above.")
            yield url, key
        finally:
            process.terminate()
            process.wait()
            for file in (key, settings, authority):
                file.unlink(missing_ok=True)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")

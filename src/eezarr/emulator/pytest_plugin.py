"""Pytest fixtures: a local Earth Engine for one test, by HTTP or HTTPS.

Registered as a pytest plugin by the package, so it imports nothing until a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eezarr.emulator.thread import EmulatorThread


@pytest.fixture
def earth_engine_emulator() -> Iterator[EmulatorThread]:
    """Answer a running emulator of synthetic scenes, without latency or faults; `configure` and `script` add them."""
    from eezarr.emulator.thread import EmulatorThread  # noqa: PLC0415 - costs nothing until used

    with EmulatorThread() as emulator:
        yield emulator


@pytest.fixture
def earth_engine_emulator_tls(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatorThread]:
    """Answer an emulator that speaks HTTPS, as the service does; `SSL_CERT_FILE` names its authority meanwhile."""
    from eezarr.emulator.thread import EmulatorThread  # noqa: PLC0415 - costs nothing until used

    with EmulatorThread(tls=True) as emulator:
        monkeypatch.setenv("SSL_CERT_FILE", str(emulator.authority_file))
        yield emulator

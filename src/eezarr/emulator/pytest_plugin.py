"""A pytest fixture: a local Earth Engine for one test.

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

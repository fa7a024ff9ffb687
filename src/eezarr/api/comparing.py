"""Whether a store still equals the service: some of its tiles are asked for again, at random."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eezarr.api.client import Client
from eezarr.api.loops import run_to_end
from eezarr.config import FetchOptions
from eezarr.earthengine.source import described_subject

if TYPE_CHECKING:
    from eezarr.plan import Tile
    from eezarr.protocols import Pixels
    from eezarr.store import StoredJob

__all__ = ["compare_with_service"]


def compare_with_service(
    job: StoredJob, sample: int, *, project: str | None = None, api_url: str | None = None
) -> tuple[list[Tile], list[Tile]]:
    """Ask the service for some stored tiles again.

    Args:
        job: The store.
        sample: How many tiles, drawn at random; all if it has no more.
        project: The project that asks; None: as for a job that names none.
        api_url: The service; None: `EEZARR_API_URL`, else Earth Engine.

    Returns:
        The tiles that were asked for, and those of them whose pixels are not what was stored.

    Raises:
        Incomplete: If a tile could not be had.
        EezarrError: If nothing could be had.
    """
    return run_to_end(_compare(job, sample, project, api_url))


async def _compare(
    job: StoredJob, sample: int, project: str | None, api_url: str | None
) -> tuple[list[Tile], list[Tile]]:
    stored = list(job.stored())
    tiles = [job.plan.tile(index) for index in sorted(random.sample(stored, min(sample, len(stored))))]
    keeper = _Comparer(job)
    options = FetchOptions.model_validate({"api_url": api_url} if api_url else {})
    async with Client(project=project, options=options) as client:
        await client.read_tiles(described_subject(job.image, job.plan), job.plan, tiles, keeper)
    return tiles, keeper.different


@dataclass(slots=True)
class _Comparer:
    """A keeper that keeps nothing: it notes the tiles that are not what was stored."""

    job: StoredJob
    different: list[Tile] = field(default_factory=list)

    async def keep(self, tile: Tile, pixels: Pixels) -> None:
        """Compare the tile with its checksum."""
        if not await asyncio.to_thread(self.job.is_equal, tile, pixels):
            self.different.append(tile)

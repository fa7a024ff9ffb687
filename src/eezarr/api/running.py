"""A plan's tiles from its source to a keeper: what the engine needs, put together from an open connection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from eezarr.earthengine import PixelSource, body_capacity
from eezarr.engine import HedgedSource, TileReader, run_tiles
from eezarr.engine.splitting import WorkingSize
from eezarr.errors import Incomplete
from eezarr.plan import Budget

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eezarr.api.connection import Link
    from eezarr.config import FetchOptions
    from eezarr.earthengine.source import Subject
    from eezarr.engine import Failure, Keeper
    from eezarr.events import Observer
    from eezarr.outputs.report import Report
    from eezarr.plan import Plan, Tile
    from eezarr.protocols import Source
    from eezarr.samples import SamplePlan

__all__ = ["Runner", "require_all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs tiles of one plan over an open connection."""

    link: Link
    options: FetchOptions
    observe: Observer
    """Told of every event."""
    size: WorkingSize | None = None
    """What one request may ask for, where a plan's tiles may be more; None: tiles are legal."""
    reserved_bytes: int = 0
    """Of the memory budget, what others use."""

    async def run(
        self,
        plan: Plan | SamplePlan,
        tiles: Iterable[Tile],
        subject: Subject,
        keeper: Keeper,
        *,
        successes: int = 0,
    ) -> list[Failure]:
        """Ask for tiles, and hand each to a keeper; return those that failed. See `run_tiles`."""
        source: Source = PixelSource(self.link.service, subject, bands=plan.bands, masking=plan.masking)
        if self.options.hedge:
            source = HedgedSource(
                source=source, body_bytes=_body_bytes, gate=self.link.asker.gate, observe=self.observe
            )
        reader = TileReader(
            source=source,
            asker=replace(self.link.asker, observe=self.observe),
            unit=plan.layout.chunk,
            body_bytes=_body_bytes,
            observe=self.observe,
            size=self.size or WorkingSize(),
        )
        return await run_tiles(
            tiles,
            reader=reader,
            keeper=keeper,
            workers=min(self.budget.workers(plan.tile_bytes), plan.wanted_count),
            buffer_bytes=max(body_capacity(bands, plan.largest_tile) for bands in plan.request_bands),
            observe=self.observe,
            successes=successes,
            is_busy=lambda: self.link.service.transport.is_inflating,
        )

    @property
    def budget(self) -> Budget:
        """What the tiles in flight may use."""
        memory = max(0, int(self.options.memory) - self.reserved_bytes)
        return Budget(concurrency=self.options.max_concurrency, memory_bytes=memory)


def _body_bytes(tile: Tile) -> int:
    return body_capacity(tile.wire_bands, tile.window.shape)


def require_all(failures: Sequence[Failure], report: Report | None = None, *, noun: str = "tiles") -> None:
    """Check that nothing failed.

    Raises:
        Incomplete: If something did; it names the first, and its report all.
    """
    if not failures:
        return
    first = "; ".join(f"{item.tile}: {item.error.message}" for item in failures[:5])
    raise Incomplete(
        f"{len(failures)} {noun} are missing: {first}{'; …' if len(failures) > 5 else ''}",
        hint=f"Run the same again: it asks for the missing {noun} only.",
        report=report,
    )

"""A plan's tiles from its source to a keeper: what the engine needs, put together from an open connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from eezarr.earthengine import PixelSource, body_capacity
from eezarr.engine import HedgedSource, TileReader, run_tiles
from eezarr.engine.splitting import WorkingSize
from eezarr.errors import Incomplete
from eezarr.outputs.reasons import reasons_of
from eezarr.outputs.report import missing_tiles
from eezarr.plan import Budget
from eezarr.threads import exhaustion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from eezarr.api.connection import Link
    from eezarr.config import FetchOptions
    from eezarr.earthengine.source import Subject
    from eezarr.engine import Failure, Keeper
    from eezarr.events import Observer
    from eezarr.outputs.report import Report
    from eezarr.plan import Plan, Tile
    from eezarr.protocols import Source
    from eezarr.samples import SamplePlan

__all__ = ["Noted", "Runner", "require_all"]

REASONS = 5
"""Reasons that one message tells of."""


class Noted(Protocol):
    """A store that keeps what one request may ask for beside its pixels."""

    def noted_size(self) -> bytes:
        """Return what earlier runs noted, empty if nothing; blocks."""
        ...

    def note_size(self, size: bytes) -> None:
        """Keep it for later runs, durably after the next flush."""
        ...


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
    noted: Noted | None = None
    """Keeps what one request may ask for from run to run."""
    on_received: Callable[[int], None] = lambda _: None
    """Told of the bytes of each body, as they came over the wire."""

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
        source: Source = PixelSource(
            self.link.service, subject, bands=plan.bands, masking=plan.masking, on_received=self.on_received
        )
        if self.options.hedge:
            source = HedgedSource(
                source=source, body_bytes=_body_bytes, gate=self.link.asker.gate, observe=self.observe
            )
        size, noted = self.size or WorkingSize(), self.noted
        if noted is not None:
            size.tighten(WorkingSize.from_json(await asyncio.to_thread(noted.noted_size)))
        reader = TileReader(
            source=source,
            asker=replace(self.link.asker, observe=self.observe),
            unit=plan.layout.chunk,
            body_bytes=_body_bytes,
            observe=self.observe,
            size=size,
            note=lambda size: None if noted is None else noted.note_size(size.to_json()),
            patience_s=self.options.patience_s,
        )
        with exhaustion():
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
    reasons = reasons_of(missing_tiles(failures))
    told = "; ".join(str(reason) for reason in reasons[:REASONS])
    raise Incomplete(
        f"{len(failures)} {noun} are missing: {told}{'; …' if len(reasons) > REASONS else ''}",
        hint=f"Run the same again: it asks for the missing {noun} only.",
        report=report,
    )

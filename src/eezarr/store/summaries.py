"""What the valid pixels of a dataset amount to, band by band, as its store's attributes say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eezarr.store.metadata import JSON

__all__ = ["BandSummary", "summaries_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BandSummary:
    """One band's figures."""

    mean: float
    std: float
    """Standard deviation, as a population."""
    count: int = 0
    """Valid pixels that were counted."""
    min: float | None = None
    max: float | None = None
    percentiles: tuple[tuple[float, float], ...] = ()
    """Which, from 0 to 100, and its value; ascending."""

    def percentile(self, which: float) -> float | None:
        """Return a percentile, or None if it was not kept."""
        return dict(self.percentiles).get(which)


def summaries_of(statistics: JSON) -> dict[str, BandSummary]:
    """Return each band's figures out of the attribute `statistics`; bands without a valid pixel have none."""
    bands = statistics.get("bands") if isinstance(statistics, dict) else None
    found: dict[str, BandSummary] = {}
    for name, facts in (bands if isinstance(bands, dict) else {}).items():
        mean, std = (_number(facts, key) for key in ("mean", "std"))
        if not isinstance(facts, dict) or mean is None or std is None:
            continue
        kept = facts.get("percentiles")
        ranks = sorted((float(rank), _number(kept, rank)) for rank in (kept if isinstance(kept, dict) else {}))
        found[name] = BandSummary(
            mean=mean,
            std=std,
            count=int(_number(facts, "count") or 0),
            min=_number(facts, "min"),
            max=_number(facts, "max"),
            percentiles=tuple((rank, value) for rank, value in ranks if value is not None),
        )
    return found


def _number(facts: JSON, key: str) -> float | None:
    """A finite number of an object, or None."""
    value = facts.get(key) if isinstance(facts, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < float("inf") else None

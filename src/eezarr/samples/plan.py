"""A plan of samples: each is one tile, on a grid of its own, and one chunk of the store.

A plan is a value of columns: half a million samples are some dozens of megabytes. A tile is made when one is asked for.
A sample whose patch is more than one request may hold is still one tile: the engine asks for it in parts, which are put
together in memory, so that every stored object has one writer.

Law: the lineage covers all that changes a pixel or its place: sites by name, place and date, in stored order, grids,
image, bands, masking, steps, layout. The fingerprint covers what else is stored of a sample, too: its label, its split
and the sites' other columns, which can change while the pixels stay.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, get_args

import numpy as np

from eezarr.calls import checked_record
from eezarr.errors import InvalidInput
from eezarr.grid import Shape2D, Window
from eezarr.grid.crs import is_number
from eezarr.plan import NO_MASKING, Selection, accounted_bytes
from eezarr.plan.model import Tile
from eezarr.samples.overlaps import split_overlaps
from eezarr.samples.splits import SplitBy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from eezarr.plan import Band, Masking, RequestLimits
    from eezarr.plan.model import Compressor, ZarrFormat
    from eezarr.samples.gridding import PatchGrids
    from eezarr.samples.overlaps import SplitOverlap
    from eezarr.samples.sites import SiteTable
    from eezarr.samples.splits import Splits
    from eezarr.samples.steps import SampleSteps

__all__ = ["SampleLayout", "SamplePlan", "SplitFacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLayout:
    """How samples are laid out in the store."""

    chunk: Shape2D
    """Pixels of a patch: a chunk holds one sample, all its steps and bands."""
    per_shard: int | None = None
    """Samples of a stored object; None: each is one of its own."""
    compressor: Compressor = "auto"
    zarr_format: ZarrFormat = 3

    @property
    def unit(self) -> int:
        """Samples of one stored object."""
        return self.per_shard or 1


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFacts:
    """How the sites were divided, for the store's provenance."""

    by: SplitBy
    fractions: tuple[tuple[str, float], ...] = ()
    block_m: float | None = None
    """For blocks: metres per side."""
    buffer_m: float | None = None
    """For blocks: sites nearer than this, in metres, to a block of another split are left out."""

    def __post_init__(self) -> None:
        if self.by not in get_args(SplitBy):
            raise InvalidInput(
                f"Sites are not split by {str(self.by)[:40]!r}.", hint=f"Use {', '.join(get_args(SplitBy))}."
            )
        pairs: Iterable[tuple[object, object]] = self.fractions
        if not all(isinstance(name, str) and is_number(share) for name, share in pairs):
            raise InvalidInput(
                f"{str(self.fractions)[:100]} are no splits with their fractions.",
                hint='Write them as fractions=(("train", 0.8), ("test", 0.2)).',
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class SamplePlan:
    """Samples, in stored order, and what is stored of each.

    Raises:
        InvalidInput: If there are no samples, none has an image, or bands are missing, doubled, of several types or
            fills.
    """

    image_key: str
    """What is read, in one canonical string."""
    sites: SiteTable
    """The place of each sample, and what is known of it."""
    rows: NDArray[np.int64]
    """Which of the sites, as they were given, each sample is."""
    grids: PatchGrids
    bands: tuple[Band, ...]
    """All bands, in stored order; of one type."""
    layout: SampleLayout
    masking: Masking = NO_MASKING
    steps: SampleSteps | None = None
    """The images of each sample, where each has its own."""
    has_time: bool = False
    """Whether there is a time axis."""
    target: Band | None = None
    """The band of an image of labels that is stored beside the pixels."""
    splits: Splits | None = None
    split_facts: SplitFacts | None = None
    left_out: int = 0
    """Sites that are no samples: too near to another split."""
    seed: int | None = None
    """What the order was shuffled with; None: the sites' own order."""

    def __post_init__(self) -> None:
        if not len(self.rows):
            raise InvalidInput("There are no sites.", hint="Give a file with at least one.")
        _check_bands(self.bands, self.masking)
        if not self.wanted_count:
            raise InvalidInput(
                "No image of the collection shows any of the sites.",
                hint="Widen the period, window_days or the filter, or check the sites.",
            )

    def require_legal(self, limits: RequestLimits) -> None:
        """Check that a sample can be asked for, if need be in parts: one pixel of one step at a time.

        Raises:
            InvalidInput: If that is over a limit.
        """
        bands = self._selection(range(1)).wire_bands
        if not limits.admits(Shape2D(1, 1), bands):
            raise InvalidInput(
                f"One pixel of {len(bands)} bands counts {accounted_bytes(Shape2D(1, 1), bands)} bytes; a request may "
                f"have {limits.max_bands} bands and {limits.max_bytes} bytes.",
                hint="Choose fewer bands.",
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def tile_count(self) -> int:
        """All samples, those without images included."""
        return len(self.rows)

    @cached_property
    def wanted(self) -> NDArray[np.bool_]:
        """Which samples are asked for: those that have an image."""
        return np.ones(len(self), np.bool_) if self.steps is None else self.steps.counts > 0

    @cached_property
    def wanted_count(self) -> int:
        """How many samples are asked for."""
        return int(np.count_nonzero(self.wanted))

    @property
    def step_count(self) -> int:
        """Time steps of the stored arrays, the most that a sample has; 1 where there is no time."""
        return self.steps.most if self.has_time and self.steps is not None else 1

    @property
    def size(self) -> Shape2D:
        """Pixels of a patch."""
        return self.layout.chunk

    @property
    def request_bands(self) -> tuple[tuple[Band, ...], ...]:
        """What the sample with the most steps asks for: pixels, masks and labels."""
        return (self._selection(range(self.step_count)).wire_bands,)

    @property
    def largest_tile(self) -> Shape2D:
        """The pixels of a patch."""
        return self.size

    @property
    def tile_bytes(self) -> int:
        """Bytes of the largest sample, masks and labels included."""
        (bands,) = self.request_bands
        return self.size.size * sum(band.itemsize for band in bands)

    @property
    def unit_bytes(self) -> int:
        """Bytes of one stored object of each array together, uncompressed."""
        return self.tile_bytes * min(self.layout.unit, len(self))

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the bands' pixels of all wanted samples, uncompressed: what their tiles' `pixel_bytes` sum up to."""
        return self.size.size * self._wanted_steps * sum(band.itemsize for band in self.bands)

    @property
    def body_bytes(self) -> int:
        """Bytes of all that is asked for, masks and labels included: what bodies hold next to their headers."""
        a_step = sum(band.itemsize for band in replace(self._selection(range(1)), target=None).wire_bands)
        labels = 0 if self.target is None else self.target.itemsize
        return self.size.size * (self._wanted_steps * a_step + self.wanted_count * labels)

    @property
    def _wanted_steps(self) -> int:
        """Steps of all wanted samples together."""
        return self.wanted_count if not self.has_time or self.steps is None else int(self.steps.counts.sum())

    def tile(self, index: int) -> Tile:
        """Return a sample as what is asked for.

        Raises:
            IndexError: If the index is not in `range(tile_count)`.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        return Tile(
            index=index,
            window=Window(row=0, col=0, height=self.size.height, width=self.size.width),
            region=self.grids.grid(index),
            selection=self._selection(range(self.steps_of(index))),
            name=f"sample {index} (site {self.sites.attributes.ids[index]!r})",
        )

    def steps_of(self, index: int) -> int:
        """Return how many time steps a sample has; 1 where there is no time."""
        if not self.has_time or self.steps is None:
            return 1
        return int(self.steps.sample_starts[index + 1] - self.steps.sample_starts[index])

    def is_wanted(self, index: int) -> bool:
        """Return whether a sample is asked for."""
        return bool(self.wanted[index])

    def __iter__(self) -> Iterator[Tile]:
        """Yield all wanted samples in stored order, one at a time."""
        return (self.tile(index) for index in range(len(self)) if self.is_wanted(index))

    @cached_property
    def overlaps(self) -> tuple[SplitOverlap, ...]:
        """How many samples of each split share ground with another split's; empty where there are no splits."""
        return () if self.splits is None else split_overlaps(self.grids, self.splits)

    @property
    def cut(self) -> str:
        """What marks count in."""
        return f"samples {self.lineage}"

    @cached_property
    def order_digest(self) -> str:
        """A hash of which site each sample is."""
        return _hash(self.rows)

    @cached_property
    def grids_digest(self) -> str:
        """A hash of where each sample's patch lies."""
        return _digest(_hash(self.grids.zone), _hash(self.grids.col), _hash(self.grids.row))

    @cached_property
    def lineage(self) -> str:
        """A hash of all that pixels and their places depend on; 32 hexadecimal digits."""
        layout, masking = self.layout, self.masking
        return _digest(
            self.image_key,
            self.sites.digest(),
            _hash(self.rows),
            [list(self.grids.crs), _hash(self.grids.zone), _hash(self.grids.col), _hash(self.grids.row)],
            [float(step).hex() for step in self.grids.resolution],
            [self.size.height, self.size.width],
            [[band.name, band.dtype] for band in self.bands],
            None if self.target is None else [self.target.name, self.target.dtype],
            [layout.per_shard, layout.compressor, layout.zarr_format],
            [masking.mode, [float(fill).hex() for fill in masking.fills], masking.is_shared],
            [self.has_time, None if self.steps is None else self.steps.digest()],
        )

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that is stored of the samples, but for the pixels; 32 hexadecimal digits."""
        splits = None if self.splits is None else [list(self.splits.names), _hash(self.splits.index)]
        facts = self.sites.attributes
        columns = {"": facts.labels, **facts.properties}
        known = [[name, str(None if column is None else column.tolist())] for name, column in columns.items()]
        return _digest(self.lineage, facts.label_name, known, splits)

    def _selection(self, steps: range) -> Selection:
        return Selection(
            bands=self.bands, steps=steps, has_time=self.has_time, masking=self.masking, target=self.target
        )


def _check_bands(bands: tuple[Band, ...], masking: Masking) -> None:
    names = [band.name for band in bands]
    if not names or len(set(names)) < len(names):
        raise InvalidInput(f"The bands {names} are none, or not distinct.", hint="Name each band once.")
    if len({band.dtype for band in bands}) > 1:
        listed = ", ".join(f"{band.name} {band.dtype}" for band in bands[:8])
        raise InvalidInput(
            f"Samples have one type, but the bands have several: {listed}.",
            hint="Choose bands of one type, or cast them: [collection] has `cast`, an expression `toFloat()`.",
        )
    if len({repr(fill) for fill in masking.fills}) > 1:
        raise InvalidInput(
            f"Samples have one fill, but the bands have several: {', '.join(map(str, masking.fills[:8]))}.",
            hint="Declare the same fill for all bands.",
        )


def _hash(column: NDArray[np.int64]) -> str:
    return hashlib.sha256(column.astype("<i8").tobytes()).hexdigest()


def _digest(*facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, ensure_ascii=True).encode()).hexdigest()[:32]

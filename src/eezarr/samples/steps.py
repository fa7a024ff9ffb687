"""The time steps of samples, each sample's own, as columns: which images of a collection every one is made of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from eezarr.plan.steps import Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EPOCH", "NO_TIME", "SampleSteps", "milliseconds"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_TIME = -(2**63)
"""What stands for no time; NumPy's NaT."""


def milliseconds(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return times as whole numbers since 1970; no value is `NO_TIME`."""
    return dates.astype("datetime64[ms]").astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleSteps:
    """Which images each sample reads, and how they lie in time; a sample may have none."""

    names: tuple[str, ...]
    """Resource names of the images that occur, oldest first."""
    sample_starts: NDArray[np.int64]
    """Where the steps of each sample start, and where the last one's end: (samples + 1,)."""
    times: NDArray[np.int64]
    """Of each step, in milliseconds since 1970; ascending within a sample."""
    step_starts: NDArray[np.int64]
    """Where the images of each step start in `images`, and where the last one's end: (steps + 1,)."""
    images: NDArray[np.int32]
    """Positions in `names`; ascending within a step."""

    def __len__(self) -> int:
        return len(self.sample_starts) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many steps each sample has."""
        return np.diff(self.sample_starts)

    @property
    def most(self) -> int:
        """The most steps that a sample has; 0 where there are no samples."""
        return int(self.counts.max(initial=0))

    def of(self, sample: int) -> tuple[Step, ...]:
        """Return the steps of one sample, in order of time."""
        first, last = self.sample_starts[sample : sample + 2].tolist()
        return tuple(map(self._step, range(first, last)))

    def texts(self, sample: int) -> list[str]:
        """Return the images of each step of one sample, one a line."""
        return ["\n".join(step.images) for step in self.of(sample)]

    def digest(self) -> str:
        """Return a hash of all of it."""
        text = hashlib.sha256(json.dumps(self.names, separators=(",", ":")).encode())
        for column in (self.sample_starts, self.times, self.step_starts, self.images):
            text.update(column.astype("<i8").tobytes())
        return text.hexdigest()

    def _step(self, nth: int) -> Step:
        first, last = self.step_starts[nth : nth + 2].tolist()
        return Step(
            time=EPOCH + timedelta(milliseconds=int(self.times[nth])),
            images=tuple(self.names[image] for image in self.images[first:last].tolist()),
        )

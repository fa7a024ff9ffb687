"""What samples are read from: one image for all, or the images of a collection that each site has of its own.

A collection is listed once; which of its images a sample reads is known beforehand (`SampleSteps`), so a request names
its images and the service searches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np

from eezarr.earthengine.collection import group_key, in_order
from eezarr.errors import InvalidInput
from eezarr.plan import COMPUTE_PIXELS_LIMITS, GET_PIXELS_LIMITS
from eezarr.samples import ImageTable
from eezarr.samples.steps import EPOCH

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from eezarr.earthengine.catalogue import AssetInfo
    from eezarr.earthengine.collection import Cube, Grouping
    from eezarr.earthengine.image import Image
    from eezarr.earthengine.nodes import Node
    from eezarr.plan import RequestLimits, Tile
    from eezarr.samples import SampleSteps

__all__ = ["SampledImages", "image_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledImages:
    """What the samples of a plan read.

    Raises:
        InvalidInput: If it is not exactly one of an image and a collection with steps, or labels are beside getPixels.
    """

    image: Image | None = None
    """One image for all samples; its bands are named."""
    cube: Cube | None = None
    """How images of a collection are read and reduced; of its steps only the number and the range are looked at."""
    steps: SampleSteps | None = None
    """The steps of each sample, by its index, for a collection."""
    label_image: Image | None = None
    """An image of labels; it names its one band."""

    def __post_init__(self) -> None:
        if (self.image is None) == (self.cube is None) or (self.cube is None) != (self.steps is None):
            raise InvalidInput("Samples are of nothing, or of two things.", hint="Give an image or a collection.")
        if self.label_image is not None and self.method == "getPixels":
            raise InvalidInput(
                "getPixels reads no labels beside an image.", hint="Leave the method out: computePixels is used then."
            )

    @property
    def plain(self) -> Image | None:
        """What answers tiles that are not packed."""
        return self.image

    @property
    def labels(self) -> Node | None:
        """The image of labels that comes along."""
        return None if self.label_image is None else self.label_image.computed

    @property
    def method(self) -> Literal["getPixels", "computePixels"]:
        """The REST method that reads it."""
        return "computePixels" if self.image is None else self.image.method

    @property
    def limits(self) -> RequestLimits:
        """What one request may hold, unless configured otherwise."""
        return GET_PIXELS_LIMITS if self.method == "getPixels" else COMPUTE_PIXELS_LIMITS

    @property
    def key(self) -> str:
        """What is read and how, in one canonical string, without steps and bands: part of a plan's fingerprint."""
        whole = self.image.key if self.image is not None else self._cube.key
        return whole if self.label_image is None else f"{whole} target:{self.label_image.key}"

    def describe(self) -> dict[str, object]:
        """Return what is read, for provenance and reports."""
        told = dict(self.image.describe() if self.image is not None else self._cube.describe())
        if self.label_image is not None:
            told["label_image"] = self.label_image.describe() | {"bands": list(self.label_image.bands or ())}
        return told

    def images_of(self, tile: Tile) -> Mapping[int, Node]:
        """Return the image of each of a tile's steps: its own sample's."""
        if self.steps is None:
            assert self.image is not None, "checked above"
            return {0: self.image.computed}
        own = replace(self._cube, steps=self.steps.of(tile.index))
        return own.images(tile.steps)

    def sharing(self, tile: Tile) -> Hashable:
        """Return what a tile has in common with those of the same images."""
        return None if self.steps is None else tuple(step.images for step in self.steps.of(tile.index))

    @property
    def _cube(self) -> Cube:
        assert self.cube is not None, "checked above"
        return self.cube


def image_table(images: Iterable[AssetInfo], grouping: Grouping) -> ImageTable:
    """Return listed images as samples are matched with them; `group_images` says what is one step.

    Raises:
        InvalidInput: If an image has no start time (but for `all`), or (`solar_day`) no footprint.
    """
    timed = in_order(images, grouping)
    keys = [group_key(start, image, grouping) for start, _, image in timed]
    numbers: dict[object, int] = {}
    groups = [numbers.setdefault(key, len(numbers)) for key in keys]
    starts = [_milliseconds(start) for start, _, _ in timed]
    times = [
        _milliseconds(key) if isinstance(key, datetime) else start for key, start in zip(keys, starts, strict=True)
    ]
    return ImageTable(
        names=tuple(name for _, name, _ in timed),
        starts=np.array(starts, dtype=np.int64),
        footprints=[image.geometry for _, _, image in timed],
        kind="one" if grouping == "all" else "each" if grouping == "none" else "group",
        groups=np.array(groups, dtype=np.int64),
        times=np.array(times, dtype=np.int64),
    )


def _milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)

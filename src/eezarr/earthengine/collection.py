"""Collections: how their images become time steps, and what the image of a step is.

Pure: a listing's records in, records out; nothing is asked here.

Law: steps are ordered by time, and do not depend on the order in which images were listed. In a step the images lie
oldest first (images of the same start by name), so that a mosaic shows the newest on top. A group is always reduced,
also one of a single image: all steps have the type of the reduction. Without grouping nothing is reduced.
Only where all images become one, and not all of them have times, they lie in the order in which they were listed.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from eezarr.earthengine.commonbands import CommonBands, Lack, Missing, common_bands
from eezarr.earthengine.expression import build
from eezarr.earthengine.names import asset_id
from eezarr.earthengine.nodes import call, constant, listed, selectors
from eezarr.earthengine.packing import pixel_type
from eezarr.earthengine.solarday import middle_longitude, solar_date
from eezarr.errors import InvalidInput
from eezarr.plan import COMPUTE_PIXELS_LIMITS
from eezarr.plan.steps import Step

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from eezarr.earthengine.catalogue import AssetInfo
    from eezarr.earthengine.image import Image
    from eezarr.earthengine.nodes import Expression, Node
    from eezarr.plan import RequestLimits, Tile
    from eezarr.plan.bands import Band

__all__ = [
    "CommonBands",
    "Cube",
    "Grouping",
    "Lack",
    "Missing",
    "Reduction",
    "common_bands",
    "group_images",
    "group_key",
    "in_order",
    "start_of",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for the time of what has none, where no time is stored."""

Grouping: TypeAlias = Literal["none", "solar_day", "day", "month", "year", "all"]
"""Which images are one time step: each its own, or all of a (solar or UTC) day, a UTC month, a UTC year; or all."""

Reduction: TypeAlias = Literal["mosaic", "median", "mean", "min", "max"]
"""How the images of a group become one."""

_REDUCTIONS = {
    "mosaic": "ImageCollection.mosaic",
    "median": "reduce.median",
    "mean": "reduce.mean",
    "min": "reduce.min",
    "max": "reduce.max",
}
"""What the official client sends; all of them leave the bands' names as they are."""


def group_images(images: Iterable[AssetInfo], grouping: Grouping) -> tuple[Step, ...]:
    """Return the time steps of some images, in order of time.

    The time of a step is its image's start (`none`), the start of the UTC period (`day`, `month`, `year`), or the start
    of its earliest image (`all`, and `solar_day`; see `solarday` for what that is). Times are UTC, cut to the
    millisecond. Steps of the same time stay apart, ordered by the names of their images.

    Raises:
        InvalidInput: If there are no images, or one has no start time (but for `all`), or (`solar_day`) no geometry.
    """
    timed = in_order(images, grouping)
    groups: dict[object, list[tuple[datetime, str]]] = {}
    for start, name, image in timed:
        groups.setdefault(group_key(start, image, grouping), []).append((start, name))
    if not groups:
        raise InvalidInput("No image was found.", hint="Widen the period, the region or the filter.")
    # In order of their first images: that is in order of time, whatever the grouping.
    return tuple(
        Step(time=key if isinstance(key, datetime) else members[0][0], images=tuple(name for _, name in members))
        for key, members in groups.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cube:
    """A collection as time steps: what is read where there is time.

    Raises:
        InvalidInput: If it has no steps or no bands, or steps of several images without grouping.
    """

    collection: str
    """Resource name of the collection."""
    steps: tuple[Step, ...]
    """In order of time."""
    bands: tuple[str, ...]
    """The bands, in the order wanted."""
    grouping: Grouping = "none"
    """How images were grouped."""
    reduction: Reduction = "mosaic"
    """How a group becomes one image; not looked at without grouping."""
    casts: tuple[Band, ...] = ()
    """Bands that every image is made to have in a type of the job's choice, before any reduction."""
    lacks: tuple[Lack, ...] = ()
    """Images that lack bands, ordered by name: they are given masked ones."""
    widened: tuple[Band, ...] = ()
    """Bands of which images state different ranges: every image is made to have them in a type that holds all, before
    any reduction. Part of the bands' types, and so not of the key."""
    filter: str | None = None
    """What the images' properties must be, as the job says it: for provenance only."""

    def __post_init__(self) -> None:
        if not self.steps:
            raise InvalidInput("A cube has no time steps.", hint="Widen the period, the region or the filter.")
        if not self.bands:
            raise InvalidInput("A cube has no bands.", hint="Name one band at least.")
        if self.applied is None and any(len(step.images) > 1 for step in self.steps):
            raise InvalidInput("A step is made of several images without grouping.", hint="Say how they were grouped.")

    @property
    def applied(self) -> Reduction | None:
        """The reduction that is made of each step, or None: a step is an image as it is."""
        return None if self.grouping == "none" else self.reduction

    @property
    def method(self) -> Literal["computePixels"]:
        """The REST method that reads it."""
        return "computePixels"

    @property
    def limits(self) -> RequestLimits:
        """What one request may hold, unless configured otherwise."""
        return COMPUTE_PIXELS_LIMITS

    @property
    def key(self) -> str:
        """What is read and how, in one canonical string, without steps and bands: part of a plan's fingerprint."""
        facts = {
            "casts": {band.name: band.dtype for band in self.casts},
            "collection": self.collection,
            "reduction": self.applied,
        }
        return f"{self.method}:{json.dumps(facts, sort_keys=True, separators=(',', ':'))}"

    def describe(self) -> dict[str, object]:
        """Return what is read, for provenance and reports: how many images, not which."""
        told: dict[str, object] = {"collection": self.collection, "method": self.method, "group": self.grouping}
        told |= {"reduce": self.applied} if self.applied else {}
        told |= {"filter": self.filter} if self.filter else {}
        told |= {"cast": {band.name: band.dtype for band in self.casts}} if self.casts else {}
        told |= {"widened": {band.name: band.dtype for band in self.widened}} if self.widened else {}
        lacks = {lack.image: {band.name: band.dtype for band in lack.bands} for lack in self.lacks}
        told |= {"lacks": lacks} if lacks else {}
        return told | {
            "steps": len(self.steps),
            "images": sum(len(step.images) for step in self.steps),
            "first": self.steps[0].time.isoformat(),
            "last": self.steps[-1].time.isoformat(),
        }

    def step_expression(self, step: Step) -> Expression:
        """Return the expression of a step's image, with the cube's bands in order: to learn its types, for pictures."""
        return build(_Images(self).node(step))

    @property
    def plain(self) -> Image | None:
        """What answers tiles that are not packed: a cube has none."""
        return None

    @property
    def labels(self) -> Node | None:
        """The image of labels that comes along: none."""
        return None

    def images_of(self, tile: Tile) -> Mapping[int, Node]:
        """Return the image of each of a tile's steps."""
        return self.images(tile.steps)

    def sharing(self, tile: Tile) -> Hashable:
        """Return what a tile has in common with those of the same images: its steps."""
        return tile.steps

    def images(self, positions: Iterable[int]) -> dict[int, Node]:
        """Return the images of some steps, as `packed_expression` takes them: what they share is written once."""
        images = _Images(self)
        return {position: images.node(self.steps[position]) for position in positions}


class _Images:
    """The images of a cube's steps, which share the nodes that are the same in all of them."""

    __slots__ = ("_casts", "_cube", "_kinds", "_order", "_selectors")

    def __init__(self, cube: Cube) -> None:
        self._cube = cube
        self._kinds = _types((*cube.widened, *cube.casts))
        self._casts = constant(self._kinds)
        self._order = constant(list(cube.bands))
        self._selectors = selectors(cube.bands)

    def node(self, step: Step) -> Node:
        """Return a step's image."""
        loaded = [self._loaded(name) for name in step.images]
        if self._cube.applied is None:
            return loaded[0]
        collection = call("ImageCollection.fromImages", {"images": listed(loaded)})
        return call(_REDUCTIONS[self._cube.applied], {"collection": collection})

    def _loaded(self, name: str) -> Node:
        """Return one image, with the cube's bands in order and in the types that the job says."""
        image = call("Image.load", {"id": constant(asset_id(name))})
        lack = self._lack(name)
        if lack is None:
            selected = call("Image.select", {"bandSelectors": self._selectors, "input": image})
            return call("Image.cast", {"bandTypes": self._casts, "image": selected}) if self._kinds else selected
        short = {band.name for band in lack.bands}
        had = [band for band in self._cube.bands if band not in short]
        selected = call("Image.select", {"bandSelectors": selectors(had), "input": image})
        # Bands that the image has not are added masked. Source: the description of Image.cast.
        kinds = constant(_types(lack.bands) | self._kinds)
        return call("Image.cast", {"bandOrder": self._order, "bandTypes": kinds, "image": selected})

    def _lack(self, name: str) -> Lack | None:
        place = bisect_left(self._cube.lacks, name, key=lambda lack: lack.image)
        found = self._cube.lacks[place : place + 1]
        return found[0] if found and found[0].image == name else None


def _types(bands: Iterable[Band]) -> dict[str, str]:
    return {band.name: pixel_type(band.dtype) for band in bands}


def in_order(images: Iterable[AssetInfo], grouping: Grouping) -> list[tuple[datetime, str, AssetInfo]]:
    """Return start, name and image of each, each once: a listing that changes meanwhile may repeat one.

    They are ordered by start and name. Images of `all` of which some have no start keep the order of the listing; such
    a start is told as that of 1970.

    Raises:
        InvalidInput: If an image has no start time, and is not one of `all`.
    """
    distinct = {image.name: image for image in images}
    if grouping == "all" and any(image.start_time is None for image in distinct.values()):
        return [(image.start_time or EPOCH, name, image) for name, image in distinct.items()]
    return sorted(((start_of(image), name, image) for name, image in distinct.items()), key=lambda item: item[:2])


def start_of(image: AssetInfo) -> datetime:
    """Return when an image starts, in UTC, cut to the millisecond.

    Raises:
        InvalidInput: If it does not say.
    """
    if image.start_time is None:
        raise InvalidInput(
            f"{image.id} has no start time, so it has no place on the time axis.",
            hint='Use group = "all", which makes one image of all, without times; or leave it out with a filter; or '
            "read it by itself as an image.",
        )
    start = image.start_time.astimezone(UTC)
    return start.replace(microsecond=start.microsecond // 1000 * 1000)


def group_key(start: datetime, image: AssetInfo, grouping: Grouping) -> object:
    """Return what the images of one step have in common: the step's time, where that is known from the period.

    Raises:
        InvalidInput: If it is of a solar day, and the image has no footprint.
    """
    if grouping == "none":
        return image.name
    if grouping == "all":
        return grouping
    if grouping == "solar_day":
        longitude = None if image.geometry is None else middle_longitude(image.geometry)
        if longitude is None:
            raise InvalidInput(
                f"{image.id} has no footprint, so its solar day is not known.",
                hint='Use group = "day" for UTC days, or leave it out with a filter.',
            )
        return solar_date(start, longitude)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if grouping == "day":
        return midnight
    first = midnight.replace(day=1)
    return first if grouping == "month" else first.replace(month=1)

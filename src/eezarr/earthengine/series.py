"""Which images of a collection are read, and how they become time steps: what is said before anything is listed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eezarr.earthengine.collection import Cube, common_bands, group_images
from eezarr.earthengine.listing import ImageQuery
from eezarr.errors import InvalidInput
from eezarr.plan import DTYPES, Band

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eezarr.earthengine.catalogue import AssetInfo
    from eezarr.earthengine.collection import CommonBands, Grouping, Missing, Reduction

__all__ = ["ImageCollection"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCollection:
    """A time series; made by `Image.collection`.

    Raises:
        InvalidInput: If a cast is to no type that the service answers.
    """

    name: str
    """Resource name of the collection."""
    query: ImageQuery = field(default_factory=ImageQuery)
    """Which of its images."""
    bands: tuple[str, ...] | None = None
    """The bands, in the order wanted; None: those of the first image."""
    group: Grouping = "none"
    """Which images are one time step; `all` makes one image of them, without time."""
    reduce: Reduction = "mosaic"
    """How a group becomes one image."""
    cast: tuple[tuple[str, str], ...] = ()
    """Name and NumPy type of bands that every image is made to have in that type."""
    missing: Missing = "error"
    """What becomes of images that lack a band."""

    def __post_init__(self) -> None:
        for band, dtype in self.cast:
            if dtype not in DTYPES:
                raise InvalidInput(
                    f"Band {band!r} cannot be cast to {dtype!r}.", hint=f"Use one of {', '.join(DTYPES)}."
                )

    def assemble(self, images: Sequence[AssetInfo]) -> tuple[Cube, CommonBands]:
        """Return the cube of these images, and what is known of its bands.

        Raises:
            InvalidInput: If there are no images, they have no times, or differ in their bands: images are named.
        """
        if not images:
            raise InvalidInput(
                f"No image of {self.name} was found.", hint="Widen the period, the region or the filter."
            )
        common = common_bands(images, self.bands, cast=dict(self.cast), missing=self.missing)
        cube = Cube(
            collection=self.name,
            steps=group_images(common.images, self.group),
            bands=common.names,
            grouping=self.group,
            reduction=self.reduce,
            casts=tuple(Band(band, dtype) for band, dtype in self.cast),
            lacks=common.lacks,
            widened=common.widened,
            filter=self.query.filter,
        )
        return cube, common


def casts_of(cast: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Return a table of casts as a record holds it: sorted, so that equal tables are equal records."""
    return tuple(sorted((cast or {}).items()))

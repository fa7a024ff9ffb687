"""What is read: an asset or an expression, with its bands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from eezarr.calls import checked_calls
from eezarr.earthengine.expression import Expression, Serializable, load_expression, parse_expression, select
from eezarr.earthengine.listing import ImageQuery
from eezarr.earthengine.names import asset_name
from eezarr.earthengine.series import ImageCollection, casts_of
from eezarr.errors import InvalidInput
from eezarr.plan import COMPUTE_PIXELS_LIMITS, GET_PIXELS_LIMITS

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from eezarr.earthengine.collection import Grouping, Missing, Reduction
    from eezarr.earthengine.listing import Moment
    from eezarr.earthengine.nodes import Node
    from eezarr.earthengine.places import Place
    from eezarr.plan import RequestLimits, Tile

__all__ = ["Image", "ImageLike", "PixelMethod"]

PixelMethod: TypeAlias = Literal["getPixels", "computePixels"]


@checked_calls
@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What is read; made by `Image.asset` or `Image.expression`.

    Raises:
        InvalidInput: If neither an asset nor an expression is given, or bands are none, nameless or given twice.
    """

    asset_name: str | None = None
    """Resource name of the asset, if it is one: where its metadata and native grid come from."""
    graph: Expression | None = None
    """What is computed; None reads the asset with getPixels."""
    bands: tuple[str, ...] | None = None
    """The bands, in the order wanted; None for all, in the image's order."""

    def __post_init__(self) -> None:
        if self.asset_name is None and self.graph is None:
            raise InvalidInput("An image is of nothing.", hint="Use `Image.asset` or `Image.expression`.")
        if self.bands is None:
            return
        if not self.bands or not all(self.bands):
            raise InvalidInput(f"{self.bands!r} are no bands.", hint="Name one band at least, or leave `bands` out.")
        if len(set(self.bands)) < len(self.bands):
            raise InvalidInput(f"A band is named twice in {list(self.bands)}.", hint="Name each band once.")

    @classmethod
    def asset(
        cls,
        asset: str,
        bands: Iterable[str] | None = None,
        method: Literal["auto", "getPixels", "computePixels"] = "auto",
    ) -> Self:
        """Return an asset's image.

        Args:
            asset: Asset id or resource name.
            bands: Bands in the order wanted; None for all.
            method: `auto` and `getPixels` read the stored pixels; `computePixels` goes through `Image.load`.

        Raises:
            InvalidInput: If the id, the bands or the method cannot be.
        """
        if method not in ("auto", "getPixels", "computePixels"):
            raise InvalidInput(f"There is no method {method!r}.", hint="Use auto, getPixels or computePixels.")
        graph = load_expression(asset) if method == "computePixels" else None
        return cls(asset_name=asset_name(asset), graph=graph, bands=_listed(bands))

    @classmethod
    def expression(cls, expression: object, bands: Iterable[str] | None = None) -> Self:
        """Return a computed image.

        Args:
            expression: An `ee.Image`, or JSON text or objects as `parse_expression` takes them.
            bands: Bands in the order wanted; None for all.

        Raises:
            InvalidInput: If it is no expression of an image, or the bands cannot be.
        """
        return cls(graph=parse_expression(expression), bands=_listed(bands))

    @staticmethod
    def collection(
        collection: str,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        region: Place | None = None,
        filter: str | None = None,  # noqa: A002 - the REST API's own name
        bands: Iterable[str] | None = None,
        group: Grouping = "none",
        reduce: Reduction = "mosaic",
        cast: Mapping[str, str] | None = None,
        missing: Missing = "error",
    ) -> ImageCollection:
        """Return a time series: images of a collection, or groups of them, as time steps.

        Args:
            collection: Asset id or resource name of the collection.
            start: Images that start then or later; without a zone UTC.
            end: Images that start before then.
            region: Images that meet (lon, lat), (west, south, east, north) or GeoJSON; default: the grid's ground.
            filter: What their properties must be, such as `CLOUDY_PIXEL_PERCENTAGE < 20`.
            bands: Bands in the order wanted; None: those of the first image.
            group: Which images are one time step: `none`, each its own; those of a `solar_day`, `day`, `month` or
                `year`; or `all`, which makes one image without time.
            reduce: How a group becomes one image: `mosaic`, `median`, `mean`, `min` or `max`.
            cast: NumPy types by band that bands are cast to in every image, where they differ.
            missing: What becomes of images that lack a band: `error`, `skip`, or `mask`, which needs a mask mode.

        Raises:
            InvalidInput: If a time or the region cannot be read, or the rest cannot be.
        """
        return ImageCollection(
            name=asset_name(collection),
            query=ImageQuery(start=start, end=end, region=region, filter=filter, is_by_start=True),
            bands=_listed(bands),
            group=group,
            reduce=reduce,
            cast=casts_of(cast),
            missing=missing,
        )

    @classmethod
    def of(cls, image: ImageLike) -> Image:
        """Return an image as it is, and the image of an `ee.Image`.

        Raises:
            InvalidInput: If it is neither.
        """
        return image if isinstance(image, Image) else cls.expression(image)

    @property
    def method(self) -> PixelMethod:
        """The REST method that reads it."""
        return "getPixels" if self.graph is None else "computePixels"

    @property
    def computed(self) -> Expression:
        """The image as an expression with its bands selected, for methods that take nothing else: exports, thumbnails.

        Raises:
            InvalidInput: If the asset's name is none.
        """
        whole = self.graph or load_expression(self.asset_name or "")
        return whole if self.bands is None else select(whole, self.bands)

    @property
    def plain(self) -> Image:
        """What answers tiles that are not packed: the image itself."""
        return self

    @property
    def labels(self) -> Node | None:
        """The image of labels that comes along: none."""
        return None

    def images_of(self, _tile: Tile) -> Mapping[int, Node]:
        """Return the image of each of a tile's steps: there is one."""
        return {0: self.computed}

    def sharing(self, _tile: Tile) -> Hashable:
        """Return what a tile has in common with those of the same images: all have."""
        return None

    def through_computing(self) -> Image:
        """Return the same image, read by computePixels: what masks need, which getPixels has not.

        Raises:
            InvalidInput: If the asset's name is none.
        """
        return self if self.graph is not None else replace(self, graph=load_expression(self.asset_name or ""))

    @property
    def limits(self) -> RequestLimits:
        """What one request of its method may hold, unless configured otherwise."""
        return GET_PIXELS_LIMITS if self.graph is None else COMPUTE_PIXELS_LIMITS

    def describe(self) -> dict[str, object]:
        """Return what is read, for provenance and reports: the asset's name or the expression, and the method."""
        if self.asset_name is not None:
            return {"asset": self.asset_name, "method": self.method}
        return {"expression": str(self.graph), "method": self.method}

    @property
    def key(self) -> str:
        """What is read and how, in one canonical string, without the bands: part of a plan's fingerprint.

        The method belongs to it: under the mask, stored pixels and computed ones are known to differ.
        """
        return f"{self.method}:{self.graph or self.asset_name}"


ImageLike: TypeAlias = Image | Serializable
"""What is accepted wherever an image is: an `Image`, or an `ee.Image`."""


def _listed(bands: object) -> tuple[str, ...] | None:
    if isinstance(bands, str):
        raise InvalidInput(f"`bands` is the text {bands!r}, not a list.", hint=f"Write it as [{bands!r}].")
    if bands is None:
        return None
    names = tuple(bands) if isinstance(bands, Iterable) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise InvalidInput(f"{str(bands)[:100]} are no bands.", hint='Give names in a list, such as ["B4", "B8"].')
    return names

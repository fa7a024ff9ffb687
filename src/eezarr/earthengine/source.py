"""What answers tiles with pixels: an image, a cube or samples at the service, as plain requests or packed ones.

An image's own bands are asked for by name, and its expression is encoded once. Time steps, masks and labels are packed
into an expression of their own for each group of images, steps and bands; tiles that share it follow each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, get_args

from eezarr.earthengine.collection import Cube, Grouping, Lack, Reduction
from eezarr.earthengine.image import Image, ImageLike
from eezarr.earthengine.packing import packed_expression
from eezarr.earthengine.sampling import SampledImages
from eezarr.earthengine.series import ImageCollection
from eezarr.errors import InvalidInput, TooHeavy
from eezarr.plan import NO_MASKING, Band

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from eezarr.earthengine.client import EarthEngine, PreparedImage
    from eezarr.plan import Masking, Tile
    from eezarr.plan.steps import Step
    from eezarr.protocols import Memory, Pixels

__all__ = ["PixelSource", "Subject", "SubjectLike", "described_subject"]

Subject: TypeAlias = Image | Cube | SampledImages
"""What a plan reads. Each answers `plain`, `images_of` and `sharing` of a tile, and `labels`."""

SubjectLike: TypeAlias = ImageLike | ImageCollection
"""What is accepted where pixels are fetched: an `Image`, `Image.collection(...)`, or an `ee.Image`."""

_GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)
_REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)

_KEPT = 16
"""Packed requests that are kept ready: more than the groups that the tiles in flight belong to, where all are whole."""


def described_subject(
    described: Mapping[str, object], bands: Iterable[Band], steps: tuple[Step, ...] | None
) -> Image | Cube:
    """Return what is read from what its `describe` told: a store keeps that beside the plan.

    Args:
        described: What was told.
        bands: The bands that are read.
        steps: The time steps of a cube; None for an image.

    Raises:
        InvalidInput: If it tells of nothing that can be read.
    """
    names = tuple(band.name for band in bands)
    asset, expression, collection = (described.get(key) for key in ("asset", "expression", "collection"))
    if isinstance(asset, str):
        return Image.asset(asset, names, "getPixels" if described.get("method") == "getPixels" else "computePixels")
    if isinstance(expression, str):
        return Image.expression(expression, names)
    if not isinstance(collection, str) or steps is None:
        raise InvalidInput("The store does not say what it was read from.", hint="Fetch it with this version.")
    return Cube(
        collection=collection,
        steps=steps,
        bands=names,
        grouping=next(known for known in _GROUPINGS if known == described.get("group", "none")),
        reduction=next(known for known in _REDUCTIONS if known == described.get("reduce", "mosaic")),
        casts=_bands(described.get("cast")),
        widened=_bands(described.get("widened")),
        lacks=tuple(Lack(image=name, bands=_bands(short)) for name, short in sorted(_table(described.get("lacks")))),
    )


def _bands(table: object) -> tuple[Band, ...]:
    return tuple(Band(name, str(dtype)) for name, dtype in _table(table))


def _table(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, dict) else []


class PixelSource:
    """An image, a cube or samples at a service: answers a plan's tiles with pixels (`Source`).

    Args:
        service: Who is asked.
        subject: What is read.
        bands: The plan's bands, which steps and masks are packed of.
        masking: The plan's.
        on_received: Told of the bytes of each response, as they came over the wire.

    Raises:
        InvalidInput: If an image's expression is longer than a request may be.
    """

    def __init__(
        self,
        service: EarthEngine,
        subject: Subject,
        *,
        bands: Sequence[Band] = (),
        masking: Masking = NO_MASKING,
        on_received: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._service = service
        self._subject = subject
        self._bands = bands
        self._masking = masking
        self._on_received = on_received
        self._plain = None if subject.plain is None else service.prepare(subject.plain)
        self._packed: dict[Hashable, PreparedImage] = {}

    async def read(self, tile: Tile, memory: Memory) -> Pixels:
        """Ask once, receive into the memory, and return a view of it; the view dies with the memory's next use.

        Raises:
            EezarrError: `Retryable` if asking again can help, `TooHeavy` if a smaller tile can, others are final.
        """
        prepared = self._plain if tile.selection.is_plain and self._plain is not None else self._prepared(tile)
        return await self._service.read_tile(prepared, tile, memory, on_received=self._on_received)

    def _prepared(self, tile: Tile) -> PreparedImage:
        key = (self._subject.sharing(tile), tile.steps, tile.first_band, len(tile.bands))
        prepared = self._packed.pop(key, None) or self._pack(tile)
        self._packed[key] = prepared
        if len(self._packed) > _KEPT:
            self._packed.pop(next(iter(self._packed)))
        return prepared

    def _pack(self, tile: Tile) -> PreparedImage:
        expression = packed_expression(
            self._subject.images_of(tile),
            bands=self._bands,
            masking=self._masking,
            fields=tile.fields,
            labels=self._subject.labels,
        )
        try:
            return self._service.prepare_packed(expression)
        except InvalidInput as error:
            if len(tile.steps) == 1:
                raise
            # Longer than estimated: fewer steps are shorter.
            raise TooHeavy(error.message, hint=error.hint) from error

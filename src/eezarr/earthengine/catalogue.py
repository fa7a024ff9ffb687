"""What an asset's metadata says: EarthEngineAsset JSON -> one frozen record.

Metadata is read leniently where pixels do not depend on it (an unreadable time is None) and strictly where they do.
The type of a band is what metadata *foretells*: the types that pixels have are learnt by asking for one.

Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.assets#EarthEngineAsset
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Never

from eezarr.earthengine.names import asset_id
from eezarr.errors import BadBody, InvalidInput
from eezarr.grid import PixelGrid

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AssetBand", "AssetInfo", "JsonObject", "foretold_type", "parse_asset", "parse_image_info"]

INTEGER_RANGES = {
    "uint8": (0, 255),
    "uint16": (0, 65_535),
    "uint32": (0, 4_294_967_295),
    "int8": (-128, 127),
    "int16": (-32_768, 32_767),
    "int32": (-2_147_483_648, 2_147_483_647),
}
"""Integer types that NPY bodies hold, and their ranges."""

_FLOATS = {"FLOAT": "float32", "DOUBLE": "float64"}


class JsonObject(dict[str, object]):
    """A JSON object that is read only: `json.dumps` and request bodies take it as the dict that it is."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[JsonObject], tuple[dict[str, object]]]:
        return JsonObject, (dict(self),)

    def _read_only(self, *_args: object, **_kwargs: object) -> Never:
        raise TypeError("what the service answered is read only: change a copy of it, dict(…)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _read_only


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetBand:
    """One band, as metadata describes it."""

    id: str
    """The band's name, as in `bandIds`."""
    dtype: str | None
    """NumPy name of the type that NPY bodies should have; None if metadata does not tell."""
    grid: PixelGrid | None
    """Its native grid; None if it has none, or one that cannot be read."""
    pyramiding: str
    """How coarser levels are made: MEAN, SAMPLE, MIN, MAX, MODE or MEDIAN."""
    span: tuple[float, float] | None = None
    """Lowest and highest value that metadata states of integers; None for floats, or if it states none."""
    dimensions: int = 0
    """Axes of an array in each pixel; 0 where a pixel is a number, which is all that can be fetched."""

    @property
    def is_certain(self) -> bool:
        """Whether metadata tells the type: of floats, and of a whole type's range; of a narrower one it does not."""
        return self.dtype is not None and (self.span is None or self.span in INTEGER_RANGES.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetInfo:
    """One asset."""

    name: str
    """Resource name."""
    id: str
    """The name as the catalogue shows it."""
    type: str
    """IMAGE, IMAGE_COLLECTION, TABLE, FOLDER, CLASSIFIER or FEATURE_VIEW."""
    bands: tuple[AssetBand, ...]
    """Bands of an image, in order."""
    properties: Mapping[str, object] = field(hash=False)
    """Metadata properties: numbers, texts, lists."""
    start_time: datetime | None
    """Start of what is shown, with zone."""
    end_time: datetime | None
    """End of what is shown, exclusive, with zone."""
    geometry: Mapping[str, object] | None = field(hash=False)
    """Footprint as GeoJSON, in longitude and latitude."""
    raw: Mapping[str, object] = field(default_factory=JsonObject, hash=False, compare=False, repr=False)
    """The service's own document, whole; empty for the images of a series, of which there may be many."""

    def band(self, band_id: str) -> AssetBand:
        """Return a band.

        Raises:
            InvalidInput: If the asset has none of this name.
        """
        for band in self.bands:
            if band.id == band_id:
                return band
        raise InvalidInput(
            f"{self.id} has no band {band_id!r}.",
            hint=f"Its bands are {', '.join(band.id for band in self.bands[:50]) or 'none'}.",
        )


def parse_asset(document: Mapping[str, object]) -> AssetInfo:
    """Return the record of an EarthEngineAsset.

    Raises:
        BadBody: If it has no name, or bands that are no list of objects with an id.
    """
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise _unreadable(f"no asset: {str(document)[:100]}")
    bands = document.get("bands", [])
    if not isinstance(bands, list):
        raise _unreadable(f"the asset {name[:200]} with bands that are no list")
    kind = document.get("type")
    return AssetInfo(
        name=name,
        id=asset_id(name),
        type=kind if isinstance(kind, str) else "",
        bands=tuple(_band(name, band) for band in bands),
        properties=JsonObject(_object(document.get("properties"))),
        start_time=_time(document.get("startTime")),
        end_time=_time(document.get("endTime")),
        geometry=JsonObject(_object(document["geometry"])) if document.get("geometry") else None,
        raw=JsonObject(document),
    )


def parse_image_info(document: object) -> tuple[AssetBand, ...]:
    """Return the bands of an image as `value:compute` describes it (what `getInfo` prints), without their grids.

    A type is None where the description does not tell.

    Raises:
        InvalidInput: If what is described is no image.
        BadBody: If a band has no id.
    """
    fields = _object(document)
    bands = fields.get("bands")
    if fields.get("type") != "Image" or not isinstance(bands, list):
        raise InvalidInput(
            f"The expression makes {fields.get('type') or type(document).__name__}, not an image.",
            hint="Give an expression whose result is an image; of a collection, its mosaic() or median().",
        )
    named = [(_object(band).get("id"), _object(_object(band).get("data_type"))) for band in bands]
    if not all(isinstance(name, str) and name for name, _ in named):
        raise _unreadable("an image with a band without an id")
    return tuple(_typed_band(str(name), _as_asset_type(data_type)) for name, data_type in named)


def _as_asset_type(data_type: Mapping[str, object]) -> dict[str, object]:
    """A `PixelType` as assets write it: here the range's ends stand beside the precision, in small letters."""
    span = {bound: data_type[bound] for bound in ("min", "max") if bound in data_type}
    return {
        "precision": str(data_type.get("precision")).upper(),
        "dimensionsCount": data_type.get("dimensions"),
        **({"range": span} if span else {}),
    }


def _band(name: str, band: object) -> AssetBand:
    fields = _object(band)
    band_id = fields.get("id")
    if not isinstance(band_id, str) or not band_id:
        raise _unreadable(f"the asset {name[:200]} with a band without an id")
    try:
        grid = PixelGrid.from_response(_object(fields.get("grid")))
    except (InvalidInput, OverflowError):
        grid = None
    policy = fields.get("pyramidingPolicy")
    return _typed_band(
        band_id, _object(fields.get("dataType")), grid=grid, pyramiding=policy if isinstance(policy, str) else "MEAN"
    )


def _typed_band(
    band_id: str, data_type: Mapping[str, object], *, grid: PixelGrid | None = None, pyramiding: str = "MEAN"
) -> AssetBand:
    """Return a band of a type; zeros are omitted in JSON, so an absent bound is 0."""
    precision, stated = data_type.get("precision"), data_type.get("range")
    dtype, span = _FLOATS.get(str(precision)), None
    # The founding Quickstart page prints INTEGER, the reference and the service INT.
    if precision in ("INT", "INTEGER") and isinstance(stated, dict):
        low, high = (_number(stated.get(bound, 0)) for bound in ("min", "max"))
        # Not a number is not less or equal.
        span = (low, high) if low <= high else None
        dtype = None if span is None else foretold_type(*span)
    axes = _number(data_type.get("dimensionsCount"))
    dimensions = int(axes) if 0 < axes < math.inf else 0
    return AssetBand(
        id=band_id,
        dtype=None if dimensions else dtype,
        grid=grid,
        pyramiding=pyramiding,
        span=span,
        dimensions=dimensions,
    )


def foretold_type(low: float, high: float) -> str:
    """Return the type that pixels of integers from `low` to `high` probably have; float64 for what is beyond 32 bits.

    Not known of ranges that are narrower than a type: one pixel tells.

    Source: GDAL's eedacommon.cpp (`BuildBandDescArray`), which takes Int8 for exactly its range only; int64 is served
    as float64: geedim and GDAL observed it.
    """
    least, most = INTEGER_RANGES["int8"]
    if low == least and high == most:
        return "int8"
    for dtype in ("uint8", "uint16", "uint32") if low >= 0 else ("int16", "int32"):
        least, most = INTEGER_RANGES[dtype]
        if least <= low and high <= most:
            return dtype
    return "float64"


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _unreadable(what: str) -> BadBody:
    return BadBody(f"The service answered with {what}.", hint="Check that `api_url` names an Earth Engine.")

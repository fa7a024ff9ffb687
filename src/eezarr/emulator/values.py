"""What expressions evaluate to, and how it is told as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from eezarr.emulator.geometry import Geometry, Projection
from eezarr.emulator.images import Image, PixelType
from eezarr.emulator.raster import EvaluationError, Json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feature:
    """A geometry with properties."""

    geometry: Geometry | None
    properties: Mapping[str, Json] = field(default_factory=dict)
    id: str | None = None

    def info(self) -> dict[str, Json]:
        """Answer the GeoJSON that `getInfo()` prints."""
        shape = None if self.geometry is None else self.geometry.geojson()
        answer: dict[str, Json] = {"type": "Feature", "geometry": shape, "properties": dict(self.properties)}
        return answer if self.id is None else answer | {"id": self.id}


Element: TypeAlias = Image | Feature


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Collection:
    """Elements in order."""

    elements: tuple[Element, ...]
    id: str | None = None
    version: int | None = None
    properties: Mapping[str, Json] = field(default_factory=dict)
    is_of_images: bool = True

    def info(self) -> dict[str, Json]:
        """Answer what `getInfo()` prints."""
        kind = "ImageCollection" if self.is_of_images else "FeatureCollection"
        answer: dict[str, Json] = {"type": kind}
        if self.id is not None:
            answer["id"] = self.id
        if self.version is not None:
            answer["version"] = self.version
        if self.is_of_images:
            answer["bands"] = []
        else:
            answer["columns"] = {}
        if self.properties:
            answer["properties"] = dict(self.properties)
        answer["features"] = [element.info() for element in self.elements]
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Date:
    """An instant."""

    milliseconds: int
    """Since 1970-01-01T00:00:00Z."""

    def info(self) -> dict[str, Json]:
        """Answer what `getInfo()` prints."""
        return {"type": "Date", "value": self.milliseconds}

    @property
    def moment(self) -> datetime:
        """Answer the instant as a datetime, UTC."""
        return datetime.fromtimestamp(self.milliseconds / 1000, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """From `start` (inclusive) to `end` (exclusive), milliseconds since 1970."""

    start: int
    end: int

    def info(self) -> dict[str, Json]:
        """Answer what `getInfo()` prints."""
        return {"type": "DateRange", "dates": [self.start, self.end]}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filter:
    """A test of elements."""

    passes: Callable[[Element], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reducer:
    """A statistic by name."""

    name: str
    """`mean`, `median`, `toList`, … as in `Reducer.mean`."""
    numbers: tuple[float, ...] = ()
    """Percentiles of `percentile`; the tuple size of `toList`."""
    labels: tuple[str, ...] = ()
    """Names of outputs, if the caller gave them."""
    inputs: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Closure:
    """A function of an expression."""

    parameters: tuple[str, ...]
    call: Callable[[list[Value]], Value]


Value: TypeAlias = (
    "bool | int | float | str | bytes | list[Value] | dict[str, Value] | Image | Feature | Collection | Geometry"
    " | Projection | PixelType | Date | DateRange | Filter | Reducer | Closure | None"
)


def encode(value: Value) -> Json:
    """Answer a value as the JSON that `getInfo()` prints.

    Raises:
        EvaluationError: if it has none (filters, reducers, functions).
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, Geometry):
        return value.geojson()
    if isinstance(value, Image | Feature | Collection | Projection | PixelType | Date | DateRange):
        return value.info()
    raise EvaluationError(f"Can't encode object: {type(value).__name__}")


def decode(value: Json) -> Value:
    """Answer plain JSON as a value."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if isinstance(value, dict):
        return {key: decode(item) for key, item in value.items()}
    return value

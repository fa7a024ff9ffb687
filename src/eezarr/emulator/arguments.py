"""How a function asks for its arguments: a getter checks, converts as the service does, or fails in its words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, Protocol, TypeAlias

from eezarr.emulator.geometry import Geometry, Projection
from eezarr.emulator.images import UNBOUNDED, Band, Image, of_number
from eezarr.emulator.nodes import Constant
from eezarr.emulator.raster import EvaluationError
from eezarr.emulator.values import Closure, Collection, Date, Element, Feature, Filter, Reducer, Value


class Library(Protocol):
    """Where expressions find assets."""

    def load_image(self, name: str) -> Image | None:
        """Answer an image by asset id or name, None if there is none."""
        ...

    def load_collection(self, name: str) -> Collection | None:
        """Answer an image collection by id or name, None if there is none."""
        ...


def constant(value: float, name: str = "constant") -> Band:
    """Answer a band that has one value everywhere."""
    kind = of_number(value)
    return Band(id=name, type=kind, pixels=Constant(value=value, dtype=kind.dtype), grid=UNBOUNDED)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arguments:
    """The arguments of one call; each getter checks, converts as the service does, or fails in its words."""

    function: str
    values: Mapping[str, Value]
    library: Library

    def fail(self, message: str) -> NoReturn:
        """Raise the service's error for this function."""
        raise EvaluationError(f"{self.function}: {message}")

    def _wrong(self, name: str, kind: str, value: Value) -> NoReturn:
        if value is None:
            self.fail(f"Parameter '{name}' is required and may not be null.")
        self.fail(f"Parameter '{name}' of type '{kind}' cannot be made from {type(value).__name__}.")

    def has(self, name: str) -> bool:
        """Answer whether an argument is given, and not null."""
        return self.values.get(name) is not None

    def value(self, name: str) -> Value:
        """Answer an argument of any type."""
        value = self.values.get(name)
        return self._wrong(name, "Object", value) if value is None else value

    def number(self, name: str, default: float | None = None) -> float | int:
        """Answer a number."""
        value = self.values.get(name, default)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong(name, "Number", value)
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """Answer a string."""
        value = self.values.get(name, default)
        return value if isinstance(value, str) else self._wrong(name, "String", value)

    def flag(self, name: str, default: bool) -> bool:
        """Answer a boolean; numbers count as whether they are not zero."""
        value = self.values.get(name, default)
        return default if value is None else bool(value)

    def items(self, name: str) -> list[Value]:
        """Answer a list; a collection is the list of its elements."""
        value = self.values.get(name)
        if isinstance(value, Collection):
            return list(value.elements)
        return value if isinstance(value, list) else self._wrong(name, "List", value)

    def strings(self, name: str) -> list[str]:
        """Answer a list of strings; one string is a list of one."""
        value = self.values.get(name)
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list):
            self._wrong(name, "List<String>", value)
        return [item if isinstance(item, str) else str(item) for item in items]

    def numbers(self, name: str) -> list[float]:
        """Answer a list of numbers."""
        answer = [item for item in self.items(name) if isinstance(item, int | float)]
        return answer if len(answer) == len(self.items(name)) else self._wrong(name, "List<Number>", self.values[name])

    def dictionary(self, name: str) -> dict[str, Value]:
        """Answer a dictionary."""
        value = self.values.get(name)
        return value if isinstance(value, dict) else self._wrong(name, "Dictionary", value)

    def image(self, name: str) -> Image:
        """Answer an image; a number, or a list of numbers, is a constant one."""
        value = self.values.get(name)
        if isinstance(value, Image):
            return value
        items = value if isinstance(value, list) else [value]
        numbers = [int(item) if isinstance(item, bool) else item for item in items if isinstance(item, int | float)]
        if not numbers or len(numbers) != len(items):
            self._wrong(name, "Image", value)
        names = ["constant"] if len(numbers) == 1 else [f"constant_{k}" for k in range(len(numbers))]
        return Image(bands=tuple(constant(number, label) for number, label in zip(numbers, names, strict=True)))

    def element(self, name: str) -> Element:
        """Answer an image or a feature; a geometry is a feature without properties."""
        value = self.values.get(name)
        if isinstance(value, Geometry):
            return Feature(geometry=value)
        return value if isinstance(value, Image | Feature) else self._wrong(name, "Element", value)

    def owner(self, name: str) -> Element | Collection:
        """Answer what has properties: an element or a collection."""
        value = self.values.get(name)
        return value if isinstance(value, Collection) else self.element(name)

    def collection(self, name: str) -> Collection:
        """Answer a collection; an element, or a list of them, is one."""
        value = self.values.get(name)
        if isinstance(value, Collection):
            return value
        items = value if isinstance(value, list) else [value]
        elements = tuple(item for item in items if isinstance(item, Image | Feature))
        if len(elements) != len(items):
            self._wrong(name, "FeatureCollection", value)
        return Collection(elements=elements, is_of_images=all(isinstance(item, Image) for item in elements))

    def geometry(self, name: str) -> Geometry:
        """Answer a shape: a geometry, or that of an element or a collection of one."""
        value = self.values.get(name)
        if isinstance(value, Geometry):
            return value
        if isinstance(value, Collection) and len(value.elements) == 1:
            value = value.elements[0]
        if isinstance(value, Image):
            return value.footprint
        if isinstance(value, Feature) and value.geometry is not None:
            return value.geometry
        return self._wrong(name, "Geometry", value)

    def projection(self, name: str) -> Projection:
        """Answer a projection; a string is a CRS with pixels of one unit."""
        value = self.values.get(name)
        if isinstance(value, str):
            return Projection(crs=value)
        if isinstance(value, Image) and value.bands:
            return value.bands[0].projection
        return value if isinstance(value, Projection) else self._wrong(name, "Projection", value)

    def filter(self, name: str) -> Filter:
        """Answer a filter."""
        value = self.values.get(name)
        return value if isinstance(value, Filter) else self._wrong(name, "Filter", value)

    def reducer(self, name: str) -> Reducer:
        """Answer a reducer."""
        value = self.values.get(name)
        return value if isinstance(value, Reducer) else self._wrong(name, "Reducer", value)

    def closure(self, name: str) -> Closure:
        """Answer a function."""
        value = self.values.get(name)
        return value if isinstance(value, Closure) else self._wrong(name, "Algorithm", value)

    def date(self, name: str) -> Date:
        """Answer an instant: a date, milliseconds since 1970, or ISO 8601 text."""
        value = self.values.get(name)
        if isinstance(value, Date):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return Date(milliseconds=int(value))
        if not isinstance(value, str):
            raise EvaluationError(f"Date: Parameter '{name}' is required.")
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise EvaluationError(f"Date: Bad date/time '{value}'.") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return Date(milliseconds=round(moment.timestamp() * 1000))


Function: TypeAlias = Callable[[Arguments], Value]

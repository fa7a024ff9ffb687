"""Filters of asset lists: the part of AIP-160 that Earth Engine's clients use.

    filter      = sequence {"AND" sequence}
    sequence    = factor {factor}
    factor      = term {"OR" term}            OR binds tighter than AND
    term        = ["NOT" | "-"] (restriction | "(" filter ")" | function)
    restriction = name ("=" | "!=" | "<" | "<=" | ">" | ">=" | ":") value
    function    = intersects("GeoJSON, single quotes inside")

Names: `startTime`, `endTime`, `id`, `name`, `type`, `properties.NAME`, or a property's bare NAME.
Source: https://google.aip.dev/160.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias

from eezarr.emulator.errors import invalid
from eezarr.emulator.geojson import intersects
from eezarr.emulator.raster import Json

Asset: TypeAlias = Mapping[str, Json]
Predicate: TypeAlias = Callable[[Asset], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<sign><=|>=|!=|[=<>:(),])|(?P<word>[^\s=<>!:(),"']+))"""
)
# The orders (-1 less, 0 equal, 1 greater) of what is found and what is wanted, for which a sign holds.
_HOLDS: dict[str, frozenset[int]] = {
    "=": frozenset({0}),
    "!=": frozenset({-1, 1}),
    "<": frozenset({-1}),
    "<=": frozenset({-1, 0}),
    ">": frozenset({1}),
    ">=": frozenset({0, 1}),
    ":": frozenset({0}),
}
_TIMES = frozenset({"startTime", "endTime"})
_OWN = frozenset({"id", "name", "type", "updateTime"})


def compiled(text: str) -> Predicate:
    """Answer whether an asset passes, as a function; an empty filter passes all.

    Raises:
        ApiError: The filter cannot be read.
    """
    tokens = _tokens(text)
    if not tokens:
        return lambda _: True
    reader = _Reader(tokens, text)
    predicate = reader.filter()
    if reader.peek() is not None:
        raise _unreadable(text)
    return predicate


def timestamp(text: str) -> datetime:
    """Answer an RFC 3339 time; a date alone is its first moment in UTC.

    Raises:
        ApiError: It is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid(f"Invalid time: '{text}'.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def geometry_of(text: str) -> Json:
    """Answer a geometry written as JSON, or with single quotes inside as filters have it.

    Raises:
        ApiError: It is neither.
    """
    try:
        geometry: Json = json.loads(text)
    except ValueError:
        try:
            geometry = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise invalid(f"Invalid geometry: '{text[:200]}'.") from error
    return geometry


def within(geometry: Json) -> Predicate:
    """Answer whether an asset's footprint meets `geometry`; assets without a footprint do not."""

    def meets(asset: Asset) -> bool:
        try:
            return intersects(asset.get("geometry"), geometry)
        except ValueError as error:
            raise invalid(f"Invalid geometry: {error}.") from error

    return meets


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[tuple[str, str]], text: str) -> None:
        self._tokens = tokens
        self._place = 0
        self._text = text

    def peek(self) -> str | None:
        """Answer the next token as a keyword or sign; quoted text is neither."""
        if self._place >= len(self._tokens):
            return None
        kind, token = self._tokens[self._place]
        return "" if kind == "quoted" else token

    def filter(self) -> Predicate:
        parts = [self._factor()]
        while self.peek() not in (None, ")"):
            if self.peek() == "AND":
                self._take()
            parts.append(self._factor())
        return lambda asset: all(part(asset) for part in parts)

    def _factor(self) -> Predicate:
        parts = [self._term()]
        while self.peek() == "OR":
            self._take()
            parts.append(self._term())
        return lambda asset: any(part(asset) for part in parts)

    def _term(self) -> Predicate:
        if self.peek() in ("NOT", "-"):
            self._take()
            inner = self._term()
            return lambda asset: not inner(asset)
        if self.peek() == "(":
            self._take()
            group = self.filter()
            self._expect(")")
            return group
        name = self._take()
        if self.peek() == "(":
            return self._function(name)
        sign, value = self._take(), self._take()
        if sign not in _HOLDS:
            raise _unreadable(self._text)
        return _restriction(name, sign, value)

    def _function(self, name: str) -> Predicate:
        if name != "intersects":
            raise invalid(f"Invalid filter: unknown function '{name}'.")
        self._expect("(")
        geometry = geometry_of(self._take())
        self._expect(")")
        return within(geometry)

    def _take(self) -> str:
        if self._place >= len(self._tokens):
            raise _unreadable(self._text)
        self._place += 1
        return self._tokens[self._place - 1][1]

    def _expect(self, sign: str) -> None:
        if self._take() != sign:
            raise _unreadable(self._text)


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise _unreadable(text)
        token = found[found.lastgroup]
        if found.lastgroup == "quoted":
            token = re.sub(r"\\(.)", r"\1", token[1:-1])
        tokens.append((found.lastgroup, token))
        place = found.end()
    return tokens


def _restriction(name: str, sign: str, value: str) -> Predicate:
    wanted = timestamp(value) if name in _TIMES else None

    def holds(asset: Asset) -> bool:
        found = _property(asset, name)
        if found is None:
            return False
        if wanted is not None:
            moment = timestamp(str(found))
            return (moment > wanted) - (moment < wanted) in _HOLDS[sign]
        number = _number(value)
        if isinstance(found, int | float) and number is not None:
            return (found > number) - (found < number) in _HOLDS[sign]
        return (str(found) > value) - (str(found) < value) in _HOLDS[sign]

    return holds


def _property(asset: Asset, name: str) -> Json:
    if name in _TIMES | _OWN:
        return asset.get(name)
    properties = asset.get("properties")
    return properties.get(name.removeprefix("properties.")) if isinstance(properties, dict) else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _unreadable(text: str) -> Exception:
    return invalid(f"Invalid filter: '{text[:500]}'.")

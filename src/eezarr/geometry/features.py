"""GeoJSON text, feature by feature: a collection, a list, or features one after another.

Features are parsed one at a time: half a million of them as Python objects would take gigabytes.
Source: https://www.rfc-editor.org/rfc/rfc7946, https://www.rfc-editor.org/rfc/rfc8142
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["GEOMETRIES", "FeatureReader", "is_geojson_text"]

GEOMETRIES = frozenset(
    {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"}
)

_BLANK = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n\x1e\ufeff]*")
"""RFC 8142 puts a record separator before each Feature."""


def is_geojson_text(text: str) -> bool:
    """Return whether a text is GeoJSON itself, rather than the name of a file."""
    start = _BETWEEN.match(text)
    return start is not None and text[start.end() : start.end() + 1] in {"{", "["}


@dataclass(slots=True)
class FeatureReader:
    """Goes through a text object by object, and remembers where each feature starts."""

    text: str
    hint: str
    """What to do about a text that is no GeoJSON."""
    takes_geometries: bool = False
    """Whether a geometry may stand where a feature is expected."""
    source: str = ""
    """The file that the text is from, for messages."""
    starts: list[int] = field(default_factory=list)
    """Where in the text each feature starts."""
    crs: object = None
    """The old-style `crs` member, once the features have been read."""
    _counted: tuple[int, int] = (0, 1)
    """A place in the text, and its line: features are mostly named in order."""
    _decoder: json.JSONDecoder = field(default_factory=lambda: json.JSONDecoder(parse_constant=lambda _: None))

    def row(self, nth: int) -> str:
        """Return how a message calls a feature."""
        return f"feature {nth} (line {self._line(self.starts[nth])})"

    def features(self) -> Iterator[dict[str, object]]:
        """Yield the features in order; a geometry alone is yielded as a feature of it.

        Raises:
            InvalidInput: If the text is no GeoJSON; the message says on which line.
        """
        at = self._skip(0, _BETWEEN)
        while at < len(self.text):
            at = self._skip((yield from self._item(at)), _BETWEEN)

    def _item(self, at: int) -> Generator[dict[str, object], None, int]:
        """One object or list at the top of the text; where it ends."""
        if self.text[at : at + 1] == "[":
            return (yield from self._list(at))
        start, members = at, dict[str, object]()
        at = self._expect("{", at)
        while self.text[at : at + 1] != "}":
            if members:
                at = self._expect(",", at)
            name, at = self._value(at)
            at = self._expect(":", at)
            if name == "features" and self.text[at : at + 1] == "[":
                at = yield from self._list(at)
                members["features"] = None
            else:
                members[str(name)], at = self._value(at)
        feature = self._feature(members)
        if feature is not None:
            self.starts.append(start)
            yield feature
        elif members.get("type") != "FeatureCollection" or "features" not in members:
            raise InvalidInput(f"Line {self._line(start)} starts a {members.get('type')!r}.", hint=self.hint)
        self.crs = members.get("crs", self.crs)
        return at + 1

    def _list(self, at: int) -> Generator[dict[str, object], None, int]:
        at = self._expect("[", at)
        is_first = True
        while self.text[at : at + 1] != "]":
            at = at if is_first else self._expect(",", at)
            is_first = False
            self.starts.append(at)
            item, at = self._value(at)
            feature = self._feature(item)
            if feature is None:
                raise InvalidInput(f"The item in {self.row(len(self.starts) - 1)} is no Feature.", hint=self.hint)
            yield feature
        return self._skip(at + 1, _BLANK)

    def _feature(self, item: object) -> dict[str, object] | None:
        if not isinstance(item, dict):
            return None
        if self.takes_geometries and item.get("type") in GEOMETRIES:
            return {"type": "Feature", "geometry": item}
        return item if item.get("type") == "Feature" else None

    def _value(self, at: int) -> tuple[object, int]:
        try:
            value, end = self._decoder.raw_decode(self.text, at)
        except (ValueError, RecursionError) as error:
            place = error.pos if isinstance(error, json.JSONDecodeError) else at
            raise self._broken(place) from error
        return value, self._skip(end, _BLANK)

    def _expect(self, sign: str, at: int) -> int:
        if self.text[at : at + 1] != sign:
            raise self._broken(at)
        return self._skip(at + 1, _BLANK)

    def _skip(self, at: int, blank: re.Pattern[str]) -> int:
        found = blank.match(self.text, at)
        return found.end() if found else at

    def _broken(self, at: int) -> InvalidInput:
        where = f"near {self.text[at : at + 20]!r}" if at < len(self.text) else "where the file ends"
        of_file = f" of {self.source}" if self.source else ""
        return InvalidInput(f"Line {self._line(at)}{of_file} is no GeoJSON, {where}.", hint=self.hint)

    def _line(self, at: int) -> int:
        place, line = self._counted if self._counted[0] <= at else (0, 1)
        self._counted = at, line + self.text.count("\n", place, at)
        return self._counted[1]

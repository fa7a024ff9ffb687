"""Well-known binary: points, polygons and multipolygons, in either byte order, with or without Z, M and SRID.

Law: no count is trusted: each is checked against the bytes that are left before anything is made of it.
Source: https://www.ogc.org/standard/sfa/ (6.5); for the flags of extended WKB, PostGIS's `doc/ZMSgeoms.txt`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.grid.crs import Points

__all__ = ["NotWkb", "points_of_wkb", "read_wkb"]

_POINT, _POLYGON, _MULTIPOLYGON = 1, 3, 6
_KINDS = {_POINT: "Point", _POLYGON: "Polygon", _MULTIPOLYGON: "MultiPolygon"}
_Z, _M, _SRID = 0x8000_0000, 0x4000_0000, 0x2000_0000

_PLAIN = np.dtype([("order", "u1"), ("kind", "<u4"), ("place", "<f8", (2,))])
"""A little-endian point without Z: what nearly every file of points holds."""


class NotWkb(ValueError):
    """The bytes are no point or area."""


def points_of_wkb(values: Sequence[bytes | None]) -> Points | None:
    """Return the places of plain little-endian points, shape (n, 2); None if one of them is something else."""
    if any(value is None or len(value) != _PLAIN.itemsize for value in values):
        return None
    records = np.frombuffer(b"".join(value for value in values if value), dtype=_PLAIN)
    is_plain = (records["order"] == 1).all() and (records["kind"] == _POINT).all()
    return np.asarray(records["place"], dtype=np.float64) if is_plain else None


def read_wkb(body: bytes) -> dict[str, object]:
    """Return a geometry as GeoJSON has it; the rings of polygons are arrays of shape (n, 2).

    Raises:
        NotWkb: If it is something else, or cut short.
    """
    cursor = _Cursor(body)
    kind, coordinates = cursor.geometry()
    if cursor.at != len(body):
        raise NotWkb(f"{len(body) - cursor.at} bytes are left over")
    return {"type": _KINDS[kind], "coordinates": coordinates}


@dataclass(slots=True)
class _Cursor:
    body: bytes
    at: int = 0

    def geometry(self, wanted: tuple[int, ...] = tuple(_KINDS)) -> tuple[int, object]:
        order = self._whole("B")
        if order > 1:
            raise NotWkb(f"byte order {order}")
        sign = "<" if order else ">"
        code = self._whole(f"{sign}I")
        if code & _SRID:
            self._whole(f"{sign}I")
        kind, extra = (code & 0x0FFF_FFFF) % 1000, (code & 0x0FFF_FFFF) // 1000
        axes = 2 + bool(code & _Z) + bool(code & _M) if not extra else {1: 3, 2: 3, 3: 4}.get(extra, 0)
        if kind not in wanted or not axes:
            raise NotWkb(f"geometry type {code}")
        if kind == _POINT:
            return kind, list(self._take(f"{sign}{axes}d")[:2])
        count = self._whole(f"{sign}I")
        if kind == _POLYGON:
            return kind, [self._ring(sign, axes) for _ in range(self._possible(count, 4))]
        return kind, [self.geometry((_POLYGON,))[1] for _ in range(self._possible(count, 9))]

    def _ring(self, sign: str, axes: int) -> Points:
        count = self._whole(f"{sign}I")
        size = self._possible(count, 8 * axes) * axes
        flat = np.frombuffer(self.body, dtype=f"{sign}f8", count=size, offset=self.at)
        self.at += 8 * size
        return flat.reshape(-1, axes)[:, :2].astype(np.float64)

    def _possible(self, count: int, least_bytes: int) -> int:
        if count * least_bytes > len(self.body) - self.at:
            raise NotWkb(f"{count} parts in {len(self.body) - self.at} bytes")
        return count

    def _whole(self, form: str) -> int:
        return int(self._take(form)[0])

    def _take(self, form: str) -> tuple[float, ...]:
        size = struct.calcsize(form)
        if self.at + size > len(self.body):
            raise NotWkb("it ends too early")
        self.at += size
        return struct.unpack_from(form, self.body, self.at - size)

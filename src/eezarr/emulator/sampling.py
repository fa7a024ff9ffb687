"""Nearest neighbour: which stored pixel answers each pixel of a requested grid.

Law: a requested pixel's centre (PixelIsArea) is taken to the stored grid's CRS, and the stored pixel that holds that
point answers. A point on an edge belongs to the pixel right of and below it; points within 1e-6 pixel of an edge
count as on it, so that float noise in a tile's origin cannot make two tilings of one grid differ. Outside the stored
extent is masked.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyproj
from pyproj.exceptions import ProjError

from eezarr.emulator.raster import EvaluationError, Grid, Plane

if TYPE_CHECKING:
    from eezarr.emulator.texture import Indices

Transform: TypeAlias = tuple[float, float, float, float, float, float]
"""As in `Grid`: (scaleX, shearX, translateX, shearY, scaleY, translateY)."""

Floats64: TypeAlias = npt.NDArray[np.float64]

METRES_PER_DEGREE = 111_319.49079327358
"""What Earth Engine calls a degree's nominal scale (the equator over 360)."""

TIE_PX = 1e-6
"""How near an edge counts as on it."""


MAX_BLOCK_PX = 2**26
"""Most stored pixels read at once."""

REMEMBERED_PX = 2**17
"""Most requested pixels whose places in another CRS are remembered: a block of a request (see `pixels`)."""


class Stored(Protocol):
    """Pixels on a grid of their own."""

    @property
    def grid(self) -> Grid:
        """Answer the pixels' own grid."""
        ...

    @property
    def is_bounded(self) -> bool:
        """Whether pixels outside the grid's width and height do not exist."""
        ...

    @property
    def extent(self) -> tuple[float, float]:
        """Height and width in pixels: those of the grid, or less where the data end within a pixel."""
        ...

    def block(self, rows: Indices, cols: Indices) -> Plane:
        """Answer the pixels at every pair of strictly ascending rows and columns."""
        ...


@lru_cache(maxsize=256)
def crs_of(text: str) -> pyproj.CRS:
    """Answer the CRS of an authority code or WKT; `SR-ORG:6974` is MODIS's sinusoidal.

    Raises:
        EvaluationError: if PROJ does not know it.
    """
    if text.upper() == "SR-ORG:6974":
        text = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
    try:
        return pyproj.CRS.from_user_input(text)
    except ProjError:
        raise EvaluationError(f"Projection: The CRS of a map projection could not be parsed: {text[:80]}") from None


@lru_cache(maxsize=1024)
def is_same_crs(first: str, second: str) -> bool:
    """Answer whether two texts name one CRS."""
    return first == second or crs_of(first) == crs_of(second)


_transformers = threading.local()


def transformer(source: str, target: str) -> pyproj.Transformer:
    """Answer the transformer between two CRSs, x before y; one per thread, because PROJ's contexts are not shared."""
    if not hasattr(_transformers, "known"):
        _transformers.known = {}
    known: dict[tuple[str, str], pyproj.Transformer] = _transformers.known
    if (source, target) not in known:
        known[source, target] = pyproj.Transformer.from_crs(crs_of(source), crs_of(target), always_xy=True)
    return known[source, target]


def projected(source: str, target: str, x: Floats64, y: Floats64) -> tuple[Floats64, Floats64]:
    """Answer places in another CRS, in arrays of the same shape."""
    if x.size != 1:
        moved_x, moved_y = transformer(source, target).transform(x, y)
        return moved_x, moved_y
    # pyproj takes an array of one for a number, which NumPy before 2.4 warns of.
    moved_x, moved_y = transformer(source, target).transform(float(x.item()), float(y.item()))
    return np.full(x.shape, moved_x), np.full(y.shape, moved_y)


@lru_cache(maxsize=1024)
def metres_per_unit(crs: str) -> float:
    """Answer the nominal metres of one unit of a CRS."""
    known = crs_of(crs)
    if known.is_geographic:
        return METRES_PER_DEGREE
    return float(known.axis_info[0].unit_conversion_factor) if known.axis_info else 1.0


def nominal_scale(grid: Grid) -> float:
    """Answer the side of a grid's pixel in nominal metres (the smaller side, if they differ)."""
    a, b, _, d, e, _ = grid.transform
    return min(float(np.hypot(a, d)), float(np.hypot(b, e))) * metres_per_unit(grid.crs)


def inverted(transform: Transform) -> Transform:
    """Answer the transform from CRS (x, y) to pixel (column, row)."""
    a, b, c, d, e, f = transform
    scale = a * e - b * d
    return e / scale, -b / scale, (b * f - c * e) / scale, -d / scale, a / scale, (c * d - a * f) / scale


def moved(transform: Transform, x: Floats64, y: Floats64) -> tuple[Floats64, Floats64]:
    """Answer two coordinates through a transform."""
    a, b, c, d, e, f = transform
    return a * x + b * y + c, d * x + e * y + f


def centres(grid: Grid) -> tuple[Floats64, Floats64]:
    """Answer x and y of every pixel centre in the grid's CRS: two (height, width) float64."""
    a, b, c, d, e, f = grid.transform
    col = np.arange(grid.width)[None, :] + 0.5
    row = np.arange(grid.height)[:, None] + 0.5
    return a * col + b * row + c, d * col + e * row + f


def sample(stored: Stored, grid: Grid) -> Plane:
    """Answer stored pixels on a requested grid, nearest neighbour: see the module's law."""
    aligned = grid.transform[1] == grid.transform[3] == stored.grid.transform[1] == stored.grid.transform[3] == 0
    if aligned and is_same_crs(grid.crs, stored.grid.crs):
        return _sample_aligned(stored, grid)
    find = _places if grid.width * grid.height <= REMEMBERED_PX else _places.__wrapped__
    return _sample_scattered(stored, *find(grid, stored.grid, stored.extent, stored.is_bounded))


@lru_cache(maxsize=8)
def _places(
    grid: Grid, own: Grid, extent: tuple[float, float], is_bounded: bool
) -> tuple[Indices, Indices, npt.NDArray[np.bool_]]:
    """Row and column of each requested pixel among the stored ones, and which exist.

    A collection's images share few grids, so what PROJ was asked for one image answers for the others, too.
    """
    x, y = centres(grid)
    if not is_same_crs(grid.crs, own.crs):
        x, y = projected(grid.crs, own.crs, x, y)
    with np.errstate(invalid="ignore", over="ignore"):
        col, row = moved(inverted(own.transform), x, y)
    rows, row_known = _indices(row, extent[0], is_bounded)
    cols, col_known = _indices(col, extent[1], is_bounded)
    return rows, cols, row_known & col_known


def _indices(places: npt.NDArray[np.floating], size: float, is_bounded: bool) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Pixel indices of places, and which of them exist."""
    known = np.isfinite(places)
    found = np.floor(np.where(known, places, 0.0) + TIE_PX).astype(np.int64)
    if is_bounded:
        known &= (found >= 0) & (places + TIE_PX < size)
    return found, known


def _sample_aligned(stored: Stored, grid: Grid) -> Plane:
    """Rows and columns are independent: index arithmetic on two vectors."""
    a, _, c, _, e, f = grid.transform
    own_a, _, own_c, _, own_e, own_f = stored.grid.transform
    x = c + (np.arange(grid.width) + 0.5) * a
    y = f + (np.arange(grid.height) + 0.5) * e
    height, width = stored.extent
    cols, col_known = _indices(np.asarray((x - own_c) / own_a), width, stored.is_bounded)
    rows, row_known = _indices(np.asarray((y - own_f) / own_e), height, stored.is_bounded)
    if not (col_known.any() and row_known.any()):
        return _nothing((grid.height, grid.width))
    some = _dense(stored, rows[row_known], cols[col_known])
    if row_known.all() and col_known.all():
        return some
    answer = _nothing((grid.height, grid.width), some.values.dtype)
    inside = np.ix_(row_known, col_known)
    answer.values[inside] = some.values
    answer.valid[inside] = some.valid
    return answer


def _dense(stored: Stored, rows: Indices, cols: Indices) -> Plane:
    """The pixels at every pair of rows and columns, in any order, repeated or not."""
    if len(rows) > 1 and bool(np.all(np.diff(rows) > 0)) and bool(np.all(np.diff(cols) > 0)):
        return stored.block(rows, cols)
    own_rows, back_rows = np.unique(rows, return_inverse=True)
    own_cols, back_cols = np.unique(cols, return_inverse=True)
    plane = stored.block(own_rows, own_cols)
    if len(own_rows) == len(rows) == 1 and len(own_cols) == len(cols) and bool(np.all(np.diff(cols) > 0)):
        return plane
    places = np.ix_(back_rows, back_cols)
    return Plane(values=plane.values[places], valid=plane.valid[places])


def _sample_scattered(stored: Stored, rows: Indices, cols: Indices, known: npt.NDArray[np.bool_]) -> Plane:
    """Any pixels: read the rectangle that holds them, or that of each quarter if it would be too large."""
    if not known.any():
        return _nothing(known.shape)
    top, bottom = int(rows[known].min()), int(rows[known].max())
    left, right = int(cols[known].min()), int(cols[known].max())
    area = (bottom - top + 1) * (right - left + 1)
    if area > 8 * known.size + 4096 and known.size > 16:
        return _sample_quarters(stored, rows, cols, known)
    if area > MAX_BLOCK_PX:
        raise EvaluationError(f"Reprojection output too large ({right - left + 1}x{bottom - top + 1} pixels).")
    plane = stored.block(np.arange(top, bottom + 1), np.arange(left, right + 1))
    inside = (np.where(known, rows - top, 0), np.where(known, cols - left, 0))
    return Plane(values=plane.values[inside], valid=plane.valid[inside] & known)


def _sample_quarters(stored: Stored, rows: Indices, cols: Indices, known: npt.NDArray[np.bool_]) -> Plane:
    height, width = known.shape
    axis = 0 if height >= width else 1
    half = known.shape[axis] // 2
    parts = []
    for piece in (slice(None, half), slice(half, None)):
        place = (piece, slice(None)) if axis == 0 else (slice(None), piece)
        parts.append(_sample_scattered(stored, rows[place], cols[place], known[place]))
    values = np.concatenate([part.values for part in parts], axis=axis)
    return Plane(values=values, valid=np.concatenate([part.valid for part in parts], axis=axis))


def _nothing(shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> Plane:
    """A plane that is masked everywhere; its dtype is the caller's to mend."""
    return Plane(values=np.zeros(shape, dtype), valid=np.zeros(shape, np.bool_))

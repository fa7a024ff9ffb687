"""The heights of a whole made-up planet: continents, shelves, ocean floors, mountain ranges.

Law: a height is a pure function of place. Broad forms are noise on the sphere (so there is no seam and no pinched
pole), taken once at nodes half a degree apart and bilinear between them; what is finer is a periodic texture
whose strength the broad forms decide.
Cost: the nodes take about half a second, once a process, when the first height is asked for.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eezarr.emulator.terrain import hashed, ramp
from eezarr.emulator.texture import fractal, look_up

if TYPE_CHECKING:
    from eezarr.emulator.texture import Floats, Indices

NODES_PER_DEGREE = 2

Points = npt.NDArray[np.float64]


def _rotation(seed: int) -> Points:
    """A rotation of space: octaves that are turned against each other leave no axis to be seen."""
    random = np.random.Generator(np.random.PCG64(900 + seed))
    matrix, _ = np.linalg.qr(random.standard_normal((3, 3)))
    return np.asarray(matrix, np.float64)


def _noise(points: Points, frequency: float, seed: int) -> Floats:
    """Value noise in space at (3, n) points, about -1 to 1, smooth; one value at each corner of unit cubes."""
    turned = _rotation(seed) @ points * frequency + 31.7 * (seed + 1)
    cell = np.floor(turned).astype(np.int64)
    t = (turned - cell).astype(np.float32)
    t = t * t * t * (t * (t * 6 - 15) + 10)
    total = np.zeros(points.shape[1], np.float32)
    for x in (0, 1):
        for y in (0, 1):
            for z in (0, 1):
                bits = hashed(cell[0] + x + 7919 * (cell[2] + z), cell[1] + y, 500 + seed)
                weight = (t[0] if x else 1 - t[0]) * (t[1] if y else 1 - t[1]) * (t[2] if z else 1 - t[2])
                total += weight * (bits.astype(np.float32) * np.float32(2.0**-31) - 1)
    return total


def _octaves(points: Points, first: float, count: int, gain: float, seed: int, *, is_ridged: bool = False) -> Floats:
    """Noise summed over octaves, each twice as fine; ridged: sharp crests at 1, valleys towards 0."""
    total, power, amplitude = np.zeros(points.shape[1], np.float32), 0.0, 1.0
    for octave in range(count):
        layer = _noise(points, first * 2.03**octave, seed + octave)
        total += np.float32(amplitude) * ((1 - np.abs(layer) * 1.6) if is_ridged else layer)
        power += amplitude if is_ridged else amplitude**2
        amplitude *= gain
    return np.asarray(total / (power if is_ridged else 0.36 * np.sqrt(power)), np.float32)


@cache
def _nodes() -> tuple[Floats, Floats]:
    """Metres at the nodes, and how much the texture may add; row 0 at the north pole, column 0 at 180 W."""
    lat = np.radians(90 - np.arange(180 * NODES_PER_DEGREE + 1) / NODES_PER_DEGREE)[:, None]
    lon = np.radians(np.arange(360 * NODES_PER_DEGREE) / NODES_PER_DEGREE - 180)[None, :]
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) + 0 * lon
    points = np.stack([x.ravel(), y.ravel(), z.ravel()])
    warp = np.stack([_octaves(points, 2.2, 3, 0.5, 40 + 8 * k) for k in range(3)])
    continents = _octaves(points + 0.11 * warp, 1.15, 6, 0.54, 0)
    ranges = _octaves(points + 0.05 * warp, 3.1, 4, 0.5, 70, is_ridged=True)
    above = continents - np.float32(0.42)
    inland = ramp(above, 0.0, 0.55)
    lowland = 40 + 520 * np.maximum(above, 0) ** 1.3
    mountains = 6200 * ramp(ranges, 0.42, 1.0) ** 1.5 * inland * ramp(_octaves(points, 2.0, 2, 0.5, 90), -0.6, 1.1)
    floor = -160 * ramp(-above, 0.0, 0.1) - 4200 * ramp(-above, 0.08, 0.85) - 500 * ramp(ranges, 0.3, 0.9)
    metres = np.where(above > 0, lowland + mountains, floor * ramp(-above, 0.0, 0.06) - 3)
    roughness = np.where(above > 0, 25 + 60 * inland + 0.09 * mountains, 30 * ramp(-above, 0.02, 0.3))
    shape = (lat.shape[0], lon.shape[1])
    return _closed(metres.reshape(shape)), _closed(roughness.reshape(shape) * np.cos(lat))


def _closed(nodes: npt.NDArray[np.floating]) -> Floats:
    """Append the first column to the last: 180 E is 180 W. One row more serves the cells below the south pole."""
    return np.pad(np.concatenate([nodes, nodes[:, :1]], axis=1), ((0, 1), (0, 1)), mode="edge").astype(np.float32)


def heights(rows: Indices, cols: Indices, pixels_per_degree: int, top: int) -> Floats:
    """Answer metres at the centres of pixels of a lon/lat raster.

    Args:
        rows: (height,) ascending pixel rows.
        cols: (width,) ascending pixel columns, from 180 W.
        pixels_per_degree: a multiple of `NODES_PER_DEGREE`.
        top: latitude of the raster's upper edge, degrees.

    Returns:
        (height, width) float32.
    """
    spacing = pixels_per_degree // NODES_PER_DEGREE
    down, lower = _cells(rows + (90 - top) * pixels_per_degree, spacing)
    across, right = _cells(cols, spacing)
    metres, roughness = (_bilinear(field, down, lower, across, right) for field in _nodes())
    roughness *= look_up(fractal(), rows, cols)
    metres += roughness
    return metres


def _cells(places: Indices, spacing: int) -> tuple[Indices, Floats]:
    """The node before each pixel's centre, and the distance from it in nodes."""
    cell = places // spacing
    return cell, ((places - cell * spacing) + np.float32(0.5)).astype(np.float32) / np.float32(spacing)


def _bilinear(field: Floats, down: Indices, lower: Floats, across: Indices, right: Floats) -> Floats:
    """Interpolate along the rows of nodes first: they are far fewer than rows of pixels."""
    first = int(down[0])
    nodes = field[first : int(down[-1]) + 2]
    expanded = nodes[:, across]
    expanded += (nodes[:, across + 1] - expanded) * right
    answer: Floats = np.take(np.diff(expanded, axis=0), down - first, axis=0)
    answer *= lower[:, None]
    answer += np.take(expanded, down - first, axis=0)
    return answer

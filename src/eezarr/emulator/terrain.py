"""Slow fields of the land: elevation, roughness, fertility, towns, rivers, clouds, as lattices that are interpolated.

Law: node (i, j) of a lattice lies at row 16 i, column 16 j of the global 10 m raster (row 0 on the equator, counted
southward; column 0 at easting 0), and its value is a hash of i, j and a seed, smoothed over several octaves. Between
nodes the fields are bilinear. Nothing depends on which scene asks, so scenes of neighbouring tiles show the same
land.
Cost: a lattice of a whole Sentinel-2 tile is 690 x 690 nodes a field; the last few are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from eezarr.emulator.texture import Floats, Indices

NODE_PX = 16
"""10 m pixels between nodes of a lattice."""

NODE_KM = NODE_PX / 100


def hashed(rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.uint32]:
    """Answer 32 well-mixed bits for each pair of integers (shapes broadcast); murmur3's finalizer."""
    bits = (rows * 0x8DA6B343) ^ (cols * 0xD8163841) ^ (seed * 0xCB1AB31F)
    mixed = (bits & 0xFFFFFFFF).astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed ^= mixed >> np.uint32(shift)
        mixed *= np.uint32(factor)
    return mixed ^ (mixed >> np.uint32(16))


def _spline(nodes: Indices, wavelength: float) -> tuple[Indices, npt.NDArray[np.float64]]:
    """Coarse nodes and the (nodes, coarse) matrix of cubic B-spline weights that smooths them."""
    place = nodes / wavelength
    base = np.floor(place).astype(np.int64)
    coarse = np.arange(base[0] - 1, base[-1] + 3)
    t = (place - base)[:, None]
    weights = (
        np.concatenate([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6.0
    )
    matrix = np.zeros((len(nodes), len(coarse)))
    for k in range(4):
        matrix[np.arange(len(nodes)), base - coarse[0] - 1 + k] = weights[:, k]
    return coarse, matrix


def octaves(seed: int, rows: Indices, cols: Indices, *, longest_km: float, shortest_km: float, gain: float) -> Floats:
    """Answer smooth noise at lattice nodes, summed over octaves.

    Args:
        seed: which noise.
        rows: (height,) consecutive node rows.
        cols: (width,) consecutive node columns.
        longest_km: wavelength of the first octave; each next one is half as long.
        shortest_km: no octave is shorter.
        gain: amplitude of an octave over that of the one before.

    Returns:
        (height, width) float32, about unit variance.
    """
    total = np.zeros((len(rows), len(cols)))
    wavelength, amplitude, power, octave = longest_km / NODE_KM, 1.0, 0.0, 0
    while wavelength * NODE_KM >= shortest_km:
        coarse_rows, across_rows = _spline(rows, wavelength)
        coarse_cols, across_cols = _spline(cols, wavelength)
        bits = hashed(coarse_rows[:, None], coarse_cols[None, :], seed * 64 + octave)
        total += amplitude * (across_rows @ (bits / 2.0**31 - 1.0) @ across_cols.T)
        power += amplitude**2
        wavelength, amplitude, octave = wavelength / 2, amplitude * gain, octave + 1
    return np.asarray(total * (3.6 / np.sqrt(power)), np.float32)


def ramp(field: Floats, low: float, high: float) -> Floats:
    """Answer 0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((field - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lattice:
    """Fields at consecutive nodes; reads any pixels that lie between its first and last."""

    first_row: int
    """Node row of the first row of `fields`."""
    first_col: int
    fields: Floats
    """(field, row, column)."""

    def at(self, field: int, rows: Indices, cols: Indices) -> Floats:
        """Answer one field at every pair of global pixel rows and columns: (height, width) float32, bilinear."""
        top, down = self._cells(rows, self.first_row)
        left, right = self._cells(cols, self.first_col)
        base = int(top[0])
        nodes = self.fields[field, base : int(top[-1]) + 2]
        expanded = nodes[:, left]
        expanded += (nodes[:, left + 1] - expanded) * right
        steps = np.diff(expanded, axis=0)
        answer = np.take(steps, top - base, axis=0)
        answer *= down[:, None]
        answer += np.take(expanded, top - base, axis=0)
        return answer

    def range(self, field: int, rows: Indices, cols: Indices) -> tuple[float, float]:
        """Answer the least and greatest value that `at` can take on these pixels."""
        top, _ = self._cells(rows[[0, -1]], self.first_row)
        left, _ = self._cells(cols[[0, -1]], self.first_col)
        nodes = self.fields[field, int(top[0]) : int(top[1]) + 2, int(left[0]) : int(left[1]) + 2]
        return float(nodes.min()), float(nodes.max())

    def _cells(self, places: Indices, first: int) -> tuple[Indices, Floats]:
        """Lattice cell (from the first node) and the fraction within it, for pixel centres."""
        cell = places // NODE_PX
        fraction = (places - cell * NODE_PX).astype(np.float32)
        fraction += np.float32(0.5)
        fraction *= np.float32(1 / NODE_PX)
        return cell - first, fraction


ELEVATION, HILLS, SLOPES, FERTILITY, TOWNS, RIVERS, HIGHWAYS = range(7)
"""Fields of a ground lattice. Elevation is 0 at the shore and about 1 on the highest hills; rivers and highways are 0
on their line and grow by about 1 in a few kilometres; slopes are sunlight on them minus sunlight on flat ground; the
rest go from 0 (none) to 1."""


def _nodes(first_px: int, count_px: int) -> Indices:
    """The nodes that pixels first_px … first_px + count_px - 1 need."""
    return np.arange(first_px // NODE_PX, (first_px + count_px - 1) // NODE_PX + 2)


def _slopes(rows: Indices, cols: Indices) -> Floats:
    """Sunlight on ridges of 14 km to 600 m, minus sunlight on flat ground."""
    rows, cols = (np.arange(nodes[0] - 1, nodes[-1] + 2) for nodes in (rows, cols))  # differences need neighbours
    height = np.zeros((len(rows), len(cols)), np.float32)
    bend = octaves(9, rows, cols, longest_km=16, shortest_km=1.5, gain=0.5)
    for octave, wavelength_km in enumerate((14.0, 7.0, 3.5, 1.75, 0.9)):
        noise = octaves(10 + octave, rows, cols, longest_km=wavelength_km, shortest_km=wavelength_km, gain=1.0)
        height += np.float32(wavelength_km) * (1 - np.abs(noise + 0.25 * bend))
    east = np.asarray(np.gradient(height, axis=1)) * 0.75
    south = np.asarray(np.gradient(height, axis=0)) * 0.75
    light = (0.757 - 0.50 * east - 0.42 * south) / np.sqrt(1 + east**2 + south**2)
    return np.asarray(np.clip(light / 0.757 - 1.0, -0.6, 0.45), np.float32)[1:-1, 1:-1]


@lru_cache(maxsize=6)
def ground(first_row: int, first_col: int, height_px: int, width_px: int) -> Lattice:
    """Answer the land's lattice for a rectangle of global 10 m pixels."""
    rows, cols = _nodes(first_row, height_px), _nodes(first_col, width_px)
    broad = octaves(7, rows, cols, longest_km=72, shortest_km=0.6, gain=0.54)
    easting_km = (cols * NODE_KM)[None, :]
    northing_km = (-rows * NODE_KM)[:, None]
    shore = np.tanh((easting_km - 517.0 - 10.0 * np.sin(northing_km / 31.0)) / 16.0)
    elevation = (0.62 * shore + 0.40 * broad - 0.10).astype(np.float32)
    rough = octaves(2, rows, cols, longest_km=40, shortest_km=2.5, gain=0.45)
    hills = ramp(elevation + 0.38 * rough, 0.42, 0.92) * ramp(elevation, 0.0, 0.15)
    fertility = ramp(octaves(3, rows, cols, longest_km=20, shortest_km=0.6, gain=0.62) - 0.25 * rough, -1.5, 1.5)
    town_noise = octaves(4, rows, cols, longest_km=24, shortest_km=1.2, gain=0.60)
    towns = ramp(town_noise - 1.2 * hills, 0.3, 2.6)
    rivers = np.abs(octaves(5, rows, cols, longest_km=36, shortest_km=0.6, gain=0.47)) + 0.25 * hills
    highways = np.abs(octaves(6, rows, cols, longest_km=60, shortest_km=12, gain=0.35)) + 0.05 * hills
    lines = [rivers.astype(np.float32), highways.astype(np.float32)]
    fields = np.stack([elevation, hills, _slopes(rows, cols), fertility, towns, *lines])
    return Lattice(first_row=int(rows[0]), first_col=int(cols[0]), fields=fields)


PAGE_NODES = 128
"""Nodes per side of a page of clouds: pages are computed one by one, so that a node never depends on its window."""


@lru_cache(maxsize=512)
def _sky_page(seed: int, down: int, across: int) -> Floats:
    first = np.arange(PAGE_NODES)
    rows, cols = down * PAGE_NODES + first, across * PAGE_NODES + first
    return octaves(1000 + seed, rows, cols, longest_km=45, shortest_km=0.6, gain=0.66)


def sky(seed: int, rows: Indices, cols: Indices) -> Lattice:
    """Answer the cloud field of one overpass (one field, mean 0, variance about 1) around ascending pixels."""
    size = PAGE_NODES * NODE_PX
    down = range(int(rows[0]) // size, (int(rows[-1]) + NODE_PX) // size + 1)
    across = range(int(cols[0]) // size, (int(cols[-1]) + NODE_PX) // size + 1)
    fields = np.block([[_sky_page(seed, p, q) for q in across] for p in down])
    return Lattice(first_row=down[0] * PAGE_NODES, first_col=across[0] * PAGE_NODES, fields=fields[None])


@lru_cache(maxsize=4096)
def cloud_threshold(seed: int, first_row: int, first_col: int, side_px: int, percent: float) -> float:
    """Answer the density above which `percent` of a square of pixels is cloudy, from every eighth node."""
    rows, cols = (np.arange(first // NODE_PX, (first + side_px) // NODE_PX, 8) for first in (first_row, first_col))
    nodes = octaves(1000 + seed, rows, cols, longest_km=45, shortest_km=0.6, gain=0.66)
    return float(np.quantile(nodes, 1 - percent / 100))

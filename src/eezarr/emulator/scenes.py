"""Synthetic Sentinel-2 scenes: what the ground, the clouds and the swath edge are at each 10 m pixel.

Law: a pixel is a function of its place on the global 10 m raster (`terrain`), its band and its scene's date and cloud
cover; no window, order of reading or cache changes it. Coarser bands (20 m, 60 m) are the 10 m value nearest their
centre.
Cost: about 17 ns a pixel for the ground, shared by all scenes of a tile, 1 to 6 ns for what one shows, and 4 ns a band
(measured); arrays of some 100 000 pixels stay in a core's second-level cache, so callers ask for blocks of that size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eezarr.emulator import spectra, terrain, texture

if TYPE_CHECKING:
    from eezarr.emulator.texture import Floats, Indices

SIDE_PX = 10980
"""10 m pixels per side of a Sentinel-2 tile."""

CLOUD_BIT, CIRRUS_BIT = 10, 11
"""Bits of QA60."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swath:
    """The edge of the instrument's swath: pixels on one side of a straight line were seen."""

    row_px: float
    """A point on the line, in 10 m pixels from the tile's corner."""
    col_px: float
    down: float
    """Seen is where down * (row - row_px) + across * (col - col_px) >= 0."""
    across: float

    def sees(self, rows: Indices, cols: Indices) -> npt.NDArray[np.bool_]:
        """Answer which pixels of the tile were seen: (height, width)."""
        down = self.down * (rows + 0.5 - self.row_px)
        across = self.across * (cols + 0.5 - self.col_px)
        return np.asarray(down[:, None] + across[None, :] >= 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """What lies at a block of pixels on every day; read-only."""

    surface: npt.NDArray[np.intp]
    """(height, width) surfaces of `spectra`."""
    relief: Floats | None
    """(height, width) what slopes add to the light; None where no hills are."""
    fine: Floats
    """(height, width) fine structure, about unit variance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """What one scene shows of a block of pixels, before it is told in bands."""

    surface: npt.NDArray[np.intp]
    """(height, width) surfaces of `spectra`."""
    light: Floats
    """(height, width) factor about 1: slopes, roughness, shadows of clouds."""
    cloud: Floats | None
    """(height, width) opacity 0 to 1 of clouds; None where the sky is clear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One overpass of one tile."""

    first_row: int
    """Global 10 m row of the tile's upper left pixel."""
    first_col: int
    overpass: int
    """Names the day: seed of its clouds and of its sensor's noise."""
    day_of_year: int
    cloudy_percent: float
    swath: Swath | None

    def ground(self, rows: Indices, cols: Indices) -> Ground:
        """Answer the ground at every pair of the tile's 10 m rows and columns: the same for all scenes of the tile."""
        rows, cols = rows + self.first_row, cols + self.first_col
        land = terrain.ground(self.first_row, self.first_col, SIDE_PX, SIDE_PX)
        fine = texture.look_up(texture.fractal(), rows, cols)
        surface, hills = _surfaces(land, fine, rows, cols)
        relief = None
        if hills is not None:
            relief = texture.look_up(texture.relief(), rows, cols)
            relief *= np.float32(0.8)
            relief += land.at(terrain.SLOPES, rows, cols)
            relief *= hills
        for part in (surface, relief, fine):
            if part is not None:
                part.flags.writeable = False
        return Ground(surface=surface, relief=relief, fine=fine)

    def view(self, ground: Ground, rows: Indices, cols: Indices) -> View:
        """Answer the ground and the sky over it, at the same rows and columns."""
        rows, cols = rows + self.first_row, cols + self.first_col
        light = texture.look_up(texture.speckle(), rows + 7 * self.overpass, cols)
        light *= np.float32(0.045)
        light += np.float32(1.0)
        if ground.relief is not None:
            light += ground.relief
        shadow = self._clouds(None, rows + 38, cols + 31)
        if shadow is not None:
            light *= 1 - np.float32(0.55) * shadow
        cloud = self._clouds(ground.fine, rows, cols)
        return View(surface=ground.surface, light=light, cloud=cloud)

    def reflectance(self, view: View, band: str, rows: Indices, cols: Indices) -> npt.NDArray[np.uint16]:
        """Answer a band, reflectance x 10 000: (height, width) uint16, at least 1."""
        index = spectra.BANDS.index(band)
        palette = spectra.colours(self.day_of_year)[index]
        values = np.take(palette, view.surface, mode="clip")
        values *= view.light
        if view.cloud is not None:
            white = view.cloud * np.float32(0.35 * spectra.CLOUD[index])
            white += np.float32(0.65 * spectra.CLOUD[index])
            white -= values
            white *= view.cloud
            values += white
        shift = 131 * index + 17 * self.overpass
        noise = texture.look_up(texture.grain(), rows + (self.first_row + shift), cols + (self.first_col + 3 * shift))
        noise *= np.float32(0.5 if band == "B10" else 13.0)
        values += noise
        np.maximum(values, np.float32(1), out=values)
        return values.astype(np.uint16)

    def cloud_bits(self, view: View) -> npt.NDArray[np.uint16]:
        """Answer the QA60 mask: bit 10 opaque cloud, bit 11 cirrus: (height, width) uint16."""
        if view.cloud is None:
            return np.zeros(view.surface.shape, np.uint16)
        opaque = view.cloud > 0.25
        thin = (view.cloud > 0.0) & ~opaque
        return np.asarray(opaque * 2**CLOUD_BIT + thin * 2**CIRRUS_BIT, np.uint16)

    def scene_classes(self, view: View) -> npt.NDArray[np.uint8]:
        """Answer the SCL band: 4 vegetation, 5 bare, 6 water, 3 shadow, 8 and 9 cloud: (height, width) uint8."""
        classes = np.full(view.surface.shape, 5, np.uint8)
        classes[view.surface < spectra.SAND] = 6
        classes[(view.surface >= spectra.WILD + 12) & (view.surface < spectra.FARM)] = 4
        classes[(view.surface >= spectra.FARM) & (view.surface < spectra.TOWN)] = 4
        classes[view.light < 0.5] = 3
        if view.cloud is not None:
            classes[view.cloud > 0.0] = 8
            classes[view.cloud > 0.6] = 9
        return classes

    def _clouds(self, fine: Floats | None, rows: Indices, cols: Indices) -> Floats | None:
        """Opacity of clouds at global rows and columns; without `fine`, the soft edges of a shadow."""
        if self.cloudy_percent <= 0:
            return None
        seed, corner = self.overpass, (self.first_row, self.first_col)
        threshold = terrain.cloud_threshold(seed, *corner, SIDE_PX, self.cloudy_percent)
        sky = terrain.sky(seed, rows, cols)
        if sky.range(0, rows, cols)[1] + 0.6 < threshold:
            return None
        density = sky.at(0, rows, cols)
        if fine is not None:
            density += np.float32(0.12) * fine
        density -= np.float32(threshold)
        density *= np.float32(2.2)
        return np.clip(density, 0.0, 0.97, out=density)


def _surfaces(
    land: terrain.Lattice, fine: Floats, rows: Indices, cols: Indices
) -> tuple[npt.NDArray[np.intp], Floats | None]:
    """Surfaces at global rows and columns, and how hilly each pixel is (None: nowhere)."""
    low, high = land.range(terrain.ELEVATION, rows, cols)
    height = land.at(terrain.ELEVATION, rows, cols)
    height += np.float32(0.0075) * fine
    if high < -0.06:
        return _water(height), None
    surface = _land(land, fine, height, rows, cols)
    hills = land.at(terrain.HILLS, rows, cols) if land.range(terrain.HILLS, rows, cols)[1] > 0 else None
    if low < 0.06:
        np.copyto(surface, spectra.SAND, where=height < np.float32(0.006))
        np.copyto(surface, _water(height), where=height < 0)
    return surface, hills


def _water(height: Floats) -> npt.NDArray[np.intp]:
    """Water surfaces, by depth."""
    level = height * np.float32(60) + np.float32(spectra.WATER_LEVELS - 0.5)
    np.clip(level, 0, spectra.WATER_LEVELS - 1, out=level)
    return level.astype(np.intp)


def _land(land: terrain.Lattice, fine: Floats, height: Floats, rows: Indices, cols: Indices) -> npt.NDArray[np.intp]:
    """Surfaces of the land, as if nothing lay under water."""
    fertility = land.at(terrain.FERTILITY, rows, cols)
    level = fertility * np.float32(20)
    level += fine * np.float32(6.5)
    level += height * np.float32(10)
    np.clip(level, 0, spectra.WILD_LEVELS - 1, out=level)
    surface = level.astype(np.intp)
    surface += spectra.WILD
    hills = land.at(terrain.HILLS, rows, cols)
    flat = hills + np.float32(0.03) * fine < np.float32(0.12)
    if flat.any():
        fields = texture.look_up(texture.parcels(), rows, cols) + _districts(rows, cols)
        np.copyto(surface, fields, where=flat & (fertility > np.float32(0.10)))
    if land.range(terrain.TOWNS, rows, cols)[1] > 0:
        density = land.at(terrain.TOWNS, rows, cols)
        density += np.float32(0.12) * fine
        # Parks, fine >= 1.1, also bound what `fine` adds: without a town nearby density stays below 0.14.
        houses = texture.look_up(texture.streets(), rows, cols).astype(np.intp)
        houses += spectra.TOWN
        np.copyto(surface, houses, where=(density > np.float32(0.35)) & (fine < np.float32(1.1)))
    _lines(surface, land, fine, rows, cols)
    return surface


def _districts(rows: Indices, cols: Indices) -> npt.NDArray[np.intp]:
    """First surface of the farmland at each pixel: each repeat of the texture of parcels has other crops."""
    down, across = rows // texture.PERIOD, cols // texture.PERIOD
    squares = terrain.hashed(np.arange(down[0], down[-1] + 1)[:, None], np.arange(across[0], across[-1] + 1), 51)
    kinds = squares.astype(np.intp) % spectra.FARM_LEVELS * (texture.CROPS + 2) + spectra.FARM
    return kinds[np.ix_(down - down[0], across - across[0])]


def _lines(surface: npt.NDArray[np.intp], land: terrain.Lattice, fine: Floats, rows: Indices, cols: Indices) -> None:
    """Draw highways and rivers over the land."""
    if land.range(terrain.HIGHWAYS, rows, cols)[0] < 0.01:
        np.copyto(surface, spectra.HIGHWAY, where=land.at(terrain.HIGHWAYS, rows, cols) < np.float32(0.0022))
    if land.range(terrain.RIVERS, rows, cols)[0] < 0.08:
        distance = land.at(terrain.RIVERS, rows, cols)
        distance += np.float32(0.004) * fine
        np.copyto(surface, spectra.WILD + 26, where=distance < np.float32(0.016))
        np.copyto(surface, spectra.RIVER, where=distance < np.float32(0.007))

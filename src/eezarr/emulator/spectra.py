"""Reflectance of surfaces in the bands of Sentinel-2, by day of the year.

A surface is a small integer (see the constants). Its reflectance x 10 000 at the top of the atmosphere is mixed from
a few materials; plants green and dry with the season, each crop with its own calendar. Values are of the size that the
Quickstart prints for water (899, 586, 351, 189 in B2, B3, B4, B8) and that clear Californian scenes show for the rest.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from eezarr.emulator.texture import CROPS, ROOFS, Floats

BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")

_MATERIALS = {
    "deep water": (1180, 880, 570, 335, 290, 240, 220, 185, 160, 70, 12, 60, 40),
    "shallow water": (1260, 1090, 930, 640, 560, 400, 360, 290, 250, 110, 12, 90, 60),
    "sand": (1650, 1700, 1960, 2250, 2450, 2600, 2700, 2750, 2800, 900, 15, 3300, 2900),
    "dry grass": (1250, 880, 1170, 1480, 1750, 2050, 2200, 2300, 2450, 800, 15, 3000, 2000),
    "green grass": (1120, 610, 900, 590, 1200, 2700, 3300, 3450, 3600, 1100, 12, 1900, 950),
    "crop": (1080, 530, 830, 420, 1100, 3200, 4000, 4250, 4400, 1300, 12, 1700, 750),
    "forest": (1020, 420, 520, 330, 700, 1700, 2050, 2150, 2300, 700, 12, 1050, 480),
    "soil": (1300, 960, 1210, 1540, 1750, 1950, 2050, 2150, 2250, 750, 15, 2700, 2300),
    "pale soil": (1450, 1260, 1600, 1980, 2150, 2300, 2400, 2500, 2600, 850, 15, 3100, 2600),
    "asphalt": (1330, 1130, 1080, 1060, 1120, 1180, 1220, 1270, 1320, 440, 15, 1450, 1250),
    "roof": (1750, 1700, 1720, 1800, 1900, 2000, 2050, 2120, 2150, 720, 18, 2300, 2000),
    "white roof": (2600, 2650, 2700, 2750, 2850, 2950, 3000, 3050, 3100, 1000, 25, 3000, 2700),
}

WATER, WATER_LEVELS = 0, 16
"""Surfaces 0 (deep) … 15 (shallow)."""
SAND = 16
WILD, WILD_LEVELS = 17, 32
"""Wild land, from bare and dry to closed forest."""
FARM, FARM_LEVELS = WILD + WILD_LEVELS, 8
"""Farmland: (CROPS + 2) surfaces for each of 8 kinds of district."""
TOWN = FARM + FARM_LEVELS * (CROPS + 2)
"""Town: ROOFS + 2 surfaces."""
RIVER = TOWN + ROOFS + 2
HIGHWAY = RIVER + 1
SURFACES = HIGHWAY + 1

CLOUD = np.array((5600, 5500, 5350, 5400, 5500, 5600, 5650, 5700, 5700, 2600, 300, 4300, 3500), np.float32)
"""(13,): what a thick cloud reflects in each band, x 10 000."""


def _mix(*parts: tuple[str, float]) -> npt.NDArray[np.float64]:
    """(13,) weighted mean of materials."""
    total = sum(share for _, share in parts)
    answer = np.zeros(len(BANDS))
    for name, share in parts:
        answer += np.array(_MATERIALS[name]) * (share / total)
    return answer


def _greenness(day: int, phase: float) -> float:
    """0 (bare) to 1 (full leaf) of a plant whose peak lies `phase` of a year after the first of April."""
    return 0.5 + 0.5 * float(np.cos(2 * np.pi * ((day - 91) / 365.25 - phase)))


def _farm_colours(day: int) -> list[npt.NDArray[np.float64]]:
    random = np.random.Generator(np.random.PCG64(41))
    colours = []
    for district in range(FARM_LEVELS):
        for _ in range(CROPS):
            green = _greenness(day, float(random.normal(0.02 + 0.025 * district, 0.22))) ** 1.5
            pale, dry, bright = float(random.random()), float(random.random()), float(random.normal(1.0, 0.08))
            ground = _mix(("soil", 1 - pale), ("pale soil", pale * 0.7), ("dry grass", 0.9 * dry))
            colours.append(bright * (green * _mix(("crop", 0.8), ("green grass", 0.4)) + (1 - green) * ground))
        colours.append(_mix(("pale soil", 0.6), ("soil", 0.4), ("green grass", 0.4)))
        colours.append(_mix(("soil", 0.6), ("dry grass", 0.4)))
    return colours


def _town_colours() -> list[npt.NDArray[np.float64]]:
    random = np.random.Generator(np.random.PCG64(42))
    colours = []
    for kind in range(ROOFS):
        white = 1.0 if kind == 0 else 0.0
        garden = 0.2 + float(random.random()) * 1.6
        colours.append(
            _mix(
                ("roof", float(random.random())),
                ("asphalt", 0.5),
                ("white roof", white),
                ("forest", garden),
                ("soil", 0.25),
            )
        )
    return [*colours, _mix(("asphalt", 0.8), ("roof", 0.3)), _mix(("asphalt", 1.0), ("roof", 0.15))]


@lru_cache(maxsize=32)
def colours(day_of_year: int) -> Floats:
    """Answer the reflectance x 10 000 of every surface on a day: (13, SURFACES) float32."""
    table = []
    for level in range(WATER_LEVELS):
        shallow = (level / (WATER_LEVELS - 1)) ** 2
        table.append(_mix(("deep water", 1 - shallow), ("shallow water", shallow)))
    table.append(_mix(("sand", 1.0)))
    spring = _greenness(day_of_year, 0.0)
    for level in range(WILD_LEVELS):
        trees = float(np.clip(level / (WILD_LEVELS - 1) * 1.9 - 0.75, 0.0, 1.0))
        grass = _mix(("green grass", 0.15 + 0.85 * spring), ("dry grass", 1.0 - 0.75 * spring), ("soil", 0.35))
        table.append(trees * _mix(("forest", 1.0)) + (1 - trees) * grass)
    table += [*_farm_colours(day_of_year), *_town_colours()]
    table.append(_mix(("deep water", 0.55), ("shallow water", 0.45), ("forest", 0.25)))
    table.append(_mix(("asphalt", 0.6), ("roof", 0.7)))
    return np.asarray(np.stack(table, axis=1), np.float32)

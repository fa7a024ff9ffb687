"""The Sentinel-2 collections: which overpasses exist, and their metadata.

Two orbits see each tile every ten days, three days apart and seven. Orbit 113 sees tiles whole; the swath of orbit 70
ends inside them, so its scenes have a masked diagonal edge. Cloud cover is drawn per overpass, except in April 2017,
where it is set so that the Quickstart's query answers as the Quickstart prints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from eezarr.emulator.geometry import Geometry, Projection, lonlat
from eezarr.emulator.images import Band, Image, of_dtype
from eezarr.emulator.pixels import Run, StoredPixels
from eezarr.emulator.raster import Grid, Json, Plane
from eezarr.emulator.scenes import SIDE_PX, Scene, Swath
from eezarr.emulator.terrain import hashed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eezarr.emulator.scenes import View
    from eezarr.emulator.texture import Indices

L1C, L2A = "COPERNICUS/S2", "COPERNICUS/S2_SR_HARMONIZED"
CRS = "EPSG:32610"

TILES = {
    "T10SEG": (499_980, 4_200_000),
    "T10SFG": (600_000, 4_200_000),
    "T10SEH": (499_980, 4_300_020),
    "T10SFH": (600_000, 4_300_020),
}
"""Outer upper left corner of each tile, metres: around San Francisco Bay, and the place of the computation guide."""

APRIL_2017 = {7: 61.2482, 10: 38.9071, 17: 97.3355, 20: 4.3166, 27: 22.8143, 30: 0.0}
"""Cloud cover by day, per cent: as the Quickstart prints for the 20th and 30th of T10SEG, more than 10 for the rest."""

_SIZES = {"B1": 60, "B9": 60, "B10": 60, "QA60": 60, "QA20": 20, "QA10": 10, "SCL": 20, "AOT": 10, "WVP": 10}
_SIZES |= dict.fromkeys(("B2", "B3", "B4", "B8"), 10) | dict.fromkeys(("B5", "B6", "B7", "B8A", "B11", "B12"), 20)

L1C_BANDS = (
    "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12", "QA10", "QA20", "QA60",
)  # fmt: skip
_CORRECTED = tuple(name for name in L1C_BANDS if name[0] == "B" and name != "B10")
L2A_BANDS = (*_CORRECTED, "AOT", "WVP", "SCL", "QA10", "QA20", "QA60")
_DTYPES = {"QA20": "uint32", "SCL": "uint8"}

_VERSION = 1_508_000_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Overpass:
    """One tile seen from one orbit on one day."""

    tile: str
    day: date
    orbit: int
    cloudy_percent: float

    @property
    def start(self) -> datetime:
        """When the instrument saw it."""
        hour, minute, second = (18, 49, 21) if self.day == date(2017, 4, 20) or self.orbit == 70 else (19, 3, 51)
        return datetime(self.day.year, self.day.month, self.day.day, hour, minute, second, tzinfo=UTC)

    @property
    def index(self) -> str:
        """The asset's own name, as the collection lists it."""
        generated = self.start if self.start.hour == 19 else self.start + timedelta(minutes=12, seconds=42)
        return f"{self.start:%Y%m%dT%H%M%S}_{generated:%Y%m%dT%H%M%S}_{self.tile}"

    @property
    def scene(self) -> Scene:
        """What the pixels show."""
        east, north = TILES[self.tile]
        return Scene(
            first_row=-north // 10,
            first_col=east // 10,
            overpass=self.day.toordinal() % 4096,
            day_of_year=self.day.timetuple().tm_yday,
            cloudy_percent=self.cloudy_percent,
            swath=self.swath,
        )

    @property
    def swath(self) -> Swath | None:
        """The edge of orbit 70, which crosses each tile from north-north-east to south-south-west."""
        if self.orbit != 70:
            return None
        shift = 350.0 * math.sin(self.day.toordinal())
        return Swath(row_px=SIDE_PX / 2, col_px=0.40 * SIDE_PX + shift, down=0.2079, across=0.9781)

    @property
    def geometry(self) -> Geometry:
        """The footprint in lon/lat: the tile, or what of it the swath covers."""
        east, north = TILES[self.tile]
        corners = _seen([(0.0, 0.0), (SIDE_PX, 0.0), (SIDE_PX, SIDE_PX), (0.0, SIDE_PX)], self.swath)
        ring = tuple((col, row) for col, row in [*corners, corners[0]])
        projection = Projection(crs=CRS, transform=(10.0, 0.0, float(east), 0.0, -10.0, float(north)))
        return lonlat(Geometry(type="Polygon", parts=(ring,), projection=projection, is_geodesic=False))


def _seen(corners: list[tuple[float, float]], swath: Swath | None) -> list[tuple[float, float]]:
    """The part of a polygon of (column, row) on the seen side of the swath's edge."""
    if swath is None:
        return corners
    kept = []
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        one = swath.down * (y0 - swath.row_px) + swath.across * (x0 - swath.col_px)
        other = swath.down * (y1 - swath.row_px) + swath.across * (x1 - swath.col_px)
        if one >= 0:
            kept.append((x0, y0))
        if (one >= 0) != (other >= 0):
            t = one / (one - other)
            kept.append((x0 + t * (x1 - x0), y0 + t * (y1 - y0)))
    return kept


def _cloud_cover(tile: str, day: date) -> float:
    """Per cent of the tile under cloud."""
    if (day.year, day.month) == (2017, 4):
        percent: float = APRIL_2017[day.day]
        return percent if tile == "T10SEG" or percent == 0 else round(percent * 0.9 + 3 * (tile == "T10SFG"), 4)
    bits = hashed(np.array([day.toordinal()]), np.array([list(TILES).index(tile) // 9]), 77)
    share = float(bits[0]) / 2**32
    season = 0.55 if 5 <= day.month <= 10 else 1.0
    clear_share = 0.12
    return round(100 * season * math.pow(max(0.0, share - clear_share) / (1 - clear_share), 1.8), 4)


def overpasses(first: date, last: date) -> Iterator[Overpass]:
    """Yield the overpasses from the first to before the last day, in order of time and tile."""
    anchors = {113: date(2017, 4, 30).toordinal(), 70: date(2017, 4, 27).toordinal()}
    for ordinal in range(first.toordinal(), last.toordinal()):
        for orbit, anchor in anchors.items():
            if (ordinal - anchor) % 10 == 0:
                day = date.fromordinal(ordinal)
                for tile in sorted(TILES):
                    yield Overpass(tile=tile, day=day, orbit=orbit, cloudy_percent=_cloud_cover(tile, day))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SceneBand:
    """One band of a scene, as stored pixels."""

    scene: Scene
    band: str
    grid: Grid
    size: int
    """10 m pixels per side of this band's pixels."""

    def block(self, rows: Indices, cols: Indices, run: Run) -> Plane:
        """Answer pixels; the view of the ground is shared by the scene's bands of one pixel size."""
        own_rows, own_cols = rows * self.size + self.size // 2, cols * self.size + self.size // 2
        swath = self.scene.swath
        shape = (len(rows), len(cols))
        valid = np.ones(shape, np.bool_) if swath is None else swath.sees(own_rows, own_cols)
        dtype = _DTYPES.get(self.band, "uint16")
        if self.band in ("QA10", "QA20") or not valid.any():
            return Plane(values=np.zeros(shape, dtype), valid=valid)
        view = self._view(own_rows, own_cols, run)
        if self.band == "QA60":
            return Plane(values=self.scene.cloud_bits(view), valid=valid)
        if self.band == "SCL":
            return Plane(values=self.scene.scene_classes(view), valid=valid)
        source = {"AOT": "B1", "WVP": "B9"}.get(self.band, self.band)
        return Plane(values=self.scene.reflectance(view, source, own_rows, own_cols), valid=valid)

    def _view(self, rows: Indices, cols: Indices, run: Run) -> View:
        """What the scene shows at 10 m rows and columns; what is there on every day is found once a run."""
        scene, places = self.scene, (rows.tobytes(), cols.tobytes())
        key = (scene, *places)
        if key not in run.views:
            corner = (scene.first_row, scene.first_col, *places)
            if corner not in run.grounds:
                run.grounds[corner] = scene.ground(rows, cols)
            run.views[key] = scene.view(run.grounds[corner], rows, cols)
        return run.views[key]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """The footprint of a scene's band: 1 where the instrument saw."""

    of: SceneBand

    @property
    def grid(self) -> Grid:
        """Answer the pixels' own grid."""
        return self.of.grid

    def block(self, rows: Indices, cols: Indices, run: Run) -> Plane:
        """Answer ones, masked where nothing was seen."""
        del run
        size, swath = self.of.size, self.of.scene.swath
        values = np.ones((len(rows), len(cols)), np.uint8)
        seen = values > 0 if swath is None else swath.sees(rows * size + size // 2, cols * size + size // 2)
        return Plane(values=values, valid=seen)


def _band(overpass: Overpass, scene: Scene, name: str) -> Band:
    east, north = TILES[overpass.tile]
    metres = _SIZES[name]
    side = SIDE_PX * 10 // metres
    transform = (float(metres), 0.0, float(east), 0.0, -float(metres), float(north))
    grid = Grid(crs=CRS, transform=transform, width=side, height=side)
    stored = SceneBand(scene=scene, band=name, grid=grid, size=metres // 10)
    kind = of_dtype(_DTYPES.get(name, "uint16"))
    policy = "MEAN" if name.startswith("B") or name in ("AOT", "WVP") else "MODE" if name == "SCL" else "SAMPLE"
    return Band(
        id=name,
        type=kind,
        pixels=StoredPixels(stored=stored, dtype=kind.dtype, policy=policy),
        grid=grid,
        is_bounded=True,
        footprint=StoredPixels(stored=_Seen(of=stored), dtype="uint8", policy="SAMPLE"),
        pyramiding=policy,
        sentinel=0.0,
    )


def _properties(overpass: Overpass, collection: str) -> dict[str, Json]:
    start = overpass.start
    milliseconds = int(start.timestamp() * 1000)
    level = "L1C" if collection == L1C else "L2A"
    craft = "S2A" if overpass.orbit == 113 or overpass.day.year == 2017 else "S2B"
    orbit, stamp = f"R{overpass.orbit:03d}", f"{start:%Y%m%dT%H%M%S}"
    return {
        "CLOUDY_PIXEL_PERCENTAGE": overpass.cloudy_percent or 0,
        "CLOUD_COVERAGE_ASSESSMENT": overpass.cloudy_percent or 0,
        "DATASTRIP_ID": f"S2A_OPER_MSI_{level}_DS_SGS__{stamp}_S{stamp}_N02.05",
        "DATATAKE_IDENTIFIER": f"G{craft}_{stamp}_{overpass.day.toordinal() - 726000:06d}_N02.05",
        "GENERATION_TIME": milliseconds + 3_600_000,
        "GRANULE_ID": f"{level}_{overpass.tile}_A{overpass.day.toordinal() - 726000:06d}_{stamp}",
        "MEAN_SOLAR_AZIMUTH_ANGLE": 146.0 + 12.0 * math.cos(overpass.day.timetuple().tm_yday / 58.1),
        "MEAN_SOLAR_ZENITH_ANGLE": 40.0 + 20.0 * math.cos(overpass.day.timetuple().tm_yday / 58.1),
        "MGRS_TILE": overpass.tile[1:],
        "PROCESSING_BASELINE": "02.05",
        "PRODUCT_ID": f"{craft}_MSI{level}_{stamp}_N0205_{orbit}_{overpass.tile}_{stamp}",
        "REFLECTANCE_CONVERSION_CORRECTION": round(1 + 0.0334 * math.cos(overpass.day.timetuple().tm_yday / 58.1), 12),
        "SENSING_ORBIT_DIRECTION": "DESCENDING",
        "SENSING_ORBIT_NUMBER": overpass.orbit,
        "SPACECRAFT_NAME": "Sentinel-2A" if craft == "S2A" else "Sentinel-2B",
        "system:index": overpass.index,
        "system:time_start": milliseconds,
        "system:time_end": milliseconds,
    }


def image_of(overpass: Overpass, collection: str) -> Image:
    """Answer the image of an overpass in a collection."""
    names = L1C_BANDS if collection == L1C else L2A_BANDS
    scene = overpass.scene
    identifier = f"{collection}/{overpass.index}"
    return Image(
        bands=tuple(_band(overpass, scene, name) for name in names),
        properties={**_properties(overpass, collection), "system:id": identifier},
        id=identifier,
        version=_VERSION + overpass.day.toordinal(),
        geometry=overpass.geometry,
    )

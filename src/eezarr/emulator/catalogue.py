"""The assets that exist, by name, as the REST API describes them.

A name is `projects/P/assets/ID`; public assets belong to `earthengine-public`, and an id that does not start with
`projects/` or `users/` is one of theirs. An id of `users/…` belongs to `earthengine-legacy`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from eezarr.emulator import globes, sentinel2
from eezarr.emulator.files import open_file
from eezarr.emulator.raster import AssetExists, AssetNotFound, Json
from eezarr.emulator.stored import image_of_files
from eezarr.emulator.values import Collection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.images import Band, Image
    from eezarr.emulator.raster import StoredImage

PUBLIC, LEGACY = "projects/earthengine-public/assets/", "projects/earthengine-legacy/assets/"

FOLDERS = ("COPERNICUS", "LANDSAT", "NOAA", "NOAA/NGDC", "USGS")
"""Public folders; LANDSAT is empty."""

PERIODS = {
    sentinel2.L1C: ((date(2017, 1, 1), date(2018, 1, 1)), (date(2020, 1, 1), date(2021, 1, 1))),
    sentinel2.L2A: ((date(2020, 1, 1), date(2021, 1, 1)),),
}
"""Days that each collection covers, the last excluded."""


def asset_name(identifier: str) -> str:
    """Answer the full name of an id or a name, as the official client does."""
    parts = identifier.strip("/").split("/")
    if parts[0] == "projects" and len(parts) > 2 and parts[2] == "assets":
        return "/".join(parts)
    return (LEGACY if parts[0] in ("users", "projects") else PUBLIC) + "/".join(parts)


def asset_id(name: str) -> str:
    """Answer the id of a name: without the prefix of public and legacy assets."""
    return name.removeprefix(PUBLIC).removeprefix(LEGACY)


@cache
def sentinel2_images(collection: str) -> Mapping[str, Image]:
    """Answer the images of a Sentinel-2 collection by index, in order of time."""
    answer = {}
    for first, last in PERIODS[collection]:
        for overpass in sentinel2.overpasses(first, last):
            answer[overpass.index] = sentinel2.image_of(overpass, collection)
    return answer


def _rfc3339(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    fraction = f".{moment.microsecond:06d}".rstrip("0").rstrip(".") if moment.microsecond else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _nonzero(entries: Mapping[str, float]) -> dict[str, Json]:
    """Numbers by name without the zeros, whole ones as integers: what the API's JSON prints."""
    return {name: int(value) if float(value).is_integer() else value for name, value in entries.items() if value != 0}


def grid_json(band: Band) -> dict[str, Json]:
    """Answer a band's grid as `PixelGrid` JSON."""
    a, b, c, d, e, f = band.grid.transform
    names = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
    key = "crsCode" if ":" in band.grid.crs and len(band.grid.crs) < 40 else "crsWkt"
    return {
        key: band.grid.crs,
        "dimensions": {"width": band.grid.width, "height": band.grid.height},
        "affineTransform": _nonzero(dict(zip(names, (a, b, c, d, e, f), strict=True))),
    }


def band_json(band: Band) -> dict[str, Json]:
    """Answer `ImageBand` JSON; zeros are left out, as the API leaves them out."""
    precision = {"float32": "FLOAT", "float64": "DOUBLE"}.get(band.type.dtype, "INT")
    data_type: dict[str, Json] = {"precision": precision}
    if precision == "INT":
        data_type["range"] = _nonzero({"min": band.type.minimum or 0, "max": band.type.maximum or 0})
    return {"id": band.id, "dataType": data_type, "grid": grid_json(band), "pyramidingPolicy": band.pyramiding}


@lru_cache(maxsize=2048)
def image_json(image: Image, name: str) -> dict[str, Json]:
    """Answer an image asset's `EarthEngineAsset` JSON, to be read only: a list asks for hundreds each time."""
    properties = {key: value for key, value in image.properties.items() if not key.startswith("system:time")}
    properties.pop("system:id", None)
    start, end = image.properties.get("system:time_start"), image.properties.get("system:time_end")
    answer: dict[str, Json] = {"type": "IMAGE", "name": name, "id": asset_id(name)}
    answer |= {"properties": properties, "bands": [band_json(band) for band in image.bands]}
    answer["updateTime"] = _rfc3339((image.version or 0) // 1000)
    if isinstance(start, int):
        answer["startTime"] = _rfc3339(start)
        answer["endTime"] = _rfc3339(end if isinstance(end, int) else start)
    answer["geometry"] = image.footprint.geojson()
    pixels = sum(band.grid.width * band.grid.height for band in image.bands if band.is_bounded)
    answer["sizeBytes"] = str(pixels * 2)
    return answer


def _is_root(name: str) -> bool:
    return name.startswith("projects/") and name.endswith("/assets") and name.count("/") == 2


class Catalogue:
    """All assets of a world; it also answers the interpreter's loads."""

    __slots__ = ("_aliases", "_images")

    def __init__(self, files: Mapping[str, Path], aliases: Mapping[str, str]) -> None:
        """Register local files (asset id to path) and other names of assets (id to id)."""
        self._images: dict[str, Image] = {}
        for image in (globes.etopo(), globes.srtm(), globes.mixed()):
            self._images[asset_name(image.id or "")] = image
        for identifier, path in files.items():
            self._images[asset_name(identifier)] = open_file(Path(path), asset_id(asset_name(identifier)))
        self._aliases = {asset_name(alias): asset_name(target) for alias, target in aliases.items()}

    def _resolved(self, identifier: str) -> str:
        name = asset_name(identifier)
        return self._aliases.get(name, name)

    def load_image(self, name: str) -> Image | None:
        """Answer an image by id or name, None if there is none."""
        full = self._resolved(name)
        if full in self._images:
            return self._images[full]
        parent, _, index = asset_id(full).rpartition("/")
        return sentinel2_images(parent).get(index) if parent in PERIODS else None

    def load_collection(self, name: str) -> Collection | None:
        """Answer an image collection by id or name, None if there is none."""
        identifier = asset_id(self._resolved(name))
        if identifier not in PERIODS:
            return None
        images = sentinel2_images(identifier)
        properties: dict[str, Json] = {"title": "Sentinel-2 (synthetic)", "provider": "emulator"}
        return Collection(elements=tuple(images.values()), id=identifier, version=1, properties=properties)

    def put_image(self, name: str, image: StoredImage, *, overwrite: bool) -> None:
        """Make an exported image an asset.

        Raises:
            AssetExists: if there is one of that name, and it is not to be overwritten.
        """
        full = asset_name(name)
        if not overwrite and (full in self._images or self._is_folder(full)):
            raise AssetExists(full)
        self._images[full] = image_of_files(image, asset_id(full))

    def _is_folder(self, name: str) -> bool:
        if name.startswith(PUBLIC):
            return asset_id(name) in FOLDERS
        return _is_root(name) or any(known.startswith(f"{name}/") for known in list(self._images))

    def asset(self, name: str) -> dict[str, Json]:
        """Answer an asset's JSON.

        Raises:
            AssetNotFound: if there is none.
        """
        full = self._resolved(name)
        image = self.load_image(full)
        if image is not None:
            return image_json(image, asset_name(name))
        if asset_id(full) in PERIODS:
            first, last = PERIODS[asset_id(full)][0][0], PERIODS[asset_id(full)][-1][1]
            return {
                "type": "IMAGE_COLLECTION",
                "name": full,
                "id": asset_id(full),
                "startTime": f"{first}T00:00:00Z",
                "endTime": f"{last}T00:00:00Z",
                "properties": {"title": "Sentinel-2 (synthetic)"},
                "updateTime": "2020-12-31T00:00:00Z",
            }
        if self._is_folder(full):
            return {"type": "FOLDER", "name": full, "id": asset_id(full)}
        raise AssetNotFound(f"Asset '{name}' not found.")

    def children(self, name: str) -> list[dict[str, Json]]:
        """Answer the assets directly inside a folder or collection, ordered by name; to be read only.

        Raises:
            AssetNotFound: if there is no such folder or collection.
        """
        full = f"{name}/assets" if name.count("/") == 1 else self._resolved(name)
        identifier = asset_id(full)
        if identifier in PERIODS:
            images = sentinel2_images(identifier)
            return [image_json(images[index], f"{full}/{index}") for index in sorted(images)]
        if not self._is_folder(full):
            raise AssetNotFound(f"Asset '{name}' not found.")
        known = {*self._images, *(PUBLIC + child for child in (*PERIODS, *FOLDERS))}
        below = [child.removeprefix(f"{full}/") for child in known if child.startswith(f"{full}/")]
        # A folder is there as soon as something is in it.
        inside = sorted({f"{full}/{child.partition('/')[0]}" for child in below})
        return [self.asset(child) for child in inside]

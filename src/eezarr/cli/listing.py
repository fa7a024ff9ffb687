"""`eezarr images` and `eezarr info`: what a collection holds, and what an asset is."""

from __future__ import annotations

import itertools
import json
import os
import sys
from typing import TYPE_CHECKING

from eezarr.api.loops import run_to_end
from eezarr.earthengine.places import read_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eezarr.api.service import Service
    from eezarr.earthengine import AssetBand, AssetInfo
    from eezarr.earthengine.listing import ListMethod

__all__ = ["print_images", "print_info"]


def print_images(
    service: Service,
    collection: str,
    *,
    start: str | None,
    end: str | None,
    region: str | None,
    filter_text: str | None,
    properties: tuple[str, ...],
    limit: int | None,
    method: ListMethod,
    as_json: bool,
) -> None:
    """Print the images of a collection as they come: `id : property`, or a JSON list.

    Raises:
        EezarrError: If the collection cannot be listed.
    """
    place = None if region is None else read_place(region)

    async def run() -> None:
        count = 0
        async with service:
            images = service.list_images(
                collection, start=start, end=end, region=place, filter=filter_text, method=method, page_size=limit
            )
            async for image in images:
                if as_json:
                    _write(("[" if count == 0 else ",\n ") + json.dumps(_facts(image)))
                else:
                    values = (_shown(image.properties.get(name)) for name in properties)
                    _write(" : ".join((image.id, *values)) + "\n")
                count += 1
                if count == limit:
                    break
            await images.aclose()  # type: ignore[attr-defined]
        if as_json:
            _write("]\n" if count else "[]\n")

    try:
        run_to_end(run())
    except BrokenPipeError:
        # The reader, such as `head`, has had enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_info(service: Service, asset: str, *, as_json: bool) -> None:
    """Print what an asset is: type, times, bands with types and grids, properties.

    Raises:
        EezarrError: If there is no such asset, or it may not be read.
    """

    async def run() -> AssetInfo:
        async with service:
            return await service.get_asset(asset)

    info = run_to_end(run())
    sys.stdout.write(json.dumps(_facts(info) | {"raw": info.raw}) + "\n" if as_json else "".join(_lines(info)))


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _facts(info: AssetInfo) -> dict[str, object]:
    return {
        "name": info.name,
        "id": info.id,
        "type": info.type,
        "start_time": info.start_time and info.start_time.isoformat(),
        "end_time": info.end_time and info.end_time.isoformat(),
        "bands": [
            {
                "id": band.id,
                "dtype": band.dtype,
                "grid": band.grid and band.grid.to_request(),
                "pyramiding": band.pyramiding,
            }
            for band in info.bands
        ],
        "properties": dict(info.properties),
        "geometry": None if info.geometry is None else dict(info.geometry),
    }


def _lines(info: AssetInfo) -> Iterable[str]:
    yield f"{info.id}\n"
    rows = [("type", info.type), ("start", _shown(info.start_time)), ("end", _shown(info.end_time))]
    yield from (f"{name:<10} {value}\n" for name, value in rows if value != "-")
    yield from _band_lines(info.bands)
    if info.properties:
        yield "properties\n"
        yield from (f"  {name} = {_shown(value)}\n" for name, value in sorted(info.properties.items()))


def _band_lines(bands: tuple[AssetBand, ...]) -> Iterable[str]:
    """One block for bands in a row on the same grid."""
    for grid, group in itertools.groupby(bands, key=lambda band: band.grid):
        members = list(group)
        if grid is None:
            yield "bands without a grid\n"
        else:
            a, b, c, d, e, f = tuple(grid.transform)[:6]
            yield (
                f"bands on {grid.crs[:60]}, {grid.height} rows x {grid.width} columns, "
                f"[{a:.15g}, {b:.15g}, {c:.15g}, {d:.15g}, {e:.15g}, {f:.15g}]\n"
            )
        yield from (f"  {band.id:<12} {band.dtype or 'unknown':<8} {band.pyramiding}\n" for band in members)


def _shown(value: object) -> str:
    return "-" if value is None else str(value)

"""From a checked job to a plan: what the image is, which bands of which types, on which grid.

Everything that can be wrong is found here, with metadata alone: not one pixel is asked for before the plan stands.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from eezarr.api.describing import describe, typed_bands
from eezarr.earthengine import Image
from eezarr.errors import EezarrError, InvalidInput
from eezarr.grid import PixelGrid, Shape2D, crop_native
from eezarr.plan import Budget, LayoutRequest, RequestLimits, make_plan
from eezarr.store import recorded_tiling

if TYPE_CHECKING:
    from eezarr.api.client import Client
    from eezarr.api.describing import DescribedImage
    from eezarr.config import FetchOptions, GridOptions, Job, LimitOptions, PixelJob, StoreOptions
    from eezarr.grid.region import Region
    from eezarr.plan import Band, Plan

__all__ = ["ResolvedJob", "image_of", "plan_for", "resolve", "resolve_pixels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedJob:
    """A job of which nothing is left to find out."""

    image: Image
    """What is read; its bands are named."""
    plan: Plan


async def resolve(job: Job, client: Client, *, is_probing: bool) -> ResolvedJob:
    """Return the job's image and plan, from metadata.

    Args:
        job: What is to be done.
        client: Asks.
        is_probing: Whether one pixel of an expression may be asked for, to learn the types of its bands.

    Raises:
        InvalidInput: If the job cannot be: no such file, an empty region, one outside the asset.
        ServiceRefusal: If the service knows no such asset, band or function.
    """
    described, grid = await resolve_pixels(job, client)
    bands = await typed_bands(client, described, grid, is_probing=is_probing)
    plan = plan_for(described.image, grid, bands, store=job.store, fetch=job.fetch, output=job.output)
    return ResolvedJob(image=described.image, plan=plan)


async def resolve_pixels(job: PixelJob, client: Client) -> tuple[DescribedImage, PixelGrid]:
    """Return the job's image and its grid, from metadata; see `resolve`."""
    image, region = image_of(job), _region(job)
    described = await describe(client, image)
    if job.grid.native is not None:
        return described, _native_grid(described, job.grid, region)
    grid = _own_grid(job.grid, region)
    described.require_overlap(grid)
    return described, grid


def plan_for(
    image: Image,
    grid: PixelGrid,
    bands: tuple[Band, ...],
    *,
    store: StoreOptions,
    fetch: FetchOptions,
    output: str | None,
) -> Plan:
    """Return the plan of an image on a grid; the store at the output, if it is this plan's, keeps its tiling.

    Raises:
        InvalidInput: If no legal plan exists with these options.
    """
    layout = LayoutRequest(
        kind=store.layout,
        chunk=store.chunk,
        is_sharded=store.shard,
        compressor=store.compressor,
        zarr_format=store.format,
    )
    budget = Budget(concurrency=fetch.max_concurrency, memory_bytes=int(fetch.memory))
    limits = _limits(image.limits, fetch.limits)
    tile = None if fetch.tile == "auto" else Shape2D(*fetch.tile)
    make = partial(make_plan, image_key=image.key, grid=grid, bands=bands, limits=limits, layout=layout, budget=budget)
    plan = make(tile=tile)
    recorded = recorded_tiling(output) if output is not None else None
    return plan if recorded is None or recorded[0] != plan.fingerprint else make(recorded=recorded[1])


def image_of(job: PixelJob) -> Image:
    """Return the image that a job names.

    Raises:
        InvalidInput: If its file cannot be read, or makes no image.
    """
    options = job.image
    if options.asset is not None:
        return Image.asset(options.asset, bands=options.bands, method=options.method)
    if options.expression is not None:
        path = job.beside(options.expression)
        try:
            return Image.expression(path.read_text(encoding="utf-8"), bands=options.bands)
        except OSError as error:
            raise InvalidInput(
                f"The expression {path} cannot be read: {error.strerror or error}.",
                hint="Give a path beside the job file.",
            ) from error
    assert options.python is not None
    return Image.expression(_recipe(job, options.python), bands=options.bands)


def _recipe(job: PixelJob, recipe: str) -> object:
    """Run `file.py:function` and return what it returns."""
    file, _, function = recipe.rpartition(":")
    path = job.folder / file
    spec = importlib.util.spec_from_file_location(path.stem, path) if file and path.is_file() else None
    if spec is None or spec.loader is None:
        raise InvalidInput(
            f"The recipe {recipe!r} names no file beside the job.", hint='Write it as python = "recipes.py:ndvi".'
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return getattr(module, function)()
    except EezarrError:
        raise
    except Exception as error:
        raise InvalidInput(
            f"The recipe {recipe!r} failed: {type(error).__name__}: {error}.",
            hint="It has to run by itself: import ee, call ee.Initialize, and return an ee.Image.",
        ) from error


def _region(job: PixelJob) -> Region | None:
    region = job.grid.region
    if region is None or isinstance(region, tuple):
        return region
    path = job.beside(region)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(
            f"The region {path} cannot be read: {error.strerror or error}.", hint="Give a path beside the job file."
        ) from error
    except ValueError as error:
        raise InvalidInput(f"The region {path} is not JSON: {error}.", hint="Give a GeoJSON file.") from error
    if not isinstance(data, dict):
        raise InvalidInput(f"The region {path} is no GeoJSON object.", hint="Give a GeoJSON geometry or feature.")
    return data


def _own_grid(options: GridOptions, region: Region | None) -> PixelGrid:
    assert options.crs is not None
    if options.transform is not None and options.shape is not None:
        return PixelGrid.of(options.crs, options.transform, options.shape)
    assert region is not None
    return PixelGrid.from_region(
        region,
        crs=options.crs,
        resolution=options.resolution,
        scale=options.scale,
        region_crs=options.region_crs,
        align=options.align,
    )


def _native_grid(described: DescribedImage, options: GridOptions, region: Region | None) -> PixelGrid:
    assert options.native is not None
    native = described.band(options.native).grid
    if native is None:
        raise InvalidInput(f"Band {options.native!r} has no grid of its own.", hint="Give crs and resolution.")
    return crop_native(native, region, options.region_crs)


def _limits(limits: RequestLimits, options: LimitOptions) -> RequestLimits:
    return RequestLimits(
        max_bytes=options.bytes or limits.max_bytes,
        max_side=options.side or limits.max_side,
        max_bands=options.bands or limits.max_bands,
    )

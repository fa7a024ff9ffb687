"""From a checked job to a plan: what the image is, which bands of which types, on which grid.

Everything that can be wrong is found here: before the plan stands one pixel is asked for at most, which tells types.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from eezarr.api.describing import NO_TYPES, describe, learnt_types, limits_of, typed_bands
from eezarr.api.framing import lon_lat_box
from eezarr.api.series import describe_cube, list_series, most_steps, require_one_lattice, series_of
from eezarr.config import ImageOptions
from eezarr.documents import read_text
from eezarr.earthengine import Image
from eezarr.earthengine.collection import Cube
from eezarr.earthengine.scaling import scaled_bands
from eezarr.errors import EezarrError, InvalidInput
from eezarr.grid import Coverage, PixelGrid, Shape2D, crop_native
from eezarr.grid.region import read_region
from eezarr.plan import NO_MASKING, Budget, LayoutRequest, Masking, make_masking, make_plan
from eezarr.store import recorded_tiling
from eezarr.store.layout import check_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eezarr.api.client import Client
    from eezarr.api.describing import DescribedImage
    from eezarr.config import (
        FetchOptions,
        GridOptions,
        Job,
        JobFile,
        MaskOptions,
        OneImage,
        PixelJob,
        StoreOptions,
    )
    from eezarr.earthengine.collection import CommonBands
    from eezarr.earthengine.series import ImageCollection
    from eezarr.earthengine.source import Subject
    from eezarr.grid.region import Region
    from eezarr.plan import Band, Plan

__all__ = [
    "ResolvedJob",
    "bands_of",
    "image_of",
    "masking_of",
    "plan_for",
    "resolve",
    "resolve_pixels",
    "resolve_series",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedJob:
    """A job of which nothing is left to find out."""

    subject: Subject
    """What is read; its bands are named."""
    plan: Plan


async def resolve(job: Job, client: Client, *, is_probing: bool, is_new: bool = False) -> ResolvedJob:
    """Return what a job reads and its plan, from metadata and one pixel.

    Args:
        job: What is to be done.
        client: Asks.
        is_probing: Whether one pixel may be asked for to learn types that metadata foretells.
        is_new: Whether a store that is there will be replaced, so that nothing is learnt from it.

    Raises:
        InvalidInput: If the job cannot be: no such file, an empty region, one outside the asset, images that differ.
        ServiceRefusal: If the service knows no such asset, band or function.
    """
    region = _region(job)
    subject: Subject
    if job.collection is not None and job.collection.group != "all":
        cube, common, grid = await _resolve_cube(job, client, region)
        described = await describe_cube(client, cube, common)
        learnt = await learnt_types(job.output, job.store, cube.key, is_new=is_new, widened=cube.widened)
        bands = await bands_of(client, described, grid, job.mask, is_probing=is_probing, learnt=learnt)
        subject, bands = cube, scaled_bands(bands, common.images)
    else:
        described, grid = await resolve_pixels(job, client, region=region)
        subject = described.image
        learnt = await learnt_types(job.output, job.store, subject.key, is_new=is_new)
        bands = await bands_of(client, described, grid, job.mask, is_probing=is_probing, learnt=learnt)
        bands = bands if described.asset is None else scaled_bands(bands, [described.asset])
    coverage = None if region is None else Coverage.of(region, job.grid.region_crs, grid)
    plan = plan_for(
        subject,
        grid,
        bands,
        store=job.store,
        fetch=job.fetch,
        output=job.output,
        masking=masking_of(job.mask, bands),
        coverage=coverage,
        is_clipped=job.grid.clip and coverage is not None,
    )
    return ResolvedJob(subject=subject, plan=plan)


async def resolve_pixels(
    job: PixelJob, client: Client, *, region: Region | None = None
) -> tuple[DescribedImage, PixelGrid]:
    """Return the one image of a job and its grid, from metadata; see `resolve`. A region that was read is read once."""
    region = _region(job) if region is None else region
    if job.collection is not None:
        if job.collection.group != "all":
            raise InvalidInput(
                f'Of a collection in groups ("{job.collection.group}") there is no one image.',
                hint='Give [collection] group = "all", or an [image].',
            )
        cube, _, grid = await _resolve_cube(job, client, region)
        return await describe(client, _one_image(cube)), grid
    assert job.image is not None, "a job has an image or a collection"
    described = await describe(client, image_of(job.image, job))
    if job.mask.mode != "none":
        if job.image.method == "getPixels":
            raise InvalidInput(
                'method = "getPixels" has no masks.', hint="Leave the method out: computePixels is used for masks."
            )
        described = replace(described, image=described.image.through_computing())
    if job.grid.native is not None:
        return described, _native_grid(described, job.grid, region)
    grid = _own_grid(job.grid, region)
    described.require_overlap(grid)
    return described, grid


async def resolve_series(client: Client, series: ImageCollection, grid: PixelGrid) -> tuple[Cube, CommonBands] | Image:
    """Return the cube of a series on a grid, or, grouped as `all`, the one image of it."""
    cube, common = series.assemble(await list_series(client, series, grid.footprint()))
    return _one_image(cube) if series.group == "all" else (cube, common)


async def _resolve_cube(job: PixelJob, client: Client, region: Region | None) -> tuple[Cube, CommonBands, PixelGrid]:
    assert job.collection is not None
    series = series_of(job.collection)
    if job.grid.native is None:
        grid = _own_grid(job.grid, region)
        cube, common = series.assemble(await list_series(client, series, grid.footprint()))
        return cube, common, grid
    place = None if region is None else lon_lat_box(region, job.grid.region_crs)
    cube, common = series.assemble(await list_series(client, series, place))
    native = require_one_lattice(common.images, job.grid.native, is_cropped=region is not None)
    return cube, common, crop_native(native, region, job.grid.region_crs)


def _one_image(cube: Cube) -> Image:
    return Image(graph=cube.step_expression(cube.steps[0]), bands=cube.bands)


async def bands_of(
    client: Client,
    described: DescribedImage,
    grid: PixelGrid,
    mask: MaskOptions | None,
    *,
    is_probing: bool,
    learnt: Mapping[str, str] = NO_TYPES,
) -> tuple[Band, ...]:
    """Return an image's bands with their types; see `typed_bands`.

    Raises:
        InvalidInput: If a band's type, where that is certain, cannot hold its fill: told before any pixel is asked for.
        EezarrError: What the last attempt of a request failed with.
    """
    if described.bands is not None and described.is_certain:
        masking_of(mask, described.bands)
    return await typed_bands(client, described, grid, is_probing=is_probing, learnt=learnt)


def masking_of(options: MaskOptions | None, bands: Sequence[Band]) -> Masking:
    """Return the masking that a job asks for.

    Raises:
        InvalidInput: If a band's type cannot hold its fill, or a fill is for no band.
    """
    if options is None:
        return NO_MASKING
    return make_masking(options.mode, bands, fill=options.fill, is_shared=not options.per_band)


def plan_for(
    subject: Subject,
    grid: PixelGrid,
    bands: tuple[Band, ...],
    *,
    store: StoreOptions,
    fetch: FetchOptions,
    output: str | None,
    masking: Masking = NO_MASKING,
    coverage: Coverage | None = None,
    is_clipped: bool = False,
) -> Plan:
    """Return the plan of an image or a cube on a grid; the store at the output, if it is this plan's, keeps its tiling.

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
    make = partial(
        make_plan,
        image_key=subject.key,
        grid=grid,
        bands=bands,
        limits=limits_of(subject.limits, fetch.limits),
        layout=layout,
        budget=Budget(concurrency=fetch.max_concurrency, memory_bytes=int(fetch.memory)),
        steps=subject.steps if isinstance(subject, Cube) else None,
        max_steps=_most_steps(subject, bands, masking, fetch) if isinstance(subject, Cube) else None,
        masking=masking,
        coverage=coverage,
        is_clipped=is_clipped,
    )
    plan = make(tile=None if fetch.tile == "auto" else Shape2D(*fetch.tile))
    _check_size(plan, fetch)
    if output is not None:
        check_names(plan)
    recorded = recorded_tiling(output) if output is not None else None
    return plan if recorded is None or recorded[0] != plan.lineage else make(recorded=recorded[1])


def _check_size(plan: Plan, fetch: FetchOptions) -> None:
    """Refuse a job that is larger than anyone means to fetch, such as one of a resolution in the wrong unit."""
    pixels = plan.grid.shape.size * plan.step_count
    if pixels > fetch.max_pixels:
        pixel_bytes = pixels * sum(band.itemsize for band in plan.bands)
        raise InvalidInput(
            f"The job has {plan.grid.height} rows x {plan.grid.width} columns"
            f"{f' x {plan.step_count} time steps' if plan.steps is not None else ''}, {pixels:.3g} pixels a band: "
            f"{plan.tile_count:.3g} tiles, {pixel_bytes / 1e12:.3g} TB; max_pixels is {fetch.max_pixels:.3g}.",
            hint="Check resolution, which is in units of the CRS, and region; or raise max_pixels in [fetch].",
        )


def _most_steps(cube: Cube, bands: tuple[Band, ...], masking: Masking, fetch: FetchOptions) -> int:
    most = most_steps(cube, bands, masking)
    return most if fetch.steps == "auto" else min(most, fetch.steps)


def image_of(options: OneImage, job: JobFile) -> Image:
    """Return the image that a section of a job names.

    Raises:
        InvalidInput: If its file cannot be read, or makes no image.
    """
    bands = options.bands if isinstance(options, ImageOptions) else None
    if options.asset is not None:
        method = options.method if isinstance(options, ImageOptions) else "auto"
        return Image.asset(options.asset, bands=bands, method=method)
    if options.expression is not None:
        text = read_text(job.beside(options.expression), noun="expression", hint="Give a path beside the job file.")
        return Image.expression(text, bands=bands)
    assert options.python is not None
    return Image.expression(_recipe(job, options.python), bands=bands)


def _recipe(job: JobFile, recipe: str) -> object:
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
    return read_region(job.beside(region), job.grid.region_crs)


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

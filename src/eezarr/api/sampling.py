"""From a job of samples to a plan: what is read, of which types, and which images each site has of its own.

Everything that can be wrong is found here: before the plan stands, one pixel at the most is asked for of the image, and
one of the image of labels, which tell types.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from eezarr.api.describing import describe, limits_of
from eezarr.api.matching import match_series
from eezarr.api.overlap import require_overlaps
from eezarr.api.patches import patches_of, place_sites, sites_of
from eezarr.api.resolving import bands_of, image_of, masking_of
from eezarr.api.series import describe_cube, series_of
from eezarr.earthengine import Image
from eezarr.earthengine.sampling import SampledImages
from eezarr.earthengine.series import ImageCollection
from eezarr.errors import ForeignStore, InvalidInput
from eezarr.samples import SampleLayout, SamplePlan
from eezarr.store import recorded_sample_bands

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.api.client import Client
    from eezarr.api.describing import DescribedImage
    from eezarr.api.patches import Patches, PlacedSites
    from eezarr.config import MaskOptions, SamplesJob, SampleStoreOptions
    from eezarr.earthengine.image import ImageLike
    from eezarr.grid import Shape2D
    from eezarr.samples import SiteTable

__all__ = ["ResolvedSamples", "resolve_samples", "resolve_sites"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSamples:
    """Samples of which nothing is left to find out."""

    subject: SampledImages
    """What is read; its bands are named."""
    plan: SamplePlan


async def resolve_samples(
    job: SamplesJob, client: Client, *, is_probing: bool, is_new: bool = False
) -> ResolvedSamples:
    """Return what a job reads and its plan, from its files and from metadata.

    Args:
        job: What is to be done.
        client: Asks.
        is_probing: Whether one pixel may be asked for to learn types that metadata foretells.
        is_new: Whether a store that is there will be replaced, so that nothing is learnt from it.

    Raises:
        InvalidInput: If the job cannot be: no such file, an invalid site, a site outside the image, images that differ.
        ServiceRefusal: If the service knows no such asset, band or function.
    """
    image: Image | ImageCollection
    if job.collection is not None:
        image = series_of(job.collection)
    else:
        assert job.image is not None, "a job has an image or a collection"
        image = image_of(job.image, job)
        if job.image.method == "getPixels" and (job.mask.mode != "none" or job.samples.label_image is not None):
            raise InvalidInput(
                'method = "getPixels" has no masks, and no labels beside pixels.',
                hint="Leave the method out: computePixels is used for them.",
            )
    options = job.samples.label_image
    labels = None
    if options is not None:
        labels = image_of(options, job)
        labels = labels if options.band is None else replace(labels, bands=(options.band,))
    return await resolve_sites(
        client,
        image,
        sites_of(job),
        patches_of(job.samples),
        label_image=labels,
        store=job.store,
        mask=job.mask,
        is_probing=is_probing,
        output=job.output,
        is_new=is_new,
    )


async def resolve_sites(
    client: Client,
    image: ImageLike | ImageCollection,
    sites: SiteTable,
    patches: Patches,
    *,
    label_image: ImageLike | None,
    store: SampleStoreOptions,
    mask: MaskOptions | None,
    is_probing: bool,
    output: str,
    is_new: bool,
) -> ResolvedSamples:
    """Return what samples at some sites read, and their plan; see `resolve_samples`.

    What the store at the output, if there is one that stays, learnt of the same images is not asked again.
    """
    placed = place_sites(sites, patches)
    _check_size(len(placed.rows), patches.size, client.options.max_pixels)
    labels = None if label_image is None else await _described_labels(client, label_image, placed)
    read = await _described(client, image, placed, patches, labels=labels, mask=mask)
    make = partial(
        SamplePlan,
        image_key=read.subject.key,
        sites=placed.sites,
        rows=placed.rows,
        grids=placed.grids,
        layout=_layout(store, patches, len(placed.rows)),
        steps=read.subject.steps,
        has_time=isinstance(image, ImageCollection) and image.group != "all",
        splits=placed.splits,
        split_facts=patches.splits,
        left_out=placed.left_out,
        seed=patches.seed if patches.shuffle else None,
    )
    if read.described.bands is not None and read.described.is_certain:
        foretold = read.described.bands
        make(bands=foretold, masking=masking_of(mask, foretold))  # what it says against them is said before any pixel
    learnt = await _learnt(output, store, read.subject, is_new=is_new)
    bands = await bands_of(
        client, read.described, placed.grids.grid(read.first), mask, is_probing=is_probing, learnt=learnt.bands
    )
    target = None
    if labels is not None:
        grid = placed.grids.grid(0)
        (target,) = await bands_of(client, labels, grid, None, is_probing=is_probing, learnt=learnt.target)
    plan = make(bands=bands, masking=masking_of(mask, bands), target=target)
    _check_size(len(plan), plan.size, client.options.max_pixels, steps=plan.step_count)
    plan.require_legal(limits_of(read.subject.limits, client.options.limits))
    return ResolvedSamples(subject=read.subject, plan=plan)


def _check_size(count: int, size: Shape2D, max_pixels: int, *, steps: int = 1) -> None:
    """Check that a job is not larger than anyone means to fetch."""
    pixels = count * size.size * steps
    if pixels > max_pixels:
        raise InvalidInput(
            f"The job has {count} samples of {size} pixels{f' x {steps} time steps' if steps > 1 else ''}, "
            f"{pixels:.3g} pixels a band, and max_pixels is {max_pixels:.3g}.",
            hint="Check the patch's size and the number of sites; or raise max_pixels in [fetch].",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What samples are read from, before its types are known."""

    subject: SampledImages
    described: DescribedImage
    """The image, or that of the first sample that has one."""
    first: int
    """That sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learnt:
    """Types by band that an earlier run learnt: of the images, and of the image of labels."""

    bands: Mapping[str, str] = field(default_factory=dict)
    target: Mapping[str, str] = field(default_factory=dict)


async def _learnt(output: str, store: SampleStoreOptions, subject: SampledImages, *, is_new: bool) -> _Learnt:
    """Return what the store at the output learnt of the same images; see `learnt_types`."""
    try:
        recorded = await asyncio.to_thread(recorded_sample_bands, output, zarr_format=store.format)
    except ForeignStore:
        if not is_new:
            raise
        recorded = None
    if recorded is None or is_new or recorded[0] != json.loads(json.dumps(subject.describe())):
        return _Learnt()
    _, bands, target = recorded
    types = {band.name: band.dtype for band in bands}
    widened = () if subject.cube is None else subject.cube.widened
    if any(types.get(band.name) != band.dtype for band in widened):
        return _Learnt()
    return _Learnt(bands=types, target={} if target is None else {target.name: target.dtype})


def _layout(store: SampleStoreOptions, patches: Patches, count: int) -> SampleLayout:
    return SampleLayout(
        chunk=patches.size,
        per_shard=min(store.shard, count) if store.shard else None,
        compressor=store.compressor,
        zarr_format=store.format,
    )


async def _described_image(client: Client, image: ImageLike, placed: PlacedSites) -> DescribedImage:
    described = await describe(client, image)
    if described.asset is not None:
        natives = [native for name, _ in described.types if (native := described.band(name).grid) is not None]
        if natives:
            require_overlaps(placed.grids, placed.sites.attributes.ids, natives[0], described.asset.id)
    return described


async def _described_labels(client: Client, image: ImageLike, placed: PlacedSites) -> DescribedImage:
    described = await _described_image(client, image, placed)
    names = [name for name, _ in described.types]
    if len(names) != 1:
        raise InvalidInput(
            f"The image of labels has {len(names)} bands: {', '.join(names[:20])}.",
            hint="Name the one with the labels: band, in [samples.label_image].",
        )
    return described


async def _described(
    client: Client,
    image: ImageLike | ImageCollection,
    placed: PlacedSites,
    patches: Patches,
    *,
    labels: DescribedImage | None,
    mask: MaskOptions | None,
) -> _Read:
    label_image = None if labels is None else labels.image
    if not isinstance(image, ImageCollection):
        one = Image.of(image)
        needs_computing = label_image is not None or (mask is not None and mask.mode != "none")
        described = await _described_image(client, one.through_computing() if needs_computing else one, placed)
        subject = SampledImages(image=described.image, label_image=label_image)
        return _Read(subject=subject, described=described, first=0)
    matched = await match_series(client, image, placed, nearest=patches.nearest, window_days=patches.window_days)
    first = int(np.argmax(matched.steps.counts > 0))
    probed = replace(matched.cube, steps=matched.steps.of(first))
    described = await describe_cube(client, probed, matched.common)
    subject = SampledImages(cube=matched.cube, steps=matched.steps, label_image=label_image)
    return _Read(subject=subject, described=described, first=first)

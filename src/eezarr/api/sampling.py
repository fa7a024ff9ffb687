"""From a job of samples to a plan: what is read, of which types, and which images each site has of its own.

Everything that can be wrong is found here: before the plan stands, one pixel at the most is asked for of the image, and
one of the image of labels, which tell types.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from eezarr.errors import InvalidInput
from eezarr.samples import SampleLayout, SamplePlan

if TYPE_CHECKING:
    from eezarr.api.client import Client
    from eezarr.api.describing import DescribedImage
    from eezarr.api.patches import Patches, PlacedSites
    from eezarr.config import MaskOptions, SamplesJob, SampleStoreOptions
    from eezarr.earthengine.image import ImageLike
    from eezarr.plan import Band
    from eezarr.samples import SampleSteps, SiteTable

__all__ = ["ResolvedSamples", "resolve_samples", "resolve_sites"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSamples:
    """Samples of which nothing is left to find out."""

    subject: SampledImages
    """What is read; its bands are named."""
    plan: SamplePlan


async def resolve_samples(job: SamplesJob, client: Client, *, is_probing: bool) -> ResolvedSamples:
    """Return what a job reads and its plan, from its files and from metadata.

    Args:
        job: What is to be done.
        client: Asks.
        is_probing: Whether one pixel may be asked for to learn types that metadata foretells.

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
) -> ResolvedSamples:
    """Return what samples at some sites read, and their plan; see `resolve_samples`."""
    placed = place_sites(sites, patches)
    mode = "none" if mask is None else mask.mode
    labels, target = None, None
    if label_image is not None:
        labels, target = await _described_labels(client, label_image, placed, is_probing=is_probing)
    steps: SampleSteps | None = None
    if isinstance(image, ImageCollection):
        subject, bands = await _described_series(
            client, image, placed, patches, labels=labels, mask=mask, is_probing=is_probing
        )
        steps = subject.steps
    else:
        one = Image.of(image)
        one = one.through_computing() if mode != "none" or labels is not None else one
        one, bands = await _described_image(client, one, placed, mask, is_probing=is_probing)
        subject = SampledImages(image=one, label_image=labels)
    plan = SamplePlan(
        image_key=subject.key,
        sites=placed.sites,
        rows=placed.rows,
        grids=placed.grids,
        bands=bands,
        layout=_layout(store, patches, len(sites)),
        masking=masking_of(mask, bands),
        steps=steps,
        has_time=isinstance(image, ImageCollection) and image.group != "all",
        target=target,
        splits=placed.splits,
        split_facts=patches.splits,
        seed=patches.seed if patches.shuffle else None,
    )
    plan.require_legal(limits_of(subject.limits, client.options.limits))
    return ResolvedSamples(subject=subject, plan=plan)


def _layout(store: SampleStoreOptions, patches: Patches, count: int) -> SampleLayout:
    return SampleLayout(
        chunk=patches.size,
        per_shard=min(store.shard, count) if store.shard else None,
        compressor=store.compressor,
        zarr_format=store.format,
    )


async def _described_image(
    client: Client, image: ImageLike, placed: PlacedSites, mask: MaskOptions | None, *, is_probing: bool
) -> tuple[Image, tuple[Band, ...]]:
    described = await describe(client, image)
    _require_sites_on(described, placed)
    return described.image, await bands_of(client, described, placed.grids.grid(0), mask, is_probing=is_probing)


async def _described_labels(
    client: Client, image: ImageLike, placed: PlacedSites, *, is_probing: bool
) -> tuple[Image, Band]:
    labels, bands = await _described_image(client, image, placed, None, is_probing=is_probing)
    if len(bands) != 1:
        raise InvalidInput(
            f"The image of labels has {len(bands)} bands: {', '.join(band.name for band in bands[:20])}.",
            hint="Name the one with the labels: band, in [samples.label_image].",
        )
    return labels, bands[0]


def _require_sites_on(described: DescribedImage, placed: PlacedSites) -> None:
    if described.asset is None:
        return
    natives = [native for name, _ in described.types if (native := described.band(name).grid) is not None]
    if natives:
        require_overlaps(placed.grids, placed.sites.attributes.ids, natives[0], described.asset.id)


async def _described_series(
    client: Client,
    series: ImageCollection,
    placed: PlacedSites,
    patches: Patches,
    *,
    labels: Image | None,
    mask: MaskOptions | None,
    is_probing: bool,
) -> tuple[SampledImages, tuple[Band, ...]]:
    matched = await match_series(client, series, placed, nearest=patches.nearest, window_days=patches.window_days)
    first = int(np.argmax(matched.steps.counts > 0))
    probed = replace(matched.cube, steps=matched.steps.of(first))
    grid = placed.grids.grid(first)
    described = await describe_cube(client, probed, matched.common)
    bands = await bands_of(client, described, grid, mask, is_probing=is_probing)
    return SampledImages(cube=matched.cube, steps=matched.steps, label_image=labels), bands

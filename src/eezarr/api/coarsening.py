"""How a store's overviews are made: band by band, as the asset's own pyramid was, where it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eezarr.earthengine import Image
from eezarr.earthengine.collection import Cube
from eezarr.store import resampling_of

if TYPE_CHECKING:
    from eezarr.api.service import Service
    from eezarr.earthengine.source import Subject
    from eezarr.plan import Plan
    from eezarr.store import Resampling

__all__ = ["overview_methods"]


async def overview_methods(
    service: Service, subject: Subject, plan: Plan, wanted: bool | Resampling
) -> dict[str, Resampling] | None:
    """Return how each band's overviews are made, or None if none are wanted.

    One request at the most, and only where the asset's own pyramid decides.

    Args:
        service: Asks for the asset's metadata.
        subject: What is read: an image, or a cube of images that are read as they are.
        plan: Its plan.
        wanted: As the job says.

    Raises:
        EezarrError: If the asset cannot be asked for.
    """
    policies: dict[str, str] = {}
    if wanted is True:
        name = subject.asset_name if isinstance(subject, Image) else None
        if isinstance(subject, Cube) and subject.applied is None:
            name = subject.steps[0].images[0]
        if name is not None:
            asset = await service.get_asset(name)
            policies = {band.id: band.pyramiding for band in asset.bands}
    return resampling_of(wanted, plan.bands, policies)

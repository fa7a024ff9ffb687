"""Thumbnails: a request for pixels under a name of its own, which needs no token to be read.

Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.thumbnails
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eezarr.earthengine.payload import JsonBody
from eezarr.errors import BadBody, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.earthengine.client import EarthEngine

__all__ = ["create_thumbnail", "get_thumbnail"]

_NAME = re.compile(r"projects/[^/?#:\s]+/thumbnails/[^/?#:\s]+")
_MAX_BYTES = 64 << 20


async def create_thumbnail(
    service: EarthEngine, request: Mapping[str, object], *, workload_tag: str | None = None
) -> str:
    """Return the name of a new thumbnail; one attempt.

    The workload tag goes into the query: the message has no such field, and the service rejects unknown ones.

    Args:
        service: Asks.
        request: The body; a `workloadTag` in it goes into the query, too.
        workload_tag: Tag under which usage is reported, instead of the client's.

    Raises:
        EezarrError: `BadBody` if the response names none; else as the transport says.
    """
    document = service.constant | dict(request)
    tag = document.pop("workloadTag", None) if workload_tag is None else workload_tag
    document.pop("workloadTag", None)
    query = {} if tag is None else {"workloadTag": str(tag)}
    path = f"/v1/{service.parent}/thumbnails"
    answer = await service.transport.call_json("POST", path, query=query, body=JsonBody.of(document), is_computed=True)
    name = answer.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadBody("thumbnails.create answered no name.", hint="Check that `api_url` names an Earth Engine.")
    return name


async def get_thumbnail(service: EarthEngine, name: str) -> bytes:
    """Return a thumbnail's pixels; one attempt.

    Raises:
        InvalidInput: If the name is no thumbnail's.
        EezarrError: As the transport says.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name[:200]!r} is no thumbnail.", hint="Give the name that create_thumbnail returned.")
    return await service.transport.receive_bytes(f"/v1/{name}:getPixels", None, max_bytes=_MAX_BYTES)

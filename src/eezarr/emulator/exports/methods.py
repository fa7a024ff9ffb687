"""The REST methods of exports: `image:export`, and `operations` with get, list, wait, cancel and delete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eezarr.emulator import payload, schemas
from eezarr.emulator.call import Body, Call, json_body
from eezarr.emulator.errors import insufficient_scopes, invalid
from eezarr.emulator.exports.request import FileTarget, export_request
from eezarr.emulator.filters import compiled
from eezarr.emulator.listing import paged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eezarr.emulator.exports.office import ExportOffice
    from eezarr.emulator.exports.operation import Operation
    from eezarr.emulator.raster import Json

_SCOPE = "https://www.googleapis.com/auth/"
_WRITING = frozenset({_SCOPE + "earthengine", _SCOPE + "cloud-platform"})
# https://developers.google.com/earth-engine/reference/rest/v1/projects.operations/list: at most 500 are usual.
_MAX_PAGE = 500
_DEFAULT_WAIT_S = 60.0


class ExportMethods:
    """What can be asked of an office over HTTP."""

    def __init__(self, office: ExportOffice) -> None:
        """Ask `office`."""
        self._office = office

    def handlers(self) -> dict[str, Callable[[Call], Awaitable[Body]]]:
        """Answer the methods by the names of their routes."""
        return {
            "image.export": self._export,
            "operations.get": self._get,
            "operations.list": self._list,
            "operations.wait": self._wait,
            "operations.cancel": self._cancel,
            "operations.delete": self._delete,
        }

    async def _export(self, call: Call) -> Body:
        request = export_request(call.name, payload.parsed(call.payload, schemas.EXPORT_IMAGE))
        _require_scopes(call, is_to_drive=isinstance(request.target, FileTarget) and request.target.place == "drive")
        return json_body(self._office.start(request, call.settings).started())

    async def _get(self, call: Call) -> Body:
        return json_body(self._office.get(call.name).info())

    async def _list(self, call: Call) -> Body:
        keep = compiled(call.query.get("filter", ""))
        matching: list[Json] = [each.info() for each in self._office.all(call.name) if keep(_filterable(each))]
        return json_body(paged(matching, call.query, field="operations", max_size=_MAX_PAGE))

    async def _wait(self, call: Call) -> Body:
        timeout = payload.parsed(call.payload, schemas.WAIT).get("timeout")
        seconds = _DEFAULT_WAIT_S if timeout is None else _seconds(str(timeout))
        operation = await self._office.wait(call.name, seconds)
        return json_body(operation.info())

    async def _cancel(self, call: Call) -> Body:
        payload.parsed(call.payload, schemas.NOTHING)
        _require_scopes(call)
        self._office.cancel(call.name)
        return json_body({})

    async def _delete(self, call: Call) -> Body:
        _require_scopes(call)
        self._office.delete(call.name)
        return json_body({})


def _require_scopes(call: Call, *, is_to_drive: bool = False) -> None:
    """Pass a token that may write; one for Drive must say so (since July 2025).

    Raises:
        ApiError: 403.
    """
    if call.scopes is None:
        return
    if not call.scopes & _WRITING or (is_to_drive and _SCOPE + "drive" not in call.scopes):
        raise insufficient_scopes()


def _seconds(duration: str) -> float:
    """Answer a `google.protobuf.Duration`, such as `3.5s`."""
    found = re.fullmatch(r"(-?\d{1,12}(?:\.\d{1,9})?)s", duration)
    if found is None:
        raise invalid(f"Invalid value at 'timeout' (type.googleapis.com/google.protobuf.Duration), \"{duration}\"")
    return float(found[1])


def _filterable(operation: Operation) -> dict[str, Json]:
    """Answer what a filter may name: `done`, and what the metadata hold, with or without `metadata.` before it."""
    info = operation.info()
    metadata = info["metadata"]
    assert isinstance(metadata, dict)
    known = {**metadata, **{f"metadata.{name}": value for name, value in metadata.items()}}
    properties: dict[str, Json] = {**known, "done": str(operation.is_done).lower()}
    return {"name": operation.name, "type": metadata["type"], "properties": properties}

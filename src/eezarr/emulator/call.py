"""One admitted request, and the body that answers it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eezarr.emulator.faults import Fault
    from eezarr.emulator.npy import Part
    from eezarr.emulator.raster import Json
    from eezarr.emulator.routing import Route
    from eezarr.emulator.settings import EmulatorSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, read."""

    route: Route
    name: str
    """The resource in the path."""
    query: dict[str, str]
    payload: bytes
    settings: EmulatorSettings
    fault: Fault
    identity: str
    """What makes two requests the same."""
    attempt: int
    """From 0: how often the same request came before."""
    scopes: frozenset[str] | None
    """Of the token; `None`: tokens are not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What is sent."""

    parts: tuple[Part, ...]
    content_type: str

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(len(part) for part in self.parts)


def json_body(value: Json) -> Body:
    """Answer JSON as a body."""
    data = json.dumps(value, separators=(",", ":")).encode()
    return Body(parts=(data,), content_type="application/json; charset=UTF-8")

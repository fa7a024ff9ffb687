"""Request bodies: JSON encoded once, in pieces that many requests share.

All tiles of a plan send the same expression, up to 10 MiB of it, and differ in their grid. The expression is encoded
once and each request appends its grid: encoding anew costs a third of a core at 100 requests a second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from eezarr.grid import PixelGrid

__all__ = ["MAX_REQUEST_BYTES", "JsonBody", "PixelTemplate"]

MAX_REQUEST_BYTES = 10 << 20
"""The most that the service accepts. Source: https://github.com/gee-community/geemap/issues/1092 (10485760 bytes)."""

_WHOLE_BYTES = 1 << 20
"""Up to this a body is one piece: aiohttp's own limit for a body that it writes at once."""

_SLICE_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A request body, ready to send.

    Raises:
        InvalidInput: If it is longer than the service accepts.
    """

    parts: tuple[bytes, ...]
    """The body in order; a long part may be shared by many bodies."""

    def __post_init__(self) -> None:
        if self.size > MAX_REQUEST_BYTES:
            raise InvalidInput(
                f"The request is {self.size} bytes long; the service accepts {MAX_REQUEST_BYTES}.",
                hint="Make the expression smaller: put large geometries and tables into an asset and load that.",
            )

    @classmethod
    def of(cls, document: Mapping[str, object]) -> JsonBody:
        """Return the body of a JSON object.

        Raises:
            InvalidInput: If it cannot be JSON, or is too long.
        """
        return cls((_encode(document),))

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.parts))

    def data(self) -> bytes | AsyncIterator[bytes]:
        """Return what aiohttp sends: anew for each attempt."""
        return b"".join(self.parts) if self.size <= _WHOLE_BYTES else self._slices()

    async def _slices(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            for start in range(0, len(part), _SLICE_BYTES):
                yield part[start : start + _SLICE_BYTES]


class PixelTemplate:
    """The body of pixel requests that differ in grid and bands only.

    Args:
        constant: What all of them hold: `fileFormat`, `workloadTag`; one field at least.
        expression: Expression text that all of them hold; it goes out as it is.

    Raises:
        InvalidInput: If it cannot be JSON, or is too long already.
    """

    def __init__(self, constant: Mapping[str, object], expression: str | None = None) -> None:
        computed = "" if expression is None else f',"expression":{expression}'
        # Without the closing brace: each body goes on from here.
        self._head = JsonBody((_encode(constant)[:-1] + computed.encode() + b",",)).parts[0]

    def body(self, grid: PixelGrid, bands: Sequence[str] | None) -> JsonBody:
        """Return the body for a grid and bands; None asks for all bands.

        Raises:
            InvalidInput: If it is too long.
        """
        varying = {"grid": grid.to_request()} | ({} if bands is None else {"bandIds": list(bands)})
        return JsonBody((self._head, _encode(varying)[1:]))


def _encode(document: Mapping[str, object]) -> bytes:
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False, default=_as_object).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"The request cannot be written as JSON: {str(error)[:200]}.",
            hint="Use text, finite numbers, booleans, lists and objects with text keys only.",
        ) from error


def _as_object(value: object) -> dict[object, object]:
    """Return a mapping that is no dict, such as a read-only view of one, as JSON's encoder knows it."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{type(value).__name__} is not JSON")
    return dict(value)

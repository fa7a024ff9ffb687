"""Response bodies, received piece by piece into memory of a known size.

Nothing here trusts a length: what is more than the memory holds is refused at the first byte too many, also while it is
being inflated, and a refused body is neither read to its end nor kept.

ISA-L inflates in 3 to 4 CPU seconds a gigabyte, zlib in 4 to 9 (measured, see `benchmarks/stages.py`).
`readany` into a reused buffer costs a fifth of the CPU of `read()`, which joins the pieces into fresh memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
import numpy as np
from isal import isal_zlib

from eezarr.earthengine.direct import receive_directly
from eezarr.errors import BadBody, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from eezarr.earthengine.inflaters import Inflaters

__all__ = ["check_encoding", "receive_bytes", "receive_into", "receive_prefix"]

_Put: TypeAlias = "Callable[[int, bytes], object]"
"""Puts a part of the body away, given the bytes before it."""

_BATCH_BYTES = 1 << 20
"""Compressed bytes inflated at a time: enough that handing them to a thread costs nothing to speak of."""

_PART_BYTES = 8 << 20
"""The most inflated bytes at a time. ISA-L begins with 16 KiB and doubles them, each time with the interpreter's lock:
fewer and larger parts, copied without the lock, leave two cores idle half as long (measured)."""

_GZIP = 16 + isal_zlib.MAX_WBITS
"""What makes a decompressor expect a gzip header."""

_CORRUPT: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # which its stubs take for an instance

_HINT = "If it goes on, check that `api_url` names an Earth Engine and no proxy rewrites bodies."


async def next_piece(response: aiohttp.ClientResponse, *, stall_s: float) -> bytes:
    """Return the bytes of a body that have arrived since, waiting for some; empty at its end.

    Raises:
        TimeoutError: If nothing arrives for `stall_s` seconds.
    """
    # Not aiohttp's `sock_read`: that one also counts the minutes before a computation's first byte.
    async with asyncio.timeout(stall_s):
        return await response.content.readany()


def check_encoding(response: aiohttp.ClientResponse, *, is_gzip_asked: bool) -> bool:
    """Return whether the body is gzip.

    Raises:
        BadBody: If it is encoded in a way that was not asked for.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity" or (encoding == "gzip" and is_gzip_asked):
        return encoding == "gzip"
    raise BadBody(f"The body is encoded as {encoding[:40]!r}, which was not asked for.", hint=_HINT)


async def receive_into(
    response: aiohttp.ClientResponse, view: memoryview, *, inflaters: Inflaters, is_gzip: bool, stall_s: float
) -> int:
    """Receive a body into memory, which nothing writes to any more once this returns or raises.

    Args:
        response: Whose body.
        view: The memory.
        inflaters: Threads that inflate.
        is_gzip: Whether it is compressed.
        stall_s: How long nothing may come.

    Returns:
        Its bytes, inflated.

    Raises:
        BadBody: If it is longer than the memory.
        Unreachable: If it is corrupt gzip.
        TimeoutError: If it stalls.
    """
    memory = np.frombuffer(view, np.uint8)

    def put(start: int, part: bytes) -> None:
        memory[start : start + len(part)] = np.frombuffer(part, np.uint8)  # without the interpreter's lock

    if is_gzip:
        return await _receive_gzip(response, put, inflaters=inflaters, capacity=len(view), stall_s=stall_s)
    length = None if "Transfer-Encoding" in response.headers else response.content_length
    if length is not None:
        _check_stated(length, len(view))
        if await receive_directly(response, view[:length], stall_s=stall_s):
            return length
    return await _receive(response, put, capacity=len(view), stall_s=stall_s)


async def receive_bytes(
    response: aiohttp.ClientResponse, *, inflaters: Inflaters, max_bytes: int, is_gzip: bool, stall_s: float
) -> bytes:
    """Return a body whose length is unknown beforehand; as `receive_into`.

    Raises:
        BadBody: If it is longer than `max_bytes`, inflated.
        Unreachable: If it is corrupt gzip.
        TimeoutError: If it stalls.
    """
    parts: list[bytes] = []
    receive = partial(_receive_gzip, inflaters=inflaters) if is_gzip else _receive
    await receive(response, lambda _, part: parts.append(part), capacity=max_bytes, stall_s=stall_s)
    return b"".join(parts)


async def receive_prefix(response: aiohttp.ClientResponse, *, max_bytes: int, stall_s: float) -> bytes:
    """Return the beginning of an error's body, as far as it can be had: never fails, for the status says enough."""
    text = bytearray()
    with contextlib.suppress(aiohttp.ClientError, OSError):
        while len(text) < max_bytes and (piece := await next_piece(response, stall_s=stall_s)):
            text += piece
    prefix = bytes(text[:max_bytes])
    if response.headers.get("Content-Encoding", "").strip().lower() == "gzip":
        with contextlib.suppress(_CORRUPT):
            return isal_zlib.decompressobj(wbits=_GZIP).decompress(prefix, max_bytes)
    return prefix


async def _receive(response: aiohttp.ClientResponse, put: _Put, *, capacity: int, stall_s: float) -> int:
    _check_stated(response.content_length or 0, capacity)
    received = 0
    while piece := await next_piece(response, stall_s=stall_s):
        if received + len(piece) > capacity:
            raise _too_long(None, capacity)
        put(received, piece)
        received += len(piece)
    return received


async def _receive_gzip(
    response: aiohttp.ClientResponse, put: _Put, *, inflaters: Inflaters, capacity: int, stall_s: float
) -> int:
    """Inflate batch by batch in a thread: the event loop goes on, and the compressed body is never held whole."""
    # What does not compress grows by 5 bytes in 16 KiB; more compressed bytes than that carry nothing.
    allowed = capacity + capacity // 1000 + 1024
    if (response.content_length or 0) > allowed:
        raise _too_long(response.content_length, capacity)
    inflater = _Inflater(put, capacity)
    seen = held = 0
    pieces: list[bytes] = []
    while piece := await next_piece(response, stall_s=stall_s):
        seen += len(piece)
        held += len(piece)
        if seen > allowed:
            raise _too_long(None, capacity)
        pieces.append(piece)
        if held >= _BATCH_BYTES:
            await inflaters.run(partial(inflater.feed, pieces))
            pieces, held = [], 0
    await inflaters.run(partial(inflater.feed, pieces))
    return inflater.finish()


class _Inflater:
    """Inflates one gzip member, and no more than `capacity` bytes of it."""

    def __init__(self, put: _Put, capacity: int) -> None:
        self._stream = isal_zlib.decompressobj(wbits=_GZIP)
        self._put = put
        self._capacity = capacity
        self._size = 0

    def feed(self, pieces: list[bytes]) -> None:
        """Inflate what has come and put it away."""
        compressed = b"".join(pieces)  # not by the event loop, which that would hold up
        while compressed:
            try:
                # One byte more than there is room for, which tells a full body from a longer one.
                part = self._stream.decompress(compressed, min(_PART_BYTES, self._capacity - self._size + 1))
            except _CORRUPT as error:
                raise Unreachable(f"The gzip body is corrupt: {error}.", hint=_HINT) from error
            if self._size + len(part) > self._capacity:
                raise _too_long(None, self._capacity)
            self._put(self._size, part)
            self._size += len(part)
            compressed = self._stream.unconsumed_tail
        if self._stream.unused_data:
            raise Unreachable("The gzip body goes on after its end.", hint=_HINT)

    def finish(self) -> int:
        """Return the inflated bytes.

        Raises:
            Unreachable: If the end was not reached.
        """
        if not self._stream.eof:
            raise Unreachable("The gzip body was cut short.", hint=_HINT)
        return self._size


def _check_stated(length: int, capacity: int) -> None:
    if length > capacity:
        raise _too_long(length, capacity)


def _too_long(length: int | None, capacity: int) -> BadBody:
    stated = f"{length} bytes long" if length else "longer"
    return BadBody(f"The body is {stated}, where {capacity} bytes are the most that was asked for.", hint=_HINT)

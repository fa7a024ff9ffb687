"""A body of a stated length, from the socket straight into its place, past aiohttp.

aiohttp receives into fresh bytes, its parser copies them, and whoever keeps them copies them once more. Once the head
is parsed, such a body is nothing but so many bytes: for as long as they come the transport is lent to a protocol that
has them written where they belong. A fifth of a large job's CPU went into those copies (measured).

Law:

1. No byte beyond the body is read: the next answer is aiohttp's, and so is the connection, before and after.
2. Once `receive_directly` returns or raises, cancelled or not, nothing writes to the memory any more.
"""

from __future__ import annotations

import asyncio

import aiohttp

__all__ = ["receive_directly"]

_PIECE_BYTES = 512 << 10
"""The most that one read takes: the event loop is held for as long as that is copied."""


async def receive_directly(response: aiohttp.ClientResponse, view: memoryview, *, stall_s: float) -> bool:
    """Receive a body, of which nothing was read yet, into memory that is exactly as long as it is stated to be.

    Returns:
        Whether it was; not if its end has come already, or its connection has: nothing was taken then.

    Raises:
        TimeoutError: If nothing comes for `stall_s` seconds.
        aiohttp.ClientPayloadError: If the connection ends before the body does.
    """
    connection = response.connection
    transport = connection.transport if connection is not None else None
    if transport is None or transport.is_closing():
        return False
    taken = 0
    while piece := response.content.read_nowait():  # what came with the head, and while nobody read
        view[taken : taken + len(piece)] = piece
        taken += len(piece)
    if taken < len(view):
        filling = _Filling(transport, view[taken:])
        try:
            await filling.wait(stall_s)
        finally:
            filling.stop()
            response.content.total_bytes += filling.filled
        response.content.feed_eof()  # all of it has come: aiohttp may lend the connection to the next request
    return True


class _Filling(asyncio.BufferedProtocol):
    """Has the bytes of one body written to their place, then gives the transport back."""

    def __init__(self, transport: asyncio.Transport, view: memoryview) -> None:
        self.filled = 0
        self._transport = transport
        self._owner = transport.get_protocol()
        self._view = view
        self._clock = asyncio.get_running_loop().time
        self._heard_s = self._clock()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        transport.set_protocol(self)

    async def wait(self, stall_s: float) -> None:
        """Wait until all has come."""
        while not self._done.done():
            left_s = self._heard_s + stall_s - self._clock()
            if left_s <= 0:
                raise TimeoutError
            await asyncio.wait([self._done], timeout=left_s)
        self._done.result()

    def stop(self) -> None:
        """Give the transport back, if that has not been done."""
        if self._transport.get_protocol() is self:
            self._transport.set_protocol(self._owner)
        self._done.cancel()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go; see `asyncio.BufferedProtocol`."""
        del sizehint
        return self._view[self.filled : self.filled + _PIECE_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of bytes that have come; see `asyncio.BufferedProtocol`."""
        self.filled += nbytes
        self._heard_s = self._clock()
        if self.filled == len(self._view):
            self._transport.set_protocol(self._owner)
            if not self._done.done():
                self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits, and aiohttp; see `asyncio.BaseProtocol`."""
        if not self._done.done():
            error = aiohttp.ClientPayloadError(f"the connection ended {len(self._view) - self.filled} bytes before it")
            error.__cause__ = exc
            self._done.set_exception(error)
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell aiohttp; see `asyncio.BaseProtocol`."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """Tell aiohttp; see `asyncio.BaseProtocol`."""
        self._owner.resume_writing()

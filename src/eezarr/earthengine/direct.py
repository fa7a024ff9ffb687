"""A body of a stated length, from the socket straight into its place, past aiohttp.

aiohttp receives into fresh bytes, its parser copies them, and whoever keeps them copies them once more. Once the head
is parsed, such a body is nothing but so many bytes: for as long as they come the transport is lent to a protocol that
has them written where they belong. A fifth of a large job's CPU went into those copies (measured).

Law:

1. No byte beyond the body is read. Before it the connection is aiohttp's, and after it rests until the next request.
2. Once `receive_directly` returns or raises, cancelled or not, nothing writes to the memory any more.

The kernel is asked to wake the loop for whole pieces only, not for each packet: with many connections the loop then has
less to do, and the 99th percentile of its lag sinks by a fifth (measured). A connection that is slow, and the end of a
body, are not waited for in that way.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import aiohttp

from eezarr.earthengine.idle import rest

__all__ = ["receive_directly"]

_PIECE_BYTES = 2 << 20
"""The most that one read takes: the event loop is held for as long as that is copied, 1 ms at 0.5 s/GB.

The kernel grows a connection's buffer to 6 MB (https://man7.org/linux/man-pages/man7/tcp.7.html, tcp_rmem) and wakes at
half of it at the latest (`tcp_set_rcvlowat` in its net/ipv4/tcp.c): much more it cannot hold back. With 512 KiB
jobs took 3 to 5 % more CPU and a quarter more memory, since more bodies were under way at once, and the 99th percentile
of the loop's lag was the same (measured)."""

_SLACK_BYTES = 64 << 10
"""More than TLS layers hold back of what the kernel has given them: a record of 16 KiB each. So many bytes before the
end of a body, nothing is waited for but the next packet."""

_SLOW_S = 1.0
"""A connection that brings no piece for so long is slow."""


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
    """Has the bytes of one body written to their place, then lets the connection rest."""

    def __init__(self, transport: asyncio.Transport, view: memoryview) -> None:
        self.filled = 0
        self._transport = transport
        self._socket: socket.socket | None = transport.get_extra_info("socket") if sys.platform == "linux" else None
        self._least = 1
        self._is_slow = False
        self._owner = transport.get_protocol()
        self._view = view
        self._clock = asyncio.get_running_loop().time
        self._heard_s = self._clock()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        transport.set_protocol(self)
        self._choose_least()

    async def wait(self, stall_s: float) -> None:
        """Wait until all has come."""
        slow_s = min(_SLOW_S, stall_s / 2)
        while not self._done.done():
            left_s = self._heard_s + stall_s - self._clock()
            if left_s <= 0:
                raise TimeoutError
            await asyncio.wait([self._done], timeout=min(left_s, slow_s))
            if self._clock() >= self._heard_s + slow_s:
                self._is_slow = True
                self._choose_least()
        self._done.result()

    def stop(self) -> None:
        """Give the transport back, if that has not been done."""
        if self._transport.get_protocol() is self:
            self._wake_for(1)
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
        if self.filled < len(self._view):
            self._choose_least()
            return
        self._wake_for(1)
        rest(self._transport, self._owner)  # aiohttp's parser would take what comes now for the rest of the body
        if not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits, and aiohttp; see `asyncio.BaseProtocol`."""
        if not self._done.done():
            error = aiohttp.ClientPayloadError(f"the connection ended {len(self._view) - self.filled} bytes before it")
            error.__cause__ = exc
            self._done.set_exception(error)
        self._owner.connection_lost(exc)

    def _choose_least(self) -> None:
        left = len(self._view) - self.filled - _SLACK_BYTES
        self._wake_for(1 if self._is_slow else max(1, min(left, _PIECE_BYTES)))

    def _wake_for(self, least: int) -> None:
        """Have the kernel call the socket readable from so many bytes on; at the end and when it is full, in any case.

        Source: https://man7.org/linux/man-pages/man7/socket.7.html, SO_RCVLOWAT
        """
        if self._socket is None or least == self._least or self._transport.is_closing():
            return
        self._least = least
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
        except OSError:  # what stands in for a kernel in some sandboxes has no such option
            self._socket = None

    def pause_writing(self) -> None:
        """Tell aiohttp; see `asyncio.BaseProtocol`."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """Tell aiohttp; see `asyncio.BaseProtocol`."""
        self._owner.resume_writing()

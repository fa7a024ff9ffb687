"""A connection that is kept between two requests: one that receives anything meanwhile is not used again.

Nothing was asked, so what comes then belongs to no request. aiohttp would take it for the next one's response, and
where lengths agree, for its pixels. From the end of a body on, the transport is therefore lent to a protocol that wants
to hear nothing.
"""

from __future__ import annotations

import asyncio
import selectors
from functools import partial
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from aiohttp.connector import Connection

__all__ = ["Request", "SpoiledConnectionError", "rest"]


class SpoiledConnectionError(aiohttp.ClientConnectionError):
    """A kept connection has received what nobody asked for, or its end; nothing was sent on it."""


class Request(aiohttp.ClientRequest):
    """A request that takes its connection out of its rest, and sees to it that it rests again afterwards."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send it.

        Raises:
            SpoiledConnectionError: If something is there already that would be taken for its response.
        """
        transport, owner = conn.transport, conn.protocol
        if transport is not None and owner is not None:
            if isinstance(transport.get_protocol(), _Resting):
                transport.set_protocol(owner)
                if owner.should_close or _has_come(transport):
                    raise SpoiledConnectionError
            conn.add_callback(partial(_rest_after, transport, owner))
        return await super().send(conn)


def rest(transport: asyncio.Transport, owner: asyncio.BaseProtocol) -> None:
    """Close a connection as soon as anything comes, until its next request.

    Args:
        transport: The connection, whose last response has come to its end.
        owner: aiohttp's protocol, which is told of its end.
    """
    transport.set_protocol(_Resting(transport, owner))


class _Resting(asyncio.Protocol):
    def __init__(self, transport: asyncio.Transport, owner: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._owner = owner

    def data_received(self, data: bytes) -> None:
        """Want nothing; see `asyncio.Protocol`."""
        del data
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell aiohttp; see `asyncio.BaseProtocol`."""
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell aiohttp; see `asyncio.BaseProtocol`."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """Tell aiohttp; see `asyncio.BaseProtocol`."""
        self._owner.resume_writing()


def _rest_after(transport: asyncio.Transport, owner: asyncio.BaseProtocol) -> None:
    """Let a connection rest that aiohttp has done with, unless it is closed."""
    if not transport.is_closing() and transport.get_protocol() is owner:
        rest(transport, owner)


def _has_come(transport: asyncio.Transport) -> bool:
    """Return whether something has come that the loop has not read yet."""
    with _Selector() as selector:
        selector.register(transport.get_extra_info("socket"), selectors.EVENT_READ)
        return bool(selector.select(0))


_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""The cheapest for one socket: epoll's would cost a file descriptor."""

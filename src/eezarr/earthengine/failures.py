"""From aiohttp's exceptions to ours: what failed, where, and chained to what it was."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import aiohttp

from eezarr.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["translated"]

_TEXTS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "{host} has no address: {detail}."),
    (aiohttp.ClientSSLError, "TLS with {host} failed: {detail}."),
    (aiohttp.ClientProxyConnectionError, "The proxy to {host} refused the connection: {detail}."),
    (aiohttp.ClientConnectorError, "{host} refused the connection: {detail}."),
    (aiohttp.ConnectionTimeoutError, "{host} did not take the connection in time."),
    (TimeoutError, "{host} sent nothing for {silence_s:g} s."),
    (aiohttp.ClientPayloadError, "{host} cut the body short: {detail}."),
    (aiohttp.ServerDisconnectedError, "{host} closed the connection without an answer."),
    (aiohttp.ClientResponseError, "{host} answered something that is not HTTP: {detail}."),
    (Exception, "The connection to {host} failed: {detail}."),
)
"""Exception -> what it means; the first that fits, so the narrow ones come first."""

_CONNECTING = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Raised before there is a connection; those of DNS, TLS and the proxy are among them."""

_HINT = "If it goes on, check the network, the proxy and `api_url`."


@contextlib.contextmanager
def translated(host: str, *, silence_s: float) -> Iterator[None]:
    """Raise `Unreachable` for whatever aiohttp or the socket raises within.

    Args:
        host: Named in the messages.
        silence_s: How long nothing came, should a time-out be raised within.

    Raises:
        Unreachable: No address, no connection, bad TLS, silence, a reset or a body that was cut short.
    """
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        text = next(text for kind, text in _TEXTS if isinstance(error, kind))
        detail = getattr(error, "os_error", None) or str(error) or type(error).__name__
        message = text.format(host=host, detail=str(detail)[:300], silence_s=silence_s)
        # The `repr` of a ClientResponseError holds the request's headers, and so the token: it is not chained.
        cause = None if isinstance(error, aiohttp.ClientResponseError) else error
        raise Unreachable(message, hint=_HINT, is_connecting=isinstance(error, _CONNECTING)) from cause

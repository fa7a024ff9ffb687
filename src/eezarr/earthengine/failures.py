"""From the network's exceptions to ours: what failed, where, and what to do about it; the same for data and tokens."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING

import aiohttp

from eezarr.earthengine.trust import trusted
from eezarr.errors import EezarrError, NetworkBlocked, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eezarr.earthengine.proxy import Proxy

__all__ = ["proxy_error", "translated", "untrusted"]

_TEXTS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "{peer} has no address: {detail}."),
    (aiohttp.ClientSSLError, "TLS with {host} failed: {detail}."),
    (aiohttp.ClientProxyConnectionError, "{peer} on the way to {host} cannot be reached: {detail}."),
    (aiohttp.ClientConnectorError, "{host} refused the connection: {detail}."),
    (aiohttp.ConnectionTimeoutError, "{peer} did not take the connection in time."),
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

_CLOCK_CODES = frozenset({9, 10})
"""Not valid yet, expired. Source: https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/"""
_NAME_CODES = frozenset({62, 63, 64})
"""Another host name, e-mail or address. Source: as above."""


@contextlib.contextmanager
def translated(host: str, *, silence_s: float, proxy: Proxy | None = None, is_known: bool = True) -> Iterator[None]:
    """Raise one of our errors for whatever aiohttp or the socket raises within.

    Args:
        host: Named in the messages.
        silence_s: How long nothing came, should a time-out be raised within.
        proxy: The proxy on the way.
        is_known: Whether the host has answered before; then a certificate that is not trusted may be a passing trouble,
            such as a hotel's network.

    Raises:
        Unreachable: No address, no connection, bad TLS, silence, a reset or a body that was cut short.
        NetworkBlocked: A certificate that is not trusted, or a proxy that lets nothing through.
    """
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        # The frames of aiohttp's writers hold a request's head as bytes, and so the token.
        _drop_frames(error)
        # Nor are the headers of a ClientResponseError anyone's business: it is not chained.
        cause = None if isinstance(error, aiohttp.ClientResponseError) else error
        raise _read(error, host, silence_s=silence_s, proxy=proxy, is_known=is_known) from cause


def untrusted(host: str, error: ssl.SSLCertVerificationError, *, is_known: bool) -> EezarrError:
    """Return the error for a certificate that does not vouch for a host."""
    message = f"The certificate of {host} is not trusted: {error.verify_message}."
    if error.verify_code in _CLOCK_CODES:
        hint = "Check the date and time of this machine; if they are right, whoever runs the host must renew it."
    elif error.verify_code in _NAME_CODES:
        hint = "Check `api_url`; if it is right, something on the way answers in the host's place."
    else:
        hint = (
            "If a company's proxy or an emulator of yours signs it, let SSL_CERT_FILE name the file of its authority's "
            f"certificate (PEM). Trusted now: {trusted()}."
        )
    if is_known:
        return Unreachable(message, hint=hint, is_connecting=True)
    return NetworkBlocked(message, hint=hint)


def proxy_error(host: str, proxy: Proxy, status: int) -> EezarrError:
    """Return the error for a proxy that does not connect us with a host."""
    if status == 407:
        login = (
            "does not accept the user and password that it was given" if proxy.login else "wants a user and password"
        )
        return NetworkBlocked(
            f"The proxy {proxy.url} on the way to {host} {login} (407).",
            hint="Set HTTPS_PROXY=http://user:password@host:port (other characters than letters and digits as %XX), "
            "or list the host in NO_PROXY.",
        )
    message = f"The proxy {proxy.url} does not connect to {host}: it answered {status}."
    if 400 <= status < 500 and status not in {408, 425, 429}:
        return NetworkBlocked(message, hint="Have the host allowed by whoever runs the proxy, or list it in NO_PROXY.")
    return Unreachable(message, hint=_HINT, is_connecting=True)


def _read(error: Exception, host: str, *, silence_s: float, proxy: Proxy | None, is_known: bool) -> EezarrError:
    if isinstance(error, aiohttp.ClientHttpProxyError) and proxy is not None:
        return proxy_error(host, proxy, error.status)
    certificate = getattr(error, "certificate_error", error)
    if isinstance(certificate, ssl.SSLCertVerificationError):
        return untrusted(host, certificate, is_known=is_known)
    text = next(text for kind, text in _TEXTS if isinstance(error, kind))
    detail = str(getattr(error, "os_error", None) or str(error) or type(error).__name__)[:300]
    peer = f"The proxy {proxy.url}" if proxy else host
    message = text.format(host=host, peer=peer, detail=detail, silence_s=silence_s)
    return Unreachable(message, hint=_HINT, is_connecting=isinstance(error, _CONNECTING))


def _drop_frames(error: BaseException) -> None:
    """Forget where an exception and those before it were raised."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            left += [one.__cause__, one.__context__]

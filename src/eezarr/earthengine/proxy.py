"""The proxy on the way to a host, as the environment names it: the same one for data and for tokens.

`HTTPS_PROXY` (or `HTTP_PROXY`, by the address), else `ALL_PROXY`; no proxy for what `NO_PROXY` lists, nor for this
machine. Without a scheme it is an HTTP proxy, as curl has it. Its user and password are kept apart from its address,
so that no message, error or log can show them.
"""

from __future__ import annotations

import base64
import ipaddress
import urllib.request
from dataclasses import dataclass

from yarl import URL

from eezarr.earthengine.secret import Secret
from eezarr.errors import InvalidInput

__all__ = ["Proxy", "is_loopback", "proxy_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy."""

    url: str
    """Its address, without user and password."""
    login: Secret | None
    """User and password as the scheme Basic wants them; None if there are none."""

    def headers(self) -> dict[str, str]:
        """Return the headers that it wants of a request."""
        return {} if self.login is None else {"Proxy-Authorization": self.login.header("Basic")}


def proxy_for(url: URL) -> Proxy | None:
    """Return the proxy on the way to a URL; None if there is none.

    Raises:
        InvalidInput: If the environment names one that cannot be used.
    """
    host = url.host or ""
    if is_loopback(host) or urllib.request.proxy_bypass(f"{host}:{url.port}"):
        return None
    scheme = next((scheme for scheme in (url.scheme, "all") if urllib.request.getproxies().get(scheme)), None)
    found = _parsed(scheme) if scheme is not None else None
    if isinstance(found, InvalidInput):
        raise found
    return found


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _parsed(scheme: str) -> Proxy | InvalidInput:
    """Return the proxy that a variable names, or the error; raised here, its frames would hold the password."""
    # Not aiohttp's `trust_env`: it would read .netrc for each request and refuse our own Authorization header.
    named, variable = urllib.request.getproxies()[scheme].strip(), f"{scheme.upper()}_PROXY"
    start, mark, rest = named.partition("://")
    try:
        url = URL(f"{start.lower()}://{rest}" if mark else f"http://{named}")
        is_valid = bool(url.host) and url.explicit_port != 0
    except ValueError:
        url, is_valid = URL(), False
    if not is_valid:
        return InvalidInput(
            f"The variable {variable} is not the address of a proxy.",
            hint="Give it as `http://host:port`, with `user:password@` before the host if it wants them "
            "(other characters than letters and digits as %XX).",
        )
    if url.scheme not in {"http", "https"}:
        return InvalidInput(
            f"The variable {variable} names a {url.scheme} proxy; only HTTP proxies can be used.",
            hint="Set HTTPS_PROXY to an HTTP proxy, or list the service's host in NO_PROXY.",
        )
    login = None
    if url.user or url.password:
        login = Secret(base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode("ascii"))
    return Proxy(url=str(url.with_user(None).origin()), login=login)

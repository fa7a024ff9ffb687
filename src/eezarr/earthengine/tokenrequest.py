"""Requests for tokens and for what a Google machine knows of itself: by the way that data go, but in a thread.

google-auth asks through whatever it is given; its own transports would choose other proxies and trust other
certificates than the requests for data, and follow a redirect with the credentials.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from typing import TYPE_CHECKING

import google.auth.transport
import urllib3
from google.auth import exceptions
from yarl import URL

from eezarr.earthengine.clock import clock_error
from eezarr.earthengine.failures import proxy_error, untrusted
from eezarr.earthengine.proxy import proxy_for
from eezarr.earthengine.trust import tls_context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.earthengine.proxy import Proxy

__all__ = ["TokenRequest", "metadata_project"]

_CONNECT_S = 30.0
_SILENCE_S = 60.0
_MAX_BYTES = 4 << 20
_METADATA_S = 3.0
"""How long the metadata server may be silent, which is on the same machine: as google-auth has it."""

_METADATA_VARIABLE = "GCE_METADATA_HOST"
_METADATA_HOST = "metadata.google.internal"
_METADATA_ADDRESS = "169.254.169.254"

_TUNNEL_STATUS = re.compile(r"Tunnel connection failed: (\d{3})\b")


class _Response(google.auth.transport.Response):
    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self._status, self._headers, self._data = status, headers, data

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    @property
    def data(self) -> bytes:
        return self._data


class TokenRequest(google.auth.transport.Request):
    """What google-auth makes its requests with; blocks.

    Args:
        is_known: Whether the credentials have given a token before; see `translated`.
    """

    def __init__(self, *, is_known: bool = False) -> None:
        self.clock_error = ""
        """How this machine's clock differs from that of the last host; empty unless it matters."""
        self._is_known = is_known

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> _Response:
        """Make one request; see `google.auth.transport.Request`.

        Raises:
            google.auth.exceptions.TransportError: If no response comes.
            NetworkBlocked: If none can, as the network is set up.
        """
        parsed = URL(url)
        host = parsed.host or ""
        proxy = None if host in _machine_hosts() else proxy_for(parsed)
        limits = urllib3.Timeout(connect=timeout or _CONNECT_S, read=timeout or _SILENCE_S)
        try:
            with _pool(parsed, proxy) as pool:
                response = pool.request(
                    method,
                    url,
                    body=body,
                    headers=dict(headers or {}),
                    timeout=limits,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
                data = response.read(_MAX_BYTES, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            failure = self._read(error, host, proxy)
        else:
            if response.status == 407 and proxy is not None:
                raise proxy_error(host, proxy, 407)
            self.clock_error = clock_error(response.headers.get("Date", ""), time.time(), host)
            return _Response(response.status, response.headers, data)
        raise failure

    def _read(self, error: Exception, host: str, proxy: Proxy | None) -> Exception:
        found = _TUNNEL_STATUS.search(str(error))
        if found and proxy is not None:
            return proxy_error(host, proxy, int(found[1]))
        cause = error.args[0] if error.args and isinstance(error, urllib3.exceptions.SSLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            return untrusted(host, cause, is_known=self._is_known)
        way = f" through the proxy {proxy.url}" if proxy else ""
        text = f"{host} cannot be reached{way}: {_told(error)}"
        return exceptions.TransportError(text, retryable=True)  # type: ignore[no-untyped-call]


def metadata_project() -> str | None:
    """Return the project of the Google machine that this is, as its metadata server tells; None if there is none.

    Source: https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys#project-metadata
    """
    host = os.environ.get(_METADATA_VARIABLE) or _METADATA_HOST
    try:
        with urllib3.PoolManager() as pool:
            response = pool.request(
                "GET",
                f"http://{host}/computeMetadata/v1/project/project-id",
                headers={"Metadata-Flavor": "Google"},
                timeout=_METADATA_S,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            text = response.read(1000).decode("utf-8", errors="replace").strip()
    except (urllib3.exceptions.HTTPError, OSError):
        return None
    is_told = response.status == 200 and response.headers.get("Metadata-Flavor") == "Google"
    return text if is_told and text else None


def _machine_hosts() -> set[str]:
    """Return the names of the metadata server, which is on the machine and behind no proxy."""
    named = os.environ.get(_METADATA_VARIABLE, "").rpartition(":")[0] or os.environ.get(_METADATA_VARIABLE, "")
    return {_METADATA_HOST, _METADATA_ADDRESS, named}


def _pool(url: URL, proxy: Proxy | None) -> urllib3.PoolManager:
    trust = tls_context() if url.scheme == "https" or (proxy and proxy.url.startswith("https:")) else None
    if proxy is None:
        return urllib3.PoolManager(ssl_context=trust)
    return urllib3.ProxyManager(proxy.url, proxy_headers=proxy.headers(), ssl_context=trust, proxy_ssl_context=trust)


def _told(error: Exception) -> str:
    """Return an error of urllib3 without the objects in its text."""
    if isinstance(error, urllib3.exceptions.ProxyError):
        error = error.original_error
    return re.sub(r"^<[^>]*>: |^HTTPS?Connection(Pool)?\([^)]*\): ", "", str(error)) or type(error).__name__

"""One aiohttp session and what each request of ours has in common: headers, proxy, time-outs, no redirects."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Literal, TypeAlias

import aiohttp

from eezarr.earthengine.failures import translated
from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import SimpleNamespace

    from yarl import URL

    from eezarr.earthengine.address import Address
    from eezarr.earthengine.payload import JsonBody

__all__ = ["Call", "HttpMethod", "Session", "Timeouts"]

HttpMethod: TypeAlias = Literal["GET", "POST", "PATCH", "DELETE"]

MAX_REQUEST_LINE = 2048
"""Bytes: a longer GET goes as a POST that stands for it, as Google's own clients send it.

Source: https://github.com/googleapis/google-api-python-client/blob/main/googleapiclient/http.py (`MAX_URI_LENGTH`)
"""

_OVERRIDE = {"X-HTTP-Method-Override": "GET", "Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long silence is borne, in seconds.

    Raises:
        InvalidInput: If one is not positive.
    """

    connect_s: float = 30.0
    """To open a connection, TLS included."""
    stall_s: float = 60.0
    """Between two pieces of a body, and before an answer that takes no computation."""
    compute_s: float = 330.0
    """Before the first byte of a computed answer.

    The service ends a computation itself after five minutes; giving up sooner would only start it anew.
    Source: https://developers.google.com/earth-engine/guides/processing_environments
    """

    def __post_init__(self) -> None:
        if min(self.connect_s, self.stall_s, self.compute_s) <= 0:
            raise InvalidInput(f"{self} waits for nothing.", hint="Give positive seconds.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, but for the identity that sends it."""

    method: HttpMethod
    path: str
    """Path below the base URL, version included."""
    query: Mapping[str, str]
    body: JsonBody | None
    is_computed: bool
    """Whether the service may compute for minutes before it answers."""
    is_gzip: bool
    """Whether a compressed body is asked for."""

    def __str__(self) -> str:
        return f"{self.method} {self.path[:300]}"


class Session:
    """Sends requests; opens its connections on first use, in the running loop.

    Args:
        address: Where the service is.
        project: Whose quota is used; None sends no project.
        timeouts: How long silence is borne.
    """

    def __init__(self, address: Address, *, project: str | None, timeouts: Timeouts) -> None:
        self.address = address
        self.timeouts = timeouts
        self._project = project
        self._agent = f"eezarr/{version('eezarr')}"
        self._client: aiohttp.ClientSession | None = None
        self.has_answered = False
        """Whether the service has answered anything yet, well or not."""

    async def aclose(self) -> None:
        """Close all connections; a later request would open new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def send(self, call: Call, token: str) -> aiohttp.ClientResponse:
        """Send one request and return its answer, headers read, whatever its status; the caller closes it.

        Raises:
            Unreachable: If no answer begins.
        """
        silence_s = self.timeouts.compute_s if call.is_computed else self.timeouts.stall_s
        with translated(self.address.host, silence_s=silence_s):
            # aiohttp bounds connecting. Not its `sock_read` for the rest: bodies come past it.
            async with asyncio.timeout(None) as patience:
                method, url, form = self._line(call)
                response = await self._opened().request(
                    method,
                    url,
                    data=form if call.body is None else call.body.data(),
                    headers=self._headers(call, token) | (_OVERRIDE if form is not None else {}),
                    allow_redirects=False,
                    proxy=self.address.proxy,
                    timeout=aiohttp.ClientTimeout(total=None, connect=self.timeouts.connect_s),
                    trace_request_ctx=_Silence(patience, silence_s),
                )
        self.has_answered = True
        return response

    def _line(self, call: Call) -> tuple[HttpMethod, URL, bytes | None]:
        """Return what is asked of where; a query that is too long for a URL becomes the body of a POST."""
        url = self.address.endpoint(call.path, call.query)
        if call.method != "GET" or len(f"GET {url} HTTP/1.1") <= MAX_REQUEST_LINE:
            return call.method, url, None
        return "POST", url.with_query(None), url.raw_query_string.encode()

    def _headers(self, call: Call, token: str) -> dict[str, str]:
        headers = {
            "Accept-Encoding": "gzip" if call.is_gzip else "identity",
            # The service compresses only for a User-Agent that contains "gzip", as all Google APIs do.
            "User-Agent": f"{self._agent} (gzip)" if call.is_gzip else self._agent,
        }
        if self._project:
            headers["x-goog-user-project"] = self._project
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if call.body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(call.body.size)}
        return headers

    def _opened(self) -> aiohttp.ClientSession:
        if self._client is None:
            # No limit of connections: the gate above admits requests, and a second limit here would hide a wait.
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trace_configs=[_listening()],
            )
        return self._client


@dataclass(frozen=True, slots=True)
class _Silence:
    """How long one request bears it, from the last that was sent of it on."""

    patience: asyncio.Timeout
    silence_s: float


def _listening() -> aiohttp.TraceConfig:
    """Begin to wait for an answer whenever something of its request has been sent."""

    async def on_sent(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        silence: _Silence = context.trace_request_ctx
        with suppress(RuntimeError):  # its answer is there already, while some of it still goes out
            silence.patience.reschedule(asyncio.get_running_loop().time() + silence.silence_s)

    trace = aiohttp.TraceConfig()
    for signal in (trace.on_request_headers_sent, trace.on_request_chunk_sent):
        signal.append(on_sent)
    return trace

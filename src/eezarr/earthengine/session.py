"""One aiohttp session and what each request of ours has in common: headers, proxy, trust, time-outs, no redirects."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal, TypeAlias

import aiohttp

from eezarr.earthengine.failures import proxy_error, translated
from eezarr.earthengine.idle import Request, SpoiledConnectionError
from eezarr.earthengine.trust import tls_context
from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import SimpleNamespace

    from yarl import URL

    from eezarr.earthengine.address import Address
    from eezarr.earthengine.payload import JsonBody
    from eezarr.earthengine.secret import Secret

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
        self.server: str | None = None
        """As what the service named itself in its last good response; None before there is one."""

    async def aclose(self) -> None:
        """Close all connections; a later request would open new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def send(self, call: Call, token: Secret | None) -> aiohttp.ClientResponse:
        """Send one request and return its answer, headers read, whatever its status; the caller closes it.

        Raises:
            Unreachable: If no answer begins.
            NetworkBlocked: If none ever will, as the network is set up.
        """
        address = self.address
        silence_s = self.timeouts.compute_s if call.is_computed else self.timeouts.stall_s
        with translated(address.host, silence_s=silence_s, proxy=address.proxy, is_known=self.has_answered):
            response = await self._sent(call, token, silence_s)
        if response.status == 407 and address.proxy is not None:
            response.close()
            raise proxy_error(address.host, address.proxy, 407)
        self.has_answered = True
        if response.status == 200:
            self.server = response.headers.get("Server", "")
        return response

    async def _sent(self, call: Call, token: Secret | None, silence_s: float) -> aiohttp.ClientResponse:
        """Send a request, on another connection if the one that was kept turns out to have ended or to be spoiled.

        A server may close a connection just as it is used again. aiohttp sends anew what HTTP calls idempotent; all our
        requests are, as the service reads only, and starts an export once for each request id.
        Source: https://www.rfc-editor.org/rfc/rfc9112.html#section-9.3.1
        """
        proxy = self.address.proxy
        has_been_sent_anew = False
        while True:
            # aiohttp bounds connecting. Not its `sock_read` for the rest: bodies come past it.
            async with asyncio.timeout(None) as patience:
                course = _Course(patience, silence_s)
                method, url, form = self._line(call)
                try:
                    return await self._opened().request(
                        method,
                        url,
                        data=form if call.body is None else call.body.data(),
                        headers=self._headers(call, token) | (_OVERRIDE if form is not None else {}),
                        allow_redirects=False,
                        proxy=proxy.url if proxy else None,
                        proxy_headers=proxy.headers() if proxy else None,
                        timeout=aiohttp.ClientTimeout(total=None, connect=self.timeouts.connect_s),
                        trace_request_ctx=course,
                    )
                except SpoiledConnectionError:
                    continue
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                    if has_been_sent_anew or not course.is_reusing:
                        raise
                    has_been_sent_anew = True

    def _line(self, call: Call) -> tuple[HttpMethod, URL, bytes | None]:
        """Return what is asked of where; a query that is too long for a URL becomes the body of a POST."""
        url = self.address.endpoint(call.path, call.query)
        if call.method != "GET" or len(f"GET {url} HTTP/1.1") <= MAX_REQUEST_LINE:
            return call.method, url, None
        return "POST", url.with_query(None), url.raw_query_string.encode()

    def _headers(self, call: Call, token: Secret | None) -> dict[str, str]:
        headers = {
            "Accept-Encoding": "gzip" if call.is_gzip else "identity",
            # The service compresses only for a User-Agent that contains "gzip", as all Google APIs do.
            "User-Agent": f"{self._agent} (gzip)" if call.is_gzip else self._agent,
        }
        if self._project:
            headers["x-goog-user-project"] = self._project
        if token:
            headers["Authorization"] = token.header("Bearer")
        if call.body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(call.body.size)}
        return headers

    def _opened(self) -> aiohttp.ClientSession:
        if self._client is None:
            # No limit of connections: the gate above admits requests, and a second limit here would hide a wait.
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, ttl_dns_cache=300, ssl=tls_context() if self.address.is_tls else True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                request_class=Request,
                trace_configs=[_listening()],
            )
        return self._client


@dataclass(slots=True)
class _Course:
    """What is noted of one request on its way."""

    patience: asyncio.Timeout
    silence_s: float
    """How long nothing may come, from the last that was sent of it on."""
    is_reusing: bool = False
    """Whether its connection has carried others."""


def _listening() -> aiohttp.TraceConfig:
    """Begin to wait for an answer whenever something of its request has been sent."""

    async def on_sent(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        course: _Course = context.trace_request_ctx
        with suppress(RuntimeError):  # its answer is there already, while some of it still goes out
            course.patience.reschedule(asyncio.get_running_loop().time() + course.silence_s)

    async def on_reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.is_reusing = True

    trace = aiohttp.TraceConfig()
    for signal in (trace.on_request_headers_sent, trace.on_request_chunk_sent):
        signal.append(on_sent)
    trace.on_connection_reuseconn.append(on_reuse)
    return trace

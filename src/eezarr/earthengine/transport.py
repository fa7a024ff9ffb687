"""HTTP: one attempt per call, every failure one of our errors.

The engine above retries, paces and limits; here a call either returns a whole body or raises. Law of this module:

1. The token goes to `api_url` and nowhere else: redirects are errors, and plain HTTP is for loopback.
2. No body is read beyond what it may hold.
3. Silence is bounded: between two pieces of a body, and before its first byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from eezarr.documents import parse_json
from eezarr.earthengine import bodies
from eezarr.earthengine.clock import CLOCK_HINT, clock_error
from eezarr.earthengine.compression import Body, Compression
from eezarr.earthengine.failures import translated
from eezarr.earthengine.inflaters import Inflaters
from eezarr.earthengine.origin import origin_of
from eezarr.earthengine.session import Call, HttpMethod, Session, Timeouts
from eezarr.earthengine.status import classify, quoted
from eezarr.errors import AccessDenied, BadBody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping

    import aiohttp

    from eezarr.earthengine.address import Address
    from eezarr.earthengine.auth import TokenSource
    from eezarr.earthengine.compression import GzipMode
    from eezarr.earthengine.payload import JsonBody
    from eezarr.earthengine.secret import Secret
    from eezarr.protocols import Buffer, Memory

__all__ = ["Transport"]

_MAX_JSON_BYTES = 64 << 20
_MAX_ERROR_BYTES = 64 << 10
_THREADED_JSON_BYTES = 1 << 20
"""Longer answers are parsed in a thread: a listing of 10 000 assets would hold the event loop for a second."""

_QUOTA_HEADER = "x-earth-engine-quota-status"
"""Source: ee/data.py, `_handle_response_headers`."""


class Transport:
    """One service and one identity; opens its connections on first use, in the running loop.

    Args:
        address: Where the service is.
        tokens: The identity.
        project: Whose quota is used; None sends no project.
        timeouts: How long silence is borne.
        gzip: Whether to ask for compressed bodies: always, never, or where it is measured to pay.
        on_restricted: Told whenever an answer says that the project's parallelism is restricted.
        clock: Seconds since the epoch, for Retry-After dates.

    Raises:
        InvalidInput: If a token would travel in the clear.
    """

    def __init__(
        self,
        address: Address,
        tokens: TokenSource,
        *,
        project: str | None,
        timeouts: Timeouts | None = None,
        gzip: GzipMode = False,
        on_restricted: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not tokens.is_anonymous:
            address.require_private()
        self._compression = Compression(gzip)
        self.received_bytes = 0
        """Bytes of all bodies so far, as they came over the wire."""
        self._address = address
        self._timeouts = timeouts or Timeouts()
        self._session = Session(address, project=project, timeouts=self._timeouts)
        self._tokens = tokens
        self._on_restricted = on_restricted
        self._clock = clock
        self._inflaters = Inflaters()

    @property
    def has_answered(self) -> bool:
        """Whether the service has answered anything yet, well or not."""
        return self._session.has_answered

    @property
    def origin(self) -> str:
        """The origin of what the service answers; once it has answered, of what it did answer."""
        return origin_of(self._address, self._session.server or "")

    @property
    def is_origin_known(self) -> bool:
        """Whether no response can tell another origin: one came, or the address says it all."""
        return self._session.server is not None or not self._address.is_loopback

    @property
    def is_inflating(self) -> bool:
        """Whether all threads that inflate bodies have work: to receive more at once gains nothing then."""
        return self._inflaters.is_busy

    def __repr__(self) -> str:
        return f"Transport({self._address.url})"

    async def aclose(self) -> None:
        """Close all connections; a later call would open new ones."""
        await self._session.aclose()
        self._inflaters.close()
        self._inflaters = Inflaters()

    async def call_json(
        self,
        method: HttpMethod,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonBody | None = None,
        is_computed: bool = False,
        scopes: Collection[str] = (),
    ) -> dict[str, object]:
        """Return the JSON object that a metadata call answers.

        Args:
            method: HTTP method.
            path: Path after the host, version included.
            query: Query parameters.
            body: JSON to send.
            is_computed: Whether the service may compute for minutes before it answers.
            scopes: What the token must be good for beside reading; asked for where the identity lets one ask.

        Raises:
            EezarrError: As `classify` and `translated` say; `BadBody` if it is no JSON object, or over 64 MiB.
        """
        call = self._call(method, path, body, query=query, is_computed=is_computed)
        text = await self._whole(call, _MAX_JSON_BYTES, self._tokens.widened(scopes))
        if len(text) > _THREADED_JSON_BYTES:
            return await asyncio.to_thread(_parse, text, str(call))
        return _parse(text, str(call))

    async def receive(
        self,
        path: str,
        body: JsonBody,
        memory: Memory,
        *,
        is_computed: bool = True,
        on_received: Callable[[int], None] = lambda _: None,
    ) -> tuple[Buffer, int]:
        """Receive the body that a POST answers into memory, from its first byte on.

        The memory is taken when an answer with pixels begins. Once this returns or raises, cancelled or not, nothing
        writes to it any more.

        Args:
            path: Path after the host, version included.
            body: JSON to send.
            memory: Where the body goes.
            is_computed: Whether the service may compute for minutes before it answers.
            on_received: Told of the response's bytes as they came over the wire, however it ends.

        Returns:
            The memory, and the bytes received, inflated: at most as many as it holds.

        Raises:
            EezarrError: As `classify` and `translated` say; `BadBody` if the body is longer than the memory.
        """
        call = self._call("POST", path, body, is_computed=is_computed)
        clock = asyncio.get_running_loop().time
        start_s = clock()
        async with self._answer(call, self._tokens, on_received) as response:
            is_gzip = bodies.check_encoding(response, is_gzip_asked=call.is_gzip)
            buffer = await memory.take()
            begin_s = clock()
            stall_s = self._timeouts.stall_s
            with translated(self._address.host, silence_s=stall_s):
                size = await bodies.receive_into(
                    response, buffer.data, inflaters=self._inflaters, is_gzip=is_gzip, stall_s=stall_s
                )
        self._compression.on_body(
            Body(
                start_s=start_s,
                begin_s=begin_s,
                end_s=clock(),
                nbytes=size,
                is_asked=call.is_gzip,
                is_gzip=is_gzip,
            )
        )
        return buffer, size

    async def receive_bytes(
        self, path: str, body: JsonBody | None, *, max_bytes: int, is_computed: bool = True
    ) -> bytes:
        """Return the body that a POST (or, without a body, a GET) answers: a picture, a GeoTIFF.

        Raises:
            EezarrError: As `classify` and `translated` say; `BadBody` if the body is longer than `max_bytes`.
        """
        method: HttpMethod = "GET" if body is None else "POST"
        return await self._whole(self._call(method, path, body, is_computed=is_computed), max_bytes, self._tokens)

    def _call(
        self,
        method: HttpMethod,
        path: str,
        body: JsonBody | None,
        *,
        query: Mapping[str, str] | None = None,
        is_computed: bool,
    ) -> Call:
        return Call(
            method=method,
            path=path,
            query=query or {},
            body=body,
            is_computed=is_computed,
            is_gzip=self._compression.is_asked,
        )

    async def _whole(self, call: Call, max_bytes: int, tokens: TokenSource) -> bytes:
        async with self._answer(call, tokens) as response:
            is_gzip = bodies.check_encoding(response, is_gzip_asked=call.is_gzip)
            stall_s = self._timeouts.stall_s
            with translated(self._address.host, silence_s=stall_s):
                return await bodies.receive_bytes(
                    response, inflaters=self._inflaters, max_bytes=max_bytes, is_gzip=is_gzip, stall_s=stall_s
                )

    @contextlib.asynccontextmanager
    async def _answer(
        self, call: Call, tokens: TokenSource, on_received: Callable[[int], None] = lambda _: None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give an answer with status 200; a refused token is exchanged for a new one, once."""
        token = await tokens.token()
        response = await self._session.send(call, token)
        if response.status == 401 and token:
            response.close()
            tokens.invalidate(token)
            token = await tokens.token()
            response = await self._session.send(call, token)
        try:
            await self._check(call, response, token)
            yield response
        except BaseException:
            # A body that was not read to its end would come first on the next request of this connection.
            response.close()
            raise
        finally:
            self.received_bytes += response.content.total_bytes
            on_received(response.content.total_bytes)
        response.release()

    async def _check(self, call: Call, response: aiohttp.ClientResponse, token: Secret | None) -> None:
        """Pass on what the headers tell, and raise what a status other than 200 stands for."""
        if self._on_restricted and "parallelism_restricted=true" in response.headers.get(_QUOTA_HEADER, ""):
            self._on_restricted()
        if response.status == 200:
            return
        headers, now_s = response.headers, self._clock()
        error = classify(
            response.status,
            headers,
            # Not a local of its own: some proxies' pages quote the request, token and all.
            await bodies.receive_prefix(response, max_bytes=_MAX_ERROR_BYTES, stall_s=self._timeouts.stall_s),
            request=str(call),
            now_s=now_s,
            secret=token,
        )
        if response.status == 401 and (skew := clock_error(headers.get("Date", ""), now_s, self._address.host)):
            raise AccessDenied(f"{error.message} And {skew}.", hint=CLOCK_HINT)
        raise error


def _parse(text: bytes, request: str) -> dict[str, object]:
    try:
        document = parse_json(text)
    except ValueError as error:
        document = error
    if not isinstance(document, dict):
        raise BadBody(
            f"{request} was answered with something that is no JSON object: {quoted(text[:200])}.",
            hint="Check that `api_url` names an Earth Engine.",
        )
    return document

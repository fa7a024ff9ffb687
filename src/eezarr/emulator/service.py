"""The REST surface over a world: what each request is checked for, and in which order.

Token, payload, quota, fault, request, latency, pixels. A request sees one state of the settings from start to end.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from aiohttp import web

from eezarr.emulator import transfer
from eezarr.emulator.auth import TokenOffice
from eezarr.emulator.call import Call
from eezarr.emulator.draw import identity
from eezarr.emulator.errors import ApiError, bad_fields, html_page
from eezarr.emulator.exports.office import ExportOffice
from eezarr.emulator.faults import Fault, FaultDeck, error_of
from eezarr.emulator.limits import payload_too_large
from eezarr.emulator.methods import Methods
from eezarr.emulator.quota import Quota, Slot
from eezarr.emulator.routing import EVERYWHERE, Route
from eezarr.emulator.stats import Counters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eezarr.emulator.call import Body
    from eezarr.emulator.raster import World
    from eezarr.emulator.settings import EmulatorSettings

_LOGGER = logging.getLogger(__name__)


class Service:
    """Answers the API's requests.

    Attributes:
        settings: What the next request will see.
        office: Tokens.
        quota: Requests in flight and their rates.
        deck: Faults.
        counters: What was seen and sent.
        exports: Operations.
    """

    def __init__(
        self,
        world: World,
        settings: EmulatorSettings,
        *,
        monotonic: Callable[[], float],
        wall_clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Serve `world`; the clocks and the sleep are the tests' to replace."""
        self.settings = settings
        self.office = TokenOffice(wall_clock)
        self.quota = Quota(monotonic)
        self.deck = FaultDeck()
        self.counters = Counters()
        self._monotonic = monotonic
        self.exports = ExportOffice(world, wall_clock=wall_clock, sleep=sleep)
        workers = settings.transfer.workers
        self._methods = Methods(world, self.counters, self.exports, workers=workers, sleep=sleep)

    async def close(self) -> None:
        """Stop the operations, end the threads."""
        await self.exports.close()
        self._methods.close()

    def forget(self) -> None:
        """Start all counts, rates, faults and operations afresh; tokens stay good, exported assets and files stay."""
        self.exports.forget()
        self.deck = FaultDeck()
        self.quota = Quota(self._monotonic)
        self.counters.clear()
        self.office.issued = 0

    async def answer(self, request: web.Request, route: Route, name: str) -> web.StreamResponse:
        """Answer one request of the API."""
        settings = self.settings
        try:
            return await self._answer(request, route, name, settings)
        except ApiError as error:
            return self._refusal(route, error, settings)
        except ConnectionError:
            raise
        except Exception:
            _LOGGER.exception("the emulator failed on %s %s", request.method, request.path)
            return self._refusal(route, ApiError(code=500, message="Internal error."), settings)

    async def _answer(
        self, request: web.Request, route: Route, name: str, settings: EmulatorSettings
    ) -> web.StreamResponse:
        scopes: frozenset[str] | None = None
        if route.kind != "thumbnail":
            path_project = "" if "/assets" in name else name.split("/")[1]
            quota_project = request.headers.get("X-Goog-User-Project", "")
            header = request.headers.get("Authorization", "")
            scopes = self.office.require(settings.auth, header, quota_project, path_project)
        content = await _content(request, settings.limits.max_payload_bytes)
        query, content = _query(request, route, content)
        slot = self.quota.admit(settings.quota)
        try:
            key = identity(request.method, request.path_qs, content)
            fault, attempt = self.deck.next(settings.faults, key, is_pixels=route.kind != "data")
            call = Call(
                route=route,
                name=name,
                query=query,
                payload=content,
                settings=settings,
                fault=fault,
                identity=key,
                attempt=attempt,
                scopes=scopes,
            )
            return await self._outcome(request, call, slot)
        except (asyncio.CancelledError, ConnectionError):
            if not slot.is_released:
                self.counters.requests[route.name, "gone"] += 1
            raise
        finally:
            slot.release()

    async def _outcome(self, request: web.Request, call: Call, slot: Slot) -> web.StreamResponse:
        """Answer what the fault says, or what the method answers."""
        if call.fault is not Fault.NONE:
            self.counters.faults[call.fault.value] += 1
        error = error_of(call.fault)
        if error is not None:
            raise error
        if call.fault is Fault.RESET:
            transfer.reset(request)
            self.counters.requests[call.route.name, "reset"] += 1
            return web.Response()
        if call.fault is Fault.BAD_GATEWAY:
            text = "The server encountered a temporary error and could not complete your request."
            return self._page(call, 502, html_page(502, "Server Error", text))
        if call.fault is Fault.HTML_PAGE:
            return self._page(call, 200, html_page(200, "OK", "Sign in to continue."))
        body = await self._methods.answer(call)
        return await self._send(request, call, body, slot)

    async def _send(self, request: web.Request, call: Call, body: Body, slot: Slot) -> web.StreamResponse:
        headers = self._headers(call.settings)
        if call.settings.transfer.gzip and transfer.is_gzip_client(request.headers):
            body = await self._methods.in_thread(lambda: transfer.compressed(body))
            headers["Content-Encoding"] = "gzip"
        is_broken = call.fault in (Fault.CUT, Fault.RESET_MIDWAY)

        def before_last() -> None:
            self.counters.bytes_sent += 0 if is_broken else body.size
            self.counters.requests[call.route.name, "reset" if is_broken else "200"] += 1
            slot.release()

        is_chunked = call.settings.transfer.chunked and call.route.kind != "data"
        return await transfer.send(
            request, body, headers, is_chunked=is_chunked, fault=call.fault, before_last=before_last
        )

    def _refusal(self, route: Route, error: ApiError, settings: EmulatorSettings) -> web.Response:
        self.counters.requests[route.name, str(error.code)] += 1
        headers = self._headers(settings)
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(error.retry_after_s)
        return web.Response(status=error.code, body=error.body(), headers=headers, content_type="application/json")

    def _page(self, call: Call, status: int, page: bytes) -> web.Response:
        self.counters.requests[call.route.name, str(status)] += 1
        return web.Response(status=status, body=page, content_type="text/html", charset="utf-8")

    def _headers(self, settings: EmulatorSettings) -> dict[str, str]:
        restricted = settings.quota.is_parallelism_restricted
        return {"x-earth-engine-quota-status": "parallelism_restricted=true"} if restricted else {}


async def _content(request: web.Request, max_bytes: int) -> bytes:
    """Read a body; one that is too long is read to its end, so that the client can read the refusal, but not kept."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size <= max_bytes:
            pieces.append(piece)
    if size > max_bytes:
        raise payload_too_large(max_bytes)
    return b"".join(pieces)


def _query(request: web.Request, route: Route, content: bytes) -> tuple[dict[str, str], bytes]:
    """Answer the query's parameters, and what is left as the body: of a POST in another verb's stead it is the query.

    Raises:
        ApiError: A parameter is unknown.
    """
    query = dict(request.query)
    if request.method != route.verb and request.content_type == "application/x-www-form-urlencoded":
        query |= dict(parse_qsl(content.decode(errors="replace"), keep_blank_values=True))
        content = b""
    unknown = query.keys() - route.query - EVERYWHERE
    if unknown:
        texts = [
            f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
            f"Field '{name}' could not be found in request message."
            for name in sorted(unknown)
        ]
        raise bad_fields([("", text) for text in texts])
    return query, content

"""The emulator as a server in a running loop."""

from __future__ import annotations

import asyncio
import html
import time
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Self

from aiohttp import web

from eezarr.emulator.control import Control
from eezarr.emulator.errors import html_page
from eezarr.emulator.routing import resolved
from eezarr.emulator.service import Service
from eezarr.emulator.settings import EmulatorSettings, merged

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from types import TracebackType

    from eezarr.emulator.auth import TokenOffice
    from eezarr.emulator.certificates import Certificates
    from eezarr.emulator.keys import UserKind
    from eezarr.emulator.raster import Json, World
    from eezarr.emulator.stats import Stats

# What many servers and proxies take, aiohttp's own limit among them. Longer lines are read, to say what is wrong.
_MAX_LINE = 8190
_MAX_READ_LINE = 2**20


class Emulator:
    """A local Earth Engine on a port of its own.

    `async with Emulator() as emulator: …` serves until the block ends.
    """

    def __init__(
        self,
        *,
        settings: EmulatorSettings | None = None,
        world: World | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare, without serving yet.

        Args:
            settings: What to start with, and what `reset` goes back to.
            world: What is served; default: synthetic scenes.
            host: Address to listen at.
            port: 0 takes a free one.
            tls: Whether to speak HTTPS, by a certificate of an authority of its own; clients have to trust it.
            monotonic: Clock of the quota, in seconds.
            wall_clock: Clock of the tokens and of the `Date` header, in seconds since the epoch.
            sleep: Waits for the latency.
        """
        self._initial = settings or EmulatorSettings()
        self._host, self._port = host, port
        self._wall_clock = wall_clock
        self._certificates: Certificates | None = _certificates(host) if tls else None
        self._runner: web.AppRunner | None = None
        world = _synthetic_world() if world is None else world
        self._identity = str(getattr(world, "identity", "other"))
        self._service = Service(
            world,
            self._initial,
            monotonic=monotonic,
            wall_clock=wall_clock,
            sleep=sleep,
        )
        self._control = Control(self)

    async def __aenter__(self) -> Self:
        """Serve."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        await self.stop()

    async def start(self) -> None:
        """Listen; returns when requests are answered."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        if self._wall_clock is not time.time:
            app.on_response_prepare.append(self._date)
        app.on_response_prepare.append(self._sign)
        # Cancellation of handlers whose client has gone is what ends a stalled answer.
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2, max_line_size=_MAX_READ_LINE
        )
        await runner.setup()
        self._runner = runner
        tls = self._certificates.context if self._certificates else None
        try:
            await web.TCPSite(runner, self._host, self._port, ssl_context=tls).start()
        except BaseException:
            await self.stop()
            raise
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening, drop what is under way."""
        if self._runner is not None:
            server = self._runner.server
            open_ones = [handler.transport for handler in server.connections] if server is not None else []
            await self._runner.cleanup()
            self._runner = None
            for transport in open_ones:
                if transport is not None:
                    transport.abort()  # TLS would wait for the clients' farewell, which may never come
            await asyncio.sleep(0)
        await self._service.close()

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end; use it where `https://earthengine.googleapis.com` would stand."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._certificates else 'http'}://{host}:{self._port}"

    @property
    def authority(self) -> bytes:
        """The certificate (PEM) of the authority that clients have to trust for HTTPS; empty without it."""
        return self._certificates.authority if self._certificates else b""

    @property
    def token_url(self) -> str:
        """The OAuth token endpoint."""
        return f"{self.url}/token"

    @property
    def office(self) -> TokenOffice:
        """Where tokens come from."""
        return self._service.office

    @property
    def settings(self) -> EmulatorSettings:
        """What the next request will see."""
        return self._service.settings

    @property
    def export_folder(self) -> Path:
        """Where exports to Cloud Storage (one folder a bucket) and Drive (the folder `Drive`) go."""
        return self._service.exports.folder(self._service.settings)

    def configure(self, change: Mapping[str, Json] | EmulatorSettings) -> EmulatorSettings:
        """Change the settings from the next request on: new ones, or a JSON object to lay over those of now.

        Raises:
            ValueError: A name or value that cannot be set.
        """
        settings = change if isinstance(change, EmulatorSettings) else merged(self._service.settings, change)
        self._service.settings = settings
        return settings

    def script(self, outcomes: Iterable[str]) -> None:
        """Say how the next requests for pixels end, in order: names of `FaultRates`, or `none` for a good answer.

        Raises:
            ValueError: A name is no fault.
        """
        self._service.deck.script(outcomes)

    def stats(self) -> Stats:
        """Answer what was seen and sent since the start or the last reset."""
        service = self._service
        return service.counters.report(
            in_flight=service.quota.in_flight,
            peak_in_flight=service.quota.peak,
            tokens_issued=service.office.issued,
        )

    def reset(self) -> None:
        """Forget counts, faults and operations, and go back to the first settings; credentials and exports stay."""
        self._service.settings = self._initial
        self._service.forget()

    def expire_tokens(self) -> None:
        """Make every access token given out so far worthless; the next request with one gets 401."""
        self._service.office.expire_all()

    def write_service_account_key(
        self, path: str | os.PathLike[str], *, project: str = "emulator-project", email: str | None = None
    ) -> Path:
        """Write a service-account key file that google-auth reads, and whose tokens come from here."""
        keys = self._service.office.keys
        return keys.write_service_account(Path(path), token_url=self.token_url, project=project, email=email)

    def write_user_credentials(
        self,
        path: str | os.PathLike[str],
        *,
        quota_project: str | None = None,
        kind: UserKind = "external_account_authorized_user",
    ) -> Path:
        """Write a user's credentials.

        Args:
            path: File to write, readable by its owner only.
            quota_project: Named in the file; without one the API answers 403, as the service does.
            kind: The default works with `google.auth.default()` unchanged. `authorized_user` is what gcloud leaves, but
                google-auth sends its refresh token to Google whatever `token_uri` says; it is for clients that heed it.
        """
        keys = self._service.office.keys
        return keys.write_user(Path(path), kind, token_url=self.token_url, quota_project=quota_project)

    async def _date(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(self._wall_clock(), usegmt=True)

    async def _sign(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Say that this is an emulator, and of which world: by its port alone nobody knows."""
        response.headers["Server"] = f"eezarr-emulator/{self._identity}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if len(f"{request.method} {request.raw_path} HTTP/1.1") > _MAX_LINE:
            text = f"The requested URL <code>{html.escape(request.path)}</code> is too large to process."
            return self._page(414, "Request-URI Too Large", text)
        # As Google's front ends take requests that are too long for a URL: a POST that stands for another verb.
        verb = request.headers.get("X-HTTP-Method-Override", "") if request.method == "POST" else ""
        found = resolved(verb.upper() or request.method, request.path)
        if found is None:
            text = f"The requested URL <code>{html.escape(request.path)}</code> was not found on this server."
            return self._page(404, "Not Found", text)
        route, name = found
        try:
            if route.kind == "open":
                return await self._control.answer(request, route)
            return await self._service.answer(request, route, name)
        except ConnectionError:
            if request.transport is not None and not request.transport.is_closing():
                raise
            # The client has left: aiohttp drops an answer without a word, but logs an error as the server's own.
            return web.Response()

    def _page(self, status: int, reason: str, text: str) -> web.Response:
        self._service.counters.requests["unknown", str(status)] += 1
        page = html_page(status, reason, text)
        return web.Response(status=status, body=page, content_type="text/html", charset="utf-8")


def _synthetic_world() -> World:
    from eezarr.emulator.world import SyntheticWorld  # noqa: PLC0415 - only where no world is given

    return SyntheticWorld()


def _certificates(host: str) -> Certificates:
    from eezarr.emulator.certificates import certify  # noqa: PLC0415 - only where HTTPS is spoken

    return certify(host)

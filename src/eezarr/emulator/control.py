"""What is not the API: discovery, tokens, and the emulator's own controls under `/__emulator__/`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from eezarr.emulator import discovery
from eezarr.emulator.auth import GrantError, TokenOffice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from eezarr.emulator.raster import Json
    from eezarr.emulator.routing import Route
    from eezarr.emulator.settings import EmulatorSettings
    from eezarr.emulator.stats import Stats


class _BadControlError(ValueError):
    """A control's body that cannot be read."""


class Controlled(Protocol):
    """What the controls act on."""

    @property
    def token_url(self) -> str:
        """The OAuth endpoint."""
        ...

    @property
    def settings(self) -> EmulatorSettings:
        """What the next request will see."""
        ...

    @property
    def office(self) -> TokenOffice:
        """Where tokens come from."""
        ...

    def configure(self, change: Mapping[str, Json]) -> EmulatorSettings:
        """Lay `change` over the settings."""
        ...

    def script(self, outcomes: Iterable[str]) -> None:
        """Queue outcomes."""
        ...

    def stats(self) -> Stats:
        """Answer the counts."""
        ...

    def reset(self) -> None:
        """Start afresh."""
        ...

    def expire_tokens(self) -> None:
        """Make all tokens worthless."""
        ...


class Control:
    """Answers the routes of kind `open`."""

    def __init__(self, target: Controlled) -> None:
        """Act on `target`."""
        self._target = target
        self._handlers: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
            "discovery": self._discovery,
            "token": self._token,
            "stats": self._stats,
            "settings": self._settings,
            "configure": self._configure,
            "script": self._script,
            "reset": self._reset,
            "expire_tokens": self._expire_tokens,
        }

    async def answer(self, request: web.Request, route: Route) -> web.Response:
        """Answer one request; what cannot be set is a 400 that says why."""
        try:
            return await self._handlers[route.name](request)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)

    async def _discovery(self, request: web.Request) -> web.Response:
        base_url = f"{request.scheme}://{request.host}/"
        return web.json_response(discovery.document(base_url, request.query.get("version", "v1")))

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        target = self._target
        try:
            return web.json_response(target.office.grant(target.settings.auth, form, target.token_url))
        except GrantError as error:
            return web.json_response({"error": error.error, "error_description": error.description}, status=400)

    async def _stats(self, _request: web.Request) -> web.Response:
        return web.json_response(dataclasses.asdict(self._target.stats()))

    async def _settings(self, _request: web.Request) -> web.Response:
        return web.json_response(dataclasses.asdict(self._target.settings))

    async def _configure(self, request: web.Request) -> web.Response:
        settings = self._target.configure(await _object(request))
        return web.json_response(dataclasses.asdict(settings))

    async def _script(self, request: web.Request) -> web.Response:
        outcomes = (await _object(request)).get("outcomes")
        if not isinstance(outcomes, list):
            raise _BadControlError('a JSON object {"outcomes": [names of faults]} is needed')
        self._target.script([str(outcome) for outcome in outcomes])
        return web.json_response({})

    async def _reset(self, _request: web.Request) -> web.Response:
        self._target.reset()
        return web.json_response({})

    async def _expire_tokens(self, _request: web.Request) -> web.Response:
        self._target.expire_tokens()
        return web.json_response({})


async def _object(request: web.Request) -> dict[str, Json]:
    document: Json = json.loads(await request.text())
    if not isinstance(document, dict):
        raise _BadControlError("a JSON object is needed")
    return document

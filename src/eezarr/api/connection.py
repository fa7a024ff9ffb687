"""An open way to one Earth Engine: credentials, connections, and the gate that all requests of a process pass."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from eezarr.api.descriptions import Descriptions
from eezarr.calls import checked_methods
from eezarr.config import FetchOptions
from eezarr.earthengine import EarthEngine
from eezarr.engine import Asker
from eezarr.engine.gate import Terms, shared_gate
from eezarr.errors import EezarrError, InvalidInput, Retryable
from eezarr.events import LimitChanged, Restricted
from eezarr.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from types import TracebackType
    from typing import TypeVar

    from eezarr.earthengine.auth import Credentials
    from eezarr.events import Observer

    T = TypeVar("T")

__all__ = ["Connection", "Link"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What an open connection consists of."""

    service: EarthEngine
    """Makes single attempts."""
    asker: Asker
    """Makes them pass the gate, and makes them again."""


@checked_methods
class Connection:
    """Access to Earth Engine for one project: every request of whatever kind passes one gate.

    Use it as an async context manager. Default options are the service's documented quota.

    Args:
        project: The project that computes; default: EARTHENGINE_PROJECT, GOOGLE_CLOUD_PROJECT, else what the
            credentials name.
        credentials: A google-auth object, the path of a key file, `anonymous`, or None to search.
        options: Concurrency, rate, retries, memory.
        api_url: The service, instead of the options'.
        observe: Told of every `Event`, in the loop's thread.
        sleep: Waits so many seconds: between attempts, and between looks at an operation.

    Raises:
        AccessDenied: On entering, if no credentials or no project are found.
        InvalidInput: On entering, if the address cannot be.
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        credentials: Credentials | Path | str | None = None,
        options: FetchOptions | None = None,
        api_url: str | None = None,
        observe: Observer = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.options = options or FetchOptions()
        self._project = project
        self._credentials = credentials
        self._api_url = api_url or self.options.api_url
        self._tell = observe
        self._sleep = sleep
        self._is_restricted = False
        self._closing = AsyncExitStack()
        self._link: Link | None = None
        self.descriptions = Descriptions()
        """What was asked for of assets, expressions and collections; kept until the connection is closed."""

    async def __aenter__(self) -> Self:
        service = await EarthEngine.connect(
            project=self._project,
            credentials=self._credentials,
            api_url=self._api_url,
            gzip=self.options.gzip,
            workload_tag=self.options.workload_tag,
            on_restricted=self._on_restricted,
        )
        await self._closing.enter_async_context(service)
        terms = Terms(
            max_concurrency=self.options.max_concurrency,
            max_requests_per_second=self.options.max_requests_per_second,
            on_shrink=lambda limit: self._tell(LimitChanged(limit=limit)),
        )
        gate = self._closing.enter_context(shared_gate(self._api_url, service.project, terms))
        policy = RetryPolicy(attempts=self.options.attempts, deadline_s=self.options.deadline_s)
        asker = Asker(
            gate=gate,
            policy=policy,
            observe=self._tell,
            is_in_contact=lambda: service.transport.has_answered,
            sleep=self._sleep,
        )
        self._link = Link(service=service, asker=asker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link = None
        self.descriptions.forget()
        await self._closing.aclose()

    async def _ask(self, what: str, call: Callable[[EarthEngine], Awaitable[T]]) -> T:
        """Return what a call answers, asked as often as it takes."""
        link = self._open()
        try:
            return (await link.asker.ask(what, lambda: call(link.service))).value
        except Retryable as error:
            # What the network says does not know which call it broke.
            error.message = f"{what}: {error.message}"
            raise

    @property
    def origin(self) -> str:
        """The service that is asked, as stores name it; of an emulator it shows in the first response only."""
        return self._open().service.transport.origin

    async def learn_origin(self) -> str:
        """Return the service that is asked, as stores name it.

        Where only a response tells it, the service is asked for its description once; one that has none is no emulator.
        """
        if not self._open().service.transport.is_origin_known:
            with suppress(EezarrError):
                await self._ask(
                    "the service's own description",
                    lambda service: service.transport.call_json("GET", "/$discovery/rest", query={"version": "v1"}),
                )
        return self.origin

    def _open(self) -> Link:
        if self._link is None:
            name = type(self).__name__
            raise InvalidInput(
                f"The {name.lower()} is not open.", hint=f"Use it as `async with eezarr.{name}(...) as client:`."
            )
        return self._link

    def _on_restricted(self) -> None:
        if self._link is not None:
            self._link.asker.gate.on_restricted()
        if not self._is_restricted:
            self._is_restricted = True
            self._tell(Restricted(status="parallelism_restricted"))

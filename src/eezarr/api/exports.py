"""Exports and the operations that carry them out: started once, watched with patience, cancelled when asked.

Law of watching: a look is a request like any other, so it passes the gate and holds one of its slots while it is out.
The service is let keep an answer back (`operations.wait`) only while nothing else is out, for 10 s at the most: a fetch
that begins meanwhile goes without one slot for so long, once. Otherwise the wait is here, without a slot, and the look
is short. Looks never come twice as fast as their schedule, however early the service answers.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from eezarr.api.connection import Connection
from eezarr.calls import checked_methods
from eezarr.earthengine import operations
from eezarr.earthengine.exporting import start_export
from eezarr.errors import AccessDenied, Retryable, ServiceRefusal, Throttled, Unreachable
from eezarr.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from eezarr.earthengine import EarthEngine
    from eezarr.earthengine.exporting import ExportRequest
    from eezarr.earthengine.operations import Operation

__all__ = ["Exports"]

_COLLISION = re.compile(r"already started with the given request_?id", re.IGNORECASE)
_CLOCKS = timedelta(minutes=10)
"""How far this machine's clock may be from the service's."""

_LOOKS_S = (0.0, 1.0, 4.0, 10.0)
"""Waits before each look for an operation whose start was not answered: lists lag behind."""

FIRST_LOOK_S = 0.5
LONGEST_LOOK_S = 30.0
"""Between two looks at an operation: it doubles from the first to the longest. Exports take minutes to hours."""
LONGEST_POLL_S = 10.0
"""How long the service may keep an answer back, and so hold a slot; also far below any proxy's patience."""
_POLL_SLACK_S = 20.0
"""For the gate's own pauses and the way there and back."""


@checked_methods
class Exports(Connection):
    """The REST methods of batch exports; see `Connection` for the arguments."""

    async def export_image(self, request: ExportRequest) -> Operation:
        """Start an export (`image.export`), at most once for one request.

        When the answer to a start is lost, it is asked again with the same request id. If the service then says that
        the id is taken, the export has started: its operation is found in the project's list, by description and time.

        Raises:
            ServiceRefusal: If the service refuses it, or its id was used by another request.
            Unreachable: If it may have started, but its operation was not found.
            EezarrError: What the last attempt failed with.
        """
        since = datetime.now(UTC)
        is_answer_lost = False

        async def attempt(service: EarthEngine) -> Operation:
            nonlocal is_answer_lost
            try:
                return await start_export(service, request)
            except Retryable as error:
                is_answer_lost = is_answer_lost or not isinstance(error, Throttled)
                raise

        try:
            return await self._ask("image:export", attempt)
        except ServiceRefusal as error:
            if not _COLLISION.search(error.message) or not is_answer_lost:
                raise
        return await self._started(request, since - _CLOCKS)

    async def get_operation(self, operation: str) -> Operation:
        """Return an operation as it is now (`operations.get`).

        Args:
            operation: Its name, or its id for one of this project.

        Raises:
            EezarrError: `ServiceRefusal` if there is none.
        """
        return await self._ask(
            f"operations.get {operation}", lambda service: operations.get_operation(service, operation)
        )

    async def list_operations(self, *, page_size: int = 500) -> AsyncIterator[Operation]:
        """Yield the project's operations (`operations.list`), other people's too, as the service orders them.

        Raises:
            EezarrError: What the last attempt failed with.
        """
        token: str | None = ""
        while token is not None:
            asked = token
            page = await self._ask(
                "operations.list",
                lambda service: operations.list_operations(service, page_size=page_size, token=asked),  # noqa: B023
            )
            for operation in page.operations:
                yield operation
            token = page.next_token if page.next_token not in {"", asked} else None

    async def cancel_operation(self, operation: str) -> None:
        """Ask for an operation to be cancelled (`operations.cancel`); `wait_operation` tells when it is.

        Raises:
            EezarrError: `ServiceRefusal` if there is none.
        """
        await self._ask(
            f"operations.cancel {operation}", lambda service: operations.cancel_operation(service, operation)
        )

    async def delete_operation(self, operation: str) -> None:
        """Remove an operation that is over from the list (`operations.delete`).

        One that is not there counts as removed: when an answer is lost, the request is repeated, and not by us alone,
        since HTTP takes DELETE for repeatable.

        Raises:
            EezarrError: What the last attempt failed with.
        """
        try:
            await self._ask(
                f"operations.delete {operation}", lambda service: operations.delete_operation(service, operation)
            )
        except ServiceRefusal as error:
            if error.status != 404:
                raise

    async def wait_operation(
        self, operation: str, *, on_look: Callable[[Operation], None] = lambda _: None
    ) -> Operation:
        """Return an operation once it is over, well or not; `Operation.require_success` tells which.

        Looks are far apart (half a second at first; 10 s where the service tells of the end itself, else 30 s), so that
        a wait of hours costs no quota. To stop waiting, cancel the task: the operation runs on.

        Args:
            operation: Its name or id.
            on_look: Told of what each look saw.

        Raises:
            EezarrError: If it cannot be looked at.
        """
        seen, pause_s, is_polling = await self.get_operation(operation), FIRST_LOOK_S, True
        on_look(seen)
        while not seen.is_done:
            polled: Operation | None = None
            if is_polling and self._open().asker.gate.in_flight == 0:
                polled = await self._poll(operation, min(pause_s, LONGEST_POLL_S))
                is_polling = polled is not None
            if polled is None:
                await self._sleep(pause_s)
                polled = await self.get_operation(operation)
            seen, pause_s = polled, min(2 * pause_s, LONGEST_LOOK_S)
            on_look(seen)
        return seen

    async def _poll(self, operation: str, timeout_s: float) -> Operation | None:
        """Return what the service answers when the operation is over or the time is.

        None if it does not keep the answer back: no such method, a proxy in between that cuts silence, or an answer in
        less than half the time. It is asked once, as it is not needed: `operations.get` tells what is wrong.
        """
        clock = asyncio.get_running_loop().time
        link, start_s = self._open(), clock()
        once = replace(link.asker, policy=RetryPolicy(attempts=1, deadline_s=timeout_s + _POLL_SLACK_S))
        try:
            answer = await once.ask(
                f"operations.wait {operation}",
                lambda: operations.wait_operation(link.service, operation, timeout_s=timeout_s),
            )
        except (AccessDenied, Retryable, ServiceRefusal):
            return None
        return answer.value if answer.value.is_done or clock() - start_s >= timeout_s / 2 else None

    async def _started(self, request: ExportRequest, since: datetime) -> Operation:
        """Return the operation that a request started whose answer was lost."""
        for wait_s in _LOOKS_S:
            await self._sleep(wait_s)
            found = [
                operation
                async for operation in self.list_operations()
                if operation.description == request.description
                and (operation.created is None or operation.created >= since)
            ]
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(operation.name for operation in found[:5])
                raise Unreachable(
                    f"The export {request.description!r} has started; it is one of {names}.",
                    hint="Give exports descriptions of their own; do not start it again.",
                )
        raise Unreachable(
            f"The export {request.description!r} has started, but its operation is not listed yet.",
            hint="Look for it with `eezarr operations list`; do not start it again.",
        )

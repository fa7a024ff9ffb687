"""Exports and the operations that carry them out: started once, watched with patience, cancelled when asked."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from eezarr.api.connection import Connection
from eezarr.earthengine import operations
from eezarr.earthengine.exporting import start_export
from eezarr.errors import Retryable, ServiceRefusal, Throttled, Unreachable

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

        Looks are far apart (half a second at first, 30 s at the most), so that a wait of hours costs no quota. To stop
        waiting, cancel the task: the operation runs on.

        Args:
            operation: Its name or id.
            on_look: Told of what each look saw.

        Raises:
            EezarrError: If it cannot be looked at.
        """
        wait_s = FIRST_LOOK_S
        while True:
            seen = await self.get_operation(operation)
            on_look(seen)
            if seen.is_done:
                return seen
            await self._sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_LOOK_S)

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

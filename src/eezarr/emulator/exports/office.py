"""Where operations live: started once, queued, run a few at a time, asked about, cancelled, forgotten."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from eezarr.emulator.errors import ApiError, operation_not_found
from eezarr.emulator.exports.assets import asset_steps
from eezarr.emulator.exports.geotiffs import tiff_steps
from eezarr.emulator.exports.operation import CANCELLED, INTERNAL, Failure, Operation, State
from eezarr.emulator.exports.place import destinations_of, place_of
from eezarr.emulator.exports.request import AssetTarget, ExportRequest, TiffOptions
from eezarr.emulator.exports.source import ExportFailure, ExportSource, export_source
from eezarr.emulator.exports.tfrecords import record_steps
from eezarr.emulator.exports.turns import Turns
from eezarr.emulator.exports.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from eezarr.emulator.raster import World
    from eezarr.emulator.settings import EmulatorSettings

_LOGGER = logging.getLogger(__name__)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
# Operations that are remembered; older ones that are done go first.
_MAX_REMEMBERED = 10_000
# What a pixel of a band costs: the order of magnitude of a published measurement (0.25 s for 512 x 512).
_EECU_S_PER_PIXEL = 1e-6


class ExportOffice:
    """All operations of an emulator. Everything but the writing itself happens in the server's loop."""

    def __init__(
        self, world: World, *, wall_clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """Export images of `world`; times are those of `wall_clock`, in seconds since the epoch."""
        self._world = world
        self._clock = wall_clock
        self._sleep = sleep
        self._turns = Turns()
        self._operations: dict[str, Operation] = {}
        self._requests: dict[tuple[str, str], tuple[str, str]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._temporary: Path | None = None

    def folder(self, settings: EmulatorSettings) -> Path:
        """Answer the folder that stands for Cloud Storage and Drive."""
        return Path(settings.export_folder) if settings.export_folder else self._own_folder() / "exports"

    def start(self, request: ExportRequest, settings: EmulatorSettings) -> Operation:
        """Answer a new operation, or the one that the same request has started before.

        Raises:
            ApiError: Another request has started one under the same id; or too many are waiting.
        """
        key = request.project, request.request_id
        content, name = self._requests.get(key, ("", ""))
        if request.request_id and name:
            if content != request.content:
                text = "A different Operation was already started with the given request_id"
                raise ApiError(code=409, message=text)
            return self.get(name)
        pending = sum(each.state == "PENDING" for each in self.all(request.project))
        if pending >= settings.exports.max_pending:
            text = f"Too many tasks already in the queue ({settings.exports.max_pending})."
            raise ApiError(code=429, message=f"{text} Please wait for some of them to complete.")
        operation = self._new(request)
        self._requests[key] = request.content, operation.name
        task = asyncio.create_task(self._live(operation.name, request, settings))
        self._tasks[operation.name] = task
        task.add_done_callback(partial(self._ended, operation.name))
        return operation

    def all(self, project: str) -> list[Operation]:
        """Answer a project's operations, the latest first."""
        prefix = f"{project}/operations/"
        return [each for name, each in reversed(self._operations.items()) if name.startswith(prefix)]

    def get(self, name: str) -> Operation:
        """Answer an operation as it is now.

        Raises:
            ApiError: There is none.
        """
        if name not in self._operations:
            raise operation_not_found(name)
        return self._operations[name]

    def cancel(self, name: str) -> None:
        """Ask an operation to stop; one that is done stays as it is.

        Raises:
            ApiError: There is none.
        """
        if self.get(name).state in ("PENDING", "RUNNING"):
            self._change(name, state="CANCELLING")
            self._tasks[name].cancel()

    def delete(self, name: str) -> None:
        """Forget an operation; it goes on if it is not done.

        Raises:
            ApiError: There is none.
        """
        self.get(name)
        del self._operations[name]

    async def wait(self, name: str, timeout_s: float) -> Operation:
        """Answer an operation when it is done, or as it is when the time is over.

        Raises:
            ApiError: There is none.
        """
        operation, task = self.get(name), self._tasks.get(name)
        if task is not None and timeout_s > 0:
            timer = asyncio.ensure_future(self._sleep(timeout_s))
            try:
                await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
        return self._operations.get(name, operation)

    def forget(self) -> None:
        """Stop and forget all operations; what they have written stays."""
        for task in self._tasks.values():
            task.cancel()
        self._operations.clear()
        self._requests.clear()

    async def close(self) -> None:
        """Stop all operations, and delete what is in the emulator's own folder."""
        self.forget()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)
            self._temporary = None

    async def _live(self, name: str, request: ExportRequest, settings: EmulatorSettings) -> None:
        """Bring one operation from its start to its end."""
        exports = settings.exports
        try:
            await self._pause(exports.queued_s)
            async with self._turns.turn(request.priority, exports.max_running):
                self._change(name, state="RUNNING")
                await self._run(name, request, settings)
            self._change(name, state="SUCCEEDED", destinations=_destinations(request))
        except asyncio.CancelledError:
            if name in self._operations:
                await self._pause(exports.cancel_s)
            raise
        except ExportFailure as error:
            self._change(name, state="FAILED", failure=error.failure)
        except Exception:
            _LOGGER.exception("the emulator failed on export %s", name)
            self._change(name, state="FAILED", failure=Failure(code=INTERNAL, message="Internal error."))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        """Note the end of an operation's task; one that was cancelled may never have begun."""
        self._tasks.pop(name, None)
        if task.cancelled():
            self._change(name, state="CANCELLED", failure=Failure(code=CANCELLED, message="Cancelled."))

    async def _run(self, name: str, request: ExportRequest, settings: EmulatorSettings) -> None:
        """Write the export, in a thread of its own, block by block."""
        with Worker() as worker:
            source = await worker.do(lambda: export_source(self._world, request))
            self._progress(name, total=source.window.pixels)
            steps = self._steps(source, request, settings)
            try:
                while (pixels := await worker.do(lambda: next(steps, None))) is not None:
                    self._progress(name, done=pixels, eecu_s=pixels * len(source.bands) * _EECU_S_PER_PIXEL)
                    await self._pause(settings.exports.per_megapixel_s * pixels / 1e6)
            finally:
                await worker.do(steps.close)

    def _steps(
        self, source: ExportSource, request: ExportRequest, settings: EmulatorSettings
    ) -> Generator[int, None, None]:
        target = request.target
        if isinstance(target, AssetTarget):
            version = int(self._clock() * 1e6)
            return asset_steps(source, target, self._world, self._own_folder() / "assets", version)
        place = place_of(target, self.folder(settings))
        if isinstance(target.options, TiffOptions):
            return tiff_steps(source, target.options, place)
        return record_steps(source, target.options, place)

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)

    def _progress(self, name: str, *, total: int = 0, done: int = 0, eecu_s: float = 0.0) -> None:
        operation = self._operations.get(name)
        if operation is not None:
            self._operations[name] = replace(
                operation,
                total_pixels=operation.total_pixels + total,
                done_pixels=operation.done_pixels + done,
                eecu_s=operation.eecu_s + eecu_s,
                updated_s=self._clock(),
            )

    def _own_folder(self) -> Path:
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="eezarr-emulator-"))
        return self._temporary

    def _new(self, request: ExportRequest) -> Operation:
        identifier = "".join(secrets.choice(_ALPHABET) for _ in range(24))
        now = self._clock()
        operation = Operation(
            name=f"{request.project}/operations/{identifier}",
            description=request.description,
            priority=request.priority,
            created_s=now,
            updated_s=now,
        )
        self._operations[operation.name] = operation
        if len(self._operations) > _MAX_REMEMBERED:
            oldest = next((name for name, each in self._operations.items() if each.is_done), None)
            self._operations.pop(oldest or "", None)
        return operation

    def _change(
        self,
        name: str,
        *,
        state: State,
        failure: Failure | None = None,
        destinations: tuple[str, ...] = (),
    ) -> None:
        """Bring an operation to another state, unless it was deleted."""
        operation = self._operations.get(name)
        if operation is None:
            return
        now = self._clock()
        changed = replace(operation, state=state, failure=failure, destinations=destinations, updated_s=now)
        if state == "RUNNING":
            changed = replace(changed, started_s=now)
        self._operations[name] = replace(changed, ended_s=now) if changed.is_done else changed


def _destinations(request: ExportRequest) -> tuple[str, ...]:
    target = request.target
    if isinstance(target, AssetTarget):
        return (f"https://code.earthengine.google.com/?asset={target.name}",)
    return destinations_of(target)

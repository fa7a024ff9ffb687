"""`eezarr export` and `eezarr operations`: batch exports, started, followed, listed and cancelled."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Literal

from eezarr.api.exporting import run_export
from eezarr.api.loops import run_to_end
from eezarr.cli.leaving import run_interruptibly
from eezarr.errors import EezarrError, InvalidInput
from eezarr.printable import printable

if TYPE_CHECKING:
    from eezarr.api.service import Service
    from eezarr.config import ExportJob
    from eezarr.earthengine.operations import Operation

__all__ = ["print_operations", "run_export_job"]


def run_export_job(job: ExportJob, *, request_id: str | None, is_waiting: bool, as_json: bool, quiet: bool) -> None:
    """Start an export, show it on stderr, and print its result; interrupted, it leaves the operation running.

    Raises:
        EezarrError: If it cannot be started, or did not succeed.
    """
    seen: list[Operation] = []

    def on_look(operation: Operation) -> None:
        if not quiet and (not seen or _progress(seen[-1]) != _progress(operation)):
            sys.stderr.write(printable(f"{operation.name}: {_progress(operation)}\n"))
        seen.append(operation)

    work = run_export(job, request_id=request_id, is_waiting=is_waiting, on_look=on_look)
    try:
        ended = run_interruptibly(work, left=lambda: _left(seen))
    except EezarrError:
        if as_json and seen:
            sys.stdout.write(json.dumps(seen[-1].to_json()) + "\n")
        raise
    sys.stdout.write(json.dumps(ended.to_json()) + "\n" if as_json else _result(ended))


def print_operations(
    service: Service, action: Literal["list", "get", "cancel"], operation: str | None, *, limit: int, as_json: bool
) -> None:
    """List the project's operations, print one, or cancel one.

    Raises:
        InvalidInput: If an operation is missing, or too many.
        EezarrError: If the service refuses.
    """
    if (action == "list") != (operation is None):
        raise InvalidInput(f"`{action}` {'takes no' if operation else 'needs an'} operation.", hint=_USAGE)

    async def run() -> list[Operation]:
        async with service:
            if operation is None:
                return await _first(service, limit)
            if action == "cancel":
                await service.cancel_operation(operation)
            return [await service.get_operation(operation)]

    found = run_to_end(run())
    if as_json:
        facts = [each.to_json() for each in found]
        sys.stdout.write(json.dumps(facts if action == "list" else facts[0]) + "\n")
    else:
        sys.stdout.write("".join(map(_line if action == "list" else _result, found)))


_USAGE = "Write `eezarr operations`, `eezarr operations get NAME` or `eezarr operations cancel NAME`."


async def _first(service: Service, limit: int) -> list[Operation]:
    found: list[Operation] = []
    async for operation in service.list_operations(page_size=min(limit, 500)):
        found.append(operation)
        if len(found) == limit:
            break
    return found


def _left(seen: list[Operation]) -> str:
    if not seen:
        return "the export may have started; `eezarr operations` lists it"
    name = seen[-1].name
    return f"{name} runs on; `eezarr operations get {name}` shows it, `eezarr operations cancel {name}` ends it"


def _progress(operation: Operation) -> str:
    share = "" if operation.progress is None or operation.is_done else f" {operation.progress:.0%}"
    attempt = f", attempt {operation.attempt}" if (operation.attempt or 1) > 1 else ""
    return f"{operation.state}{share}{attempt}"


def _line(operation: Operation) -> str:
    created = operation.created.isoformat(timespec="seconds") if operation.created else "-"
    return f"{operation.id}  {operation.state:<10} {created:<25} {operation.type:<14} {operation.description}\n"


def _result(operation: Operation) -> str:
    rows = [
        ("operation", operation.name),
        ("state", _progress(operation)),
        ("called", operation.description),
        ("error", operation.error_message),
        *(("written to", place) for place in operation.destinations),
        ("used", "" if operation.eecu_seconds is None else f"{operation.eecu_seconds:.1f} EECU-seconds"),
    ]
    return "".join(f"{name:<10} {value}\n" for name, value in rows if value)

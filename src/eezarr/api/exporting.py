"""Whole exports: what a job file's `[export]` says, started once and followed to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from eezarr.api.client import Client
from eezarr.api.loops import run_to_end
from eezarr.api.resolving import resolve_pixels
from eezarr.calls import checked_arguments
from eezarr.config import ExportJob
from eezarr.earthengine.exportfiles import GeoTiffOptions, TfRecordOptions
from eezarr.earthengine.exporting import AssetExport, CloudStorage, Drive, ExportRequest, FileExport
from eezarr.grid import Shape2D

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from eezarr.config import ExportOptions
    from eezarr.earthengine.auth import Credentials
    from eezarr.earthengine.operations import Operation

__all__ = ["export", "resolve_export", "run_export"]


@checked_arguments
def export(
    job: ExportJob | Mapping[str, object] | Path | str,
    *,
    credentials: Credentials | Path | str | None = None,
    request_id: str | None = None,
    is_waiting: bool = True,
    on_look: Callable[[Operation], None] = lambda _: None,
) -> Operation:
    """Start a job's export and, unless told otherwise, wait for its end; see `run_export`.

    Raises:
        EezarrError: If it cannot be started, or did not succeed.
    """
    work = run_export(
        ExportJob.of(job), credentials=credentials, request_id=request_id, is_waiting=is_waiting, on_look=on_look
    )
    return run_to_end(work)


@checked_arguments
async def run_export(
    job: ExportJob,
    *,
    credentials: Credentials | Path | str | None = None,
    request_id: str | None = None,
    is_waiting: bool = True,
    on_look: Callable[[Operation], None] = lambda _: None,
) -> Operation:
    """Start a job's export and, unless told otherwise, wait for its end. Cancelled, it leaves the operation running.

    Args:
        job: What is exported.
        credentials: A google-auth object, the path of a key file, `anonymous`, or None to search.
        request_id: The intent: of all starts with one id the service carries out one. Default: a new one.
        is_waiting: Whether to wait.
        on_look: Told of the operation once it has started, and at each look.

    Raises:
        InvalidInput: If the job cannot be.
        EezarrError: If it cannot be started, or did not succeed.
    """
    job = ExportJob.of(job)
    async with Client(project=job.project, credentials=credentials, options=job.fetch) as client:
        request = await resolve_export(job, client, request_id=request_id)
        operation = await client.export_image(request)
        on_look(operation)
        if not is_waiting:
            return operation
        ended = await client.wait_operation(operation.name, on_look=on_look)
        ended.require_success()
        return ended


async def resolve_export(job: ExportJob, client: Client, *, request_id: str | None = None) -> ExportRequest:
    """Return what a job would export, from metadata alone.

    Raises:
        InvalidInput: If the job cannot be.
        ServiceRefusal: If the service knows no such asset, band or function.
    """
    described, grid = await resolve_pixels(job, client)
    return ExportRequest(
        expression=described.image.computed,
        target=_target(job.export),
        grid=grid,
        description=job.export.description,
        max_pixels=job.export.max_pixels,
        priority=job.export.priority,
        request_id=request_id or str(uuid4()),
    )


def _target(options: ExportOptions) -> FileExport | AssetExport:
    if options.destination == "asset":
        return AssetExport(
            name=options.asset or "",
            overwrite=options.overwrite,
            pyramiding=options.pyramiding,
            pyramiding_overrides=options.pyramiding_overrides,
        )
    prefix = options.prefix or ""
    if options.destination == "drive":
        return FileExport(destination=Drive(prefix=prefix, folder=options.folder), options=_files(options))
    return FileExport(destination=CloudStorage(bucket=options.bucket or "", prefix=prefix), options=_files(options))


def _files(options: ExportOptions) -> GeoTiffOptions | TfRecordOptions:
    records = options.tfrecord
    if records is None:
        files = options.geotiff
        if files is None:
            return GeoTiffOptions()
        return GeoTiffOptions(
            cloud_optimized=files.cloud_optimized,
            tile_size=files.tile_size,
            file_shape=Shape2D(*files.file_shape) if files.file_shape else None,
            skip_empty=files.skip_empty,
            no_data=files.no_data,
        )
    return TfRecordOptions(
        patch=Shape2D(*records.patch),
        margin=Shape2D(*records.margin) if records.margin else None,
        compress=records.compress,
        max_bytes=records.max_bytes,
        default_value=records.default_value,
        tensor_depths=records.tensor_depths,
        sequence_data=records.sequence_data,
        collapse_bands=records.collapse_bands,
        max_masked_ratio=records.max_masked_ratio,
    )

"""A store as Cloud Optimized GeoTIFF, for readers that know no Zarr: one file, or one a time step.

What a GeoTIFF cannot hold is refused, never bent: it has one type, one nodata value, and one mask for all its bands.

- Bands of several types are one file only in a type that is asked for, and that holds each one's values exactly.
- A declared fill becomes the file's nodata value; a shared mask becomes the file's mask. Bands with fills or masks of
  their own are one file only with a nodata value that is asked for, and that no valid pixel has.
- What is not stored (tiles that are missing, or outside of the region's polygon) is nodata, or masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput, StoreError
from eezarr.outputs.cloudoptimized import FileSpec, require_rasterio, write_file
from eezarr.outputs.layers import stored_layers
from eezarr.plan import DTYPES
from eezarr.plan.masking import stored_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from eezarr.outputs.cloudoptimized import Compression, Resampling
    from eezarr.plan import Band, Fill, Plan, Step
    from eezarr.store import StoredJob

__all__ = ["Conversion", "ConversionProgress", "convert_store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What is made of a store."""

    bands: tuple[str, ...] | None = None
    """Names, in the file's order; None: all."""
    time: str | None = None
    """One step of a cube: its position (-1 is the last), or the beginning of its time; None: a file for each."""
    dtype: str | None = None
    """NumPy name of the file's type; None: the bands' own."""
    nodata: Fill | None = None
    """What masked pixels become; None: the declared fill, if there is one."""
    compression: Compression = "deflate"
    resampling: Resampling | None = None
    """How the overviews are made; None: average of floats, nearest of integers, which may be classes or flags."""
    is_partial: bool = False
    """Whether a store with tiles missing is taken."""
    overwrite: bool = False
    """Whether files that are there are replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionProgress:
    """How far a conversion is."""

    file: Path
    stage: str
    """What is being done."""
    share: float
    """How much of the file's pixels are read, 0 to 1."""


def convert_store(
    job: StoredJob,
    path: Path,
    conversion: Conversion,
    *,
    on_progress: Callable[[ConversionProgress], None] = lambda _: None,
) -> tuple[FileSpec, ...]:
    """Write a store, or one time step of it, as Cloud Optimized GeoTIFF; blocks.

    Args:
        job: The store.
        path: The file. Without `time`, each step of a cube gets a file of its own: `out.tif` gives
            `out-2017-04-07T184921.tif`.
        conversion: What is made of it.
        on_progress: Told now and then.

    Returns:
        The files; each is whole once it is there.

    Raises:
        InvalidInput: If rasterio is not installed, the store has no such band or time, a file is there already, or a
            GeoTIFF cannot hold what is asked for.
        StoreError: If tiles are missing, the store cannot be read, or a file not written.
    """
    require_rasterio()
    _require_complete(job, conversion)
    files = _files(job, path, conversion)
    _require_free(files, conversion)
    for step, spec in files:

        def on_share(share: float, spec: FileSpec = spec) -> None:
            on_progress(ConversionProgress(file=spec.path, stage="reads the store", share=share))

        def on_stage(stage: str, spec: FileSpec = spec) -> None:
            on_progress(ConversionProgress(file=spec.path, stage=stage, share=1.0))

        write_file(spec, stored_layers(job, step, spec, on_share=on_share), on_stage=on_stage)
    return tuple(spec for _, spec in files)


def _require_complete(job: StoredJob, conversion: Conversion) -> None:
    missing = job.plan.wanted_count - job.stored_count
    if missing and not conversion.is_partial:
        raise StoreError(
            f"{missing} of {job.plan.wanted_count} tiles of {job.url} are missing.",
            hint="Run its job again, or pass --partial: they are nodata then, or masked.",
        )


def _files(job: StoredJob, path: Path, conversion: Conversion) -> list[tuple[int, FileSpec]]:
    """The files to be written, each with its time step."""
    plan = job.plan
    bands = _bands(plan, conversion)
    dtype = _dtype(bands, conversion)
    nodata, has_mask = _nodata(job, bands, dtype, conversion)
    steps = plan.steps
    if steps is None and conversion.time is not None:
        raise InvalidInput(f"{job.url} has no time axis.", hint="Leave out --time.")
    chosen = range(plan.step_count) if conversion.time is None else [_step(steps or (), conversion.time)]
    names = [path] if len(chosen) == 1 else _step_paths(path, [steps[step] for step in chosen] if steps else [])
    is_smooth = all(np.dtype(band.dtype).kind == "f" for band in bands)
    return [
        (
            step,
            FileSpec(
                path=name,
                grid=plan.grid,
                bands=tuple(band.name for band in bands),
                dtype=dtype,
                nodata=nodata,
                has_mask=has_mask,
                compression=conversion.compression,
                resampling=conversion.resampling or ("average" if is_smooth else "nearest"),
                tags=_tags(steps[step]) if steps else (),
            ),
        )
        for step, name in zip(chosen, names, strict=True)
    ]


def _bands(plan: Plan, conversion: Conversion) -> tuple[Band, ...]:
    known = {band.name: band for band in plan.bands}
    names = tuple(known) if conversion.bands is None else conversion.bands
    strangers = [name for name in names if name not in known]
    if strangers or not names or len(set(names)) != len(names):
        raise InvalidInput(
            f"The store has no bands {', '.join(strangers)}." if strangers else "Each band can be in a file once.",
            hint=f"Choose some of {', '.join(list(known)[:60])}.",
        )
    return tuple(known[name] for name in names)


def _dtype(bands: Sequence[Band], conversion: Conversion) -> str:
    own = {band.dtype for band in bands}
    common = np.result_type(*own).name
    listed = ", ".join(f"{band.name} {band.dtype}" for band in bands[:20])
    if conversion.dtype is None:
        if len(own) > 1:
            raise InvalidInput(
                f"A GeoTIFF has one type, the bands have several ({listed}).",
                hint=f"Choose --bands of one type, or give --dtype {common}, which holds all values exactly.",
            )
        return bands[0].dtype
    if conversion.dtype not in DTYPES or not all(np.can_cast(dtype, conversion.dtype, "safe") for dtype in own):
        raise InvalidInput(
            f"The type {conversion.dtype!r} does not hold all values of the bands ({listed}).",
            hint=f"Give --dtype {common}.",
        )
    return conversion.dtype


def _nodata(job: StoredJob, bands: Sequence[Band], dtype: str, conversion: Conversion) -> tuple[Fill | None, bool]:
    """The file's nodata value, and whether it has a mask."""
    masking = job.plan.masking
    is_whole = job.stored_count == job.plan.tile_count
    if conversion.nodata is not None:
        held = stored_value(conversion.nodata, dtype)
        if held is None:
            raise InvalidInput(
                f"{conversion.nodata} is no value of {dtype}.", hint="Give a --nodata that the file's type holds."
            )
        return held, False
    if masking.mode == "none":
        return None, not is_whole
    if masking.mode == "band":
        if not masking.is_shared and len(bands) > 1:
            raise InvalidInput(
                "A GeoTIFF has one mask, the bands have one each.",
                hint="Choose one of --bands, or give --nodata VALUE, which masked pixels become.",
            )
        return None, True
    positions = {band.name: position for position, band in enumerate(job.plan.bands)}
    fills = {repr(float(fill)): fill for fill in (masking.fills[positions[band.name]] for band in bands)}
    if len(fills) > 1:
        raise InvalidInput(
            f"A GeoTIFF has one nodata value, the bands have several ({', '.join(fills)}).",
            hint="Choose --bands of one fill, or give --nodata VALUE, which masked pixels become.",
        )
    return next(iter(fills.values())), False


def _step(steps: Sequence[Step], wanted: str) -> int:
    """The position of the step that a text names."""
    try:
        position = int(wanted)
    except ValueError:
        position = len(steps)
    if -len(steps) <= position < len(steps):
        return position % len(steps)
    found = [number for number, step in enumerate(steps) if step.time.isoformat().startswith(wanted)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(steps[number].time.isoformat() for number in (found or range(len(steps)))[:10])
    raise InvalidInput(
        f"{len(found) or 'No'} time steps begin with {wanted!r}.",
        hint=f"Give a position from 0 to {len(steps) - 1}, or the beginning of one time of {listed}.",
    )


def _step_paths(path: Path, steps: Sequence[Step]) -> list[Path]:
    """A name for each step: its time, to the second; with its position where two steps share one."""
    times = [f"{step.time:%Y-%m-%dT%H%M%S}" for step in steps]
    if len(set(times)) < len(times):
        times = [f"{time}-{number}" for number, time in enumerate(times)]
    return [path.with_name(f"{path.stem}-{time}{path.suffix}") for time in times]


def _tags(step: Step) -> tuple[tuple[str, str], ...]:
    return (
        ("TIFFTAG_DATETIME", f"{step.time:%Y:%m:%d %H:%M:%S}"),
        ("TIME", step.time.isoformat()),
        ("IMAGES", "\n".join(step.images)),
    )


def _require_free(files: Sequence[tuple[int, FileSpec]], conversion: Conversion) -> None:
    folder = files[0][1].path.parent
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder}.", hint="Make it, or name another file.")
    there = [spec.path for _, spec in files if spec.path.exists()]
    if any(path.is_dir() for path in there) or (there and not conversion.overwrite):
        raise InvalidInput(
            f"{there[0]} is there already{f', and {len(there) - 1} more' if len(there) > 1 else ''}.",
            hint="Pass --overwrite to replace it, or name another file.",
        )

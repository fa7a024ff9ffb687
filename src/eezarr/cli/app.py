"""The commands and their options."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from eezarr.cli.leaving import guarded
from eezarr.cli.service import register

__all__ = ["app"]

app = typer.Typer(
    name="eezarr",
    help="Google Earth Engine pixels into chunked Zarr: exact, resumable, as fast as the quota allows.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich costs a third of the start-up time
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

JobFile = Annotated[
    Path,
    typer.Argument(metavar="JOB", help="A job file (TOML), or - for standard input; `eezarr schema` prints its keys."),
]
Store = Annotated[
    str, typer.Argument(metavar="STORE", help="A store: a path, or a file://, s3://, gs:// or az:// URL.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
ApiUrl = Annotated[str | None, typer.Option("--api-url", metavar="URL", help="The service, instead of the job's.")]
Output = Annotated[str | None, typer.Option("--output", metavar="STORE", help="The output, instead of the job's.")]
Concurrency = Annotated[
    int | None, typer.Option("--max-concurrency", min=1, metavar="N", help="Requests at a time at the most.")
]


class Compression(StrEnum):
    """How a GeoTIFF is compressed."""

    DEFLATE = "deflate"
    ZSTD = "zstd"
    LZW = "lzw"
    NONE = "none"


class Resampling(StrEnum):
    """How a GeoTIFF's overviews are made."""

    AVERAGE = "average"
    NEAREST = "nearest"


def _print_version(asked: bool) -> None:
    if asked:
        import eezarr

        sys.stdout.write(f"eezarr {eezarr.__version__}\n")
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Google Earth Engine pixels into chunked Zarr: exact, resumable, as fast as the quota allows."""


@app.command()
@guarded
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write.")] = Path("eezarr-demo"),
    tls: Annotated[bool, typer.Option("--tls", help="Speak HTTPS with it, as with the real one.")] = False,
) -> None:
    """Run a real job against a local Earth Engine: no account, no network, under a minute.

    The service is slow, refuses what is over its quota, and fails now and then, as the real one does.
    """
    from eezarr.cli.demo import run_demo

    run_demo(folder, tls=tls)


@app.command()
@guarded
def plan(
    job: JobFile,
    as_json: AsJson = False,
    geojson: Annotated[
        Path | None,
        typer.Option("--geojson", metavar="FILE", help="Write the tiles' footprints, longitude and latitude."),
    ] = None,
    api_url: ApiUrl = None,
    output: Output = None,
    max_concurrency: Concurrency = None,
) -> None:
    """Say what a job would ask for: grid, tiles, requests, bytes, time. Asks for metadata only."""
    from eezarr.config import SamplesJob, load_any_job

    loaded = load_any_job(job).replaced(output=output, api_url=api_url, max_concurrency=max_concurrency)
    if isinstance(loaded, SamplesJob):
        from eezarr.cli.sampling import print_samples_plan

        print_samples_plan(loaded, as_json=as_json, geojson=geojson)
        return
    from eezarr.cli.planning import print_plan

    print_plan(loaded, as_json=as_json, geojson=geojson)


@app.command()
@guarded
def fetch(
    job: JobFile,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete another Zarr group that is there.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Read what is stored first, and fetch again what is not as it was stored.")
    ] = False,
    steal: Annotated[bool, typer.Option("--steal", help="Take the store over from a run that is writing it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON on stdout.")] = False,
    events: Annotated[
        Path | None, typer.Option("--events", metavar="FILE", help="Append every event as a JSON line.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    max_concurrency: Concurrency = None,
    api_url: ApiUrl = None,
    output: Output = None,
) -> None:
    """Run a job, or resume it: what is stored already is not asked for again."""
    from eezarr.cli.fetching import run_fetch
    from eezarr.config import Job

    run_fetch(
        lambda: Job.load(job).replaced(output=output, api_url=api_url, max_concurrency=max_concurrency),
        overwrite=overwrite,
        repair=repair,
        steal=steal,
        as_json=as_json,
        events=events,
        quiet=quiet,
    )


@app.command()
@guarded
def samples(
    job: JobFile,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete another Zarr group that is there.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Read what is stored first, and fetch again what is not as it was stored.")
    ] = False,
    steal: Annotated[bool, typer.Option("--steal", help="Take the store over from a run that is writing it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON on stdout.")] = False,
    events: Annotated[
        Path | None, typer.Option("--events", metavar="FILE", help="Append every event as a JSON line.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    max_concurrency: Concurrency = None,
    api_url: ApiUrl = None,
    output: Output = None,
) -> None:
    """Fetch patches round sites into one store, for machine learning; run again to resume."""
    from eezarr.cli.sampling import run_samples
    from eezarr.config import SamplesJob

    run_samples(
        lambda: SamplesJob.load(job).replaced(output=output, api_url=api_url, max_concurrency=max_concurrency),
        overwrite=overwrite,
        repair=repair,
        steal=steal,
        as_json=as_json,
        events=events,
        quiet=quiet,
    )


@app.command()
@guarded
def status(store: Store, as_json: AsJson = False) -> None:
    """Say how much of a store is there."""
    from eezarr.cli.looking import print_status

    print_status(store, as_json=as_json)


@app.command()
@guarded
def verify(
    store: Store,
    sample: Annotated[
        int,
        typer.Option(
            "--sample", min=0, metavar="N", help="Ask the service for so many tiles or samples again, and compare."
        ),
    ] = 0,
    project: Annotated[str | None, typer.Option("--project", help="The project that asks, for --sample.")] = None,
    api_url: Annotated[str | None, typer.Option("--api-url", help="The service, for --sample.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read every stored tile or sample again and compare it with its checksum; exit code 5 if one differs."""
    from eezarr.cli.verifying import print_verification

    print_verification(store, sample=sample, project=project, api_url=api_url, as_json=as_json)


@app.command()
@guarded
def preview(
    store: Store,
    picture: Annotated[Path, typer.Argument(metavar="FILE.png", help="The picture to write: .png or .jpg.")],
    bands: Annotated[
        str | None, typer.Option("--bands", metavar="R,G,B", help="One band or three; default: true colour, if there.")
    ] = None,
    size: Annotated[int, typer.Option("--size", min=1, metavar="N", help="Pixels along the longer side.")] = 1024,
    low: Annotated[float | None, typer.Option("--min", help="Value shown as black; default: 2 % are darker.")] = None,
    high: Annotated[
        float | None, typer.Option("--max", help="Value shown as white; default: 2 % are brighter.")
    ] = None,
    step: Annotated[
        int, typer.Option("--step", metavar="N", help="Time step of a cube, from 0; negative: from the last.")
    ] = -1,
    count: Annotated[int, typer.Option("--count", min=1, metavar="N", help="Samples shown at the most.")] = 64,
    split: Annotated[str | None, typer.Option("--split", help="Only samples of this split.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Only samples with this label.")] = None,
    each: Annotated[bool, typer.Option("--each", help="Stretch each sample by itself.")] = False,
) -> None:
    """Write a picture of a store, stretched; tiles that are not there are transparent.

    Of a store of samples: a contact sheet, masked pixels checkered.
    """
    from eezarr.cli.looking import write_preview
    from eezarr.outputs.contactsheet import SheetOptions

    options = SheetOptions(
        bands=tuple(bands.split(",")) if bands else (),
        count=count,
        split=split,
        label=label,
        size=size,
        low=low,
        high=high,
        is_each=each,
        step=step,
    )
    write_preview(store, picture, options)


@app.command()
@guarded
def convert(
    store: Store,
    file: Annotated[Path, typer.Argument(metavar="FILE.tif", help="The file; for a cube, one a step beside it.")],
    bands: Annotated[str | None, typer.Option("--bands", metavar="B,B", help="These bands; default: all.")] = None,
    time: Annotated[
        str | None,
        typer.Option("--time", metavar="TIME", help="One step of a cube: a position, or how its time begins."),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", metavar="TYPE", help="One type for bands of several, such as float32.")
    ] = None,
    nodata: Annotated[
        str | None, typer.Option("--nodata", metavar="VALUE", help="What masked pixels become; default: the fill.")
    ] = None,
    compress: Annotated[Compression, typer.Option("--compress", help="Lossless compression.")] = Compression.DEFLATE,
    resampling: Annotated[
        Resampling | None,
        typer.Option("--resampling", help="Overviews; default: average of floats, nearest of integers."),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Also with tiles missing: nodata there, or masked.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Write a store as Cloud Optimized GeoTIFF, for programs that read no Zarr (extra `geotiff`)."""
    from eezarr.cli.converting import number, run_conversion
    from eezarr.outputs.conversion import Conversion

    conversion = Conversion(
        bands=tuple(bands.split(",")) if bands else None,
        time=time,
        dtype=dtype,
        nodata=None if nodata is None else number(nodata),
        compression=compress.value,
        resampling=None if resampling is None else resampling.value,
        is_partial=partial,
        overwrite=overwrite,
    )
    run_conversion(store, file, conversion, quiet=quiet)


register(app)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@guarded
def emulator(context: typer.Context) -> None:
    """Serve a local Earth Engine; `eezarr emulator --help` prints its own options."""
    from eezarr.emulator.__main__ import main as serve

    serve(context.args, program="eezarr emulator")


@app.command()
@guarded
def schema() -> None:
    """Print the JSON Schema of a job file."""
    from eezarr.config import json_schema

    sys.stdout.write(json_schema() + "\n")

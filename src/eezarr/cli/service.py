"""The commands over the rest of the service, and their options."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eezarr.cli.leaving import guarded

if TYPE_CHECKING:
    from eezarr.api.service import Service

__all__ = ["register"]


class Method(StrEnum):
    """How a collection is listed."""

    LIST_ASSETS = "listAssets"
    LIST_IMAGES = "listImages"


class Action(StrEnum):
    """What is done with operations."""

    LIST = "list"
    GET = "get"
    CANCEL = "cancel"


Project = Annotated[
    str | None, typer.Option("--project", metavar="ID", help="The project that computes; default: found as for jobs.")
]
ApiUrl = Annotated[str | None, typer.Option("--api-url", metavar="URL", help="The service; default: EEZARR_API_URL.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Region = Annotated[
    str | None,
    typer.Option("--region", metavar="PLACE", help="lon,lat, or west,south,east,north, or GeoJSON (text or a file)."),
]


def images(
    *,
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="An image collection's asset id.")],
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="From then on; UTC.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="TIME", help="Before then; UTC.")] = None,
    region: Region = None,
    filter_text: Annotated[
        str | None, typer.Option("--filter", metavar="TEXT", help='Such as "CLOUDY_PIXEL_PERCENTAGE < 10".')
    ] = None,
    properties: Annotated[
        list[str] | None, typer.Option("--property", metavar="NAME", help="To print after the id; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="The first N only.")] = None,
    method: Annotated[
        Method, typer.Option("--method", help="The REST method; they differ in --end.")
    ] = Method.LIST_ASSETS,
    as_json: AsJson = False,
    project: Project = None,
    api_url: ApiUrl = None,
) -> None:
    """List the images of a collection: id and cloud cover, or other properties."""
    from eezarr.cli.listing import print_images

    print_images(
        _service(project, api_url),
        collection,
        start=start,
        end=end,
        region=region,
        filter_text=filter_text,
        properties=tuple(properties or ["CLOUDY_PIXEL_PERCENTAGE"]),
        limit=limit,
        method=method.value,
        as_json=as_json,
    )


def info(
    *,
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="An asset id.")],
    as_json: AsJson = False,
    project: Project = None,
    api_url: ApiUrl = None,
) -> None:
    """Describe an asset: bands, types, grids, properties."""
    from eezarr.cli.listing import print_info

    print_info(_service(project, api_url), asset, as_json=as_json)


def thumbnail(
    *,
    names: Annotated[
        list[str], typer.Argument(metavar="[ASSET] FILE", help="An asset id, and the picture: .png, .jpg or .tif.")
    ],
    expression: Annotated[
        Path | None, typer.Option("--expression", metavar="JSON", help="An expression, instead of ASSET.")
    ] = None,
    job: Annotated[
        Path | None, typer.Option("--job", metavar="JOB", help="What a job file reads, on its grid, instead of ASSET.")
    ] = None,
    bands: Annotated[str | None, typer.Option("--bands", metavar="R,G,B", help="One band or three.")] = None,
    low: Annotated[str | None, typer.Option("--min", metavar="V", help="Value shown as black; or one a band.")] = None,
    high: Annotated[str | None, typer.Option("--max", metavar="V", help="Value shown as white; or one a band.")] = None,
    palette: Annotated[
        str | None, typer.Option("--palette", metavar="COLOURS", help="Of one band: 0000ff,ffffff,…")
    ] = None,
    gamma: Annotated[float | None, typer.Option("--gamma", help="Over 1 is brighter.")] = None,
    opacity: Annotated[float | None, typer.Option("--opacity", help="0 to 1.")] = None,
    size: Annotated[
        int | None, typer.Option("--size", min=1, metavar="N", help="Pixels along the longer side; default 256.")
    ] = None,
    scale: Annotated[float | None, typer.Option("--scale", metavar="M", help="Metres per pixel, instead.")] = None,
    region: Region = None,
    corner: Annotated[
        str | None, typer.Option("--corner", metavar="X,Y", help="Top-left corner of N x N pixels at --scale in --crs.")
    ] = None,
    crs: Annotated[
        str | None, typer.Option("--crs", metavar="CODE", help="Default: the asset's; of a region EPSG:4326.")
    ] = None,
    project: Project = None,
    api_url: ApiUrl = None,
) -> None:
    """Write a picture or a GeoTIFF of an asset or an expression, of any size.

    Without --region or --corner it shows the whole asset. A GeoTIFF without --min, --max, --palette holds the values.
    """
    from eezarr.api.client import Client
    from eezarr.cli.picturing import Frame, draw, draw_job, image_of, visualization_of
    from eezarr.config import Job

    shown = visualization_of(low, high, palette, gamma, opacity)
    if job is not None:
        if len(names) > 1 or any((expression, bands, size, scale, region, corner, crs)):
            raise typer.BadParameter("a job says what is shown, and where: leave out ASSET, and what frames it")
        read = Job.load(job).replaced(api_url=api_url)
        draw_job(Client(project=project or read.project, options=read.fetch), read, Path(names[0]), shown=shown)
        return
    if len(names) > 2:
        raise typer.BadParameter("give an asset and a file, or --expression and a file")
    frame = Frame(region=region, corner=corner, crs=crs, scale=scale, size=size)
    image = image_of(names[0] if len(names) == 2 else None, expression, bands)
    draw(Client(project=project, api_url=api_url), image, frame, Path(names[-1]), shown=shown)


def export(
    *,
    job: Annotated[
        Path, typer.Argument(metavar="JOB", help="A job file (TOML) with an [export] section; - for standard input.")
    ],
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
    request_id: Annotated[
        str | None,
        typer.Option("--request-id", metavar="ID", help="The intent: two starts with one id start one export."),
    ] = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    api_url: ApiUrl = None,
) -> None:
    """Start a batch export, and follow it; Ctrl-C leaves it running."""
    from eezarr.cli.exporting import run_export_job
    from eezarr.config import ExportJob

    checked = ExportJob.load(job).replaced(api_url=api_url)
    run_export_job(checked, request_id=request_id, is_waiting=wait, as_json=as_json, quiet=quiet)


def operations(
    *,
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    operation: Annotated[str | None, typer.Argument(metavar="NAME", help="An operation's name or id.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="List the first N.")] = 100,
    as_json: AsJson = False,
    project: Project = None,
    api_url: ApiUrl = None,
) -> None:
    """List the project's batch operations, show one, or cancel one."""
    from eezarr.cli.exporting import print_operations

    print_operations(_service(project, api_url), action.value, operation, limit=limit, as_json=as_json)


def doctor(
    *,
    credentials: Annotated[
        Path | None, typer.Option("--credentials", metavar="FILE", help="A key file, instead of what is found.")
    ] = None,
    as_json: AsJson = False,
    project: Project = None,
    api_url: ApiUrl = None,
) -> None:
    """Check credentials, scopes, project, clock and reachability, and say what mends what is wrong."""
    from eezarr.cli.doctoring import print_diagnosis

    print_diagnosis(project=project, credentials=credentials, api_url=api_url, as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (images, info, thumbnail, export, operations, doctor):
        app.command()(guarded(command))


def _service(project: str | None, api_url: str | None) -> Service:
    from eezarr.api.service import Service

    return Service(project=project, api_url=api_url)

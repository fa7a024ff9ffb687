"""Every mistake in a call of the public surface is an `EezarrError`, told before anything is sent."""

import asyncio
import contextlib
import copy
import inspect
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine

import eezarr
from eezarr.errors import EezarrError, InvalidCall, InvalidInput

NAN = float("nan")
WRONG = [None, 5, -1, NAN, "", "nonsense", [], {}, object(), b"x", ("a", "b")]
"""What an argument is given in its turn; some functions take some of these."""

GRID = eezarr.PixelGrid.of("EPSG:32610", (10, 0, 5e5, 0, -10, 4e6), (4, 4))
BOX = (-122.2, 37.4, -122.1, 37.5)


class NotAnImage:
    def serialize(self):
        return "{}"


CALLS = {
    "Band": (eezarr.Band, {"name": "B2", "dtype": "uint16"}),
    "FetchOptions": (
        eezarr.FetchOptions,
        {"max_concurrency": 3, "tile": "auto", "memory": "1GiB", "api_url": "http://x"},
    ),
    "Image.asset": (eezarr.Image.asset, {"asset": "A/B", "bands": ["B2"], "method": "auto"}),
    "Image.collection": (eezarr.Image.collection, {"collection": "A/B", "start": "2017-01-01", "bands": ["B2"]}),
    "Image.expression": (eezarr.Image.expression, {"expression": '{"result":"0","values":{"0":{"constantValue":1}}}'}),
    "Image.of": (eezarr.Image.of, {"image": eezarr.Image.asset("A/B")}),
    "MaskOptions": (eezarr.MaskOptions, {"mode": "fill", "fill": 0}),
    "Patches": (eezarr.Patches, {"size": eezarr.Shape2D(4, 4), "crs": "utm", "resolution": 10}),
    "PixelGrid": (
        eezarr.PixelGrid,
        {"crs": "EPSG:32610", "transform": Affine(10, 0, 0, 0, -10, 0), "width": 4, "height": 4},
    ),
    "PixelGrid.around": (eezarr.PixelGrid.around, {"lon": 0, "lat": 0, "size": 4, "crs": "utm", "scale": 10}),
    "PixelGrid.from_geobox": (eezarr.PixelGrid.from_geobox, {"geobox": None}),
    "PixelGrid.from_region": (eezarr.PixelGrid.from_region, {"region": BOX, "crs": 32610, "resolution": 10}),
    "PixelGrid.from_response": (eezarr.PixelGrid.from_response, {"grid": GRID.to_request()}),
    "PixelGrid.like": (eezarr.PixelGrid.like, {"source": GRID}),
    "PixelGrid.of": (eezarr.PixelGrid.of, {"crs": 32610, "transform": (10, 0, 0, 0, -10, 0), "shape": (4, 4)}),
    "PixelGrid.window": (GRID.window, {"window": eezarr.Window(row=0, col=0, height=1, width=1)}),
    "StoreOptions": (eezarr.StoreOptions, {"layout": "bands", "chunk": 256}),
    "SampleStoreOptions": (eezarr.SampleStoreOptions, {"shard": 4}),
    "Visualization": (eezarr.Visualization, {"ranges": ((0, 1),), "palette": ("red",), "gamma": 1.0}),
    "export": (eezarr.export, {"job": None}),
    "fetch": (eezarr.fetch, {"job": None}),
    "fetch_samples": (eezarr.fetch_samples, {"job": None}),
    "frame_corner": (eezarr.frame_corner, {"corner": (0, 0), "crs": 32610, "scale": 10, "size": (4, 4)}),
    "frame_region": (eezarr.frame_region, {"region": BOX, "crs": 4326, "size": 64}),
    "open_samples": (eezarr.open_samples, {"output": "absent.zarr"}),
    "open_store": (eezarr.open_store, {"output": "absent.zarr"}),
    "parse_expression": (eezarr.parse_expression, {"source": '{"result":"0","values":{"0":{"constantValue":1}}}'}),
    "plan_job": (eezarr.plan_job, {"job": None}),
    "plan_samples_job": (eezarr.plan_samples_job, {"job": None}),
    "read_sites": (eezarr.read_sites, {"path": "absent.csv", "sites_crs": 4326}),
}
MISTAKES = [
    pytest.param(name, field, wrong, id=f"{name}-{field}-{wrong!r:.20}")
    for name, (_, right) in CALLS.items()
    for field in right
    for wrong in WRONG
]


@pytest.mark.parametrize(("name", "field", "wrong"), MISTAKES)
def test_a_wrong_value_is_taken_or_is_one_of_our_errors(name, field, wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, right = CALLS[name]
    arguments = dict(right) | {field: wrong}
    positional = [arguments.pop(key) for key in _positional(call) if key in arguments]
    with contextlib.suppress(EezarrError):
        call(*positional, **arguments)


def _positional(call):
    parameters = inspect.signature(call).parameters.values()
    return [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]


@pytest.mark.parametrize(
    "kind", ["FetchOptions", "MaskOptions", "StoreOptions", "SampleStoreOptions", "Job", "SamplesJob"]
)
def test_fields_and_defaults_show_in_the_signature(kind):
    section = getattr(eezarr, kind)
    parameters = inspect.signature(section).parameters
    assert set(parameters) == set(section.model_fields)
    for name, field in section.model_fields.items():
        assert (parameters[name].default is inspect.Parameter.empty) == field.is_required()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: eezarr.FetchOptions(max_concurency=3), "did you mean 'max_concurrency'"),
        (lambda: eezarr.FetchOptions(limits={"byte": 3}), "did you mean 'bytes'"),
        (lambda: eezarr.MaskOptions("fill"), r"MaskOptions\(mode='fill'\)"),
        (lambda: eezarr.MaskOptions(mode="fil"), "'none', 'fill' or 'band'"),
        (lambda: eezarr.fetch({"outputs": "a.zarr"}), "did you mean 'output'"),
        (lambda: eezarr.plan_job({"output": "a.tif"}), "eezarr convert"),
        (lambda: eezarr.fetch(eezarr.FetchOptions()), "no Job"),
        (lambda: eezarr.Job(output="a.zarr"), "'grid' is missing"),
        (lambda: eezarr.Image.collection(NotAnImage()), "collection"),
        (lambda: eezarr.Image.asset(NotAnImage()), "asset"),
        (lambda: eezarr.PixelGrid.from_region("aoi.geojson", crs=32610, resolution=10), "aoi.geojson"),
    ],
)
def test_mistakes_that_people_make_name_what_was_meant(call, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EezarrError, match=says):
        call()


def test_what_is_right_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert eezarr.FetchOptions(max_concurrency=3).max_concurrency == 3
    for name in (
        "Band",
        "FetchOptions",
        "Image.asset",
        "Image.collection",
        "MaskOptions",
        "Patches",
        "PixelGrid.around",
    ):
        call, right = CALLS[name]
        arguments = dict(right)
        call(*[arguments.pop(key) for key in _positional(call) if key in arguments], **arguments)


IMAGE = eezarr.Image.asset("A/B")
CONSTANT = '{"result":"0","values":{"0":{"constantValue":1}}}'
DRIVE = eezarr.Drive(prefix="a")
FILES = eezarr.FileExport(destination=DRIVE)
SHAPE = eezarr.Shape2D(4, 4)
RECORDS = {
    "AssetExport": {"name": "projects/p/assets/a", "overwrite": False, "pyramiding": "MEAN"},
    "CloudStorage": {"bucket": "abc", "prefix": "p"},
    "Drive": {"prefix": "p", "folder": "f"},
    "ExportRequest": {
        "expression": CONSTANT,
        "target": FILES,
        "grid": GRID,
        "description": "a",
        "max_pixels": 100,
        "priority": 1,
        "workload_tag": "a",
        "request_id": "a",
    },
    "FileExport": {"destination": DRIVE, "options": eezarr.GeoTiffOptions()},
    "GeoTiffOptions": {"cloud_optimized": True, "tile_size": 4, "file_shape": SHAPE, "skip_empty": True, "no_data": 0},
    "PartialGrid": {"crs": "EPSG:4326", "transform": (1, 0, 0, 0, -1, 0), "height": 4, "width": 4},
    "Patches": {"size": SHAPE, "crs": "utm", "resolution": 10, "nearest": 1, "shuffle": False, "seed": 0},
    "PixelRequest": {
        "file_format": "NPY",
        "bands": ("a",),
        "grid": GRID,
        "visualization": eezarr.Visualization(),
        "workload_tag": "a",
    },
    "Shape2D": {"height": 4, "width": 4},
    "SiteColumns": {"id": "i", "label": "l", "split": "s", "date": "d"},
    "SplitFacts": {"by": "hash", "fractions": (("a", 1.0),), "block_m": 1.0, "buffer_m": 1.0},
    "TfRecordOptions": {"patch": SHAPE, "margin": SHAPE, "compress": True, "max_bytes": 4, "max_masked_ratio": 0.5},
    "Visualization": {"ranges": ((0, 1),), "palette": (), "gamma": 1.0, "opacity": 1.0},
}
"""Records that people write, and a right value of each field."""


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, right in RECORDS.items() for field in right])
def test_a_record_with_a_wrong_value_is_one_of_our_errors_before_it_is_written(name, field):
    kind, right = getattr(eezarr, name), RECORDS[name]
    kind(**right)
    with pytest.raises(InvalidInput):
        kind(**(right | {field: object()}))
    for wrong in [*WRONG, True, np.float64("nan")]:
        with contextlib.suppress(EezarrError):
            made = kind(**(right | {field: wrong}))
            if hasattr(made, "to_request"):
                made.to_request()


@pytest.mark.parametrize("name", list(RECORDS))
def test_a_misspelt_field_is_told_with_the_nearest(name):
    kind, right = getattr(eezarr, name), RECORDS[name]
    field = next(iter(right))
    with pytest.raises(InvalidCall, match=f"{name} takes no '{field}z'; did you mean '{field}'"):
        kind(**right, **{f"{field}z": 1})


def test_numbers_of_numpy_are_taken():
    assert eezarr.Shape2D(np.int64(4), np.uint8(5)) == eezarr.Shape2D(4, 5)
    export = eezarr.ExportRequest(expression=CONSTANT, target=FILES, priority=np.int64(3))
    assert type(export.body()["priority"]) is int
    assert type(eezarr.Patches(size=SHAPE, resolution=np.float32(10)).resolution) is float


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: eezarr.Patches(sise=4), "Patches takes no 'sise'; did you mean 'size'"),
        (lambda: eezarr.Patches(4), "Patches takes none of its arguments by position, and was given 1.*size="),
        (lambda: eezarr.Visualization(pallete=("red",)), "did you mean 'palette'"),
        (lambda: eezarr.fetch("job.toml", progres=print), "fetch takes no 'progres'.*observe"),
        (lambda: eezarr.fetch("job.toml", "anonymous"), "fetch takes at most 1 .*and was given 2.*credentials="),
        (eezarr.fetch, "missing a required argument: 'job'"),
        (lambda: eezarr.Image.asset("x", band=["B4"]), "Image.asset takes no 'band'; did you mean 'bands'"),
        (lambda: eezarr.Image.collection("x", stat="2017"), "did you mean 'start'"),
        (lambda: eezarr.PixelGrid.from_region(BOX, csr="EPSG:4326"), "did you mean 'crs'"),
        (lambda: eezarr.Client(projet="p"), "Client takes no 'projet'; did you mean 'project'"),
        (lambda: eezarr.Client().fetch(IMAGE, GRID, "o.zarr", overwite=True), "did you mean 'overwrite'"),
        (lambda: eezarr.Client().pixels(IMAGE), "missing a required argument: 'grid'"),
        (lambda: replace(eezarr.Drive(prefix="a"), foldr="b"), "did you mean 'folder'"),
        (lambda: eezarr.open_store("a.zarr", "r"), "takes at most 1"),
    ],
)
def test_a_call_that_does_not_fit_is_ours_and_pythons_error(call, says):
    with pytest.raises(InvalidCall, match=says) as told:
        call()
    assert isinstance(told.value, TypeError)
    assert told.value.exit_code == 2


def test_a_type_error_from_inside_is_not_taken_for_a_wrong_call():
    class Transform:
        def __iter__(self):
            return iter(len(5))

    with pytest.raises(TypeError, match="has no len") as told:
        eezarr.PixelGrid.of(32610, Transform(), (4, 4))
    assert not isinstance(told.value, EezarrError)


def test_what_help_and_copies_need_stays():
    parameters = inspect.signature(eezarr.Client.fetch).parameters
    assert list(parameters)[:4] == ["self", "image", "grid", "output"]
    assert inspect.signature(eezarr.Patches).parameters["crs"].default == "utm"
    assert eezarr.Client.pixels.__doc__.startswith("Return an image's pixels")
    record = eezarr.Patches(size=SHAPE, resolution=10)
    assert copy.deepcopy(record) == record == replace(record)


REQUEST = eezarr.PixelRequest(grid=GRID, expression=CONSTANT, bands=("B",))
METHODS = {
    "cancel_operation": {"operation": "x"},
    "compute_pixels": {"request": REQUEST},
    "compute_value": {"expression": CONSTANT},
    "create_thumbnail": {"request": REQUEST},
    "delete_operation": {"operation": "x"},
    "describe_bands": {"image": eezarr.Image.expression(CONSTANT)},
    "export_image": {"request": eezarr.ExportRequest(expression=CONSTANT, target=FILES, grid=GRID)},
    "fetch": {"image": IMAGE, "grid": GRID, "output": "o.zarr", "store": None, "mask": None, "overwrite": False},
    "fetch_samples": {
        "image": IMAGE,
        "sites": None,
        "output": "s.zarr",
        "patches": eezarr.Patches(size=SHAPE, resolution=10),
        "label_image": None,
        "store": None,
        "mask": None,
        "steal": False,
    },
    "get_asset": {"asset": "A/B", "refresh": True},
    "get_operation": {"operation": "x"},
    "get_pixels": {"asset": "A/B", "request": eezarr.PixelRequest(grid=GRID)},
    "get_thumbnail": {"name": "projects/p/thumbnails/t"},
    "list_assets": {"parent": "A/B", "filter": None, "view": "FULL", "page_size": 3},
    "list_images": {
        "collection": "A/B",
        "start": None,
        "end": None,
        "region": None,
        "filter": None,
        "view": "FULL",
        "page_size": 3,
        "method": "listAssets",
    },
    "list_operations": {"page_size": 4},
    "pixels": {"image": IMAGE, "grid": GRID, "mask": None, "refresh": False},
    "probe_bands": {"image": IMAGE, "grid": GRID},
    "stream": {"image": IMAGE, "grid": GRID, "tile": (2, 2), "mask": None},
    "wait_operation": {"operation": "x"},
}
"""The client's methods, and right arguments of each."""


@pytest.mark.parametrize(("method", "field"), [(method, field) for method, right in METHODS.items() for field in right])
def test_a_wrong_argument_of_a_clients_method_is_told_before_a_request(method, field, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sites.csv").write_text("lon,lat\n-122.2,37.4\n", encoding="utf-8")
    right = dict(METHODS[method])
    if "sites" in right:
        right["sites"] = eezarr.read_sites("sites.csv")

    async def call(client, value):
        called = getattr(client, method)(**(right | {field: value}))
        if inspect.isasyncgen(called):
            async for _ in called:
                pass
        else:
            await called

    async def main():
        options = eezarr.FetchOptions(attempts=1, deadline_s=1)
        nowhere = "http://127.0.0.1:9"
        async with eezarr.Client(project="p", credentials="anonymous", api_url=nowhere, options=options) as client:
            with pytest.raises(InvalidInput):
                await call(client, object())
            for wrong in [*WRONG, True]:
                with contextlib.suppress(EezarrError):  # some of them are right, and go out
                    await call(client, wrong)

    asyncio.run(main())


def test_a_store_may_be_named_by_a_path(tmp_path):
    async def main():
        async with eezarr.Client(
            project="p",
            credentials="anonymous",
            api_url="http://127.0.0.1:9",
            options=eezarr.FetchOptions(attempts=1, deadline_s=1),
        ) as client:
            await client.fetch(IMAGE, GRID, tmp_path / "o.zarr")

    with pytest.raises(eezarr.Unreachable):
        asyncio.run(main())

"""Every mistake in a call of the public surface is an `EezarrError`, told before anything is sent."""

import contextlib
import inspect

import pytest
from affine import Affine

import eezarr
from eezarr.errors import EezarrError

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

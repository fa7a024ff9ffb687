"""Packed requests against the emulator, over HTTP; the oracle asks the emulator's world for each image by itself."""

from __future__ import annotations

import functools
import io
import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from eezarr.earthengine.collection import Cube, Lack
from eezarr.earthengine.expression import build, parse_expression
from eezarr.earthengine.nodes import call, constant, listed
from eezarr.earthengine.packing import packed_expression, step_bytes
from eezarr.earthengine.payload import PixelTemplate
from eezarr.emulator.raster import Grid
from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld
from eezarr.grid import PixelGrid
from eezarr.plan.bands import Band
from eezarr.plan.fields import Selection
from eezarr.plan.masking import NO_MASKING, make_masking
from eezarr.plan.steps import Step
from known import SCENE

pytestmark = pytest.mark.once

MIXED = "projects/eezarr/assets/mixed"
EDGED = "COPERNICUS/S2/20170407T184921_20170407T190203_T10SEG"
TYPES = {
    "u8": "uint8", "i8": "int8", "i16": "int16", "u16": "uint16", "i32": "int32", "u32": "uint32", "f32": "float32",
    "f64": "float64", "i64": "float64",
}  # fmt: skip
ALL = tuple(Band(name, dtype) for name, dtype in TYPES.items())
CORNER = Grid(crs="EPSG:32610", transform=(10.0, 0, 549_700.0, 0, -10.0, 4_150_250.0), width=90, height=70)
"""The corner of the mixed image: a third of the pixels lie outside it, an eighth of the rest is masked."""
EDGE = Grid(crs="EPSG:32610", transform=(1000.0, 0, 490_000.0, 0, -1000.0, 4_205_000.0), width=120, height=90)
"""Around the corner of a Sentinel-2 tile, across the edge of the swath, into the next tile."""


@pytest.fixture(scope="module", params=["zero", "sentinel", "noise"])
def world(request):
    return SyntheticWorld(under_mask=request.param)


@pytest.fixture(scope="module")
def emulator(world):
    with EmulatorThread(world=world) as running:
        yield running


def loaded(name, **changes):
    image = call("Image.load", {"id": constant(name)})
    return call("Image.select", {"bandSelectors": constant(list(changes["bands"])), "input": image})


def where_more(image, band, least):
    """The image without the pixels at which a band is less."""
    source = call("Image.select", {"bandSelectors": constant([band]), "input": image})
    test = call("Image.gte", {"image1": source, "image2": call("Image.constant", {"value": constant(least)})})
    return call("Image.updateMask", {"image": image, "mask": test})


def mixed_steps(count, bands):
    image = loaded(MIXED, bands=bands)
    return {step: where_more(image, bands[0], 30 * step) if step else image for step in range(count)}


@dataclass(frozen=True)
class Asked:
    """An answer, and what each band of each step's image is by itself."""

    pixels: np.ndarray
    values: dict
    valid: dict
    fields: tuple

    def at(self, step, band, kind="pixels"):
        (field,) = (f for f in self.fields if (f.step, f.band, f.kind) == (step, band, kind))
        return self.pixels[field.wire.name]


@pytest.fixture
def ask(emulator, world):
    def asked(images, bands, masking, *, grid=CORNER, has_time=True, subset=None, first_band=0):
        chosen = tuple(bands) if subset is None else tuple(bands[first_band : first_band + subset])
        steps = range(min(images), max(images) + 1)
        fields = Selection(bands=chosen, first_band=first_band, steps=steps, has_time=has_time, masking=masking).fields
        text = packed_expression(images, bands=bands, masking=masking, fields=fields)
        pixels = compute(emulator, text, grid)
        # Exactly the fields: their order, their names, their types.
        wanted = [(field.wire.name, np.dtype(field.wire.dtype).newbyteorder("<")) for field in fields]
        assert [(name, pixels.dtype[name]) for name in pixels.dtype.names] == wanted
        values, valid = {}, {}
        for step, image in images.items():
            planes = world.evaluate(json.loads(build(image))).read(grid, [band.name for band in bands])
            for position, plane in enumerate(planes):
                values[step, position], valid[step, position] = plane.values, plane.valid
        return Asked(pixels, values, valid, fields)

    return asked


def compute(emulator, expression, grid):
    a, b, c, d, e, f = grid.transform
    affine = {"scaleX": a, "shearX": b, "translateX": c, "shearY": d, "scaleY": e, "translateY": f}
    size = {"width": grid.width, "height": grid.height}
    body = {
        "expression": json.loads(expression),
        "fileFormat": "NPY",
        "grid": {"dimensions": size, "affineTransform": affine, "crsCode": grid.crs},
    }
    url = f"{emulator.url}/v1/projects/p/image:computePixels"
    answer = requests.post(url, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


def require_filled(asked, masking, bands):
    """Every pixel: the image's own where it is valid, the fill where it is not, also outside the footprint."""
    for field in asked.fields:
        if field.kind != "pixels":
            continue
        values, valid = asked.values[field.step, field.band], asked.valid[field.step, field.band]
        got, fill = asked.pixels[field.wire.name], masking.fills[field.band]
        np.testing.assert_array_equal(got[valid], values[valid].astype(bands[field.band].dtype))
        expected = np.array(fill if math.isfinite(fill) else 0, got.dtype)
        assert (got[~valid] == expected).all()
        assert 0.1 < valid.mean() < 0.9


def require_masks(asked, bands):
    for field in asked.fields:
        got = asked.pixels[field.wire.name]
        if field.kind == "mask":
            np.testing.assert_array_equal(got, asked.valid[field.step, field.band])
        if field.kind == "shared mask":
            every = np.logical_and.reduce([asked.valid[field.step, band] for band in range(len(bands))])
            np.testing.assert_array_equal(got, every)
            assert 0.05 < every.mean() < 0.9


@pytest.mark.parametrize("steps", [1, 3])
def test_without_masking_bands_are_as_they_are(ask, steps):
    asked = ask(mixed_steps(steps, list(TYPES)), ALL, NO_MASKING)
    for (step, band), values in asked.values.items():
        np.testing.assert_array_equal(asked.at(step, band), values)  # under the mask, too


def test_a_plain_image_keeps_its_names_and_its_expression(ask):
    image = loaded(MIXED, bands=["i8", "f32"])
    bands = (Band("i8", "int8"), Band("f32", "float32"))
    asked = ask({0: image}, bands, NO_MASKING, has_time=False)
    assert asked.pixels.dtype.names == ("i8", "f32")
    fields = Selection(bands=bands, steps=range(1), has_time=False, masking=NO_MASKING).fields
    assert packed_expression({0: image}, bands=bands, masking=NO_MASKING, fields=fields) == build(image)


FILLS = {
    "u8": 255, "i8": -128, "i16": -9999, "u16": 65535, "i32": -(2**31), "u32": 2**32 - 1, "f32": -9999.5, "f64": 1e300,
    "i64": -1,
}  # fmt: skip


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("fill", [0, FILLS, {"f32": 0.1, "i8": 7}, {"f32": -9999, "u8": 1}], ids=str)
def test_fills_in_the_bands_own_types(ask, steps, fill):
    given = dict.fromkeys(TYPES, 0) | fill if isinstance(fill, dict) else fill
    masking = make_masking("fill", ALL, fill=given)
    asked = ask(mixed_steps(steps, list(TYPES)), ALL, masking)
    assert {field.kind for field in asked.fields} == {"pixels"}
    require_filled(asked, masking, ALL)


@pytest.mark.parametrize(("name", "fill"), [("f32", 0.1), ("f32", -(2**24)), ("f64", 0.1), ("i8", -128)])
def test_one_fill_of_one_type_leaves_the_type_as_it_is(ask, name, fill):
    bands = (Band(name, TYPES[name]),)
    masking = make_masking("fill", bands, fill=fill)
    require_filled(ask(mixed_steps(2, [name]), bands, masking), masking, bands)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_fill_that_is_no_number_comes_with_a_mask(ask, steps):
    whole = {band.name: 0 for band in ALL if band.dtype[0] != "f"}
    masking = make_masking("fill", ALL, fill=whole)  # the rest is float: NaN
    asked = ask(mixed_steps(steps, list(TYPES)), ALL, masking)
    assert [field.band for field in asked.fields if field.kind == "mask"] == [6, 7, 8] * steps
    require_filled(asked, masking, ALL)
    require_masks(asked, ALL)


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
def test_masks_beside_the_bands(ask, steps, is_shared):
    bands = tuple(band for band in ALL if band.name in ("u8", "i8", "f32"))
    masking = make_masking("band", bands, fill={"i8": -128}, is_shared=is_shared)
    asked = ask(mixed_steps(steps, [band.name for band in bands]), bands, masking)
    kinds = [field.kind for field in asked.fields]
    assert kinds == (["pixels"] * 3 + (["shared mask"] if is_shared else ["mask"] * 3)) * steps
    require_filled(asked, masking, bands)
    require_masks(asked, bands)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("first_band", [0, 2])
def test_the_shared_mask_is_of_all_bands_of_the_plan(ask, first_band, steps):
    bands = ALL[:4]
    masking = make_masking("band", bands)
    asked = ask(mixed_steps(steps, [band.name for band in bands]), bands, masking, first_band=first_band, subset=2)
    assert ("shared mask" in {field.kind for field in asked.fields}) is (first_band == 0)
    require_filled(asked, masking, bands)
    require_masks(asked, bands)


def test_a_part_of_bands_and_steps(ask):
    images = {step: image for step, image in mixed_steps(4, list(TYPES)).items() if step >= 2}
    masking = make_masking("fill", ALL, fill=FILLS)
    asked = ask(images, ALL, masking, first_band=3, subset=4)
    assert {(field.step, field.band) for field in asked.fields} == {(s, b) for s in (2, 3) for b in (3, 4, 5, 6)}
    require_filled(asked, masking, ALL)


def test_bands_that_exist_in_different_places(ask):
    """The mask of one band is itself masked where only the other has a footprint: that is invalid, too."""
    scene = call("Image.rename", {"input": loaded(EDGED, bands=["B4"]), "names": constant(["edged"])})
    whole = call("Image.addBands", {"dstImg": loaded(SCENE, bands=["B8"]), "srcImg": scene})
    bands = (Band("B8", "uint16"), Band("edged", "uint16"))
    masking = make_masking("band", bands)
    asked = ask({0: whole, 1: whole}, bands, masking, grid=EDGE)
    require_filled(asked, masking, bands)
    require_masks(asked, bands)
    assert (asked.valid[0, 0] != asked.valid[0, 1]).mean() > 0.1


ODD = ["a.b", "a_b", "x|y", "[z]*", "ünïcode", "p0_1", "-", "back\\slash", '"quoted" (1+1)?', "$^{2}"]


@pytest.mark.parametrize("subset", [None, 3])
@pytest.mark.parametrize("mode", ["none", "fill", "band"])
def test_odd_names_are_names_and_no_patterns(ask, mode, subset):
    names = [*ODD, "i64"][: len(TYPES)]
    image = call("Image.rename", {"input": loaded(MIXED, bands=list(TYPES)), "names": constant(names)})
    bands = tuple(Band(name, dtype) for name, dtype in zip(names, TYPES.values(), strict=True))
    masking = make_masking(mode, bands, fill=None if mode == "none" else 0)
    asked = ask({0: image, 1: image}, bands, masking, subset=subset)
    if mode == "none":
        for field in asked.fields:
            np.testing.assert_array_equal(asked.at(field.step, field.band), asked.values[field.step, field.band])
        return
    require_filled(asked, masking, bands)
    require_masks(asked, bands)


def test_an_expression_of_a_users_own_is_taken_in_whole(ask):
    """Its keys, functions and shared values stay its own, also beside another's of the same keys."""
    document = {
        "result": "node 0",
        "values": {
            "node 0": call("Image.addBands", {"dstImg": {"valueReference": "0"}, "srcImg": {"valueReference": "1"}}),
            "0": loaded(MIXED, bands=["i16"]),
            "1": call("ImageCollection.mosaic", {"collection": call("Collection.map", {
                "baseAlgorithm": {"functionDefinitionValue": {"argumentNames": ["_M"], "body": "2"}},
                "collection": call("ImageCollection.fromImages", {"images": listed([{"valueReference": "3"}])})})}),
            "2": call("Image.rename", {"input": {"argumentReference": "_M"}, "names": constant(["other"])}),
            "3": loaded(MIXED, bands=["f32"]),
        },
    }  # fmt: skip
    own = parse_expression(document)
    document["values"]["3"] = call("Image.toFloat", {"value": loaded(MIXED, bands=["f64"])})
    bands = (Band("i16", "int16"), Band("other", "float32"))
    masking = make_masking("band", bands, is_shared=False)
    asked = ask({0: own, 1: parse_expression(document)}, bands, masking)
    require_filled(asked, masking, bands)
    require_masks(asked, bands)


# Cubes


def s2(day):
    """Names of the scenes of a day in April 2017, of two tiles that lie side by side."""
    index = {7: "20170407T184921_20170407T190203", 10: "20170410T190351_20170410T190351",
             17: "20170417T184921_20170417T190203", 20: "20170420T184921_20170420T190203"}[day]  # fmt: skip
    return [f"projects/earthengine-public/assets/COPERNICUS/S2/{index}_{tile}" for tile in ("T10SEG", "T10SFG")]


def cube_of(groups, **options):
    times = np.datetime64("2017-04-01T00:00:00", "s").astype(object)
    steps = tuple(Step(time=times, images=tuple(group)) for group in groups)
    return Cube(collection="projects/earthengine-public/assets/COPERNICUS/S2", steps=steps, **options)


@functools.cache
def plane_of(world, name, band, grid):
    return world.image(name).read(grid, [band])[0]


def stack_of(world, names, band, grid, cast=None):
    """One band of some images, masked where it is masked: (image, y, x)."""
    planes = [plane_of(world, name, band, grid) for name in names]
    return np.ma.stack(
        [np.ma.masked_array(plane.values.astype(cast or plane.values.dtype), ~plane.valid) for plane in planes]
    )


REDUCERS = {"median": np.ma.median, "mean": np.ma.mean, "min": np.ma.min, "max": np.ma.max}


@pytest.mark.parametrize("mode", ["fill", "band"])
@pytest.mark.parametrize("reduction", ["mosaic", "median", "mean", "min", "max"])
def test_groups_are_reduced_as_numpy_does(emulator, world, reduction, mode):
    names = ("B4", "B11")
    groups = [s2(7) + s2(17), s2(20)[:1], s2(7)[:1] + s2(10) + s2(17)]
    cube = cube_of(groups, bands=names, grouping="day", reduction=reduction)
    dtype = "float64" if reduction in ("median", "mean") else "uint16"
    bands = tuple(Band(name, dtype) for name in names)
    masking = make_masking(mode, bands, fill=0)
    fields = Selection(bands=bands, steps=range(3), has_time=True, masking=masking).fields
    text = packed_expression(cube.images(range(3)), bands=bands, masking=masking, fields=fields)
    pixels = compute(emulator, text, EDGE)
    for step, group in enumerate(groups):
        every = np.ones((EDGE.height, EDGE.width), bool)
        for band, name in enumerate(names):
            stack = stack_of(world, group, name, EDGE)
            expected = newest(stack) if reduction == "mosaic" else REDUCERS[reduction](stack, axis=0)
            got = pixels[f"p{step}_{band}"]
            assert got.dtype == dtype
            np.testing.assert_allclose(got, np.ma.filled(expected, 0), rtol=1e-12, atol=0)
            every &= ~np.ma.getmaskarray(expected)
        assert 0.1 < every.mean() < 0.95
        if mode == "band":
            np.testing.assert_array_equal(pixels[f"m{step}"], every)


def newest(stack):
    """The last of the images that is valid, at each pixel."""
    top = stack[0].copy()
    for layer in stack[1:]:
        top = np.ma.where(layer.mask, top, layer)
    return top


def test_no_grouping_is_no_reduction(emulator, world):
    cube = cube_of([[name] for name in s2(7)], bands=("B4", "QA60"), reduction="mean")
    bands = (Band("B4", "uint16"), Band("QA60", "uint16"))
    fields = Selection(bands=bands, steps=range(2), has_time=True, masking=NO_MASKING).fields
    text = packed_expression(cube.images(range(2)), bands=bands, masking=NO_MASKING, fields=fields)
    pixels = compute(emulator, text, EDGE)
    for step, name in enumerate(s2(7)):
        for band, plane in enumerate(world.image(name).read(EDGE, ["B4", "QA60"])):
            np.testing.assert_array_equal(pixels[f"p{step}_{band}"], plane.values)
        assert "reduce" not in text
        assert "mosaic" not in text


def test_casts_and_lacking_bands(emulator, world):
    """A band that an image lacks is masked there; casts come before the reduction."""
    first = s2(20)[0]
    lack = Lack(image=first, bands=(Band("SCL", "uint8"),))
    sr = first.replace("S2/20170420T184921_20170420T190203", "S2_SR_HARMONIZED/20200414T190351_20200414T190351")
    cube = cube_of(
        [[first, sr], [sr], [first]], bands=("SCL", "B4"), grouping="day", reduction="max", lacks=(lack,),
        casts=(Band("B4", "uint8"),),
    )  # fmt: skip
    bands = (Band("SCL", "uint8"), Band("B4", "uint8"))
    masking = make_masking("band", bands, fill=9, is_shared=False)
    fields = Selection(bands=bands, steps=range(3), has_time=True, masking=masking).fields
    text = packed_expression(cube.images(range(3)), bands=bands, masking=masking, fields=fields)
    pixels = compute(emulator, text, EDGE)
    classes = stack_of(world, [sr], "SCL", EDGE)[0]
    for step, expected in enumerate([classes, classes, np.ma.masked_all_like(classes)]):
        np.testing.assert_array_equal(pixels[f"p{step}_0"], expected.filled(9))
        np.testing.assert_array_equal(pixels[f"m{step}_0"], ~np.ma.getmaskarray(expected))
    red = np.ma.minimum(stack_of(world, [first, sr], "B4", EDGE), 255).max(axis=0)
    np.testing.assert_array_equal(pixels["p0_1"], red.filled(9))


@pytest.mark.parametrize("count", [1, 2])
def test_one_step_by_itself_has_the_bands_and_types_of_the_cube(world, count):
    """Also a group of one image is reduced: its type is that of the others."""
    cube = cube_of([s2(7)[:count]], bands=("B8", "B4"), grouping="solar_day", reduction="median")
    raster = world.evaluate(json.loads(cube.step_expression(cube.steps[0])))
    assert [(band.id, band.dtype) for band in raster.bands] == [("B8", "float64"), ("B4", "float64")]


# What the official client sends for the same


@pytest.fixture
def ee(monkeypatch):
    """The official client, initialized without a network."""
    client = pytest.importorskip("ee")
    apitestcase = pytest.importorskip("ee.apitestcase")
    client.Reset()
    monkeypatch.setattr(client.data, "_install_cloud_api_resource", lambda: None)
    monkeypatch.setattr(client.data, "getAlgorithms", apitestcase.GetAlgorithms)
    monkeypatch.setattr(client.deprecation, "_FetchDataCatalogStac", dict)
    client.Initialize(None, "", project="p")
    yield client
    client.Reset()


def unfolded(text):
    """A graph without keys: references replaced by what they refer to, lists of constants by constant lists."""
    document = json.loads(text) if isinstance(text, str) else text

    def node(at):
        ((kind, held),) = at.items()
        if kind == "valueReference":
            return node(document["values"][held])
        if kind == "functionInvocationValue":
            return {held["functionName"]: {name: node(child) for name, child in held["arguments"].items()}}
        if kind == "arrayValue":
            return plain([node(child) for child in held["values"]])
        if kind == "dictionaryValue":
            return {"constantValue": {name: node(child)["constantValue"] for name, child in held["values"].items()}}
        return at

    return node(document["values"][document["result"]])


def plain(nodes):
    is_constant = all("constantValue" in node for node in nodes)
    return {"constantValue": [node["constantValue"] for node in nodes]} if is_constant else {"arrayValue": nodes}


@pytest.mark.parametrize("reduction", ["mosaic", "median", "mean", "min", "max"])
def test_a_group_is_what_the_official_client_sends(ee, reduction):
    first, second = s2(7)
    lacks = (Lack(image=second, bands=(Band("B8", "float32"),)),)
    casts = (Band("B4", "uint8"),)
    cube = cube_of([s2(7)], bands=("B4", "B8"), grouping="day", reduction=reduction, lacks=lacks, casts=casts)
    short = [name.removeprefix("projects/earthengine-public/assets/") for name in (first, second)]
    images = [
        ee.Image(short[0]).select(["B4", "B8"]).cast({"B4": "uint8"}),
        ee.Image(short[1]).select(["B4"]).cast({"B8": "float", "B4": "uint8"}, ["B4", "B8"]),
    ]
    expected = getattr(ee.ImageCollection.fromImages(images), reduction)()
    assert unfolded(cube.step_expression(cube.steps[0])) == unfolded(ee.serializer.encode(expected))


def test_a_packed_request_is_what_the_official_client_sends(ee):
    cube = cube_of([[name] for name in s2(7)], bands=("B4", "B8"))
    bands = (Band("B4", "uint16"), Band("B8", "float64"))
    masking = make_masking("band", bands, fill={"B4": 3, "B8": 0.5})
    fields = Selection(bands=bands, steps=range(2), has_time=True, masking=masking).fields
    text = packed_expression(cube.images(range(2)), bands=bands, masking=masking, fields=fields)
    images = [ee.Image(name.removeprefix("projects/earthengine-public/assets/")).select(["B4", "B8"]) for name in s2(7)]
    names = ["p0_0", "p0_1", "p1_0", "p1_1"]
    fills = ee.Image.constant([3, 0.5, 3, 0.5]).rename(names)
    stack = ee.ImageCollection.fromImages(images).toBands().rename(names).unmask(fills, False)
    least = [image.mask().unmask(sameFootprint=False).reduce(ee.Reducer.min()) for image in images]
    masks = ee.ImageCollection.fromImages(least).toBands().rename(["m0", "m1"]).gt(0).toUint8()
    types = {"p0_0": "uint16", "p0_1": "double", "p1_0": "uint16", "p1_1": "double"}
    expected = stack.cast(types).addBands(masks).select(["p0_0", "p0_1", "m0", "p1_0", "p1_1", "m1"])
    assert unfolded(text) == unfolded(ee.serializer.encode(expected))


def test_masks_of_single_bands_are_what_the_official_client_sends(ee):
    image = loaded(MIXED, bands=["i8", "f32"])
    bands = (Band("i8", "int8"), Band("f32", "float32"))
    masking = make_masking("fill", bands, fill={"i8": 0})
    fields = Selection(bands=bands, steps=range(1), has_time=False, masking=masking).fields
    text = packed_expression({0: image}, bands=bands, masking=masking, fields=fields)
    stack = ee.Image(MIXED).select(["i8", "f32"]).rename(["p0_0", "p0_1"])
    filled = stack.unmask(ee.Image.constant(0), False).cast({"p0_0": "int8", "p0_1": "float"})
    mask = stack.select(["p0_1"]).mask().gt(0).unmask(sameFootprint=False).toUint8().rename(["m0_1"])
    assert unfolded(text) == unfolded(ee.serializer.encode(filled.addBands(mask)))


# Size


def depth(document, node):
    """How deep nodes nest, through references."""
    held = next(iter(node.values()))
    if "valueReference" in node:
        return depth(document, document["values"][held])
    inner = held.get("arguments", held.get("values", {})) if isinstance(held, dict) else {}
    below = inner.values() if isinstance(inner, dict) else inner
    return 1 + max((depth(document, child) for child in below), default=0)


def nodes_in(node):
    if isinstance(node, list):
        return sum(map(nodes_in, node))
    if not isinstance(node, dict):
        return 0
    if "constantValue" in node:
        return 1
    return (len(node) == 1 and next(iter(node)).endswith(("Value", "Reference"))) + sum(map(nodes_in, node.values()))


@pytest.mark.parametrize("mode", ["none", "fill", "band"])
def test_nesting_does_not_grow_with_steps_and_length_grows_in_line(mode):
    names = tuple(f"B{k}" for k in range(16))
    bands = tuple(Band(name, "uint16" if name != "B3" else "float32") for name in names)
    masking = make_masking(mode, bands, fill={name: k for k, name in enumerate(names)})
    grown = {}
    for count in (50, 100, 200):
        cube = cube_of([s2(7)] * count, bands=names, grouping="day")
        fields = Selection(bands=bands, steps=range(count), has_time=True, masking=masking).fields
        text = packed_expression(cube.images(range(count)), bands=bands, masking=masking, fields=fields)
        document = json.loads(text)
        assert depth(document, document["values"][document["result"]]) <= 20
        grown[count] = nodes_in(document["values"])
    assert grown[200] - grown[100] == 2 * (grown[100] - grown[50])
    assert grown[200] < 200 * 40


GRID = PixelGrid.of("EPSG:32610", (10.000001, 0, 499980.123, 0, -10.000001, 4200000.123), (4096, 4096))


@st.composite
def fills_of(draw, bands, mode):
    """A fill for each band that its type holds; for a float now and then NaN, in the mode that has it."""
    real = [0.1, -1e300, math.nan] if mode == "fill" else [0.1]
    return {band.name: draw(st.sampled_from([0, 1, *(real if band.dtype == "float64" else [])])) for band in bands}


@settings(max_examples=60)
@given(data=st.data())
def test_steps_are_never_longer_than_said(data):
    name = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30)
    names = data.draw(st.lists(name, min_size=1, max_size=8, unique=True))
    dtypes = st.sampled_from(sorted(set(TYPES.values())))
    bands = tuple(Band(name, data.draw(dtypes)) for name in names)
    mode = data.draw(st.sampled_from(["none", "fill", "band"]))
    masking = make_masking(mode, bands, fill=data.draw(fills_of(bands, mode)), is_shared=data.draw(st.booleans()))
    first = data.draw(st.integers(0, len(bands) - 1))
    chosen = bands[first : data.draw(st.integers(first + 1, len(bands)))]
    count, start = data.draw(st.integers(1, 40)), data.draw(st.sampled_from([0, 7, 5000]))
    image = st.integers(1, 60).map(lambda length: f"projects/p/assets/{'c' * length}")
    groups = data.draw(st.lists(st.lists(image, min_size=1, max_size=4), min_size=count, max_size=count))
    cube = cube_of(
        [("x",)] * start + groups,
        bands=tuple(names),
        grouping="day",
        casts=(Band(names[0], "uint8"),) if data.draw(st.booleans()) else (),
    )
    images = dict(cube.images(range(start, start + count)))
    if data.draw(st.booleans()):
        images[start] = parse_expression(
            {"result": "r", "values": {"r": listed([{"valueReference": "s"}] * 30), "s": constant("x")}}
        )
    fields = Selection(
        bands=chosen, first_band=first, steps=range(start, start + count), has_time=True, masking=masking
    ).fields
    text = packed_expression(images, bands=bands, masking=masking, fields=fields)
    template = PixelTemplate({"fileFormat": "NPY"}, expression=text)
    real = template.body(GRID, [field.wire.name for field in fields]).size
    beside = PixelTemplate({"fileFormat": "NPY"}, expression="").body(GRID, []).size
    said = sum(step_bytes(image, bands=bands, masking=masking) for image in images.values())
    assert real - beside <= said
    assert said <= real + count * (5000 + 60 * sum(len(json.dumps(name)) for name in names))  # and not absurdly more


@pytest.mark.parametrize("mode", ["none", "fill", "band"])
def test_many_bands_and_long_images_are_counted_in_full(mode):
    """So many that what is counted once too often elsewhere hides nothing."""
    bands = tuple(Band(f"a rather long name {k}", "int16" if k % 2 else "float64") for k in range(400))
    masking = make_masking(mode, bands, fill={band.name: k for k, band in enumerate(bands)}, is_shared=False)
    cube = cube_of([s2(7) * 300], bands=tuple(band.name for band in bands), grouping="day")
    last = range(999_999, 1_000_000)
    images = {last[0]: cube.images([0])[0]}
    fields = Selection(bands=bands[1:], first_band=1, steps=last, has_time=True, masking=masking).fields
    text = packed_expression(images, bands=bands, masking=masking, fields=fields)
    names = json.dumps([field.wire.name for field in fields], separators=(",", ":"))
    said = step_bytes(images[last[0]], bands=bands, masking=masking)
    assert len(text) + len(names) <= said < 1.2 * (len(text) + len(names))


def test_keys_that_grow_in_company_are_counted():
    values = {f"v{k}": constant([k]) for k in range(3000)}
    many = {"result": "r", "values": values | {"r": listed([{"valueReference": key} for key in values])}}
    often = {"result": "r", "values": {"r": listed([{"valueReference": "s"}] * 3000), "s": constant([0])}}
    images = {0: parse_expression(many), 1: parse_expression(often)}
    bands = (Band("a", "uint8"),)
    fields = Selection(bands=bands, steps=range(2), has_time=True, masking=NO_MASKING).fields
    real = len(packed_expression(images, bands=bands, masking=NO_MASKING, fields=fields))
    said = [step_bytes(image, bands=bands, masking=NO_MASKING) for image in images.values()]
    assert sum(len(image) for image in images.values()) + 5000 < real <= sum(said)

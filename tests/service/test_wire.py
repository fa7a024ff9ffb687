"""Every request that eezarr sends, as it went over the wire, is one that Google's own clients could send."""

import ast
import json
from contextlib import suppress

import pytest

import eezarr
import wire
from eezarr.earthengine.collection import _REDUCTIONS
from known import REPOSITORY, SCENE

SMALL = eezarr.PixelGrid.of("EPSG:32610", (10, 0, 510_000, 0, -10, 4_190_000), (4, 5))
TAG = "a-tag"
OPTIONS = eezarr.FetchOptions.model_validate({"workload_tag": TAG})
COARSE = 'crs = "EPSG:32610"\ntransform = [2000, 0, 490000, 0, -2000, 4205000]\nshape = [20, 30]'
FETCH = f'[fetch]\nworkload_tag = "{TAG}"\n'
IMAGE = f'[image]\nasset = "{SCENE}"\nbands = ["B4", "B8"]\n'
SERIES = (
    '[collection]\nid = "COPERNICUS/S2"\nstart = "2017-04-01"\nend = "2017-04-15"\nbands = ["B4", "QA60"]\n'
    "filter = 'MGRS_TILE = \"10SEG\"'\n"
)
JOBS = {
    "asset": f"{IMAGE}[grid]\n{COARSE}\n",
    "own grid": f'{IMAGE}[grid]\nnative = "B4"\nregion = [-122.2, 37.4, -122.19, 37.41]\n',
    "masked": f'{IMAGE}[mask]\nmode = "band"\n[grid]\n{COARSE}\n',
    "filled": f'{IMAGE}[mask]\nmode = "fill"\nfill = 7\n[grid]\n{COARSE}\n',
    "expression": f'[image]\nexpression = "ndvi.json"\n[grid]\n{COARSE}\n',
    "series": f"{SERIES}[grid]\n{COARSE}\n",
    "series by day": f'{SERIES}group = "day"\nreduce = "median"\n[grid]\n{COARSE}\n',
    "series, one image": f'{SERIES}group = "all"\n[mask]\nmode = "band"\n[grid]\n{COARSE}\n',
    "series, cast": f'{SERIES}cast = {{ B4 = "float32" }}\nmissing = "mask"\n[mask]\nmode = "band"\n[grid]\n{COARSE}\n',
    "samples": (
        f'{IMAGE}[samples]\nsites = "sites.csv"\nid = "name"\nsize = 8\nresolution = 10\n[mask]\nmode = "band"\n'
    ),
    "samples of a series": (
        f'{SERIES}[samples]\nsites = "sites.csv"\nid = "name"\nsize = 8\nresolution = 10\n'
        '[samples.label_image]\nasset = "USGS/SRTMGL1_003"\n'
    ),
}
EXPORTS = {
    "cloud storage": 'destination = "cloud-storage"\nbucket = "my-bucket"\nprefix = "a/b"\npriority = 7\n'
    "[export.geotiff]\ncloud_optimized = true\ntile_size = 128\nfile_shape = [256, 256]\nskip_empty = true\n"
    "no_data = 7\n",
    "drive": 'destination = "drive"\nfolder = "shelf"\nprefix = "b"\ndescription = "d"\nmax_pixels = 1000\n',
    "records": 'destination = "cloud-storage"\nbucket = "my-bucket"\nprefix = "r"\n[export.tfrecord]\npatch = [4, 4]\n'
    "margin = [1, 1]\ncompress = true\nmax_bytes = 1000000\ndefault_value = 1.5\nmax_masked_ratio = 0.5\n"
    "tensor_depths = { B4 = 3 }\nsequence_data = true\ncollapse_bands = true\n",
    "asset": 'destination = "asset"\nasset = "projects/my-project/assets/new"\noverwrite = true\n'
    'pyramiding = "SAMPLE"\npyramiding_overrides = { B4 = "MODE" }\n',
}
PIXELS = {"earthengine.projects.assets.getPixels", "earthengine.projects.image.computePixels"}


@pytest.fixture
def recorder(emulator):
    with wire.recording(emulator.url) as recorder:
        yield recorder


@pytest.fixture
def checked(recorder):
    """Says what was asked, when all of it was right."""

    def check():
        asked = recorder.requests
        assert asked
        assert [problem for request in asked for problem in wire.problems(request)] == []
        for request in asked:
            tag = request.query.get("workloadTag") or (request.message or {}).get("workloadTag")
            computes = request.method in PIXELS or "workloadTag" in wire.QUERIES.get(request.method, ())
            assert tag == (TAG if computes else tag)
        return {request.method.removeprefix("earthengine.projects.") for request in asked}

    return check


def test_the_lists_find_what_is_wrong():
    def asked(line, message=None, **headers):
        body = b"" if message is None else json.dumps(message).encode()
        kind = {"content-type": "application/json"} if message is not None else {}
        return wire.problems(wire.Request(line=f"{line} HTTP/1.1", headers=kind | headers, body=body))

    thumbnails, pixels = "POST /v1/projects/p/thumbnails", "POST /v1/projects/p/image:computePixels"
    assert asked("GET /v1/projects/p/assets/a") == []
    assert asked(f"{thumbnails}?workloadTag=t", {"fileFormat": "PNG"}) == []
    assert "workloadTag is not in Thumbnail" in asked(thumbnails, {"workloadTag": "t"})[0]
    assert "fileFormat is PNGG" in asked(pixels, {"fileFormat": "PNGG"})[0]
    assert "grid.origin is not in PixelGrid" in asked(pixels, {"grid": {"origin": 1}})[0]
    assert "query parameter tag" in asked(f"{pixels}?tag=1", {})[0]
    assert "no such method" in asked("GET /v1/projects/p/assets/a:listImages")[0]
    assert "no such method" in asked("GET /v1/projects/p/image:computePixels")[0]
    assert "bytes" in asked(f"GET /v1/projects/p:listAssets?filter={'x' * 2048}")[0]
    call = {"functionInvocationValue": {"functionName": "Image.load", "arguments": {"name": {"constantValue": "a"}}}}
    found = asked(pixels, {"expression": {"result": "0", "values": {"0": call}}})
    assert [each.partition(": ")[2] for each in found] == [
        "Image.load has no argument name",
        "Image.load needs its argument id",
    ]


def test_every_call_that_the_source_writes_out():
    """Rarely sent ones too: `call("Image.cast", {"image": …})` names a function and arguments that it has."""
    found = {}
    for path in (REPOSITORY / "src" / "eezarr" / "earthengine").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name(id="call"), args=[ast.Constant(value=str(name)), ast.Dict(keys=[*keys]), *_]
                ):
                    given = {key.value for key in keys if isinstance(key, ast.Constant)}
                    found[name] = found.get(name, set()) | given
    found |= {name: {"collection"} for name in _REDUCTIONS.values()}
    assert len(found) > 15
    unknown = {
        name: asked - {each["name"] for each in wire.FUNCTIONS[name]["arguments"]} for name, asked in found.items()
    }
    assert {name: asked for name, asked in unknown.items() if asked} == {}


async def test_every_verb_of_the_client(emulator, recorder, checked):
    emulator.configure({"exports": {"queued_s": 0.3}})
    image = eezarr.Image.asset(SCENE, bands=["B4"])
    stretch = eezarr.Visualization(ranges=((0, 3000),), palette=("000000", "ffffff"), opacity=0.5)
    gamma = eezarr.Visualization(ranges=((0, 3000),), gamma=1.4)
    partial = eezarr.PartialGrid(crs="EPSG:32610", height=4, width=5)
    region = {"type": "Polygon", "coordinates": [[[-122.2, 37.4], [-122.1, 37.4], [-122.1, 37.5], [-122.2, 37.4]]]}
    async with eezarr.Client(project="my-project", api_url=recorder.url, options=OPTIONS) as client:
        for file_format in ("NPY", "GEO_TIFF", "PNG", "JPEG", "AUTO_JPEG_PNG"):
            shown = {"bands": ("B4",), "file_format": file_format, "grid": SMALL}
            await client.get_pixels(SCENE, eezarr.PixelRequest(**shown, visualization=stretch))
            await client.compute_pixels(
                eezarr.PixelRequest(**shown, expression=image.computed, visualization=gamma, workload_tag=TAG)
            )
        await client.get_pixels(SCENE, eezarr.PixelRequest(bands=("B4",), grid=partial, region=region))
        for file_format in ("ZIPPED_GEO_TIFF", "ZIPPED_GEO_TIFF_PER_BAND", "PNG"):
            request = eezarr.PixelRequest(
                expression=image.computed, file_format=file_format, bands=("B4",), grid=SMALL, visualization=stretch
            )
            await client.get_thumbnail(await client.create_thumbnail(request))
        await client.create_thumbnail(eezarr.PixelRequest(expression=image.computed, grid=SMALL, workload_tag=TAG))
        await client.get_asset(SCENE)
        assert [asset async for asset in client.list_assets("projects/earthengine-public")]
        assert [asset async for asset in client.list_assets("projects/earthengine-public/assets")]
        assert [asset async for asset in client.list_assets("COPERNICUS/S2", view="BASIC", page_size=9999)]
        for method in ("listAssets", "listImages"):
            for where in (region, SMALL.footprint()):
                found = client.list_images(
                    "COPERNICUS/S2", start="2017-04-01", region=where, filter="CLOUDY_PIXEL_PERCENTAGE < 90",
                    method=method, page_size=2,
                )  # fmt: skip
                assert [image async for image in found]
        await client.compute_value({"result": "0", "values": {"0": {"constantValue": 1}}})
        await client.describe_bands(eezarr.Image.expression(image.computed))
        await client.probe_bands(image, SMALL)
        await client.pixels(image, SMALL)
        target = eezarr.FileExport(destination=eezarr.CloudStorage(bucket="my-bucket", prefix="p"))
        started = await client.export_image(
            eezarr.ExportRequest(expression=image.computed, grid=SMALL, target=target, workload_tag=TAG)
        )
        await client.get_operation(started.name)
        await client.wait_operation(started.name)
        assert [operation async for operation in client.list_operations(page_size=1)]
        with suppress(eezarr.EezarrError):
            await client.cancel_operation(started.name)
        await client.delete_operation(started.name)
    assert checked() == {
        "assets.get",
        "assets.getPixels",
        "assets.listAssets",
        "assets.listImages",
        "image.computePixels",
        "image.export",
        "listAssets",
        "operations.cancel",
        "operations.delete",
        "operations.get",
        "operations.list",
        "operations.wait",
        "thumbnails.create",
        "thumbnails.getPixels",
        "value.compute",
    }


@pytest.fixture
def files(tmp_path):
    ndvi = {"functionName": "Image.normalizedDifference", "arguments": {"input": {"functionInvocationValue": {
        "functionName": "Image.load", "arguments": {"id": {"constantValue": SCENE}}}}, "bandNames": {
        "constantValue": ["B8", "B4"]}}}  # fmt: skip
    graph = {"result": "0", "values": {"0": {"functionInvocationValue": ndvi}}}
    (tmp_path / "ndvi.json").write_text(json.dumps(graph))
    (tmp_path / "sites.csv").write_text("name,lon,lat\na,-122.5,37.6\nb,-122.4,37.7\n")
    return tmp_path


@pytest.mark.parametrize("name", JOBS)
def test_every_job(name, recorder, checked, files, eezarr_at):
    (files / "job.toml").write_text(f'output = "out.zarr"\n{JOBS[name]}{FETCH}')
    ended = eezarr_at(recorder, "samples" if "[samples]" in JOBS[name] else "fetch", "job.toml")
    assert ended.code == 0, ended.err
    assert checked() & {"assets.getPixels", "image.computePixels"}


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export(name, recorder, checked, files, eezarr_at):
    text = f"{JOBS['asset']}{FETCH}[export]\n{EXPORTS[name]}"
    (files / "job.toml").write_text(text)
    ended = eezarr_at(recorder, "export", "job.toml", "--json")
    assert ended.code == 0 or (name == "records" and ended.json["state"] == "FAILED"), ended.err
    eezarr_at(recorder, "operations", "--limit", "3")
    eezarr_at(recorder, "operations", "get", ended.json["name"])
    eezarr_at(recorder, "operations", "cancel", ended.json["name"])
    assert checked() >= {"image.export", "operations.list", "operations.get", "operations.cancel"}


def test_every_other_command(recorder, checked, files, eezarr_at):
    shown = ("--bands", "B4,B3,B2", "--min", "0", "--max", "3000", "--gamma", "1.2", "--size", "16")
    search = ("--start", "2017-04-01", "--end", "2017-05-01", "--region", "-123,37,-122,38", "--limit", "2")
    one_band = JOBS["asset"].replace('"B4", "B8"', '"B4"')
    (files / "job.toml").write_text(f'output = "out.zarr"\n{one_band}')
    (files / "samples.toml").write_text(f'output = "samples.zarr"\n{JOBS["samples"]}')
    for command in (
        ("info", SCENE),
        ("info", "COPERNICUS/S2", "--json"),
        ("info", "COPERNICUS"),
        ("images", "COPERNICUS/S2", *search),
        ("images", "COPERNICUS/S2", *search, "--method", "listImages", "--json"),
        ("thumbnail", SCENE, *shown, "a.png"),
        ("thumbnail", SCENE, "--bands", "B4", "--size", "16", "a.tif"),
        ("thumbnail", "--expression", "ndvi.json", "--region", "-122.2,37.4,-122.1,37.5", "--size", "8",
         "--min", "-1", "--max", "1", "--palette", "ff0000,00ff00", "--opacity", "0.5", "b.jpg"),
        ("thumbnail", "--job", "job.toml", "--min", "0", "--max", "3000", "c.png"),
        ("plan", "job.toml"),
        ("fetch", "job.toml"),
        ("verify", "out.zarr", "--sample", "2"),
        ("samples", "samples.toml"),
        ("verify", "samples.zarr", "--sample", "2"),
        ("doctor",),
    ):  # fmt: skip
        ended = eezarr_at(recorder, *command)
        assert ended.code == 0, (command, ended.err, ended.out)
    # Commands have no tag of their own: `checked` looks for one only where a job has it.
    asked = recorder.requests
    assert [problem for request in asked for problem in wire.problems(request)] == []
    assert {request.method for request in asked} >= {"earthengine.projects.assets.listImages", *PIXELS}

"""Jobs that are wrong: each mistake is one clear line that names the key, and no traceback."""

import json
import tomllib

import jsonschema
import pytest
from typer.testing import CliRunner

from eezarr.cli.app import app
from eezarr.config import ExportJob, Job, SamplesJob, json_schema
from eezarr.errors import InvalidInput

EDITOR = jsonschema.Draft202012Validator(json.loads(json_schema()))
HEAD = 'output = "o.zarr"\n'
IMAGE = '[image]\nasset = "A"\n'
SERIES = '[collection]\nid = "C"\n'
GRID = '[grid]\nnative = "B2"\n'
EXPORT = '[export]\ndestination = "cloud-storage"\nbucket = "b"\nprefix = "p"\n'
SAMPLES = '[samples]\nsites = "sites.csv"\nsize = 64\nresolution = 10\n'
AREAS = SAMPLES.replace("sites.csv", "fields.geojson")


def series(lines, rest=""):
    return Job, HEAD + SERIES + lines + "\n" + GRID + rest


def image(rest, grid=""):
    return Job, HEAD + IMAGE + GRID + grid + "\n" + rest


def export(lines, what=IMAGE, grid=""):
    return ExportJob, what + GRID + grid + "\n" + EXPORT + lines


def samples(lines, what=IMAGE, section=SAMPLES, rest=""):
    return SamplesJob, HEAD + what + section + lines + "\n" + rest


# What is wrong in the shape of one section, editors see, too; the rest only we.
SHAPES = [
    (Job, HEAD + GRID, "give exactly one of [image] and [collection], not none"),
    (Job, HEAD + IMAGE + SERIES + GRID, "give exactly one of [image] and [collection], not both"),
    (Job, HEAD + SERIES, "'grid' is missing"),
    (Job, IMAGE + GRID, "'output' is missing"),
    (ExportJob, IMAGE + GRID, "'export' is missing"),
    (Job, HEAD + "[colection]\n" + IMAGE + GRID, "there is no key 'colection'; did you mean 'collection'?"),
    (Job, 'folder = "x"\n' + HEAD + IMAGE + GRID, "there is no key 'folder'; the keys here are project, image"),
    (Job, HEAD + "[collection]\n" + GRID, "'collection.id' is missing"),
    (*series('ids = "C"'), "there is no key 'collection.ids'; did you mean 'id'?"),
    (*series('groups = "day"'), "there is no key 'collection.groups'; did you mean 'group'?"),
    (*series("region = [0, 0, 1, 1]"), "there is no key 'collection.region'"),
    (*series('group = "week"'), "'collection.group': Input should be 'none', 'solar_day', 'day'"),
    (*series('group = "day"\nreduce = "first"'), "'collection.reduce': Input should be 'mosaic', 'median'"),
    (*series('missing = "drop"'), "'collection.missing': Input should be 'error', 'skip' or 'mask' (got 'drop')"),
    (*series("bands = []"), "'collection.bands': Tuple should have at least 1 item"),
    (*series('filter = ""'), "'collection.filter': String should have at least 1 character"),
    (*series('cast = { B4 = "uint12" }'), "'collection.cast.B4': Input should be 'int8', 'uint8'"),
    (*series("start = 2017"), "'collection.start': this is no time; write it as 2017-04-01 or"),
    (*image('[mask]\nmode = "nodata"'), "'mask.mode': Input should be 'none', 'fill' or 'band'"),
    (*image("[mask]\nfills = 1"), "there is no key 'mask.fills'; did you mean 'fill'?"),
    (*image("[mask]\nper_bands = true"), "did you mean 'per_band'?"),
    (*image('[mask]\nmode = "fill"\nfill = { B4 = "low" }'), "'mask.fill.B4': Input should be a valid integer"),
    (*image('[mask]\nmode = "fill"\nfill = "low"'), "'mask.fill': Input should be a valid integer"),
    (*image("clips = true"), "there is no key 'grid.clips'; did you mean 'clip'?"),
    (*image("[store]\noverview = true"), "there is no key 'store.overview'; did you mean 'overviews'?"),
    (*image("[fetch]\nstep = 3"), "there is no key 'fetch.step'; did you mean 'steps'?"),
    (*image("[fetch]\nsteps = 0"), "'fetch.steps': Input should be 'auto', or greater than 0 (got 0)"),
    (*image('[fetch]\nsteps = "all"'), "'fetch.steps': Input should be 'auto', or a valid integer"),
    (*image('[fetch]\ntile = "big"'), "'fetch.tile': Input should be 'auto', or a valid tuple (got 'big')"),
    (*image("[fetch]\ntile = [256, 0]"), "'fetch.tile.1': Input should be greater than 0 (got 0)"),
    (*image("[fetch.limits]\nbyte = 5"), "there is no key 'fetch.limits.byte'; did you mean 'bytes'?"),
    (*export('buckett = "b"'), "there is no key 'export.buckett'; did you mean 'bucket'?"),
    (*export("[export.geotiff]\ncloud_optimised = true"), "did you mean 'cloud_optimized'?"),
    (ExportJob, IMAGE + GRID + '[export]\ndestination = "moon"\n', "'export.destination': Input should be 'cloud-"),
    (SamplesJob, HEAD + IMAGE + "[samples]\nsize = 3\nscale = 1\n", "'samples.sites' is missing"),
    (SamplesJob, IMAGE + SAMPLES, "'output' is missing"),
    (*samples("sizes = 3"), "there is no key 'samples.sizes'; did you mean 'size'?"),
    (*samples("seed = -1"), "'samples.seed': Input should be greater than or equal to 0"),
    (*samples("nearest = 0"), "'samples.nearest': Input should be greater than 0"),
    (*samples("", rest=GRID), "a job with [samples] has no grid: each patch is on one of its own"),
    (*samples("", rest=EXPORT), "a job with [samples] is for `eezarr samples`, which exports nothing"),
    (*samples("", rest="[store]\nchunk = 64\n"), "there is no key 'store.chunk'; the keys here are shard, compressor"),
    (*samples("", rest='[store]\nlayout = "stacked"\n'), "there is no key 'store.layout'"),
    (*samples("", rest="[store]\nshard = true\n"), "'store.shard': Input should be False, or a valid integer"),
    (*samples('[samples.polygon]\nstrategy = "grid"'), "there is no key 'samples.polygon'; did you mean 'polygons'?"),
    (
        *samples('[samples.polygons]\nstrategy = "regular"', section=AREAS),
        "'samples.polygons.strategy': Input should be 'random', 'stratified', 'grid' or 'centroid'",
    ),
    (*samples('[samples.splits]\nbye = "hash"\ntrain = 1.0'), "'samples.splits.bye': Input should be a valid number"),
    (*samples("[samples.splits]\ntrain = 1.0\nblock_sise = 5000"), "(got 5000); did you mean 'block_size'?"),
    (*samples("[samples.splits]\ntrain = 1.5"), "'samples.splits.train': Input should be less than or equal to 1"),
    (*samples("[samples.splits]\ntrain = 0.0"), "'samples.splits.train': Input should be greater than 0"),
    (*samples('[samples.splits]\nby = "random"\ntrain = 1'), "'samples.splits.by': Input should be 'hash', 'column'"),
    (
        *samples('[samples.label_image]\nasset = "A"\nbands = ["B"]'),
        "there is no key 'samples.label_image.bands'; did you mean 'band'?",
    ),
]

MEANINGS = [
    (*series("start = 2017-05-01\nend = 2017-04-01"), "'collection': the period from 2017-05-01T00:00:00+00:00 to"),
    (*series('start = "2017-04-01"\nend = 2017-04-01T00:00:00Z'), "is empty; give start before end"),
    (*series('start = "2017-04-31"'), "'collection.start': this is no time; write it as 2017-04-01 or"),
    (*series("end = 12:00:00"), "'collection.end': this is no time"),
    (*series('end = "0001-01-01T00:00:00+02:00"'), "'collection.end': this time is in no year"),
    (*series('reduce = "median"'), "'collection': reduce = \"median\" needs groups to reduce: leave it out, or give"),
    (
        *series('bands = ["B4"]\ncast = { B44 = "uint8" }'),
        "cast names 'B44', which is none of the bands; did you mean 'B4'?",
    ),
    (*series('bands = ["B4"]\ncast = { QA60 = "uint8" }'), "cast names 'QA60', which is none of the bands"),
    (*series('missing = "mask"'), "'collection.missing': \"mask\" needs a mask: give [mask] with mode"),
    (*image("[mask]\nper_band = true"), '\'mask\': per_band is for mode = "band"; mode = "none" keeps no mask'),
    (*image('[mask]\nmode = "fill"\nper_band = true'), 'mode = "fill" keeps no mask'),
    (*image("", grid="clip = true"), "'grid': clip needs a region that is a GeoJSON file: a box has nothing to clip"),
    (
        *image('[mask]\nmode = "fill"', grid="clip = true\nregion = [0, 0, 1, 1]"),
        "clip needs a region that is a GeoJSON file",
    ),
    (*image("", grid='clip = true\nregion = "a.geojson"'), "'grid.clip' masks pixels: give [mask] with mode"),
    (*image("[fetch]\nsteps = 3"), "'fetch.steps' is for a [collection]; an image has no time steps"),
    (*image("[store]\nformat = 2\nshard = true"), "'store': Zarr format 2 has no shards"),
    (Job, HEAD + IMAGE + 'method = "getPixels"\nexpression = "e.json"\n' + GRID, "exactly one of asset, expression"),
    (Job, HEAD + '[image]\nmethod = "getPixels"\npython = "a.py:b"\n' + GRID, "'image': method = \"getPixels\" reads"),
    (Job, HEAD + IMAGE + '[grid]\nnative = "B"\nscale = 1\n', "'grid': scale cannot stand beside native"),
    (Job, HEAD + IMAGE + '[grid]\ncrs = "EPSG:4326"\nscale = 1\n', "'grid': a resolution or scale needs a region"),
    (*export("", what=SERIES), "'collection.group': an export is of one image: give group = \"all\", or an [image]"),
    (*export("", what=SERIES + 'group = "year"\n'), "an export is of one image"),
    (
        *export('[mask]\nmode = "fill"', grid='clip = true\nregion = "a.geojson"'),
        "'grid.clip': the service exports whole grids; clip the image itself, or fetch it",
    ),
    (*export('asset = "x"'), "'export': asset cannot stand beside cloud-storage"),
    (
        ExportJob,
        IMAGE + GRID + EXPORT.replace('bucket = "b"', ""),
        "'export': cloud-storage needs bucket",
    ),
    (*samples("scale = 10"), "'samples': give exactly one of resolution, scale, not resolution and scale"),
    (SamplesJob, HEAD + IMAGE + '[samples]\nsites = "a.csv"\nsize = 3\n', "exactly one of resolution, scale, not none"),
    (*samples("", section=SAMPLES.replace("csv", "shp")), "'samples.sites': a file of sites ends in .csv, .geojson"),
    (*samples('x = "lon"'), "'samples': x and y go together: name both columns, or none"),
    (*samples('x = "a"\ny = "b"', section=AREAS), "x and y cannot stand beside a GeoJSON file, which has geometries"),
    (*samples("nearest = 3", what=SERIES), "'samples': nearest: give date, too, the column with the sites' own dates"),
    (*samples('nearest = 3\ndate = "day"'), "'samples.nearest' is for a [collection]; an image has no time steps"),
    (*samples('window_days = 3\ndate = "day"'), "'samples.window_days' is for a [collection]"),
    (*samples("", rest="[fetch]\ntile = [64, 64]\n"), "'fetch.tile' does not apply: the size of a patch is"),
    (*samples("", rest="[fetch]\nsteps = 2\n"), "'fetch.steps' is for a [collection]"),
    (*samples("", rest="[store]\nformat = 2\nshard = 4\n"), "'store': Zarr format 2 has no shards"),
    (*samples("", what=SERIES + 'missing = "mask"\n'), "'collection.missing': \"mask\" needs a mask"),
    (
        *samples('[samples.polygons]\nstrategy = "random"', section=AREAS),
        "'samples.polygons': strategy = \"random\" needs per_polygon",
    ),
    (
        *samples('[samples.polygons]\nstrategy = "stratified"\nper_class = 5', section=AREAS),
        "'samples.polygons': strategy = \"stratified\" needs class_column",
    ),
    (
        *samples('[samples.polygons]\nstrategy = "centroid"\nspacing = 5', section=AREAS),
        "'samples.polygons': spacing cannot stand beside strategy = \"centroid\"",
    ),
    (*samples('[samples.polygons]\nstrategy = "grid"', section=AREAS), 'strategy = "grid" needs spacing'),
    (
        *samples("[samples.splits]\ntrain = 0.8\ntest = 0.1"),
        "'samples.splits': the shares of train, test add up to 0.9",
    ),
    (*samples('[samples.splits]\nby = "hash"'), "'samples.splits': give splits with their shares, such as train = 0.8"),
    (*samples('[samples.splits]\nby = "blocks"\ntrain = 1'), 'by = "blocks" needs block_size, in metres'),
    (*samples("[samples.splits]\nblock_size = 10\ntrain = 1"), 'by = "hash" has no blocks: leave out block_size'),
    (
        *samples('split = "set"\n[samples.splits]\nby = "column"\ntrain = 1'),
        "'samples.splits': by = \"column\" has no shares: leave out train",
    ),
    (*samples('[samples.splits]\nby = "column"'), 'splits.by = "column" needs split, the column that says which'),
    (*samples('split = "set"\n[samples.splits]\ntrain = 1'), 'split names a column, but splits.by = "hash" does not'),
    (*samples('[samples.label_image]\nband = "B"'), "'samples.label_image': give exactly one of asset, expression"),
]


@pytest.mark.parametrize(("kind", "text", "says"), SHAPES + MEANINGS)
def test_a_mistake_is_named(kind, text, says, tmp_path):
    path = tmp_path / "job.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        kind.load(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(("kind", "text", "says"), [case for case in SHAPES + MEANINGS if case[0] is not SamplesJob])
def test_the_command_line_says_it_in_one_line(kind, text, says, tmp_path, monkeypatch):
    monkeypatch.setenv("EEZARR_API_URL", "http://127.0.0.1:9")
    path = tmp_path / "job.toml"
    path.write_text(text, encoding="utf-8")
    ended = CliRunner().invoke(app, ["export" if kind is ExportJob else "fetch", str(path)])
    assert ended.exit_code == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert says in line
    assert "?." not in line


@pytest.mark.parametrize(("kind", "text", "says"), SHAPES)
def test_editors_see_what_is_wrong_in_shape(kind, text, says):
    assert not EDITOR.is_valid(json.loads(json.dumps(tomllib.loads(text), default=str)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tile = [256, 0]", "'fetch.tile.1': Input should be greater than 0 (got 0)"),
        ("tile = [256]", "'fetch.tile.1' is missing"),
        ('gzip = "maybe"', "'fetch.gzip': Input should be a valid boolean, unable to interpret input, or 'auto'"),
    ],
)
def test_what_a_key_may_be_is_told_once(text, says):
    with pytest.raises(InvalidInput) as caught:
        Job.parse(tomllib.loads(HEAD + IMAGE + GRID + f"[fetch]\n{text}\n"))
    assert caught.value.message.startswith(f"The job: {says}")
    assert caught.value.message.count("fetch.") == 1


def test_all_mistakes_of_a_file_are_named_at_once(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text('[collection]\nstart = "soon"\n[grid]\nnativ = "B2"\n[fetch]\nsteps = -1\n', encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        Job.load(path)
    for says in ("'collection.id' is missing", "'collection.start'", "'nativ", "'fetch.steps'", "'output' is missing"):
        assert says in caught.value.message


def test_all_mistakes_across_sections_are_named_at_once():
    job = tomllib.loads(HEAD + IMAGE + SERIES + 'missing = "mask"\n' + GRID + 'clip = true\nregion = "a.json"\n')
    with pytest.raises(InvalidInput) as caught:
        Job.parse(job)
    for says in ("not both", "'collection.missing'", "'grid.clip'"):
        assert says in caught.value.message


def test_a_job_for_samples_is_said_to_be_one():
    with pytest.raises(InvalidInput, match=r"a job with \[samples\] is one of `eezarr samples`"):
        Job.parse(tomllib.loads(HEAD + IMAGE + SAMPLES))

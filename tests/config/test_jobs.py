"""Jobs that are right: what they become, and that editors with the schema agree."""

import json
import math
import subprocess
import sys
import time
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from eezarr.config import CollectionOptions, ExportJob, FetchOptions, Job, SamplesJob, json_schema
from eezarr.config.collection import PixelType
from eezarr.config.samples import SUFFIXES
from eezarr.errors import InvalidInput
from eezarr.plan.bands import DTYPES
from eezarr.samples.reading import SUFFIXES as READABLE
from known import CONFIGS

EDITOR = jsonschema.Draft202012Validator(json.loads(json_schema()))
GRID = '[grid]\ncrs = "EPSG:32610"\nscale = 10\nregion = [-122.6, 37.2, -122.0, 37.8]\n'
IMAGE = '[image]\nasset = "A"\n'
SERIES = 'output = "o.zarr"\n[collection]\nid = "COPERNICUS/S2"\n'
EXPORT = '[export]\ndestination = "cloud-storage"\nbucket = "b"\nprefix = "p"\n'
SAMPLES = 'output = "o.zarr"\n' + IMAGE + '[samples]\nsites = "sites.csv"\nsize = 64\nresolution = 10\n'
DATED = SAMPLES.replace(IMAGE, '[collection]\nid = "C"\n') + 'date = "day"\n'


def loaded(kind, text, tmp_path):
    path = tmp_path / "job.toml"
    path.write_text(text, encoding="utf-8")
    job = kind.load(path)
    assert job.folder == tmp_path
    return job


GOOD = {
    "an image": (Job, f'output = "o"\n{IMAGE}{GRID}'),
    "a collection": (Job, SERIES + GRID),
    "all of a collection": (
        Job,
        SERIES + 'start = 2017-04-01\nend = "2017-05-01"\nfilter = "CLOUD < 20"\nbands = ["B4", "B8"]\n'
        'group = "solar_day"\nreduce = "median"\nmissing = "mask"\ncast = { B4 = "float32" }\n'
        + GRID
        + '[mask]\nmode = "band"\nper_band = true\nfill = { B4 = -1, B8 = 0.5 }\n'
        "[fetch]\nsteps = 8\n[store]\noverviews = true\n",
    ),
    "a clip": (
        Job,
        f'output = "o"\n{IMAGE}[grid]\nnative = "B2"\nregion = "field.geojson"\nclip = true\n'
        '[mask]\nmode = "fill"\nfill = nan\n',
    ),
    "an export": (ExportJob, IMAGE + GRID + EXPORT),
    "an export of one median": (ExportJob, SERIES + 'group = "all"\nreduce = "median"\n' + GRID + EXPORT),
    "samples": (SamplesJob, SAMPLES),
    "samples near dates": (
        SamplesJob,
        DATED
        + 'nearest = 3\nwindow_days = 30\nid = "name"\nlabel = "crop"\nx = "lon"\ny = "lat"\n'
        + 'shuffle = true\nseed = 7\n[store]\nshard = 256\n[mask]\nmode = "band"\n[fetch]\nsteps = 2\n',
    ),
    "samples in polygons": (
        SamplesJob,
        SAMPLES.replace("sites.csv", "fields.geojson").replace("size = 64", "size = [64, 32]")
        + '[samples.polygons]\nstrategy = "stratified"\nper_class = 100\nclass_column = "crop"\n'
        '[samples.splits]\ntrain = 0.7\nval = 0.2\ntest = 0.1\nby = "blocks"\nblock_size = 5000\n'
        '[samples.label_image]\nasset = "USDA/NASS/CDL/2019"\nband = "cropland"\n',
    ),
    "samples with their splits": (SamplesJob, SAMPLES + 'split = "set"\n[samples.splits]\nby = "column"\n'),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_right_job_is_one_to_us_and_to_editors(name, tmp_path):
    kind, text = GOOD[name]
    job = loaded(kind, text, tmp_path)
    again = job.replaced(max_concurrency=7)
    assert again.folder == tmp_path
    assert again.fetch.max_concurrency == 7
    # NaN is not equal to itself: what is compared is what is written.
    changed = job.model_dump() | {"fetch": job.fetch.model_dump() | {"max_concurrency": 7}}
    assert repr(again.model_dump()) == repr(changed)
    EDITOR.validate(as_editors_see_it(tomllib.loads(text)))


def as_editors_see_it(value):
    """JSON has no dates: editors check their text."""
    if isinstance(value, dict):
        return {key: as_editors_see_it(inner) for key, inner in value.items()}
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize(
    "written",
    [
        "2017-04-01",
        '"2017-04-01"',
        "2017-04-01T00:00:00",
        "2017-04-01T00:00:00Z",
        '"2017-04-01T00:00:00Z"',
        "2017-04-01T02:00:00+02:00",
        '"2017-03-31T20:00:00-04:00"',
        '"20170401"',
    ],
)
def test_a_time_is_utc_however_it_is_written(written, tmp_path):
    job = loaded(Job, SERIES + f"start = {written}\n" + GRID, tmp_path)
    assert job.collection.start == datetime(2017, 4, 1, tzinfo=UTC)
    assert job.collection.start.tzinfo is UTC


@pytest.mark.parametrize("written", ["2017-04-01", "2017-04-01T00:00:00", '"2017-04-01"'])
def test_the_machines_own_zone_is_not_asked(written, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        job = loaded(Job, SERIES + f"start = {written}\n" + GRID, tmp_path)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert job.collection.start == datetime(2017, 4, 1, tzinfo=UTC)


def test_a_collection_has_quiet_defaults(tmp_path):
    job = loaded(Job, SERIES + GRID, tmp_path)
    assert job.image is None
    read = job.collection
    assert (read.start, read.end, read.filter, read.bands, read.cast) == (None, None, None, None, {})
    assert (read.group, read.reduce, read.missing) == ("none", "mosaic", "error")
    said = CollectionOptions.model_validate({"id": "A/B", "group": "none", "reduce": "mosaic"})
    assert (said.group, said.reduce) == (read.group, read.reduce)
    assert (job.mask.mode, job.mask.per_band, job.grid.clip) == ("none", False, False)
    assert (job.store.overviews, job.fetch.steps) == (False, "auto")


def test_samples_have_quiet_defaults(tmp_path):
    job = loaded(SamplesJob, SAMPLES, tmp_path)
    read = job.samples
    assert (read.crs, read.sites_crs, read.x, read.y, read.seed, read.shuffle) == ("utm", None, None, None, 0, False)
    assert job.store.shard is False


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("7", 7),
        ("-0.5", -0.5),
        ("nan", math.nan),
        ("-inf", -math.inf),
        ("{ B4 = 1, B8 = inf }", {"B4": 1, "B8": math.inf}),
    ],
)
@pytest.mark.parametrize("mode", ["none", "fill"])
def test_a_fill_is_a_number_or_a_table(mode, written, read, tmp_path):
    text = f'output = "o"\n{IMAGE}{GRID}[mask]\nmode = "{mode}"\nfill = {written}\n'
    assert repr(loaded(Job, text, tmp_path).mask.fill) == repr(read)


def test_splits_are_in_the_files_order(tmp_path):
    _, text = GOOD["samples in polygons"]
    splits = loaded(SamplesJob, text, tmp_path).samples.splits
    assert list(splits.fractions.items()) == [("train", 0.7), ("val", 0.2), ("test", 0.1)]


def test_paths_start_beside_the_job(tmp_path):
    job = loaded(Job, GOOD["a clip"][1], tmp_path)
    assert job.beside(job.grid.region) == tmp_path / "field.geojson"
    assert Job.parse(tomllib.loads(GOOD["an image"][1])).folder == Path()


def test_a_job_is_for_fetch_for_export_or_for_both(tmp_path):
    text = IMAGE + GRID + EXPORT
    assert loaded(ExportJob, text, tmp_path).export.bucket == "b"
    with pytest.raises(InvalidInput, match="'output' is missing"):
        loaded(Job, text, tmp_path)
    both = 'output = "a.zarr"\n' + text
    assert loaded(ExportJob, both, tmp_path).image == loaded(Job, both, tmp_path).image
    with pytest.raises(InvalidInput, match="'export' is missing"):
        loaded(ExportJob, both.partition("[export]")[0], tmp_path)


def test_a_job_is_frozen(tmp_path):
    job = loaded(Job, SERIES + GRID, tmp_path)
    for section, key in ((job, "output"), (job.collection, "id"), (job.grid, "clip")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, key, "x")


def test_the_variable_is_the_default_for_the_service(monkeypatch):
    monkeypatch.setenv("EEZARR_API_URL", "http://127.0.0.1:9")
    assert FetchOptions.model_validate({}).api_url == "http://127.0.0.1:9"
    assert FetchOptions.model_validate({"api_url": "http://other"}).api_url == "http://other"
    assert Job.parse(tomllib.loads(GOOD["an image"][1])).fetch.api_url == "http://127.0.0.1:9"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_editors_accept_every_shipped_job(path):
    EDITOR.validate(tomllib.loads(path.read_text(encoding="utf-8")))


def test_the_schema_describes_what_people_write():
    EDITOR.check_schema(EDITOR.schema)
    described = EDITOR.schema["$defs"]["CollectionOptions"]["properties"]
    assert described["end"]["description"] == "Images before then."
    assert EDITOR.schema["$defs"]["ImageOptions"]["properties"]["asset"]["description"].startswith("An asset id")
    assert EDITOR.schema["properties"]["project"]["description"].startswith("Default: EARTHENGINE_PROJECT")
    assert EDITOR.schema["properties"]["output"]["description"].startswith("A path, or a file://")
    assert set(EDITOR.schema["properties"]) == {
        "output", "project", "image", "collection", "grid", "mask", "store", "fetch", "export", "samples",
    }  # fmt: skip


def test_names_that_are_written_twice_agree():
    assert get_args(PixelType) == DTYPES
    assert sorted(SUFFIXES) == sorted(READABLE)


def test_a_section_alone_costs_no_job():
    script = (
        "import sys; from eezarr.config import FetchOptions, StoreOptions; "
        "print(sorted(n for n in sys.modules if n.startswith('eezarr.config.')))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "['eezarr.config.fetch', 'eezarr.config.sections', 'eezarr.config.store']\n"

"""Death at writes all along the growing of a cube: what was there stays there, and the next run finishes it."""

import itertools
import json
import shutil
import signal

import pytest

from chaos.cubes import CubeTrial, Truth, write_job
from eezarr.errors import StoreError
from eezarr.store import open_store

CALM = {"quota": {"max_requests_per_second": None}}
JOB = {"mode": "each", "chunk": 24, "tile": "[48, 48]", "steps": 2}
EVERY = 4
"""Every fourth write of a run is one to die at."""


def test_death_while_a_cube_grows_leaves_what_the_next_run_finishes(tmp_path, forge, service, tmp_path_factory):
    short, grown = (
        Truth(service.world, tmp_path_factory.mktemp("truth"), side=48, end=end, cloudy=101)
        for end in ("2017-01-11", "2017-01-21")
    )
    assert (len(short.images), len(grown.images)) == (2, 4)
    with service.serve(CALM) as emulator:
        variables = {"EEZARR_API_URL": emulator.url}
        write_job(tmp_path, short, output=str(tmp_path / "out.zarr"), **JOB)
        assert forge.run(tmp_path, "fetch", "job.toml", "--quiet", variables=variables).code == 0
        growing = 0
        for write in itertools.count(0, EVERY):
            folder = tmp_path / str(write)
            folder.mkdir()
            shutil.copytree(tmp_path / "out.zarr", folder / "out.zarr")
            old = chunks(folder / "out.zarr")
            write_job(folder, grown, output=str(folder / "out.zarr"), **JOB)
            order = {"variables": variables, "die_at": write}
            ended = forge.run(folder, "fetch", "job.toml", "--quiet", **order)
            assert kept(old, folder / "out.zarr"), f"death at write {write} changed what was there"
            if ended.code == 0:
                break
            assert ended.code == -signal.SIGKILL, ended.err
            growing += is_growing(folder / "out.zarr")
            seen = len(emulator.stats().recent)
            resumed = forge.run(folder, "fetch", "job.toml", "--json", "--quiet", variables=variables)
            assert resumed.code == 0, f"after death at write {write}: {resumed.err}"
            assert resumed.summary["tiles"]["resumed"] >= 1, "the old dates were forgotten"
            assert all(
                name[1:].startswith(("2", "3")) for item in emulator.stats().recent[seen:] for name in item.bands
            )
            assert kept(old, folder / "out.zarr")
            require_right(folder, grown, forge, service)
        assert growing >= 1, "no death fell into the lengthening of the time axis"
        assert write > 4 * 4 + 8
        require_right(folder, grown, forge, service)


def chunks(store):
    """Objects of pixels and masks, with when each was written."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in store.rglob("c/*/**/*") if path.is_file()}


def kept(old, store):
    now = chunks(store)
    return len(old) >= 2 * 5 * 4 and all(
        now[path] == content for path, content in old.items() if not is_coordinate(path, store)
    )


def is_coordinate(path, store):
    """Whether an object is of a coordinate: `time` and `image_ids` are written again."""
    return path.relative_to(store).parts[0] in ("time", "image_ids")


def is_growing(store):
    """Whether the store was left while its time axis was lengthened."""
    if not json.loads((store / ".eezarr/job.json").read_text(encoding="utf-8"))["is_growing"]:
        return False
    with pytest.raises(StoreError, match="time axis was lengthened"):
        open_store(store)
    return True


def require_right(folder, truth, forge, service):
    """Every pixel and mask, as the world has them."""
    trial = CubeTrial(
        folder, truth, mode="each", output=str(folder / "out.zarr"), layout="bands", forge=forge, service=service,
        environment={}, kills=0,
    )  # fmt: skip
    assert open_store(folder / "out.zarr").is_complete
    trial.require_right(range(len(truth.images)))

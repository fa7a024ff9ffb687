"""Two and three real processes on one store, on disk and on S3: who is refused, who goes on, and what is left."""

import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chaos.processes import Forge
from chaos.rivals import BANDS, SIDE, transform, write_jobs
from chaos.worlds import truth
from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld
from eezarr.store import open_store
from known import SCENE_NAME

SLOW = {"latency": {"base_s": 0.2}}


@pytest.fixture(scope="module")
def forges():
    forges = [Forge() for _ in range(3)]
    yield forges
    for forge in forges:
        forge.close()


@pytest.fixture(params=["disk", "s3"])
def output(request, tmp_path):
    return str(tmp_path / "out.zarr") if request.param == "disk" else f"{request.getfixturevalue('bucket')}/out.zarr"


@pytest.fixture
def stage(tmp_path, output, service, forges, request):
    """Runs `fetch` of a job by one of three processes; the second value is the emulator."""
    write_jobs(tmp_path, output)
    variables = {}
    if "://" in output:
        url = request.getfixturevalue("s3")
        variables = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_REGION": "us-east-1"}
        variables |= {"AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true"}
    with service.serve(SLOW) as emulator:
        variables["EEZARR_API_URL"] = emulator.url

        def fetch(number, *options, job="one", **callbacks):
            arguments = ("fetch", f"{job}.toml", "--quiet", *options)
            return forges[number].run(tmp_path, *arguments, variables=variables, **callbacks)

        yield fetch, emulator


class At:
    """Calls back at a run's n-th stored tile."""

    def __init__(self, number, act):
        self.left, self.act = number, act

    def __call__(self, running, event):
        if event["event"] == "TileStored":
            self.left -= 1
            if self.left == 0:
                self.act(running)


def require_whole(output, service, job="one"):
    store = open_store(output)
    assert store.is_complete
    assert list(store.verify()) == []
    place = {"crs": "EPSG:32610", "transform": transform(job), "height": SIDE, "width": SIDE}
    expected = truth(service.world, SCENE_NAME, BANDS, **place)
    for tile in store.plan:
        for band, block in zip(tile.bands, store.read(tile), strict=True):
            assert (block == expected[band.name][tile.window.rows, tile.window.cols]).all()


def test_a_second_run_is_refused_even_with_overwrite(stage, output, service):
    fetch, _ = stage
    refused = []

    def others(running):
        running.send(signal.SIGSTOP)  # so that it is still there, however slow the others are
        refused.extend([fetch(1), fetch(2, "--overwrite", job="other")])
        running.send(signal.SIGCONT)

    assert fetch(0, on_event=At(2, others)).code == 0
    for ended in refused:
        assert ended.code == 5, ended.err
        assert "is being written by process" in ended.err
        assert "--steal" in ended.err
    require_whole(output, service)


def test_of_three_that_start_together_one_does_the_job(stage, output, service):
    fetch, emulator = stage
    together = threading.Barrier(3)

    def run(number):
        together.wait()
        return fetch(number)

    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(run, range(3)))
    assert sorted(run.code for run in ended) in ([0, 5, 5], [0, 0, 5], [0, 0, 0]), [run.err for run in ended]
    # Whoever came when the job was done had nothing to do.
    assert len(emulator.stats().recent) <= 16 + 3, "tiles were fetched twice"
    require_whole(output, service)


def test_a_killed_run_stands_in_nobodys_way(stage, output, service):
    fetch, _ = stage
    assert fetch(0, on_event=At(3, lambda running: running.send(signal.SIGKILL))).code == -signal.SIGKILL
    assert fetch(1).code == 0
    require_whole(output, service)


@pytest.mark.parametrize(("options", "job"), [(("--steal",), "one"), (("--steal", "--overwrite"), "other")])
def test_a_stopped_run_that_goes_on_after_its_store_was_taken_stops_before_its_next_mark(
    stage, output, service, options, job
):
    fetch, _ = stage
    taken = []

    def stop(running):
        running.send(signal.SIGSTOP)
        taken.append(fetch(1))
        taken.append(fetch(2, *options, job=job))
        running.send(signal.SIGCONT)

    displaced = fetch(0, on_event=At(3, stop))
    assert displaced.code == 5, displaced.err
    assert "was taken over by process" in displaced.err
    refused, thief = taken
    assert refused.code == 5
    assert thief.code == 0, thief.err
    require_whole(output, service, job)


def test_a_store_that_is_deleted_is_noticed_and_the_hint_works(stage, output, service):
    fetch, emulator = stage
    emulator.configure({"latency": {"base_s": 0.5}})

    def delete(_):
        if "://" not in output:
            shutil.rmtree(output, ignore_errors=True)
            return
        from eezarr.store.location import locate

        location = locate(output)
        for key in location.keys(""):
            location.remove(key)

    ended = fetch(0, on_event=At(1, delete))
    assert ended.code == 5, ended.err
    assert "was deleted or moved while this run wrote to it" in ended.err
    assert len(emulator.stats().recent) < 16, "all tiles were fetched"
    assert "Run the same command again" in ended.err
    assert fetch(1).code == 0
    require_whole(output, service)


def test_pixels_of_another_service_are_refused_before_any_is_asked_for(stage, output, service, forges, tmp_path):
    fetch, _ = stage
    assert fetch(0).code == 0
    with EmulatorThread(world=SyntheticWorld(under_mask="zero")) as other:
        for command in (("fetch", "one.toml", "--quiet"), ("verify", output, "--sample", "2", "--project", "p")):
            ended = forges[1].run(tmp_path, *command, variables={"EEZARR_API_URL": other.url, **s3_variables(output)})
            assert ended.code == 5, ended.err
            assert "origin: emulator noise -> emulator zero" in ended.err
    ended = forges[1].run(tmp_path, "fetch", "one.toml", "--quiet", "--repair", variables=s3_variables(output))
    assert ended.code == 5, ended.err
    assert "origin: emulator noise -> https://earthengine.googleapis.com" in ended.err


def s3_variables(output):
    import os

    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")} if "://" in output else {}

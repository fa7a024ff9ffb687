"""What is refused for good is asked once: counted by the service, request by request."""

import signal
from collections import Counter

from chaos.scenes import corner, require_exact, write_job
from eezarr.store import open_store

SIDE, TILE = 192, 48
QUICK = {"quota": {"max_requests_per_second": None}}


def once(requests):
    return max(Counter((item.transform, item.width, item.height) for item in requests).values()) == 1


def test_a_tile_that_is_refused_for_good_is_asked_for_once_a_run_and_the_others_are_had(tmp_path, forge, service):
    write_job(tmp_path, side=SIDE, tile=TILE)
    with service.serve(QUICK) as emulator:
        variables = {"EEZARR_API_URL": emulator.url}

        def fetch():
            return forge.run(tmp_path, "fetch", "job.toml", "--json", "--quiet", variables=variables)

        service.watch.is_poisoned = lambda grid: corner(grid.transform) in {(96, 48), (144, 0)}
        service.watch.poisoned.clear()
        try:
            first = fetch()
            assert first.code == 1, first.err
            assert emulator.stats().count("getPixels", 400) == len(service.watch.poisoned) == 2
            assert once(emulator.stats().recent)
            assert sorted(failure["tile"] for failure in first.summary["failures"]) == [9, 12]
            assert all("'B22' did not match any bands" in item["error"] for item in first.summary["failures"])
            assert [item["attempts"] for item in first.summary["failures"]] == [1, 1]
            second = fetch()
            assert second.code == 1, second.err
            assert (second.summary["tiles"]["resumed"], second.summary["requests"]["sent"]) == (14, 2)
            assert emulator.stats().count("getPixels", 400) == len(service.watch.poisoned) == 4
        finally:
            service.watch.is_poisoned = None
        assert fetch().code == 0
        require_exact(service, tmp_path / "out.zarr", side=SIDE)


def test_what_is_every_tiles_refusal_ends_the_job_at_the_first(tmp_path, forge, service):
    write_job(tmp_path, side=SIDE, tile=TILE, fetch="max_concurrency = 3")
    with service.serve(QUICK) as emulator:
        service.watch.is_poisoned = lambda _: True
        try:
            ended = forge.run(tmp_path, "fetch", "job.toml", "--quiet", variables={"EEZARR_API_URL": emulator.url})
        finally:
            service.watch.is_poisoned = None
        assert ended.code == 4, ended.err
        assert emulator.stats().count("getPixels", 200) == 0
        assert once(emulator.stats().recent)
        assert len(emulator.stats().recent) <= 3 + 1  # those that were out when it came, and one in its place


def test_a_permission_that_is_lost_on_the_way_ends_the_job_after_a_few_tiles(tmp_path, forge, service):
    write_job(tmp_path, side=SIDE, tile=TILE, fetch="max_concurrency = 3")
    with service.serve(QUICK | {"latency": {"base_s": 0.05}}) as emulator:
        variables = {"EEZARR_API_URL": emulator.url}

        def on_event(_, event):
            if event["event"] == "TileStored":
                emulator.configure({"auth": {"denied_assets": ["*"]}})

        ended = forge.run(tmp_path, "fetch", "job.toml", "--quiet", variables=variables, on_event=on_event)
        assert ended.code == 3, ended.err
        # Three tiles in a row, one more of each worker, and one pixel of a tile that came before.
        assert 1 <= emulator.stats().count("getPixels", 403) <= 3 + 10 + 1
        stored = len(ended.stored_s())
        assert open_store(tmp_path / "out.zarr").stored_count >= stored >= 1
        refused = forge.run(tmp_path, "fetch", "job.toml", "--quiet", variables=variables)
        assert refused.code == 3, refused.err
        assert emulator.stats().count("assets.get", 403) == 1
        emulator.configure({"auth": {"denied_assets": []}})
        assert forge.run(tmp_path, "fetch", "job.toml", "--quiet", variables=variables).code == 0
        require_exact(service, tmp_path / "out.zarr", side=SIDE)
        assert once(emulator.stats().recent[:stored])


def test_a_kill_costs_no_more_than_what_was_in_flight_and_the_last_second(tmp_path, forge, service):
    """A run of some seconds, killed late: most tiles are marked by then, and no marked one is asked for again."""
    side, concurrency = 20 * 16, 4
    write_job(tmp_path, side=side, tile=16, fetch=f"max_concurrency = {concurrency}")
    with service.serve(QUICK | {"latency": {"base_s": 0.03}}) as emulator:
        variables = {"EEZARR_API_URL": emulator.url}

        def on_event(running, event):
            if event["event"] == "TileStored" and len(running.events) > 600:
                running.send(signal.SIGKILL)

        killed = forge.run(tmp_path, "fetch", "job.toml", "--quiet", variables=variables, on_event=on_event)
        assert killed.code == -signal.SIGKILL, killed.err
        asked = {item.transform for item in emulator.stats().recent}
        stored_s = killed.stored_s()
        marked = set(open_store(tmp_path / "out.zarr").stored())
        recent = {tile for tile, time_s in stored_s.items() if time_s > killed.signalled_s - 1.5}
        assert set(stored_s) - marked <= recent
        assert len(recent) < len(stored_s), "the run was too short to show anything"
        in_flight = len(asked) - len(stored_s)
        assert in_flight <= concurrency + 4
        resumed = forge.run(tmp_path, "fetch", "job.toml", "--json", "--quiet", variables=variables)
        assert resumed.code == 0, resumed.err
        everything = [item.transform for item in emulator.stats().recent]
        again = len(everything) - len(set(everything))
        assert again <= in_flight + len(recent)
        assert resumed.summary["tiles"]["resumed"] == len(marked)
        require_exact(service, tmp_path / "out.zarr", side=side)

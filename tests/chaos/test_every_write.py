"""Death at every single write to a store, from the first record to the last metadata: the next run finishes it."""

import itertools
import signal

from chaos.scenes import require_exact, write_job
from eezarr.errors import ForeignStore, StoreError
from eezarr.store import open_store

SIDE, TILE = 96, 48
CALM = {"quota": {"max_requests_per_second": None}}


def test_death_at_any_write_leaves_what_the_next_run_finishes(tmp_path, forge, service):
    with service.serve(CALM) as emulator:
        variables = {"EEZARR_API_URL": emulator.url}

        def fetch(folder, **order):
            return forge.run(folder, "fetch", "job.toml", "--json", "--quiet", variables=variables, **order)

        for write in itertools.count():
            folder = tmp_path / str(write)
            folder.mkdir()
            write_job(folder, side=SIDE, tile=TILE)
            ended = fetch(folder, die_at=write)
            if ended.code == 0:
                break
            assert ended.code == -signal.SIGKILL, ended.err
            marked = require_whole(folder / "out.zarr")
            resumed = fetch(folder)
            assert resumed.code == 0, f"after death at write {write}: {resumed.err}"
            assert resumed.summary["complete"] is True
            assert resumed.summary["tiles"]["resumed"] == marked
            assert resumed.summary["requests"]["sent"] == 4 - marked
            require_exact(service, folder / "out.zarr", side=SIDE)
            assert require_whole(folder / "out.zarr") == 4
        # Records, metadata and coordinates, four tiles of two bands, marks, and the last metadata.
        assert write > 4 * 2 + 10


def require_whole(path):
    """How many tiles are marked; all of them are whole."""
    try:
        store = open_store(path)
    except (ForeignStore, StoreError):
        return 0
    assert list(store.verify()) == []
    return store.stored_count

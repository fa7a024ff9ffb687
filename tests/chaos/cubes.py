"""Cubes under fire: a collection through faults and kills into each kind of store, and what must come of it.

What is required, and of whom:

1. After each end, however it came: no mark is lost, what is marked is whole (its checksum) and right (the world's own
   pixels, image by image, put together by NumPy), and no run asks for a step and window that an earlier one marked.
2. At the end: every pixel, mask, time and image id is right, and the command line's own `verify` agrees.
"""

import bisect
import re
import signal
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import zarr

from chaos.draws import FAULTS
from chaos.harness import require_equal
from eezarr.emulator.catalogue import PUBLIC, sentinel2_images
from eezarr.emulator.raster import Grid
from eezarr.emulator.world import noise
from eezarr.errors import ForeignStore, StoreError
from eezarr.store import open_store
from eezarr.store.location import locate

COLLECTION = "COPERNICUS/S2"
BANDS = ("B2", "B3", "B4", "B8")
SEAM = (553_500, 4_190_220)
"""Two Sentinel-2 tiles meet here, one above the other; on every second day a swath's edge crosses the lower one."""
MOST_RUNS = 40
WIRE = re.compile(r"p(\d+)_(\d+)")

TO_FLOAT = ", ".join(f'{band} = "float32"' for band in BANDS)
MODES = {
    "none": ("", ""),
    "fill": ('mode = "fill"\nfill = 65535', ""),
    "nan": ('mode = "fill"', f"cast = {{ {TO_FLOAT} }}"),
    "shared": ('mode = "band"\nfill = 7', ""),
    "each": ('mode = "band"\nper_band = true', ""),
}
"""By name: the section [mask], and more of [collection]."""


class Truth:
    """A collection's mosaics of solar days on a square grid: read from the world once, image by image.

    Args:
        world: Asked directly: no planner, client, engine or store has a part in it.
        folder: Where the pixels are kept.
        side: Pixels of the grid, around the seam.
        end: Images before this ISO date of 2017 count.
        cloudy: And those with less than this per cent of clouds.
    """

    def __init__(self, world, folder, *, side, end, cloudy):
        self.side, self.end, self.cloudy = side, end, cloudy
        self.transform = (10.0, 0.0, SEAM[0] - 5.0 * side, 0.0, -10.0, SEAM[1] + 5.0 * side)
        names = sorted(
            name
            for name, image in sentinel2_images(COLLECTION).items()
            if name[-6:] in ("T10SEG", "T10SEH") and f"{name[:4]}-{name[4:6]}-{name[6:8]}" < end
            and image.properties["CLOUDY_PIXEL_PERCENTAGE"] < cloudy
        )  # fmt: skip
        days = {}
        for name in names:
            days.setdefault(name[:8], []).append(name)
        self.images = [[f"{PUBLIC}{COLLECTION}/{name}" for name in members] for members in days.values()]
        shape = (len(days), len(BANDS), side, side)
        self.values = np.lib.format.open_memmap(folder / "values.npy", "w+", np.uint16, shape)
        self.valid = np.lib.format.open_memmap(folder / "valid.npy", "w+", np.bool_, shape)
        grid = Grid(crs="EPSG:32610", transform=self.transform, width=side, height=side)
        self.seen = [set() for _ in self.images]
        for step, members in enumerate(self.images):
            self.values[step] = noise(grid, np.dtype(np.uint16))
            for name in members:  # the newest lies on top
                for band, plane in enumerate(world.image(name).read(grid, BANDS)):
                    np.copyto(self.values[step, band], plane.values, where=plane.valid)
                    self.valid[step, band] |= plane.valid
                    self.seen[step] |= {name} if plane.valid.any() else set()

    def pixels(self, mode, step, band):
        """What a store of a mode holds of one band at one time."""
        values, valid = self.values[step, band], self.valid[step, band]
        if mode == "none":
            return np.array(values)
        if mode == "nan":
            return np.where(valid, values, np.nan).astype(np.float32)
        return np.where(valid, values, {"fill": 65535, "shared": 7, "each": 0}[mode]).astype(np.uint16)

    def mask(self, mode, step):
        """What it holds as the mask of one time: (y, x) or (band, y, x)."""
        return (self.valid[step].all(axis=0) if mode == "shared" else self.valid[step]).astype(np.uint8)


def write_job(folder, truth, *, mode, output, steps, chunk, tile, layout="bands"):
    mask, cast = MODES[mode]
    (folder / "job.toml").write_text(
        f'output = "{output}"\nproject = "my-project"\n'
        f'[collection]\nid = "{COLLECTION}"\nstart = "2017-01-01"\nend = "{truth.end}"\n'
        f'filter = "CLOUDY_PIXEL_PERCENTAGE < {truth.cloudy}"\nbands = {list(BANDS)}\ngroup = "solar_day"\n{cast}\n'
        f'[grid]\ncrs = "EPSG:32610"\ntransform = {list(truth.transform)}\nshape = [{truth.side}, {truth.side}]\n'
        f'[mask]\n{mask}\n[store]\nchunk = {chunk}\nlayout = "{layout}"\n'
        f"[fetch]\ntile = {tile}\nsteps = {steps}\nmax_concurrency = 6\nmax_requests_per_second = 1000\n",
        encoding="utf-8",
    )


def storm(rng):
    """A service in a mood: faults of every kind, a quota below what the job dares, now and then an unknown limit."""
    shares = rng.dirichlet(np.full(len(FAULTS), 0.6)) * rng.uniform(0.1, 0.35)
    rates = dict(zip(FAULTS, map(float, shares), strict=True)) | {"unauthenticated": 0.0}
    rates["stall"] = min(rates["stall"], 0.01)  # each costs seconds
    return {
        "quota": {"max_concurrency": int(rng.integers(2, 6)), "max_requests_per_second": 100.0},
        "latency": {"base_s": 0.05, "jitter": 0.4},
        "faults": {"seed": int(rng.integers(2**31)), "rates": rates, "scope": "all", "max_per_request": 5},
        "transfer": {"gzip": True, "chunked": bool(rng.random() < 0.5)},
    }


@dataclass
class Account:
    """What happened to some cubes: the counts of a report."""

    cubes: int = 0
    runs: int = 0
    kills: int = 0
    tiles: int = 0
    requests: int = 0
    refetched: int = 0
    faults: Counter = field(default_factory=Counter)
    ends: Counter = field(default_factory=Counter)

    def add(self, other):
        for name, value in vars(other).items():
            mine = getattr(self, name)
            mine.update(value) if isinstance(mine, Counter) else setattr(self, name, mine + value)


class CubeTrial:
    """One cube in one store, through a service in a mood and some kills, to its end."""

    def __init__(self, folder, truth, *, mode, output, layout, forge, service, environment, kills):
        self.folder, self.truth, self.mode, self.output, self.layout = folder, truth, mode, output, layout
        self.forge, self.service, self.environment, self.kills = forge, service, environment, kills
        self.account = Account(cubes=1)

    def run(self, settings, rng, **job):
        write_job(self.folder, self.truth, mode=self.mode, output=self.output, layout=self.layout, **job)
        with self.service.serve(settings) as emulator:
            variables = self.environment | {"EEZARR_API_URL": emulator.url}
            marked, seen, ever = frozenset(), 0, Counter()
            for number in range(MOST_RUNS):
                ended = self._run_once(rng if number < self.kills else None, number, variables)
                asked = list(emulator.stats().recent)
                assert len(asked) < 1000, "more requests than the emulator remembers"
                marked = self._account_for(ended, asked[seen:], marked, ever)
                seen = len(asked)
                if ended.code == 0:
                    break
            assert ended.code == 0, f"not complete after {MOST_RUNS} runs: {ended.err}"
            stats = emulator.stats()
            self.account.requests, self.account.faults = stats.count("computePixels"), Counter(stats.faults)
        verified = self.forge.run(self.folder, "verify", self.output, "--json", variables=variables)
        assert (verified.code, verified.summary["altered"]) == (0, []), verified.err
        self.require_right(range(len(self.truth.images)))
        self._require_named()
        return self.account

    def _run_once(self, rng, number, variables):
        """One run; with a source of chance it is killed by SIGKILL at one of its events, reads or writes."""
        shares = {"TileStored": 0.4, "Answered": 0.3, "JobStarted": 0.05, "read": 0.15, "write": 0.1}
        if "://" in self.output:  # where no file is renamed
            shares |= {"TileStored": 0.5, "write": 0.0}
        at = rng and str(rng.choice(list(shares), p=list(shares.values())))
        strike_at = rng and (1 if at == "JobStarted" else int(rng.integers(1, 9)))
        counts = Counter()
        self.service.watch.set(None)

        def on_event(running, event):
            counts[event["event"]] += 1
            if event["event"] == at and counts[at] == strike_at:
                running.send(signal.SIGKILL)

        def on_start(running):
            if at == "read":
                self.service.watch.set(lambda reads: running.send(signal.SIGKILL) if reads == strike_at else None)

        return self.forge.run(
            self.folder, "fetch", "job.toml", "--json", "--quiet", on_event=on_event, on_start=on_start, seed=number,
            variables=variables, compute_s=300.0, die_at=5 * strike_at if at == "write" else None,
        )  # fmt: skip

    def _account_for(self, ended, asked, marked, ever):
        account = self.account
        account.runs += 1
        account.ends[ended.code] += 1
        account.kills += ended.code == -signal.SIGKILL
        assert ended.code in {0, 1, 6, -signal.SIGKILL}, (ended.code, ended.err)
        assert "Traceback" not in ended.err, ended.err
        store = self._opened()
        now = frozenset(store.stored()) if store else frozenset()
        assert marked <= now, f"marks were lost: {sorted(marked - now)}"
        if store is None:
            return now
        tiles = {tile for request in asked for tile in tiles_of(store.plan, request)}
        assert not tiles & marked, f"marked tiles were asked for again: {sorted(tiles & marked)}"
        account.refetched += len(tiles & ever.keys())
        ever.update(tiles)
        account.tiles = store.plan.tile_count
        assert list(store.verify()) == []
        for index in now - marked:
            tile = store.plan.tile(index)
            self.require_right(tile.steps, (tile.window.rows, tile.window.cols))
        if ended.code == 0:
            assert ended.summary["complete"] is True
            assert len(now) == store.plan.tile_count == store.plan.wanted_count
        return now

    def _opened(self):
        try:
            return open_store(self.output)
        except (ForeignStore, StoreError) as error:
            if "no pixels that eezarr stored" in str(error) or "no store at" in str(error):
                return None  # it died before there was one
            raise

    def require_right(self, steps, window=(slice(None), slice(None))):
        """Every pixel and mask of some steps, as the world has them."""
        group = zarr.open_group(locate(self.output, read_only=True).store, mode="r")
        for step in steps:
            for band, name in enumerate(BANDS):
                place = (step, band, *window) if self.layout == "stacked" else (step, *window)
                found = group["pixels" if self.layout == "stacked" else name][place]
                expected = self.truth.pixels(self.mode, step, band)[window]
                require_equal(found, expected, f"{self.mode}, step {step}, {name}")
            if self.mode in ("shared", "each"):
                place = (step, *window) if self.mode == "shared" else (step, slice(None), *window)
                expected = self.truth.mask(self.mode, step)[(..., *window)]
                require_equal(group["mask"][place], expected, f"the mask of step {step}")

    def _require_named(self):
        """Times and images, as the collection has them."""
        group = zarr.open_group(locate(self.output, read_only=True).store, mode="r")
        for found, members, seen in zip(group["image_ids"][:], self.truth.images, self.truth.seen, strict=True):
            # In order, and none left out that shows anything; an image may reach the grid with masked pixels only.
            assert [name for name in members if name in found.split("\n")] == found.split("\n")
            assert seen <= set(found.split("\n"))
        starts = [
            sentinel2_images(COLLECTION)[members[0].rpartition("/")[2]].properties["system:time_start"]
            for members in self.truth.images
        ]
        assert group["time"][:].tolist() == starts
        assert group["time"].attrs["units"] == "milliseconds since 1970-01-01"


def tiles_of(plan, request):
    """The tiles that a request was made for, whole or in part: none, where one pixel was asked for to learn types."""
    found = [WIRE.fullmatch(name) for name in request.bands]
    origin, asked = plan.grid.transform, request.transform
    row, col = round((asked[5] - origin[5]) / origin[4]), round((asked[2] - origin[2]) / origin[0])
    tiles = set()
    for step, band in (map(int, match.groups()) for match in found if match):
        span = bisect.bisect(plan.step_starts, step) - 1
        place = (span * plan.rows + row // plan.tile_shape.height) * plan.cols + col // plan.tile_shape.width
        tiles.add(place * plan.band_groups + band // plan.bands_per_tile)
    return tiles


def s3_environment(url):
    """The usual variables, for a server of the tests."""
    return {
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
    }

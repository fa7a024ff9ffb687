"""A job, its service and its accidents, drawn from one number."""

import dataclasses
import json
import signal
from dataclasses import dataclass

import numpy as np

from eezarr.emulator.settings import FaultRates
from known import CONFIGS, SCENE, SCENE_NAME

MIXED = "projects/eezarr/assets/mixed"
MIXED_BANDS = {
    "u8": "uint8", "i8": "int8", "i16": "int16", "u16": "uint16", "i32": "int32", "u32": "uint32", "f32": "float32",
    "f64": "float64", "i64": "float64",
}  # fmt: skip
SCENE_BANDS = ("B2", "B3", "B4", "B8")
NDVI = json.loads((CONFIGS / "ndvi.json").read_text(encoding="utf-8"))
FAULTS = tuple(field.name for field in dataclasses.fields(FaultRates))
HEAD_BYTES = 5.5
"""What a tile needs of the memory budget, in its own bytes: below it no plan exists."""
SMALLEST_PART = 32 * 32
"""Pixels below which no tile is split."""


@dataclass(frozen=True, kw_only=True)
class Accident:
    """What befalls one run: a signal at an event, at a read in the service, or death at a write to the store."""

    signal: int
    at: str
    """Kind of an event, `read`, or `write`."""
    number: int
    """Which one, counted from 1 (a write: from 0)."""
    is_doubled: bool = False
    """Whether a second signal follows at once."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A job against a service in a mood."""

    seed: int
    toml: str
    """Of the job file."""
    source: object
    """Name of the asset, or the expression."""
    bands: tuple[str, ...]
    is_stacked: bool
    service: dict
    """Settings of the emulator."""
    has_key: bool
    """Whether it asks with a service account's key."""
    expires_at: int | None
    """The stored tile of each run after which all tokens are worthless."""
    accidents: tuple[Accident, ...]
    is_spawned: bool
    """Whether each run is a process from scratch, not a fork of one that has imported everything."""
    concurrency: tuple[int, ...]
    """Of the first run, the second, …; the last one's goes on."""


def draw(seed, *, is_long=False):
    """A job of some tens of tiles; a long one is larger, and can be told to wait by Retry-After."""
    rng = np.random.default_rng([seed, 2026])
    chance = lambda share: bool(rng.random() < share)  # noqa: E731
    kind = rng.choice(["scene", "native", "mixed", "ndvi"], p=[0.35, 0.15, 0.3, 0.2])
    is_stacked = chance(0.35)
    bands, source, image = _image(rng, kind, is_stacked=is_stacked)
    chunk = int(rng.choice([16, 24, 32, 48, 64]))
    side = 320 if is_long else 224
    height, width = (int(rng.integers(chunk + 1, side)) for _ in range(2))
    tile = _tile(rng, chunk, height, width)
    costs = [np.dtype(dtype).itemsize for dtype in _types(bands, kind)]
    tile_bytes = tile[0] * tile[1] * sum(costs)
    concurrency = int(rng.integers(2, 13))
    fetch = [
        f"tile = {list(tile)}",
        f"max_concurrency = {concurrency}",
        f"attempts = {int(rng.integers(4, 9))}",
        f"memory = {int(tile_bytes * (HEAD_BYTES + rng.exponential(12.0)) + 1)}",
        f"gzip = {str(chance(0.5)).lower()}",
        f"hedge = {str(chance(0.3)).lower()}",
        "max_requests_per_second = 1000",
    ]
    if len(bands) > 1 and chance(0.25):  # several requests for one place
        fetch.append(f"limits = {{ bytes = {tile[0] * tile[1] * (sum(costs) + len(costs)) * 2 // 3 + 64 * 64} }}")
    store = [
        f'layout = "{"stacked" if is_stacked else "bands"}"',
        f"chunk = {chunk}",
        f"shard = {str(chance(0.35)).lower()}",
        f'compressor = "{rng.choice(["auto", "zstd", "none"])}"',
    ]
    lines = ['output = "out.zarr"', 'project = "my-project"', "[image]", *image]
    lines += ["[grid]", *_grid(rng, kind, height, width), "[store]", *store, "[fetch]", *fetch]
    has_key = chance(0.35)
    tiles = -(-height // tile[0]) * -(-width // tile[1])
    return Drawn(
        seed=seed,
        toml="\n".join(lines) + "\n",
        source=source,
        bands=bands,
        is_stacked=is_stacked,
        service=_service(
            rng,
            tile=tile,
            cost=sum(costs) + len(costs),
            concurrency=concurrency,
            has_key=has_key,
            is_long=is_long,
        ),
        has_key=has_key,
        expires_at=int(rng.integers(1, tiles + 1)) if has_key and chance(0.7) else None,
        accidents=tuple(_accident(rng, tiles) for _ in range(int(rng.integers(1, 5 if is_long else 4)))),
        is_spawned=is_long and chance(0.1),
        concurrency=(concurrency, *(int(rng.integers(1, 13)) for _ in range(2) if chance(0.5))),
    )


def _image(rng, kind, *, is_stacked):
    if kind == "ndvi":
        return ("ndvi",), NDVI, ['expression = "ndvi.json"']
    known = tuple(MIXED_BANDS) if kind == "mixed" else SCENE_BANDS
    if kind == "mixed" and is_stacked:
        bands = (known[int(rng.integers(len(known)))],) if rng.random() < 0.6 else ("f64", "i64")
    else:
        bands = tuple(map(str, rng.permutation(known)[: int(rng.integers(1, len(known) + 1))]))
    name, source = (MIXED, MIXED) if kind == "mixed" else (SCENE, SCENE_NAME)
    method = rng.choice(["auto", "getPixels", "computePixels"], p=[0.5, 0.2, 0.3])
    return bands, source, [f'asset = "{name}"', f"bands = {json.dumps(bands)}", f'method = "{method}"']


def _types(bands, kind):
    return [{"mixed": MIXED_BANDS.get(band), "ndvi": "float32"}.get(kind, "uint16") for band in bands]


def _grid(rng, kind, height, width):
    """Exact grids of a CRS, some of them reaching beyond the asset; or an asset's own pixels below a region."""
    if kind == "native":
        west, south = -122.3 + 0.1 * rng.random(), 37.4 + 0.1 * rng.random()
        region = [west, south, west + width * 1e-4, south + height * 8e-5]
        return ['native = "B2"', f"region = {[round(float(edge), 6) for edge in region]}"]
    if kind == "ndvi" and rng.random() < 0.5:
        step = 8.983152841195215e-05
        return _exact("EPSG:4326", [step, 0, round(-122.3 + 0.1 * rng.random(), 4), 0, -step, 37.6], height, width)
    left, top = (550_000, 4_150_000) if kind == "mixed" else (499_980, 4_200_000)
    row, col = int(rng.integers(-height // 2, 1500)), int(rng.integers(-width // 2, 1500))
    step = int(rng.choice([10, 10, 20]))
    return _exact("EPSG:32610", [step, 0, left + 10 * col, 0, -step, top - 10 * row], height, width)


def _exact(crs, transform, height, width):
    return [f'crs = "{crs}"', f"transform = {transform}", f"shape = [{height}, {width}]"]


def _tile(rng, chunk, height, width):
    """Whole chunks, so that there are some tiles but not more than about sixty."""
    sides = []
    for side in (height, width):
        chunks = -(-side // chunk)
        sides.append(chunk * int(rng.integers(max(1, chunks // 7), max(2, chunks // 2 + 1))))
    return tuple(sides)


def _service(rng, *, tile, cost, concurrency, has_key, is_long):
    shares = rng.dirichlet(np.full(len(FAULTS), 0.6)) * rng.uniform(0.1, 0.45)
    rates = dict(zip(FAULTS, map(float, shares), strict=True))
    rates["stall"] = min(rates["stall"], 0.02)  # each costs seconds
    rates["unauthenticated"] = min(rates["unauthenticated"], 0.02) if has_key else 0.0
    pixels = tile[0] * tile[1]
    rules, limits = [], {}
    if pixels > 1.3 * SMALLEST_PART and rng.random() < 0.4:
        most = max(SMALLEST_PART, int(pixels * rng.uniform(0.15, 0.9)))
        rules = [{"pattern": "*", "max_pixels": most, "answer": str(rng.choice(["memory", "timeout"]))}]
    if rng.random() < 0.15:  # a limit that the job does not know
        most = int(max(1.1 * SMALLEST_PART, pixels * rng.uniform(0.3, 0.9)) * cost)
        limits = {"limits": {method: {"max_bytes": most} for method in ("get_pixels", "compute_pixels")}}
    waits = [None, 0, 1] if is_long else [None, 0]
    return limits | {
        "quota": {
            "max_concurrency": int(rng.integers(1, concurrency + 1)),
            "max_requests_per_second": float(rng.choice([40, 100, 1000])),
            "retry_after_s": waits[int(rng.integers(len(waits)))],
            "is_parallelism_restricted": bool(rng.random() < 0.2),
        },
        "latency": {"base_s": float(rng.choice([0.0, 0.01, 0.05, 0.15])), "jitter": 0.4, "metadata_s": 0.01},
        "faults": {
            "seed": int(rng.integers(2**31)),
            "rates": rates,
            "scope": str(rng.choice(["pixels", "all"])),
            "max_per_request": 6,
            "rules": rules,
        },
        "transfer": {"gzip": True, "chunked": bool(rng.random() < 0.5)},
    }


def _accident(rng, tiles):
    number = signal.Signals(int(rng.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM], p=[0.7, 0.15, 0.15])))
    places = {
        "TileStored": (0.4, tiles),
        "Answered": (0.1, 2 * tiles),
        "Waiting": (0.1, 6),
        "JobStarted": (0.05, 1),
        "read": (0.15, tiles),
        "write": (0.2, 12 + 2 * tiles),
    }
    at = str(rng.choice(list(places), p=[share for share, _ in places.values()]))
    most = places[at][1]
    if at == "write":
        return Accident(signal=signal.SIGKILL, at=at, number=int(rng.integers(most)))
    is_doubled = number != signal.SIGKILL and bool(rng.random() < 0.3)
    return Accident(signal=number, at=at, number=int(rng.integers(1, most + 1)), is_doubled=is_doubled)

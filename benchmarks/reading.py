"""Reading samples in random batches: beside a folder of .npy files, and beside xarray, of the same pixels.

    python -m benchmarks.reading [--runs 5] [--tiny]

With torch all go through its DataLoader, with 0, 1 and 2 workers; without it they are read by a loop, without workers.
All is in the page cache: what is measured is the work.
"""

from __future__ import annotations

import importlib.util
import time
from statistics import median
from typing import TYPE_CHECKING, Protocol

import numpy as np

from benchmarks.findings import Finding, Scale, Section, Table, at_least, run_alone
from benchmarks.measure import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["measure"]

SHAPE = (4, 64, 64)
"""Bands, rows and columns of a sample: uint16."""
BATCH = 64
WORKERS = (0, 1, 2)
_PER_SHARD = 256


class _Batches(Protocol):
    """A dataset as a DataLoader uses it."""

    def __len__(self) -> int: ...

    def __getitems__(self, numbers: list[int]) -> list[object]: ...


class _NpyFolder:
    """One file a sample, as datasets are often kept."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, numbers: list[int]) -> list[object]:
        return [_tensor(np.load(self.folder / f"{number}.npy")) for number in numbers]


class _ThroughXarray:
    """The store by `xarray.open_zarr`, a batch at a time, which is faster than one by one."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self._opened: object = None

    def __len__(self) -> int:
        return len(self._pixels())

    def __getitems__(self, numbers: list[int]) -> list[object]:
        pixels = self._pixels().isel(sample=numbers).values
        return [_tensor(sample) for sample in pixels]

    def _pixels(self) -> object:
        import xarray as xr  # noqa: PLC0415 - an extra

        if self._opened is None:
            self._opened = xr.open_zarr(self.store, chunks=None, consolidated=False)["pixels"]
        return self._opened


class _Ours:
    """The store by `open_samples`: what `SampleDataset` reads with, where torch is not there."""

    def __init__(self, store: Path) -> None:
        from eezarr.store import open_samples  # noqa: PLC0415 - only here

        self.samples = open_samples(store)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, numbers: list[int]) -> list[object]:
        return list(self.samples.pixels(numbers))


def measure(scale: Scale) -> Section:
    """Measure each way with each number of workers, in turns."""
    count = 128 if scale.is_tiny else 4096
    has_torch = importlib.util.find_spec("torch") is not None
    with scratch_folder() as folder:
        pixels = _write(folder, count)
        ways = _ways(folder, count, has_torch=has_torch)
        rates: dict[tuple[str, int], list[float]] = {}
        for workers in WORKERS if has_torch else (0,):
            loaders = {name: make(workers) for name, make in ways.items()}
            for name, loader in loaders.items():
                _check(loader, pixels, name)
            for _ in range(scale.runs):
                for name, loader in loaders.items():
                    rates.setdefault((name, workers), []).append(count / _seconds(loader))
            del loaders
    found = {key: median(values) for key, values in rates.items()}
    names = list(ways)
    counts = sorted({workers for _, workers in found})
    rows = tuple((name, *(f"{found[name, workers]:,.0f}" for workers in counts)) for name in names)
    return Section(
        title="Reading samples",
        note=f"Random batches of {BATCH} samples, each {SHAPE[0]} x {SHAPE[1]} x {SHAPE[2]} uint16, from the page cache"
        + (", through torch's DataLoader." if has_torch else "; torch is not installed, so without its DataLoader."),
        findings=tuple(_findings(found, counts)),
        tables=(Table(columns=("samples a second", *(f"{workers} workers" for workers in counts)), rows=rows),),
    )


def _findings(found: dict[tuple[str, int], float], counts: list[int]) -> Iterator[Finding]:
    for workers in counts:
        for ours in ("eezarr", "eezarr, shards"):
            for other in (".npy files", "xarray"):
                ratio = found[ours, workers] / found[other, workers]
                yield at_least(f"{ours}, {workers} workers, over {other}", ratio, 1.0, "x")


def _ways(folder: Path, count: int, *, has_torch: bool) -> dict[str, Callable[[int], Iterable[object]]]:
    plain, shards = folder / "plain.zarr", folder / "shards.zarr"
    datasets: dict[str, _Batches] = {
        ".npy files": _NpyFolder(folder / "npy", count),
        "xarray": _ThroughXarray(plain),
        "xarray, shards": _ThroughXarray(shards),
    }
    if not has_torch:
        datasets |= {"eezarr": _Ours(plain), "eezarr, shards": _Ours(shards)}
        return {name: lambda _, dataset=dataset: _Loop(dataset) for name, dataset in datasets.items()}
    from torch.utils.data import DataLoader  # noqa: PLC0415 - an extra

    from eezarr.outputs.torch import SampleDataset, SampleStream  # noqa: PLC0415

    def loader(dataset: _Batches) -> Callable[[int], Iterable[object]]:
        return lambda workers: DataLoader(
            dataset, batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )

    def streaming(store: Path) -> Callable[[int], Iterable[object]]:
        stream = SampleStream(store, batch_size=BATCH, normalise=None)
        return lambda workers: DataLoader(stream, batch_size=None, num_workers=workers, persistent_workers=workers > 0)

    ways = {name: loader(dataset) for name, dataset in datasets.items()}
    for name, store in (("eezarr", plain), ("eezarr, shards", shards)):
        ways[name] = loader(_OnlyPixels(SampleDataset(store, normalise=None)))
        ways[f"{name}, stream"] = streaming(store)
    return ways


class _OnlyPixels:
    """A dataset's pixels without their names, as the others give them."""

    def __init__(self, dataset: _Batches) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, numbers: list[int]) -> list[object]:
        return [item["pixels"] for item in self.dataset.__getitems__(numbers)]


class _Loop:
    """Random batches without torch."""

    def __init__(self, dataset: _Batches) -> None:
        self.dataset = dataset

    def __iter__(self) -> Iterator[npt.NDArray[np.generic]]:
        order = np.random.default_rng(0).permutation(len(self.dataset))
        for start in range(0, len(order), BATCH):
            yield np.stack(self.dataset.__getitems__(order[start : start + BATCH].tolist()))


def _tensor(sample: npt.NDArray[np.generic]) -> object:
    if importlib.util.find_spec("torch") is None:
        return sample
    import torch  # noqa: PLC0415 - an extra

    return torch.from_numpy(sample)


def _seconds(loader: Iterable[object]) -> float:
    start_s = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start_s


def _check(loader: Iterable[object], pixels: npt.NDArray[np.uint16], name: str) -> None:
    """Read all once, which warms caches and workers, and compare their sum."""
    total = 0
    for batch in loader:
        values = batch["pixels"] if isinstance(batch, dict) else batch
        total += int(np.asarray(values).sum(dtype=np.int64))
    assert total == pixels.sum(dtype=np.int64), name


def _write(folder: Path, count: int) -> npt.NDArray[np.uint16]:
    """The same samples as .npy files, and as stores without and with shards."""
    rng = np.random.default_rng(0)
    steps = rng.integers(-30, 31, (count, *SHAPE), np.int32)
    pixels = np.clip(np.cumsum(steps, axis=-1) + 3000, 0, 10_000).astype(np.uint16)
    (folder / "npy").mkdir()
    for number, sample in enumerate(pixels):
        np.save(folder / "npy" / f"{number}.npy", sample)
    _write_store(folder / "plain.zarr", pixels, None)
    _write_store(folder / "shards.zarr", pixels, _PER_SHARD)
    return pixels


def _write_store(path: Path, pixels: npt.NDArray[np.uint16], per_shard: int | None) -> None:
    import zarr  # noqa: PLC0415 - the machinery alone needs none
    from zarr.codecs import BloscCodec  # noqa: PLC0415

    count = len(pixels)
    group = zarr.create_group(path, attributes={"eezarr": {"kind": "samples", "fingerprint": "benchmark"}})
    array = group.create_array(
        "pixels",
        shape=pixels.shape,
        chunks=(1, *SHAPE),
        shards=None if per_shard is None else (per_shard, *SHAPE),
        dtype=pixels.dtype,
        compressors=BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=2),
        dimension_names=("sample", "band", "y", "x"),
    )
    for start in range(0, count, _PER_SHARD):
        array[start : start + _PER_SHARD] = pixels[start : start + _PER_SHARD]
    texts = np.dtypes.StringDType()
    for name, values, axis in (
        ("state", np.ones(count, np.uint8), "sample"),
        ("id", np.arange(count).astype(texts), "sample"),
        ("band", np.arange(SHAPE[0]).astype(texts), "band"),
    ):
        dtype = "str" if values.dtype == texts else values.dtype
        group.create_array(name, shape=values.shape, dtype=dtype, dimension_names=(axis,))[...] = values


if __name__ == "__main__":
    run_alone(measure, __doc__)

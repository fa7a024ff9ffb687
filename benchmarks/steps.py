"""What each step on the way to the store gains: our command with that step undone, beside the command as it is.

    python -m benchmarks.steps [--runs 5] [--tiny]

All take turns, and each is a whole process. CPU seconds are a gigabyte's, beyond what a single small tile takes; what
is stored is compared with what the service sent. Undone means what the step took the place of: aiohttp's own way to
receive a body, fresh memory, whole images at a time, Zarr's way to write a chunk.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.findings import Scale, Section, Table, run_alone
from benchmarks.measure import interleaved
from benchmarks.scenes import Region
from benchmarks.service import replaying
from benchmarks.ways import WAYS, run_periodic, run_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import aiohttp

    from benchmarks.service import Service
    from benchmarks.ways import Run
    from eezarr.protocols import Buffer

__all__ = ["measure", "run_undone"]

_AS_IT_IS = "as it is"
_SMALL = 64
"""Side of the region that a start is measured with."""

_CHILD = """\
import sys
sys.path.insert(0, {root!r})
from benchmarks.steps import run_undone
run_undone({names!r})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """Steps that are undone in turn, over one region."""

    region: Region
    steps: Mapping[str, tuple[str, ...]]
    """What is told of each -> what is undone for it."""
    is_gzip: bool = False


def measure(scale: Scale) -> Section:
    """Undo each step for 4 bands and for 12, and those of gzip bodies."""
    if scale.is_tiny:
        sides = [(4, 512, _PLAIN), (4, 512, _GZIP)]
    else:
        sides = [(4, 12288, _PLAIN), (12, 8192, _PLAIN), (4, 8192, _GZIP)]
    series = [
        _Series(
            region=Region(side=side, band_count=bands),
            steps=({} if scale.is_tiny else {name: (name,) for name in steps}) | {"all of these": tuple(steps)},
            is_gzip=steps is _GZIP,
        )
        for bands, side, steps in sides
    ]
    return Section(
        title="What each step gains",
        note="Our command with one step undone beside the command as it is, no latency, the service replays from "
        "memory on the same cores. CPU is a gigabyte's, without the start; `over` is of what ran in the same turn.",
        tables=tuple(_table(one, scale) for one in series),
    )


def _table(series: _Series, scale: Scale) -> Table:
    results = _runs(series, scale)
    small, plain = results.pop("a small tile"), results[_AS_IT_IS]
    gigabytes = series.region.pixel_bytes / 1e9

    def cpu_s(runs: list[Run]) -> list[float]:
        return [(run.usage.cpu_s - start.usage.cpu_s) / gigabytes for run, start in zip(runs, small, strict=True)]

    def over(some: Iterable[float], others: Iterable[float]) -> str:
        return f"{median(one / other for one, other in zip(some, others, strict=True)):.2f} x"

    rows = tuple(
        (
            name,
            f"{median(cpu_s(runs)):.2f}",
            over(cpu_s(runs), cpu_s(plain)),
            over((run.usage.wall_s for run in runs), (run.usage.wall_s for run in plain)),
            f"{median(run.usage.peak_bytes for run in runs) / 1e6:.0f}",
        )
        for name, runs in results.items()
    )
    title = f"{series.region.band_count} bands, {gigabytes:.2f} GB{', gzip' if series.is_gzip else ''}; undone"
    return Table(columns=(title, "CPU s/GB", "over as it is", "wall over as it is", "peak MB"), rows=rows)


def _runs(series: _Series, scale: Scale) -> dict[str, list[Run]]:
    small = Region(side=_SMALL, band_count=series.region.band_count)
    with replaying(is_gzip=series.is_gzip, is_periodic=not series.is_gzip) as service:
        ways = {"a small tile": partial(_run, service, small, (), is_gzip=series.is_gzip)}
        for name, undone in {_AS_IT_IS: (), **series.steps}.items():
            ways[name] = partial(_run, service, series.region, undone, is_gzip=series.is_gzip)
        for warming in ("a small tile", _AS_IT_IS):  # fills the service's memory
            ways[warming]()
        return interleaved(ways, scale.runs)


def _run(service: Service, region: Region, undone: tuple[str, ...], *, is_gzip: bool) -> Run:
    command = (sys.executable, "-c", _CHILD.format(root=str(Path(__file__).parents[1]), names=undone))
    if is_gzip:
        return run_way(WAYS["eezarr, gzip"], region, service, command=command)
    return run_periodic(region, service, command=command)


def run_undone(names: tuple[str, ...]) -> None:
    """Undo these steps in this process, and run the command line."""
    for name in names:
        (_PLAIN | _GZIP)[name]()
    from eezarr.cli import main  # noqa: PLC0415 - the parent needs none of it

    main()


def _replace(owner: object, name: str, value: object) -> None:
    """Put something in the place of what must be there."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, value)


def _receive_with_aiohttp() -> None:
    from eezarr.earthengine import bodies  # noqa: PLC0415

    async def receive_into(response: aiohttp.ClientResponse, view: memoryview, **_: object) -> int:
        body = await response.read()
        view[: len(body)] = body
        return len(body)

    _replace(bodies, "receive_into", receive_into)


def _wake_for_each_packet() -> None:
    from eezarr.earthengine.direct import _Filling  # noqa: PLC0415

    _replace(_Filling, "_wake_for", lambda _self, _least: None)


def _receive_all_at_once() -> None:
    from eezarr.engine.buffers import BufferPool  # noqa: PLC0415

    _replace(BufferPool, "_has_room", True)


def _use_fresh_memory() -> None:
    from eezarr.cli import fetching  # noqa: PLC0415
    from eezarr.engine.buffers import BufferPool  # noqa: PLC0415
    from eezarr.store.planar import ScratchPool  # noqa: PLC0415

    give_back, make = BufferPool.give_back, ScratchPool.__init__

    def forget(self: BufferPool, buffer: Buffer, *, is_full: bool) -> None:
        give_back(self, buffer, is_full=is_full)
        self._idle.clear()

    _replace(BufferPool, "give_back", forget)
    _replace(ScratchPool, "__init__", lambda self, nbytes, **_: make(self, nbytes, is_reusing=False))
    _replace(fetching, "keep_freed_memory", lambda: None)


def _take_whole_images_apart() -> None:
    from eezarr import planes  # noqa: PLC0415

    _replace(planes, "_BLOCK_BYTES", 1 << 40)


def _write_with_zarr() -> None:
    from eezarr.store import sink  # noqa: PLC0415

    _replace(sink, "chunk_writer", lambda *_: None)


def _compress_as_zarr_does() -> None:
    from numcodecs import Zstd  # noqa: PLC0415
    from zarr.codecs import ZstdCodec  # noqa: PLC0415

    from eezarr.store import arrays, chunks  # noqa: PLC0415

    _replace(arrays, "compressor_of", lambda *_: ZstdCodec(level=0))
    _replace(chunks, "_encoder", lambda *_: Zstd(level=0).encode)


def _inflate_in_the_loop() -> None:
    from eezarr.earthengine.inflaters import Inflaters  # noqa: PLC0415

    async def run(_self: Inflaters, work: Callable[[], None]) -> None:
        work()

    _replace(Inflaters, "run", run)


def _inflate_with_zlib() -> None:
    import zlib  # noqa: PLC0415

    from eezarr.earthengine import bodies  # noqa: PLC0415

    _replace(bodies, "isal_zlib", zlib)


def _receive_while_all_inflate() -> None:
    from eezarr.earthengine.inflaters import Inflaters  # noqa: PLC0415

    _replace(Inflaters, "is_busy", False)


_PLAIN: dict[str, Callable[[], None]] = {
    "bodies go straight from the socket to their place": _receive_with_aiohttp,
    "the loop is woken for whole pieces of a body": _wake_for_each_packet,
    "a few bodies are received at once": _receive_all_at_once,
    "memory is used again": _use_fresh_memory,
    "pixels are taken apart by blocks": _take_whole_images_apart,
    "chunks are written past Zarr's event loop": _write_with_zarr,
    "bits are shuffled and LZ4 compresses": _compress_as_zarr_does,
}
_GZIP: dict[str, Callable[[], None]] = {
    "threads inflate": _inflate_in_the_loop,
    "ISA-L inflates": _inflate_with_zlib,
    "no more are received while all threads inflate": _receive_while_all_inflate,
}


if __name__ == "__main__":
    run_alone(measure, __doc__)

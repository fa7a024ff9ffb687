"""The limit: CPU seconds a gigabyte of each stage of the way from the socket to the store, done alone, the fastest way.

    python -m benchmarks.stages [--runs 5] [--tiny]

A stage is done by every fast way that is installed, and the fastest counts. The sum of the stages that a job needs
(receive, deinterleave, encode, write) is what `growth` compares the whole program with. TLS and inflating are apart,
and so is encoding on all cores at once: what cores share (memory, caches, often the execution units) makes the same
work take more CPU seconds there.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numcodecs
import numcodecs.blosc
import numpy as np

from benchmarks.findings import Scale, Section, Table, run_alone
from benchmarks.measure import in_turns, scratch_folder
from benchmarks.receiving import Receiver, receive_in_loop, write_certificate
from benchmarks.scenes import Region, interleaved_pixels
from benchmarks.service import replaying

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

__all__ = ["Stages", "measure", "measure_stages", "tile_of"]

CHUNK = 1024
_BLOCK_BYTES = 256 << 10
"""Of source pixels: they and what becomes of them stay in the second-level cache."""
_REPEATS = 4
"""Tiles of one turn: a turn takes a tenth of a second."""
_WRITTEN_BYTES = 512 << 20
"""What a turn of writing writes before anything is deleted: pages that were just freed are still in the processor's
cache, and those that a job writes to are not."""
_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's memory file system
_PLAIN = ("receive", "deinterleave", "encode", "write")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """CPU seconds a gigabyte of pixels, by stage and way."""

    region: Region
    """The tile that they were measured with."""
    seconds: Mapping[str, Mapping[str, float]]
    encoded_share: float
    """Bytes of the encoded chunks over those of the pixels."""

    def fastest(self, stage: str) -> tuple[str, float]:
        """Return the fastest way of a stage and what it takes."""
        return min(self.seconds[stage].items(), key=lambda item: item[1])

    @property
    def plain_sum(self) -> float:
        """What a job takes at the least: plain HTTP, identity bodies, a store on disk."""
        return sum(self.fastest(stage)[1] for stage in _PLAIN)

    @property
    def gzip_sum(self) -> float:
        """The same with gzip bodies."""
        return self.plain_sum + self.fastest("inflate")[1]


def tile_of(band_count: int, *, is_tiny: bool = False) -> Region:
    """Return the tile of a request that is nearly as large as legal, in whole chunks."""
    side = 2 * CHUNK if band_count <= 4 and not is_tiny else CHUNK
    return Region(side=side, band_count=band_count)


def measure(scale: Scale) -> Section:
    """Measure all stages for 4 and 12 bands of uint16."""
    tables = [_table(measure_stages(bands, scale)) for bands in ((4,) if scale.is_tiny else (4, 12))]
    return Section(
        title="Stages",
        note="CPU seconds a gigabyte of pixels, uint16, each stage alone; medians. The sum is of receive, "
        "deinterleave, encode and write to disk, the fastest way each.",
        tables=tuple(tables),
    )


def measure_stages(
    band_count: int, scale: Scale, *, written_bytes: tuple[int, int] | None = None, is_plain: bool = False
) -> Stages:
    """Measure the stages for one tile of so many bands.

    Args:
        band_count: How many.
        scale: How many turns.
        written_bytes: Of pixels: what writing to disk is measured of lies between so many that are written already, and
            so many in the end. None, or no whole tile: `_WRITTEN_BYTES` of chunks, in an empty folder.
        is_plain: Whether to measure those alone whose sum is `plain_sum`.
    """
    region = tile_of(band_count, is_tiny=scale.is_tiny)
    pixels = interleaved_pixels(region)
    planes = np.empty((region.band_count, (region.side // CHUNK) ** 2, CHUNK, CHUNK), np.uint16)
    stages: dict[str, dict[str, Callable[[], object]]] = {"deinterleave": _deinterleavers(pixels, planes)}
    if not is_plain:
        stages["inflate"] = _inflaters(pixels.tobytes())
    chunks = _chunks_of(region)
    stages["encode"], encoded = _encoders(chunks)
    with ExitStack() as stack:
        stages["receive"] = _receivers(stack, region)
        if not is_plain:
            folder = stack.enter_context(scratch_folder())
            stages["receive with TLS"] = _receivers(stack, region, tls=write_certificate(folder))
        _check_deinterleaved(stages["deinterleave"], planes, chunks)
        turns = {
            (stage, way): _timed(work, region.pixel_bytes)
            for stage, ways in stages.items()
            for way, work in ways.items()
        }
        if not is_plain:
            for way, work in stages["encode"].items():
                turns["encode on all cores at once", way] = partial(_crowded_s, work, region.pixel_bytes)
        tiles = range(1 if scale.is_tiny else max(1, _WRITTEN_BYTES // sum(map(len, encoded))))
        near, far = written_bytes or (0, 0)
        before, after = (-(-size // region.pixel_bytes) for size in (near, far))
        later = range(before, after) or tiles
        turns["write", "files on disk"] = partial(_written_s, encoded, later, region)
        if _MEMORY.is_dir() and not is_plain:
            turns["write to memory", "files on tmpfs"] = partial(_written_s, encoded, tiles, region, _MEMORY)
        medians = in_turns({" / ".join(key): turn for key, turn in turns.items()}, scale.runs)
    seconds: dict[str, dict[str, float]] = {}
    for stage, way in turns:
        seconds.setdefault(stage, {})[way] = medians[f"{stage} / {way}"]
    share = sum(map(len, encoded)) / region.pixel_bytes
    return Stages(region=region, seconds=seconds, encoded_share=share)


def _timed(work: Callable[[], object], pixel_bytes: int) -> Callable[[], float]:
    def turn() -> float:
        work()  # caches and connections are warm
        start_s = time.process_time()
        for _ in range(_REPEATS):
            work()
        return (time.process_time() - start_s) / _REPEATS / (pixel_bytes / 1e9)

    return turn


def _crowded_s(work: Callable[[], object], pixel_bytes: int) -> float:
    """Do work that needs no interpreter lock in as many threads as there are cores; return what one of them takes."""
    cores = os.cpu_count() or 1
    beginning = threading.Barrier(cores)

    def turn() -> float:
        work()
        beginning.wait()
        start_s = time.thread_time()
        for _ in range(_REPEATS):
            work()
        return time.thread_time() - start_s

    with ThreadPoolExecutor(cores) as executor:
        seconds = [future.result() for future in [executor.submit(turn) for _ in range(cores)]]
    return sum(seconds) / cores / _REPEATS / (pixel_bytes / 1e9)


def _receivers(
    stack: ExitStack, region: Region, tls: tuple[Path, Path] | None = None
) -> dict[str, Callable[[], object]]:
    service = stack.enter_context(replaying(is_periodic=True, tls=tls))
    expected = interleaved_pixels(Region(side=CHUNK, band_count=region.band_count))
    buffer = bytearray(region.pixel_bytes + (1 << 16))
    receiver = Receiver(url=service.url, bands=region.bands, side=region.side, buffer=buffer)
    stack.callback(receiver.close)
    size = receiver.receive()
    got = np.frombuffer(buffer, expected.dtype, offset=size - region.pixel_bytes, count=region.side**2)
    np.testing.assert_array_equal(got.reshape(region.side, region.side)[-CHUNK:, -CHUNK:], expected)
    if tls:
        return {"ssl recv_into": receiver.receive}
    return {"recv_into": receiver.receive, "BufferedProtocol": lambda: receive_in_loop(receiver, 1)}


def _inflaters(plain: bytes) -> dict[str, Callable[[], object]]:
    squeeze = zlib.compressobj(1, wbits=31)
    body = squeeze.compress(plain) + squeeze.flush()
    modules = {"zlib": "zlib", "isal": "isal.isal_zlib", "zlib-ng": "zlib_ng.zlib_ng"}
    ways: dict[str, Callable[[], object]] = {}
    for name, module in modules.items():
        if importlib.util.find_spec(module.partition(".")[0]):
            inflate = importlib.import_module(module).decompress
            assert inflate(body, 31, len(plain)) == plain, name
            ways[name] = partial(inflate, body, 31, len(plain))
    return ways


def _deinterleavers(pixels: npt.NDArray[np.void], planes: npt.NDArray[np.uint16]) -> dict[str, Callable[[], object]]:
    """Copies into planes that lie chunk by chunk, as the encoder wants them."""
    rows = max(1, _BLOCK_BYTES // (CHUNK * pixels.dtype.itemsize))
    per_side = pixels.shape[1] // CHUNK
    plain = pixels.view(np.uint16).reshape(*pixels.shape, -1)

    def blocked_fields() -> None:
        for chunk, row in itertools.product(range(per_side**2), range(0, CHUNK, rows)):
            top, left = (place * CHUNK for place in divmod(chunk, per_side))
            block = pixels[top + row : top + row + rows, left : left + CHUNK]
            for plane, name in zip(planes, pixels.dtype.names or (), strict=True):
                plane[chunk, row : row + rows] = block[name]

    def blocked_transpose() -> None:
        for chunk, row in itertools.product(range(per_side**2), range(0, CHUNK, rows)):
            top, left = (place * CHUNK for place in divmod(chunk, per_side))
            block = plain[top + row : top + row + rows, left : left + CHUNK]
            np.copyto(planes[:, chunk, row : row + rows], block.transpose(2, 0, 1))

    return {"fields by blocks": blocked_fields, "transpose by blocks": blocked_transpose}


def _chunks_of(region: Region) -> list[npt.NDArray[np.uint16]]:
    """Return the oracle's chunks: by band, then by rows and columns."""
    starts = range(0, region.side, CHUNK)
    return [
        np.ascontiguousarray(plane[row : row + CHUNK, col : col + CHUNK])
        for plane in region.expected().values()
        for row, col in itertools.product(starts, starts)
    ]


def _check_deinterleaved(
    ways: Mapping[str, Callable[[], object]],
    planes: npt.NDArray[np.uint16],
    chunks: list[npt.NDArray[np.uint16]],
) -> None:
    for work in ways.values():
        planes[:] = 0
        work()
        np.testing.assert_array_equal(planes.reshape(-1, CHUNK, CHUNK), np.stack(chunks))


def _encoders(chunks: list[npt.NDArray[np.uint16]]) -> tuple[dict[str, Callable[[], object]], list[bytes]]:
    codec = numcodecs.Blosc(cname="lz4", clevel=5, shuffle=numcodecs.Blosc.BITSHUFFLE)
    numcodecs.blosc.set_nthreads(1)
    numcodecs.blosc.use_threads = False
    encoded = [bytes(codec.encode(chunk)) for chunk in chunks]
    for data, chunk in zip(encoded, chunks, strict=True):
        np.testing.assert_array_equal(np.frombuffer(codec.decode(data), np.uint16), chunk.ravel())
    return {"blosc lz4 bitshuffle": lambda: [codec.encode(chunk) for chunk in chunks]}, encoded


def _written_s(encoded: list[bytes], tiles: range, region: Region, parent: Path | None = None) -> float:
    """Write a file for each chunk of these tiles into a new folder, after those that the range leaves out.

    Returns:
        CPU seconds a gigabyte of the range's pixels.
    """
    with scratch_folder(parent) as place:
        start_s = time.process_time()
        for tile in range(tiles.stop):
            if tile == tiles.start:
                start_s = time.process_time()
            for number, data in enumerate(encoded):
                file = os.open(place / f"{tile} {number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                assert os.write(file, data) == len(data)
                os.close(file)
        return (time.process_time() - start_s) / (len(tiles) * region.pixel_bytes / 1e9)


def _table(stages: Stages) -> Table:
    region = stages.region
    title = f"{region.band_count} x uint16, tile of {region.side} x {region.side}"
    rows = [
        (f"{stage}: {way}", f"{seconds:.3f}")
        for stage, ways in stages.seconds.items()
        for way, seconds in sorted(ways.items(), key=lambda item: item[1])
    ]
    rows += [("encoded bytes", f"{stages.encoded_share:.0%}")]
    rows += [("**sum, plain**", f"**{stages.plain_sum:.3f}**"), ("**sum, gzip**", f"**{stages.gzip_sum:.3f}**")]
    return Table(columns=(title, "CPU s/GB"), rows=tuple(rows))


if __name__ == "__main__":
    run_alone(measure, __doc__)

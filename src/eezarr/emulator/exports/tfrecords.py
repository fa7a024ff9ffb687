"""An export as TFRecords: one `tf.train.Example` a patch, a float list a band, and the mixer file that places them.

Written by hand: a record is its length, the masked CRC-32C of that, the bytes, and their CRC; an Example is a few
nested protocol-buffer messages. Patches that would reach over the right or lower edge are left out.
Source: https://developers.google.com/earth-engine/guides/tfrecord,
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

import google_crc32c
import numpy as np

from eezarr.emulator.exports.operation import UNIMPLEMENTED
from eezarr.emulator.exports.place import growing
from eezarr.emulator.exports.source import ExportFailure, ExportSource, Window

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from eezarr.emulator.exports.place import Place
    from eezarr.emulator.exports.request import RecordOptions
    from eezarr.emulator.raster import Grid

_CRC_MASK = 0xA282EAD8


def record_steps(source: ExportSource, options: RecordOptions, place: Place) -> Generator[int, None, None]:
    """Write the files; yield the pixels of each patch. No file has its name before all are written.

    Args:
        source: The image.
        options: How.
        place: Where.

    Raises:
        ExportFailure: An option is one that this emulator does not write.
    """
    if options.unsupported:
        names = ", ".join(options.unsupported)
        raise ExportFailure(f"This emulator does not write TFRecords with {names}.", code=UNIMPLEMENTED)
    width, height = options.patch
    across, down = source.grid.width // width, source.grid.height // height
    files = _Files(options=options, place=place)
    patches = 0
    place.folder.mkdir(parents=True, exist_ok=True)
    try:
        for row in range(down):
            for column in range(across):
                window = Window(top=row * height, left=column * width, height=height, width=width)
                patches += files.add(source, window)
                yield window.pixels
        files.finish(_mixer(source.grid, options, across, patches))
    finally:
        files.abandon()


@dataclass(slots=True, kw_only=True)
class _Files:
    """The files of an export, one open at a time."""

    options: RecordOptions
    place: Place
    parts: list[tuple[Path, Path]] = field(default_factory=list)
    """Where each grows, and the name that it gets."""
    size: int = 0
    """Bytes in the open file."""
    stream: IO[bytes] | None = None

    def add(self, source: ExportSource, window: Window) -> bool:
        """Write a patch, unless too much of it is masked; answer whether it was written."""
        across, down = self.options.margin
        wide = Window(
            top=window.top - down // 2,
            left=window.left - across // 2,
            height=window.height + down,
            width=window.width + across,
        )
        planes = source.read(wide)
        valid = np.logical_and.reduce([plane.valid for plane in planes])
        if 1.0 - float(valid.mean()) > self.options.max_masked:
            return False
        layers = {
            band.id: np.where(plane.valid, plane.values, self.options.default).astype("<f4").tobytes()
            for band, plane in zip(source.bands, planes, strict=True)
        }
        record = framed(example(layers))
        stream = self._stream_for(len(record))
        stream.write(record)
        return True

    def _stream_for(self, size: int) -> IO[bytes]:
        if self.stream is not None and self.size + size > self.options.max_bytes:
            self._close()
        if self.stream is None:
            self.stream, self.size = self._open(), 0
        self.size += size
        return self.stream

    def _open(self) -> IO[bytes]:
        suffix = ".tfrecord.gz" if self.options.is_compressed else ".tfrecord"
        path = self.place.among(f"{len(self.parts):05d}{suffix}")
        part = growing(path)
        self.parts.append((part, path))
        if self.options.is_compressed:
            return cast("IO[bytes]", gzip.GzipFile(part, "wb", compresslevel=1, mtime=0))
        return part.open("wb")

    def _close(self) -> None:
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    def finish(self, mixer: Mapping[str, object]) -> None:
        """Give all files their names, and write the one that describes them."""
        self._close()
        for part, final in self.parts:
            part.replace(final)
        self.place.among("mixer.json").write_text(json.dumps(mixer, indent=2))

    def abandon(self) -> None:
        """Delete what has not got its name."""
        self._close()
        for part, _ in self.parts:
            part.unlink(missing_ok=True)


def _mixer(grid: Grid, options: RecordOptions, across: int, patches: int) -> dict[str, object]:
    return {
        "projection": {"crs": grid.crs, "affine": {"doubleMatrix": list(grid.transform)}},
        "patchDimensions": list(options.patch),
        "patchesPerRow": across,
        "totalPatches": patches,
    }


def framed(data: bytes) -> bytes:
    """Answer a TFRecord that holds `data`."""
    length = len(data).to_bytes(8, "little")
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    crc = int(google_crc32c.value(data))
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    return ((rotated + _CRC_MASK) & 0xFFFFFFFF).to_bytes(4, "little")


def example(layers: Mapping[str, bytes]) -> bytes:
    """Answer a `tf.train.Example` of float lists: little-endian float32 bytes by name."""
    entries = []
    for name, floats in layers.items():
        # Feature.float_list is field 2, FloatList.value field 1, packed.
        feature = _field(2, _field(1, floats))
        # An entry of Features.feature: the key is field 1, the value field 2.
        entries.append(_field(1, _field(1, name.encode()) + _field(2, feature)))
    return _field(1, b"".join(entries))


def _field(number: int, data: bytes) -> bytes:
    """Answer a length-delimited field of a protocol-buffer message."""
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    pieces = bytearray()
    while value > 0x7F:
        pieces.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*pieces, value])

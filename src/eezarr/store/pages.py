"""The bytes of one page of marks: which of 4096 consecutive tiles are stored, and the checksum of each.

    magic 8 | tiles a page u32 | reserved u32 | page number u64 | owner 32 | bitmap 512 | CRC32C 4096 x u32 | CRC32C u32

All little-endian; bit i of the bitmap (least significant first) is tile `page * 4096 + i`. The last word is the CRC32C
of all before it. A page is written whole, so a body that is short, torn, altered, or another plan's is no page at all:
its tiles count as missing and are asked for again, which costs requests and never pixels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["PAGE_BYTES", "TILES_PER_PAGE", "Page", "decode_page", "encode_page"]

TILES_PER_PAGE = 4096

_MAGIC = b"EEZMARK\x01"
_HEADER = struct.Struct("<8sIIQ32s")
_BITMAP_BYTES = TILES_PER_PAGE // 8
_CHECKSUM_BYTES = TILES_PER_PAGE * 4
_BODY_BYTES = _HEADER.size + _BITMAP_BYTES + _CHECKSUM_BYTES
PAGE_BYTES = _BODY_BYTES + 4
"""Bytes of a stored page: 16 964."""


@dataclass(slots=True, kw_only=True)
class Page:
    """The marks of 4096 consecutive tiles, in memory; mutable, guarded by its owner's lock."""

    bitmap: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(_BITMAP_BYTES, np.uint8))
    """(512,): a bit for each tile, least significant first."""
    checksums: npt.NDArray[np.uint32] = field(default_factory=lambda: np.zeros(TILES_PER_PAGE, np.uint32))
    """(4096,): CRC32C of each marked tile's pixels."""

    def is_marked(self, slot: int) -> bool:
        """Return whether the tile at this position of the page is marked."""
        return bool(self.bitmap[slot >> 3] >> (slot & 7) & 1)

    def flags(self) -> npt.NDArray[np.bool_]:
        """Return (4096,) bool: which tiles are marked."""
        return np.unpackbits(self.bitmap, bitorder="little").view(np.bool_)

    def count(self) -> int:
        """Return how many tiles are marked."""
        return int(np.bitwise_count(self.bitmap).sum())


def encode_page(page: Page, *, number: int, owner: bytes) -> bytes:
    """Return a page's stored form.

    Args:
        page: The marks.
        number: The page's position.
        owner: 32 bytes that name the plan and the tiling that the marks count in.
    """
    body = b"".join(
        (
            _HEADER.pack(_MAGIC, TILES_PER_PAGE, 0, number, owner),
            page.bitmap.tobytes(),
            page.checksums.astype("<u4").tobytes(),
        )
    )
    return body + _crc(body)


def decode_page(body: bytes, *, number: int, owner: bytes) -> Page | None:
    """Return the page that these bytes hold, or None if they are not this owner's page of this number, whole."""
    if len(body) != PAGE_BYTES:
        return None
    if _HEADER.unpack_from(body) != (_MAGIC, TILES_PER_PAGE, 0, number, owner):
        return None
    if _crc(body[:_BODY_BYTES]) != body[_BODY_BYTES:]:
        return None
    return Page(
        bitmap=np.frombuffer(body, np.uint8, _BITMAP_BYTES, _HEADER.size).copy(),
        checksums=np.frombuffer(body, "<u4", TILES_PER_PAGE, _HEADER.size + _BITMAP_BYTES).astype(np.uint32),
    )


def _crc(body: bytes) -> bytes:
    return int(google_crc32c.value(body)).to_bytes(4, "little")

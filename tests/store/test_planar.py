"""The order of a tile's checksum, which stores on disk depend on, spelled out without the code that walks it."""

import google_crc32c
import numpy as np

from eezarr.grid import Shape2D
from eezarr.store.planar import blocks, cells, tile_checksum


def test_a_checksum_goes_cell_by_cell_and_in_each_array_by_array():
    first = np.arange(2 * 5 * 7, dtype="<u2").reshape(2, 5, 7)
    second = (np.arange(5 * 7, dtype="<f4") / 3).reshape(5, 7)
    order = [
        *(first[:, 0:3, 0:4], second[0:3, 0:4]),
        *(first[:, 0:3, 4:7], second[0:3, 4:7]),
        *(first[:, 3:5, 0:4], second[3:5, 0:4]),
        *(first[:, 3:5, 4:7], second[3:5, 4:7]),
    ]
    expected = google_crc32c.value(b"".join(part.tobytes() for part in order))
    assert tile_checksum([first, second], Shape2D(5, 7), Shape2D(3, 4)) == expected


def test_a_tile_of_one_chunk_is_one_cell():
    assert list(cells(Shape2D(5, 7), Shape2D(8, 8))) == [(slice(0, 5), slice(0, 7))]


def test_blocks_lie_one_after_the_other():
    class Place:
        def __init__(self, shape, dtype):
            self.shape, self.dtype = shape, np.dtype(dtype)

    buffer = np.zeros(64, np.uint8)
    one, two = blocks([Place((2, 3), "<u2"), Place((4,), "<f4")], buffer)
    one[...], two[...] = 1, 2
    assert buffer.tobytes() == one.tobytes() + two.tobytes() + bytes(64 - 12 - 16)

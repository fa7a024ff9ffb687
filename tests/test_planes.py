"""Answers taken apart into planes, wherever those lie: against one field after the other, without blocks and runs."""

from itertools import product

import numpy as np
import pytest
from affine import Affine

from eezarr.grid import PixelGrid, Shape2D, Window
from eezarr.plan import Band, Selection, Tile, record_dtype
from eezarr.planes import unpack

SIDES = Shape2D(70, 90)
REGION = PixelGrid(crs="EPSG:32610", transform=Affine(10, 0, 0, 0, -10, 0), width=500, height=500)
ALIKE = (("uint16",) * 12, ("float64",) * 9, ("uint8",))
MIXED = ("int16", "uint16", "uint16", "float32", "uint32", "uint8", "uint8", "float64", "float64")


def tile_of(types):
    bands = tuple(Band(f"b{number}", dtype) for number, dtype in enumerate(types))
    window = Window(row=7, col=9, height=SIDES.height, width=SIDES.width)
    return Tile(index=0, window=window, region=REGION, selection=Selection(bands=bands))


def apart(shape, dtypes):
    """Each plane in memory of its own, the later ones before the earlier ones."""
    return [np.zeros(shape, dtype) for dtype in reversed(dtypes)][::-1]


def in_order(shape, dtypes, order=1):
    """One plane after the other in one piece of memory."""
    memory = np.zeros(sum(shape[0] * shape[1] * dtype.itemsize for dtype in dtypes), np.uint8)
    planes, offset = [], 0
    for dtype in dtypes[::order]:
        planes.append(np.ndarray(shape, dtype, memory, offset))
        offset += planes[-1].nbytes
    return planes[::order]


def backwards(shape, dtypes):
    """The same from the end: each plane is followed by the one before it."""
    return in_order(shape, dtypes, -1)


def with_gaps(shape, dtypes):
    """Each plane followed by as much that is not to be touched."""
    return in_order(shape, [dtype for dtype in dtypes for _ in range(2)])[::2]


def windows(shape, dtypes):
    """Each plane a part of a larger one."""
    return [np.zeros((shape[0] + 5, shape[1] + 3), dtype)[2:-3, 1:-2] for dtype in dtypes]


def interleaved(shape, dtypes):
    """Of one type: pixel by pixel, as the answer has them."""
    return list(np.moveaxis(np.zeros((*shape, len(dtypes)), dtypes[0]), -1, 0))


@pytest.mark.parametrize("part", [(slice(None), slice(None)), (slice(11, 64), slice(30, 90))])
@pytest.mark.parametrize(
    ("lie", "types"),
    [
        *product((apart, in_order, backwards, with_gaps, windows), (*ALIKE, MIXED)),
        *product((interleaved,), ALIKE),
    ],
)
@pytest.mark.parametrize("order", ["all", "every other", "reversed"])
def test_every_pixel_comes_to_its_plane(lie, part, types, order):
    tile = tile_of(types)
    dtype = record_dtype(tile.wire_bands)
    noise = np.random.default_rng(1).integers(0, 256, SIDES.size * dtype.itemsize, np.uint8)
    pixels = noise.view(dtype).reshape(SIDES.height, SIDES.width)
    fields = {"all": tile.fields, "every other": tile.fields[::2], "reversed": tile.fields[::-1]}[order]
    shape = pixels[part].shape
    planes = lie(shape, [field.wire.wire_dtype for field in fields])
    bases = [plane if plane.base is None else plane.base for plane in planes]
    untouched = [np.array(base) for base in bases]
    unpack(tile, pixels, [((field,), plane) for field, plane in zip(fields, planes, strict=True)], part)
    for field, plane in zip(fields, planes, strict=True):
        assert plane.tobytes() == np.ascontiguousarray(pixels[field.wire.name][part]).tobytes()
        plane[...] = 0
    assert all(base.tobytes() == before.tobytes() for base, before in zip(bases, untouched, strict=True))

"""Pyramids to build, and an oracle of what is in them that shares nothing with what builds them."""

import json
import math
from itertools import pairwise

import numpy as np
import zarr

from eezarr.store.location import locate
from eezarr.store.stages import Halving

SHAPE = (1031, 777)
"""Levels of 516 x 389 and 258 x 195: odd at each."""


def cells(plane, outside):
    """(half the height, half the width, 4): top left, top right, bottom left, bottom right; `outside` at odd edges."""
    height, width = plane.shape
    padded = np.pad(plane, ((0, height % 2), (0, width % 2)), constant_values=outside)
    return padded.reshape(padded.shape[0] // 2, 2, -1, 2).swapaxes(1, 2).reshape(padded.shape[0] // 2, -1, 4)


def oracle(plane, method, *, valid=None, empty=0, fill=None):
    """Half the pixels a side, in whole-number arithmetic for integers."""
    known = np.ones(plane.shape, bool) if valid is None else valid
    if fill is not None:
        known = known & (~np.isnan(plane) if math.isnan(fill) else plane != fill)
    is_float = plane.dtype.kind == "f"
    counted = cells(known & ~np.isnan(plane) if is_float else known, False)
    number = counted.sum(axis=-1)
    if method == "nearest":
        chosen = np.argmax(counted, axis=-1)
        made = np.take_along_axis(cells(plane, 0), chosen[..., None], axis=-1)[..., 0]
    elif is_float:
        total = np.where(counted, cells(plane, 0).astype("f8"), 0).sum(axis=-1)
        made = (total / np.maximum(number, 1)).astype(plane.dtype)
    else:
        total = np.where(counted, cells(plane, 0).astype("i8"), 0).sum(axis=-1)
        whole, rest = np.divmod(total, np.maximum(number, 1))
        is_up = (2 * rest > number) | ((2 * rest == number) & (whole % 2 == 1))
        made = (whole + is_up).astype(plane.dtype)
    if fill is not None and method == "mean" and not math.isnan(fill):
        if is_float:
            other = np.nextafter(plane.dtype.type(fill), plane.dtype.type(np.inf))
        else:
            other = plane.dtype.type(fill + 1 if fill < np.iinfo(plane.dtype).max else fill - 1)
        made = np.where(made == fill, other, made)
    if is_float:
        made = np.where(number == 0, plane.dtype.type(np.nan), made)
    return np.where(cells(known, False).any(axis=-1), made, plane.dtype.type(empty))


def planned(bench, **more):
    """Tiles of four chunks: 5 x 4 of the store, 3 x 2 and 2 x 1 of its levels."""
    return bench.plan(**{"shape": SHAPE, "chunk": (128, 128), "tile": (256, 256)} | more)


def numbers(plan, bench, seed=3):
    """Floats of moderate size, so that their sums are exact in any order; masks of 0 and 1, some in blocks."""
    image = bench.pixels(plan, seed)
    generator = np.random.default_rng(seed)
    for name in image.dtype.names:
        kind = image.dtype[name]
        if name.startswith("m"):
            mask = generator.random(image.shape) < 0.6
            mask[100:300, 50:400] = False
            image[name] = mask
        elif kind.kind == "f":
            image[name] = generator.integers(-4000, 4000, image.shape) / 16
        else:
            limits = np.iinfo(kind)
            image[name] = generator.integers(limits.min, limits.max, image.shape, endpoint=True)
    return image


def store_pyramid(bench, plan, output, image, overviews, *, is_landing=False):
    sink = bench.sink(plan, output)
    if is_landing:
        sink.begin_overviews(overviews)
    for index in list(sink.missing()):
        tile = plan.tile(index)
        sink.write(tile, bench.cut(image, tile))
    assert sink.finish(bench.now, overviews=overviews)
    sink.close()


def methods(plan, method):
    return {band.name: method for band in plan.bands}


def groups(output):
    """The store and its levels, finest first, as readers are told of them."""
    root = zarr.open_group(locate(output, read_only=True).store, mode="r")
    return [root, *(root[entry["asset"]] for entry in json.loads(root.attrs["multiscales"])["layout"])]


def planes(plan, group):
    """Name, band and pixels of each plane of a group, with its mask or None."""
    mask = group["mask"][:] if "mask" in group else None
    for number, band in enumerate(plan.bands):
        block = group[band.name][:] if plan.layout.kind == "bands" else group["pixels"][..., number, :, :]
        beside = mask if mask is None or plan.masking.is_shared else mask[..., number, :, :]
        if plan.steps is None:
            yield number, block, beside
        else:
            for step in range(len(plan.steps)):
                yield number, block[step], None if beside is None else beside[step]


def require_exact(plan, output, how, levels=2):
    """Each level is what the oracle makes of the one below; `how` is a method, or one for each band's name."""
    found = groups(output)
    assert len(found) == levels + 1
    for below, level in pairwise(found):
        for (band, fine, fine_mask), (_, coarse, coarse_mask) in zip(
            planes(plan, below), planes(plan, level), strict=True
        ):
            masking = plan.masking
            expected = oracle(
                fine,
                how if isinstance(how, str) else how[plan.bands[band].name],
                valid=None if fine_mask is None else fine_mask == 1,
                empty=masking.fills[band] if masking.mode != "none" else 0,
                fill=masking.fills[band] if masking.mode == "fill" else None,
            )
            assert coarse.dtype == fine.dtype
            np.testing.assert_array_equal(coarse, expected)
            if fine_mask is not None:
                np.testing.assert_array_equal(coarse_mask, cells(fine_mask, 0).max(axis=-1))


def watch(monkeypatch):
    """The tiles of levels that are built from now on."""
    made = []
    make = Halving.make

    def watched(self, tile):
        made.append(tile)
        make(self, tile)

    monkeypatch.setattr(Halving, "make", watched)
    return made

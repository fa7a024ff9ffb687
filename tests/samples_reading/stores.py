"""Stores of samples as `eezarr samples` lays them out, written by plain Zarr: the oracle is the arrays returned."""

from __future__ import annotations

import base64
import struct
import warnings
from dataclasses import dataclass, field

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.codecs import BloscCodec, ZstdCodec

NO_TIME = -(2**63)
_TIME = {"units": "milliseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
_TEXT = np.dtypes.StringDType()


@dataclass
class Made:
    path: str
    pixels: np.ndarray
    columns: dict[str, np.ndarray]
    mask: np.ndarray | None = None
    target: np.ndarray | None = None
    statistics: dict[str, object] = field(default_factory=dict)

    @property
    def stored(self):
        return np.flatnonzero(self.columns["state"] == 1)


def make_samples(
    path,
    *,
    count=37,
    bands=("B2", "B3", "B4"),
    size=(6, 5),
    dtype="uint16",
    times=None,
    shard=None,
    compressor="auto",
    zarr_format=3,
    fill=None,
    mask=None,
    target=False,
    labels=("forest", "water", ""),
    splits=("train", "val"),
    failed=(),
    pixels=None,
    seed=0,
):
    """A store of random samples; `failed` ones have no pixels and state 2."""
    rng = np.random.default_rng(seed)
    shape = (count, *(() if times is None else (times,)), len(bands), *size)
    if pixels is None:
        pixels = rng.integers(1, 200, shape).astype(dtype)
        if fill is not None:
            pixels[rng.random(shape) < 0.1] = fill
    state = np.ones(count, np.uint8)
    state[list(failed)] = 2
    group = zarr.open_group(path if isinstance(path, Store) else str(path), mode="w", zarr_format=zarr_format)
    columns = _columns(count, bands, labels, splits, times, state, rng)
    for name, values in columns.items():
        axes = {"band": ("band",), "transform": ("sample", "coefficient")}.get(name, ("sample", "time")[: values.ndim])
        _array(group, name, values, axes, attributes=_TIME if name in ("date", "times") else {})
    _array(group, "properties/soil", np.arange(count, dtype=np.float64) / 2, ("sample",))
    axes = ("sample", *(() if times is None else ("time",)), "band", "y", "x")
    attributes = {"coordinates": " ".join(name for name in columns if name != "band")}
    if fill is not None and zarr_format == 3:
        attributes["_FillValue"] = (
            base64.standard_b64encode(struct.pack("<d", fill)).decode() if np.dtype(dtype).kind == "f" else int(fill)
        )
    options = {"shard": shard, "compressor": compressor}
    undeclared = (np.nan if np.dtype(dtype).kind == "f" else 0) if zarr_format == 3 else None
    told = undeclared if fill is None else fill
    _patches(group, "pixels", pixels, axes, attributes=attributes, fill=told, state=state, **options)
    made = Made(path=str(path), pixels=pixels, columns=columns)
    if mask is not None:
        keep = [n for n, axis in enumerate(axes) if axis != "band" or mask == "each"]
        made.mask = rng.integers(0, 2, [shape[n] for n in keep]).astype(np.uint8)
        _patches(group, "mask", made.mask, tuple(axes[n] for n in keep), fill=0, state=state, **options)
    if target:
        made.target = rng.integers(0, 4, (count, *size)).astype(np.int16)
        _patches(group, "target", made.target, ("sample", "y", "x"), fill=0, state=state, **options)
    made.statistics = {
        "split": "train",
        "bands": {
            name: {
                "count": 100,
                "mean": 90.0 + 7 * n,
                "std": 40.0 + 3 * n,
                "min": 1.0,
                "max": 200.0,
                "percentiles": {"2": 5.0, "98": 190.0},
                "histogram": {"edges": [0, 1], "counts": [100]},
            }
            for n, name in enumerate(bands)
        },
    }
    facts = {"version": "0", "kind": "samples", "samples": count, "fingerprint": f"made-{seed}", "complete": True}
    group.attrs.update({"Conventions": "CF-1.11", "eezarr": facts, "statistics": made.statistics})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(group.store)
    return made


def _columns(count, bands, labels, splits, times, state, rng):
    numbers = np.arange(count)
    columns = {
        "band": np.array(bands, _TEXT),
        "state": state,
        "id": np.array([f"site-{n}" for n in numbers], _TEXT),
        "site": numbers[::-1].astype(np.int64),
        "longitude": -122 + numbers / 100,
        "latitude": 37 + numbers / 100,
        "crs": np.array([f"EPSG:326{10 + n % 2}" for n in numbers], _TEXT),
        "transform": np.array([[10, 0, 500000 + 60 * n, 0, -10, 4200000] for n in numbers], np.float64),
        "date": np.where(numbers % 5 == 0, NO_TIME, 1_500_000_000_000 + numbers).astype(np.int64),
    }
    if labels is not None:
        kind = _TEXT if isinstance(labels[0], str) else np.asarray(labels).dtype
        columns["label"] = np.array([labels[n % len(labels)] for n in numbers], kind)
    if splits is not None:
        columns["split"] = np.array([splits[int(n % 4 == 3)] for n in numbers], _TEXT)
    if times is not None:
        counts = rng.integers(1, times + 1, count)
        there = np.arange(times) < counts[:, None]
        columns["times"] = np.where(there, 1_500_000_000_000 + np.arange(times) * 86_400_000, NO_TIME)
        columns["image_ids"] = np.where(there, "an/image", "").astype(_TEXT)
    return columns


def _array(group, name, values, axes, attributes=None):
    is_old = group.metadata.zarr_format == 2
    kind = "str" if values.dtype.kind == "T" else values.dtype.name
    undeclared = {"str": "", "float64": np.nan}.get(kind, NO_TIME if attributes else 0)
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=values.shape,
        dtype=kind,
        fill_value=None if is_old and kind != "str" and not attributes else undeclared,
        dimension_names=None if is_old else axes,
        attributes={**(attributes or {}), **({"_ARRAY_DIMENSIONS": list(axes)} if is_old else {})},
    )
    array[...] = values


def _patches(group, name, values, axes, *, fill, state, shard, compressor, attributes=None):
    is_old, size = group.metadata.zarr_format == 2, values.dtype.itemsize
    new = {
        "auto": BloscCodec(cname="lz4", shuffle="bitshuffle" if size <= 2 else "shuffle", typesize=size),
        "zstd": ZstdCodec(level=1),
        "none": None,
    }
    old = {"auto": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}, "zstd": {"id": "zstd"}, "none": None}
    with zarr.config.set({"array.write_empty_chunks": True}):
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=(1, *values.shape[1:]),
            shards=None if shard is None else (shard, *values.shape[1:]),
            dtype=values.dtype,
            fill_value=fill,
            compressors=(old if is_old else new)[compressor],
            dimension_names=None if is_old else axes,
            attributes={**(attributes or {}), **({"_ARRAY_DIMENSIONS": list(axes)} if is_old else {})},
        )
        if shard is None:
            for number in np.flatnonzero(state == 1):
                array[number] = values[number]
        else:
            array[...] = values

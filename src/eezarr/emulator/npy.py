"""NPY 1.0 bytes as the service writes them: always a structured array, header padded to 16 bytes.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html; the padding is that of the bytes in
earthengine-api's `image_converter_test.py` (NumPy itself pads to 64).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAGIC = b"\x93NUMPY\x01\x00"
_ALIGNMENT = 16

Part = bytes | memoryview


def structured(names: Sequence[str], layers: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.void]:
    """Answer a (height, width) array with one field per band, in the order given.

    One contiguous band is viewed, not copied; more are interleaved once.
    """
    dtype = np.dtype([(name, layer.dtype) for name, layer in zip(names, layers, strict=True)])
    if len(layers) == 1:
        return np.ascontiguousarray(layers[0]).view(dtype)
    pixels = np.empty(layers[0].shape, dtype)
    for name, layer in zip(names, layers, strict=True):
        pixels[name] = layer
    return pixels


def header(dtype: np.dtype[np.void], shape: tuple[int, ...]) -> bytes:
    """Answer the bytes before the pixels."""
    names = dtype.names or ()
    fields = [(name, dtype[name].str) for name in names]
    text = f"{{'descr': {fields!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode("latin1")
    length = len(_MAGIC) + 2 + len(text) + 1
    text += b" " * (-length % _ALIGNMENT) + b"\n"
    return _MAGIC + len(text).to_bytes(2, "little") + text


def encoded(pixels: npt.NDArray[np.void]) -> list[Part]:
    """Answer header and pixels; the second part is a view of the array's own memory."""
    return [header(pixels.dtype, pixels.shape), np.ascontiguousarray(pixels).reshape(-1).view(np.uint8).data]

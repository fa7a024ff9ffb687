"""Fine detail that repeats: square periodic arrays, drawn once, looked up by place.

Law: a texture is a constant of the program (its seed is written here), and place (row, column) reads the element
(row mod period, column mod period). So a pixel never depends on the window it was read through, and costs a copy.
The periods (10 to 20 km at 10 m) show in nothing, because the slow fields of `terrain` decide where each one is used.
"""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

Element = TypeVar("Element", bound=np.generic)

PERIOD = 2048
"""Pixels per side of `fractal`, `relief` and `parcels`."""

FRACTAL_LIMIT = 4.0
"""No value of `fractal` is larger: shortcuts for blocks without coast or cloud rely on it."""

FINE_PERIOD = 1024
"""Pixels per side of `speckle` and `streets`."""

CROPS = 30
"""Kinds of crop in `parcels`; the two values above are a farm track and fallow ground."""

ROOFS = 14
"""Kinds of urban surface in `streets`; the two values above are a street and an avenue."""


def _frequencies(period: int) -> npt.NDArray[np.float64]:
    """Cycles per pixel of each element of a real two-dimensional FFT."""
    down, across = np.fft.fftfreq(period)[:, None], np.fft.rfftfreq(period)[None, :]
    return np.asarray(np.hypot(down, across), np.float64)


def _filtered(seed: int, period: int, gain: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Gaussian noise with the given spectrum, periodic, mean 0, variance 1."""
    white = np.random.Generator(np.random.PCG64(seed)).standard_normal((period, period))
    field = np.fft.irfft2(np.fft.rfft2(white) * gain, s=(period, period))
    field -= field.mean()
    return np.asarray(field / field.std(), np.float64)


@cache
def fractal() -> Floats:
    """Answer (2048, 2048) float32 of mean 0 and variance 1 with power at every scale from 3 km down to a pixel."""
    frequency = _frequencies(PERIOD)
    gain = np.where(frequency > 0, np.maximum(frequency, 1 / 300) ** -1.35, 0.0)
    return np.clip(_filtered(11, PERIOD, gain), -FRACTAL_LIMIT, FRACTAL_LIMIT).astype(np.float32)


@cache
def speckle() -> Floats:
    """Answer (1024, 1024) float32 of mean 0 and variance 1: what differs from one pixel to the next."""
    frequency = _frequencies(FINE_PERIOD)
    return _filtered(12, FINE_PERIOD, 1.0 / (0.12 + frequency)).astype(np.float32)


@cache
def grain() -> Floats:
    """Answer (1024, 1024) float32 of mean 0 and variance 1: white noise, the sensor's own."""
    return _filtered(13, FINE_PERIOD, np.ones_like(_frequencies(FINE_PERIOD))).astype(np.float32)


@cache
def relief() -> Floats:
    """Answer (2048, 2048) float32 about 0: sunlight on ridged hills, minus sunlight on flat ground."""
    frequency = _frequencies(PERIOD)
    height = np.zeros((PERIOD, PERIOD))
    for octave, wavelength in enumerate((96.0, 48.0, 24.0, 12.0)):
        band = np.exp(-0.5 * (np.log(np.maximum(frequency, 1e-9) * wavelength) / 0.35) ** 2)
        ridges = 1.0 - np.abs(_filtered(20 + octave, PERIOD, band))
        height += 0.3 * wavelength * ridges
    east = (np.roll(height, -1, axis=1) - np.roll(height, 1, axis=1)) * 0.12
    south = (np.roll(height, -1, axis=0) - np.roll(height, 1, axis=0)) * 0.12
    sun_east, sun_south, sun_up = 0.50, 0.42, 0.757
    light = (sun_up - sun_east * east - sun_south * south) / np.sqrt(1.0 + east**2 + south**2)
    return np.clip(light / sun_up - 1.0, -0.5, 0.5).astype(np.float32)


def _rectangles(seed: int, period: int, smallest: int, largest: int) -> list[tuple[int, int, int, int]]:
    """Cut a square into (top, left, bottom, right) rectangles whose sides lie between the two bounds."""
    random = np.random.Generator(np.random.PCG64(seed))
    pending, done = [(0, 0, period, period)], []
    while pending:
        top, left, bottom, right = pending.pop()
        height, width = bottom - top, right - left
        side = max(height, width)
        if side < 2 * smallest or (side <= largest and random.random() < 0.55):
            done.append((top, left, bottom, right))
            continue
        cut = smallest + int(random.integers(0, side - 2 * smallest + 1))
        if side > 4 * largest:
            cut = side // 2
        if height > width:
            pending += [(top, left, top + cut, right), (top + cut, left, bottom, right)]
        else:
            pending += [(top, left, bottom, left + cut), (top, left + cut, bottom, right)]
    return done


@cache
def parcels() -> npt.NDArray[np.int16]:
    """Answer (2048, 2048) int16: crop 0 to 29 of each field, 30 on the tracks between them, 31 on fallow ground."""
    random = np.random.Generator(np.random.PCG64(31))
    ground = np.full((PERIOD, PERIOD), CROPS, np.int16)
    for top, left, bottom, right in _rectangles(30, PERIOD, 18, 78):
        crop = int(random.integers(0, CROPS + 2))
        inside = ground[top : bottom - 1, left : right - 1]
        inside[:] = min(crop, CROPS + 1)
        height, width = inside.shape
        if random.random() < 0.10 and abs(height - width) < 16 and height > 30:
            y, x = np.ogrid[:height, :width]
            radius = min(height, width) / 2 - 1
            outside = (y - height / 2 + 0.5) ** 2 + (x - width / 2 + 0.5) ** 2 > radius**2
            inside[outside] = CROPS + 1
    return ground


@cache
def streets() -> npt.NDArray[np.int16]:
    """Answer (1024, 1024) int16: roof or garden 0 to 13 inside the blocks, 14 on streets, 15 on avenues."""
    random = np.random.Generator(np.random.PCG64(33))
    ground = np.full((FINE_PERIOD, FINE_PERIOD), ROOFS, np.int16)
    for top, left, bottom, right in _rectangles(32, FINE_PERIOD, 6, 15):
        inside = ground[top : bottom - 1, left : right - 1]
        kind = int(random.integers(0, ROOFS))
        inside[:] = kind
        mixed = random.random(inside.shape) < 0.45
        inside[mixed] = random.integers(0, ROOFS, int(mixed.sum()))
    for top, left, bottom, right in _rectangles(34, FINE_PERIOD, 50, 140):
        ground[top : top + 2, left:right] = ROOFS + 1
        ground[top:bottom, left : left + 2] = ROOFS + 1
    return ground


def _steps(indices: Indices, period: int) -> list[tuple[slice, slice]]:
    """Pairs (place in the answer, place in the texture) that cover consecutive indices."""
    pairs, done, count = [], 0, len(indices)
    while done < count:
        start = int(indices[done]) % period
        length = min(count - done, period - start)
        pairs.append((slice(done, done + length), slice(start, start + length)))
        done += length
    return pairs


def is_consecutive(indices: Indices) -> bool:
    """Answer whether ascending indices have no gap."""
    return len(indices) > 0 and int(indices[-1]) - int(indices[0]) == len(indices) - 1


def look_up(texture: npt.NDArray[Element], rows: Indices, cols: Indices) -> npt.NDArray[Element]:
    """Answer the texture at every pair of rows and columns.

    Args:
        texture: (period, period), any dtype.
        rows: (height,) ascending places, pixels; any integer.
        cols: (width,) ascending places, pixels; any integer.

    Returns:
        (height, width) of the texture's dtype; a new array.
    """
    period = texture.shape[0]
    if not (is_consecutive(rows) and is_consecutive(cols)):
        return texture[np.ix_(rows % period, cols % period)]
    answer = np.empty((len(rows), len(cols)), texture.dtype)
    for to_rows, from_rows in _steps(rows, period):
        for to_cols, from_cols in _steps(cols, period):
            answer[to_rows, to_cols] = texture[from_rows, from_cols]
    return answer

"""A plane of real pixels that repeats: 1024 x 1024 of the scene, over and over, so that any size can be served.

The pixel in row r and column c of the grid from the scene's corner is the block's pixel (r mod 1024, c mod 1024).
"""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.scenes import ORIGIN

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

__all__ = ["PERIOD", "Periodic"]

PERIOD = 1024
_PIXEL_M = 10


class Periodic:
    """Makes the bodies of computePixels requests; one for all tiles of a shape whose corners fall alike."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, ...], npt.NDArray[np.void]] = {}
        self._bodies: dict[tuple[object, ...], bytes] = {}
        self._lock = threading.Lock()

    def body(self, request: bytes, ask: Callable[[bytes], bytes]) -> bytes | None:
        """Return the body that answers a request, or None if it is not for NPY pixels on the scene's own lattice.

        Args:
            request: The request's JSON.
            ask: Returns what the emulator answers to another body.
        """
        document = json.loads(request) if request.startswith(b"{") else {}
        grid = document.get("grid", {})
        affine = grid.get("affineTransform", {})
        if document.get("fileFormat") != "NPY" or affine.get("scaleX") != _PIXEL_M:
            return None
        height, width = int(grid["dimensions"]["height"]), int(grid["dimensions"]["width"])
        row = int((ORIGIN[1] - affine["translateY"]) / _PIXEL_M) % PERIOD
        col = int((affine["translateX"] - ORIGIN[0]) / _PIXEL_M) % PERIOD
        bands = tuple(document.get("bandIds", ()))
        with self._lock:
            key = (bands, row, col, height, width)
            if key not in self._bodies:
                block = self._block(bands, document, ask)
                repeated = np.tile(block, (-(-(row + height) // PERIOD), -(-(col + width) // PERIOD)))
                self._bodies[key] = _npy(repeated[row : row + height, col : col + width])
            return self._bodies[key]

    def _block(
        self, bands: tuple[str, ...], document: dict[str, object], ask: Callable[[bytes], bytes]
    ) -> npt.NDArray[np.void]:
        if bands not in self._blocks:
            affine = {"scaleX": 10, "shearX": 0, "translateX": ORIGIN[0]}
            affine |= {"shearY": 0, "scaleY": -10, "translateY": ORIGIN[1]}
            dimensions = {"width": PERIOD, "height": PERIOD}
            grid = {"dimensions": dimensions, "affineTransform": affine, "crsCode": "EPSG:32610"}
            self._blocks[bands] = np.load(io.BytesIO(ask(json.dumps({**document, "grid": grid}).encode())))
        return self._blocks[bands]


def _npy(pixels: npt.NDArray[np.void]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(pixels), version=(1, 0))
    return file.getvalue()

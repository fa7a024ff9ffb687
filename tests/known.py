"""Names that several tests share, and the environment that commands are tested in."""

import os
from importlib.metadata import version
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
CONFIGS = REPOSITORY / "configs"
SCENE = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"
SCENE_NAME = f"projects/earthengine-public/assets/{SCENE}"

netcdf_of_texts = pytest.mark.skipif(
    tuple(map(int, version("xarray").split(".")[:2])) < (2026, 1),
    reason="xarray 2025.6 writes no variable of NumPy's texts as NetCDF",
)
"""For tests that write names of bands or samples as NetCDF."""


def environment(**more):
    """The test's own environment, without credentials, projects or a home that has any."""
    hidden = ("GOOGLE_", "EARTHENGINE_", "EEZARR_", "CLOUDSDK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return kept | {"HOME": "/nonexistent", "NO_GCE_CHECK": "true", "NO_COLOR": "1", "COLUMNS": "100"} | more

"""Names that several tests share, and the environment that commands are tested in."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
CONFIGS = REPOSITORY / "configs"
SCENE = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"
SCENE_NAME = f"projects/earthengine-public/assets/{SCENE}"


def environment(**more):
    """The test's own environment, without credentials, projects or a home that has any."""
    hidden = ("GOOGLE_", "EARTHENGINE_", "EEZARR_", "CLOUDSDK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return kept | {"HOME": "/nonexistent", "NO_GCE_CHECK": "true", "NO_COLOR": "1", "COLUMNS": "100"} | more

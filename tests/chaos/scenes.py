"""Small jobs that the other chaos tests share: a region of a scene, its service, and what must come of it."""

import numpy as np
import zarr

from chaos.worlds import truth
from known import SCENE, SCENE_NAME

PLACE = {"crs": "EPSG:32610", "transform": (10, 0, 520_000, 0, -10, 4_180_000)}


def write_job(folder, *, side, tile, bands=("B2", "B4"), fetch="", store="", output="out.zarr"):
    """A job of square tiles, each one chunk a band."""
    (folder / "job.toml").write_text(
        f'output = "{output}"\nproject = "my-project"\n'
        f'[image]\nasset = "{SCENE}"\nbands = {list(bands)}\n'
        f'[grid]\ncrs = "{PLACE["crs"]}"\ntransform = {list(PLACE["transform"])}\nshape = [{side}, {side}]\n'
        f"[store]\nchunk = {tile}\n{store}\n[fetch]\ntile = [{tile}, {tile}]\n{fetch}\n",
        encoding="utf-8",
    )


def require_exact(service, store, *, side, bands=("B2", "B4")):
    expected = truth(service.world, SCENE_NAME, bands, **PLACE, height=side, width=side)
    group = zarr.open_group(store, mode="r")
    for band in bands:
        np.testing.assert_array_equal(group[band][:], expected[band])


def corner(request):
    """Row and column of a request's first pixel in the region."""
    origin = PLACE["transform"]
    return round((request[5] - origin[5]) / origin[4]), round((request[2] - origin[2]) / origin[0])

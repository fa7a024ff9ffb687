"""Images of a collection lie on one lattice where no corner of their pixels drifts by a millionth of a pixel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eezarr.api.series import require_one_lattice
from eezarr.earthengine.catalogue import parse_asset
from eezarr.errors import InvalidInput


def image(name, *, step, left=10.0, top=50.0, width=200, height=100, crs="EPSG:4326"):
    affine = {"scaleX": step, "translateX": left, "scaleY": -step, "translateY": top}
    grid = {"crsCode": crs, "affineTransform": affine, "dimensions": {"width": width, "height": height}}
    band = {"id": "B", "dataType": {"precision": "FLOAT"}, "grid": grid}
    return parse_asset({"name": f"projects/p/assets/{name}", "type": "IMAGE", "bands": [band]})


def test_rounded_scales_are_one_lattice_while_no_corner_drifts():
    first, second = image("a", step=1 / 120), image("b", step=0.0083333333)
    for cropped in (True, False):
        assert require_one_lattice([first, second], "B", is_cropped=cropped) == first.band("B").grid
        assert require_one_lattice([second, first], "B", is_cropped=cropped) == second.band("B").grid


@pytest.mark.parametrize(
    "other",
    [
        {"step": 0.0083333333, "width": 43_200},
        {"step": 0.00833333},
        {"step": 1 / 120, "left": 10 + 1 / 240},
        {"step": 1 / 120, "crs": "EPSG:4269"},
        {"step": 1 / 120, "left": 10 + 1 / 12_000_000},
    ],
)
def test_lattices_that_drift_are_two(other):
    with pytest.raises(InvalidInput, match="lies on another grid"):
        require_one_lattice([image("a", step=1 / 120), image("b", **other)], "B", is_cropped=True)


def test_a_crs_may_be_written_in_two_ways():
    first = image("a", step=1 / 120)
    grid = first.band("B").grid
    from eezarr.grid import PixelGrid, crs_wkt

    wkt = PixelGrid(crs=crs_wkt(grid.crs), transform=grid.transform, width=grid.width, height=grid.height)
    second = replace(first, bands=(replace(first.band("B"), grid=wkt),))
    assert require_one_lattice([first, second], "B", is_cropped=False) == grid

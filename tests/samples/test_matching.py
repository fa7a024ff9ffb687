"""Which images show which patch: against rectangles that are compared one by one."""

import json

import numpy as np
import pytest
import shapely

from eezarr.grid import Shape2D
from eezarr.samples import ImageTable, PatchIndex, Wanted, match_images, patch_grids
from eezarr.samples.footprints import CONTAINED, MET

SIZE = 10
RESOLUTION = 0.01


def patches_at(places):
    return patch_grids(np.array(places, float), crs="EPSG:4326", resolution=RESOLUTION, size=Shape2D(SIZE, SIZE))


def box(west, south, east, north):
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def table(footprints, starts, kind="each", groups=None, times=None):
    count = len(footprints)
    return ImageTable(
        names=tuple(f"image-{n:03}" for n in range(count)),
        starts=np.array(starts, np.int64),
        footprints=footprints,
        kind=kind,
        groups=np.arange(count) if groups is None else np.array(groups, np.int64),
        times=np.array(starts if times is None else times, np.int64),
    )


def found_by(index, footprint):
    patches, levels = index.found(footprint)
    assert list(patches) == sorted(set(patches.tolist()))
    return dict(zip(patches.tolist(), levels.tolist(), strict=True))


def level(bounds, patch):
    """What a box is to a patch (west, south, east, north), both without turns."""
    west, south, east, north = bounds
    w, s, e, n = patch
    if west < w and e < east and south < s and n < north:
        return CONTAINED
    return MET if west < e and w < east and south < n and s < north else 0


def bounds_of(grids, nth):
    grid = grids.grid(nth)
    return tuple(grid.bounds)


def test_random_boxes_against_one_by_one():
    rng = np.random.default_rng(7)
    grids = patches_at(np.column_stack([rng.uniform(-20, 20, 400), rng.uniform(-15, 15, 400)]))
    index = PatchIndex.of(grids)
    levels = set()
    for _ in range(60):
        # A hair off the lattice, so that no edge is shared with a patch's; wider than a patch.
        west, south = rng.uniform(-22, 20), rng.uniform(-16, 14)
        bounds = (west, south, west + rng.uniform(0.2, 9), south + rng.uniform(0.2, 7))
        expected = {n: level(bounds, bounds_of(grids, n)) for n in range(400)}
        expected = {n: value for n, value in expected.items() if value}
        assert found_by(index, box(*bounds)) == expected
        levels |= set(expected.values())
    assert levels == {CONTAINED, MET}


@pytest.mark.parametrize(
    "footprint",
    [
        box(179, -1, 181, 1),
        box(-181, -1, -179, 1),
        {"type": "Polygon", "coordinates": [[[179, -1], [-179, -1], [-179, 1], [179, 1], [179, -1]]]},
        {
            "type": "MultiPolygon",
            "coordinates": [box(179, -1, 180, 1)["coordinates"], box(-180, -1, -179, 1)["coordinates"]],
        },
        {"type": "LinearRing", "coordinates": [[179, -1], [-179, -1], [-179, 1], [179, 1]]},
        {"type": "GeometryCollection", "geometries": [box(179, -1, 181, 1)]},
    ],
)  # fmt: skip
def test_footprints_across_the_antimeridian(footprint):
    index = PatchIndex.of(patches_at([(179.5, 0), (-179.5, 0.5), (0, 0), (179.0, 0), (-178, 0)]))
    assert found_by(index, footprint) == {0: CONTAINED, 1: CONTAINED, 3: MET}


@pytest.mark.parametrize(
    "footprint",
    [
        None,
        box(-180, -90, 180, 90),
        {"type": "Polygon", "coordinates": [[["-Infinity", "-Infinity"], ["Infinity", "Infinity"], [0, 0]]]},
        {"type": "Point", "coordinates": [3, 4]},
    ],
)
def test_what_is_everywhere(footprint):
    index = PatchIndex.of(patches_at([(179.9, 60), (-179.9, -60), (0, 0), (10, 80)]))
    assert set(found_by(index, footprint).values()) == {CONTAINED}
    assert len(found_by(index, footprint)) == 4


def test_a_hole_is_outside():
    ring = box(-5, -5, 5, 5)["coordinates"][0]
    hole = box(-1, -1, 1, 1)["coordinates"][0][::-1]
    index = PatchIndex.of(patches_at([(0, 0), (3, 3), (1, 0)]))
    assert found_by(index, {"type": "Polygon", "coordinates": [ring, hole]}) == {1: CONTAINED, 2: MET}


def test_corners_of_a_footprint_inside_a_patch():
    index = PatchIndex.of(patches_at([(0, 0)]))
    notched = [[-5, -5], [5, -5], [5, 5], [0.02, 5], [0.02, 0.03], [-0.02, 0.03], [-0.02, 5], [-5, 5], [-5, -5]]
    assert found_by(index, {"type": "Polygon", "coordinates": [notched]}) == {0: MET}
    assert found_by(index, box(0.01, 0.01, 0.04, 0.04)) == {0: MET}
    assert found_by(index, box(0.06, 0.06, 0.09, 0.09)) == {}


def test_a_gap_narrower_than_a_patch_is_a_gap():
    """Neither has a corner in the patch's box, or a corner of the patch outside."""
    wedge = [[-5, -5], [5, -5], [5, 5], [0.01, 5], [0, -4], [-0.01, 5], [-5, 5], [-5, -5]]
    strip = [[-0.01, -4], [-0.01, 4], [0.01, 4], [0.01, -4], [-0.01, -4]]
    index = PatchIndex.of(patches_at([(0, 0), (3, 3)]))
    assert found_by(index, {"type": "Polygon", "coordinates": [wedge]}) == {0: MET, 1: CONTAINED}
    rings = [box(-5, -5, 5, 5)["coordinates"][0], strip]
    assert found_by(index, {"type": "Polygon", "coordinates": rings}) == {0: MET, 1: CONTAINED}


def test_what_is_thinner_than_a_patch_meets_it():
    index = PatchIndex.of(patches_at([(0, 0), (3, 3)]))
    assert found_by(index, box(-5, 0.02, 5, 0.03)) == {0: MET}
    assert found_by(index, box(0.05 + 1e-9, -5, 1, 5)) == {}


def test_a_patch_over_the_seam_of_two_parts_is_contained():
    halves = {"type": "MultiPolygon", "coordinates": [box(w, -1, w + 1, 1)["coordinates"] for w in (-1, 0)]}
    over = PatchIndex.of(patches_at([(0, 0), (0.99, 0)]))
    assert found_by(over, halves) == {0: CONTAINED, 1: MET}
    cut = {"type": "MultiPolygon", "coordinates": [box(w, -1, w + 1, 1)["coordinates"] for w in (179, -180)]}
    seam = PatchIndex(
        outlines=np.array([[[179.95, 0.05], [180.05, 0.05], [180.05, -0.05], [179.95, -0.05], [180, 0]]]) - [360, 0],
        keys=np.array([180 * 720]),
        order=np.array([0]),
        margin=(0.05, 0.05),
    )
    for whole in (cut, box(-180, -90, 180, 90), box(-180, -80, 180, 80)):
        assert found_by(seam, whole) == {0: CONTAINED}


def test_random_outlines_against_shapely():
    rng = np.random.default_rng(11)
    grids = patches_at(np.column_stack([rng.uniform(-3, 3, 300), rng.uniform(-3, 3, 300)]))
    index = PatchIndex.of(grids)
    squares = [shapely.box(*bounds_of(grids, n)) for n in range(300)]
    levels = set()
    for _ in range(30):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 60))
        outer = np.column_stack([np.cos(angles), np.sin(angles)]) * rng.uniform(0.02, 3, (60, 1))
        shape = shapely.Polygon(outer, [outer * 0.3])
        expected = {
            n: CONTAINED if shape.covers(square) else MET
            for n, square in enumerate(squares)
            if shape.intersection(square).area > 0
        }
        assert found_by(index, json.loads(shapely.to_geojson(shape))) == expected
        levels |= set(expected.values())
    assert levels == {CONTAINED, MET}


def test_the_box_round_all_patches_takes_the_short_way():
    found = PatchIndex.of(patches_at([(179, 10), (-178, -5), (175, 0)])).box()
    assert found == pytest.approx((-185.05, -5.05, -177.95, 10.05))
    assert PatchIndex.of(patches_at([(-100, 0), (0, 0), (100, 0)])).box() is None


def steps_of(found, sample):
    return [step.images for step in found.of(sample)]


def random_case(seed, kind):
    rng = np.random.default_rng(seed)
    grids = patches_at(np.column_stack([rng.uniform(-3, 3, 40), rng.uniform(-3, 3, 40)]))
    starts = np.sort(rng.integers(0, 1000, 60))
    boxes = []
    for _ in starts:
        west, south = rng.uniform(-5, 3, 2)
        boxes.append((west, south, west + rng.uniform(1, 5), south + rng.uniform(1, 5)))
    # Groups that lie in one another in time, as solar days of far longitudes do.
    groups = {"each": None, "group": rng.integers(0, 9, 60).tolist(), "one": [0] * 60}[kind]
    if groups is not None:
        numbers = {}
        groups = [numbers.setdefault(group, len(numbers)) for group in groups]
    images = table([box(*bounds) for bounds in boxes], starts, kind=kind, groups=groups)
    return grids, boxes, images, rng.integers(0, 1000, 40)


@pytest.mark.parametrize("kind", ["each", "group", "one"])
@pytest.mark.parametrize(("nearest", "window"), [(None, None), (2, None), (None, 150), (3, 200)])
@pytest.mark.parametrize("at_once", [1, 1 << 22])
def test_matches_against_one_by_one(kind, nearest, window, at_once, monkeypatch):
    monkeypatch.setattr("eezarr.samples.matching._PAIRS_AT_ONCE", at_once)
    grids, boxes, images, dates = random_case(3, kind)
    has_dates = nearest is not None or window is not None
    wanted = Wanted(dates=dates if has_dates else None, nearest=nearest, window_ms=window)
    found = match_images(PatchIndex.of(grids), images, wanted)
    assert len(found) == 40
    counts = set()
    for sample in range(40):
        expected = expect(bounds_of(grids, sample), boxes, images, int(dates[sample]), nearest, window)
        names = [tuple(images.names[image] for image in step) for step in expected]
        assert steps_of(found, sample) == names
        assert found.counts[sample] == len(expected)
        times = [int(images.starts[step[0]]) for step in expected]
        assert found.times[found.sample_starts[sample] : found.sample_starts[sample + 1]].tolist() == times
        counts.add(len(expected))
    assert found.most == max(counts)


def expect(patch, boxes, images, day, nearest, window):
    """Positions of a patch's images, step by step."""
    levels = {n: level(bounds, patch) for n, bounds in enumerate(boxes)}
    levels = {n: value for n, value in levels.items() if value}
    if window is not None:
        levels = {n: value for n, value in levels.items() if abs(int(images.starts[n]) - day) <= window}
    if images.kind == "each" and CONTAINED in levels.values():
        levels = {n: value for n, value in levels.items() if value == CONTAINED}

    def apart(n):
        return abs(int(images.starts[n]) - day)

    if images.kind == "group":
        groups = {}
        for n in sorted(levels):
            groups.setdefault(int(images.groups[n]), []).append(n)
        steps = list(groups.values())
        chosen = sorted(steps, key=lambda step: (min(map(apart, step)), int(images.groups[step[0]])))[:nearest]
        return sorted(chosen)
    chosen = sorted(levels, key=lambda n: (apart(n), n))[:nearest] if nearest else list(levels)
    return [sorted(chosen)] if images.kind == "one" and chosen else [[n] for n in sorted(chosen)]

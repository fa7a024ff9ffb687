"""Splits: stable, never leaking, and of the sizes asked for. Chances are computed anew here, from the docs' words."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer

from eezarr.errors import InvalidInput
from eezarr.grid import Shape2D
from eezarr.samples import Splits, assign_splits, patch_grids
from eezarr.samples.overlaps import SplitOverlap, overlap_notice, split_overlaps
from eezarr.samples.splits import near_other_splits, spatial_blocks
from samples.tables import sites

pytestmark = pytest.mark.once

fixed = settings(derandomize=True, deadline=None, max_examples=100)
FRACTIONS = {"train": 0.7, "val": 0.2, "test": 0.1}
places = st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=1, max_size=60)


def names_of(splits):
    return [splits.names[nth] for nth in splits.index.tolist()]


def expected(key, seed):
    digest = hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest()
    chance = int.from_bytes(digest, "big") / 2**64
    return "train" if chance < 0.7 else "val" if chance < 0.9 else "test"


@fixed
@given(st.lists(st.text(max_size=8), min_size=1, unique=True), st.integers(0, 2**70), st.randoms(use_true_random=False))
def test_a_hash_split_depends_on_nothing_but_the_id_and_the_seed(ids, seed, random):
    table = sites([(0, 0)] * len(ids), ids=ids)
    found = dict(zip(ids, names_of(assign_splits(table, FRACTIONS, seed=seed)), strict=True))
    assert found == {name: expected(name, seed) for name in ids}
    some = random.sample(ids, random.randint(1, len(ids)))
    again = names_of(assign_splits(sites([(0, 0)] * len(some), ids=some), FRACTIONS, seed=seed))
    assert again == [found[name] for name in some]


@pytest.mark.parametrize("seed", range(8))
def test_hash_fractions_are_within_five_standard_deviations(seed):
    count = 20_000
    table = sites([(0, 0)] * count)
    splits = assign_splits(table, FRACTIONS, seed=seed)
    assert sum(splits.counts.values()) == count
    for name, part in FRACTIONS.items():
        bound = 5 * math.sqrt(count * part * (1 - part))
        assert abs(splits.counts[name] - count * part) < bound
        assert splits.members(name).tolist() == [n for n, own in enumerate(names_of(splits)) if own == name]


def test_another_seed_is_another_choice():
    table = sites([(0, 0)] * 200)
    assert names_of(assign_splits(table, FRACTIONS, seed=1)) != names_of(assign_splits(table, FRACTIONS, seed=2))


def test_what_was_drawn_in_one_polygon_is_never_divided():
    groups = [f"field {n // 20}" for n in range(2000)]
    splits = names_of(assign_splits(sites([(0, 0)] * 2000, groups=groups), FRACTIONS))
    by_group = {}
    for group, split in zip(groups, splits, strict=True):
        by_group.setdefault(group, set()).add(split)
    assert all(len(found) == 1 for found in by_group.values())
    assert set(splits) == set(FRACTIONS)


@fixed
@given(places, st.sampled_from([500.0, 25_000.0, 3e6]), st.integers(0, 99), st.randoms(use_true_random=False))
def test_sites_of_one_block_share_a_split_whatever_else_is_there(spots, side, seed, random):
    near = [(lon + random.uniform(-1e-3, 1e-3), max(-90, min(90, lat))) for lon, lat in spots]
    everything = [*spots, *near]
    splits = names_of(assign_splits(sites(everything), FRACTIONS, by="blocks", block_m=side, seed=seed))
    lon, lat = np.array(everything).T
    x, y = Transformer.from_crs(4326, 6933, always_xy=True).transform((lon + 180) % 360 - 180, lat)
    by_block = {}
    for block, split in zip(zip(np.floor(x / side), np.floor(y / side), strict=True), splits, strict=True):
        assert by_block.setdefault(block, split) == split
        assert split == expected(f"{int(block[0])} {int(block[1])}", seed)
    order = random.sample(range(len(everything)), random.randint(1, len(everything)))
    again = assign_splits(sites([everything[n] for n in order]), FRACTIONS, by="blocks", block_m=side, seed=seed)
    assert names_of(again) == [splits[n] for n in order]


def test_the_two_names_of_the_antimeridian_are_one_block():
    table = sites([(-180, 10), (180, 10), (540 - 360, 10)])
    assert len(np.unique(spatial_blocks(table, 1000), axis=0)) == 1


def test_block_fractions_are_within_five_standard_deviations_of_blocks():
    lon, lat = np.meshgrid(np.arange(-179.5, 180), np.arange(-59.5, 60))
    table = sites(np.column_stack([lon.ravel(), lat.ravel()]))
    splits = assign_splits(table, FRACTIONS, by="blocks", block_m=200_000, seed=3)
    blocks, first = np.unique(spatial_blocks(table, 200_000), axis=0, return_index=True)
    for nth, (name, part) in enumerate(FRACTIONS.items()):
        assert splits.names[nth] == name
        taken = int((splits.index[first] == nth).sum())
        assert abs(taken - len(blocks) * part) < 5 * math.sqrt(len(blocks) * part * (1 - part))


def test_a_column_says_it_itself():
    table = sites([(0, 0)] * 4, splits=["b", "a", "b", "b"])
    for fractions, names in ((None, ("b", "a")), ({"a": 0.5, "b": 0.5}, ("a", "b"))):
        splits = assign_splits(table, fractions, by="column")
        assert splits.names == names
        assert splits.counts == {"a": 1, "b": 3}
        assert splits.members("b").tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("table", "more", "told"),
    [
        (sites([(0, 0)]), {"fractions": {"a": 0.5, "b": 0.6}}, r"a = 0.5, b = 0.6"),
        (sites([(0, 0)]), {"fractions": {"a": 1.5, "b": -0.5}}, "not positive"),
        (sites([(0, 0)]), {"fractions": {}}, "none"),
        (sites([(0, 0)]), {"fractions": {"a": math.nan}}, "not positive"),
        (sites([(0, 0)]), {"fractions": FRACTIONS, "by": "blocks"}, "side of a block"),
        (sites([(0, 0)]), {"fractions": FRACTIONS, "block_m": 5.0}, "side of a block"),
        (sites([(0, 0)]), {"fractions": FRACTIONS, "by": "blocks", "block_m": 0.0}, "0.0 m"),
        (sites([(0, 0)]), {"by": "column"}, "no column of splits"),
        (sites([(0, 0)] * 2, splits=["a", None]), {"by": "column"}, "site '1' has no split"),
        (sites([(0, 0)], splits=["trian"]), {"by": "column", "fractions": FRACTIONS}, "Did you mean 'train'"),
    ],
)
def test_splits_that_cannot_be_are_refused(table, more, told):
    with pytest.raises(InvalidInput, match=told):
        assign_splits(table, more.pop("fractions", None), **more)
    with pytest.raises(InvalidInput, match="no split 'c'"):
        assign_splits(sites([(0, 0)], splits=["a"]), by="column").members("c")


def overlapping(places, index, *, size=8, resolution=10, crs="EPSG:32610"):
    """What is counted, and what comparing every two patches' boxes gives."""
    grids = patch_grids(
        np.array(places, float), crs=crs, resolution=resolution, size=Shape2D(size, size), sites_crs=crs
    )
    splits = Splits(names=("train", "test", "val"), index=np.array(index))
    bounds = [grid.bounds for grid in grids]
    want = [0, 0, 0]
    for one, split in zip(bounds, index, strict=True):
        want[split] += any(
            split != other_split
            and one.min_x < other.max_x
            and other.min_x < one.max_x
            and one.min_y < other.max_y
            and other.min_y < one.max_y
            for other, other_split in zip(bounds, index, strict=True)
        )
    return [overlap.overlapping for overlap in split_overlaps(grids, splits)], want


@pytest.mark.parametrize("side", [300, 1500, 8000])
def test_samples_that_share_pixels_with_another_split_are_counted(side):
    rng = np.random.default_rng(side)
    places = 5e5 + np.round(rng.uniform(0, side, (150, 2)) / 10) * 10
    got, want = overlapping(places, rng.integers(0, 3, 150).tolist())
    assert got == want
    assert sum(want) > 0
    got, want = overlapping(places, (places[:, 0] > 5e5 + side / 2).astype(int).tolist())
    assert got == want


def test_patches_side_by_side_share_nothing():
    assert overlapping([(5e5, 4e6), (5e5 + 80, 4e6), (5e5, 4e6 + 80)], [0, 1, 2]) == ([0, 0, 0], [0, 0, 0])
    assert overlapping([(5e5, 4e6), (5e5 + 70, 4e6 + 70)], [0, 1])[0] == [1, 1, 0]


@pytest.mark.parametrize("border", [(-120, 37), (180, 60), (6, -20), (9, 0)])
def test_patches_of_neighbouring_zones_are_compared_by_their_outlines(border):
    lon, lat = border
    step = 0.0004 / np.cos(np.radians(lat))
    places = [(lon - step, lat), (lon + step, lat), (lon + 1, lat + 1)]
    if lat == 0:
        places = [(lon, -0.0004), (lon, 0.0004), (lon + 1, lat + 1)]
    places = [((x + 180) % 360 - 180, y) for x, y in places]
    grids = patch_grids(np.array(places), crs="utm", resolution=10, size=Shape2D(32, 32))
    assert len(grids.crs) >= 2
    splits = Splits(names=("train", "test"), index=np.array([0, 1, 1]))
    assert [overlap.overlapping for overlap in split_overlaps(grids, splits)] == [1, 1]


def test_the_notice_says_how_many_and_what_to_do():
    none = SplitOverlap(name="test", samples=4, overlapping=0)
    notice = overlap_notice([SplitOverlap(name="train", samples=8, overlapping=2), none])
    assert "2 of 8 of train (25%)" in notice
    assert "test" not in notice.split(":")[1].split(".")[0]
    assert 'by = "blocks"' in notice
    assert "buffer" in notice
    assert overlap_notice([none]) is None


HALVES = {"train": 0.5, "test": 0.5}


@pytest.mark.parametrize("lat", [0, 52, -68])
def test_sites_near_another_splits_block_are_left_out(lat):
    """By hand: every other site of a denser table is looked at, with geodesic distances."""
    rng = np.random.default_rng(4)
    spread = 0.25 / np.cos(np.radians(lat))
    places = np.column_stack([rng.uniform(10, 10 + spread, 500), rng.uniform(lat - 0.12, lat + 0.12, 500)])
    table, buffer_m = sites(places), 400
    near = near_other_splits(table, HALVES, block_m=4000, buffer_m=buffer_m, seed=3)
    index = assign_splits(table, HALVES, by="blocks", block_m=4000, seed=3).index
    assert 0.05 < near.mean() < 0.6
    kept = np.flatnonzero(~near)
    one, other = np.meshgrid(kept[index[kept] == 0], kept[index[kept] == 1])
    apart = Geod(ellps="WGS84").inv(*places[one.ravel()].T, *places[other.ravel()].T)[2]
    assert apart.min() > 2 * buffer_m * 0.99
    # No more than need be: each that is left out has a spot of another split within the buffer.
    angles = np.linspace(0, 360, 72, endpoint=False)
    for nth in np.flatnonzero(near)[:40]:
        lon, lat_there, _ = Geod(ellps="WGS84").fwd(
            np.full(72, places[nth, 0]), np.full(72, places[nth, 1]), angles, np.full(72, buffer_m * 1.02)
        )
        around = assign_splits(sites(np.column_stack([lon, lat_there])), HALVES, by="blocks", block_m=4000, seed=3)
        assert (around.index != index[nth]).any()


def test_what_is_left_out_depends_on_the_own_place_alone():
    rng = np.random.default_rng(5)
    places = rng.uniform((10, 50), (10.3, 50.3), (300, 2))
    whole = near_other_splits(sites(places), HALVES, block_m=3000, buffer_m=300)
    part = near_other_splits(sites(places[::3]), HALVES, block_m=3000, buffer_m=300)
    assert whole[::3].tolist() == part.tolist()


def test_a_buffer_that_leaves_nothing_is_refused():
    for buffer_m in (0, -1, 600, float("nan")):
        with pytest.raises(InvalidInput, match="leaves nothing of blocks of 1000 m"):
            near_other_splits(sites([(10, 10)]), HALVES, block_m=1000, buffer_m=buffer_m)

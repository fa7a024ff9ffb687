"""Streaming statistics against numpy on the whole, and against exact fractions where doubles fail."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eezarr.errors import InvalidInput
from eezarr.plan import Band
from eezarr.plan.bands import DTYPES
from eezarr.samples import BandStatistics, PixelStatistics

pytestmark = pytest.mark.once

fixed = settings(derandomize=True, deadline=None, max_examples=120)
SMALL = [name for name in DTYPES if np.dtype(name).itemsize <= 2]
LARGE = [name for name in DTYPES if name not in SMALL]
QS = (0, 2, 25, 50, 75, 98, 99.9, 100)
RELATIVE = 2.0**-13 + 2.0**-23


def counted(parts, dtype):
    made = BandStatistics(dtype)
    for part in parts:
        made.update(np.asarray(part, dtype=dtype))
    return made


def pieces(values, cuts):
    return np.split(values, sorted(cut % (len(values) + 1) for cut in cuts))


@fixed
@given(
    st.sampled_from(SMALL).flatmap(lambda name: hnp.arrays(name, st.integers(1, 300))), st.lists(st.integers(0, 300))
)
def test_small_integers_are_exact(values, cuts):
    made = counted(pieces(values, cuts), values.dtype.name)
    exact = [int(value) for value in values]
    mean = Fraction(sum(exact), len(exact))
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    assert (made.count, made.total, made.min, made.max) == (len(exact), len(exact), min(exact), max(exact))
    assert made.mean == float(mean)
    assert made.std == math.sqrt(variance)
    for q in QS:
        assert math.isclose(
            made.percentile(q), np.percentile(values.astype(np.float64), q), rel_tol=1e-12, abs_tol=1e-9
        )
    edges, counts = made.histogram(16)
    expected = np.histogram(values.astype(np.float64), bins=16, range=(min(exact), max(exact)))
    assert np.array_equal(edges, expected[1])
    assert counts.tolist() == expected[0].tolist()


def numbers(dtype):
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return st.floats(-(2.0**60), 2.0**60, width=8 * kind.itemsize, allow_subnormal=False)
    return st.integers(int(np.iinfo(kind).min), int(np.iinfo(kind).max))


def order_statistic_error(value):
    return RELATIVE * abs(value) + 3e-42


@fixed
@given(
    st.sampled_from(LARGE).flatmap(
        lambda name: st.lists(numbers(name), min_size=1, max_size=300).map(lambda found: np.array(found, dtype=name))
    ),
    st.lists(st.integers(0, 300)),
    st.randoms(use_true_random=False),
)
def test_large_types_agree_with_exact_arithmetic_in_any_order(values, cuts, random):
    exact = [Fraction(value.item()) for value in values]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    parts = pieces(values, cuts)
    made = counted(parts, values.dtype.name)
    size = max(abs(value) for value in exact)
    assert abs(Fraction(made.mean) - mean) <= size * Fraction(1, 2**51)
    # The squares' own rounding, and that of a mean known to twice 53 bits.
    assert math.isclose(made.std, math.sqrt(variance), rel_tol=1e-12, abs_tol=float(size) * 1e-15)
    assert (made.count, made.min, made.max) == (len(exact), float(values.min()), float(values.max()))
    ordered = np.sort(values.astype(np.float64))
    for q in QS:
        rank = Fraction(q) / 100 * (len(exact) - 1)
        low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
        nearest = low + (high - low) * float(rank - math.floor(rank))
        slack = max(order_statistic_error(low), order_statistic_error(high)) + 1e-12 * float(size)
        assert abs(made.percentile(q) - nearest) <= slack
    random.shuffle(parts)
    other = BandStatistics(values.dtype.name)
    for part in parts:
        other.merge(counted([part], values.dtype.name))
    assert [other.percentile(q) for q in QS] == [made.percentile(q) for q in QS]
    assert math.isclose(other.mean, made.mean, rel_tol=1e-14, abs_tol=float(size) * 1e-15)
    assert math.isclose(other.std, made.std, rel_tol=1e-12, abs_tol=float(size) * 1e-15)


@pytest.mark.parametrize("offset", [0.0, 1e9, -1e12, 2.0**52])
@pytest.mark.parametrize("seed", range(3))
def test_a_small_spread_about_a_large_mean_keeps_its_digits(offset, seed):
    draw = np.random.default_rng(seed)
    values = offset + draw.normal(0, 1e-3 if abs(offset) < 1e10 else 3.0, 20_000)
    exact = [Fraction(value) for value in values.tolist()]
    mean = sum(exact) / len(exact)
    std = math.sqrt(sum((value - mean) ** 2 for value in exact) / len(exact))
    made = counted(np.array_split(values, 137), "float64")
    assert abs(Fraction(made.mean) - mean) <= max(Fraction(math.ulp(made.mean)), Fraction(1, 10**14) * Fraction(std))
    assert math.isclose(made.std, std, rel_tol=1e-11)
    naive = math.sqrt(abs(np.mean(values**2) - np.mean(values) ** 2))
    assert offset == 0 or not math.isclose(naive, std, rel_tol=1e-3), "the case must be one that ruins a naive sum"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite_or_not_valid_is_left_out(dtype):
    pixels = np.array([[1, math.nan, 3], [math.inf, -math.inf, 1000]], dtype=dtype)
    valid = np.array([[True, True, True], [True, True, False]])
    made = BandStatistics(dtype)
    made.update(pixels, valid)
    assert (made.count, made.total, made.mean, made.std, made.min, made.max) == (2, 6, 2.0, 1.0, 1.0, 3.0)
    empty = BandStatistics(dtype)
    empty.update(pixels, np.zeros_like(valid))
    assert (empty.count, empty.total) == (0, 6)
    assert all(map(math.isnan, (empty.mean, empty.std, empty.min, empty.max, empty.percentile(50))))
    assert empty.histogram(4)[1].tolist() == [0, 0, 0, 0]
    empty.merge(made)
    assert (empty.count, empty.total, empty.mean, empty.min) == (2, 12, 2.0, 1.0)


def test_whole_numbers_in_float_bands_and_zeros_are_read_back_as_they_are():
    values = np.repeat(np.array([-8192, -3, 0, 0.5, 1, 100, 8191], dtype=np.float32), 100)
    made = counted([values, -np.zeros(300, dtype=np.float32)], "float32")
    everything = np.concatenate([values, np.zeros(300, dtype=np.float32)])
    for q in (5, 12, 30, 50, 64, 72, 80, 88, 95):
        assert math.isclose(made.percentile(q), np.percentile(everything.astype(np.float64), q), rel_tol=1e-9)


def test_values_beyond_float32_count_as_its_largest_but_the_range_is_true():
    made = counted([[1e90, -1e90, 5.0, 1.7976931348623157e308, -1e101]], "float64")
    assert (made.count, made.min, made.max, made.percentile(50)) == (3, -1e90, 1e90, 5.0)
    assert made.percentile(100) == 1e90
    assert math.isclose(made.std, math.sqrt(2 / 3) * 1e90)


@fixed
@given(st.sampled_from(DTYPES), st.integers(0, 1000))
def test_histograms_of_large_types_miss_by_a_bin_at_most(dtype, seed):
    draw = np.random.default_rng(seed)
    values = draw.gamma(2, 40, 2000).clip(0, 120).astype(dtype)
    edges, counts = counted([values], dtype).histogram(50)
    exact, expected_edges = np.histogram(values.astype(np.float64), bins=50, range=(values.min(), values.max()))
    assert np.allclose(edges, expected_edges)
    assert counts.sum() == 2000
    shift = RELATIVE * 120
    below = np.searchsorted(np.sort(values.astype(np.float64)), edges[1:-1] - shift, side="left")
    above = np.searchsorted(np.sort(values.astype(np.float64)), edges[1:-1] + shift, side="right")
    running = np.cumsum(counts)[:-1]
    assert ((below <= running) & (running <= above)).all()
    if dtype in SMALL:
        assert counts.tolist() == exact.tolist()


def test_counts_beyond_53_bits_stay_exact():
    made = counted([[1, 2]], "uint8")
    facts = made.to_json()
    facts["counts"], facts["total"] = [2**60, 2**60 + 1], 2**62
    large = BandStatistics.from_json(facts)
    assert large.count == 2**61 + 1
    assert large.percentile(50) == 2.0
    assert large.histogram(2)[1].tolist() == [2**60, 2**60 + 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_json_goes_on_where_it_was(dtype):
    values = np.random.default_rng(1).normal(60, 20, 500).clip(0, 120).astype(dtype)
    whole = counted([values[:300], values[300:]], dtype)
    stored = json.dumps(counted([values[:300]], dtype).to_json(), allow_nan=False)
    resumed = BandStatistics.from_json(json.loads(stored))
    resumed.update(values[300:])
    assert resumed.to_json() == whole.to_json()
    json.dumps(BandStatistics(dtype).to_json(), allow_nan=False)
    assert BandStatistics.from_json(BandStatistics(dtype).to_json()).count == 0


@pytest.mark.parametrize(
    "damage",
    [
        {"bins": [1]},
        {"bins": [-1, 5]},
        {"bins": [5, 5]},
        {"bins": [5, 10**9]},
        {"bins": [5, 2**21 + 1]},
        {"counts": [1, -1]},
        {"counts": [1, 10**30]},
        {"counts": "ab"},
        {"total": 1},
        {"total": None},
        {"range": None},
        {"range": [math.nan, 1]},
        {"moments": [5, 0, 0, 0]},
        {"moments": []},
        {"version": 2},
        {"dtype": "object"},
    ],
    ids=str,
)
def test_damaged_json_is_refused(damage):
    facts = counted([[1.0, 2.0]], "float32").to_json()
    BandStatistics.from_json(facts)
    with pytest.raises(InvalidInput):
        BandStatistics.from_json(facts | damage)


@pytest.mark.parametrize("shape", [(2, 5, 7), (3, 2, 5, 7)])
@pytest.mark.parametrize("mask", ["none", "shared", "each"])
def test_bands_are_counted_apart_in_tiles_and_in_batches(shape, mask):
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 9000, shape).astype(np.float64)
    valid = None
    if mask != "none":
        valid = draw.random(shape if mask == "each" else shape[:-3] + shape[-2:]) < 0.6
    made = PixelStatistics([Band("B1", "uint16"), Band("ndvi", "float32")])
    made.update(pixels, valid)
    for nth, own in enumerate(made.statistics):
        band = pixels[..., nth, :, :]
        chosen = band.ravel() if valid is None else band[valid[..., nth, :, :] if mask == "each" else valid]
        assert (own.count, own.total) == (chosen.size, band.size)
        assert math.isclose(own.mean, chosen.mean(), rel_tol=1e-12)
        assert math.isclose(own.std, chosen.std(), rel_tol=1e-12)
    again = PixelStatistics.from_json(json.loads(json.dumps(made.to_json())))
    again.merge(made)
    assert [one.count for one in again.statistics] == [2 * one.count for one in made.statistics]


def test_what_does_not_fit_is_refused():
    made = PixelStatistics([Band("a", "uint8"), Band("b", "uint8")])
    for pixels, valid in [
        (np.zeros((3, 4, 4), np.uint8), None),
        (np.zeros((4, 4), np.uint8), None),
        (np.zeros((2, 4, 4), np.uint8), np.ones((4, 5), bool)),
    ]:
        with pytest.raises(InvalidInput, match="are not those of 2 bands"):
            made.update(pixels, valid)
    with pytest.raises(InvalidInput, match="other bands"):
        made.merge(PixelStatistics([Band("a", "uint8")]))
    with pytest.raises(InvalidInput, match="do not go with"):
        made.statistics[0].update(np.zeros(3, np.int16))
    with pytest.raises(InvalidInput, match="do not add"):
        made.statistics[0].merge(BandStatistics("int8"))
    with pytest.raises(InvalidInput, match="101th"):
        made.statistics[0].percentile(101)
    with pytest.raises(InvalidInput, match="int64"):
        BandStatistics("int64")

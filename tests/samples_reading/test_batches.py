"""Normalised batches, against the formula in double precision on the arrays that were written."""

import math
import pickle

import numpy as np
import pytest

from eezarr.errors import InvalidInput
from eezarr.outputs.batches import make_reader
from eezarr.store import BandSummary, open_samples
from samples_reading.stores import NO_TIME, make_samples

ASKED = np.array([30, 2, 17, 4])


def reader(made, **options):
    return make_reader(open_samples(made.path), **{"bands": None, "normalise": "stored", "masked": 0.0, **options})


def normalised(pixels, facts, bands):
    """(…, band, y, x) by the formula."""
    figures = [facts["bands"][band] for band in bands]
    mean, std = (np.array([figure[name] for figure in figures])[:, None, None] for name in ("mean", "std"))
    return (pixels.astype(np.float64) - mean) / std


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
def test_pixels_become_distances_from_the_mean(dtype, tmp_path):
    made = make_samples(tmp_path / "s.zarr", dtype=dtype)
    batch = reader(made).read(ASKED)
    assert batch.pixels.dtype == np.float32
    expected = normalised(made.pixels[ASKED], made.statistics, ("B2", "B3", "B4"))
    np.testing.assert_allclose(batch.pixels, expected, rtol=3e-7, atol=0)
    assert (batch.mask is None) == (np.dtype(dtype).kind != "f")


def test_a_small_spread_about_a_large_mean_keeps_its_digits(tmp_path):
    values = 1e8 + np.arange(37 * 90, dtype=np.float64).reshape(37, 3, 6, 5) / 1000
    made = make_samples(tmp_path / "s.zarr", dtype="float64", pixels=values)
    figures = {band: BandSummary(mean=1e8 + 1.0, std=0.5) for band in ("B2", "B3", "B4")}
    batch = reader(made, normalise=figures).read(ASKED)
    np.testing.assert_allclose(batch.pixels, (values[ASKED] - (1e8 + 1)) / 0.5, rtol=1e-6, atol=1e-6)


def test_bands_are_chosen_and_ordered_with_their_figures_and_masks(tmp_path):
    made = make_samples(tmp_path / "s.zarr", mask="each")
    batch = reader(made, bands=["B4", "B2"]).read(ASKED)
    chosen = made.pixels[ASKED][:, [2, 0]]
    valid = made.mask[ASKED][:, [2, 0]] == 1
    expected = np.where(valid, normalised(chosen, made.statistics, ("B4", "B2")), 0)
    np.testing.assert_array_equal(batch.mask, valid)
    np.testing.assert_allclose(batch.pixels, expected, rtol=3e-7)


@pytest.mark.parametrize("options", [{"mask": "shared"}, {"fill": 7}, {"dtype": "float32", "fill": math.nan}])
@pytest.mark.parametrize("masked", [0.0, -9.0])
def test_what_is_masked_becomes_harmless(options, masked, tmp_path):
    made = make_samples(tmp_path / "s.zarr", **options)
    batch = reader(made, masked=masked).read(ASKED)
    pixels = made.pixels[ASKED]
    if made.mask is not None:
        valid = made.mask[ASKED] == 1
        wide = np.broadcast_to(valid[:, None], pixels.shape)
    else:
        wide = valid = np.isfinite(pixels) & (pixels != 7) if options["fill"] == 7 else np.isfinite(pixels)
    np.testing.assert_array_equal(batch.mask, valid)
    assert 0 < wide.sum() < wide.size
    assert (batch.pixels[~wide] == masked).all()
    expected = normalised(pixels, made.statistics, ("B2", "B3", "B4"))
    np.testing.assert_allclose(batch.pixels[wide], expected[wide], rtol=3e-7)


def test_a_nan_under_a_mask_that_calls_it_valid_is_harmless(tmp_path):
    values = np.full((37, 3, 6, 5), 100, np.float32)
    values[2, 1, 0, 0], values[2, 2, 0, 1] = np.nan, np.inf
    made = make_samples(tmp_path / "s.zarr", dtype="float32", pixels=values, mask="shared")
    batch = reader(made).read(np.array([2]))
    assert np.isfinite(batch.pixels).all()
    assert batch.pixels[0, 1, 0, 0] == batch.pixels[0, 2, 0, 1] == 0


@pytest.mark.parametrize("mask", [None, "shared"])
def test_steps_that_are_not_there_are_harmless(mask, tmp_path):
    made = make_samples(tmp_path / "s.zarr", times=3, mask=mask)
    asked = np.arange(37)
    batch = reader(made, masked=5.0).read(asked)
    absent = made.columns["times"] == NO_TIME
    assert absent.any()
    assert (batch.pixels[absent] == 5).all()
    np.testing.assert_array_equal(batch.times, made.columns["times"])
    if mask is None:
        np.testing.assert_array_equal(batch.mask[:, :, 0, 0], ~absent)


def test_raw_pixels_are_as_stored(tmp_path):
    made = make_samples(tmp_path / "s.zarr", fill=7, target=True)
    batch = reader(made, normalise=None).read(ASKED)
    assert batch.pixels.dtype == np.uint16
    np.testing.assert_array_equal(batch.pixels, made.pixels[ASKED])
    np.testing.assert_array_equal(batch.target, made.target[ASKED])
    assert batch.ids == [f"site-{number}" for number in ASKED]


def test_texts_become_classes_and_numbers_stay(tmp_path):
    made = make_samples(tmp_path / "s.zarr")
    texts = reader(made)
    assert texts.classes == ("forest", "water")
    assert texts.read(np.arange(3)).label.tolist() == [0, 1, -100]
    numbers = reader(make_samples(tmp_path / "n.zarr", labels=(1.5, 2.5)))
    assert numbers.classes == ()
    assert numbers.read(np.arange(3)).label.tolist() == [1.5, 2.5, 1.5]
    assert reader(make_samples(tmp_path / "o.zarr", labels=None)).read(ASKED).label is None


def test_a_band_that_is_the_same_everywhere_is_not_divided_by_zero(tmp_path):
    made = make_samples(tmp_path / "s.zarr")
    figures = {band: BandSummary(mean=1.0, std=0.0) for band in ("B2", "B3", "B4")}
    batch = reader(made, normalise=figures).read(ASKED)
    np.testing.assert_array_equal(batch.pixels, made.pixels[ASKED] - 1.0)


def test_mistakes_are_told_before_anything_is_read(tmp_path):
    made = make_samples(tmp_path / "s.zarr")
    with pytest.raises(InvalidInput, match="B8") as caught:
        reader(made, bands=["B2", "B8"])
    assert "B2, B3, B4" in caught.value.hint
    with pytest.raises(InvalidInput, match="of no name"):
        reader(made, bands=[])
    with pytest.raises(InvalidInput, match="no statistics of B3, B4"):
        reader(made, normalise={"B2": BandSummary(mean=0.0, std=1.0)})


def test_it_pickles_small(tmp_path):
    made = make_samples(tmp_path / "s.zarr", count=500)
    used = reader(made)
    used.read(ASKED)
    packed = pickle.dumps(used)
    assert len(packed) < 1000
    again = pickle.loads(packed)  # noqa: S301 - our own
    np.testing.assert_array_equal(again.read(ASKED).pixels, used.read(ASKED).pixels)

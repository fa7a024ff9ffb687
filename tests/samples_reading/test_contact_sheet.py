"""Contact sheets, judged by their pixels: known colours in known cells."""

import numpy as np
import pytest
from PIL import Image

from commands import run_command
from eezarr.errors import InvalidInput, StoreError
from eezarr.outputs.contactsheet import SheetOptions, write_contact_sheet
from eezarr.store import open_samples
from samples_reading.stores import make_samples

RGB = ("B4", "B3", "B2")
SIDE = 16
GAP, LINES = 4, 28


def flat(count=9, **options):
    """Sample n is red n, green 100, blue 200 - n, each times 10."""
    pixels = np.zeros((count, 3, SIDE, SIDE), np.uint16)
    pixels[:, 0] = (np.arange(count) * 10 + 10)[:, None, None]
    pixels[:, 1], pixels[:, 2] = 100, (200 - np.arange(count) * 10)[:, None, None]
    return {"count": count, "bands": RGB, "size": (SIDE, SIDE), "pixels": pixels, **options}


def sheet_of(made, path, **options):
    options = {"bands": RGB, "low": 0, "high": 255, "size": 3 * (4 * SIDE + GAP) + GAP, **options}
    shown = write_contact_sheet(open_samples(made.path), path, SheetOptions(**options))
    return np.asarray(Image.open(path)).astype(int), shown


def cells(sheet, count, side=4 * SIDE):
    """(count, side, side, 3) of three columns, and what is below each."""
    places = [(GAP + n // 3 * (side + LINES + GAP), GAP + n % 3 * (side + GAP)) for n in range(count)]
    patches = [sheet[top : top + side, left : left + side] for top, left in places]
    texts = [sheet[top + side : top + side + LINES, left : left + side] for top, left in places]
    return np.stack(patches), texts


def test_each_sample_is_where_it_belongs_in_its_own_colours(tmp_path):
    made = make_samples(tmp_path / "s.zarr", **flat())
    sheet, shown = sheet_of(made, tmp_path / "sheet.png")
    assert shown == (9, 9)
    patches, texts = cells(sheet, 9)
    for number, (patch, text) in enumerate(zip(patches, texts, strict=True)):
        assert (patch == [number * 10 + 10, 100, 200 - number * 10]).all()
        assert text.min() < 60  # letters
        assert np.median(text) == 255
    assert not np.array_equal(texts[0], texts[4])


def test_an_image_is_upright_and_magnified_by_whole_numbers(tmp_path):
    made = make_samples(tmp_path / "s.zarr", **flat())
    made = make_samples(tmp_path / "s.zarr", **flat(pixels=made.pixels + np.arange(SIDE, dtype=np.uint16)))
    patches, _ = cells(sheet_of(made, tmp_path / "sheet.png")[0], 9)
    np.testing.assert_array_equal(patches[2][:, :, 0], 30 + np.arange(4 * SIDE)[None] // 4 + np.zeros((4 * SIDE, 1)))


def test_large_patches_are_thinned_out(tmp_path):
    made = make_samples(tmp_path / "s.zarr", **flat())
    sheet, _ = sheet_of(made, tmp_path / "sheet.png", size=3 * (SIDE // 2 + GAP) + GAP)
    assert sheet.shape[1] == GAP + 3 * (48 + GAP)
    assert (sheet[GAP : GAP + SIDE // 2, GAP : GAP + SIDE // 2] == [10, 100, 200]).all()
    assert (sheet[GAP : GAP + SIDE // 2, GAP + SIDE // 2 : 48] == 255).all()


@pytest.mark.parametrize("how", ["fill", "mask", "nan"])
def test_masked_pixels_are_checkered(how, tmp_path):
    options = flat()
    hole = (slice(None), slice(None), slice(4, 8), slice(0, 16))
    if how == "fill":
        options["pixels"][hole] = 7
        options |= {"fill": 7}
    elif how == "nan":
        options["pixels"] = options["pixels"].astype(np.float32)
        options["pixels"][hole] = np.nan
    else:
        options |= {"mask": "shared"}
    made = make_samples(tmp_path / "s.zarr", **options)
    is_shown = np.ones((9, SIDE, SIDE), bool)
    is_shown[:, 4:8] = False
    is_shown = made.mask == 1 if how == "mask" else is_shown
    patches, _ = cells(sheet_of(made, tmp_path / "sheet.png")[0], 9)
    wide = is_shown.repeat(4, axis=1).repeat(4, axis=2)
    for number, patch in enumerate(patches):
        assert (patch[wide[number]] == [number * 10 + 10, 100, 200 - number * 10]).all()
        assert set(np.unique(patch[~wide[number]])) == {200, 235}


def test_samples_that_are_not_there_are_not_shown_and_the_rest_evenly(tmp_path):
    made = make_samples(tmp_path / "s.zarr", **flat(19, failed=(1, 2)))
    sheet, shown = sheet_of(made, tmp_path / "sheet.png", count=9)
    assert shown == (9, 17)
    reds = cells(sheet, 9)[0][:, 0, 0, 0]
    assert reds.tolist() == [10 * n + 10 for n in (0, 4, 6, 8, 10, 12, 14, 16, 18)]


def test_a_split_and_a_label_choose(tmp_path):
    made = make_samples(tmp_path / "s.zarr", **flat(19))
    sheet, shown = sheet_of(made, tmp_path / "sheet.png", split="train", label="water")
    assert shown == (5, 5)
    assert cells(sheet, 5)[0][:, 0, 0, 0].tolist() == [10 * n + 10 for n in (1, 4, 10, 13, 16)]


def test_one_range_for_all_or_each_its_own(tmp_path):
    ramp = np.arange(SIDE, dtype=np.uint16)[None, None, None] * np.array([1, 10])[:, None, None, None]
    pixels = np.broadcast_to(ramp + 5, (2, 3, SIDE, SIDE)).astype(np.uint16)
    made = make_samples(tmp_path / "s.zarr", **flat(2, pixels=pixels))
    size = 2 * (4 * SIDE + GAP) + GAP
    common, _ = sheet_of(made, tmp_path / "sheet.png", bands=("B4",), low=None, high=None, size=size)
    each, _ = sheet_of(made, tmp_path / "sheet.png", bands=("B4",), low=None, high=None, size=size, is_each=True)
    left, right = slice(GAP, GAP + 64), slice(8 + 64, 8 + 128)
    rows = slice(GAP, GAP + 64)
    assert common[rows, left].max() < 40
    assert common[rows, right].max() == 255
    np.testing.assert_array_equal(each[rows, left], each[rows, right])
    assert (each[rows, left].min(), each[rows, left].max()) == (0, 255)


def test_steps_count_from_each_samples_own_last(tmp_path):
    counts = np.array([3, 1, 2, 3])
    pixels = np.zeros((4, 3, 1, SIDE, SIDE), np.uint16) + np.array([50, 100, 150])[:, None, None, None]
    made = make_samples(
        tmp_path / "s.zarr", count=4, bands=("B4",), size=(SIDE, SIDE), times=3, pixels=pixels.astype("u2")
    )
    counts = (made.columns["times"] > 0).sum(axis=1)
    assert len(set(counts)) > 1
    options = {"bands": ("B4",), "size": 2 * (4 * SIDE + GAP) + GAP}

    def values(step):
        sheet, _ = sheet_of(made, tmp_path / "sheet.png", step=step, **options)
        down = 4 * SIDE + LINES + GAP
        return [int(sheet[GAP + n // 2 * down, GAP + n % 2 * (4 * SIDE + GAP), 0]) for n in range(4)]

    assert values(-1) == [50 * int(count) for count in counts]
    assert values(2) == [150 if count == 3 else 235 for count in counts]
    with pytest.raises(InvalidInput, match="time step 3"):
        values(3)


def test_mistakes(tmp_path):
    made = make_samples(tmp_path / "s.zarr", **flat())
    for wrong, said in (
        ({"bands": ("B4", "B3")}, "one band or three"),
        ({"bands": ("B9",)}, "B9"),
        ({"size": 30}, "do not fit"),
        ({"split": "tset"}, "split 'tset'"),
    ):
        with pytest.raises(InvalidInput, match=said):
            sheet_of(made, tmp_path / "sheet.png", **wrong)
    with pytest.raises(StoreError, match="cannot be written"):
        sheet_of(made, tmp_path / "nowhere" / "sheet.png")
    empty = make_samples(tmp_path / "e.zarr", **flat(failed=range(9)))
    with pytest.raises(InvalidInput, match="no samples to show"):
        sheet_of(empty, tmp_path / "sheet.png")


def preview(*arguments):
    return run_command(".", "preview", *arguments)


def test_the_command_asks_what_the_store_is(tmp_path):
    make_samples(tmp_path / "s.zarr", **flat(19))
    ended = preview(tmp_path / "s.zarr", tmp_path / "a.png", "--count", 4, "--label", "forest", "--each")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{tmp_path}/a.png: 4 of 7 samples, B4, B3, B2\n"
    assert np.asarray(Image.open(tmp_path / "a.png")).shape[1] == GAP + 2 * (SIDE * 32 + GAP)
    ended = preview(tmp_path / "s.zarr", tmp_path / "a.png", "--label", "fores")
    assert ended.returncode == 2
    assert "There are forest, water." in ended.stderr

"""Marks: durable, cheap where there are none, and never believed when they are damaged."""

from __future__ import annotations

import threading
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eezarr.errors import StoreError
from eezarr.store.location import locate
from eezarr.store.marks import MARKS_PREFIX, Marks
from eezarr.store.pages import PAGE_BYTES, TILES_PER_PAGE, Page, decode_page, encode_page

OWNER = bytes(range(32))


def plan_of(bench, tiles, **changes):
    """A plan of `tiles` tiles of one pixel in one row."""
    return bench.plan(shape=(1, tiles), tile=(1, 1), chunk=(1, 1), dtypes=("uint8",), **changes)


@pytest.fixture
def full_page():
    page = Page()
    random = np.random.default_rng(0)
    page.bitmap[:] = random.integers(0, 256, page.bitmap.size)
    page.checksums[:] = random.integers(0, 1 << 32, TILES_PER_PAGE)
    return page


def test_a_page_survives_its_bytes(full_page):
    body = encode_page(full_page, number=7, owner=OWNER)
    assert len(body) == PAGE_BYTES
    found = decode_page(body, number=7, owner=OWNER)
    np.testing.assert_array_equal(found.bitmap, full_page.bitmap)
    np.testing.assert_array_equal(found.checksums, full_page.checksums)
    assert found.count() == full_page.flags().sum() == sum(full_page.is_marked(slot) for slot in range(TILES_PER_PAGE))


def test_a_page_that_is_cut_anywhere_is_no_page(full_page):
    body = encode_page(full_page, number=7, owner=OWNER)
    assert all(decode_page(body[:length], number=7, owner=OWNER) is None for length in range(PAGE_BYTES))
    assert decode_page(body + b"\0", number=7, owner=OWNER) is None
    torn = (body[:length] + bytes(PAGE_BYTES - length) for length in range(0, PAGE_BYTES - 4, 97))
    assert all(decode_page(page, number=7, owner=OWNER) is None for page in torn)


@given(bit=st.integers(0, PAGE_BYTES * 8 - 1))
def test_a_page_with_a_flipped_bit_is_no_page(bit):
    body = bytearray(encode_page(Page(), number=7, owner=OWNER))
    body[bit >> 3] ^= 1 << (bit & 7)
    assert decode_page(bytes(body), number=7, owner=OWNER) is None


def test_another_number_or_owner_is_no_page(full_page):
    body = encode_page(full_page, number=7, owner=OWNER)
    assert decode_page(body, number=8, owner=OWNER) is None
    assert decode_page(body, number=7, owner=bytes(32)) is None


@given(data=st.data())
def test_marks_are_a_set_that_survives(bench, data):
    total = data.draw(st.sampled_from([1, 4095, 4096, 4097, 20_000]))
    marked = data.draw(st.sets(st.integers(0, total - 1), max_size=60))
    gone = data.draw(st.sets(st.sampled_from(sorted(marked)))) if marked else set()
    plan, location = plan_of(bench, total), locate(bench.memory())
    marks = Marks(plan, location)
    for index in marked:
        marks.mark(index, index * 2654435761 % (1 << 32))
    marks.flush()
    for index in gone:
        marks.unmark(index)
    marks.flush()
    kept = marked - gone
    for found in (marks, Marks.load(plan, location)):
        assert found.count == len(kept)
        assert [i for span in found.marked() for i in span] == sorted(kept)
        assert [i for span in found.missing() for i in span] == [i for i in range(total) if i not in kept]
        assert all(found.checksum(i) == i * 2654435761 % (1 << 32) for i in kept)
        assert all(found.checksum(i) is None and not found.is_marked(i) for i in gone)
        probe = np.arange(min(total, 6000)).reshape(1, -1)
        np.testing.assert_array_equal(found.are_marked(probe), np.isin(probe, sorted(kept)))


def test_what_is_not_flushed_is_not_there(bench, output):
    plan, location = plan_of(bench, 10), locate(output)
    marks = Marks(plan, location)
    marks.mark(3, 1)
    assert Marks.load(plan, location).count == 0
    marks.flush()
    assert Marks.load(plan, location).count == 1


@pytest.mark.parametrize("damage", [lambda body: body[:-1], lambda _: b"", lambda body: body[:100] + b"\xff" * 16864])
def test_a_damaged_page_costs_its_own_tiles_only(bench, output, damage):
    plan, location = plan_of(bench, 10_000), locate(output)
    marks = Marks(plan, location)
    for index in (5, 5000, 9999):
        marks.mark(index, 1)
    marks.flush()
    key = f"{MARKS_PREFIX}/1"
    location.put(key, damage(location.get(key)))
    location.put(f"{MARKS_PREFIX}/notes.txt", b"not a page")
    location.put(f"{MARKS_PREFIX}/1.abc.partial", b"a crash's")
    found = Marks.load(plan, location)
    assert [i for span in found.marked() for i in span] == [5, 9999]
    found.mark(5000, 2)
    found.flush()
    assert Marks.load(plan, location).count == 3


def test_another_plans_or_tilings_marks_are_not_believed(bench, output):
    plan, location = bench.plan(), locate(output)
    marks = Marks(plan, location)
    marks.mark(0, 1)
    marks.flush()
    assert Marks.load(bench.plan(), location).count == 1
    assert Marks.load(bench.plan(image_key="another"), location).count == 0
    assert Marks.load(bench.plan(tile=(64, 64)), location).count == 0
    assert Marks.load(bench.plan(bands_per_tile=1), location).count == 0


def test_a_billion_tiles_cost_nothing_until_they_are_stored(bench):
    plan, location = plan_of(bench, 10**9), locate(bench.memory())
    marks = Marks(plan, location)
    for index in (0, 10**9 - 1, 123_456_789):
        marks.mark(index, 7)
    marks.flush()
    found = Marks.load(plan, location)
    assert found.count == 3
    assert list(found.missing()) == [
        range(1, 4096),
        range(4096, 123_456_789 // 4096 * 4096),
        range(123_456_789 // 4096 * 4096, 123_456_789),
        range(123_456_790, (123_456_789 // 4096 + 1) * 4096),
        range((123_456_789 // 4096 + 1) * 4096, (10**9 - 1) // 4096 * 4096),
        range((10**9 - 1) // 4096 * 4096, 10**9 - 1),
    ]
    with pytest.raises(IndexError):
        found.is_marked(10**9)


def test_a_million_marks_load_in_a_second(bench, tmp_path):
    plan, location = plan_of(bench, 1_000_000), locate(tmp_path)
    marks = Marks(plan, location)
    page = Page(bitmap=np.full(512, 255, np.uint8))
    pages = 1_000_000 // TILES_PER_PAGE
    location.put_all({f"{MARKS_PREFIX}/{n}": encode_page(page, number=n, owner=marks._owner) for n in range(pages)})
    start = time.perf_counter()
    assert Marks.load(plan, location).count == pages * TILES_PER_PAGE
    assert time.perf_counter() - start < 1


def test_marks_from_many_threads_while_flushing(bench):
    plan, location = plan_of(bench, 40_000), locate(bench.memory())
    marks = Marks(plan, location)
    threads = [
        threading.Thread(
            target=lambda part=part: [marks.mark(i, zlib.crc32(b"%d" % i)) for i in range(part, 40_000, 4)]
        )
        for part in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        marks.flush()
    marks.flush()
    found = Marks.load(plan, location)
    assert list(found.missing()) == []
    assert all(found.checksum(i) == zlib.crc32(b"%d" % i) for i in range(0, 40_000, 371))


def test_a_flush_that_fails_is_made_up_by_the_next(bench, tmp_path, monkeypatch):
    plan, location = plan_of(bench, 10), locate(tmp_path)
    marks = Marks(plan, location)
    marks.mark(3, 1)

    async def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(location.store), "set", full)
        with pytest.raises(StoreError, match="No space left on device") as caught:
            marks.flush()
    assert "Free some space" in caught.value.hint
    marks.flush()
    assert Marks.load(plan, location).is_marked(3)

"""NPY bodies: what NumPy itself writes is the oracle; everything else is refused."""

from __future__ import annotations

import io
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eezarr.earthengine.codec import MAX_HEADER_BYTES, body_capacity, decode_pixels, describe_npy
from eezarr.errors import BadBody, InvalidInput
from eezarr.grid import Shape2D
from eezarr.plan import Band, record_dtype

BANDS = (Band("B4", "uint16"), Band("mask", "uint8"), Band("ndvi", "float32"))
SHAPE = Shape2D(3, 5)


def pixels_of(bands=BANDS, shape=SHAPE):
    raw = np.random.default_rng(7).integers(0, 255, shape.size * np.dtype(record_dtype(bands)).itemsize, np.uint8)
    return raw.view(record_dtype(bands)).reshape(shape.height, shape.width)


def npy(array, version=(1, 0)):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


def body_of(descr="[('a', '|u1')]", shape="(1, 2)", order="False", payload=b"\1\2", header=None):
    text = header or f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"
    return b"\x93NUMPY\x01\x00" + len(text.encode()).to_bytes(2, "little") + text.encode() + payload


def in_buffer(body, spare=100):
    buffer = np.full(len(body) + spare, 0xAA, np.uint8)
    buffer[: len(body)] = np.frombuffer(body, np.uint8)
    return buffer


def decoded(body, bands=BANDS, shape=SHAPE):
    return decode_pixels(in_buffer(body), len(body), bands=bands, shape=shape)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_a_body_is_what_numpy_wrote(version):
    pixels = pixels_of()
    got = decoded(npy(pixels, version))
    assert got.dtype == pixels.dtype
    assert got.tobytes() == pixels.tobytes()


def test_the_view_is_the_buffer():
    body = npy(pixels_of())
    buffer = in_buffer(body)
    got = decode_pixels(buffer, len(body), bands=BANDS, shape=SHAPE)
    assert np.shares_memory(got, buffer)


def test_padding_to_16_bytes_as_the_service_does():
    text = "{'descr': [('b1', '|u1'), ('b3', '|u1')], 'fortran_order': False, 'shape': (1, 2), }"
    header = text.ljust(85) + "\n"
    body = b"\x93NUMPY\x01\x00" + (86).to_bytes(2, "little") + header.encode() + bytes([1, 2, 3, 4])
    got = decoded(body, (Band("b1", "uint8"), Band("b3", "uint8")), Shape2D(1, 2))
    assert got["b1"].tolist() == [[1, 3]]
    assert got["b3"].tolist() == [[2, 4]]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_every_type_is_described_as_it_is_decoded(dtype):
    bands = (Band("x", dtype),)
    body = npy(pixels_of(bands))
    assert describe_npy(body) == (bands, SHAPE)
    assert decoded(body, bands).dtype["x"] == np.dtype(dtype).newbyteorder("<")


def test_capacity_holds_the_longest_legal_body():
    many = tuple(Band(f"{'b' * 42}{n:04}", "uint8") for n in range(1024))
    body = npy(pixels_of(many, Shape2D(1, 1)))
    assert MAX_HEADER_BYTES * 0.9 < len(body) <= body_capacity(many, Shape2D(1, 1)) < len(body) + 9000
    assert describe_npy(body)[0] == many


WHOLE = npy(pixels_of())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>Sign in</title>", "a web page"),
        (b'{"error": {"code": 500}}', "JSON"),
        (b"\x89PNG\r\n\x1a\n", "something else"),
        (WHOLE[:7], "within the NPY header"),
        (WHOLE[:50], "within a header"),
        (WHOLE[:-1], f"is {len(WHOLE) - 1} bytes long, not {len(WHOLE)}"),
        (WHOLE + b"\0", f"is {len(WHOLE) + 1} bytes long, not {len(WHOLE)}"),
        (WHOLE[:6] + b"\x04\x00" + WHOLE[8:], "version 4.0"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"x" * 100, "header of 2147483647 bytes"),
        (b"\x93NUMPY\x03\x00\x04\x00\x00\x00\xff\xfe\xfd\xfc", "not text"),
        (npy(pixels_of(BANDS[::-1])), "[ndvi float32, mask uint8, B4 uint16], not [B4 uint16"),
        (npy(pixels_of((Band("B4", "int16"), *BANDS[1:]))), "sends int16 where uint16 was planned, in band 'B4'"),
        (npy(pixels_of((Band("B4", "int16"), Band("mask", "int8"), *BANDS[2:]))), "(and 1 more bands in other types)"),
        (npy(pixels_of(shape=Shape2D(5, 3))), "holds 5 x 3 pixels, not 3 x 5"),
        (npy(np.asfortranarray(pixels_of())), "Fortran order"),
        (npy(np.zeros((3, 5), "<u2")), "not one field per band"),
        (body_of(order="0"), "Fortran order"),
        (body_of(descr="[('a', '|u1'), ('a', '|u1')]"), "names a band twice"),
        (body_of(descr="[('a', '>u2')]"), "no band of plain little-endian numbers"),
        (body_of(descr="[('a', '<u2', (1000000000,))]"), "no band of plain"),
        (body_of(descr="[('a', '|V8')]"), "no band of plain"),
        (body_of(descr="[(('title', 'a'), '|u1')]"), "no band of plain"),
        (body_of(descr="[]"), "not one field per band"),
        (body_of(shape="(2,)"), "has the shape (2,)"),
        (body_of(shape="(1, -2)"), "has the shape"),
        (body_of(shape="(True, 2)"), "has the shape"),
        (body_of(shape="(1, 2.0)"), "has the shape"),
        (body_of(header="{'descr': [('a', '|u1')], 'shape': (1, 2)}"), "exactly the keys"),
        (
            body_of(header="{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1, 2), 'more': 1}"),
            "exactly the keys",
        ),
        (body_of(header="[1, 2]"), "exactly the keys"),
        (body_of(header="__import__('os').system('true')"), "cannot be read"),
        (body_of(header="(" * 5000), "cannot be read"),
        (body_of(header="-" * 60000 + "1"), "cannot be read"),
        (body_of(header="{[]: 1}"), "cannot be read"),
    ],
)
def test_anything_else_is_refused_and_said(body, says):
    with pytest.raises(BadBody) as caught:
        decoded(body)
    assert says in caught.value.message
    assert len(caught.value.message) < 700


TRIPLE = "'" * 3
WARNED_OF = [
    r"{'descr': [('\d', '|u1')], 'fortran_order': False, 'shape': (1, 2)}",
    r"{'descr': [('\400', '|u1')], 'fortran_order': False, 'shape': (1, 2)}",
    r"{'descr': [(b'\d', '|u1')], 'fortran_order': False, 'shape': (1, 2)}",
    r"{'descr': [(f'{1}\d', '|u1')], 'fortran_order': False, 'shape': (1, 2)}",
    r"{'descr': [('\N{DIGIT ONE}', '|u1')], 'fortran_order': False, 'shape': (1, 2)}",
    "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1if 1else 2, 2)}",
    "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (0x1for x in [1])}",
    "{'descr': [('a', '|u1')], 'fortran_order': 0o7and 1, 'shape': (1, 2)}",
    "[1](2)",
    "1 is 1",
    "'a'(1)",
    f"{TRIPLE}1'1{TRIPLE} 1if 1else 2 '",
    "'a'\\\n1if 1else 2",
]
"""Headers that Python's parser warns of, or would if it were another version."""


@pytest.mark.parametrize("text", WARNED_OF)
@pytest.mark.parametrize("filtering", ["always", "error", "ignore"])
def test_what_the_parser_warns_of_is_refused_whatever_is_done_with_warnings(text, filtering):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter(filtering)
        with pytest.raises(BadBody, match="cannot be read"):
            describe_npy(body_of(header=text))
    assert not seen


_PIECES = st.sampled_from(
    [*"'\"\\ 1d,:(){}[]\n#", TRIPLE, "1if ", "else", "for ", "0x1", "or ", " is ", "b'", "f'{", r"\d", r"\x4", "True"]
)


@settings(max_examples=1000, derandomize=True, deadline=None)
@given(st.lists(_PIECES, max_size=30).map("".join))
def test_no_header_at_all_is_warned_of(text):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises((BadBody, InvalidInput)):
            describe_npy(body_of(header=text or " "))
    assert not seen


@pytest.mark.parametrize(
    "name", ["it's", 'say "x"', 'it\'s "x"', "back\\slash", "tab\tnew\n", "é", "\x85\u202f", "😀 x", "\U0010ffff"]
)
def test_odd_names_of_bands_are_read_as_numpy_writes_them(name):
    pixels = np.zeros((1, 2), [(name, "<u2")])
    assert describe_npy(npy(pixels, (3, 0))) == ((Band(name, "uint16"),), Shape2D(1, 2))


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


def test_pickled_objects_are_never_unpickled():
    payload = pickle.dumps([_Bomb()])
    for descr in ("'|O'", "[('a', '|O')]", "[('a', 'O')]"):
        with pytest.raises(BadBody):
            decoded(body_of(descr=descr, payload=payload), (Band("a", "uint8"),), Shape2D(1, 2))
        with pytest.raises(BadBody):
            describe_npy(body_of(descr=descr, payload=payload))


def test_a_described_body_must_be_whole():
    with pytest.raises(BadBody, match="bytes long"):
        describe_npy(WHOLE[:-1])
    with pytest.raises(InvalidInput):
        describe_npy(body_of(descr="[('', '|u1')]"))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.data())
def test_a_damaged_body_is_whole_or_refused(data):
    body = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    body = bytes(body[: data.draw(st.integers(0, len(body)))])
    try:
        got = decoded(body)
    except BadBody:
        return
    assert got.shape == (3, 5)
    assert got.tobytes() == body[-got.nbytes :]


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.text(max_size=200), st.binary(max_size=50))
def test_any_header_is_read_or_refused(text, payload):
    raw = text.encode()
    body = b"\x93NUMPY\x03\x00" + len(raw).to_bytes(4, "little") + raw + payload
    with pytest.raises((BadBody, InvalidInput)):
        describe_npy(body)

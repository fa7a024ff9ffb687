"""NPY bodies: from received bytes to a view of pixels, without a copy and without trust.

A body is magic, version, header length, a Python dict literal, then packed little-endian records, row by row.
Whatever differs from what was asked for is `BadBody`, which says what came and what was expected. Nothing is
unpickled: a type that is not one of eight plain numbers is refused by its text, before NumPy sees it.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html;
https://github.com/google/earthengine-api/blob/master/python/ee/tests/image_converter_test.py (a captured body).
"""

from __future__ import annotations

import ast
import functools
import itertools
import re
from typing import TYPE_CHECKING

import numpy as np

from eezarr.earthengine.status import quoted
from eezarr.errors import BadBody
from eezarr.grid import Shape2D
from eezarr.plan import Band, record_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.protocols import Buffer, Pixels

__all__ = ["MAX_HEADER_BYTES", "body_capacity", "decode_pixels", "describe_npy"]

MAX_HEADER_BYTES = 64 << 10
"""The longest header dict that is parsed: 1024 bands with names of 40 characters fit; also all that NPY 1.0 can say."""

_MAGIC = b"\x93NUMPY"
_PREFIX_BYTES = 12
"""Magic, version and the longer of the two forms of the header length."""

_KEYS = frozenset({"descr", "fortran_order", "shape"})

_DTYPES = {
    **{f"{order}{code}": name for order in "|<" for code, name in (("i1", "int8"), ("u1", "uint8"))},
    **{
        f"<{name[0]}{np.dtype(name).itemsize}": name
        for name in ("int16", "uint16", "int32", "uint32", "float32", "float64")
    },
}
"""Type text of an NPY field -> NumPy name."""

_ESCAPE = r"""\\(?:[\\'"nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U00(?:0[0-9a-f]|10)[0-9a-f]{4})"""
_LITERALS = re.compile(
    r"(?:[\s(){}\[\]:,]|True|False|-?[0-9]++(?:\.[0-9]++)?+"
    rf"""|(?:'(?:[^'\\\n]|{_ESCAPE})*+'|"(?:[^"\\\n]|{_ESCAPE})*+")(?!['"]))*+"""
)
"""All that a header may consist of: what `repr` writes of texts, numbers, truth, tuples, lists and dicts.

Python's parser warns of other texts (`'\\d'`, `1if`), and a warning is printed, raised or ignored as the program says.
No quote follows a text: three of them would begin another kind of text.
"""

_OTHER_TYPES_ATTEMPTS = 3
"""Of a body in other types than were planned: one may have been garbled; what comes again is what the service sends."""

_HINT = "If it goes on, check that `api_url` names an Earth Engine and no proxy rewrites bodies."


def body_capacity(bands: Sequence[Band], shape: Shape2D) -> int:
    """Return the most bytes that a legal body of these bands and this shape takes: pixels plus the longest header."""
    return _PREFIX_BYTES + MAX_HEADER_BYTES + shape.size * sum(band.itemsize for band in bands)


def decode_pixels(buffer: Buffer, length: int, *, bands: Sequence[Band], shape: Shape2D) -> Pixels:
    """Return the pixels of a body as a view into the buffer.

    Args:
        buffer: Holds the body from its first byte on; it must stay unchanged while the view is used.
        length: Bytes of the body, at most `buffer.size`.
        bands: What was asked for, in order.
        shape: What was asked for.

    Returns:
        (height, width) structured array, one little-endian field per band, named as the band.

    Raises:
        BadBody: If the body is not exactly these bands on this shape.
    """
    assert 0 <= length <= buffer.size
    start, text = _split_header(buffer.data[:length])
    fields, got_shape = _parse_header(text)
    expected = tuple((band.name, band.dtype) for band in bands)
    if [name for name, _ in fields] != [name for name, _ in expected]:
        raise _bad(f"holds the bands {_listed(fields)}, not {_listed(expected)}")
    if got_shape != shape:
        raise _bad(f"holds {got_shape} pixels, not {shape}")
    _check_length(length, start, fields, shape)
    if fields != expected:
        raise _other_types(fields, expected)
    return np.ndarray((shape.height, shape.width), record_dtype(bands), buffer=buffer, offset=start)


def describe_npy(body: bytes) -> tuple[tuple[Band, ...], Shape2D]:
    """Return the bands and the shape that a body holds: how the service answers an image whose types are unknown.

    Raises:
        BadBody: If it is not one whole NPY body of plain numbers.
        InvalidInput: If a band's name is empty.
    """
    start, text = _split_header(memoryview(body))
    fields, shape = _parse_header(text)
    _check_length(len(body), start, fields, shape)
    return tuple(Band(name, dtype) for name, dtype in fields), shape


def _split_header(body: memoryview) -> tuple[int, str]:
    """Return where the pixels start, and the header dict's text."""
    head = bytes(body[:64])
    if not head.startswith(_MAGIC):
        raise _bad(f"is {_kind(head)}, not NPY; it begins with: {quoted(head)}")
    if len(head) < _PREFIX_BYTES:
        raise _bad(f"ends after {len(head)} bytes, within the NPY header")
    major, minor = head[6], head[7]
    if (major, minor) not in {(1, 0), (2, 0), (3, 0)}:
        raise _bad(f"has the NPY version {major}.{minor}, not 1.0")
    begin = 10 if major == 1 else 12
    length = int.from_bytes(head[8:begin], "little")
    if length > MAX_HEADER_BYTES:
        raise _bad(f"has a header of {length} bytes, more than {MAX_HEADER_BYTES}")
    raw = bytes(body[begin : begin + length])
    if len(raw) < length:
        raise _bad(f"ends after {len(body)} bytes, within a header of {length}")
    try:
        return begin + length, raw.decode("utf-8" if major == 3 else "latin-1")
    except UnicodeDecodeError as error:
        raise _bad("has a header that is not text") from error


@functools.lru_cache(maxsize=16)
def _parse_header(text: str) -> tuple[tuple[tuple[str, str], ...], Shape2D]:
    """Return (name, dtype) of each field, and the shape; cached, as all full tiles of a plan share one header."""
    if not _LITERALS.fullmatch(text):
        raise _bad(f"has a header that cannot be read: {text[:80]!r}")
    try:
        header = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise _bad(f"has a header that cannot be read: {text[:80]!r}") from error
    if not isinstance(header, dict) or header.keys() != _KEYS:
        raise _bad(f"has a header without exactly the keys {sorted(_KEYS)}: {text[:80]!r}")
    if header["fortran_order"] is not False:
        raise _bad("is in Fortran order, not in C order")
    return _fields(header["descr"]), _shape(header["shape"])


def _fields(descr: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(descr, list) or not descr:
        raise _bad(f"holds {str(descr)[:80]!r}, not one field per band")
    fields = []
    for field in descr:
        match field:
            case (str(name), str(code)) if code in _DTYPES:
                fields.append((name, _DTYPES[code]))
            case _:
                raise _bad(f"holds the field {str(field)[:80]!r}, which is no band of plain little-endian numbers")
    if len({name for name, _ in fields}) < len(fields):
        raise _bad(f"names a band twice: {_listed(tuple(fields))}")
    return tuple(fields)


def _shape(shape: object) -> Shape2D:
    match shape:
        case (height, width) if type(height) is type(width) is int and height > 0 and width > 0:
            return Shape2D(height, width)
    raise _bad(f"has the shape {str(shape)[:80]}, not (height, width)")


def _check_length(length: int, start: int, fields: tuple[tuple[str, str], ...], shape: Shape2D) -> None:
    expected = start + shape.size * sum(np.dtype(dtype).itemsize for _, dtype in fields)
    if length != expected:
        raise _bad(f"is {length} bytes long, not {expected}")


def _kind(head: bytes) -> str:
    begin = head.lstrip().lower()
    if not begin:
        return "empty"
    if begin.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "a web page"
    return "JSON" if begin.startswith((b"{", b"[")) else "something else"


def _listed(fields: tuple[tuple[str, str], ...]) -> str:
    shown = ", ".join(f"{name[:40]} {dtype}" for name, dtype in itertools.islice(fields, 6))
    return f"[{shown}{f', … {len(fields)} in all' if len(fields) > 6 else ''}]"


def _other_types(fields: tuple[tuple[str, str], ...], expected: tuple[tuple[str, str], ...]) -> BadBody:
    differ = [(name, sent, dtype) for (name, sent), (_, dtype) in zip(fields, expected, strict=True) if sent != dtype]
    name, sent, dtype = differ[0]
    more = f" (and {len(differ) - 1} more bands in other types)" if len(differ) > 1 else ""
    return BadBody(
        f"The service sends {sent} where {dtype} was planned, in band {name[:40]!r}{more}.",
        hint="If images of a collection differ, name one type for the band: cast. If the asset was replaced since its "
        "store was begun, start the store again: --overwrite.",
        most_attempts=_OTHER_TYPES_ATTEMPTS,
    )


def _bad(what: str) -> BadBody:
    return BadBody(f"The body {what}.", hint=_HINT)

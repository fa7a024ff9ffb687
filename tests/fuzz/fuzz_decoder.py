"""Fuzzes what reads bodies of pixels: whatever bytes come, `BadBody` or pixels, and no more memory than a body's.

    python tests/fuzz/fuzz_decoder.py decode [--seconds 60]     a body for bands that are known
    python tests/fuzz/fuzz_decoder.py describe                  a body that tells its bands
    python tests/fuzz/fuzz_decoder.py inflate                   a gzip body, of whatever lengths it claims

With atheris (`pip install atheris`) coverage guides it; further options are libFuzzer's.
"""

import gzip
import io
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from driving import MIB, Bounded, drive, require_bounded

from eezarr.earthengine.bodies import _Inflater
from eezarr.earthengine.codec import body_capacity, decode_pixels, describe_npy
from eezarr.errors import BadBody, InvalidInput, Unreachable
from eezarr.grid import Shape2D
from eezarr.plan import Band

BANDS = (Band("B2", "uint16"), Band("f", "float32"))
SHAPE = Shape2D(3, 5)
CAPACITY = body_capacity(BANDS, SHAPE)
PARSING = 24 * MIB
"""What Python's parser may take for a header of 64 KiB."""


def decode(data):
    body = data[:CAPACITY]
    buffer = np.zeros(CAPACITY, np.uint8)
    buffer[: len(body)] = np.frombuffer(body, np.uint8)
    with Bounded(PARSING):
        try:
            pixels = decode_pixels(buffer, len(body), bands=BANDS, shape=SHAPE)
        except BadBody as error:
            require_bounded(error)
            return
    assert pixels.shape == (SHAPE.height, SHAPE.width)
    assert pixels.dtype == np.dtype([("B2", "<u2"), ("f", "<f4")])
    assert pixels.tobytes() == body[-pixels.nbytes :]


def describe(data):
    with Bounded(PARSING + len(data)):
        try:
            bands, shape = describe_npy(data)
        except (BadBody, InvalidInput) as error:
            require_bounded(error)
            return
    assert bands
    assert shape.size * sum(band.itemsize for band in bands) < len(data)


def inflate(data):
    capacity = 4096
    kept = bytearray(capacity)

    def put(start, part):
        assert start + len(part) <= capacity, "more was kept than there is room for"
        kept[start : start + len(part)] = part

    with Bounded(4 * MIB + 4 * len(data)):
        inflater = _Inflater(put, capacity)
        try:
            inflater.feed(data)
            size = inflater.finish()
        except (BadBody, Unreachable):
            return
    assert bytes(kept[:size]) == gzip.decompress(data)


def npy(array, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


def examples():
    good = np.zeros((3, 5), [("B2", "<u2"), ("f", "<f4")])
    arrays = [good, good[:1], good[["f"]].copy(), np.zeros((3, 5), ">u2"), np.zeros((0, 5), [("B2", "<u2")])]
    arrays += [np.zeros((2, 2, 2), [("x", "<f8")]), np.asfortranarray(good), np.zeros(3, [("a", "<U3")])]
    pickled = io.BytesIO()
    np.save(pickled, np.array([[None]]), allow_pickle=True)
    header = b"\x93NUMPY\x01\x00"
    texts = [
        b"(" * 5000,
        b"{'descr': " + b"[" * 3000,
        b"-" * 60000,
        b"9" * 6000,
        b"{'shape': (9**9**9,)}",
        b"'\\x" * 99,
        rb"{'descr': [('\d', '|u1')], 'fortran_order': False, 'shape': (1, 2)}",
        rb"{'descr': [(b'\400', f'\q')], 'shape': (1if 1else 2, 0x1or 2)}",
        b"'" * 3 + b"1'1" + b"'" * 3 + b" 1if 1else 2 '",
    ]
    crafted = [header + len(text).to_bytes(2, "little") + text for text in texts]
    bodies = [npy(array) for array in arrays] + [npy(good, (2, 0)), npy(good, (3, 0)), pickled.getvalue(), *crafted]
    return [*bodies, b"", b"<!DOCTYPE html><html>", b'{"error": {"code": 400}}', header, header + b"\xff\xff"]


def refuse_warning(message, *_):
    raise AssertionError(f"a warning: {message}")


def main():
    warnings.simplefilter("always")
    warnings.showwarning = refuse_warning
    bodies = examples()
    zipped = [gzip.compress(body) for body in bodies] + [gzip.compress(b"\0" * (8 * MIB)), gzip.compress(b"a" * 4096)]
    zipped += [zipped[0] + zipped[1], zipped[0][:-4]]
    drive(
        {"decode": decode, "describe": describe, "inflate": inflate},
        seeds={"decode": bodies, "describe": bodies, "inflate": zipped},
        modules=["eezarr.earthengine.codec", "eezarr.earthengine.bodies"],
        description=__doc__,
    )


if __name__ == "__main__":
    main()

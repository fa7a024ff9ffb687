"""Text and JSON from outside: job files, regions, expressions, keys, records, responses. Bounded before it is parsed.

Rules: nothing is read past its limit, so that an endless file ends; a UTF-8 byte-order mark, which editors on Windows
write, is no part of the text; and whatever the text holds, a parser's failure is one that callers expect. Nesting is
measured before the parser sees it: parsers recurse, and so does much that walks over what they return.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_JSON_BYTES", "parse_json", "path_text", "read_json", "read_standard_input", "read_text"]

MAX_JSON_BYTES = 256 << 20
"""More than any region, expression or record of a store that is of use: a polygon of a million corners has 40 MB."""
_MAX_DEPTH = 128
"""Deeper than any document that is read, expressions aside. Python's own limit is a thousand calls."""

_HUGE_INTEGER = re.compile(rb"(?:^|(?<=[\[,:\s]))-?[0-9]{309}")
"""A whole number that no double holds."""
_DIGITS_AS_ZEROS = bytes(ord("0") if byte in b"0123456789" else 0 for byte in range(256))
_TEXT = re.compile(rb'"[^"]*"')
_INNERMOST = re.compile(rb"(?:\[\]|\{\})+")
_ALL_BUT_MARKS = bytes(set(range(256)) - set(b'[]{}"'))


def path_text(path: object, *, noun: str) -> str:
    """Return a path or URL as text.

    Raises:
        InvalidInput: If it is neither text nor a path.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise InvalidInput(f"A {type(path).__name__} is no {noun}.", hint="Give a path or a URL, as text.")
    return text


def read_text(path: Path, *, noun: str, hint: str, max_bytes: int = MAX_JSON_BYTES) -> str:
    """Return the text of a file, without a byte-order mark.

    Args:
        path: The file; it may be a pipe.
        noun: What an error calls it, such as `job file`.
        hint: What an error says to do if it cannot be read.
        max_bytes: The most that it may hold; a larger file is refused unread.

    Raises:
        InvalidInput: If it cannot be read, is larger, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            is_large = os.fstat(file.fileno()).st_size > max_bytes
            body = b"" if is_large else file.read(max_bytes + 1)  # a device says that it has no bytes
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"The {noun} {path} cannot be read: {reason}.", hint=hint) from error
    return _decoded(body, f"The {noun} {path}", is_large=is_large or len(body) > max_bytes, max_bytes=max_bytes)


def read_standard_input(*, noun: str, hint: str, max_bytes: int) -> str:
    """Return the text of standard input, to its end; see `read_text` for the arguments.

    Raises:
        InvalidInput: If there is none, or it cannot be read, is larger, or is not UTF-8.
    """
    try:
        body = sys.stdin.buffer.read(max_bytes + 1)
    except (AttributeError, OSError, ValueError) as error:  # there is none, it fails, it was closed
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"The {noun} cannot be read from standard input: {reason}.", hint=hint) from error
    text = _decoded(body, f"The {noun} in standard input", is_large=len(body) > max_bytes, max_bytes=max_bytes)
    if not text.strip():
        raise InvalidInput(f"The {noun} in standard input is empty.", hint=hint)
    return text


def read_json(path: Path, *, noun: str, hint: str) -> object:
    """Return what a JSON file holds; see `read_text` for the arguments.

    Raises:
        InvalidInput: If it cannot be read, or is no JSON.
    """
    text = read_text(path, noun=noun, hint=hint)
    try:
        return parse_json(text)
    except ValueError as error:
        raise InvalidInput(f"The {noun} {path} is not JSON: {error}.", hint=hint) from error


def parse_json(text: str | bytes, *, max_bytes: int = MAX_JSON_BYTES, max_depth: int = _MAX_DEPTH) -> object:
    """Return what a JSON text holds.

    Raises:
        ValueError: If it is no JSON, larger, nested deeper, or holds a whole number of 309 digits or more. The error's
            text is short, whatever the JSON is.
    """
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    body = body.removeprefix(b"\xef\xbb\xbf")
    if len(body) > max_bytes:
        raise ValueError(f"it is larger than {max_bytes >> 20} MiB")
    if _is_deep(body, max_depth):
        raise ValueError(f"it is nested deeper than {max_depth}")
    if b"0" * 309 in body.translate(_DIGITS_AS_ZEROS) and _HUGE_INTEGER.search(body):
        raise ValueError("it holds a number of 309 digits or more")
    try:
        found: object = json.loads(body)
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {max_depth}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from error
    return found


def _decoded(body: bytes, what: str, *, is_large: bool, max_bytes: int) -> str:
    if is_large:
        raise InvalidInput(f"{what} is larger than {max_bytes >> 10} KiB.", hint="Give another one.")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{what} is not UTF-8 text (byte {error.start}).", hint="Save the file with the encoding UTF-8."
        ) from error


def _is_deep(body: bytes, max_depth: int) -> bool:
    """Whether brackets are nested too deep; each turn takes out the innermost, which are most of them."""
    marks = _TEXT.sub(b"", body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _ALL_BUT_MARKS))
    for _ in range(max_depth):
        left = _INNERMOST.sub(b"", marks)
        if len(left) == len(marks):
            return len(left) > max_depth  # brackets that are never closed
        marks = left
    return bool(marks)

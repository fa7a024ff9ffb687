"""Text and JSON from outside are bounded before they are parsed, and a byte-order mark is no part of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eezarr.documents import parse_json, read_json, read_text
from eezarr.errors import AccessDenied, BadBody, EezarrError, ForeignStore, InvalidInput, ServiceRefusal
from eezarr.printable import printable

BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "[" * 129 + "]" * 129,
        '{"a":' * 129 + "1" + "}" * 129,
        '[{"a":' * 65 + "1" + "}]" * 65,
        "1" * 400,
        "[-" + "1" * 400 + "]",
        "1" * 5_000,
        "",
        "{",
        b"\xff",
        "[\x00]",
    ],
)
def test_json_that_a_parser_would_choke_on_is_a_value_error_with_a_short_text(text):
    with pytest.raises(ValueError, match=r"^.{1,120}$"):
        parse_json(text)


@pytest.mark.parametrize(
    "value",
    [
        {"brackets in a text": "[" * 1_000, "and escaped": '\\"[[[\\\\'},
        [[[0.1, -2e300]] * 3],
        {"digits in a text": "1" * 400, "long fraction": 0.1234567890123456789},
        json.loads("[" * 128 + "]" * 128),
        json.loads('[{"a":' * 64 + "1" + "}]" * 64),
    ],
)
def test_json_as_people_have_it_is_read(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(BOM + json.dumps(value).encode()) == value
    assert parse_json("\ufeff" + json.dumps(value)) == value


def test_a_fraction_of_many_digits_is_a_number():
    assert parse_json("0." + "1" * 400) == pytest.approx(1 / 9)


def test_a_text_file_loses_its_byte_order_mark(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(BOM + "naïve".encode())
    assert read_text(path, noun="text", hint="-") == "naïve"


def test_a_file_is_read_to_its_limit_only():
    with pytest.raises(InvalidInput, match="The text /dev/zero is larger than 1 KiB"):
        read_text(Path("/dev/zero"), noun="text", hint="-", max_bytes=1024)


@pytest.mark.parametrize(("path", "says"), [("absent", "No such file"), (".", "Is a directory"), ("a\0b", "null byte")])
def test_a_file_that_cannot_be_read_says_why(path, says, tmp_path):
    with pytest.raises(InvalidInput, match=says):
        read_json(tmp_path / path, noun="text", hint="-")


def test_what_is_not_utf_8_says_so(tmp_path):
    (tmp_path / "latin").write_bytes("naïve".encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"is not UTF-8 text \(byte 2\)\. Save the file with the encoding UTF-8"):
        read_text(tmp_path / "latin", noun="text", hint="-")


@pytest.mark.parametrize(
    "character", ["\u202e", "\u2066", "\u200b", "\x1b", "\r", "\x07", "\x9b", "\ud800", "\U000e0041"]
)
def test_what_is_not_seen_is_shown_by_its_escape(character):
    shown = printable(f"B{character}8\nB9\té")
    assert character not in shown
    assert shown.startswith("B\\")
    assert shown.endswith("8\nB9\té")


@pytest.mark.parametrize("kind", [InvalidInput, AccessDenied, ServiceRefusal, BadBody, ForeignStore])
def test_errors_hold_what_others_wrote_as_it_may_be_shown(kind):
    error = kind("There is no \u202egnp.exe.", hint="Look at \x1b[31mit.")
    error.message = f"{error.message} \u2067"
    assert isinstance(error, EezarrError)
    assert str(error) == r"There is no \u202egnp.exe. \u2067 Look at \x1b[31mit."

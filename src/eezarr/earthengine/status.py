"""From an HTTP answer to one of our errors: pure, so that a table can be walked by a test.

The service answers errors as `{"error": {"code", "message", "status", "details"}}`; proxies and load balancers in front
of it answer HTML. Both are reduced to a message of bounded length, free of tokens, and a set of reasons. A body that is
no text is not quoted.
"""

from __future__ import annotations

import codecs
import html
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from eezarr.documents import parse_json
from eezarr.earthengine.refusals import REFUSALS, Refusal
from eezarr.errors import AccessDenied, BadBody, EezarrError, ServiceRefusal, Throttled, TooHeavy, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eezarr.earthengine.secret import Secret

__all__ = ["classify", "clean", "quoted"]

_BINARY = "(a binary body)"
"""What a message says of a body that is no text."""

_QUOTED = 500
"""Characters of an answer that a message may quote."""

_SECRET = re.compile(r"(?i)(bearer\s+|access_token[\"'=:\s]+)[^\s\"'<>&,}]+|ya29\.[\w.-]+")
_MARKUP = re.compile(r"(?is)<(script|style)\b.{0,4000}?</\1>|<[^<>]{0,2000}>")
_TEXT_CONTROLS = frozenset("\t\n\v\f\r\x1b")
"""Control characters that a text may hold; the last begins a terminal's escape sequences, in what programs print."""
_CHARSET = re.compile(r"(?i)charset=\"?([\w.:-]{1,40})")
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?s?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    message: str
    reasons: frozenset[str]
    retry_after_s: float | None


def classify(
    status: int, headers: Mapping[str, str], body: bytes, *, request: str, now_s: float, secret: Secret | None = None
) -> EezarrError:
    """Return the error that an answer other than 200 stands for.

    Args:
        status: HTTP status.
        headers: Response headers; looked up in lower case.
        body: Body, or its beginning.
        request: What was asked, for the message: `computePixels`, `assets.get of X`.
        now_s: Seconds since the epoch, to turn a Retry-After date into seconds.
        secret: The token that was sent; it is blotted out should the answer echo it.

    Returns:
        One of `Throttled`, `Unreachable`, `BadBody`, `TooHeavy`, `ServiceRefusal`, `AccessDenied`; not raised.
    """
    problem = _read(body, {name.lower(): value for name, value in headers.items()}, now_s)
    row = next(row for row in REFUSALS if row.fits(status, problem.message, problem.reasons))
    quoted = clean(problem.message, secret) or "no message"
    return _make(row, f"{request} was answered with {status}: {quoted}", status, problem)


def clean(text: str, secret: Secret | None = None) -> str:
    """Return a text of a stranger fit for a message: one line, bounded, without tokens.

    What is neither printable nor a space (control characters, those that turn the direction of writing, lone
    surrogates) is written as its escape sequence.
    """
    if secret:
        text = secret.blotted(text)
    text = " ".join(_SECRET.sub("[token]", text)[: 4 * _QUOTED].split())
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"


def quoted(body: bytes, *, content_type: str = "") -> str:
    """Return the beginning of a body fit for a message, or, if it is no text, only that it is binary."""
    text = _text(body, content_type)
    return _BINARY if text is None else clean(text)


def _make(row: Refusal, message: str, status: int, problem: _Problem) -> EezarrError:
    if row.error is TooHeavy:
        found = row.text.search(problem.message) if row.text else None
        stated = found.groupdict() if found else {}
        return TooHeavy(
            message, hint=row.hint, stated_bytes=_whole(stated.get("bytes")), stated_side=_whole(stated.get("side"))
        )
    if row.error is Throttled:
        return Throttled(message, hint=row.hint, retry_after_s=problem.retry_after_s)
    if row.error is Unreachable:
        return Unreachable(message, hint=row.hint, retry_after_s=problem.retry_after_s)
    if row.error is BadBody:
        return BadBody(message, hint=row.hint, retry_after_s=problem.retry_after_s)
    if row.error is ServiceRefusal:
        return ServiceRefusal(message, hint=row.hint, status=status)
    return AccessDenied(message, hint=row.hint, scope=row.scope)


def _whole(digits: str | None) -> int | None:
    return int(digits) if digits else None


def _read(body: bytes, headers: Mapping[str, str], now_s: float) -> _Problem:
    delay = _retry_after_s(headers.get("retry-after", ""), now_s)
    text = _text(body, headers.get("content-type", ""))
    if text is None:
        return _Problem(message=_BINARY, reasons=frozenset(), retry_after_s=delay)
    try:
        answer = parse_json(text)
    except ValueError:
        return _Problem(message=_plain(text), reasons=frozenset(), retry_after_s=delay)
    if isinstance(answer, list) and answer:
        answer = answer[0]
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return _Problem(message=_plain(text), reasons=frozenset(), retry_after_s=delay)
    if delay is None:
        delay = next((_retry_after_s(value, now_s) for value in _values(error, "retryDelay")), None)
    message, status = error.get("message"), str(error.get("status", ""))
    reasons = frozenset(_values(error, "reason"))
    # Reasons such as SERVICE_DISABLED come only in the details: rows find them in the message, and people see them.
    shown = "".join(f" ({reason})" for reason in sorted(reasons) if reason.isupper())
    text = message if isinstance(message, str) else status
    return _Problem(message=text + shown, reasons=reasons | {status}, retry_after_s=delay)


def _text(body: bytes, content_type: str) -> str | None:
    """Return a body as text, in the encoding that its type names or in UTF-8, cut off anywhere; None if it is none."""
    named = _CHARSET.search(content_type)
    try:
        text = codecs.getincrementaldecoder(named[1] if named else "utf-8-sig")().decode(body)
    except (LookupError, UnicodeError):
        return None
    return None if any(char < " " and char not in _TEXT_CONTROLS for char in text) else text


def _values(error: Mapping[str, object], key: str) -> Iterator[str]:
    """Yield a key's texts in the lists `errors` (the older form) and `details` (google.rpc) of an error."""
    for listed in ("errors", "details"):
        entries = error.get(listed)
        for entry in entries if isinstance(entries, list) else ():
            value = entry.get(key) if isinstance(entry, dict) else None
            if isinstance(value, str):
                yield value


def _plain(text: str) -> str:
    """Return what a reader sees of a page, or the text itself."""
    return html.unescape(_MARKUP.sub(" ", text[:5_000])) if "<" in text[:200] else text


def _retry_after_s(value: str, now_s: float) -> float | None:
    """Return the seconds of a Retry-After header (seconds or a date) or a RetryInfo delay (`3.5s`)."""
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value.removesuffix("s"))
    try:
        date = parsedate_to_datetime(value)
        return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now_s)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None

"""Which fault a request meets, and what a faulty body looks like.

The fault is drawn from (seed, request, attempt): a run repeats exactly, and the same request asked again draws anew.
A script of outcomes, when there is one, comes before any draw.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import io
from collections import OrderedDict, deque
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from eezarr.emulator import npy
from eezarr.emulator.draw import uniform
from eezarr.emulator.errors import MEMORY_TEXT, RATE_TEXT, TIMEOUT_TEXT, ApiError, invalid, unauthenticated
from eezarr.emulator.settings import ComputeRule, FaultRates, FaultSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# Requests whose attempts are remembered; at 200 B each this bounds the table to some 50 MB.
_MAX_REMEMBERED = 250_000


Pixels: TypeAlias = npt.NDArray[np.void]


class Fault(StrEnum):
    """The names of `FaultRates`, and `none`."""

    NONE = "none"
    TOO_MANY_REQUESTS = "too_many_requests"
    CAPACITY_EXCEEDED = "capacity_exceeded"
    INTERNAL_ERROR = "internal_error"
    BAD_GATEWAY = "bad_gateway"
    UNAVAILABLE = "unavailable"
    UNAUTHENTICATED = "unauthenticated"
    RESET = "reset"
    RESET_MIDWAY = "reset_midway"
    CUT = "cut"
    STALL = "stall"
    HTML_PAGE = "html_page"
    NPY_MAGIC = "npy_magic"
    NPY_SHAPE = "npy_shape"
    NPY_DTYPE = "npy_dtype"
    NPY_ORDER = "npy_order"
    NPY_TRAILING = "npy_trailing"
    NPY_SHORT = "npy_short"
    NPY_PICKLE = "npy_pickle"

    @property
    def is_npy(self) -> bool:
        """Whether it is a well-formed answer with wrong bytes."""
        return self.value.startswith("npy_")


_ERRORS = {
    Fault.TOO_MANY_REQUESTS: ApiError(code=429, message=RATE_TEXT),
    Fault.CAPACITY_EXCEEDED: ApiError(code=429, message="Earth Engine capacity exceeded."),
    Fault.INTERNAL_ERROR: ApiError(code=500, message="An internal error has occurred"),
    Fault.UNAVAILABLE: ApiError(code=503, message="The service is currently unavailable."),
    Fault.UNAUTHENTICATED: unauthenticated(),
}


class FaultDeck:
    """Hands out faults: scripted ones first, then drawn ones."""

    def __init__(self) -> None:
        """Start without a script and without memory."""
        self._script: deque[Fault] = deque()
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def script(self, outcomes: Iterable[str]) -> None:
        """Queue the outcomes of the next requests in scope; `none` answers one well.

        Raises:
            ValueError: A name is no fault.
        """
        self._script.extend([Fault(outcome) for outcome in outcomes])

    def forget(self) -> None:
        """Drop the script and all attempts."""
        self._script.clear()
        self._seen.clear()

    def next(self, settings: FaultSettings, request: str, *, is_pixels: bool) -> tuple[Fault, int]:
        """Answer what happens to this request, and which attempt (from 0) it is."""
        attempt, faults = self._seen.pop(request, (0, 0))
        fault = Fault.NONE
        if is_pixels or settings.scope == "all":
            fault = self._script.popleft() if self._script else _drawn(settings, request, attempt, faults)
        if fault.is_npy and not is_pixels:
            fault = Fault.NONE
        self._seen[request] = (attempt + 1, faults + (fault is not Fault.NONE))
        if len(self._seen) > _MAX_REMEMBERED:
            self._seen.popitem(last=False)
        return fault, attempt


def _drawn(settings: FaultSettings, request: str, attempt: int, faults: int) -> Fault:
    if settings.max_per_request is not None and faults >= settings.max_per_request:
        return Fault.NONE
    chance = uniform(settings.seed, "fault", request, attempt)
    for field in dataclasses.fields(FaultRates):
        chance -= getattr(settings.rates, field.name)
        if chance < 0:
            return Fault(field.name)
    return Fault.NONE


def error_of(fault: Fault) -> ApiError | None:
    """Answer the JSON refusal that a fault is, if it is one."""
    error = _ERRORS.get(fault)
    return None if error is None else dataclasses.replace(error)


def require_computable(rules: Sequence[ComputeRule], subject: str, pixels: int) -> None:
    """Raise what the first rule that `subject` (an asset's name, or an expression's JSON) and `pixels` break says.

    Raises:
        ApiError: 400, memory or time.
    """
    for rule in rules:
        if pixels > rule.max_pixels and fnmatch.fnmatchcase(subject, f"*{rule.pattern}*"):
            raise invalid(MEMORY_TEXT if rule.answer == "memory" else TIMEOUT_TEXT)


def corrupted(fault: Fault, pixels: Pixels) -> list[npy.Part]:
    """Answer the wrong NPY that `fault` stands for, instead of `pixels`; `fault.is_npy`."""
    return _CORRUPTIONS[fault](pixels, *npy.encoded(pixels))


def _other_shape(pixels: Pixels) -> list[npy.Part]:
    return npy.encoded(pixels[:-1] if pixels.shape[0] > 1 else np.concatenate([pixels, pixels]))


def _other_types(dtype: np.dtype[np.void]) -> np.dtype[np.void]:
    swapped = {"u": "i", "i": "u", "f": "i"}
    fields = [(name, f"<{swapped[dtype[name].kind]}{dtype[name].itemsize}") for name in dtype.names or ()]
    return np.dtype(fields)


def _other_order(dtype: np.dtype[np.void]) -> np.dtype[np.void]:
    names = list(dtype.names or ())
    fields = (
        [(name, dtype[name]) for name in reversed(names)] if len(names) > 1 else [(names[0] + "_", dtype[names[0]])]
    )
    return np.dtype(fields)


def _pickled(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.full(shape[:1], None, dtype=object), allow_pickle=True)
    return stream.getvalue()


_CORRUPTIONS: dict[Fault, Callable[[Pixels, npy.Part, npy.Part], list[npy.Part]]] = {
    Fault.NPY_MAGIC: lambda _, head, body: [b"\x92" + bytes(head[1:]), body],
    Fault.NPY_SHAPE: lambda pixels, _head, _body: _other_shape(pixels),
    Fault.NPY_DTYPE: lambda pixels, _, body: [npy.header(_other_types(pixels.dtype), pixels.shape), body],
    Fault.NPY_ORDER: lambda pixels, _, body: [npy.header(_other_order(pixels.dtype), pixels.shape), body],
    Fault.NPY_TRAILING: lambda _, head, body: [head, body, b"\0" * 16],
    Fault.NPY_SHORT: lambda _, head, body: [head, body[: len(body) // 2]],
    Fault.NPY_PICKLE: lambda pixels, _head, _body: [_pickled(pixels.shape)],
}

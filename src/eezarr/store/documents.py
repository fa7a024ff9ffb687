"""JSON that came back from a store, read with care: a value of another kind than it should be is a `TypeError`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from eezarr.plan import Masking

if TYPE_CHECKING:
    from eezarr.plan import Fill, MaskMode
    from eezarr.plan.model import Compressor
    from eezarr.store.attributes import JSON

__all__ = [
    "Document",
    "as_array",
    "as_compressor",
    "as_flag",
    "as_integer",
    "as_masking",
    "as_object",
    "as_text",
    "masking_facts",
]

Document: TypeAlias = "dict[str, JSON]"
"""A JSON object."""


def as_object(value: JSON) -> Document:
    """Return an object."""
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def as_array(value: JSON) -> list[JSON]:
    """Return an array."""
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def as_text(value: JSON) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def as_integer(value: JSON) -> int:
    """Return a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    return value


def as_flag(value: JSON) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def as_compressor(text: str) -> Compressor:
    """Return the compressor of a name."""
    known: dict[str, Compressor] = {"auto": "auto", "zstd": "zstd", "none": "none"}
    return known[text]


def masking_facts(masking: Masking) -> Document:
    """Return a masking as JSON."""
    return {
        "mode": masking.mode,
        # JSON has no NaN.
        "fills": [fill if math.isfinite(fill) else str(fill) for fill in masking.fills],
        "is_shared": masking.is_shared,
    }


def as_masking(facts: Document) -> Masking:
    """Return the masking that `masking_facts` wrote."""
    modes: dict[str, MaskMode] = {"none": "none", "fill": "fill", "band": "band"}
    return Masking(
        mode=modes[as_text(facts["mode"])],
        fills=tuple(map(_fill, as_array(facts["fills"]))),
        is_shared=as_flag(facts["is_shared"]),
    )


def _fill(value: JSON) -> Fill:
    return value if isinstance(value, int | float) else float(as_text(value))

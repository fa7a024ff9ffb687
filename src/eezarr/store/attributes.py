"""Attributes of groups and arrays: numbers, text, or lists of these.

Plain readers copy attributes, and NetCDF and GeoTIFF hold nothing else; so what has more structure is JSON text there.
"""

from __future__ import annotations

import json
from typing import TypeAlias

__all__ = ["JSON", "plain_attributes", "told_by"]

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"


def plain_attributes(attributes: dict[str, JSON]) -> dict[str, JSON]:
    """Return attributes in which objects, and lists that hold more than numbers or texts, are JSON text."""
    return {name: value if _is_plain(value) else json.dumps(value) for name, value in attributes.items()}


def told_by(attribute: JSON) -> dict[str, JSON]:
    """Return the object that an attribute holds as JSON text; an empty one where it holds none."""
    try:
        found: JSON = json.loads(attribute) if isinstance(attribute, str) else attribute
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_plain(value: JSON) -> bool:
    if isinstance(value, list):
        return all(isinstance(part, str) for part in value) or all(isinstance(part, int | float) for part in value)
    return value is not None and not isinstance(value, dict | bool)

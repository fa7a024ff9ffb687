"""Asset ids, as people write them, and resource names, as the REST API wants them.

Source: https://github.com/google/earthengine-api/blob/master/python/ee/_cloud_api_utils.py
(`convert_asset_id_to_asset_name`).
"""

from __future__ import annotations

import re

from eezarr.errors import InvalidInput

__all__ = ["asset_id", "asset_name", "project_name"]

_PUBLIC = "projects/earthengine-public/assets/"
_LEGACY = "projects/earthengine-legacy/assets/"
_NAMED = re.compile(r"projects/[^/]+/assets/.+")
_UNSAFE = re.compile(r"[\x00-\x20\x7f?#%\\:\"'<>{}|^`]")
"""What no asset id holds, and what would change the meaning of a URL."""

_PROJECT = re.compile(r"(?:[a-z0-9][a-z0-9.-]*:)?[a-z0-9][a-z0-9-]*")
"""A project id or number, with a domain for the old domain-scoped ones."""


def asset_name(asset: object) -> str:
    """Return the resource name of an asset id; a name stays as it is.

    `projects/P/assets/…` is a name already; `users/…` and `projects/…` are in `earthengine-legacy`, all else is in
    `earthengine-public`.

    Raises:
        InvalidInput: If it can be no asset: empty, with an empty or relative segment, or with URL characters.
    """
    if not isinstance(asset, str):
        raise InvalidInput(
            f"This is a {type(asset).__name__}, not an asset id or the id of a collection.",
            hint="Give the id, as text; a computed image is `Image.expression(...)`.",
        )
    segments = asset.split("/")
    if _UNSAFE.search(asset) or any(segment in {"", ".", ".."} for segment in segments):
        raise InvalidInput(
            f"{asset[:200]!r} is not an asset id.",
            hint="Give it as the catalogue writes it, such as `COPERNICUS/S2/…` or `projects/my-project/assets/…`.",
        )
    if _NAMED.fullmatch(asset):
        return asset
    return (_LEGACY if segments[0] in {"users", "projects"} else _PUBLIC) + asset


def asset_id(name: str) -> str:
    """Return the id of a resource name, as the catalogue and `Image.load` have it: the inverse of `asset_name`."""
    return name.removeprefix(_PUBLIC).removeprefix(_LEGACY)


def project_name(project: str) -> str:
    """Return `projects/P`, for a path.

    Raises:
        InvalidInput: If it can be no project id.
    """
    if not _PROJECT.fullmatch(project):
        raise InvalidInput(
            f"{project[:100]!r} is not a Google Cloud project id.",
            hint="Give the id (not the name) that the Cloud console shows, such as `my-project-123`.",
        )
    return f"projects/{project}"

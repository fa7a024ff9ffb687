"""Which path is which method: `v1`, `v1alpha` and `v1beta`, as the REST reference writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["pixels", "data", "thumbnail", "open"]

_PROJECT = r"(?P<name>projects/[^/:]+)"
_OPERATION = r"(?P<name>projects/[^/:]+/operations/[^/:]+)"
_MAP = r"(?P<name>projects/[^/:]+/maps/[^/:]+/tiles/\d+/-?\d+/-?\d+)"
_ASSET = r"(?P<name>projects/[^/:]+/assets/[^:]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of the REST surface."""

    name: str
    verb: str
    path: re.Pattern[str]
    """Of what follows the version; its group `name` is the resource."""
    kind: Kind
    """`pixels` and `data` need a token and count against the quota; `thumbnail` needs no token; `open` neither."""
    query: frozenset[str]
    """Its query parameters, beside those that every method has."""
    is_alpha: bool = False
    """Whether only `v1alpha` has it."""


EVERYWHERE = frozenset(
    {
        "$.xgafv",
        "access_token",
        "alt",
        "callback",
        "fields",
        "key",
        "oauth_token",
        "prettyPrint",
        "quotaUser",
        "uploadType",
        "upload_protocol",
    }
)
"""Query parameters that every method has."""
_PAGES = "pageSize pageToken filter view"
_OPERATIONS = "pageSize pageToken filter returnPartialSuccess"


def _route(name: str, verb: str, path: str, kind: Kind, query: str = "", *, is_alpha: bool = False) -> Route:
    return Route(
        name=name, verb=verb, path=re.compile(path), kind=kind, query=frozenset(query.split()), is_alpha=is_alpha
    )


_ROUTES = (
    _route("getPixels", "POST", _ASSET + ":getPixels", "pixels"),
    _route("computePixels", "POST", _PROJECT + "/image:computePixels", "pixels"),
    _route("thumbnails.getPixels", "GET", r"(?P<name>projects/[^/:]+/thumbnails/[^/:]+):getPixels", "thumbnail"),
    _route("thumbnails.create", "POST", _PROJECT + "/thumbnails", "data", "workloadTag"),
    _route("maps.create", "POST", _PROJECT + "/maps", "data", "workloadTag"),
    _route("maps.tiles.get", "GET", _MAP, "thumbnail"),
    _route("image.export", "POST", _PROJECT + "/image:export", "data"),
    _route(
        "operations.list", "GET", _PROJECT + "/operations", "data", "pageSize pageToken filter returnPartialSuccess"
    ),
    _route("operations.get", "GET", _OPERATION, "data"),
    _route("operations.wait", "POST", _OPERATION + ":wait", "data"),
    _route("operations.cancel", "POST", _OPERATION + ":cancel", "data"),
    _route("operations.delete", "DELETE", _OPERATION, "data"),
    _route("value.compute", "POST", _PROJECT + "/value:compute", "data"),
    _route("listImages", "GET", _ASSET + ":listImages", "data", _PAGES + " startTime endTime region", is_alpha=True),
    _route("listAssets", "GET", r"(?P<name>projects/[^/:]+(/assets/[^:]+)?):listAssets", "data", _PAGES),
    _route("algorithms", "GET", _PROJECT + "/algorithms", "data", "pageSize pageToken"),
    _route("assets.get", "GET", _ASSET, "data"),
)
_OPEN = {
    ("GET", "/$discovery/rest"): _route("discovery", "GET", "", "open"),
    ("POST", "/token"): _route("token", "POST", "", "open"),
    ("GET", "/__emulator__/stats"): _route("stats", "GET", "", "open"),
    ("GET", "/__emulator__/settings"): _route("settings", "GET", "", "open"),
    ("POST", "/__emulator__/settings"): _route("configure", "POST", "", "open"),
    ("POST", "/__emulator__/script"): _route("script", "POST", "", "open"),
    ("POST", "/__emulator__/reset"): _route("reset", "POST", "", "open"),
    ("POST", "/__emulator__/expire_tokens"): _route("expire_tokens", "POST", "", "open"),
}
_VERSIONED = re.compile(r"/(v1|v1alpha|v1beta)/(.+)")


def resolved(verb: str, path: str) -> tuple[Route, str] | None:
    """Answer the route of a decoded path and the name of the resource in it; `None` if there is no such method."""
    if (verb, path) in _OPEN:
        return _OPEN[verb, path], ""
    versioned = _VERSIONED.fullmatch(path)
    if versioned is None:
        return None
    version, rest = versioned.groups()
    for route in _ROUTES:
        found = (
            route.path.fullmatch(rest) if route.verb == verb and (version == "v1alpha" or not route.is_alpha) else None
        )
        if found:
            return route, found["name"]
    return None

"""What the official client reads before its first call: the discovery document and the algorithms.

The document is our own, written from the public reference; the algorithms' signatures are those that the
`earthengine-api` package carries, where it is installed.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from eezarr.emulator.routing import EVERYWHERE

if TYPE_CHECKING:
    from eezarr.emulator.raster import Json

Call: TypeAlias = tuple[str, str, str, str]

_PATTERNS = {
    "project": "^projects/[^/]+$",
    "asset": "^projects/[^/]+/assets/.+$",
    "operation": "^projects/[^/]+/operations/.+$",
    "thumbnail": "^projects/[^/]+/thumbnails/[^/]+$",
    "map": "^projects/[^/]+/maps/[^/]+$",
    "config": "^projects/[^/]+/config$",
}
_PAGES = "pageSize pageToken filter view"
# (resource.method, verb, path with {+variable=kind}, query parameters).
# Source: https://developers.google.com/earth-engine/reference/rest
_CALLS: tuple[Call, ...] = (
    ("listAssets", "GET", "{+parent=project}:listAssets", _PAGES),
    ("getConfig", "GET", "{+name=config}", ""),
    ("updateConfig", "PATCH", "{+name=config}", "updateMask"),
    ("algorithms.list", "GET", "{+parent=project}/algorithms", "pageSize pageToken"),
    ("assets.get", "GET", "{+name=asset}", ""),
    ("assets.getPixels", "POST", "{+name=asset}:getPixels", ""),
    ("assets.listAssets", "GET", "{+parent=asset}:listAssets", _PAGES),
    ("assets.listImages", "GET", "{+parent=asset}:listImages", _PAGES + " startTime endTime region"),
    ("assets.listFeatures", "GET", "{+parent=asset}:listFeatures", "pageSize pageToken filter region"),
    ("assets.create", "POST", "{+parent=project}/assets", "assetId overwrite"),
    ("assets.copy", "POST", "{+sourceName=asset}:copy", ""),
    ("assets.move", "POST", "{+sourceName=asset}:move", ""),
    ("assets.patch", "PATCH", "{+name=asset}", "updateMask"),
    ("assets.delete", "DELETE", "{+name=asset}", ""),
    ("assets.getIamPolicy", "POST", "{+resource=asset}:getIamPolicy", ""),
    ("assets.setIamPolicy", "POST", "{+resource=asset}:setIamPolicy", ""),
    ("image.computePixels", "POST", "{+project=project}/image:computePixels", ""),
    ("image.export", "POST", "{+project=project}/image:export", ""),
    ("imageCollection.computeImages", "POST", "{+project=project}/imageCollection:computeImages", ""),
    ("table.computeFeatures", "POST", "{+project=project}/table:computeFeatures", ""),
    ("table.export", "POST", "{+project=project}/table:export", ""),
    ("map.export", "POST", "{+project=project}/map:export", ""),
    ("video.export", "POST", "{+project=project}/video:export", ""),
    ("value.compute", "POST", "{+project=project}/value:compute", ""),
    ("maps.create", "POST", "{+parent=project}/maps", "workloadTag"),
    ("maps.tiles.get", "GET", "{+parent=map}/tiles/{zoom}/{x}/{y}", ""),
    ("thumbnails.create", "POST", "{+parent=project}/thumbnails", "workloadTag"),
    ("thumbnails.getPixels", "GET", "{+name=thumbnail}:getPixels", ""),
    ("operations.list", "GET", "{+name=project}/operations", "filter pageSize pageToken"),
    ("operations.get", "GET", "{+name=operation}", ""),
    ("operations.wait", "POST", "{+name=operation}:wait", ""),
    ("operations.cancel", "POST", "{+name=operation}:cancel", ""),
    ("operations.delete", "DELETE", "{+name=operation}", ""),
)
# Clients make their `…_next` methods where a reply has a `nextPageToken`.
_PAGE: Json = {"type": "object", "properties": {"nextPageToken": {"type": "any"}}}


def document(base_url: str, version: str) -> dict[str, Json]:
    """Answer the discovery document of a service at `base_url` (which ends in a slash)."""
    projects: dict[str, Json] = {}
    for name, verb, path, query in _CALLS:
        *resources, method = name.split(".")
        node = projects
        for resource in resources:
            node = _child(_child(node, "resources"), resource)
        _child(node, "methods")[method] = _method(name, verb, f"{version}/{path}", query)
    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": f"earthengine:{version}",
        "name": "earthengine",
        "version": version,
        "title": "Google Earth Engine API",
        "protocol": "rest",
        "rootUrl": base_url,
        "baseUrl": base_url,
        "basePath": "",
        "servicePath": "",
        "batchPath": "batch",
        "fullyEncodeReservedExpansion": True,
        "parameters": {name: {"type": "string", "location": "query"} for name in sorted(EVERYWHERE)},
        "schemas": {},
        "resources": {"projects": projects},
    }


def _child(node: dict[str, Json], name: str) -> dict[str, Json]:
    child = node.setdefault(name, {})
    assert isinstance(child, dict)
    return child


def _method(name: str, verb: str, path: str, query: str) -> dict[str, Json]:
    parameters: dict[str, Json] = {}
    for variable, kind in re.findall(r"\{\+?(\w+)(?:=(\w+))?\}", path):
        parameters[variable] = {
            "type": "string",
            "location": "path",
            "required": True,
            "pattern": _PATTERNS.get(kind, "^.*$"),
        }
    order: list[Json] = list(parameters)
    for parameter in query.split():
        kind = "integer" if parameter == "pageSize" else "string"
        parameters[parameter] = {"type": kind, "location": "query"}
    method: dict[str, Json] = {
        "id": f"earthengine.projects.{name}",
        "httpMethod": verb,
        "path": re.sub(r"=\w+\}", "}", path),
        "parameters": parameters,
        "parameterOrder": order,
        "response": _PAGE if "pageToken" in parameters else {"type": "any"},
    }
    if verb in ("POST", "PATCH"):
        method["request"] = {"type": "any"}
    return method


@cache
def algorithms() -> bytes:
    """Answer the reply of `algorithms.list`: the signatures in the installed `earthengine-api`, or none without it."""
    spec = importlib.util.find_spec("ee")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "tests", "algorithms.json")
        if path.is_file():
            return path.read_bytes()
    return b"{}"

"""The emulator's messages, methods and query parameters are those that Google's own clients know: no more, no fewer."""

import pytest

from eezarr.emulator import schemas
from eezarr.emulator.routing import _ROUTES, EVERYWHERE, resolved
from eezarr.emulator.schemas import Enum, MapOf, Message, Repeated, Scalar
from wire import ALPHA, LISTED, MESSAGES, METHODS, QUERIES

PARSED = {
    "GetPixelsRequest": schemas.GET_PIXELS,
    "ComputePixelsRequest": schemas.COMPUTE_PIXELS,
    "ComputeValueRequest": schemas.COMPUTE_VALUE,
    "Thumbnail": schemas.THUMBNAIL,
    "EarthEngineMap": schemas.MAP,
    "ExportImageRequest": schemas.EXPORT_IMAGE,
    "WaitOperationRequest": schemas.WAIT,
    "CancelOperationRequest": schemas.NOTHING,
}


def differences(schema, kind, place):
    """What a schema has and the listed message has not, or the other way round."""
    facts = MESSAGES[kind]
    yield from (f"{place}.{key} is too much" for key in schema.fields.keys() - set(facts["keys"]))
    yield from (f"{place}.{key} is missing" for key in set(facts["keys"]) - schema.fields.keys())
    for key in schema.fields.keys() & set(facts["keys"]):
        field, inner = schema.fields[key], f"{place}.{key}"
        if isinstance(field, Message):
            yield from _nested(field, facts.get("objects", {}).get(key), inner)
        elif isinstance(field, Repeated) and isinstance(field.item, Message):
            yield from _nested(field.item, facts.get("arrays", {}).get(key), inner)
        elif isinstance(field, Enum) or (isinstance(field, MapOf) and isinstance(field.value, Enum)):
            names = field.names if isinstance(field, Enum) else field.value.names
            if sorted(names) != facts.get("enums", {}).get(key):
                yield f"{inner} has other names"
        elif isinstance(field, MapOf) != (key in facts.get("objectMaps", {})) and field != Scalar("struct"):
            yield f"{inner} is a map on one side only"


def _nested(message, kind, place):
    if kind is None:
        yield f"{place} is a message on one side only"
    elif kind != "Expression":  # its nodes have a reader of their own
        yield from differences(message, kind, place)


@pytest.mark.parametrize("kind", PARSED)
def test_messages_are_the_clients(kind):
    assert list(differences(PARSED[kind], kind, kind)) == []


def test_expressions_are_the_clients():
    assert list(differences(schemas.EXPRESSION, "Expression", "expression")) == []
    node = MESSAGES["ValueNode"]
    assert schemas.VALUE_NODE.keys() == set(node["keys"])
    for kind, fields in schemas.VALUE_NODE.items():
        listed = MESSAGES[node["objects"][kind]]["keys"] if kind in node["objects"] else []
        assert sorted(fields) == listed


def test_methods_and_their_queries_are_the_clients():
    samples = {"projects": "projects/p", "assets": "projects/p/assets/a", "operations": "projects/p/operations/o"}
    samples |= {"thumbnails": "projects/p/thumbnails/t", "maps": "projects/p/maps/m"}
    found = {}
    for name, method in METHODS.items():
        if ".locations." in name or not name.startswith("earthengine.projects."):
            continue
        path = method["path"].replace("{version}", "v1").replace("{zoom}/{x}/{y}", "1/0/0")
        for variable, pattern in method["patterns"].items():
            kind = next((kind for kind in reversed(samples) if f"/{kind}/" in pattern), "projects")
            path = path.replace(f"{{{variable}}}", samples[kind])
        route = resolved(method["verb"], path)
        if route is not None:
            found[name] = route[0]
    for name, route in found.items():
        assert route.query == QUERIES.get(name, set()), name
    [alpha] = ALPHA
    route, _ = resolved("GET", "/v1alpha/projects/p/assets/a:listImages")
    assert route.query == QUERIES[alpha]
    assert {route.name for route in found.values()} | {"listImages"} == {route.name for route in _ROUTES}


def test_query_parameters_are_listed():
    known = set(LISTED["query"])
    assert known >= EVERYWHERE
    assert set().union(*(QUERIES[name] for name in QUERIES.keys() - ALPHA.keys())) <= known

"""Requests as they went over the wire, held against the lists of `public_lists`: what others say the API has."""

import json
import re
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

LISTS = Path(__file__).parent / "public_lists"
LISTED = json.loads((LISTS / "messages.json").read_text(encoding="utf-8"))
OTHERS = json.loads((LISTS / "algorithms.json").read_text(encoding="utf-8"))
MESSAGES, METHODS, FUNCTIONS = LISTED["messages"], LISTED["methods"], OTHERS["functions"]
ALPHA = {name: method for name, method in OTHERS["methods"].items() if name.endswith(".listImages")}
"""Methods that v1 does not have."""

MAX_LINE = 2048

EVERYWHERE = {"$.xgafv", "access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser"}
EVERYWHERE |= {"uploadType", "upload_protocol"}
QUERIES = {
    "earthengine.projects.listAssets": {"pageSize", "pageToken", "filter", "view"},
    "earthengine.projects.assets.listAssets": {"pageSize", "pageToken", "filter", "view"},
    "earthengine.projects.operations.list": {"pageSize", "pageToken", "filter", "returnPartialSuccess"},
    "earthengine.projects.algorithms.list": {"pageSize", "pageToken"},
    "earthengine.projects.thumbnails.create": {"workloadTag"},
    "earthengine.projects.maps.create": {"workloadTag"},
} | {name: set(method["query"]) for name, method in ALPHA.items()}
"""Query parameters beside those that every method has; the lists have names, the reference's pages say whose they are.

Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.assets/listAssets and the pages beside it.
"""

BODIES = {
    "earthengine.projects.assets.getPixels": "GetPixelsRequest",
    "earthengine.projects.image.computePixels": "ComputePixelsRequest",
    "earthengine.projects.image.export": "ExportImageRequest",
    "earthengine.projects.value.compute": "ComputeValueRequest",
    "earthengine.projects.thumbnails.create": "Thumbnail",
    "earthengine.projects.maps.create": "EarthEngineMap",
    "earthengine.projects.imageCollection.computeImages": "ComputeImagesRequest",
    "earthengine.projects.table.computeFeatures": "ComputeFeaturesRequest",
    "earthengine.projects.operations.wait": "WaitOperationRequest",
    "earthengine.projects.operations.cancel": "CancelOperationRequest",
}
"""The message that a method's body is."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def is_override(self):
        return "x-http-method-override" in self.headers

    @property
    def verb(self):
        return self.headers.get("x-http-method-override", self.line.split()[0])

    @property
    def path(self):
        return unquote(urlsplit(self.line.split()[1]).path)

    @property
    def query(self):
        text = self.body.decode() if self.is_override else urlsplit(self.line.split()[1]).query
        return dict(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)))

    @property
    def message(self):
        return None if self.is_override or not self.body else json.loads(self.body)

    @property
    def method(self):
        """The method's id, by verb and path; listImages is v1alpha's."""
        for name, method in (ALPHA | METHODS).items():
            if method["verb"] == self.verb and _path_pattern(name, method).fullmatch(self.path):
                return name
        return None


def _path_pattern(name, method):
    """The paths of a method: more than one of those that fit a name are told apart by what the name may be."""
    if name in ALPHA:
        return re.compile(r"/v1alpha/projects/[^/]+/assets/.+:listImages")
    pattern = ""
    for piece in re.split(r"(\{\w+\})", method["path"]):
        if piece == "{version}":
            pattern += "v1(?:alpha|beta)?"
        elif piece.startswith("{"):
            pattern += f"(?:{_named(method['patterns'].get(piece[1:-1], '[^/:]+'))})"
        else:
            pattern += re.escape(piece)
    return re.compile(pattern)


def _named(pattern):
    """A resource's name without a colon: the verb after it is none of its own."""
    return pattern.strip("^$").replace(".*", "[^:]*")


def problems(request):
    """What is wrong with a request by the lists: a list of texts."""
    found = []
    if len(request.line) > MAX_LINE:
        found.append(f"a line of {len(request.line)} bytes")
    name = request.method
    if name is None:
        return [*found, "no such method"]
    unknown = request.query.keys() - QUERIES.get(name, set()) - EVERYWHERE
    found += [f"query parameter {each}" for each in sorted(unknown)]
    if request.is_override:
        is_form = request.headers.get("content-type") == "application/x-www-form-urlencoded"
        found += [] if is_form and request.line.startswith("POST ") else ["a POST in another verb's stead is a form"]
    elif (request.message is None) == bool(METHODS.get(name, {}).get("hasBody")):
        found.append("a body where there is none, or none where there is one")
    if request.message is not None:
        if request.headers.get("content-type") != "application/json":
            found.append("a body that is not said to be JSON")
        found += list(message_problems(request.message, BODIES[name]))
    return [f"{name}: {each}" for each in found]


def message_problems(message, kind, place=""):
    """What is wrong with a message by the lists: unknown keys and enum values, arrays and objects in others' places."""
    facts = MESSAGES[kind]
    if not isinstance(message, dict):
        yield f"{place} is no {kind}"
        return
    if kind == "ValueNode" and len(message) != 1:
        yield f"{place} is {len(message)} values"
    for key, value in message.items():
        inner = f"{place}.{key}" if place else key
        if key in facts["keys"]:
            yield from _field_problems(value, key, facts, inner)
        else:
            yield f"{inner} is not in {kind}"
    if kind == "FunctionInvocation":
        yield from call_problems(message, place)


def _field_problems(value, key, facts, place):
    within = facts.get("objectMaps", {}).get(key)
    names = facts.get("enums", {}).get(key)
    if within is not None and not isinstance(value, dict):
        yield f"{place} is no object"
    elif names is not None:
        yield from (f"{place} is {each}" for each in (value.values() if within else [value]) if each not in names)
    elif within is not None and within["of"] is not None:
        for name, item in value.items():
            yield from message_problems(item, within["of"], f"{place}.{name}")
    elif key in facts.get("objects", {}):
        yield from message_problems(value, facts["objects"][key], place)
    elif key in facts.get("arrays", {}):
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            yield from message_problems(item, facts["arrays"][key], f"{place}[{index}]")


def call_problems(call, place):
    """What is wrong with a call by the functions' signatures."""
    name = call.get("functionName")
    if name is None:
        return
    if name not in FUNCTIONS:
        yield f"{place}: no function {name}"
        return
    arguments = FUNCTIONS[name]["arguments"]
    unknown = call.get("arguments", {}).keys() - {each["name"] for each in arguments}
    missing = {each["name"] for each in arguments if not each["optional"]} - call.get("arguments", {}).keys()
    yield from (f"{name} has no argument {each}" for each in sorted(unknown))
    yield from (f"{name} needs its argument {each}" for each in sorted(missing))


class Recorder:
    """A relay before a service on this machine that keeps the requests as they came."""

    def __init__(self, url):
        self._target = urlsplit(url)
        self._streams = []
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self.url = f"http://127.0.0.1:{self._sockets[0].getsockname()[1]}"

    @property
    def requests(self):
        """All requests so far, connection by connection."""
        return [request for stream in list(self._streams) for request in read_requests(bytes(stream))]

    def start(self):
        self._threads[0].start()

    def close(self):
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _serve(self):
        while True:
            try:
                client, _ = self._sockets[0].accept()
            except OSError:
                return
            service = socket.create_connection((self._target.hostname, self._target.port))
            stream = bytearray()
            self._streams.append(stream)
            self._sockets += [client, service]
            for source, target, copy in ((client, service, stream), (service, client, None)):
                self._threads.append(threading.Thread(target=_pass_on, args=(source, target, copy), daemon=True))
                self._threads[-1].start()


def _pass_on(source, target, copy):
    with suppress(OSError):  # one end has left
        while piece := source.recv(2**16):
            if copy is not None:
                copy += piece
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


def read_requests(stream):
    """The requests of one connection."""
    while stream:
        head, _, stream = stream.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        if headers.get("transfer-encoding", "") == "chunked":
            body = bytearray()
            while True:
                size, _, stream = stream.partition(b"\r\n")
                length = int(size, 16)
                body += stream[:length]
                stream = stream[length + 2 :]
                if not length:
                    break
        else:
            length = int(headers.get("content-length", 0))
            body, stream = stream[:length], stream[length:]
        yield Request(line=line, headers=headers, body=bytes(body))


@contextmanager
def recording(url):
    """A recorder before a service, until the block ends."""
    recorder = Recorder(url)
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.close()

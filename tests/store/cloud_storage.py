"""A small Google Cloud Storage on loopback: the XML API's objects and listings, strict about what it is sent.

It keeps objects in memory, answers listings a few keys a page, honours preconditions on generations, and, with a public
key, admits only requests that carry a JWT signed by it, as a service account's key file makes them.

Source: https://cloud.google.com/storage/docs/xml-api/reference-methods,
https://developers.google.com/identity/protocols/oauth2/service-account#jwt-auth
"""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

KEYS_A_PAGE = 3
SCOPES = {
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/devstorage.read_write",
    "https://www.googleapis.com/auth/devstorage.full_control",
}
LISTING_PARAMETERS = {"list-type", "prefix", "delimiter", "continuation-token", "max-keys", "start-after"}


@dataclass
class CloudStorage:
    """What the server keeps."""

    buckets: dict[str, dict[str, tuple[int, bytes]]] = field(default_factory=dict)
    public_key: object = None
    complaints: list[str] = field(default_factory=list)
    generation: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"storage": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def is_admitted(self, authorization: str) -> bool:
        if self.public_key is None:
            return authorization.strip() in {"", "Bearer"}
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or token.count(".") != 2:
            return False
        signed, _, signature = token.rpartition(".")
        header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        try:
            self.public_key.verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return header["alg"] == "RS256" and claims["exp"] > time.time() and claims["scope"] in SCOPES


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class _Handler(BaseHTTPRequestHandler):
    storage: ClassVar[CloudStorage]
    protocol_version = "HTTP/1.1"

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        bucket_name, _, key = (unquote(part) for part in parts.path.lstrip("/").partition("/"))
        parameters = dict(parse_qsl(parts.query))
        with self.storage.lock:
            if not self.storage.is_admitted(self.headers.get("authorization", "")):
                self._answer(401, _error("AuthenticationRequired"))
            elif bucket_name not in self.storage.buckets:
                self._answer(404, _error("NoSuchBucket"))
            elif key:
                self._object(self.storage.buckets[bucket_name], key, parameters, body)
            elif self.command == "GET":
                self._list(self.storage.buckets[bucket_name], parameters)
            else:
                self._complain()

    do_GET = do_PUT = do_DELETE = do_POST = do_HEAD = _serve  # noqa: N815 -- the names that http.server asks for

    def _object(self, bucket, key, parameters, body):
        generation, stored = bucket.get(key, (0, b""))
        wanted = self.headers.get("x-goog-if-generation-match")
        if parameters or self.command not in {"GET", "PUT", "DELETE", "HEAD"}:
            self._complain()
        elif self.command == "PUT":
            if "content-length" not in self.headers:
                self._answer(411, _error("MissingContentLength"))
            elif wanted is not None and int(wanted) != generation:
                self._answer(412, _error("PreconditionFailed"))
            else:
                self.storage.generation += 1
                bucket[key] = (self.storage.generation, body)
                self._answer(200, b"", self.storage.generation)
        elif not generation:
            self._answer(404, _error("NoSuchKey"))
        elif self.command == "DELETE":
            del bucket[key]
            self._answer(204, b"")
        elif "range" in self.headers:
            first, _, last = self.headers["range"].removeprefix("bytes=").partition("-")
            start = int(first) if first else len(stored) - int(last)
            stop = int(last) + 1 if first and last else len(stored)
            part = stored[start:stop]
            self._answer(206, part, generation, f"bytes {start}-{start + len(part) - 1}/{len(stored)}")
        else:
            self._answer(200, stored, generation)

    def _list(self, bucket, parameters):
        if not set(parameters) <= LISTING_PARAMETERS or parameters.get("list-type") != "2":
            self._complain()
            return
        prefix, delimiter = parameters.get("prefix", ""), parameters.get("delimiter", "")
        entries = set()
        for key in bucket:
            if key.startswith(prefix):
                rest = key[len(prefix) :]
                is_folder = bool(delimiter) and delimiter in rest
                entries.add((prefix + rest.partition(delimiter)[0] + delimiter if is_folder else key, is_folder))
        after = parameters.get("continuation-token", parameters.get("start-after", ""))
        left = sorted(entry for entry in entries if entry[0] > after)
        page = left[:KEYS_A_PAGE]
        found = "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
            if is_folder
            else f"<Contents><Key>{escape(name)}</Key><Generation>{bucket[name][0]}</Generation>"
            f"<LastModified>2026-11-20T12:00:00.000Z</LastModified><ETag>&quot;{bucket[name][0]}&quot;</ETag>"
            f"<Size>{len(bucket[name][1])}</Size></Contents>"
            for name, is_folder in page
        )
        more = f"<NextContinuationToken>{escape(page[-1][0])}</NextContinuationToken>" if page != left else ""
        self._answer(200, f"<ListBucketResult>{found}{more}</ListBucketResult>".encode())

    def _complain(self):
        self.storage.complaints.append(f"{self.command} {self.path}")
        self._answer(400, _error("NotImplemented"))

    def _answer(self, status, body, generation=None, content_range=None):
        self.send_response(status)
        if generation is not None:
            self.send_header("ETag", f'"{generation}"')
            self.send_header("x-goog-generation", str(generation))
            self.send_header("Last-Modified", formatdate(usegmt=True))
        if content_range is not None:
            self.send_header("Content-Range", content_range)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        """Print nothing."""


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()

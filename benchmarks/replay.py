"""A service that costs next to nothing: what the emulator answered once is sent again from memory, byte by byte.

    python -m benchmarks.replay --upstream URL [--gzip] [--periodic] [--tls CERTIFICATE KEY]

The emulator computes its pixels, which takes longer than any client's work on them. Here each request is asked of it
once; its status, headers and body are kept, and the same request is answered by `sendfile` from then on. So a first run
of each client fills the memory, and measured runs meet a service that takes a tenth of a client's CPU.

With `--periodic`, computePixels of whatever size is answered from one block of 1024 x 1024 real pixels that repeats
over the plane, and equal bodies are kept once, so that terabytes cost nothing either. Latency, jitter and stragglers
are added on request; which draw a request gets depends on its bytes and on how often it came, not on the moment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import signal
import socket
import ssl
import sys
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.launch import core_seconds
from benchmarks.periodic import Periodic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PASSED = ("Host", "Content-Type", "Accept", "Accept-Encoding", "User-Agent", "Authorization", "X-Goog-User-Project")
_KEPT = ("Content-Type", "Content-Encoding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """(base + per megabyte of pixels) x log-normal jitter, and stragglers; seconds."""

    base_s: float = 0.0
    per_megabyte_s: float = 0.0
    jitter: float = 0.0
    straggler_fraction: float = 0.0
    straggler_factor: float = 20.0
    seed: int = 0

    def seconds(self, nbytes: int, request: bytes, attempt: int) -> float:
        """Return how long one answer takes."""
        draw = random.Random(f"{self.seed} {zlib.crc32(request)} {attempt}")  # noqa: S311 - a simulation
        factor = math.exp(self.jitter * draw.gauss(0, 1))
        factor *= self.straggler_factor if draw.random() < self.straggler_fraction else 1.0
        return (self.base_s + self.per_megabyte_s * nbytes / 1e6) * factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def is_for_pixels(self) -> bool:
        """Whether pixels are asked for."""
        return self.path.partition("?")[0].endswith("Pixels")

    @property
    def is_for_gzip(self) -> bool:
        """Whether Google's servers would compress for this client: both headers must say gzip."""
        agent, encodings = self.headers.get("user-agent", ""), self.headers.get("accept-encoding", "")
        return "gzip" in agent and "gzip" in encodings


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: its head, and where in memory its body is."""

    head: bytes
    offset: int
    size: int


@dataclass(slots=True)
class Counts:
    """What was asked since the last reset."""

    pixel_requests: int = 0
    metadata_requests: int = 0
    misses: int = 0
    """Requests that the emulator had to answer."""
    bytes_sent: int = 0
    first_pixel_s: float | None = None
    """When the first request for pixels came, by the machine's steady clock."""
    first_core_seconds: tuple[float, float] | None = None
    """Busy and total seconds of all cores at that moment."""
    drawn_s: list[float] = field(default_factory=list)
    """The latency of each request for pixels, in the order they came."""
    most_open: int = 0
    """Requests for pixels that were being answered at once, at the most, their bodies included."""


class Replay:
    """Remembers answers, and gives them.

    Args:
        upstream: The emulator's URL.
        periodic: Makes bodies itself, if it can.
        is_gzip: Whether the emulator compresses for clients that ask.
    """

    def __init__(self, upstream: str, *, periodic: Periodic | None, is_gzip: bool) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._periodic = periodic
        self._is_gzip = is_gzip
        self._arena = os.memfd_create("replay")
        self._arena_size = 0
        self._places: dict[bytes, int] = {}
        self._answers: dict[tuple[str, str, bytes, bool], Answer] = {}
        self._attempts: dict[bytes, int] = {}
        self._lock = threading.Lock()
        self._open = 0
        self.counts = Counts()
        self.latency = Latency()

    @contextmanager
    def counting(self, request: Request) -> Iterator[None]:
        """Count a request for pixels as open while the body runs."""
        change = int(request.is_for_pixels)
        with self._lock:
            self._open += change
            self.counts.most_open = max(self.counts.most_open, self._open)
        try:
            yield
        finally:
            with self._lock:
                self._open -= change

    def answer(self, request: Request) -> Answer:
        """Return the answer to a request, after its latency."""
        known = self._answers.get(self._key(request))
        if known is None:
            known = self._learn(request)
        with self._lock:
            if not request.is_for_pixels:
                self.counts.metadata_requests += 1
                return known
            if self.counts.first_pixel_s is None:
                self.counts.first_pixel_s, self.counts.first_core_seconds = time.monotonic(), core_seconds()
            attempt = self._attempts[request.body] = self._attempts.get(request.body, 0) + 1
            wait_s = self.latency.seconds(known.size, request.body, attempt)
            self.counts.pixel_requests += 1
            self.counts.bytes_sent += known.size
            self.counts.drawn_s.append(wait_s)
        if wait_s:
            time.sleep(wait_s)
        return known

    def send(self, connection: socket.socket, answer: Answer) -> None:
        """Send an answer: the body goes from memory to the socket within the kernel, unless it is encrypted."""
        connection.sendall(answer.head, 0 if isinstance(connection, ssl.SSLSocket) else socket.MSG_MORE)
        start, end = answer.offset, answer.offset + answer.size
        while start < end:
            if isinstance(connection, ssl.SSLSocket):
                part = os.pread(self._arena, min(1 << 20, end - start), start)
                connection.sendall(part)
                start += len(part)
            else:
                start += os.sendfile(connection.fileno(), self._arena, start, end - start)

    def control(self, name: str, body: bytes) -> bytes:
        """Do what `/__replay__/NAME` asks for, and return JSON."""
        with self._lock:
            if name == "latency":
                self.latency = Latency(**json.loads(body))
            if name in {"latency", "reset"}:
                self.counts = Counts()
                self._attempts.clear()
            return json.dumps(asdict(self.counts)).encode()

    def _key(self, request: Request) -> tuple[str, str, bytes, bool]:
        return request.method, request.path, request.body, self._is_gzip and request.is_for_gzip

    def _learn(self, request: Request) -> Answer:
        with self._lock:
            self.counts.misses += 1
        body = self._periodic.body(request.body, lambda asked: self._ask(request, asked)[2]) if self._periodic else None
        status, headers, content = (200, {}, body) if body is not None else self._ask(request, request.body)
        answer = self._kept(status, headers, content)
        if status < 429:
            self._answers[self._key(request)] = answer
        return answer

    def _ask(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection(*self._upstream)
        try:
            headers = {name: request.headers[name.lower()] for name in _PASSED if name.lower() in request.headers}
            connection.request(request.method, request.path, body=body or None, headers=headers)
            response = connection.getresponse()
            content = response.read()
            kept = {name: value for name in _KEPT if (value := response.headers.get(name))}
            return response.status, kept, content
        finally:
            connection.close()

    def _kept(self, status: int, headers: dict[str, str], body: bytes) -> Answer:
        lines = [f"HTTP/1.1 {status} Replayed", *(f"{name}: {value}" for name, value in headers.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
        return Answer(head=head, offset=self._place(body), size=len(body))

    def _place(self, body: bytes) -> int:
        """Where a body is in memory: once, however many requests it answers."""
        digest = hashlib.blake2b(body).digest()
        with self._lock:
            if digest not in self._places:
                view, written = memoryview(body), 0
                while written < len(body):
                    written += os.pwrite(self._arena, view[written:], self._arena_size + written)
                self._places[digest], self._arena_size = self._arena_size, self._arena_size + len(body)
            return self._places[digest]


def serve(listener: socket.socket, replay: Replay, wrap: Callable[[socket.socket], socket.socket]) -> None:
    """Accept connections for ever, a thread each: threads that wait in the kernel cost nothing."""
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_converse, args=(connection, replay, wrap), daemon=True).start()


def _converse(plain: socket.socket, replay: Replay, wrap: Callable[[socket.socket], socket.socket]) -> None:
    try:
        with wrap(plain) as connection, connection.makefile("rb") as stream:
            while (request := _read(stream.readline, stream.read)) is not None:
                if request.path.startswith("/__replay__/"):
                    text = replay.control(request.path.removeprefix("/__replay__/"), request.body)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
                else:
                    with replay.counting(request):
                        replay.send(connection, replay.answer(request))
    except (ConnectionError, ssl.SSLError):
        pass  # the client has gone


def _read(line: Callable[[], bytes], read: Callable[[int], bytes]) -> Request | None:
    first = line().decode("latin-1").split()
    if len(first) < 2:
        return None
    headers: dict[str, str] = {}
    while text := line().decode("latin-1").strip():
        name, _, value = text.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = read(int(headers.get("content-length", 0)))
    return Request(method=first[0], path=first[1], headers=headers, body=body)


def main() -> None:
    """Serve until terminated; the first line printed is the URL."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--periodic", action="store_true")
    parser.add_argument("--gzip", action="store_true", help="the emulator compresses for clients that ask")
    parser.add_argument("--tls", type=Path, nargs=2, metavar=("CERTIFICATE", "KEY"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
    sys.stdout.write(f"{'https' if context else 'http'}://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    replay = Replay(options.upstream, periodic=Periodic() if options.periodic else None, is_gzip=options.gzip)
    serve(listener, replay, (lambda plain: context.wrap_socket(plain, server_side=True)) if context else lambda p: p)


if __name__ == "__main__":
    main()

"""Receiving bodies the fastest ways there are: a socket that fills a reused buffer, bare, in asyncio, with TLS."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import json
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.scenes import CRS, ORIGIN, SCENE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Receiver", "receive_in_loop", "write_certificate"]

_HEAD_BYTES = 64 << 10


@dataclass(slots=True)
class Receiver:
    """One connection that asks for the same tile again and again."""

    url: str
    bands: tuple[str, ...]
    side: int
    """Pixels of the tile's side."""
    buffer: bytearray
    """Where bodies are received, from the first byte on."""
    _connection: socket.socket | None = None

    def receive(self) -> int:
        """Ask once, receive the body into the buffer with as few copies as there can be, and return its bytes."""
        connection = self._connection = self._connection or _connected(self.url)
        connection.sendall(self.request())
        head = bytearray()
        while (end := head.find(b"\r\n\r\n")) < 0:
            head += connection.recv(_HEAD_BYTES)
        size, begin = _content_length(bytes(head[:end])), bytes(head[end + 4 :])
        view = memoryview(self.buffer)
        view[: len(begin)] = begin
        got = len(begin)
        while got < size:
            got += connection.recv_into(view[got:size])
        return size

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def request(self) -> bytes:
        """Return the request for the tile at the scene's corner."""
        constants = {
            "id": {"constantValue": f"projects/earthengine-public/assets/{SCENE}"},
        }
        load = {"functionInvocationValue": {"functionName": "Image.load", "arguments": constants}}
        affine = {"scaleX": 10, "shearX": 0, "translateX": ORIGIN[0]}
        affine |= {"shearY": 0, "scaleY": -10, "translateY": ORIGIN[1]}
        document = {
            "expression": {"result": "0", "values": {"0": load}},
            "fileFormat": "NPY",
            "bandIds": list(self.bands),
            "grid": {
                "dimensions": {"width": self.side, "height": self.side},
                "affineTransform": affine,
                "crsCode": CRS,
            },
        }
        body = json.dumps(document).encode()
        head = f"POST /v1/projects/p/image:computePixels HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
        return f"{head}\r\n\r\n".encode() + body


class _IntoBuffer(asyncio.BufferedProtocol):
    """Receives one body after the other into the same memory."""

    def __init__(self, receiver: Receiver) -> None:
        self._view = memoryview(receiver.buffer)
        self._head = memoryview(bytearray(_HEAD_BYTES))
        self.expect()

    def expect(self) -> None:
        """Get ready for the next body."""
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._got_head, self._got, self._size = 0, 0, -1

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go; see `asyncio.BufferedProtocol`."""
        del sizehint
        return self._head[self._got_head :] if self._size < 0 else self._view[self._got : self._size]

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of bytes that have come; see `asyncio.BufferedProtocol`."""
        if self._size < 0:
            self._got_head += nbytes
            head, found, begin = bytes(self._head[: self._got_head]).partition(b"\r\n\r\n")
            if not found:
                return
            self._size, self._got = _content_length(head), len(begin)
            self._view[: len(begin)] = begin
        else:
            self._got += nbytes
        if self._got == self._size:
            self.done.set_result(self._size)


def receive_in_loop(receiver: Receiver, times: int) -> int:
    """Receive so many bodies in an event loop, one after the other, and return the bytes of the last."""

    async def work() -> int:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(lambda: _IntoBuffer(receiver), *_place(receiver.url))
        size = 0
        for _ in range(times):
            transport.write(receiver.request())
            size = await protocol.done
            protocol.expect()
        transport.close()
        return size

    return asyncio.run(work())


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for this machine's loopback and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def _connected(url: str) -> socket.socket:
    connection = socket.create_connection(_place(url))
    if url.startswith("https:"):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # its own certificate, made a moment ago
        return context.wrap_socket(connection)
    return connection


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return parts.hostname, parts.port or 80


def _content_length(head: bytes) -> int:
    lines = (line.split(b":", 1) for line in head.split(b"\r\n")[1:])
    return int({name.lower(): value for name, value in lines}[b"content-length"])

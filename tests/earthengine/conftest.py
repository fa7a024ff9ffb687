"""Servers of a few lines on loopback, transports that are closed, and aioresponses made to work."""

from __future__ import annotations

import inspect
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest
from aiohttp import web

from eezarr.earthengine.address import Address
from eezarr.earthengine.auth import TokenSource
from eezarr.earthengine.transport import Transport


class _Response(aiohttp.ClientResponse):
    """What aioresponses builds lacks the `stream_writer` that aiohttp 3.14 wants."""

    def __init__(self, method, url, **options):
        if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:
            options.setdefault("stream_writer", Mock())
        super().__init__(method, url, **options)


@pytest.fixture(autouse=True)
def _cured_aioresponses(monkeypatch):
    monkeypatch.setattr(aioresponses.core, "ClientResponse", _Response)


@pytest.fixture(autouse=True)
def _no_ambient_identity(monkeypatch, tmp_path):
    """No test reads this machine's credentials, projects or proxies, nor asks for a metadata server."""
    for name in (
        *("EARTHENGINE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"),
        *("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy", "no_proxy", "NO_PROXY"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
async def serve():
    """Start a server whose handler answers every request; return its base URL."""
    runners = []

    async def start(handler):
        runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.01)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def connect():
    """Make a transport to a URL, closed after the test."""
    opened = []

    def make(url, *, credentials=None, project="proj", **options):
        tokens = credentials if isinstance(credentials, TokenSource) else TokenSource(credentials)
        transport = Transport(Address(url), tokens, project=project, **options)
        opened.append(transport)
        return transport

    yield make
    for transport in opened:
        await transport.aclose()

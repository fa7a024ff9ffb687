"""A service in front of the emulator: it passes requests on, but for those that a rule answers."""

import json
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

_HOP = {"content-length", "transfer-encoding", "connection", "host"}


class Front:
    """Passes requests on; `rule(document)` may return a response, or an exception type to cut the connection."""

    def __init__(self, target):
        self.target = target
        self.rule = lambda _: None
        self.documents = []
        """Of the pixel requests, in order."""

    @property
    def tiles(self):
        """The requests for more than one pixel, which is what types are learnt from."""
        return [document for document in self.documents if not is_one_pixel(document)]

    async def answer(self, request):
        body = await request.read()
        if request.path.endswith("Pixels"):
            document = json.loads(body)
            self.documents.append(document)
            told = self.rule(document)
            if told == "reset":
                request.transport.abort()
                raise ConnectionResetError
            if told is not None:
                return told
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        async with self.session.request(
            request.method, self.target + request.path_qs, data=body, headers=headers, auto_decompress=False
        ) as had:
            kept = {name: value for name, value in had.headers.items() if name.lower() not in _HOP}
            return web.Response(status=had.status, body=await had.read(), headers=kept)

    @asynccontextmanager
    async def serving(self, port=0):
        """Serve; yield the URL."""
        runner = web.ServerRunner(web.Server(self.answer), shutdown_timeout=0.01)
        async with aiohttp.ClientSession() as self.session:
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
                yield f"http://127.0.0.1:{runner.addresses[0][1]}"
            finally:
                await runner.cleanup()


def refusal(code, message, status="", **more):
    """An error as the service writes it."""
    return web.json_response({"error": {"code": code, "message": message, "status": status, **more}}, status=code)


def corner(document):
    """Where a request's first pixel is, in CRS units."""
    affine = document["grid"]["affineTransform"]
    return affine["translateX"], affine["translateY"]


def is_one_pixel(document):
    """Whether a request is for a single pixel."""
    return set(document["grid"]["dimensions"].values()) == {1}

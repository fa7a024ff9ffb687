"""The emulator for code that has no loop: in a thread of its own, or as a process."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from eezarr.emulator.server import Emulator

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from eezarr.emulator.keys import UserKind
    from eezarr.emulator.raster import Json, World
    from eezarr.emulator.settings import EmulatorSettings
    from eezarr.emulator.stats import Stats

_START_S = 30.0
_T = TypeVar("_T")


class EmulatorThread:
    """A local Earth Engine in a daemon thread, with the verbs of `Emulator`, made synchronous.

    `with EmulatorThread() as emulator: …` serves until the block ends.
    """

    def __init__(
        self,
        *,
        settings: EmulatorSettings | None = None,
        world: World | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
    ) -> None:
        """Prepare, without serving yet; see `Emulator`."""
        self._emulator = Emulator(settings=settings, world=world, host=host, port=port, tls=tls)
        self._folder = tempfile.TemporaryDirectory(prefix="eezarr-emulator-") if tls else None
        self._thread = threading.Thread(target=self._run, name="earth-engine-emulator", daemon=True)
        self._started = threading.Event()
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        """Serve."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self.stop()

    def start(self) -> None:
        """Listen; returns when requests are answered.

        Raises:
            OSError: The port cannot be had.
        """
        self._thread.start()
        if not self._started.wait(_START_S):
            raise TimeoutError("the emulator did not start")
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop listening, and wait until the thread has ended."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def authority_file(self) -> Path:
        """The certificate of its authority, with `tls`: let SSL_CERT_FILE name it.

        Raises:
            ValueError: It does not speak HTTPS.
        """
        if self._folder is None:
            raise ValueError("this emulator speaks plain HTTP: make it with tls=True")
        file = Path(self._folder.name, "authority.pem")
        file.write_bytes(self._emulator.authority)
        return file

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        return self._emulator.url

    @property
    def token_url(self) -> str:
        """The OAuth token endpoint."""
        return self._emulator.token_url

    @property
    def settings(self) -> EmulatorSettings:
        """What the next request will see."""
        return self._emulator.settings

    @property
    def export_folder(self) -> Path:
        """Where exports to Cloud Storage and Drive go; see `Emulator.export_folder`."""
        return self._emulator.export_folder

    def configure(self, change: Mapping[str, Json] | EmulatorSettings) -> EmulatorSettings:
        """Change the settings from the next request on; see `Emulator.configure`."""
        return self._on_loop(lambda: self._emulator.configure(change))

    def script(self, outcomes: Iterable[str]) -> None:
        """Say how the next requests for pixels end; see `Emulator.script`."""
        self._on_loop(lambda: self._emulator.script(outcomes))

    def stats(self) -> Stats:
        """Answer what was seen and sent since the start or the last reset."""
        return self._on_loop(self._emulator.stats)

    def reset(self) -> None:
        """Forget counts and faults, and go back to the first settings."""
        self._on_loop(self._emulator.reset)

    def expire_tokens(self) -> None:
        """Make every access token given out so far worthless."""
        self._on_loop(self._emulator.expire_tokens)

    def write_service_account_key(
        self, path: str | os.PathLike[str], *, project: str = "emulator-project", email: str | None = None
    ) -> Path:
        """Write a service-account key file that google-auth reads, and whose tokens come from here."""
        return self._emulator.write_service_account_key(path, project=project, email=email)

    def write_user_credentials(
        self,
        path: str | os.PathLike[str],
        *,
        quota_project: str | None = None,
        kind: UserKind = "external_account_authorized_user",
    ) -> Path:
        """Write a user's credentials.

        Args:
            path: File to write, readable by its owner only.
            quota_project: Named in the file; without one the API answers 403, as the service does.
            kind: The default works with `google.auth.default()` unchanged. `authorized_user` is what gcloud leaves, but
                google-auth sends its refresh token to Google whatever `token_uri` says; it is for clients that heed it.
        """
        return self._emulator.write_user_credentials(path, quota_project=quota_project, kind=kind)

    def _on_loop(self, function: Callable[[], _T]) -> _T:
        if self._loop is None or not self._thread.is_alive():
            return function()

        async def call() -> _T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - whatever it is, `start` raises it where it can be seen
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with self._emulator:
            self._started.set()
            await self._stopping.wait()


def serve(
    settings: EmulatorSettings,
    host: str,
    port: int,
    *,
    world: World | None = None,
    tls: bool = False,
    on_ready: Callable[[Emulator], None] | None = None,
) -> None:
    """Serve until the process is interrupted or terminated.

    Args:
        settings: What to start with.
        host: Address to listen at.
        port: 0 takes a free one.
        world: What is served; default: synthetic scenes.
        tls: Whether to speak HTTPS; see `Emulator`.
        on_ready: Called once requests are answered; default: print the URL.

    Raises:
        OSError: The address cannot be listened at.
    """

    async def run() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not the loop's own handlers, which Windows has not.
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
        async with Emulator(settings=settings, world=world, host=host, port=port, tls=tls) as emulator:
            (on_ready or announce)(emulator)
            await stopping.wait()

    asyncio.run(run())


def announce(emulator: Emulator) -> None:
    """Print the URL, for whoever started the process to read."""
    sys.stdout.write(f"{emulator.url}\n")
    sys.stdout.flush()

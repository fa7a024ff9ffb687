"""Tokens: one refresh for all who wait, ahead of expiry, off the event loop.

google-auth's credentials are synchronous; their refresh runs in a thread, one at a time, and a waiter that is cancelled
does not take the others' refresh with it. A token has the scopes that reading takes; a request that takes more asks for
a token of its own. A token appears in the one header it is made for, and nowhere else: it is handed on as a `Secret`.

Source: https://github.com/googleapis/google-auth-library-python/blob/main/google/auth/_helpers.py (225 s),
google.auth.aio.transport.sessions, whose adapter for synchronous credentials does the same.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC
from typing import TYPE_CHECKING, Protocol

from eezarr.earthengine.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

__all__ = ["DRIVE_HINT", "DRIVE_SCOPE", "SIGN_IN_HINT", "Credentials", "TokenSource"]

SIGN_IN_HINT = (
    "Sign in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file "
    "(or give one as `credentials`)."
)

DRIVE_SCOPE = "https://www.googleapis.com/auth/drive"
"""What starting an export to Drive takes, since 21 July 2025, beside the scopes of any export.

Source: https://developers.google.com/earth-engine/apidocs/export-image-todrive; ee/oauth.py, `SCOPES`
"""

DRIVE_HINT = (
    "Give a service account's key, or sign in with the scope: `gcloud auth application-default login --scopes="
    f"https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform,{DRIVE_SCOPE}`, where "
    "Google blocks it with `--client-id-file` and an OAuth client of your own; or export to Cloud Storage."
)
"""For a person's credentials, whose scopes no program can change; a machine's has those that it was made with.

Google announced that gcloud's own OAuth client no longer gets Drive's scope from 23 June 2025 on; the official client
goes on asking so. Source: https://github.com/gcpug/nouhau/issues/124; ee/oauth.py, `_load_gcloud_credentials`
"""

_EARLY_S = 225.0
"""How long before its expiry a token counts as stale: google-auth's own threshold."""


class Credentials(Protocol):
    """The part of `google.auth.credentials.Credentials` that is used."""

    @property
    def token(self) -> str | None:
        """The access token, None before the first refresh."""
        ...

    @property
    def expiry(self) -> datetime | None:
        """When the token expires, in UTC without a zone; None: never."""
        ...

    def refresh(self, request: object) -> None:
        """Get a new token through a `google.auth.transport.Request`; blocks."""
        ...


class TokenSource:
    """Hands out an access token that is good for minutes.

    Args:
        credentials: Whose token; None for a service that wants none (an emulator).
        clock: Seconds since the epoch.
    """

    def __init__(self, credentials: Credentials | None, *, clock: Callable[[], float] = time.time) -> None:
        self._credentials = credentials
        self._clock = clock
        self._refused: Secret | None = None
        self._flight: asyncio.Future[None] | None = None
        self._wider: dict[frozenset[str], TokenSource] = {}

    def __repr__(self) -> str:
        return f"TokenSource({type(self._credentials).__name__})"

    @property
    def is_anonymous(self) -> bool:
        """Whether requests carry no token."""
        return self._credentials is None

    def widened(self, scopes: Collection[str]) -> TokenSource:
        """Return the source of tokens that have these scopes, too, with a refresh of its own; always the same one.

        It is this one if there is nothing to add, or nothing can be: a person's scopes are settled at the sign-in. Then
        the service decides.

        Args:
            scopes: Addresses of scopes.
        """
        if self._credentials is None or not scopes:
            return self
        wanted = frozenset(scopes)
        if wanted not in self._wider:
            from eezarr.earthengine import googleauth  # noqa: PLC0415  (imported already by whoever made credentials)

            wider = googleauth.widened(self._credentials, wanted)
            self._wider[wanted] = self if wider is self._credentials else TokenSource(wider, clock=self._clock)
        return self._wider[wanted]

    async def token(self) -> Secret | None:
        """Return the token, refreshed if it is stale or was refused; None if anonymous.

        Raises:
            AccessDenied: If the credentials were revoked or cannot be used.
            Unreachable: If the token endpoint did not answer.
            NetworkBlocked: If it cannot, as the network is set up.
        """
        if self._credentials is None:
            return None
        if not self._is_fresh(self._credentials):
            await self._refreshed(self._credentials)
        return Secret(self._credentials.token or "")

    def invalidate(self, token: Secret) -> None:
        """Note that the service refused a token: of many that bring the same one, the first causes a refresh."""
        if self._credentials is not None and token == Secret(self._credentials.token or ""):
            self._refused = token

    def _is_fresh(self, credentials: Credentials) -> bool:
        if not credentials.token or Secret(credentials.token) == self._refused:
            return False
        expiry = credentials.expiry
        return expiry is None or expiry.replace(tzinfo=expiry.tzinfo or UTC).timestamp() - _EARLY_S > self._clock()

    async def _refreshed(self, credentials: Credentials) -> None:
        """Wait for the one refresh, starting it if none is under way."""
        if self._flight is None:
            self._flight = asyncio.get_running_loop().run_in_executor(None, _refresh, credentials)
            self._flight.add_done_callback(self._land)
        await asyncio.shield(self._flight)

    def _land(self, flight: asyncio.Future[None]) -> None:
        self._flight = None
        if not flight.cancelled() and flight.exception() is None:
            # The endpoint may hand out the same token again; the service's next 401 then ends the attempt.
            self._refused = None


def _refresh(credentials: Credentials) -> None:
    """Refresh in this thread."""
    from eezarr.earthengine import googleauth  # noqa: PLC0415  (0.2 s, which nobody pays for before the first token)

    googleauth.refresh(credentials)

"""What stands between this machine and Earth Engine: each thing looked at, and what mends it.

Nothing here prints a token or sends one anywhere but to the service. A host is reached without one: any answer will do.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eezarr.earthengine.address import HIGH_VOLUME_URL, Address
from eezarr.earthengine.auth import DRIVE_HINT, DRIVE_SCOPE, SIGN_IN_HINT, TokenSource
from eezarr.earthengine.client import EarthEngine
from eezarr.earthengine.clock import CLOCK_HINT, clock_error, skew_s
from eezarr.earthengine.credentials import credentials_origin, find_credentials, find_project, project_origin
from eezarr.earthengine.session import Call, Session, Timeouts
from eezarr.earthengine.transport import Transport
from eezarr.errors import EezarrError, NetworkBlocked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.earthengine.auth import Credentials

__all__ = ["Finding", "diagnose"]

STANDARD_URL = "https://earthengine.googleapis.com"
"""The other endpoint, which the official clients use. Source: as HIGH_VOLUME_URL."""

_USABLE = frozenset(
    f"https://www.googleapis.com/auth/{name}"
    for name in ("earthengine", "earthengine.readonly", "cloud-platform", "cloud-platform.read-only")
)
"""Scopes that reading takes. Source: the REST reference of getPixels and computePixels."""

_PROBE = "/v1/projects/earthengine-public/assets/LANDSAT"
_ONE = {"values": {"0": {"constantValue": 1}}, "result": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    """What: `credentials`, `project`, `clock`, …"""
    is_good: bool
    text: str
    """What was found."""
    mend: str = ""
    """The command or page that mends it; empty if it is good."""
    exit_code: int = 0
    """3 for credentials, project and permission, 6 for reachability; 0 if it is good."""


async def diagnose(
    *,
    project: str | None = None,
    credentials: Credentials | Path | str | None = None,
    api_url: str = HIGH_VOLUME_URL,
    environ: Mapping[str, str] = os.environ,
    home: Path | None = None,
) -> tuple[Finding, ...]:
    """Return what is found, in the order in which it is needed; a look that cannot be taken is left out.

    Args:
        project: The project that computes; None to search.
        credentials: A google-auth object, a key file's path, `anonymous`, or None to search.
        api_url: The service. With one of Google's two hosts both are reached.
        environ: Environment variables.
        home: The home directory.

    Raises:
        InvalidInput: If the address cannot be.
    """
    home = home or Path.home()
    address = Address(api_url)
    is_google = address.host.endswith(".googleapis.com")
    findings = [
        finding
        for url in ((STANDARD_URL, HIGH_VOLUME_URL) if is_google else (address.url,))
        for finding in await _reach(Address(url))
    ]
    origin = credentials_origin(credentials, is_local=address.is_loopback, environ=environ, home=home)
    try:
        found = await asyncio.to_thread(
            find_credentials, credentials, is_local=address.is_loopback, environ=environ, home=home
        )
        tokens = TokenSource(found)
        await tokens.token()
    except EezarrError as error:
        return (*findings, _bad("credentials", error, f"{error.message} Looked at: {origin}."))
    findings += [_good("credentials", f"{_kind(found)} from {origin}"), *_scopes(found)]
    try:
        named = await asyncio.to_thread(find_project, project, found, environ=environ)
    except EezarrError as error:
        return (*findings, _bad("project", error))
    findings += [_good("project", f"{named}, from {project_origin(project, environ=environ)}"), _quota(named, found)]
    return (*findings, await _computes(address, tokens, named))


async def _reach(address: Address) -> list[Finding]:
    """Knock at a host; its answer's date tells of the clock."""
    session = Session(address, project=None, timeouts=Timeouts(connect_s=10, stall_s=15, compute_s=15))
    call = Call(method="GET", path=_PROBE, query={}, body=None, is_computed=False, is_gzip=False)
    start_s = time.monotonic()
    try:
        response = await session.send(call, None)
        status, date = response.status, response.headers.get("Date", "")
        response.close()
    except EezarrError as error:
        mend = f"`curl -v {address.url}` shows what is in the way; behind a proxy, set HTTPS_PROXY."
        if isinstance(error, NetworkBlocked):
            mend = error.hint
        return [Finding(subject=f"reach {address.host}", is_good=False, text=error.message, mend=mend, exit_code=6)]
    finally:
        await session.aclose()
    took_ms = 1000 * (time.monotonic() - start_s)
    if status >= 500:
        text = f"{address.host} answers {status}"
        mend = "Try again later; https://status.earthengine.app tells of outages."
        return [Finding(subject=f"reach {address.host}", is_good=False, text=text, mend=mend, exit_code=6)]
    way = f" through the proxy {address.proxy.url}" if address.proxy else ""
    return [_good(f"reach {address.host}", f"answers in {took_ms:.0f} ms{way}"), *_clock(date, address.host)]


def _clock(date: str, host: str) -> list[Finding]:
    now_s = time.time()
    if error := clock_error(date, now_s, host):
        text = f"{error}: tokens are refused"
        return [Finding(subject="clock", is_good=False, text=text, mend=CLOCK_HINT, exit_code=3)]
    skew = skew_s(date, now_s)
    return [] if skew is None else [_good("clock", f"{abs(skew):.0f} s from the service's")]


def _scopes(credentials: Credentials | None) -> list[Finding]:
    if credentials is None:
        return []
    told = getattr(credentials, "granted_scopes", None) or getattr(credentials, "scopes", None)
    if not told:
        return [_good("scopes", f"those of the sign-in, which the credentials do not tell; {_for_drive(credentials)}")]
    scopes = {str(scope) for scope in told}
    if not scopes & _USABLE:
        mend = (
            "gcloud auth application-default login --scopes="
            "https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform"
        )
        text = f"{', '.join(sorted(scopes))[:300]}: none is Earth Engine's"
        return [Finding(subject="scopes", is_good=False, text=text, mend=mend, exit_code=3)]
    named = ", ".join(sorted(scope.rpartition("/")[2] for scope in scopes))
    return [_good("scopes", named if DRIVE_SCOPE in scopes else f"{named}; {_for_drive(credentials)}")]


def _for_drive(credentials: Credentials) -> str:
    """What exports to Drive take beside the scopes that are there."""
    if callable(getattr(credentials, "with_scopes", None)):
        return "drive is asked for when an export to Drive is started"
    return f"exports to Drive take drive. {DRIVE_HINT}"


def _quota(project: str, credentials: Credentials | None) -> Finding:
    own = getattr(credentials, "quota_project_id", None)
    other = f"; the credentials name {own}, which requests override" if own and own != project else ""
    return _good("quota project", f"{project}: requests say so in x-goog-user-project{other}")


async def _computes(address: Address, tokens: TokenSource, project: str) -> Finding:
    """Let the project compute a constant: the API is enabled, the project registered, the account permitted."""
    try:
        transport = Transport(
            address, tokens, project=project, timeouts=Timeouts(connect_s=10, stall_s=30, compute_s=60)
        )
        async with EarthEngine(transport, project=project) as service:
            await service.compute_value(_ONE)
    except EezarrError as error:
        return _bad("Earth Engine API", error)
    return _good("Earth Engine API", f"enabled; {project} computes")


def _kind(credentials: Credentials | None) -> str:
    if credentials is None:
        return "none, as the service wants none,"
    name = type(credentials).__module__.rpartition(".")[2].replace("_", " ")
    account = getattr(credentials, "service_account_email", None) or getattr(credentials, "account", None)
    return f"{'a user' if name == 'credentials' else name}{f' {account}' if account else ''}"


def _good(subject: str, text: str) -> Finding:
    return Finding(subject=subject, is_good=True, text=text)


def _bad(subject: str, error: EezarrError, text: str | None = None) -> Finding:
    code = 6 if error.exit_code == 6 else 3
    return Finding(
        subject=subject, is_good=False, text=text or error.message, mend=error.hint or SIGN_IN_HINT, exit_code=code
    )

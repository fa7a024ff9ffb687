"""Which credentials and which project: found once, before the first request.

Order for credentials: what is given; application default (its variable or gcloud's file); the file that
`ee.Authenticate` writes; the metadata server of a Google machine, which comes last as google-auth looks for it for
seconds. Order for the project: what is given; EARTHENGINE_PROJECT; GOOGLE_CLOUD_PROJECT; what the credentials name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from eezarr.errors import AccessDenied, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.earthengine.auth import Credentials

__all__ = ["find_credentials", "find_project"]

_SDK_PROJECTS = frozenset(
    {"764086051850", "618104708054", "32555940559", "522309567947", "1014160490159", "1057398310658"}
)
"""Projects of Google's own tools, which have no Earth Engine. Source: ee/oauth.py, `SDK_PROJECTS`."""


def find_credentials(
    given: Credentials | Path | str | None = None,
    *,
    is_local: bool = False,
    environ: Mapping[str, str] = os.environ,
    home: Path | None = None,
) -> Credentials | None:
    """Return credentials, not yet refreshed; reads files and may ask the metadata server, so call it in a thread.

    Args:
        given: A google-auth object; a path of a service account's or user's JSON file; `anonymous` for a service that
            wants no token; None to search.
        is_local: Whether the service is on this machine, an emulator: it gets the credentials that are given or that
            GOOGLE_APPLICATION_CREDENTIALS names, never a person's own.
        environ: Environment variables.
        home: The home directory.

    Returns:
        The credentials; None if anonymous.

    Raises:
        AccessDenied: If none are found, or a file cannot be used.
        InvalidInput: If what is given is no credentials.
    """
    if given == "anonymous" or (given is None and is_local and not environ.get("GOOGLE_APPLICATION_CREDENTIALS")):
        return None
    from eezarr.earthengine import googleauth  # noqa: PLC0415  (0.2 s, which the emulator's users need not pay for)

    if isinstance(given, str | Path):
        return googleauth.scoped(googleauth.load_file(Path(given).expanduser()))
    if given is not None:
        return googleauth.scoped(given)
    home = home or Path.home()
    ee_file = home / ".config" / "earthengine" / "credentials"
    gcloud = Path(environ.get("CLOUDSDK_CONFIG") or home / ".config" / "gcloud")
    has_default = environ.get("GOOGLE_APPLICATION_CREDENTIALS") or _is_file(
        gcloud / "application_default_credentials.json"
    )
    if not has_default and _is_file(ee_file):
        return googleauth.load_earthengine(ee_file)
    return googleauth.scoped(googleauth.load_default())


def find_project(
    explicit: str | None, credentials: Credentials | None, *, environ: Mapping[str, str] = os.environ
) -> str:
    """Return the project that requests are billed to and counted for.

    Raises:
        AccessDenied: If none is named anywhere.
        InvalidInput: If the named one belongs to Google's own tools.
    """
    named = explicit or environ.get("EARTHENGINE_PROJECT") or environ.get("GOOGLE_CLOUD_PROJECT")
    if named in _SDK_PROJECTS:
        raise InvalidInput(
            f"Project {named} belongs to Google's own tools and has no Earth Engine.",
            hint="Set `project` to a project of your own with the Earth Engine API enabled.",
        )
    for attribute in ("quota_project_id", "project_id"):
        candidate = getattr(credentials, attribute, None)
        if not named and isinstance(candidate, str) and candidate not in _SDK_PROJECTS:
            named = candidate
    if not named:
        raise AccessDenied(
            "No Google Cloud project is named.",
            hint="Set `project`, or the variable EARTHENGINE_PROJECT, to a project with the Earth Engine API enabled.",
        )
    return named


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False

"""Which credentials and which project: found once, before the first request.

Order for credentials: what is given; application default (its variable or gcloud's file); the file that
`ee.Authenticate` writes; the metadata server of a Google machine, which comes last as google-auth looks for it for
seconds. Order for the project: what is given; EARTHENGINE_PROJECT; GOOGLE_CLOUD_PROJECT; what the credentials name; the
metadata server, where the credentials are its own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from eezarr.errors import AccessDenied, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.earthengine.auth import Credentials

__all__ = ["credentials_origin", "find_credentials", "find_project", "project_origin"]

_SDK_PROJECTS = frozenset(
    {"764086051850", "618104708054", "32555940559", "522309567947", "1014160490159", "1057398310658"}
)
"""Projects of Google's own tools, which have no Earth Engine. Source: ee/oauth.py, `SDK_PROJECTS`."""

_KEY_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_METADATA_VARIABLE = "GCE_METADATA_HOST"


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
    if given == "anonymous" or (given is None and is_local and not environ.get(_KEY_VARIABLE)):
        return None
    from eezarr.earthengine import googleauth  # noqa: PLC0415  (0.2 s, which the emulator's users need not pay for)

    home = home or Path.home()
    if isinstance(given, str | Path):
        found = googleauth.load_file(Path(given).expanduser())
    elif given is not None:
        found = given
    elif named := environ.get(_KEY_VARIABLE):
        found = googleauth.load_file(Path(named).expanduser(), named_by=_KEY_VARIABLE)
    elif _is_file(_gcloud_file(environ, home)):
        found = googleauth.load_file(_gcloud_file(environ, home))
    elif _is_file(_ee_file(home)):
        found = googleauth.load_earthengine(_ee_file(home))
    elif environ.get(_METADATA_VARIABLE):
        found = googleauth.load_machine()
    else:
        found = googleauth.load_default()
    return googleauth.scoped(found)


def credentials_origin(
    given: Credentials | Path | str | None, *, is_local: bool, environ: Mapping[str, str], home: Path
) -> str:
    """Return where `find_credentials` looks with the same arguments, in words."""
    if given is not None:
        return f"the file {given}" if isinstance(given, str | Path) else "an object given by the program"
    if named := environ.get(_KEY_VARIABLE):
        return f"{_KEY_VARIABLE}={named}"
    if is_local:
        return "nowhere: a local service gets no one's own"
    if _is_file(_gcloud_file(environ, home)):
        return f"gcloud's file {_gcloud_file(environ, home)}"
    return f"the file {_ee_file(home)}" if _is_file(_ee_file(home)) else "the metadata server, as no file is there"


def project_origin(explicit: str | None, *, environ: Mapping[str, str]) -> str:
    """Return where `find_project` finds the project with the same arguments, in words."""
    if explicit:
        return "what was given"
    variables = ("EARTHENGINE_PROJECT", "GOOGLE_CLOUD_PROJECT")
    named = (f"the variable {name}" for name in variables if environ.get(name))
    return next(named, "the credentials, or the metadata server that they come from")


def find_project(
    explicit: str | None, credentials: Credentials | None, *, environ: Mapping[str, str] = os.environ
) -> str:
    """Return the project that requests are billed to and counted for; may ask the metadata server: call it in a thread.

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
    if not named and credentials is not None:
        from eezarr.earthengine import googleauth  # noqa: PLC0415  (imported already by whoever made credentials)

        named = googleauth.machine_project(credentials)
    if not named:
        raise AccessDenied(
            "No Google Cloud project is named.",
            hint="Set `project`, or the variable EARTHENGINE_PROJECT, to a project with the Earth Engine API enabled.",
        )
    return named


def _gcloud_file(environ: Mapping[str, str], home: Path) -> Path:
    folder = Path(environ.get("CLOUDSDK_CONFIG") or home / ".config" / "gcloud")
    return folder / "application_default_credentials.json"


def _ee_file(home: Path) -> Path:
    return home / ".config" / "earthengine" / "credentials"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False

"""The door to google-auth: its objects in, its exceptions translated; imported when credentials are needed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

import google.auth
from google.auth import exceptions
from google.auth.compute_engine import Credentials as MachineCredentials
from google.auth.credentials import Scoped, with_scopes_if_required
from google.oauth2.credentials import Credentials as UserCredentials

from eezarr.documents import read_json
from eezarr.earthengine.auth import SIGN_IN_HINT
from eezarr.earthengine.clock import CLOCK_HINT
from eezarr.earthengine.status import clean
from eezarr.earthengine.tokenrequest import TokenRequest, metadata_project
from eezarr.errors import AccessDenied, EezarrError, InvalidInput, Unreachable

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from eezarr.earthengine.auth import Credentials

__all__ = [
    "load_default",
    "load_earthengine",
    "load_file",
    "load_machine",
    "machine_project",
    "refresh",
    "scoped",
    "widened",
]

SCOPES = ("https://www.googleapis.com/auth/earthengine", "https://www.googleapis.com/auth/cloud-platform")
"""What a service account's token is asked for: enough to read, to compute, and to export but to Drive.

A user's token has the scopes of its sign-in.
"""

_EE_CLIENT_ID = "517222506229-vsmmajv00ul0bs7p89v5m89qs8eb9359.apps.googleusercontent.com"
_EE_CLIENT_SECRET = "RUP0RZ6e0pPhDzsqIJ7KlNd1"  # noqa: S105
"""The public client of `ee.Authenticate`, where its file names none: an installed program's "secret" is none.

Source: https://github.com/google/earthengine-api/blob/master/python/ee/oauth.py
"""

_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105
_KEY_FILE = "Give a service account's key file, or what `gcloud auth application-default login` writes."


def refresh(credentials: Credentials) -> None:
    """Get a new token; blocks, so call it in a thread.

    Raises:
        AccessDenied: If the credentials were revoked, or cannot be used.
        Unreachable: If the token endpoint did not answer, or not with a decision.
        NetworkBlocked: If it cannot, as the network is set up.
    """
    request = TokenRequest(is_known=credentials.token is not None)
    failure: EezarrError | None = None
    try:
        credentials.refresh(request)
    except EezarrError:
        raise
    except exceptions.GoogleAuthError as error:
        # Not chained: a RefreshError carries the endpoint's whole answer, which can hold an id token.
        failure = _failure(error, request.clock_error)
    except (OSError, ValueError) as error:
        failure = AccessDenied(f"The credentials cannot be used: {clean(str(error))}.", hint=SIGN_IN_HINT)
    if failure is not None:
        raise failure
    if not credentials.token:
        raise AccessDenied("The credentials gave no access token.", hint=SIGN_IN_HINT)


def _failure(error: Exception, clock_error: str) -> EezarrError:
    detail = clean(str(error.args[0]) if error.args else type(error).__name__).rstrip(".")
    if isinstance(error, exceptions.TransportError) or getattr(error, "retryable", False):
        return Unreachable(
            f"No access token could be fetched: {detail}.",
            hint="Check the network, and HTTPS_PROXY if there is a proxy.",
            is_connecting=isinstance(error, exceptions.TransportError),
        )
    if clock_error:
        return AccessDenied(f"The credentials were refused, and {clock_error}: {detail}.", hint=CLOCK_HINT)
    return AccessDenied(f"The credentials were refused: {detail}.", hint=SIGN_IN_HINT)


def load_file(path: Path, *, named_by: str = "") -> Credentials:
    """Return the credentials of a JSON file: a service account's key, a user's, a workload identity's.

    Args:
        path: The file.
        named_by: The variable that names it, for messages.

    Raises:
        AccessDenied: If it cannot be read, or is none.
    """
    name = f"The credentials file {path}"
    try:
        with warnings.catch_warnings():
            # It warns of a user's credentials without a quota project; every request of ours names one.
            warnings.simplefilter("ignore")
            info = read_json(path, noun="credentials file", hint=_KEY_FILE)
            credentials, _ = google.auth.load_credentials_from_dict(info)  # type: ignore[no-untyped-call]
    except InvalidInput as error:
        why = error.message.removeprefix(f"{name} ").rstrip(".")
    except (exceptions.GoogleAuthError, ValueError, AttributeError, TypeError, KeyError) as error:
        why = f"is no key ({_first(error)})"
    else:
        return _typed(credentials)
    if named_by:
        raise AccessDenied(
            f"{name}, which {named_by} names, cannot be used: it {why}.",
            hint=f"Let it name a key file, or unset {named_by} and run `gcloud auth application-default login`.",
        )
    raise AccessDenied(f"{name} cannot be used: it {why}.", hint=_KEY_FILE)


def load_default() -> Credentials:
    """Return application default credentials.

    Raises:
        AccessDenied: If there are none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            credentials, _ = google.auth.default()
    except (exceptions.GoogleAuthError, OSError, ValueError) as error:
        raise AccessDenied("No credentials were found.", hint=SIGN_IN_HINT) from error
    return _typed(credentials)


def load_machine() -> Credentials:
    """Return the credentials of the metadata server, without looking for it first."""
    return _typed(MachineCredentials())  # type: ignore[no-untyped-call]


def machine_project(credentials: Credentials | None) -> str | None:
    """Return the project of the Google machine (Compute Engine, Cloud Run, …) whose credentials these are, if they are.

    It asks the metadata server, so call it in a thread.
    """
    return metadata_project() if isinstance(credentials, MachineCredentials) else None


def load_earthengine(path: Path) -> Credentials:
    """Return the credentials that `ee.Authenticate` stored.

    Raises:
        AccessDenied: If the file holds no refresh token.
    """
    try:
        stored = cast("dict[str, str]", read_json(path, noun="credentials file", hint="Sign in again."))
        refresh_token = stored["refresh_token"]
    except (InvalidInput, KeyError, TypeError) as error:
        raise AccessDenied(
            f"The credentials file {path} holds no refresh token.",
            hint="Run `earthengine authenticate` again, or `gcloud auth application-default login`.",
        ) from error
    credentials = UserCredentials(  # type: ignore[no-untyped-call]
        None,
        refresh_token=refresh_token,
        token_uri=_TOKEN_URI,
        client_id=stored.get("client_id", _EE_CLIENT_ID),
        client_secret=stored.get("client_secret", _EE_CLIENT_SECRET),
        quota_project_id=stored.get("project"),
    )
    return _typed(credentials)


def scoped(credentials: Credentials) -> Credentials:
    """Return the credentials with our scopes, where they want to be told; a user's were settled at the sign-in.

    Raises:
        InvalidInput: If they are no credentials.
    """
    _typed(credentials)
    return _typed(with_scopes_if_required(credentials, list(SCOPES)))  # type: ignore[no-untyped-call]


def widened(credentials: Credentials, scopes: Collection[str]) -> Credentials:
    """Return a copy of the credentials with these scopes, too; themselves if they have them, or cannot have others.

    Service accounts, impersonated ones and workload identities can; to those that do not tell what they have, ours are
    given, too. A program that chose fewer scopes and asks for what takes more asks for the scope by that.
    """
    if not isinstance(credentials, Scoped):
        return credentials
    known = tuple(credentials.scopes or SCOPES)
    added = sorted(set(scopes) - set(known))
    return _typed(credentials.with_scopes([*known, *added])) if added else credentials  # type: ignore[no-untyped-call]


def _typed(credentials: object) -> Credentials:
    if not callable(getattr(credentials, "refresh", None)):
        raise InvalidInput(
            f"{type(credentials).__name__} is no google-auth credentials object.",
            hint="Give one of `google.auth.credentials.Credentials`, or the path of a key file.",
        )
    return credentials  # type: ignore[return-value]


def _first(error: Exception) -> str:
    return clean(str(error.args[0]) if error.args else type(error).__name__).rstrip(".")

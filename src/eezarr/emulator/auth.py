"""Who asks: tokens, where they come from, and whether they are good.

Two grants, as at https://oauth2.googleapis.com/token: a service account's JWT (RFC 7523), a user's refresh token.
"""

from __future__ import annotations

import base64
import fnmatch
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.emulator import errors
from eezarr.emulator.keys import IssuedKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eezarr.emulator.raster import Json
    from eezarr.emulator.settings import AuthSettings

_SCOPE = "https://www.googleapis.com/auth/"
_ACCEPTED = frozenset(
    _SCOPE + name for name in ("earthengine", "earthengine.readonly", "cloud-platform", "cloud-platform.read-only")
)
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# What google-auth writes as the audience, wherever `token_uri` points.
_GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"
_MAX_JWT_LIFE_S = 3600
_CLOCK_SKEW_S = 60


class GrantError(Exception):
    """A refusal of the token endpoint: 400 with `error` and `error_description`."""

    def __init__(self, error: str, description: str) -> None:
        """Refuse with an OAuth error code and a text."""
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What an access token stands for."""

    subject: str
    """A service account's address, or a user's."""
    is_user: bool
    scopes: frozenset[str]
    expires_at: float
    """Seconds since the epoch."""


class TokenOffice:
    """Issues access tokens and checks them.

    Attributes:
        keys: The credentials that this emulator has issued.
        issued: How many tokens were given out.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start with none; `clock` answers seconds since the epoch."""
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self.keys = IssuedKeys()
        self.issued = 0

    def expire_all(self) -> None:
        """Make every token given out so far worthless, as a revocation does."""
        self._tokens.clear()

    def is_checking(self, settings: AuthSettings) -> bool:
        """Answer whether tokens are looked at."""
        return settings.mode == "always" or (settings.mode == "issued" and self.keys.is_in_use)

    def grant(self, settings: AuthSettings, form: Mapping[str, str], token_url: str) -> dict[str, Json]:
        """Answer the reply of the token endpoint to a form.

        Raises:
            GrantError: The grant is not good.
        """
        kind = form.get("grant_type", "")
        if kind == _JWT_GRANT:
            token = self._service_account(settings, form.get("assertion", ""), token_url)
        elif kind == "refresh_token":
            token = self._user(settings, form)
        else:
            raise GrantError("unsupported_grant_type", f"Invalid grant_type: {kind}")
        text = "ya29.emulator-" + secrets.token_urlsafe(32)
        self._tokens = {name: each for name, each in self._tokens.items() if each.expires_at > self._clock()}
        self._tokens[text] = token
        self.issued += 1
        reply: dict[str, Json] = {
            "access_token": text,
            "expires_in": int(settings.token_lifetime_s),
            "token_type": "Bearer",
        }
        return reply | ({"scope": " ".join(sorted(token.scopes))} if token.is_user else {})

    def _service_account(self, settings: AuthSettings, assertion: str, token_url: str) -> Token:
        try:
            head, claims, signature = (
                base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in assertion.split(".")
            )
            header, facts = json.loads(head), json.loads(claims)
            issuer, expiry, start = str(facts["iss"]), float(facts["exp"]), float(facts["iat"])
            audience, scope, key_id = str(facts.get("aud")), str(facts.get("scope", "")), str(header.get("kid"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GrantError("invalid_grant", "Bad Request") from error
        if self.is_checking(settings):
            signed = assertion.rpartition(".")[0].encode()
            if header.get("alg") != "RS256" or not self.keys.is_signature(key_id, issuer, signed, signature):
                raise GrantError("invalid_grant", "Invalid JWT Signature.")
        self._require_claims(expiry, start, audience, token_url)
        if not scope:
            raise GrantError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return self._token(settings, issuer, scope, is_user=False)

    def _require_claims(self, expiry: float, start: float, audience: str, token_url: str) -> None:
        now = self._clock()
        in_time = start - _CLOCK_SKEW_S <= now <= expiry + _CLOCK_SKEW_S and expiry - start <= _MAX_JWT_LIFE_S
        if not in_time:
            raise GrantError(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
                " Check your iat and exp values in the JWT claim.",
            )
        if audience not in (token_url, _GOOGLE_AUDIENCE):
            raise GrantError("invalid_grant", f"Invalid JWT: Failed audience check. The right audience is {token_url}")

    def _user(self, settings: AuthSettings, form: Mapping[str, str]) -> Token:
        refresh = form.get("refresh_token", "")
        if self.is_checking(settings) and not self.keys.is_refresh_token(refresh):
            raise GrantError("invalid_grant", "Token has been expired or revoked.")
        return self._token(settings, "user@example.com", form.get("scope") or _SCOPE + "cloud-platform", is_user=True)

    def _token(self, settings: AuthSettings, subject: str, scope: str, *, is_user: bool) -> Token:
        expiry = self._clock() + settings.token_lifetime_s
        return Token(subject=subject, is_user=is_user, scopes=frozenset(scope.split()), expires_at=expiry)

    def require(
        self, settings: AuthSettings, header: str, quota_project: str, path_project: str
    ) -> frozenset[str] | None:
        """Answer the scopes of the token of a request that may be answered; `None` where tokens are not looked at.

        Args:
            settings: As they are now.
            header: `Authorization`, or empty.
            quota_project: `x-goog-user-project`, or empty.
            path_project: The project in the path, where the path names who pays; else empty.

        Raises:
            ApiError: 401 or 403.
        """
        scopes: frozenset[str] | None = None
        if self.is_checking(settings):
            scheme, _, text = header.partition(" ")
            token = self._tokens.get(text.strip()) if scheme.lower() == "bearer" else None
            if token is None or token.expires_at <= self._clock():
                raise errors.unauthenticated()
            if not token.scopes & _ACCEPTED:
                raise errors.insufficient_scopes()
            if token.is_user and settings.needs_quota_project and not quota_project:
                raise errors.needs_quota_project()
            scopes = token.scopes
        for project in filter(None, (quota_project, path_project)):
            if project in settings.denied_projects:
                raise errors.project_denied(project)
            if project in settings.disabled_projects:
                raise errors.service_disabled(project)
        return scopes


def require_readable(settings: AuthSettings, asset: str) -> None:
    """Pass the name of an asset that the caller may read.

    Raises:
        ApiError: 403.
    """
    if any(fnmatch.fnmatchcase(asset, pattern) for pattern in settings.denied_assets):
        raise errors.asset_denied(asset)

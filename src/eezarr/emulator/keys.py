"""Credential files that google-auth reads unchanged: service-account keys and users' refresh tokens.

Needs cryptography, which only signed credentials do.
"""

from __future__ import annotations

import json
import os
import secrets
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from eezarr.emulator.raster import Json

UserKind: TypeAlias = Literal["authorized_user", "external_account_authorized_user"]


class IssuedKeys:
    """The keys and refresh tokens that one emulator has written.

    A file stays good for the life of the emulator that wrote it, and of no other.
    """

    def __init__(self) -> None:
        """Start without any; the RSA key is made when it is first needed (some 50 ms)."""
        self._private: RSAPrivateKey | None = None
        self._accounts: dict[str, str] = {}
        self._refresh_tokens: set[str] = set()

    @property
    def is_in_use(self) -> bool:
        """Whether any credentials were written."""
        return bool(self._accounts or self._refresh_tokens)

    def write_service_account(self, path: Path, *, token_url: str, project: str, email: str | None = None) -> Path:
        """Write a service account's key file for `project`, readable by its owner only.

        Sessions of google-auth (2.62 does) also look up a "regional access boundary" at a host of Google's, in the
        background, for any such key; that it fails is ignored. `credentials.refresh` alone asks nobody else.

        Raises:
            ImportError: cryptography is not installed.
        """
        key_id = secrets.token_hex(20)
        email = email or f"emulator@{project}.iam.gserviceaccount.com"
        document: dict[str, Json] = {
            "type": "service_account",
            "project_id": project,
            "private_key_id": key_id,
            "private_key": self._pem(),
            "client_email": email,
            "client_id": "1" * 21,
            "token_uri": token_url,
            "universe_domain": "googleapis.com",
        }
        self._accounts[key_id] = email
        return _written(path, document)

    def write_user(self, path: Path, kind: UserKind, *, token_url: str, quota_project: str | None = None) -> Path:
        """Write a user's credentials; of the two kinds google-auth honours the token URL of the external one only.

        Source: google-auth's `oauth2/credentials.py`, `from_authorized_user_info`: the endpoint "always overrides".
        """
        refresh = "1//emulator-" + secrets.token_urlsafe(24)
        document: dict[str, Json] = {
            "type": kind,
            "client_id": "emulator.apps.googleusercontent.com",
            "client_secret": "not-a-secret",
            "refresh_token": refresh,
            "universe_domain": "googleapis.com",
        }
        if kind == "authorized_user":
            document["token_uri"] = token_url
        else:
            pool = "//iam.googleapis.com/locations/global/workforcePools/emulator/providers/emulator"
            document |= {"token_url": token_url, "audience": pool}
        if quota_project:
            document["quota_project_id"] = quota_project
        self._refresh_tokens.add(refresh)
        return _written(path, document)

    def is_refresh_token(self, text: str) -> bool:
        """Answer whether `text` is in a file that was written here."""
        return text in self._refresh_tokens

    def is_signature(self, key_id: str, email: str, signed: bytes, signature: bytes) -> bool:
        """Answer whether `signature` is by the key that `key_id` names, issued to `email`."""
        if self._private is None or self._accounts.get(key_id) != email:
            return False
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - signed credentials only
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - signed credentials only
        from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415 - signed credentials only

        try:
            self._private.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    def _pem(self) -> str:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - signed credentials only
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - signed credentials only

        if self._private is None:
            self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()


def _written(path: Path, document: dict[str, Json]) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
    return path

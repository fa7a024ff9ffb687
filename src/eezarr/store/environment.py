"""From the environment to an object store's options: what the usual tools read and obstore does not.

obstore reads most variables by itself (`AWS_…`, `GOOGLE_…`, `AZURE_…`). Added here, so that what works for the vendors'
own tools works for us: an endpoint on plain HTTP needs no further leave, `STORAGE_EMULATOR_HOST` leads to a local Cloud
Storage, `AZURE_STORAGE_CONNECTION_STRING` and the Azure command line's names of account and key count, and an AWS
profile, which obstore cannot read, is told at once instead of asking a machine's metadata for a role in vain.

Law: pure. Nothing here is a message's text: a connection string holds a key.

Source: https://developmentseed.org/obstore/latest/authentication/,
https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string,
https://cloud.google.com/python/docs/reference/storage/latest (STORAGE_EMULATOR_HOST)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Access", "access_to"]

_KEYS_OF_AWS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
"""Each of them is where credentials come from, before any profile."""

_HINTS = {
    "s3": "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, and AWS_ENDPOINT_URL for another service.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file, or run `gcloud auth application-default "
    "login`; other kinds of credential files cannot be read.",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_CONNECTION_STRING.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How an object store is reached, beside what obstore finds by itself."""

    config: tuple[tuple[str, str], ...] = ()
    """Options, named as obstore names them."""
    endpoint: str | None = None
    """The service's address, where it is not the vendor's."""
    hint: str
    """What to do if the store refuses these options."""

    @property
    def allows_http(self) -> bool:
        """Whether the endpoint was given as one without encryption."""
        return self.endpoint is not None and self.endpoint.startswith("http://")

    @property
    def is_anonymous(self) -> bool:
        """Whether requests are not signed."""
        return dict(self.config).get("skip_signature") == "true"


def access_to(scheme: str, environ: Mapping[str, str]) -> Access:
    """Return the options of the object stores of a URL scheme (`s3`, `gs` or `az`).

    Raises:
        StoreError: If the environment names credentials that cannot be read.
    """
    read = {"s3": _s3, "gs": _gcs, "az": _azure}[scheme]
    config, endpoint = read(environ)
    return Access(config=tuple(config.items()), endpoint=endpoint, hint=_HINTS[scheme])


def _s3(environ: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    profile = environ.get("AWS_PROFILE")
    if profile and not any(environ.get(name) for name in _KEYS_OF_AWS):
        raise StoreError(
            f"AWS_PROFILE={profile} names a profile, and profiles cannot be read.",
            hint='Put its keys into the environment: `eval "$(aws configure export-credentials --format env)"`.',
        )
    endpoint = _first(environ, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return ({} if endpoint is None else {"endpoint": endpoint}), endpoint


def _gcs(environ: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    """An emulator's address is what such a key file holds, for all versions of obstore; it is sent no credentials."""
    emulator = _first(environ, "STORAGE_EMULATOR_HOST")
    if emulator is None:
        return {}, _first(environ, "GOOGLE_BASE_URL")
    address = emulator if "://" in emulator else f"http://{emulator}"
    key = {
        "gcs_base_url": address.rstrip("/"),
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    return {"service_account_key": json.dumps(key), "skip_signature": "true"}, address


def _azure(environ: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    text = _first(environ, "AZURE_STORAGE_CONNECTION_STRING")
    if text is not None:
        return _connection(text)
    config: dict[str, str] = {}
    account = _first(environ, "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
    if account is not None:
        config["account_name"] = account
    key = _first(environ, "AZURE_STORAGE_KEY")
    if key is not None and _first(environ, "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY") is None:
        config["account_key"] = key
    return config, _first(environ, "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")


def _connection(text: str) -> tuple[dict[str, str], str | None]:
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    facts = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if facts.get("usedevelopmentstorage", "").lower() == "true":
        return {"use_emulator": "true"}, "http://127.0.0.1:10000"
    account = facts.get("accountname")
    if not account:
        raise StoreError(
            "AZURE_STORAGE_CONNECTION_STRING names no account.",
            hint="Copy it from the portal: it has AccountName=, and AccountKey= or SharedAccessSignature=.",
        )
    config = {"account_name": account}
    for name, option in (("accountkey", "account_key"), ("sharedaccesssignature", "sas_key")):
        if name in facts:
            config[option] = facts[name].removeprefix("?")
    endpoint = facts.get("blobendpoint")
    suffix = facts.get("endpointsuffix", "core.windows.net")
    if endpoint is None and suffix != "core.windows.net":
        endpoint = f"{facts.get('defaultendpointsprotocol', 'https')}://{account}.blob.{suffix}"
    if endpoint is not None:
        config["endpoint"] = endpoint.rstrip("/")
    return config, endpoint


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    """The first of these variables that is set and not empty."""
    return next((environ[name] for name in names if environ.get(name)), None)

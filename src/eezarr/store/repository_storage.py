"""Where an Icechunk repository is: what follows `icechunk+` in a URL becomes a storage of Icechunk's.

Credentials and endpoints come from the environment, as for the plain stores (see `environment`). Icechunk's own client
of S3 reads profiles, too, so there an AWS_PROFILE is no error.

Only this module and `repository` import icechunk, and they are imported only for such URLs.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from eezarr.errors import InvalidInput, StoreError
from eezarr.store.environment import access_to
from eezarr.store.failures import storage_errors
from eezarr.store.folder import check_empty, check_folder

try:
    import icechunk
except ImportError as error:
    raise InvalidInput(
        "An Icechunk store needs the package icechunk.", hint="Install it: pip install 'eezarr[icechunk]'."
    ) from error

from eezarr.store.repository import RepositoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.store.environment import Access

__all__ = ["open_repository"]

_memory: dict[str, icechunk.Storage] = {}
"""`icechunk+memory://` storages by URL: they live as long as the process."""

_CREDENTIAL_OPTIONS = {"account_name", "account_key", "sas_key", "service_account_key"}
"""Options that Icechunk takes by themselves."""

if "ICECHUNK_LOG" not in os.environ:
    # Its warnings go to the terminal, amid the progress: that a local repository is not safe for two writers at a time,
    # and none of our stores is meant for two.
    icechunk.set_logs_filter("error")


def open_repository(url: str, place: str, *, read_only: bool) -> RepositoryStore:
    """Open the repository at a place, or where one can be made by the first write.

    Args:
        url: The output as the user wrote it, for messages.
        place: The same without `icechunk+`: a URL that the plain stores know.
        read_only: Whether it must exist and is not written.

    Raises:
        InvalidInput: If the URL names no prefix in a bucket, which Icechunk needs.
        StoreError: If nothing can be stored there, or the object store's environment is incomplete.
    """
    parts = urlsplit(place)
    with storage_errors(url, "open the repository"):
        if parts.scheme == "file":
            path = Path(unquote(parts.path)).absolute()
            check_folder(path, url, read_only=read_only)
            store = RepositoryStore(
                url,
                partial(icechunk.local_filesystem_storage, str(path)),
                read_only=read_only,
                may_exist=path.exists(),
                check_place=partial(check_empty, path, url),
            )
        else:
            storage = _in_memory(url) if parts.scheme == "memory" else _remote(place, url)
            store = RepositoryStore(url, lambda: storage, read_only=read_only)
    if read_only and not store.is_there:
        raise StoreError(f"There is no repository at {url}.", hint="Check the place.")
    return store


def _in_memory(url: str) -> icechunk.Storage:
    return _memory.get(url) or _memory.setdefault(url, icechunk.in_memory_storage())


def _remote(place: str, url: str) -> icechunk.Storage:
    parts = urlsplit(place)
    bucket, prefix = parts.netloc, unquote(parts.path).strip("/")
    if not prefix:
        raise InvalidInput(f"{url} names a bucket and no place in it.", hint="Add a prefix, such as /out.")
    environ: Mapping[str, str] = os.environ
    if parts.scheme == "s3":
        environ = {name: value for name, value in environ.items() if name != "AWS_PROFILE"}
    access = access_to(parts.scheme, environ)
    try:
        if parts.scheme == "s3":
            return _s3(bucket, prefix, access)
        return _gcs(bucket, prefix, access) if parts.scheme == "gs" else _azure(bucket, prefix, access)
    except (icechunk.IcechunkError, ValueError) as error:
        raise StoreError(f"Cannot reach {url}: {str(error).splitlines()[0]}.", hint=access.hint) from error


def _s3(bucket: str, prefix: str, access: Access) -> icechunk.Storage:
    return icechunk.s3_storage(
        bucket=bucket,
        prefix=prefix,
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        endpoint_url=access.endpoint,
        allow_http=access.allows_http,
        force_path_style=access.endpoint is not None,
        from_env=True,
    )


def _gcs(bucket: str, prefix: str, access: Access) -> icechunk.Storage:
    config = _options(access)
    if access.is_anonymous:
        # A key file that holds the emulator's address and no key.
        key = dict(access.config)["service_account_key"]
        return icechunk.gcs_storage(bucket=bucket, prefix=prefix, service_account_key=key, config=config)
    return icechunk.gcs_storage(bucket=bucket, prefix=prefix, from_env=True, config=config)


def _azure(bucket: str, prefix: str, access: Access) -> icechunk.Storage:
    given, config = dict(access.config), _options(access)
    account = given.get("account_name", "")
    if "account_key" in given:
        return icechunk.azure_storage(
            account=account, container=bucket, prefix=prefix, access_key=given["account_key"], config=config
        )
    if "sas_key" in given:
        return icechunk.azure_storage(
            account=account, container=bucket, prefix=prefix, sas_token=given["sas_key"], config=config
        )
    return icechunk.azure_storage(account=account, container=bucket, prefix=prefix, from_env=True, config=config)


def _options(access: Access) -> dict[str, str]:
    options = {name: value for name, value in access.config if name not in _CREDENTIAL_OPTIONS}
    return {**options, "allow_http": "true"} if access.allows_http else options

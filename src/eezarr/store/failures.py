"""Storage failures become `StoreError`: the one place where a third party's exception gets our words.

Law: an object store's message can hold the request's URL, and a URL can hold a signature (Azure SAS, presigned S3),
so only its first line is repeated, and never a query.
"""

from __future__ import annotations

import errno
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zarr.errors import BaseZarrError

from eezarr.errors import EezarrError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_damage", "storage_errors"]

_FREE_SPACE = "Free some space there, then run the same command: it resumes."
_PERMIT = "Give this user the right to write there, or choose another output; the same command resumes."
_CREDENTIALS = "Check the credentials in the environment and what they may do there; the same command resumes."
_RUN_AGAIN = "Check that the storage works, then run the same command: it resumes."

_HINTS = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EFBIG: "Choose smaller chunks, or a file system that holds files of this size.",
    errno.EACCES: _PERMIT,
    errno.EPERM: _PERMIT,
    errno.EROFS: "The file system is read-only: choose another output.",
    errno.ENOTDIR: "A part of the path is a file: choose another output.",
    errno.EISDIR: "A directory is where a file should be: choose another output.",
    errno.ENAMETOOLONG: "Choose a shorter output path or shorter band names.",
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`), or lower max_concurrency; the same command resumes.",
}

_TRANSIENT = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.EIO,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.ECONNRESET,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
"""What a network file system answers now and then."""

_TRANSIENT_NAMES = {"GenericError", "StorageError"}
"""What obstore and Icechunk raise when their own retries did not help."""


@contextmanager
def storage_errors(url: str, doing: str) -> Iterator[None]:
    """Translate what storage and Zarr raise inside the block; our own errors and programming errors pass.

    Args:
        url: The store, for the message.
        doing: What was tried, to follow "Cannot": such as "write tile 3".

    Raises:
        StoreError: If the block raises `OSError`, an error of obstore, Icechunk or Zarr, or a codec's `RuntimeError` or
            `ValueError`.
    """
    try:
        yield
    except EezarrError:
        raise
    except (OSError, RuntimeError, ValueError, BaseZarrError) as error:
        raise _translated(error, url, doing) from error
    except Exception as error:
        if not _is_storages(error):
            raise
        raise _translated(error, url, doing) from error


def is_damage(error: StoreError) -> bool:
    """Return whether a failure to read is what an object holds, and not the storage."""
    return isinstance(error.__cause__, (RuntimeError, ValueError, BaseZarrError))


def _translated(error: Exception, url: str, doing: str) -> StoreError:
    message = f"Cannot {doing} in {url}: {_summary(error)}."
    return StoreError(message, hint=_hint(error), is_transient=_is_transient(error))


def _is_transient(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _TRANSIENT
    return _is_storages(error) and type(error).__name__ in _TRANSIENT_NAMES


def _is_storages(error: Exception) -> bool:
    """Whether an error is obstore's or Icechunk's, which need not be installed, or imported for a local store."""
    bases = (("obstore.exceptions", "BaseError"), ("icechunk", "IcechunkError"))
    return any(name in sys.modules and isinstance(error, getattr(sys.modules[name], base)) for name, base in bases)


def _summary(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines()
    text = lines[0].strip().removeprefix("x ") if lines else type(error).__name__
    return re.sub(r"\?\S+", "?…", text).rstrip(".")


def _hint(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in _HINTS:
        return _HINTS[error.errno]
    if isinstance(error, PermissionError) or type(error).__name__ in {"PermissionDeniedError", "UnauthenticatedError"}:
        return _CREDENTIALS
    return _RUN_AGAIN

"""Whom TLS trusts: one rule for data and for tokens, whichever variable a machine's owner has set.

aiohttp heeds SSL_CERT_FILE only, requests REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE only. Here any of them, and
SSL_CERT_DIR, serves both: what they name is trusted, and nothing else. If none is set, that is the system's store
together with certifi's list, as some systems have no store that OpenSSL finds.
"""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path

import certifi

from eezarr.errors import InvalidInput

__all__ = ["tls_context", "trusted"]

_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_FOLDERS = "SSL_CERT_DIR"


def tls_context() -> ssl.SSLContext:
    """Return the TLS context of a client, made anew only when what the environment names has changed.

    Raises:
        InvalidInput: If a variable names what is not there, or holds no certificate.
    """
    return _context(tuple((name, value, _stamp(value)) for name, value in _named()))


def trusted() -> str:
    """Return in words where the trusted certificates come from."""
    return ", ".join(f"{name}={value}" for name, value in _named()) or "the system's and certifi's lists"


def _named() -> list[tuple[str, str]]:
    return [(name, value) for name in (*_FILES, _FOLDERS) if (value := os.environ.get(name, "").strip())]


def _stamp(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


@lru_cache(maxsize=4)
def _context(named: tuple[tuple[str, str, int], ...]) -> ssl.SSLContext:
    if not named:
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
    else:
        # Not `create_default_context`: from Python 3.13 on it rejects certificates of many a company's own authority,
        # which lack what RFC 5280 asks for (https://docs.python.org/3/library/ssl.html#ssl.VERIFY_X509_STRICT).
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what is named is trusted, authority or not
        for name, value, _ in named:
            _trust(context, name, value)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _trust(context: ssl.SSLContext, name: str, value: str) -> None:
    paths = [Path(part) for part in (value.split(os.pathsep) if name == _FOLDERS else [value]) if part]
    folders = [path for path in paths if path.is_dir()]
    try:
        for folder in folders:
            context.load_verify_locations(capath=folder)
        if not folders:
            context.load_verify_locations(cafile=value)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        what = "holds no certificate" if isinstance(error, ssl.SSLError) else f"cannot be read ({error})"
        raise InvalidInput(
            f"The variable {name} names {value}, which {what}.",
            hint="Let it name a file of trusted certificates (PEM), or unset it.",
        ) from error

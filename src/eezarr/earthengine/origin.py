"""The origin of pixels: which service answered them, whatever way it was reached by.

    https://earthengine.googleapis.com      the service, by each of its hosts: standard, high-volume, regional, mTLS
    emulator <world>                        the local emulator, as it names itself; its port changes with each start
    http://host:port/prefix                 any other: scheme, host and port, and the prefix that its URLs begin with

A store's pixels are of one origin. An address of this machine says little by itself: a port is given to another
program tomorrow, and the emulator gets another one. So the emulator says in each response that it is one, and of which
world; other services of this machine are told by their ports.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from yarl import URL

if TYPE_CHECKING:
    from eezarr.earthengine.address import Address

__all__ = ["EMULATOR", "may_be_origin", "origin_of"]

GOOGLE = "https://earthengine.googleapis.com"
EMULATOR = "emulator"
"""What the origin of the emulator begins with."""

_GOOGLE_HOST = re.compile(r"(?:[a-z0-9-]+[.-])?earthengine(?:[.-][a-z0-9.-]+)?\.googleapis\.com")
_EMULATOR_SERVER = re.compile(r"eezarr-emulator/([a-z0-9-]{1,64})")


def origin_of(address: Address, server: str = "") -> str:
    """Return the origin of what an address answers.

    Args:
        address: Where the service is.
        server: The header `Server` of its responses, as far as there was one.
    """
    named = _EMULATOR_SERVER.fullmatch(server)
    if named and address.is_loopback:
        return f"{EMULATOR} {named[1]}"
    url = URL(address.url)
    host = (url.host or "").rstrip(".").lower()
    if _GOOGLE_HOST.fullmatch(host):
        return GOOGLE
    shown = f"[{host}]" if ":" in host else host
    port = "" if url.is_default_port() else f":{url.port}"
    return f"{url.scheme}://{shown}{port}{url.path.rstrip('/')}"


def may_be_origin(address: Address, origin: str) -> bool:
    """Return whether an origin can be an address', before it has responded; an emulator's only shows then."""
    return origin == origin_of(address) or (address.is_loopback and origin.startswith(f"{EMULATOR} "))

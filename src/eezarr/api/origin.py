"""The origin of a store against the service that is asked: pixels of two services never share a store."""

from __future__ import annotations

from eezarr.earthengine.address import Address
from eezarr.earthengine.origin import may_be_origin, origin_of
from eezarr.errors import ForeignStore

__all__ = ["require_possible_origin", "require_same_origin"]


def require_possible_origin(api_url: str, recorded: str | None, output: str) -> None:
    """Check that an address may be a store's origin, before it has responded.

    Raises:
        ForeignStore: If it cannot be.
        InvalidInput: If it is no address.
    """
    address = Address(api_url)
    if recorded is not None and not may_be_origin(address, recorded):
        raise _foreign(output, recorded, origin_of(address))


def require_same_origin(origin: str, recorded: str, output: str) -> None:
    """Check that a service that has responded is a store's origin.

    Raises:
        ForeignStore: If it is not.
    """
    if origin != recorded:
        raise _foreign(output, recorded, origin)


def _foreign(output: str, recorded: str, origin: str) -> ForeignStore:
    return ForeignStore(
        f"{output} holds the pixels of another service: origin: {recorded} -> {origin}.",
        hint="Ask the same service (--api-url), choose another output, or pass --overwrite to start again.",
    )

"""Where the service is: a checked base URL, the URLs below it, and the proxy on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from yarl import URL

from eezarr.earthengine.proxy import Proxy, is_loopback, proxy_for
from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HIGH_VOLUME_URL", "Address"]

HIGH_VOLUME_URL = "https://earthengine-highvolume.googleapis.com"
"""The endpoint for many small automated requests.

Source: https://developers.google.com/earth-engine/guides/processing_environments
"""


@dataclass(frozen=True, slots=True)
class Address:
    """A base URL.

    Raises:
        InvalidInput: If it is not `http(s)://host[:port][/prefix]`.
    """

    url: str = HIGH_VOLUME_URL
    """As given, without a slash at the end."""
    proxy: Proxy | None = field(init=False, repr=False)
    """The proxy that the environment names for this host; none for loopback."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.rstrip("/"))
        try:
            parsed = URL(self.url)
            is_valid = parsed.scheme in {"http", "https"} and bool(parsed.host) and parsed.explicit_port != 0
        except ValueError:
            parsed, is_valid = URL(), False
        if not is_valid or parsed.user or parsed.password or parsed.query_string or parsed.fragment:
            raise InvalidInput(
                "`api_url` is not an address of a service.", hint=f"Give it as `{HIGH_VOLUME_URL}`, without a user."
            )
        object.__setattr__(self, "proxy", proxy_for(parsed))

    @property
    def host(self) -> str:
        """The host's name or address, for messages."""
        return URL(self.url).host or ""

    @property
    def is_tls(self) -> bool:
        """Whether it is spoken to by HTTPS."""
        return URL(self.url).scheme == "https"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        return is_loopback(self.host)

    def require_private(self) -> None:
        """Check that a token sent there is not readable on the way.

        Raises:
            InvalidInput: If it is plain HTTP to another machine.
        """
        if not self.is_tls and not self.is_loopback:
            raise InvalidInput(
                f"{self.url} would carry the access token in the clear.",
                hint="Use https, or `anonymous` credentials for a service that wants none.",
            )

    def endpoint(self, path: str, query: Mapping[str, str]) -> URL:
        """Return the URL of a path below the base; the path's own characters are quoted."""
        url = URL(self.url + quote(path, safe="/:$-_.~@"), encoded=True)
        return url.with_query(query) if query else url

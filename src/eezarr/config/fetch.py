"""`[fetch]`: how pixels are asked for."""

from typing import Literal

from pydantic import ByteSize, Field, model_validator

from eezarr.config.sections import Positive, PositiveNumber, Section

__all__ = ["FetchOptions", "LimitOptions"]


class LimitOptions(Section):
    """The limits of one request, where a project's differ from the documented ones."""

    bytes: Positive | None = None
    """Accounted bytes; default 33554432 for getPixels, 50331648 for computePixels."""
    side: Positive | None = None
    """Pixels a side; default 10000 and 32768."""
    bands: Positive | None = None
    """Bands; default 1024."""


class FetchOptions(Section):
    """How pixels are asked for."""

    api_url: str = "https://earthengine-highvolume.googleapis.com"
    """The service; `EEZARR_API_URL` sets the default."""
    tile: Literal["auto"] | tuple[Positive, Positive] = "auto"
    """Height and width of a tile in pixels, whole chunks."""
    steps: Literal["auto"] | Positive = "auto"
    """For a collection: time steps in one request at the most."""
    max_concurrency: Positive = 40
    """Requests at a time at the most."""
    max_requests_per_second: PositiveNumber = 100
    attempts: Positive = 8
    """Attempts for one tile; throttled ones do not count."""
    deadline_s: PositiveNumber = 1800
    """Seconds for one tile, waits included."""
    patience_s: PositiveNumber = 3600
    """Seconds to wait while nothing of the service can be reached, once a tile has come; then the job ends."""
    max_pixels: Positive = 1_000_000_000_000
    """A guard against larger jobs than intended: pixels of one band, over all time steps."""
    memory: ByteSize = ByteSize(2 << 30)
    """The most that tiles in flight may hold."""
    hedge: bool = False
    """Ask for a tile that is far slower than its peers a second time (at most 2 % more requests)."""
    gzip: bool | Literal["auto"] = "auto"
    """Ask for compressed bodies; `auto`: where the network is measured to be what binds."""
    workload_tag: str | None = Field(default=None, pattern=r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$")
    """A label for the project's usage reports."""
    limits: LimitOptions = Field(default_factory=LimitOptions)

    @model_validator(mode="before")
    @classmethod
    def _default_url(cls, data: object) -> object:
        import os  # noqa: PLC0415 - here, where the environment is read

        url = os.environ.get("EEZARR_API_URL")
        return {"api_url": url, **data} if url and isinstance(data, dict) else data

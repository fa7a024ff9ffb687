"""What can be set about the emulator, and changed while it runs.

Every record is frozen: a change makes a new record, so a request sees one state of the settings from start to end.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.raster import Json

_CLOSED = {"extra": "forbid"}

AuthMode = Literal["never", "issued", "always"]
UnderMask = Literal["stored", "zero", "noise"]
FaultScope = Literal["pixels", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodLimits:
    """What one pixel method allows in one request; every limit is inclusive."""

    __pydantic_config__: ClassVar[dict[str, str]] = _CLOSED

    max_bytes: int
    """Uncompressed size: sum over bands of width x height x (item size + 1 mask byte)."""
    max_side: int
    """Pixels in either dimension."""
    max_bands: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """The size limits, for each method its own.

    Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.assets/getPixels (32 MB, 10 000 px)
    and https://developers.google.com/earth-engine/reference/rest/v1/projects.image/computePixels (48 MB, 32K px).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _CLOSED

    get_pixels: MethodLimits = MethodLimits(max_bytes=32 * 2**20, max_side=10_000)
    compute_pixels: MethodLimits = MethodLimits(max_bytes=48 * 2**20, max_side=32_768)
    """Thumbnails obey these too."""
    max_payload_bytes: int = 10 * 2**20
    """Of a request's body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaSettings:
    """How many requests a project may make. `None` lifts a limit."""

    __pydantic_config__: ClassVar[dict[str, str]] = _CLOSED

    max_concurrency: int | None = 40
    max_requests_per_second: float | None = 100
    """Refilled continuously; at most one second's worth in a burst."""
    max_requests_per_minute: float | None = None
    """Refilled continuously; at most one minute's worth in a burst. The service documents 6000."""
    retry_after_s: int | None = None
    """Sent as `Retry-After` with a 429; the service is not known to send it."""
    is_parallelism_restricted: bool = False
    """Whether replies carry `x-earth-engine-quota-status: parallelism_restricted=true`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySettings:
    """How long a pixel request takes before the first byte: (base + size terms) x jitter, and stragglers."""

    __pydantic_config__: ClassVar[dict[str, str]] = _CLOSED

    base_s: float = 0.0
    per_megabyte_s: float = 0.0
    """For each 1 000 000 accounted bytes (mask bytes included)."""
    per_megapixel_s: float = 0.0
    """For each 1 000 000 pixels of the grid, however many bands."""
    metadata_s: float = 0.0
    """For requests that answer no pixels."""
    jitter: float = 0.0
    """Sigma of a log-normal factor with median 1; 0.3 is lively."""
    straggler_fraction: float = 0.0
    """Share of requests, 0 to 1, that take `straggler_factor` times as long."""
    straggler_factor: float = 10.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRates:
    """The probability of each fault, 0 to 1; their sum is at most 1."""

    __pydantic_config__: ClassVar[dict[str, str]] = _CLOSED

    too_many_requests: float = 0.0
    """429 with the text of the concurrency limit."""
    capacity_exceeded: float = 0.0
    """429 `Earth Engine capacity exceeded.`"""
    internal_error: float = 0.0
    """500 with an INTERNAL body."""
    bad_gateway: float = 0.0
    """502 with an HTML page, as a Google front end writes it."""
    unavailable: float = 0.0
    """503 with an UNAVAILABLE body."""
    unauthenticated: float = 0.0
    """401, although the token is good."""
    reset: float = 0.0
    """The connection is reset before a byte of the answer."""
    reset_midway: float = 0.0
    """The connection is reset after half of the body."""
    cut: float = 0.0
    """The connection is closed after half of the body that Content-Length announced."""
    stall: float = 0.0
    """Half of the body, then silence until the client goes."""
    html_page: float = 0.0
    """200 with an HTML page."""
    npy_magic: float = 0.0
    """The first byte of the NPY is wrong."""
    npy_shape: float = 0.0
    """A consistent NPY with one row too few (or, of one row, one too many)."""
    npy_dtype: float = 0.0
    """The right number of bytes under another type."""
    npy_order: float = 0.0
    """The fields in another order (of one band: under another name)."""
    npy_trailing: float = 0.0
    """Sixteen bytes too many."""
    npy_short: float = 0.0
    """A complete HTTP body that ends in the middle of the pixels."""
    npy_pickle: float = 0.0
    """An object array, which NumPy would unpickle if it were allowed to."""

    def __post_init__(self) -> None:
        """Refuse what is no distribution."""
        rates = dataclasses.astuple(self)
        if min(rates) < 0 or sum(rates) > 1 + 1e-9:
            raise ValueError(f"fault rates must be at least 0 and sum to at most 1, not {sum(rates)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeRule:
    """Requests that are too much for the service although their size is legal."""

    __pydantic_config__: ClassVar[dict[str, str]] = _CLOSED

    pattern: str = "*"
    """Shell pattern of the asset name (getPixels), or found anywhere in the expression's JSON (computePixels)."""
    max_pixels: int
    """Grids with more pixels than this are refused."""
    answer: Literal["memory", "timeout"] = "memory"
    """`User memory limit exceeded.` or `Computation timed out.`, both 400."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSettings:
    """What goes wrong, and how often. One seed, one request and one attempt always give the same fault."""

    __pydantic_config__: ClassVar[dict[str, str]] = _CLOSED

    seed: int = 0
    rates: FaultRates = FaultRates()
    scope: FaultScope = "pixels"
    """Which requests meet faults: those for pixels, or all (which then meet those of HTTP, not those of NPY)."""
    max_per_request: int | None = None
    """After so many faults the same request is answered well; `None`: no end."""
    rules: tuple[ComputeRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Who may ask."""

    __pydantic_config__: ClassVar[dict[str, str]] = _CLOSED

    mode: AuthMode = "issued"
    """Whether tokens are checked: never, once this emulator has issued credentials, or always."""
    token_lifetime_s: float = 3600.0
    needs_quota_project: bool = True
    """Whether user credentials must name a project in `x-goog-user-project` (403 without)."""
    disabled_projects: tuple[str, ...] = ()
    """Projects without the Earth Engine API: 403 SERVICE_DISABLED."""
    denied_projects: tuple[str, ...] = ()
    """Projects that the caller may not use: 403 USER_PROJECT_DENIED."""
    denied_assets: tuple[str, ...] = ()
    """Shell patterns of asset names that the caller may not read: 403."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSettings:
    """How answers travel."""

    __pydantic_config__: ClassVar[dict[str, str]] = _CLOSED

    gzip: bool = False
    """Compress for clients that qualify: `Accept-Encoding: gzip` and a User-Agent that contains `gzip`."""
    chunked: bool = False
    """Send bodies of pixels without Content-Length."""
    workers: int = 2
    """Threads that evaluate; read when the server starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """How batch exports go; an operation keeps the settings that it was started under."""

    __pydantic_config__: ClassVar[dict[str, str]] = _CLOSED

    queued_s: float = 0.0
    """An operation stays PENDING at least so long."""
    per_megapixel_s: float = 0.0
    """What each 1 000 000 pixels of the grid take beyond the work itself."""
    cancel_s: float = 0.0
    """A cancelled operation stays CANCELLING so long."""
    max_running: int = 2
    """Operations that run at one time; the others wait by priority."""
    max_pending: int = 3000
    """Of one project; one more is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """All of it."""

    __pydantic_config__: ClassVar[dict[str, str]] = _CLOSED

    limits: LimitSettings = field(default_factory=LimitSettings)
    quota: QuotaSettings = field(default_factory=QuotaSettings)
    latency: LatencySettings = field(default_factory=LatencySettings)
    faults: FaultSettings = field(default_factory=FaultSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    transfer: TransferSettings = field(default_factory=TransferSettings)
    exports: ExportSettings = field(default_factory=ExportSettings)
    export_folder: str | None = None
    """Stands for Cloud Storage (one folder a bucket) and Drive (the folder `Drive`); `None`: a temporary one."""
    under_mask: UnderMask = "stored"
    """What masked pixels hold in a NPY: what the world says, zero, or noise by place (to catch clients that guess)."""


def merged(settings: EmulatorSettings, patch: Mapping[str, Json]) -> EmulatorSettings:
    """Answer `settings` with the JSON object `patch` laid over it.

    Objects merge field by field; anything else, arrays included, replaces.

    Raises:
        ValueError: A name or a value in `patch` is not one that can be set.
    """
    from pydantic import TypeAdapter  # noqa: PLC0415 - changes at run time only

    document = _laid_over(dataclasses.asdict(settings), patch)
    return TypeAdapter(EmulatorSettings).validate_python(document)


def _laid_over(base: Mapping[str, object], patch: Mapping[str, Json]) -> dict[str, object]:
    result = dict(base)
    for name, value in patch.items():
        below = result.get(name)
        result[name] = _laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result

"""`eezarr verify`: whether what is stored is whole, and whether some of it is what the service answers."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from eezarr.api.comparing import compare_samples_with_service, compare_with_service
from eezarr.errors import StoreError
from eezarr.store import damaged_nodes, holds_samples, open_store, open_stored_samples

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["print_verification"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Findings:
    """What was found of a store's tiles, or samples; each has a number and a name."""

    url: str
    noun: str
    checked: int
    altered: Mapping[int, str]
    """Those that are not what was stored."""
    asked: tuple[int, ...]
    """Those that the service was asked for."""
    different: Mapping[int, str]
    """Those of them that it answers otherwise."""
    damaged: tuple[str, ...] = ()
    """Documents and coordinates that are not what they should be, each in words."""


def print_verification(store: str, *, sample: int, project: str | None, api_url: str | None, as_json: bool) -> None:
    """Compare all that is stored with its checksum, and some with the service; print what differs.

    Raises:
        StoreError: If something differs, or the store cannot be read.
        EezarrError: If the service could not be asked.
    """
    damaged, is_of_samples = damaged_nodes(store), holds_samples(store)
    look = _of_samples if is_of_samples else _of_tiles
    try:
        # Columns that are damaged do not say what a sample is, so the service is not asked for it.
        found = look(store, 0 if damaged and is_of_samples else sample, project, api_url)
    except StoreError:
        if not damaged:
            raise
        # Its pixels can be looked at when the documents are there again.
        noun = "samples" if is_of_samples else "tiles"
        found = _Findings(url=store, noun=noun, checked=0, altered={}, asked=(), different={})
    found = replace(found, damaged=damaged)
    if as_json:
        facts: dict[str, object] = {"checked": found.checked, "altered": list(found.altered)}
        facts |= {"damaged": list(found.damaged)} if found.damaged else {}
        compared = {"compared": list(found.asked), "different": list(found.different)}
        sys.stdout.write(json.dumps(facts | (compared if sample else {})) + "\n")
    else:
        sys.stdout.write(_text(found, is_compared=bool(sample)))
    _require_equal(found)


def _of_tiles(store: str, sample: int, project: str | None, api_url: str | None) -> _Findings:
    job = open_store(store)
    altered = {tile.index: str(tile) for tile in job.verify()}
    asked, other = compare_with_service(job, sample, project=project, api_url=api_url) if sample else ([], [])
    return _Findings(
        url=job.url,
        noun="tiles",
        checked=job.stored_count,
        altered=altered,
        asked=tuple(tile.index for tile in asked),
        different={tile.index: str(tile) for tile in sorted(other, key=lambda tile: tile.index)},
    )


def _of_samples(store: str, sample: int, project: str | None, api_url: str | None) -> _Findings:
    job = open_stored_samples(store)
    altered = {index: f"sample {index}" for index in job.verify()}
    asked, other = compare_samples_with_service(job, sample, project=project, api_url=api_url) if sample else ([], {})
    return _Findings(
        url=job.url,
        noun="samples",
        checked=job.stored_count,
        altered=altered,
        asked=tuple(asked),
        different={index: f"sample {index} ({', '.join(names)})" for index, names in other.items()},
    )


def _text(found: _Findings, *, is_compared: bool) -> str:
    lines = [
        *(f"damaged: {node}" for node in found.damaged),
        *(f"altered: {name}" for name in found.altered.values()),
        *(f"the service answers other pixels now: {name}" for name in found.different.values()),
        f"{found.checked} {found.noun} checked, {len(found.altered)} altered",
    ]
    if is_compared:
        lines.append(f"{len(found.asked)} {found.noun} asked for again, {len(found.different)} different")
    return "".join(f"{line}\n" for line in lines)


def _require_equal(found: _Findings) -> None:
    """Check that nothing differs.

    Raises:
        StoreError: If something does.
    """
    if found.damaged:
        more = f"; and {len(found.damaged) - 3} more" if len(found.damaged) > 3 else ""
        raise StoreError(
            f"{found.url} is damaged: {'; '.join(found.damaged[:3])}{more}"
            + (f"; and {len(found.altered)} {found.noun} are not what was stored." if found.altered else "."),
            hint=f"Run its job with --repair: this is written again, and damaged {found.noun} are fetched.",
        )
    if found.altered:
        raise StoreError(
            f"{len(found.altered)} {found.noun} of {found.url} are not what was stored.",
            hint=f"Run its job with --repair: it fetches these {found.noun} again.",
        )
    if found.different:
        raise StoreError(
            f"{len(found.different)} of {len(found.asked)} {found.noun} of {found.url} are not what the service "
            "answers.",
            hint="The asset may have been replaced since, or what lies under masks is not steady (use a mask mode). "
            "Run its job with --overwrite to fetch all anew.",
        )

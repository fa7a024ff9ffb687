"""The documents and coordinates of a group, compared with what they should be, and written again.

What they should be is laid out anew, in memory, by the functions that lay out the store; or a store's record holds the
documents, and hashes of the values. Pixels are not looked at: their marks hold checksums.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

import numpy as np
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.errors import BaseZarrError
from zarr.storage import MemoryStore

from eezarr.errors import StoreError
from eezarr.store.arrays import consolidate, quiet
from eezarr.store.attributes import told_by
from eezarr.store.columns import is_consolidated
from eezarr.store.failures import storage_errors
from eezarr.store.location import Location

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt
    from zarr.abc.store import Store

    from eezarr.store.arrays import PixelArray
    from eezarr.store.attributes import JSON

__all__ = ["DamagedNode", "GroupLayout", "gather", "is_sound", "require_sound", "restore"]

_DOCUMENT_ERRORS = (
    ArithmeticError,
    AttributeError,
    BaseZarrError,
    FileNotFoundError,
    IsADirectoryError,
    LookupError,
    NotADirectoryError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What Zarr raises where a document is absent or says what it should not."""

_DOCUMENT_NAMES = {"zarr.json", ".zarray", ".zattrs", ".zgroup"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedNode:
    """A group or array whose documents or coordinates are not what they should be."""

    layout: GroupLayout
    """The group that it belongs to."""
    name: str
    """In that group; empty for the group itself."""
    reason: str
    """What is wrong with it."""

    def __str__(self) -> str:
        path = "/".join(part for part in (self.layout.path, self.name) if part)
        return f"{path or 'the group'}: {self.reason}"


class GroupLayout:
    """A group as it should be, with all that is below it.

    Args:
        expected: Holds it, at `path`.
        zarr_format: Of its documents.
        pixels: Names of the arrays whose values change while their documents stay.
        path: The group's path in the store.
        hashes: Of the values of all other arrays, where `expected` does not hold these.
    """

    def __init__(
        self,
        expected: MemoryStore,
        *,
        zarr_format: int,
        pixels: Collection[str],
        path: str = "",
        hashes: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self._pixels = frozenset(pixels)
        self._format = zarr_format
        self._expected = expected
        self._hashes = hashes
        with quiet():
            group = zarr.open_group(expected, path=path, mode="r", use_consolidated=False)
            self._nodes = {"": group, **dict(group.members(max_depth=None))}

    @classmethod
    def laid_out(
        cls, make: Callable[[Location], None], *, zarr_format: int, pixels: Collection[str], path: str = ""
    ) -> Self:
        """Return the group that a function lays out, below `path`, at a location that holds nothing."""
        expected = MemoryStore()
        make(Location(url="memory", store=expected))
        return cls(expected, zarr_format=zarr_format, pixels=pixels, path=path)

    @classmethod
    def from_json(cls, facts: dict[str, JSON]) -> Self:
        """Return the group that `to_json` described, without values.

        Raises:
            KeyError: If it did not, as `TypeError`, `ValueError` or an error of Zarr does.
        """
        documents, pixels, hashes = facts["documents"], facts["pixels"], facts["hashes"]
        if not isinstance(documents, dict) or not isinstance(pixels, list) or not isinstance(hashes, dict):
            raise TypeError("a layout is documents, names of arrays and hashes of values")
        as_buffer = default_buffer_prototype().buffer.from_bytes
        return cls(
            MemoryStore({key: as_buffer(json.dumps(document).encode()) for key, document in documents.items()}),
            zarr_format=2 if facts["format"] == 2 else 3,
            pixels=[str(name) for name in pixels],
            hashes={name: str(stated) for name, stated in hashes.items()},
        )

    def to_json(self) -> dict[str, JSON]:
        """Return the documents, and the hashes of values, of a group at the top of a store."""
        return {
            "format": self._format,
            "pixels": [*sorted(self._pixels)],
            "documents": sync(self._documents()),
            "hashes": {name: self._hash(name, node) for name, node in self._columns()},
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The paths of all nodes below the group, and an empty one for itself, which is the first."""
        return tuple(self._nodes)

    def damaged(self, location: Location) -> Iterator[DamagedNode]:
        """Yield what is not as it should be in a store.

        Raises:
            StoreError: If the storage fails.
        """
        with quiet(), storage_errors(location.url, "read the documents"):
            reasons = {name: self._reason(name, node, location.store) for name, node in self._nodes.items()}
            if location.store.supports_consolidated_metadata and not any(reasons.values()):
                reasons[""] = self._consolidated_reason(location.store)
        for name, reason in reasons.items():
            if reason:
                yield DamagedNode(layout=self, name=name, reason=reason)

    def write(self, location: Location, name: str) -> None:
        """Write a node's documents again, and what is laid out of its values.

        Raises:
            StoreError: If the storage fails.
        """
        prefix = "/".join(part for part in (self.path, name) if part)
        is_group = isinstance(self._nodes[name], zarr.Group)
        with storage_errors(location.url, f"write {name or 'the group'}"):
            sync(self._write(location.store, f"{prefix}/" if prefix else "", is_group=is_group))

    async def _write(self, store: Store, prefix: str, *, is_group: bool) -> None:
        async for key in self._expected.list_prefix(prefix):
            if is_group and "/" in key.removeprefix(prefix):
                continue
            body = await self._expected.get(key, default_buffer_prototype())
            assert body is not None, key
            await store.set(key, body)

    async def _documents(self) -> dict[str, JSON]:
        documents: dict[str, JSON] = {}
        async for key in self._expected.list():
            if key.rpartition("/")[2] in _DOCUMENT_NAMES:
                body = await self._expected.get(key, default_buffer_prototype())
                assert body is not None, key
                documents[key] = json.loads(body.to_bytes())
        return documents

    def _columns(self) -> Iterator[tuple[str, PixelArray]]:
        for name, node in self._nodes.items():
            if isinstance(node, zarr.Array) and name not in self._pixels:
                yield name, node

    def _hash(self, name: str, expected: PixelArray) -> str:
        return _hash(np.asarray(expected[...])) if self._hashes is None else self._hashes[name]

    def _reason(self, name: str, expected: PixelArray | zarr.Group, store: Store) -> str:
        path = "/".join(part for part in (self.path, name) if part)
        if isinstance(expected, zarr.Group):
            return self._group_reason(path, expected, store)
        return self._array_reason(name, path, expected, store)

    def _group_reason(self, path: str, expected: zarr.Group, store: Store) -> str:
        try:
            found = zarr.open_group(
                store,
                path=path,
                mode="r",
                use_consolidated=False,
                zarr_format=self._format,  # type: ignore[arg-type]
            ).attrs.asdict()
        except _DOCUMENT_ERRORS:
            return "its document is missing or cannot be read"
        stated = expected.attrs.asdict()
        own, known = (told_by(cast("JSON", facts.get("eezarr"))) for facts in (stated, found))
        if own.get("fingerprint") != known.get("fingerprint"):
            return "the attribute eezarr was altered"
        stated.pop("eezarr", None)
        return next((f"the attribute {name} was altered" for name in stated if found.get(name) != stated[name]), "")

    def _array_reason(self, name: str, path: str, expected: PixelArray, store: Store) -> str:
        try:
            found = zarr.open_array(store, path=path, mode="r", zarr_format=expected.metadata.zarr_format)
        except _DOCUMENT_ERRORS:
            return "its document is missing or cannot be read"
        reason = _difference(expected, found, is_pixels=name in self._pixels)
        if reason or name in self._pixels:
            return reason
        try:
            is_same = _hash(np.asarray(found[...])) == self._hash(name, expected)
        except _DOCUMENT_ERRORS:
            is_same = False
        return "" if is_same else "its values are missing or were altered"

    def _consolidated_reason(self, store: Store) -> str:
        try:
            group = zarr.open_group(store, path=self.path, mode="r", use_consolidated=True)
            for name, array in self._nodes.items():
                if isinstance(array, zarr.Group):
                    continue
                found = group[name]
                if not isinstance(found, zarr.Array) or _difference(array, found, is_pixels=name in self._pixels):
                    return f"the consolidated metadata says something else of {name}"
        except _DOCUMENT_ERRORS:
            return "the consolidated metadata is missing or cannot be read"
        return ""


def is_sound(location: Location, layouts: Iterable[GroupLayout]) -> bool:
    """Return whether no documents or coordinates of a store are damaged.

    Raises:
        StoreError: If the storage fails.
    """
    return not any(True for layout in layouts for _ in layout.damaged(location))


def gather(location: Location) -> None:
    """Consolidate the metadata where it is not: a run that was killed before it did so leaves no damage.

    What that cannot read is damaged, and left for `require_sound` to tell.
    """
    with suppress(StoreError):
        if not is_consolidated(location):
            consolidate(location)


def require_sound(location: Location, layouts: Iterable[GroupLayout]) -> None:
    """Refuse a store whose documents or coordinates are damaged.

    Raises:
        StoreError: If they are, or the storage fails.
    """
    damaged = [str(node) for layout in layouts for node in layout.damaged(location)]
    if damaged:
        more = f"; and {len(damaged) - 3} more" if len(damaged) > 3 else ""
        raise StoreError(
            f"{location.url} is damaged: {'; '.join(damaged[:3])}{more}.",
            hint="Run its job with --repair: documents and coordinates are written again, and damaged pixels fetched.",
        )


def restore(location: Location, layouts: Sequence[GroupLayout]) -> list[DamagedNode]:
    """Write again what is damaged of documents and coordinates; return what that was.

    Raises:
        StoreError: If the storage fails.
    """
    damaged = [node for layout in layouts for node in layout.damaged(location)]
    for node in damaged:
        node.layout.write(location, node.name)
    if damaged:
        for layout in reversed(layouts):
            consolidate(location, layout.path)
        location.settle()
    return damaged


def _difference(expected: PixelArray, found: PixelArray, *, is_pixels: bool) -> str:
    """What differs in an array's document, in words; empty where nothing does.

    A time axis that grew has the chunks of when it was made.
    """
    facts: tuple[tuple[str, Callable[[PixelArray], object]], ...] = (
        ("its shape is {}, not {}", lambda array: _by(array.shape)),
        ("its type is {}, not {}", lambda array: array.dtype),
        ("its chunks are {}, not {}", lambda array: _by(array.chunks)),
        ("its shards are {}, not {}", lambda array: _by(array.shards or ())),
        ("its codecs were altered", _codecs),
        # Texts have had an empty fill in format 2, too, where NetCDF cannot have it.
        ("its fill value is {}, not {}", lambda array: repr(None if array.fill_value == "" else array.fill_value)),
        ("its dimension names were altered", lambda array: getattr(array.metadata, "dimension_names", None)),
    )
    for words, fact in facts:
        if "chunks" in words and not is_pixels:
            continue
        if fact(expected) != fact(found):
            return words.format(fact(found), fact(expected))
    stated, known = expected.attrs.asdict(), found.attrs.asdict()
    return next((f"the attribute {name} was altered" for name in stated if known.get(name) != stated[name]), "")


def _codecs(array: PixelArray) -> list[str]:
    serializer = [array.serializer] if array.metadata.zarr_format == 3 else []
    return [*map(repr, array.filters), *map(repr, serializer), *map(repr, array.compressors), str(array.order)]


def _hash(values: npt.NDArray[np.generic]) -> str:
    """Return a hash of numbers, bit by bit, or of texts; 32 hexadecimal digits."""
    is_text = values.dtype.kind in "OUT"
    body = json.dumps(values.tolist()).encode() if is_text else values.astype(values.dtype.newbyteorder("<")).tobytes()
    return hashlib.sha256(body).hexdigest()[:32]


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "none"

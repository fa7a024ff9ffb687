"""Our own keys as nodes of Zarr, for a store that holds nothing else.

The keys below `.eezarr` become nodes of a group `_eezarr`; one that ends in a number is one chunk of many:

    .eezarr/job.json        the only chunk of the array  _eezarr/job.json
    .eezarr/marks/3         chunk 3 of the array         _eezarr/marks

each chunk the very bytes, uncompressed. (Not attributes: every commit writes those of all nodes again.)
"""

from __future__ import annotations

import re

__all__ = ["NODES", "OWN", "array_document", "chunk_of", "is_own", "is_page", "node_key", "node_of", "own_key"]

OWN, NODES = ".eezarr", "_eezarr"
_CHUNK_KEY = re.compile(r"(?P<node>.+)/c/(?P<number>\d+)")


def is_own(key: str) -> bool:
    """Return whether a key or prefix is one of ours."""
    return key == OWN or key.startswith(f"{OWN}/")


def is_page(key: str) -> bool:
    """Return whether an own key is one of many of an array: named by a number; the others are named as files are."""
    return "." not in key.rpartition("/")[2]


def node_of(prefix: str) -> str:
    """Return the node that an own prefix is; other prefixes are as they are."""
    return NODES + prefix.removeprefix(OWN) if is_own(prefix) else prefix


def node_key(key: str) -> str:
    """Return the key of the chunk that holds an own key's bytes; other keys are as they are."""
    if not is_own(key):
        return key
    if not is_page(key):
        return f"{node_of(key)}/c/0"
    folder, _, number = key.rpartition("/")
    return f"{node_of(folder)}/c/{int(number)}"


def array_document(length: int, chunk: int) -> dict[str, object]:
    """Return the metadata of an array of so many bytes, uncompressed, in chunks of so many."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [length],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {},
    }


def own_key(key: str) -> str | None:
    """Return the own key whose bytes a chunk holds, or None if a key of the group is no chunk's."""
    found = _CHUNK_KEY.fullmatch(key)
    if found is None:
        return None
    own = OWN + found["node"].removeprefix(NODES)
    return f"{own}/{found['number']}" if is_page(own) else own


def chunk_of(key: str) -> tuple[str, int]:
    """Return the node and the number of a chunk, by its key."""
    node, _, number = key.rpartition("/c/")
    return node, int(number)

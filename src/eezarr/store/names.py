"""One rule for what a stored array may be called: a name that every file system, object store and reader keeps apart.

Linux takes `B1` beside `b1`, `aux`, `a:b` and `B1.`; Windows and macOS lose or refuse them, and a store is copied
between all of these.

Source: https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file, https://zarr-specs.readthedocs.io
(node names of Zarr v3)
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["check_node_names"]

_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"
}
_MAX_BYTES = 200
"""A file name holds 255 bytes on common file systems, and a temporary file's is longer than the name."""


def check_node_names(names: Iterable[str], *, taken: Collection[str]) -> None:
    """Check that arrays of these names can lie in one group, wherever the store is copied to.

    Args:
        names: The names.
        taken: Names of other nodes of the group, in small letters.

    Raises:
        InvalidInput: If one cannot; it says why, and what to do.
    """
    seen: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFC", name).casefold()
        reason = _reason(name, folded, taken)
        if reason is None and folded in seen:
            reason = f"is that of {seen[folded]!r} where file names do not tell capitals from small letters"
        if reason is not None:
            raise InvalidInput(
                f"The band name {name[:80]!r} {reason}.",
                hint="Rename the band in an expression (`rename` of Earth Engine), leave it out, or set "
                'layout = "stacked", where names are only labels.',
            )
        seen[folded] = name


def _reason(name: str, folded: str, taken: Collection[str]) -> str | None:
    reasons = {
        "is taken or reserved in a Zarr group": not name or folded in taken or name.startswith(("__", ".")),
        "has a character that not every file system takes": any(
            character in '/\\:*?"<>|' or not character.isprintable() for character in name
        ),
        "begins or ends with what file systems drop, a dot or a space": name.endswith((".", " ")) or name[:1] == " ",
        "is that of a device on Windows": folded.partition(".")[0].rstrip() in _DEVICES,
        "is written with combining characters, which some file systems change": not unicodedata.is_normalized(
            "NFC", name
        ),
        f"has more than {_MAX_BYTES} bytes": len(name.encode("utf-8", "surrogatepass")) > _MAX_BYTES,
    }
    return next((reason for reason, is_true in reasons.items() if is_true), None)

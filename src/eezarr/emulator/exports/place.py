"""Where the files of an export go, and how they are called.

Law: Cloud Storage appends to the prefix as it is, Drive puts a dash between: `prefix0000000000-0000000256.tif` in a
bucket is `prefix-0000000000-0000000256.tif` in Drive. One file alone is `prefix.tif` in both. A file grows under
another name, and gets its own when the export has succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from eezarr.emulator.exports.request import FileTarget

DRIVE = "Drive"
"""The folder that stands for Drive; no bucket can have this name, as theirs have no capitals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder, and what the names of the files in it begin with."""

    folder: Path
    prefix: str
    separator: str
    """Between the prefix and what tells files apart."""

    def one(self, suffix: str) -> Path:
        """Answer the path of a file that is alone."""
        return self.folder / f"{self.prefix}{suffix}"

    def among(self, label: str) -> Path:
        """Answer the path of one of several files."""
        return self.folder / f"{self.prefix}{self.separator}{label}"


def place_of(target: FileTarget, root: Path) -> Place:
    """Answer where a target's files go under the folder that stands for all of Cloud Storage and Drive."""
    if target.place == "drive":
        return Place(folder=root / DRIVE / target.folder, prefix=target.prefix, separator="-")
    folder, _, prefix = target.prefix.rpartition("/")
    return Place(folder=root / target.folder / folder, prefix=prefix, separator="")


def growing(path: Path) -> Path:
    """Answer the name under which a file grows."""
    return path.with_name(f".{path.name}.part")


def destinations_of(target: FileTarget) -> tuple[str, ...]:
    """Answer what the operation says of the place, as the service would: pages of its console, not of this disk."""
    if target.place == "drive":
        return ("https://drive.google.com/",)
    folder = target.prefix.rpartition("/")[0]
    return (f"https://console.developers.google.com/storage/browser/{target.folder}/{folder}",)

"""A power cut, simulated: what was synced is there afterwards, and of the rest what the disk pleases."""

import os
import shutil
from pathlib import Path

from eezarr.store import disk


class PowerCuts:
    """Notes what of a store is durable, from the calls that make it so; `remains` is the store after a power cut.

    Args:
        monkeypatch: Undoes it.
        root: The store.
        has_syncfs: Whether the system can sync a whole file system at once.
    """

    def __init__(self, monkeypatch, root, *, has_syncfs):
        self.root = Path(root)
        self.durable = {}
        self.while_syncing = lambda: None
        self.after_mark = lambda: None
        self._contents = {}
        self._fsync, self._replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", self._on_fsync)
        monkeypatch.setattr(os, "replace", self._on_replace)
        monkeypatch.setattr(disk, "_syncfs", lambda: self._on_syncfs if has_syncfs else None)

    def remains(self, folder, *, keeps_own=False):
        """Write what is left after a cut; `keeps_own`: what is ours and no pixel was written back in time."""
        shutil.rmtree(folder, ignore_errors=True)
        left = dict(self.durable)
        if keeps_own:
            own = self.root / ".eezarr"
            left |= {str(path.relative_to(self.root)): path.read_bytes() for path in own.rglob("*") if path.is_file()}
        for name, body in left.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        return folder

    def _on_syncfs(self, _descriptor):
        self.durable = {
            str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()
        }
        self.while_syncing()

    def _on_fsync(self, descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_file():
            self._contents[path.stat().st_ino] = path.read_bytes()
            return
        if self.root not in (path, *path.parents):
            return
        # The names in a folder; what was never synced has a name and no bytes.
        for name in [name for name in self.durable if (self.root / name).parent == path]:
            del self.durable[name]
        for entry in path.iterdir():
            if entry.is_file():
                self.durable[str(entry.relative_to(self.root))] = self._contents.get(entry.stat().st_ino, b"")
        self.while_syncing()

    def _on_replace(self, source, target, **options):
        self._replace(source, target, **options)
        if "/marks/" in str(target):
            self.after_mark()

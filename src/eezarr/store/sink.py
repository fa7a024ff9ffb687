"""The sink: stores tiles in a Zarr group, marks them, and resumes what an earlier run began."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Self, cast

from eezarr.errors import StoreError
from eezarr.grid import Shape2D
from eezarr.plan import record_dtype
from eezarr.planes import unpack
from eezarr.store.arrays import open_arrays, replace_attributes
from eezarr.store.attributes import told_by
from eezarr.store.chunks import chunk_writer, unread_array
from eezarr.store.clearing import image_text
from eezarr.store.columns import is_consolidated, read_attributes
from eezarr.store.creation import find_store, make_store, node_names, provenance
from eezarr.store.failures import storage_errors
from eezarr.store.integrity import gather, is_sound, require_sound, restore
from eezarr.store.layout import array_specs, check_ownership, targets
from eezarr.store.lease import WriterLease, is_held
from eezarr.store.levels import distrust, withdraw
from eezarr.store.location import locate, require_format
from eezarr.store.marks import Marks
from eezarr.store.noted import NotedSize
from eezarr.store.planar import ScratchPool, blocks, cells, checksum, tile_checksum
from eezarr.store.pyramid import Pyramid
from eezarr.store.record import read_origin, read_record
from eezarr.store.soundness import job_layouts
from eezarr.store.stages import Stage
from eezarr.store.stored import StoredJob

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from eezarr.plan import Band, Plan, Tile, Tiling
    from eezarr.plan.model import ZarrFormat
    from eezarr.protocols import Buffer, Pixels
    from eezarr.store.arrays import PixelArray
    from eezarr.store.attributes import JSON
    from eezarr.store.halving import Resampling
    from eezarr.store.layout import ArraySpec, Target
    from eezarr.store.location import Location
    from eezarr.store.record import JobRecord

__all__ = ["ZarrSink", "recorded_bands", "recorded_origin", "recorded_tiling"]


def recorded_tiling(output: str | os.PathLike[str]) -> tuple[str, Tiling] | None:
    """Return the plan's lineage and the tiling of the store at a place, or None if no job of ours began there.

    A resumed job, and one that grows along time, keeps the tiling, which its marks count in.

    Raises:
        InvalidInput: If the output is no path or URL that can be stored in.
        ForeignStore: If the store's record is damaged or a newer version's.
        StoreError: If the storage fails.
    """
    location = locate(output)
    record = read_record(location) if location.may_exist else None
    return None if record is None or not record.is_ready else (record.plan.lineage, record.tiling)


def recorded_bands(
    output: str | os.PathLike[str], *, zarr_format: ZarrFormat = 3
) -> tuple[str, tuple[Band, ...]] | None:
    """Return what the store at a place was read from (`Plan.image_key`) and its bands; None if there is none of ours.

    The bands have the types that one pixel told when the store was begun. Blocks.

    Args:
        output: A path or URL.
        zarr_format: What is to be stored there.

    Raises:
        InvalidInput: If the output is no path or URL that can be stored in.
        StoreError: If the storage fails; `ForeignStore` if the record there cannot be read.
    """
    location = locate(output)
    require_format(location, zarr_format)
    record = read_record(location) if location.may_exist else None
    return None if record is None or not record.is_ready else (record.plan.image_key, record.plan.bands)


def recorded_origin(output: str | os.PathLike[str]) -> str | None:
    """Return the origin of the pixels or samples at a place, or None if no record there says one.

    Raises:
        InvalidInput: If the output is no path or URL that can be stored in.
        StoreError: If the storage fails.
    """
    location = locate(output)
    return read_origin(location) if location.may_exist else None


class ZarrSink:
    """Keeps a plan's pixels in a Zarr group; made by `create`. Thread-safe.

    Memory: one buffer of a chunk with all bands and time steps of a request for each thread that writes at the same
    time; where Zarr has to write, one of the largest tile, beside what it encodes.
    """

    def __init__(
        self,
        *,
        location: Location,
        record: JobRecord,
        specs: tuple[ArraySpec, ...],
        arrays: tuple[PixelArray, ...],
        marks: Marks,
        lease: WriterLease | None = None,
    ) -> None:
        self._lease = lease
        self._has_changed = False
        self._location = location
        self._record = record
        self._specs = specs
        self._arrays = arrays
        self._marks = marks
        self._noted = NotedSize(location)
        self._pyramid: Pyramid | None = None
        found = [chunk_writer(array, location, record.plan.layout.compressor) for array in arrays]
        self._writers = [writer for writer in found if writer is not None]
        self._unread = [] if self._writers else [unread_array(array, location) for array in arrays]
        self._scratch = ScratchPool(self._scratch_bytes(), is_reusing=not location.keeps_buffers)

    @classmethod
    def create(
        cls,
        plan: Plan,
        output: str | os.PathLike[str],
        *,
        image_info: Mapping[str, object],
        origin: str,
        now: datetime,
        overwrite: bool = False,
        repair: bool = False,
        steal: bool = False,
        overviews: Mapping[str, Resampling] | None = None,
    ) -> Self:
        """Lay out the plan's store, or open the one that the same plan began, and hold it until `close`.

        A store with nothing to do is not held, and nothing of it changes.

        Args:
            plan: What will be stored.
            output: A path or URL.
            image_info: What is read, in plain JSON values, for the provenance.
            origin: The service that is asked, as `earthengine.origin` names it.
            now: The time, with its zone.
            overwrite: Whether to delete a Zarr group that is there; nothing else is ever deleted.
            repair: Whether to write damaged documents and coordinates again, else they are an error, and whether
                `unmark_altered` will be called.
            steal: Whether to take the store over from a live run.
            overviews: As for `finish`.

        Raises:
            InvalidInput: If the bands, layout, grid or output cannot become a Zarr group.
            ForeignStore: If the place holds another plan's store, or something that is not ours.
            StoreError: If another run writes the store, or the storage fails.
        """
        specs = array_specs(plan)
        location, image = locate(output), image_text(image_info)
        require_format(location, plan.layout.zarr_format)
        found, _ = find_store(plan, location, origin=origin, overwrite=overwrite)
        if found is not None and not repair and found.fingerprint == plan.fingerprint and not found.is_growing:
            marks = Marks.load(found, location)
            # Elsewhere what is lacking may be what a killed run was about to write, or a live one is writing.
            if (
                marks.count == plan.wanted_count
                and not is_held(location)
                and is_sound(location, job_layouts(location, found))
                and _is_done(plan, location, marks, overviews)
            ):
                arrays = open_arrays(location, specs)
                return cls(location=location, record=found, specs=specs, arrays=arrays, marks=marks)
        lease = WriterLease.take(location, nodes=node_names(specs), steal=steal)
        try:
            location = location.held_by(lease)
            with location.committing("open the store"):
                record = make_store(plan, specs, location, image=image, origin=origin, overwrite=overwrite, now=now)
                if found is not None and found.is_ready and not overwrite:
                    gather(location)
                    mend = restore if repair else require_sound
                    mend(location, job_layouts(location, record))
                marks = Marks.load(record, location)
                if marks.count < plan.wanted_count:
                    withdraw(location)
            arrays = open_arrays(location, specs)
        except StoreError:
            # What looks like damage may be another run's work, which has taken the store meanwhile.
            try:
                lease.check()
            finally:
                lease.release()
            raise
        except BaseException:
            lease.release()
            raise
        return cls(location=location, record=record, specs=specs, arrays=arrays, marks=marks, lease=lease)

    def renew(self) -> None:
        """Give a sign of life, if one is due.

        Raises:
            StoreError: If another run took the store, or the storage fails.
        """
        if self._lease is not None:
            self._lease.renew()

    def close(self) -> None:
        """Give the store back to others.

        Raises:
            StoreError: If the storage fails; the store is free when this process ends.
        """
        if self._lease is not None:
            self._lease.release()

    @property
    def plan(self) -> Plan:
        """What is stored."""
        return self._record.plan

    @property
    def stored_count(self) -> int:
        """How many tiles are stored."""
        return self._marks.count

    def noted_size(self) -> bytes:
        """Return what an earlier run noted of how much one request may ask for; empty if nothing.

        Raises:
            StoreError: If the storage fails.
        """
        return self._noted.read()

    def note_size(self, size: bytes) -> None:
        """Note how much one request may ask for; durable after the next `flush`."""
        self._noted.note(size)

    def missing(self) -> Iterator[int]:
        """Yield the indices of the wanted tiles that are not stored, in order, a page of marks at a time."""
        return filter(self.plan.is_wanted, chain.from_iterable(self._marks.missing()))

    def is_stored(self, index: int) -> bool:
        """Return whether a tile is stored."""
        return self._marks.is_marked(index)

    def begin_overviews(self, methods: Mapping[str, Resampling] | None) -> None:
        """Build overviews as tiles are stored from now on; without this, `finish` builds them all.

        Args:
            methods: How each band's are made; None: as those that are there, if any are.

        Raises:
            StoreError: If the storage fails.
        """
        self._has_changed = True
        with self._location.committing("overviews begun"):
            withdraw(self._location)
            self._pyramid = self._open_pyramid(methods)

    def write(self, tile: Tile, pixels: Pixels) -> None:
        """Store a tile's pixels, then mark it, then build the overviews that have waited for it.

        On return the pixels may be overwritten.

        Args:
            tile: One of the plan's.
            pixels: (height, width) structured, one little-endian field per band, as `protocols.Pixels`.

        Raises:
            StoreError: If the storage fails, or the tile does not own whole write units; it is not marked then. If an
                overview cannot be stored, the tile is marked and stays so; to write it once more changes nothing of it.
        """
        places = targets(self.plan, tile)
        for place in places:
            check_ownership(self._specs[place.array], tile, place.window)
        _check_pixels(tile, pixels)
        with self._scratch.borrow() as buffer, self._location.writing():
            with storage_errors(self._location.url, f"write {tile}"):
                keep = self._keep_cells if self._writers else self._keep_whole
                crc = keep(tile, pixels, places, buffer)
            self._marks.mark(tile.index, crc)
        if self._pyramid is not None:
            with self._location.writing():
                self._pyramid.on_stored(tile.index)

    def flush(self) -> None:
        """Make the marks durable: after this, a crash loses none of them.

        Raises:
            StoreError: If the storage fails.
        """
        with self._location.committing(f"{self._marks.count} tiles"):
            self._flush_marks()
            self._noted.flush()

    def unmark_altered(self) -> int:
        """Take stored tiles whose pixels are not what was stored for missing, durably; return how many there are.

        Raises:
            StoreError: If the storage fails.
        """
        stored = StoredJob(location=self._location, record=self._record, marks=self._marks, arrays=self._arrays)
        altered = [tile.index for tile in stored.verify()]
        self._has_changed |= bool(altered)
        with self._location.committing(f"{len(altered)} tiles taken back"):
            if altered:
                self._pyramid = None
                distrust(self._location, self.plan)
            for index in altered:
                self._marks.unmark(index)
            self._marks.flush()
        return len(altered)

    def finish(self, now: datetime, *, overviews: Mapping[str, Resampling] | None = None) -> bool:
        """Flush, note the job as complete if every tile is stored, consolidate the metadata, and bring overviews up.

        Args:
            now: The time, with its zone.
            overviews: How each band's are made; None: as those that are there, if any are.

        Returns:
            Whether every tile is stored.

        Raises:
            StoreError: If the storage fails.
        """
        is_complete = self._marks.count == self.plan.wanted_count
        if self._lease is None or (
            not self._has_changed and _is_done(self.plan, self._location, self._marks, overviews)
        ):
            return is_complete
        facts = provenance(self._record, completed=now if is_complete else None)
        with self._location.committing(f"{self._marks.count} tiles, {'complete' if is_complete else 'incomplete'}"):
            self._flush_marks()
            replace_attributes(self._location, {"eezarr": facts})
            self._location.settle()
        if is_complete:
            with self._location.committing("overviews"):
                pyramid, self._pyramid = self._pyramid, None
                if pyramid is None or overviews not in (None, pyramid.methods):
                    pyramid = self._open_pyramid(overviews)
                if pyramid is not None:
                    pyramid.complete()
        return is_complete

    def _keep_cells(self, tile: Tile, pixels: Pixels, places: Sequence[Target], buffer: Buffer) -> int:
        """Write a tile's chunks ourselves, cell by cell; return its checksum."""
        crc = 0
        for cell in cells(tile.window.shape, self.plan.layout.chunk):
            inside = [place.of_cell(*cell) for place in places]
            parts = blocks(inside, buffer)
            unpack(tile, pixels, [(place.fields, part) for place, part in zip(inside, parts, strict=True)], cell)
            for place, part in zip(inside, parts, strict=True):
                crc = checksum([part], crc)  # just before it is encoded: it is read from memory once
                self._writers[place.array].write(place.window, part)
        return crc

    def _keep_whole(self, tile: Tile, pixels: Pixels, places: Sequence[Target], buffer: Buffer) -> int:
        """Have Zarr write a tile; return its checksum."""
        parts = blocks(places, buffer)
        unpack(tile, pixels, [(place.fields, part) for place, part in zip(places, parts, strict=True)])
        for place, part in zip(places, parts, strict=True):
            self._unread[place.array][place.window] = part
        return tile_checksum(parts, tile.window.shape, self.plan.layout.chunk)

    def _scratch_bytes(self) -> int:
        """What a thread that writes needs: a cell of the largest tile where we write chunks, or all of it."""
        plan = self.plan
        tile, chunk = plan.largest_tile, plan.layout.chunk
        cell = Shape2D(min(tile.height, chunk.height), min(tile.width, chunk.width))
        return plan.tile_bytes // tile.size * cell.size if self._writers else plan.tile_bytes

    def _open_pyramid(self, methods: Mapping[str, Resampling] | None) -> Pyramid | None:
        base = Stage(plan=self.plan, specs=self._specs, arrays=self._arrays, marks=self._marks)
        return Pyramid.open(self._location, base, methods)

    def _flush_marks(self) -> None:
        self._marks.flush()
        if self._pyramid is not None:
            self._pyramid.flush()


def _is_done(plan: Plan, location: Location, marks: Marks, overviews: Mapping[str, Resampling] | None) -> bool:
    """Whether every tile is stored, and whatever comes after the last is there, too."""
    if marks.count != plan.wanted_count:
        return False
    told = told_by(cast("JSON", read_attributes(location).get("eezarr")))
    is_told = told.get("complete") is True and told.get("fingerprint") == plan.fingerprint
    return is_told and is_consolidated(location) and Pyramid.is_whole(location, plan, overviews)


def _check_pixels(tile: Tile, pixels: Pixels) -> None:
    if pixels.shape != (tile.window.height, tile.window.width) or pixels.dtype != record_dtype(tile.wire_bands):
        raise StoreError(
            f"{tile} got pixels of {pixels.shape} {pixels.dtype}, so it was not written.",
            hint="This is a defect of the source: please report it with the job file.",
        )

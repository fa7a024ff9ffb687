"""Jobs on a grid: pixels into a store, and exports."""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field

from eezarr.config.export import ExportOptions
from eezarr.config.grid import GridOptions
from eezarr.config.jobfile import JobFile
from eezarr.config.output import Output
from eezarr.config.store import StoreOptions

__all__ = ["ExportJob", "Job", "PixelJob"]


class PixelJob(JobFile):
    """A job on one grid."""

    misplaced: ClassVar[dict[str, str]] = {"samples": "a job with [samples] is one of `eezarr samples`"}

    grid: GridOptions

    def _mistakes(self) -> Iterable[str]:
        yield from super()._mistakes()
        if self.grid.clip and self.mask.mode == "none":
            yield '\'grid.clip\' masks pixels: give [mask] with mode = "fill" or "band"'


class Job(PixelJob):
    """A checked job of `eezarr fetch`: pixels into a store."""

    output: Output
    """A path, or a file://, s3://, gs:// or az:// URL."""
    store: StoreOptions = Field(default_factory=StoreOptions)
    export: ExportOptions | None = None
    """For `eezarr export` only."""


class ExportJob(PixelJob):
    """A checked job of `eezarr export`: needs no output. The same file may serve `eezarr fetch`, too."""

    export: ExportOptions
    output: Output | None = None
    """For `eezarr fetch` only."""
    store: StoreOptions = Field(default_factory=StoreOptions)
    """For `eezarr fetch` only."""

    def _mistakes(self) -> Iterable[str]:
        yield from super()._mistakes()
        if self.collection is not None and self.collection.group != "all":
            yield "'collection.group': an export is of one image: give group = \"all\", or an [image]"
        if self.grid.clip:
            yield "'grid.clip': the service exports whole grids; clip the image itself, or fetch it"

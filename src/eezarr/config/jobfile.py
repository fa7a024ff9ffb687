"""What all kinds of jobs share: what is read, how it is asked for, and how a file becomes a job."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from eezarr.config.collection import CollectionOptions
from eezarr.config.explaining import explain
from eezarr.config.fetch import FetchOptions
from eezarr.config.image import ImageOptions
from eezarr.config.mask import MaskOptions
from eezarr.config.sections import Section, given
from eezarr.documents import read_standard_input, read_text
from eezarr.errors import InvalidInput

__all__ = ["JobFile", "job_name", "read_toml"]

_STANDARD_INPUT = Path("-")
"""Stands for a job that comes by a pipe; its paths of other files start in the current directory."""

_MAX_BYTES = 1 << 20
"""Of a job file: two hundred times a long one."""
_MAX_DEPTH = 32
"""Of tables and lists in each other; no key takes more than five."""
_LONG_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")
"""A dotted key as long as no job has one: a parser's time grows with the square of its parts."""


def job_name(path: Path) -> str:
    """Return how messages call a job file."""
    return "Standard input" if path == _STANDARD_INPUT else str(path)


def read_toml(path: Path) -> dict[str, object]:
    """Return what a job file says, or standard input where the path is `-`, unchecked.

    Raises:
        InvalidInput: If the file cannot be read, or is no TOML.
    """
    if path == _STANDARD_INPUT:
        text = read_standard_input(noun="job", hint="Write a job file to it.", max_bytes=_MAX_BYTES)
    else:
        text = read_text(path, noun="job file", hint="Give the path of a job file.", max_bytes=_MAX_BYTES)
    is_deep, data = _LONG_KEY.search(text) is not None, {}
    try:
        if not is_deep:
            data = tomllib.loads(text)
            is_deep = _is_deep(data)
    except RecursionError:
        is_deep = True
    except ValueError as error:
        raise InvalidInput(f"{job_name(path)} is not TOML: {str(error)[:200]}.", hint="Mend that line.") from error
    if is_deep:
        raise InvalidInput(
            f"{job_name(path)} has a key or a value of more than {_MAX_DEPTH} parts in each other.",
            hint="`eezarr schema` prints all keys with what they mean.",
        )
    return data


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            item
            for held in level
            if isinstance(held, dict | list)
            for item in (held.values() if isinstance(held, dict) else held)
        ]
        if not level:
            return False
    return True


class JobFile(Section):
    """What every job has: what to read, and how to ask."""

    misplaced: ClassVar[dict[str, str]] = {}
    """Sections of other kinds of jobs, and what to say of them."""

    project: str | None = None
    """Default: EARTHENGINE_PROJECT, GOOGLE_CLOUD_PROJECT, else what the credentials name."""
    image: ImageOptions | None = None
    """Exactly one of `[image]` and `[collection]`."""
    collection: CollectionOptions | None = None
    """Exactly one of `[image]` and `[collection]`."""
    mask: MaskOptions = Field(default_factory=MaskOptions)
    fetch: FetchOptions = Field(default_factory=lambda: FetchOptions.model_validate({}))
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """Where the job file lies; paths of other files start here."""
        return self._folder

    @classmethod
    def of(cls, job: object) -> Self:
        """Return a job as it is, that of a mapping, or that of a file.

        Raises:
            InvalidInput: If it makes no job.
        """
        if isinstance(job, cls):
            return job
        if isinstance(job, Mapping):
            return cls.parse(dict(job))
        return cls.load(job)

    @classmethod
    def load(cls, path: object) -> Self:
        """Return the job of a TOML file, or of standard input where the path is `-`.

        Raises:
            InvalidInput: If the file cannot be read, is no TOML, or says something that makes no job.
        """
        if not isinstance(path, str | os.PathLike):
            raise InvalidInput(
                f"A {type(path).__name__} is no {cls.__name__}.",
                hint="Give a job, a mapping, or the path of a job file.",
            )
        place = Path(path)
        return cls.parse(read_toml(place), name=job_name(place), folder=place.parent)

    @classmethod
    def parse(cls, data: dict[str, object], *, name: str = "The job", folder: Path = Path()) -> Self:
        """Return the job of a mapping, as a TOML file would hold it.

        Args:
            data: Sections and keys.
            name: What an error calls it.
            folder: Where paths of other files start.

        Raises:
            InvalidInput: If it makes no job. The message names every mistake; those across sections once each section
                is right.
        """
        try:
            job = cls.model_validate(data)
        except ValidationError as error:
            problems = explain(cls, error, misplaced=cls.misplaced)
            end = "" if problems.endswith("?") else "."
            raise InvalidInput(
                f"{name}: {problems}{end}", hint="`eezarr schema` prints all keys with what they mean."
            ) from error
        job._folder = folder  # noqa: SLF001 - private to others
        return job

    def replaced(
        self, *, output: str | None = None, api_url: str | None = None, max_concurrency: int | None = None
    ) -> Self:
        """Return the job with what the command line overrides.

        Raises:
            InvalidInput: If a value makes no job.
        """
        fetch = {"api_url": api_url, "max_concurrency": max_concurrency}
        data = self.model_dump(exclude_unset=True)
        data["fetch"] = {**data.get("fetch", {}), **{key: value for key, value in fetch.items() if value is not None}}
        return self.parse({**data, **({"output": output} if output else {})}, folder=self.folder)

    def beside(self, path: Path) -> Path:
        """Return the place of a file that the job names."""
        return self.folder / path

    @model_validator(mode="after")
    def _check_sections(self) -> Self:
        mistakes = list(self._mistakes())
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def _mistakes(self) -> Iterable[str]:
        found = given(self, ("image", "collection"))
        if len(found) != 1:
            yield f"give exactly one of [image] and [collection], not {'both' if found else 'none'}"
        if self.collection is not None and self.collection.missing == "mask" and self.mask.mode == "none":
            yield '\'collection.missing\': "mask" needs a mask: give [mask] with mode = "fill" or "band"'
        if self.collection is None and self.fetch.steps != "auto":
            yield "'fetch.steps' is for a [collection]; an image has no time steps"

"""What is wrong with a job file, in its reader's words: the key, what it must be, and the key that was meant.

pydantic reports each branch of a union by itself, under a name of its own for the branch. Those names are left out, and
what the branches want is told together; a branch that got further into a value than the others is the one meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Union, get_args, get_origin

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["explain"]


def explain(model: type[BaseModel], error: ValidationError, *, misplaced: Mapping[str, str]) -> str:
    """Return all that is wrong, in one line.

    Args:
        model: What was checked.
        error: What pydantic found.
        misplaced: What to say of sections that belong to other kinds of jobs.
    """
    problems = [(_place(model, problem["loc"]), problem) for problem in error.errors(include_url=False)]
    places = {place for place, _ in problems}
    told: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for place, problem in problems:
        if not any(other[: len(place)] == place and len(other) > len(place) for other in places):
            told.setdefault(place, []).append(problem)
    return "; ".join(_told(model, place, found, misplaced) for place, found in told.items())


def _told(
    model: type[BaseModel], place: tuple[str, ...], problems: list[ErrorDetails], misplaced: Mapping[str, str]
) -> str:
    name, problem = ".".join(key if len(key) <= 60 else f"{key[:57]}..." for key in place), problems[0]
    if problem["type"] == "extra_forbidden":
        return misplaced.get(name) or f"there is no key {name!r}{_nearest(model, place)}"
    if problem["type"] == "missing":
        return f"{name!r} is missing"
    wanted = [str(problem["msg"]).removeprefix("Value error, ") for problem in problems]
    says = ", or ".join([wanted[0], *(want.removeprefix("Input should be ") for want in wanted[1:])])
    if isinstance(problem["input"], Mapping):  # a whole section, which is not repeated
        return f"{name!r}: {says}" if place else says
    return f"{name!r}: {says} (got {_short(problem['input'])}){_meant(model, place)}"


def _short(value: object) -> str:
    """A value as a message shows it: a list of a megabyte only by its beginning."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _place(model: type[BaseModel], loc: Iterable[str | int]) -> tuple[str, ...]:
    """The keys and positions that the reader wrote."""
    place: list[str] = []
    annotation: object = model
    parts = list(loc)
    while parts:
        choices = _choices(annotation)
        if len(choices) > 1:  # the next part names a branch
            branch, *parts = parts
            choices = [choice for choice in choices if _takes(choice, str(branch))]
            annotation = choices[0] if choices else object
            continue
        part, *parts = parts
        place.append(str(part))
        annotation = _inside(choices[0], part)
    return tuple(place)


def _choices(annotation: object) -> list[object]:
    """What a value may be, None aside."""
    if get_origin(annotation) is Annotated:
        return _choices(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return [kind for kind in get_args(annotation) if kind is not NoneType]
    return [annotation]


def _takes(choice: object, branch: str) -> bool:
    """Whether a branch's name is that of a choice that has an inside."""
    return getattr(get_origin(choice), "__name__", "") == branch.partition("[")[0]


def _inside(annotation: object, part: str | int) -> object:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(part))
        return object if field is None else field.annotation
    arguments = get_args(annotation)
    return arguments[-1] if arguments else object


def _nearest(model: type[BaseModel], place: tuple[str, ...]) -> str:
    section = _section(model, place)
    return _meant(model, place) or f"; the keys here are {', '.join(section.model_fields if section else ())}"


def _meant(model: type[BaseModel], place: tuple[str, ...]) -> str:
    """The key that was meant by one that is none of its section's own."""
    section = _section(model, place)
    keys = () if section is None or place[-1] in section.model_fields else section.model_fields
    close = get_close_matches(place[-1], keys, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _section(model: type[BaseModel], place: tuple[str, ...]) -> type[BaseModel] | None:
    """The section that a key is in; None for what is inside a key's value."""
    annotation: object = model
    for part in place[:-1]:
        annotation = _inside(_choices(annotation)[0], part)
    section = _choices(annotation)[0]
    return section if isinstance(section, type) and issubclass(section, BaseModel) else None

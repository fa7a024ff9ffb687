"""What all sections of a job file share: they are frozen, and a key that does not exist is an error.

The modules of sections go without `from __future__ import annotations`: pydantic reads the annotations when it builds
a section. It does so when the first job is checked, not at import.
"""

import ast
import inspect
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from eezarr.errors import InvalidInput

__all__ = ["Crs", "Number", "Positive", "PositiveNumber", "Section", "Text", "exactly_one", "given", "none_of"]

Positive: TypeAlias = Annotated[int, Field(gt=0)]
PositiveNumber: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
Text: TypeAlias = Annotated[str, Field(min_length=1)]


def _crs(value: object) -> str:
    from eezarr.grid.crs import crs_text  # noqa: PLC0415 - a section without a CRS needs no grid

    try:
        return crs_text(value)  # type: ignore[arg-type]
    except InvalidInput as error:
        raise ValueError(f"{error.message.removesuffix('.')}; {error.hint.removesuffix('.')}") from error


Crs: TypeAlias = Annotated[
    str, BeforeValidator(_crs), Field(min_length=1), WithJsonSchema({"type": ["string", "integer"], "minLength": 1})
]
"""A CRS as people have it: an authority code or its number, WKT, or, from Python, another library's object."""


_POSITION, _KEYWORDS = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_KEYWORD


class _Fields:
    """The signature of a section, with its fields and defaults; built when `help` asks, as sections are."""

    def __get__(self, _section: object, kind: type[BaseModel]) -> inspect.Signature:
        kind.model_rebuild()
        return inspect.signature(kind)


class Section(BaseModel):
    """A table of a job file; the docstrings under its keys are the schema's descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    __signature__ = _Fields()

    if not TYPE_CHECKING:  # type checkers know the fields, as those of a dataclass

        def __init__(self, /, *values: object, **fields: object) -> None:
            """Check the fields.

            Raises:
                InvalidInput: If they make no section; the message names each mistake, and the nearest name.
            """
            kind = type(self)
            if values:
                named = ", ".join(f"{name}={value!r}" for name, value in zip(kind.model_fields, values, strict=False))
                raise InvalidInput(
                    f"{kind.__name__} takes its fields by name.", hint=f"Write {kind.__name__}({named[:200]})."
                )
            try:
                super().__init__(**fields)
            except ValidationError as error:
                from eezarr.config.explaining import explain  # noqa: PLC0415 - what is right needs no explaining

                raise InvalidInput(
                    f"{kind.__name__}: {explain(kind, error, misplaced=getattr(kind, 'misplaced', {}))}",
                    hint=f"`help(eezarr.config.{kind.__name__})` shows its fields.",
                ) from error

        __init__.__signature__ = inspect.Signature(
            [inspect.Parameter(name, kind) for name, kind in (("self", _POSITION), ("fields", _KEYWORDS))]
        )
        # As pydantic's own: a section within another is checked in one go, so that all mistakes are told.
        __init__.__pydantic_base_init__ = True

    # Not `use_attribute_docstrings`: it parses the source of each section at import, which took most of a job's.
    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        described = handler.resolve_ref_schema(schema)["properties"]
        for kind in cls.__mro__:
            if issubclass(kind, Section):
                for key, text in _docstrings(kind).items():
                    described[key].setdefault("description", text)
        return schema


def given(section: Section, names: tuple[str, ...]) -> list[str]:
    """Return those of the names that are not None."""
    return [name for name in names if getattr(section, name) is not None]


def exactly_one(section: Section, names: tuple[str, ...]) -> None:
    """Check that one of the names is given.

    Raises:
        ValueError: If none is, or several are.
    """
    found = given(section, names)
    if len(found) != 1:
        raise ValueError(f"give exactly one of {', '.join(names)}, not {' and '.join(found) or 'none'}")


def none_of(section: Section, beside: str, names: tuple[str, ...]) -> None:
    """Check that none of the names is given.

    Raises:
        ValueError: If one is; it says that this cannot stand beside what `beside` says.
    """
    found = given(section, names)
    if found:
        raise ValueError(f"{' and '.join(found)} cannot stand beside {beside}")


def _docstrings(kind: type[Section]) -> dict[str, str]:
    """The docstrings under the keys that a section declares itself."""
    texts = {}
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    for statement, below in pairwise(tree.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))) if statement.target.id in kind.model_fields:
                    texts[statement.target.id] = inspect.cleandoc(text)
    return texts

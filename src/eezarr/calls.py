"""Calls of the public surface: what does not fit the signature, or is of another type, is an `InvalidInput`.

Rules: a TypeError that comes from inside a function is left as it is, since it is no mistake of the caller's; and only
such types are checked as are declared by a plain name (`int | None`, `PixelGrid`). What else may be given, the function
checks itself. Names are compared, so that nothing need be imported for it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import cache, partial, wraps
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar, cast

from eezarr.errors import InvalidCall, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["checked_arguments", "checked_call", "checked_calls", "checked_methods", "checked_record"]

F = TypeVar("F", bound="Callable[..., object]")
T = TypeVar("T", bound=type)

_PLAIN: dict[str, tuple[type, str]] = {
    "str": (str, "text"),
    "bool": (bool, "true or false"),
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "Mapping[str, object]": (Mapping, "a mapping"),
    "None": (type(None), "None"),
}
"""Declared types, what is taken for one, and how a message calls it."""
_RECORDS = frozenset(
    {
        "AssetExport",
        "CloudStorage",
        "Drive",
        "ExportRequest",
        "FetchOptions",
        "FileExport",
        "GeoTiffOptions",
        "Image",
        "MaskOptions",
        "PartialGrid",
        "Patches",
        "PixelGrid",
        "PixelRequest",
        "SampleStoreOptions",
        "Shape2D",
        "SiteColumns",
        "SiteTable",
        "SplitFacts",
        "StoreOptions",
        "TfRecordOptions",
        "Visualization",
    }
)
"""Declared types that are this package's own."""


def checked_call(function: F) -> F:
    """Return a function whose calls are `InvalidCall` where they do not fit its signature."""

    @wraps(function)
    def called(*values: object, **named: object) -> object:
        try:
            return function(*values, **named)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                _bind(function, values, named)
            raise

    return _declared_alike(called, function)


def checked_arguments(function: F) -> F:
    """Return a function whose calls fit its signature, and whose arguments have the types that it declares."""
    signature = cache(partial(inspect.signature, function))

    @wraps(function)
    def called(*values: object, **named: object) -> object:
        name = _name(function, values)
        for key, value in _bind(function, values, named).arguments.items():
            _check(f"{name}: {key}", value, signature().parameters[key].annotation, name)
        return function(*values, **named)

    return _declared_alike(called, function)


def checked_calls(kind: T) -> T:
    """Make `checked_call` of a class's constructor and of the public methods that it declares itself."""
    return _wrapped(kind, checked_call)


def checked_methods(kind: T) -> T:
    """Make `checked_arguments` of a class's constructor and of the public methods that it declares itself."""
    return _wrapped(kind, checked_arguments)


def checked_record(kind: T) -> T:
    """Make `checked_calls` of a dataclass, whose fields have the types that they are declared as.

    What its own checks fail with, on a value of another type, is an `InvalidInput`, too. NumPy's numbers become
    Python's, as JSON knows no others.
    """
    construct = vars(kind)["__init__"]

    @wraps(construct)
    def constructed(self: Any, *values: object, **named: object) -> None:  # noqa: ANN401 - any record
        try:
            construct(self, *values, **named)
        except (AttributeError, TypeError, ValueError) as error:
            _bind(construct, (self, *values), named)
            _check_fields(self)
            raise InvalidInput(
                f"{kind.__name__} cannot be made: {str(error)[:200]}.", hint=_help(kind.__name__)
            ) from error
        _check_fields(self)

    setattr(kind, "__init__", constructed)  # noqa: B010 - mypy holds every other way for unsound
    return kind


def _wrapped(kind: T, wrap: Callable[[Callable[..., object]], Callable[..., object]]) -> T:
    for name, member in list(vars(kind).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(member, classmethod):
            setattr(kind, name, classmethod(wrap(member.__func__)))
        elif isinstance(member, staticmethod):
            setattr(kind, name, staticmethod(wrap(member.__func__)))
        elif inspect.isfunction(member):
            setattr(kind, name, wrap(member))
    return kind


def _declared_alike(called: Callable[..., object], function: F) -> F:
    """Return a wrapper that is seen as a coroutine function where the function is one; Python 3.11 cannot."""
    if sys.version_info >= (3, 12) and inspect.iscoroutinefunction(function):
        inspect.markcoroutinefunction(called)
    return cast("F", called)


def _check_fields(record: Any) -> None:  # noqa: ANN401 - any record
    kind = type(record).__name__
    for field in fields(record):
        value: Any = getattr(record, field.name)
        _check(f"{kind}: {field.name}", value, field.type, kind)
        if not isinstance(value, int | float) and isinstance(value, Real):
            object.__setattr__(record, field.name, int(value) if isinstance(value, Integral) else float(value))


def _check(what: str, value: object, declared: object, owner: str) -> None:
    """Check a value against a declared type, if that is plain names alone."""
    kinds = str(declared).split(" | ")
    if any(kind not in _PLAIN and kind not in _RECORDS for kind in kinds):
        return
    names = {"bool"} if isinstance(value, bool) else {each.__name__ for each in type(value).__mro__}
    for kind in kinds:
        taken = _PLAIN[kind][0] if kind in _PLAIN else ()
        if kind in names or (isinstance(value, taken) and "bool" not in names):
            return
    due = " or ".join(_PLAIN[kind][1] if kind in _PLAIN else kind for kind in kinds)
    raise InvalidInput(f"{what} is {f'{value!r}'[:60]} where {due} is due.", hint=_help(owner))


def _bind(
    function: Callable[..., object], values: tuple[object, ...], named: dict[str, object]
) -> inspect.BoundArguments:
    """Return what each parameter is given.

    Raises:
        InvalidCall: If the call does not fit the signature.
    """
    signature = inspect.signature(function)
    try:
        return signature.bind(*values, **named)
    except TypeError as error:
        mismatch = str(error)
    is_bound = next(iter(signature.parameters), "") in ("self", "cls")
    own = list(signature.parameters.values())[is_bound:]
    name = _name(function, values)
    keywords = [each.name for each in own if each.kind is not each.POSITIONAL_ONLY]
    positional = [each.name for each in own if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    given = len(values) - is_bound
    unknown = [key for key in named if key not in keywords]
    if unknown:
        close = get_close_matches(unknown[0], keywords, n=1)
        message = f"{name} takes no {unknown[0]!r}" + (f"; did you mean {close[0]!r}?" if close else ".")
        hint = f"It takes {', '.join(keywords)}." if keywords else _help(name)
    elif given > len(positional):
        others = [key for key in keywords if key not in positional]
        most = f"at most {len(positional)}" if positional else "none"
        message = f"{name} takes {most} of its arguments by position, and was given {given}."
        hint = f"Write the others by name: {', '.join(f'{key}=…' for key in others)}." if others else _help(name)
    else:
        message, hint = f"{name}: {mismatch}.", _help(name)
    raise InvalidCall(message, hint=hint)


def _name(function: Callable[..., object], values: tuple[object, ...]) -> str:
    name = getattr(function, "__qualname__", "the function")
    return type(values[0]).__name__ if name.endswith(".__init__") and values else name


def _help(name: str) -> str:
    return f"`help(eezarr.{name})` shows what it takes."

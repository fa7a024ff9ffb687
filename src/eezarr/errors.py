"""Every error that eezarr raises, and what each one tells a program to do.

The first axis is whether asking again can help; the second is the exit code of the command line.

    EezarrError                     abstract: message + hint, exit code
    ├── InvalidInput            2   the job, the arguments or the grid are wrong; nothing was sent
    │   └── InvalidCall         2   a call does not fit its function's signature; a TypeError, too
    ├── AccessDenied            3   credentials, project or permission
    ├── ServiceRefusal          4   a permanent answer: no such asset or band, bad expression
    ├── StoreError              5   the store cannot be used
    │   └── ForeignStore        5   it holds another plan
    ├── Retryable                   abstract: asking again later can help
    │   ├── Throttled           6   429: too much at once
    │   ├── Unreachable         6   no connection, reset, stall, 5xx
    │   │   └── Outage          6   nothing at all could be reached for as long as was allowed: the job ends
    │   └── BadBody             6   the body is not what was asked for
    ├── NetworkBlocked          6   no way to the service until something is set up: a certificate, a proxy's password
    ├── TooHeavy                4   the request is too big or too costly: a smaller one can help
    └── Incomplete              1   the job ended with tiles missing; run again to resume

Rule: a hint is required. It says what to do now, in one sentence, and never repeats the message. Both quote what others
wrote, so they hold it as it may be shown (see `printable`).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from eezarr.printable import printable

__all__ = [
    "AccessDenied",
    "BadBody",
    "EezarrError",
    "ForeignStore",
    "Incomplete",
    "InvalidCall",
    "InvalidInput",
    "NetworkBlocked",
    "Outage",
    "Retryable",
    "ServiceRefusal",
    "StoreError",
    "Throttled",
    "TooHeavy",
    "Unreachable",
]


class EezarrError(Exception):
    """The base of all errors of this package; catch this one to catch them all.

    Args:
        message: What happened, to what.
        hint: What to do now.
    """

    exit_code: int = 70
    """The command line's exit code for this error (`EX_SOFTWARE` where a class forgot to say)."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = printable(hint)
        self.attempts = 1
        """How often it was tried; the engine counts."""

    def __setattr__(self, name: str, value: object) -> None:
        # No property: PyTorch calls a class that has a `message` with that alone.
        super().__setattr__(name, printable(value) if name == "message" and isinstance(value, str) else value)

    def __reduce__(self) -> tuple[object, ...]:
        # Errors of other processes come here by pickle, which knows no keyword arguments.
        return _remade, (type(self), self.args), self.__dict__

    def __str__(self) -> str:
        return f"{self.message} {self.hint}"


def _remade(kind: type[EezarrError], args: tuple[object, ...]) -> EezarrError:
    return kind.__new__(kind, *args)


class InvalidInput(EezarrError):
    """The job, an argument or the grid is wrong; no request was sent for it."""

    exit_code = 2


class InvalidCall(InvalidInput, TypeError):
    """A call does not fit the signature: a name that no parameter has, one that is missing, or too many by position.

    It is a `TypeError` as well, as Python's own is.
    """


DenialScope: TypeAlias = Literal["account", "project", "request"]
"""What a denied access says about other requests: that every one of this account, or of this project, is denied, too;
or nothing (`request`)."""


class AccessDenied(EezarrError):
    """Credentials, project or permission were refused.

    Args:
        message: What was asked and what was denied.
        hint: What to do now.
        scope: What it says about other requests.
    """

    exit_code = 3

    def __init__(self, message: str, *, hint: str, scope: DenialScope = "account") -> None:
        super().__init__(message, hint=hint)
        self.scope = scope


class ServiceRefusal(EezarrError):
    """A permanent answer of the service: the same request would get it again, so it is not asked again.

    Args:
        message: What was asked and what the service answered.
        hint: What to do now.
        status: HTTP status of the answer.
    """

    exit_code = 4

    def __init__(self, message: str, *, hint: str, status: int = 400) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class TooHeavy(ServiceRefusal):
    """The request is too big or costs too much; a part of it can succeed.

    Args:
        message: What was asked and what the service answered.
        hint: What to do now.
        stated_bytes: The byte limit that the answer names, if any.
        stated_side: The limit in pixels per side that the answer names, if any.
    """

    def __init__(
        self, message: str, *, hint: str, stated_bytes: int | None = None, stated_side: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.stated_bytes = stated_bytes
        self.stated_side = stated_side


class StoreError(EezarrError):
    """The store cannot be read or written; what it holds stays as it is.

    Args:
        message: What could not be done, where.
        hint: What to do now.
        is_transient: Whether trying again in a moment can help.
    """

    exit_code = 5

    def __init__(self, message: str, *, hint: str, is_transient: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.is_transient = is_transient


class ForeignStore(StoreError):
    """The store holds another plan's pixels, or something that is not ours."""


class Retryable(EezarrError):
    """Asking again later can help. When attempts or time run out, this is what the tile failed with.

    Args:
        message: What happened.
        hint: What to do if it goes on.
        retry_after_s: Seconds that the service asked to wait, if it did.
    """

    exit_code = 6

    def __init__(self, message: str, *, hint: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Throttled(Retryable):
    """429: more requests than the quota admits."""


class Unreachable(Retryable):
    """The service did not answer: no connection, reset, stall, cut body, or a 5xx.

    Args:
        message: What happened.
        hint: What to do if it goes on.
        retry_after_s: Seconds that the service asked to wait, if it did.
        is_connecting: Whether there was no connection at all, which no request of its own can be the cause of.
    """

    def __init__(
        self, message: str, *, hint: str, retry_after_s: float | None = None, is_connecting: bool = False
    ) -> None:
        super().__init__(message, hint=hint, retry_after_s=retry_after_s)
        self.is_connecting = is_connecting


class Outage(Unreachable):
    """Nothing at all could be reached for as long as the job waits for it; the same command resumes."""


class NetworkBlocked(EezarrError):
    """Something on the way to the service must be set up first: a certificate that is not trusted, a proxy's password.

    Waiting does not help, so it is told at once and not retried.
    """

    exit_code = 6


class BadBody(Retryable):
    """The body is not the pixels that were asked for: wrong magic, fields, shape, length, or not NPY at all.

    Args:
        message: What came.
        hint: What to do if it goes on.
        retry_after_s: Seconds that the service asked to wait, if it did.
        most_attempts: How often one request may end so before that is final; None: as often as any other failure.
    """

    def __init__(
        self, message: str, *, hint: str, retry_after_s: float | None = None, most_attempts: int | None = None
    ) -> None:
        super().__init__(message, hint=hint, retry_after_s=retry_after_s)
        self.most_attempts = most_attempts


class Incomplete(EezarrError):
    """The job ended with tiles missing; the same command resumes.

    Args:
        message: How many are missing, and the first of them.
        hint: What to do now.
        report: The job's `Report`, which names every missing tile.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str, report: object = None) -> None:
        super().__init__(message, hint=hint)
        self.report = report

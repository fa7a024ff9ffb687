"""The warning that eezarr gives where it goes on with what is likely to be a mistake."""

from __future__ import annotations

__all__ = ["EezarrWarning"]


class EezarrWarning(UserWarning):
    """What was given can be used, but some of it is likely to be a mistake; the command line prints it on stderr."""

"""The package as others see it: its names, its errors, what importing it costs."""

import inspect
import pickle
import subprocess
import sys

import pytest

import eezarr
from eezarr import errors

BASES = {"EezarrError"}


def test_every_public_name_is_there_and_nothing_else():
    assert eezarr.__all__ == sorted(eezarr.__all__)
    for name in eezarr.__all__:
        assert getattr(eezarr, name) is not None
    assert set(dir(eezarr)) == set(eezarr.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        eezarr.nothing  # noqa: B018


def test_every_error_is_exported_and_says_what_to_do():
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert {kind.__name__ for kind in classes} == set(errors.__all__)
    assert set(errors.__all__) <= set(eezarr.__all__)
    for kind in classes:
        assert issubclass(kind, errors.EezarrError)
        with pytest.raises(TypeError, match="hint"):
            kind("what happened")
        assert "what to do" in str(kind("what happened", hint="what to do"))


def test_errors_come_whole_from_other_processes():
    sent = errors.TooHeavy("16 tiles", hint="Ask for less.", stated_bytes=48)
    sent.attempts = 3
    come = pickle.loads(pickle.dumps(sent))  # noqa: S301 -- our own
    assert (type(come), str(come), vars(come)) == (errors.TooHeavy, "16 tiles Ask for less.", vars(sent))


def test_exit_codes_are_those_that_are_promised():
    promised = {
        "InvalidInput": 2,
        "AccessDenied": 3,
        "ServiceRefusal": 4,
        "TooHeavy": 4,
        "StoreError": 5,
        "ForeignStore": 5,
        "Retryable": 6,
        "Throttled": 6,
        "Unreachable": 6,
        "BadBody": 6,
        "NetworkBlocked": 6,
        "Incomplete": 1,
    }
    actual = {name: getattr(errors, name).exit_code for name in errors.__all__ if name not in BASES}
    assert {name: code for name, code in actual.items() if name in promised} == promised
    # A class with a code of its own is the root of all that share it; but what cannot be reached may be final.
    for name, code in actual.items():
        kind = getattr(errors, name)
        if "exit_code" in vars(kind) and code != errors.NetworkBlocked.exit_code:
            sharing = [other for other in actual if actual[other] == code]
            assert all(issubclass(getattr(errors, other), kind) for other in sharing)


def test_importing_costs_no_network_library_and_no_store():
    script = "import sys, eezarr; print([n for n in ('aiohttp', 'zarr', 'numpy', 'google.auth') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"

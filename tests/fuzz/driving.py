"""Runs a target under atheris, or, where that is not installed, under a plain generator of mutations.

A target takes bytes and may raise nothing: what it allows, it catches. A crash is written to `crash-*` by atheris, and
printed by the generator.
"""

import argparse
import importlib.util
import inspect
import random
import sys
import time
import tracemalloc

MIB = 1 << 20


def drive(targets, *, seeds, modules, description):
    """Fuzz one of the targets by name, until the time is over or something breaks."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("target", choices=sorted(targets))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="without atheris, though it be installed")
    options, rest = parser.parse_known_args()
    target = targets[options.target]
    if options.plain or importlib.util.find_spec("atheris") is None:
        say("plain mutations, not guided by coverage: atheris is not used")
        _plainly(target, seeds[options.target], options)
        return
    import atheris

    for name in modules:
        for member in vars(importlib.import_module(name)).values():
            if inspect.isfunction(member) and member.__module__ == name:
                atheris.instrument_func(member)
    times = [f"-max_total_time={options.seconds}", f"-seed={options.seed or 1}", "-max_len=16384"]
    atheris.Setup([sys.argv[0], *times, *rest], target)
    atheris.Fuzz()


def _plainly(target, seeds, options):
    rng = random.Random(options.seed)  # noqa: S311 - repeatable, not secret
    count, end_s = 0, time.monotonic() + options.seconds
    while time.monotonic() < end_s:
        data = mutated(rng, rng.choice(seeds), seeds)
        try:
            target(data)
        except BaseException:
            say(f"broken by {data!r}")
            raise
        count += 1
    say(f"{count} inputs in {options.seconds} s, none broke it")


def mutated(rng, data, seeds):
    """Some edits of an example: bytes changed, taken out, put in, doubled, and crossed with another example."""
    body = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        start = rng.randrange(len(body) + 1)
        stop = min(len(body), start + rng.choice((1, 1, 2, 4, 16, 64)))
        edit = rng.randrange(6)
        if edit == 0 and start < len(body):
            body[start] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif edit == 1:
            del body[start:stop]
        elif edit == 2:
            body[start:start] = rng.randbytes(stop - start)
        elif edit == 3:
            body[start:start] = body[start:stop] * rng.choice((1, 2, 50))
        elif edit == 4:
            other = rng.choice(seeds)
            cut = rng.randrange(len(other) + 1)
            body[start:stop] = other[cut : cut + rng.choice((4, 32, 400))]
        else:
            del body[start:]
    return bytes(body)


class Bounded:
    """Counts what is allocated within the block; more than the bound is a failure."""

    def __init__(self, most_bytes):
        self.most_bytes = most_bytes

    def __enter__(self):
        tracemalloc.start()
        return self

    def __exit__(self, kind, error, trace):
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        if error is None and peak > self.most_bytes:
            raise AssertionError(f"{peak} bytes were allocated, of at most {self.most_bytes}")


def require_bounded(error):
    assert len(str(error)) < 4000, "a message without a bound"


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()

"""Chance that repeats: a number in [0, 1) from a seed, a request and an attempt, whatever else happens meanwhile."""

from __future__ import annotations

import hashlib
import math


def identity(method: str, path: str, body: bytes) -> str:
    """Answer what makes two requests the same request."""
    return hashlib.blake2b(b"\0".join((method.encode(), path.encode(), body)), digest_size=16).hexdigest()


def uniform(seed: int, purpose: str, request: str, attempt: int) -> float:
    """Answer a number in [0, 1), independent for each purpose and attempt."""
    digest = hashlib.blake2b(f"{seed}|{purpose}|{request}|{attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def normal(seed: int, purpose: str, request: str, attempt: int) -> float:
    """Answer a standard normal number (Box-Muller)."""
    first = 1.0 - uniform(seed, purpose + "/radius", request, attempt)
    second = uniform(seed, purpose + "/angle", request, attempt)
    return math.sqrt(-2.0 * math.log(first)) * math.cos(2.0 * math.pi * second)

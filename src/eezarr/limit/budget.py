"""What a refusal costs (law 1): the price is the same for a try with more at once and for one with more per second."""

from __future__ import annotations

__all__ = ["ANSWERS_PER_REFUSAL", "MOST_DEBT", "PAUSE_PRICE"]

ANSWERS_PER_REFUSAL = 64
"""Answers that pay for one refusal: at the most 1.6 % of requests are refused for trying."""
MOST_DEBT = 4 * ANSWERS_PER_REFUSAL
"""After so many answers a bad patch is paid for."""
PAUSE_PRICE = 30
"""Tries that the service answers with a pause cost at the most a thirtieth of the throughput."""

"""How many requests may be out at once, and how many may start in a second. Pure: numbers in, numbers out, no clock.

The limits are apart from the gate that waits on them (after Netflix's concurrency-limits). They know three outcomes:
success, ignored (a fault that says nothing about load: it is not told), and throttled. Their laws:

1. **Refusals are a budget.** Each is paid for with `ANSWERS_PER_REFUSAL` answers without a try for more: tries cost
   less than 2 % of all requests, whatever the service's limit is. Where the service asks for a pause, a refusal also
   costs `PAUSE_PRICE` times the answers that the pause keeps from us.
2. **A refusal tells the level.** What is still out when a request is refused is what the service admits: the limit
   becomes that, not a fraction of it. A try for one more that fails costs one request and no throughput.
3. **What follows tells the cause.** If most of what is sent after a cut is refused too, the limit has moved: cut twice
   as much each time, then climb back. If a climb went well for round trips and then less than that is refused, the
   number out is not the cause: the starts per second are.
4. **A climb doubles its pace** with each round trip that is not punished, and goes on only while the limit is in use.

Additive increase and multiplicative decrease cannot do it: at ten slots each sawtooth costs a quarter of them, and one
request in thirty. `benchmarks/controller.py` prints what these laws make of many services.
"""

from __future__ import annotations

from eezarr.limit.budget import ANSWERS_PER_REFUSAL, MOST_DEBT, PAUSE_PRICE
from eezarr.limit.cause import Cause, Evidence, Ticket
from eezarr.limit.concurrency import RESTRICTED_S, ConcurrencyLimit
from eezarr.limit.rate import MINUTE_S, RateLimit, counted_over_s

__all__ = [
    "ANSWERS_PER_REFUSAL",
    "MINUTE_S",
    "MOST_DEBT",
    "PAUSE_PRICE",
    "RESTRICTED_S",
    "Cause",
    "ConcurrencyLimit",
    "Evidence",
    "RateLimit",
    "Ticket",
    "counted_over_s",
]

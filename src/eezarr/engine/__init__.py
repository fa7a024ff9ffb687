"""The only concurrent code: the gate, the requests with their retries, and the workers that run a job's tiles."""

from eezarr.engine.asking import Answer, Asker
from eezarr.engine.gate import Gate
from eezarr.engine.heartbeat import held
from eezarr.engine.hedging import HedgedSource
from eezarr.engine.reading import TileReader
from eezarr.engine.running import Failure, Keeper, ThreadedKeeper, run_tiles

__all__ = [
    "Answer",
    "Asker",
    "Failure",
    "Gate",
    "HedgedSource",
    "Keeper",
    "ThreadedKeeper",
    "TileReader",
    "held",
    "run_tiles",
]

"""`python -m eezarr.emulator`: serve a local Earth Engine until interrupted; the first line printed is its URL."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from eezarr.emulator.settings import EmulatorSettings, merged
from eezarr.emulator.thread import announce, serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.emulator.raster import Json
    from eezarr.emulator.server import Emulator


def main(arguments: Sequence[str] | None = None, *, program: str = "python -m eezarr.emulator") -> None:
    """Parse a command line and serve.

    Args:
        arguments: Without the program's name; default: those of the process.
        program: What `--help` calls it.

    Raises:
        SystemExit: The command line cannot be read (2), or asked for help (0).
    """
    parser = _parser(program)
    options = parser.parse_args(arguments)
    try:
        settings = merged(EmulatorSettings(), _stated(options))
        if options.settings:
            settings = merged(settings, json.loads(options.settings.read_text()))
    except (ValueError, OSError) as error:
        parser.error(str(error))

    def on_ready(emulator: Emulator) -> None:
        if options.service_account_key:
            emulator.write_service_account_key(options.service_account_key)
        announce(emulator)

    serve(settings, options.host, options.port, on_ready=on_ready)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program, description="Serve a local Earth Engine until interrupted; the first line printed is its URL."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency-base", type=float, default=0.0, metavar="S", help="seconds of every pixel request")
    parser.add_argument("--latency-per-mb", type=float, default=0.0, metavar="S", help="seconds per accounted megabyte")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="SIGMA", help="of the log-normal factor")
    parser.add_argument("--max-concurrency", type=int, default=40, metavar="N")
    parser.add_argument("--max-requests-per-second", type=float, default=100.0, metavar="N")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="JSON, laid over the options above")
    parser.add_argument("--service-account-key", type=Path, metavar="FILE", help="write a key; tokens are then checked")
    return parser


def _stated(options: argparse.Namespace) -> dict[str, Json]:
    return {
        "latency": {
            "base_s": options.latency_base,
            "per_megabyte_s": options.latency_per_mb,
            "jitter": options.jitter,
        },
        "quota": {
            "max_concurrency": options.max_concurrency,
            "max_requests_per_second": options.max_requests_per_second,
        },
    }


if __name__ == "__main__":
    main()

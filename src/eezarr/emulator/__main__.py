"""`python -m eezarr.emulator`: serve a local Earth Engine until interrupted; the first line printed is its URL."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from eezarr.emulator.files import UnreadableFile
from eezarr.emulator.settings import EmulatorSettings, FaultRates, merged
from eezarr.emulator.thread import announce, serve
from eezarr.emulator.world import SyntheticWorld

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.emulator.raster import Json
    from eezarr.emulator.server import Emulator

_MODULE = "python -m eezarr.emulator"
# Whoever types `eezarr emulator` wants an address that stays; what starts the module reads the address it prints.
_PORT = 8099
# What `--tls` writes unless told another name.
_AUTHORITY = "eezarr-emulator-ca.pem"
_FAULTS = tuple(field.name for field in dataclasses.fields(FaultRates))
_EPILOG = f"""\
faults: {", ".join(_FAULTS)}

With --service-account-key the requests' tokens are checked, and the file's tokens are good. Settings can be read and
changed while it runs: GET and POST URL/__emulator__/settings; GET URL/__emulator__/stats tells what was asked.
"""


def main(arguments: Sequence[str] | None = None, *, program: str = _MODULE) -> None:
    """Parse a command line and serve.

    Args:
        arguments: Without the program's name; default: those of the process.
        program: What `--help` calls it; the port is a free one by default if it is the module, else always 8099.

    Raises:
        SystemExit: The command line cannot be read, or the address not be listened at (2), or asked for help (0).
    """
    parser = _parser(program)
    options = parser.parse_args(arguments)
    try:
        settings = merged(EmulatorSettings(), _stated(options))
        if options.settings:
            settings = merged(settings, json.loads(options.settings.read_text()))
        world = SyntheticWorld(files=dict(options.file))
    except (ValueError, OSError, UnreadableFile) as error:
        parser.error(str(error))

    def on_ready(emulator: Emulator) -> None:
        if options.service_account_key:
            emulator.write_service_account_key(options.service_account_key)
        if options.tls:
            options.tls.write_bytes(emulator.authority)
        announce(emulator)
        if options.tls:
            sys.stdout.write(f"SSL_CERT_FILE={options.tls.resolve()}\n")
            sys.stdout.flush()

    try:
        serve(settings, options.host, options.port, world=world, tls=options.tls is not None, on_ready=on_ready)
    except OverflowError:
        parser.exit(2, f"{program}: error: {options.port} is no port. Give --port 1 to 65535, or 0 for a free one.\n")
    except OSError as error:
        parser.exit(2, f"{program}: error: {_unserved(error, options.host, options.port)}\n")


def _unserved(error: OSError, host: str, port: int) -> str:
    """Return why nothing can be served, and what to do."""
    if error.filename is not None:
        return f"{error.filename} cannot be written: {error.strerror}. Name another file."
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use. Give another one with --port, or 0 for a free one."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used by this user. Give one above 1023 with --port, or 0 for a free one."
    return f"{host} cannot be listened at: {error.strerror or error}. Give an address of this machine with --host."


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Serve a local Earth Engine until interrupted; the first line printed is its URL.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_service(parser, 0 if program == _MODULE else _PORT)
    _add_behaviour(parser)
    return parser


def _add_service(parser: argparse.ArgumentParser, port: int) -> None:
    group = parser.add_argument_group("what is served, and where")
    group.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    group.add_argument("--port", type=int, default=port, help="0 takes a free one (default: %(default)s)")
    group.add_argument(
        "--file",
        type=_file,
        action="append",
        default=[],
        metavar="ID=PATH",
        help="a local GeoTIFF or Zarr store as an asset, beside the synthetic ones; may be repeated",
    )
    group.add_argument(
        "--export-folder",
        metavar="DIR",
        help="stands for Cloud Storage (one folder a bucket) and Drive (the folder Drive); default: a temporary one",
    )
    group.add_argument(
        "--tls",
        nargs="?",
        type=Path,
        const=Path(_AUTHORITY),
        metavar="FILE",
        help="speak HTTPS, and write the certificate of its authority there, for SSL_CERT_FILE to name "
        f"(default: {_AUTHORITY}); the second line printed says so",
    )
    group.add_argument("--service-account-key", type=Path, metavar="FILE", help="write a key; tokens are then checked")


def _add_behaviour(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how it behaves")
    group.add_argument("--latency-base", type=float, default=0.0, metavar="S", help="seconds of every pixel request")
    group.add_argument("--latency-per-mb", type=float, default=0.0, metavar="S", help="seconds per accounted megabyte")
    group.add_argument("--jitter", type=float, default=0.0, metavar="SIGMA", help="of the log-normal factor")
    group.add_argument(
        "--max-concurrency", type=int, default=40, metavar="N", help="requests at one time (default: %(default)s)"
    )
    group.add_argument(
        "--max-requests-per-second", type=float, default=100.0, metavar="N", help="more are 429 (default: %(default)s)"
    )
    group.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="NAME=RATE",
        help="share of pixel requests, 0 to 1, that meet this fault (names are below); may be repeated",
    )
    group.add_argument("--gzip", action="store_true", help="compress answers for clients that qualify")
    group.add_argument("--chunked", action="store_true", help="send pixels without Content-Length")
    group.add_argument("--settings", type=Path, metavar="FILE", help="JSON, laid over the options above")


def _file(text: str) -> tuple[str, str]:
    identifier, equals, path = text.partition("=")
    if not (identifier and equals and path):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form ID=PATH")
    if not Path(path).exists():
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return identifier, path


def _fault(text: str) -> tuple[str, float]:
    name, _, rate = text.partition("=")
    if name not in _FAULTS:
        raise argparse.ArgumentTypeError(f"'{name}' is no fault; there are {', '.join(_FAULTS)}")
    try:
        return name, float(rate)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form NAME=RATE") from None


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
        "faults": {"rates": dict(options.fault)},
        "transfer": {"gzip": options.gzip, "chunked": options.chunked},
        "export_folder": options.export_folder,
    }


if __name__ == "__main__":
    main()

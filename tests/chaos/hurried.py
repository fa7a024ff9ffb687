"""The command line in a process of its own, with short waits; mostly forked from one that has imported all.

Started without arguments it forks a child for each order on its standard input (a JSON line) and says the child's
process id, then how it ended. A child runs `eezarr` as `python -m eezarr` does; only the start-up is saved (1 s of
CPU), or not even that, if the order says `is_spawned`.

What is changed is patience alone, which no job file and no option can set: the time-outs of a connection
(60 s of silence) and the waits between attempts (1 to 60 s). `die_at` ends the process by SIGKILL right before its
n-th write to the store takes effect: the moment between a temporary file and its rename; `stop_at` stops it there by
SIGSTOP. `compute_s` is how long a
request may take before its first byte, where 10 s are too short.
"""

import ctypes
import gc
import importlib
import json
import os
import random
import signal
import sys

SILENCE_S = 2.0
IMPORTED = (
    "eezarr.api",
    "eezarr.cli.app",
    "eezarr.cli.fetching",
    "eezarr.cli.looking",
    "eezarr.earthengine.googleauth",
    "eezarr.grid.extent",
    "eezarr.store",
    "multiprocessing.synchronize",
    "pyproj",
    "zarr",
)
"""What most commands import."""
PATIENCE = {
    "Timeouts": {"connect_s": 5.0, "stall_s": SILENCE_S, "compute_s": 10.0},
    "RetryPolicy": {"first_wait_s": 0.05, "longest_wait_s": 0.3},
}


def hurry(**more):
    from eezarr.earthengine.session import Timeouts
    from eezarr.retry import RetryPolicy

    for record in (Timeouts, RetryPolicy):
        record.__init__.__kwdefaults__.update(PATIENCE[record.__name__])
    Timeouts.__init__.__kwdefaults__.update(more)


def import_all():
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # for good: no child looks through it


def die_at(write, number=signal.SIGKILL):
    """Count what a local store makes visible; before this one, counted from 0, die, or be stopped."""
    replace, count = os.replace, [0]

    def counting(source, target, **options):
        if count[0] == write:
            os.kill(os.getpid(), number)
        count[0] += 1
        replace(source, target, **options)

    os.replace = counting


def drop_privileges():
    """Let permissions mean for root what they mean for everybody: without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    call = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if call.capget(header, sets) == 0:
        for position in (0, 1):  # effective and permitted
            sets[position] &= ~(1 << 1 | 1 << 2)
        call.capset(header, sets)


def become(order):
    os.chdir(order["folder"])
    os.environ.update(order["environment"])
    for number, name, flags in ((0, os.devnull, os.O_RDONLY), (1, order["out"], 0), (2, order["err"], 0)):
        descriptor = os.open(name, flags or os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
    for limit, value in order.get("limits", {}).items():
        import resource

        sys.dont_write_bytecode = True  # a compiled module would be cut short, and stay so
        resource.setrlimit(getattr(resource, limit), (value, value))
    if order.get("is_humble"):
        drop_privileges()
    if order.get("die_at") is not None:
        die_at(order["die_at"])
    if order.get("stop_at") is not None:
        die_at(order["stop_at"], signal.SIGSTOP)
    if order.get("compute_s"):
        hurry(compute_s=order["compute_s"])
    random.seed(order["seed"])


def run(arguments):
    from eezarr.cli import main

    sys.argv = ["eezarr", *arguments]
    main()


def serve():
    import_all()
    hurry()
    say({"ready": os.getpid()})
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            become(order)
            if order.get("is_spawned"):
                os.execv(sys.executable, [sys.executable, __file__, *order["arguments"]])  # noqa: S606 - the same pid
            run(order["arguments"])
            return
        say({"pid": child})
        _, status = os.waitpid(child, 0)
        say({"status": os.waitstatus_to_exitcode(status)})


def say(record):
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        hurry()
        run(sys.argv[1:])
    else:
        serve()

"""Runs one command and writes what the kernel accounts for it: `python launch.py REPORT COMMAND ...`.

A process of its own and small, because a child's peak memory is never reported as less than its parent's was.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    """Run the command to its end."""
    report, command = sys.argv[1], sys.argv[2:]
    start_s = time.monotonic()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    end_s = time.monotonic()
    facts = {
        "start_s": start_s,
        "wall_s": end_s - start_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "code": os.waitstatus_to_exitcode(status),
        "cores": core_seconds(),
    }
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib would be a third of this process
        json.dump(facts, file)


def core_seconds() -> tuple[float, float]:
    """Return the seconds that all cores were busy, and that there were, since the machine started; zeros if unknown."""
    try:
        with open("/proc/stat", encoding="ascii") as file:  # noqa: PTH123 - see above
            fields = [int(field) for field in file.readline().split()[1:9]]
    except OSError:
        return 0.0, 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / ticks, sum(fields) / ticks


if __name__ == "__main__":
    main()

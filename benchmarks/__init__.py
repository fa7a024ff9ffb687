"""How fast eezarr is, beside everything else and beside the limits of the machine: `python -m benchmarks`.

Rule: a figure is a ratio of medians from one run, of whole processes that took turns, and no figure is reported before
the pixels behind it were compared with an oracle. The service runs in processes of its own and is not counted.
"""

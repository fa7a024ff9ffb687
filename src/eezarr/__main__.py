"""`python -m eezarr`: the command line."""

from eezarr.cli import main

main()

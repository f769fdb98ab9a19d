"""`python -m export`: the same as `kws export`."""

import sys

from kws.cli import main

sys.exit(main(["export", *sys.argv[1:]]))

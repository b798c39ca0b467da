"""Figures on a labelled test set: `python evaluate.py --help`."""

import sys

from mpn.cli import run

if __name__ == "__main__":
    sys.exit(run("evaluate"))

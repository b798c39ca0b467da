"""Train on a folder of normal footage: `python train.py --help`."""

import sys

from mpn.cli import run

if __name__ == "__main__":
    sys.exit(run("train"))

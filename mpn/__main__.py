"""`python -m mpn VERB`: the same as `mpn VERB`."""

from __future__ import annotations

import sys

from mpn.cli import main

if __name__ == "__main__":
    sys.exit(main())

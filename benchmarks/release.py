"""Make a released model of a run's: weights as float16.

python -m benchmarks.release RUN/model.safetensors OUT
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mpn.model.checkpoint import load_checkpoint, save_checkpoint


def main() -> None:
    """Reads a model, writes it at half precision, prints both sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.model)
    save_checkpoint(options.out, checkpoint, half=True)
    load_checkpoint(options.out)
    print(
        f"{options.model.stat().st_size / 1e6:.1f} MB -> {options.out}, "
        f"{options.out.stat().st_size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()

"""The verb `mpn bench`: how quick a model is on this machine, and the setting to use."""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch

from mpn.bench import (
    FILM_SIZE,
    FilmBench,
    NetworkBench,
    bench_film,
    bench_network,
    open_engines,
    settings_here,
)
from mpn.cli import fit, new_parser
from mpn.cli.model import load_model
from mpn.io.text import format_rows, json_text
from mpn.model.engines import ENGINES, installed_engines

ALL = "about all"  # of the peak: more than that is no share
EXAMPLES = """  mpn bench
  mpn bench lobby.camera.safetensors --threads 4
  mpn bench ped2 --json"""


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "bench",
        "Measures in about a minute what this machine can do with a model: frames a second of the "
        "network alone by engine, precision and batch, and how much of what a matrix product "
        "reaches here; of motion alone; and of all of it, from a video file that is generated. At "
        "the end stands the setting to use. With other work running the figures are those of a "
        "busy machine.",
        EXAMPLES,
    )
    verb.add_argument(
        "checkpoint",
        nargs="?",
        type=Path,
        default=Path("demo"),
        metavar="MODEL",
        help="a .safetensors model or camera file, or the name of a released model (default: demo)",
    )
    verb.add_argument("--json", action="store_true", help="print all figures as JSON instead")
    return verb


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    checkpoint, settings = load_model(options.checkpoint), settings_here()
    network = bench_network(checkpoint.network, open_engines(checkpoint.network, settings))
    film = bench_film(checkpoint, settings)
    if options.json:
        print(json_text(_document(network, film), indent=1))
    else:
        print(fit(_text(network, film)))


def _text(network: NetworkBench, film: FilmBench) -> str:
    """Show what was measured, and the setting to use."""
    peaks = " and ".join(
        f"{statistics.median(rates) / 1e9:.0f} in {precision}"
        for precision, rates in network.peak.items()
    )
    batches = list(dict.fromkeys(rate.batch for rate in network.rates))
    head = ["frames/s", *(f"batch {batch}" for batch in batches), "of peak", "all of it"]
    rows = []
    for whole in film.rates:
        alone = [rate for rate in network.rates if rate.setting == whole.setting]
        share = max(network.share(rate) for rate in alone)
        rows.append(
            [
                " ".join(whole.setting),
                *(f"{statistics.median(rate.rates):.1f}" for rate in alone),
                f"{share:.0%}" if share <= 1 else ALL,
                f"{statistics.median(whole.rates):.1f}",
            ]
        )
    height, width = FILM_SIZE
    lines = [
        f"{torch.get_num_threads()} threads; a matrix product reaches, in GFLOP/s, {peaks}; a "
        f"frame takes the network {network.flops / 1e9:.2f} GFLOP",
        format_rows(head, rows).rstrip("\n"),
        f"network alone by batch; all of it from a video file of {width}x{height}, of which motion "
        f"alone reaches {statistics.median(film.motion):.1f} frames/s",
    ]
    if any(ALL in row for row in rows):
        lines.append(
            f"{ALL}: more than the product reaches, since some convolutions do fewer "
            "multiplications than are counted (Winograd), and both figures have their noise"
        )
    absent = [name for name in ENGINES if name not in installed_engines()]
    if absent:
        lines.append(f"not installed: {', '.join(absent)} (pip install 'mpn[engines]')")
    best = film.best()
    use = f"mpn score {best.setting.options}".strip()
    why = f"{film.gain(best):.2f} times as quick" if best.setting.options else "nothing is quicker"
    return "\n".join([*lines, f"use: {use} ({why})"])


def _document(network: NetworkBench, film: FilmBench) -> dict[str, Any]:
    """Collect all figures, in frames and operations a second, a number a round."""
    return {
        "threads": torch.get_num_threads(),
        "flops_a_frame": network.flops,
        "matrix_product": network.peak,
        "network": [
            rate.setting._asdict()
            | {"batch": rate.batch, "rates": rate.rates, "share_of_peak": network.share(rate)}
            for rate in network.rates
        ],
        "motion": film.motion,
        "all": [rate.setting._asdict() | {"rates": rate.rates} for rate in film.rates],
        "use": film.best().setting._asdict() | {"options": film.best().setting.options},
    }

"""The network by engine and precision: how quick it is, and what int8 does to its scores.

`speed` runs the network alone, in turn, ten rounds, beside the product of two large matrices. `auc`
scores a labelled choice set (never a test split, PROTOCOL section 5) by every engine in every
precision: frame AUC of the network's parts, of what they make together and of the whole score, and
how far the parts are from float32's. int8 is ONNX Runtime's static quantisation of the convolutions
but the first and the last ones, calibrated on normal footage; `mpn` itself offers none, see
results/engines.md.

    python -m benchmarks.engines speed                          (about 6 minutes on two idle cores)
    python -m benchmarks.engines auc demo data/demo data/demo/validation
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.common import machine, parser, print_table, shown, spread, write_result
from mpn.bench import Setting, bench_network, open_engines, settings_here, usual_setting
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import WindowDataset, load_clips, to_float
from mpn.metrics import frame_auc
from mpn.model.checkpoint import load_checkpoint
from mpn.model.engines import GRAPH_ENGINES, Engine
from mpn.model.network import Network, build_model
from mpn.model.onnx_graph import INPUT, onnx_graph
from mpn.scoring import protocols
from mpn.scoring.clips import columns_of
from mpn.scoring.detector import Detector
from mpn.scoring.scores import combine
from mpn.video.sources import open_source

if TYPE_CHECKING:
    import onnx

CALIBRATION = 128  # windows
# These stay as they are: in int8 the first and the last ones lose a point of the error's AUC.
WIDE = ("encoder.block1.0.weight", "head.4.weight", "pseudo_head.4.weight")


def int8_graph(network: Network, windows: Iterable[np.ndarray]) -> bytes:
    """An ONNX file's content with convolutions in int8, their ranges those of float32 windows.

    Args:
        network: in evaluation mode.
        windows: float32 (1, T * C, H, W) each, in [-1, 1].
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.windows = iter(windows)

        def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override] (None ends it)
            window = next(self.windows, None)
            return None if window is None else {INPUT: window}

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        graph = onnx_graph(network)
        quantize_static(
            graph,
            path,
            Reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,  # signed, OpenVINO lost five points of AUC
            op_types_to_quantize=["Conv", "ConvTranspose"],
            nodes_to_exclude=list(_wide(graph)),
        )
        return path.read_bytes()


def _wide(graph: onnx.ModelProto) -> Iterator[str]:
    for node in graph.graph.node:
        if len(node.input) > 1 and node.input[1].removeprefix("network.") in WIDE:
            yield node.name


def with_int8(network: Network, windows: Iterable[np.ndarray]) -> dict[Setting, Engine]:
    """Every engine in every precision that is quick here, and in int8."""
    engines = open_engines(network, settings_here())
    if "onnxruntime" in {setting.engine for setting in engines}:  # it makes the graph
        graph = int8_graph(network, windows)
        for name in dict.fromkeys(
            setting.engine for setting in engines if setting.engine != "torch"
        ):
            engines[Setting(name, "int8")] = GRAPH_ENGINES[name](network, graph=graph)
    return engines


def network_rows(preset: str, batches: tuple[int, ...], quick: bool) -> list[dict[str, Any]]:
    """The network of a preset alone, a row a setting and batch; its weights are untrained."""
    torch.manual_seed(0)
    size = {"height": 32, "width": 48} if quick else {}
    network = build_model(preset, **size).eval()
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shape = (1, network.config.window * network.config.colours, *network.config.size)
    noise = (np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32) for _ in range(8))
    engines = with_int8(network, noise)
    limits = {"rounds": 2} if quick else {"rounds": 10, "seconds": 3600.0}
    measured = bench_network(network, engines, batches, **limits)
    usual = {rate.batch: rate.rates for rate in measured.rates if rate.setting == usual_setting()}
    rows = []
    for rate in measured.rates:
        has_peak = rate.setting.precision in measured.peak
        rows.append(
            {
                "preset": preset,
                "engine": rate.setting.engine,
                "precision": rate.setting.precision,
                "batch": rate.batch,
                "per_second": spread(rate.rates),
                "to_usual": spread(
                    [speed / other for speed, other in zip(rate.rates, usual[rate.batch])]
                ),
                "share_of_peak": measured.share(rate) if has_peak else None,
            }
        )
    for precision, rates in measured.peak.items():
        print(f"{preset}: product of matrices, {precision}, GFLOP/s: ", end="")
        print(shown(spread([rate / 1e9 for rate in rates]), 1))
    return rows


def measure_speed(args: argparse.Namespace) -> None:
    """Measure, print, write engines.json."""
    rows = network_rows("small", (1, 4, 8), args.quick) + network_rows("base", (1, 8), args.quick)
    print_table(
        ["network alone", "batch", "frames/s", "times torch as it comes", "of peak"],
        [
            [
                f"{row['preset']} {row['engine']} {row['precision']}",
                str(row["batch"]),
                shown(row["per_second"], 1),
                shown(row["to_usual"]),
                "" if row["share_of_peak"] is None else f"{row['share_of_peak']:.0%}",
            ]
            for row in rows
        ],
    )
    write_result("engines", args, {"cases": rows}, threads=torch.get_num_threads())


def normal_windows(network: Network, folder: Path) -> list[np.ndarray]:
    """Windows spread evenly over normal footage, float32 (1, T * C, H, W)."""
    config = network.config
    clips = load_clips(recognise(folder).training, config.size, config.grey)
    dataset = WindowDataset(clips, config.window)
    chosen = np.linspace(0, len(dataset) - 1, CALIBRATION).astype(int)
    return [to_float(dataset[int(i)].frames[None])[0].numpy() for i in chosen]


def measure_auc(args: argparse.Namespace) -> None:
    """Score the choice set by every engine, and print a table."""
    checkpoint = load_checkpoint(args.model)
    detector = Detector(checkpoint, precision="float32")
    network = checkpoint.network
    tree = recognise(args.choice)
    lengths = {video.name: open_source(video.path).length for video in tree.testing}
    labels = load_labels(tree, lengths).frames
    truth = {name: values[network.config.window :] for name, values in labels.items()}
    names = [part.name for part in detector.parts if not part.needs_place]
    wide: dict[str, np.ndarray] = {}
    rows = []
    for setting, engine in with_int8(network, normal_windows(network, args.normal)).items():
        detector.engine = engine
        series = {
            video.name: {
                name: values[network.config.window :]
                for name, values in columns_of(
                    [result.parts for result in detector.score(video.path)], detector.columns
                ).items()
            }
            for video in tree.testing
        }
        alone = {name: detector.weights[name] for name in names}
        scores = {name: {clip: columns[name] for clip, columns in series.items()} for name in names}
        for title, weights in (("network", alone), ("score", detector.weights)):
            scores[title] = {
                clip: protocols.exponential(
                    combine({name: columns[name] for name in weights}, weights, detector.normal),
                    detector.score_config.smoothing,
                )
                for clip, columns in series.items()
            }
        cells = [f"{100 * frame_auc(truth, values):.2f}" for values in scores.values()]
        for name in names:
            values = np.concatenate([columns[name] for columns in series.values()])
            before = wide.setdefault(name, values)
            highest = before >= np.quantile(before, 0.8)
            unit = detector.normal[name][1]
            for chosen in (~highest, highest):
                change = (values - before)[chosen] / unit
                cells.append(f"{statistics.fmean(change):+.3f} ({change.std():.3f})")
        rows.append([" ".join(setting), *cells])
    changes = [f"{name}, {which}" for name in names for which in ("lower 4/5", "highest 1/5")]
    print_table(["", *names, "network", "score", *changes], rows)


def main() -> None:
    """Do what is asked for."""
    arguments = parser(__doc__)
    commands = arguments.add_subparsers(dest="what", required=True)
    commands.add_parser("speed")
    auc = commands.add_parser("auc")
    auc.add_argument("model")
    auc.add_argument("normal", type=Path, help="a data set whose training footage calibrates int8")
    auc.add_argument("choice", type=Path, help="a labelled choice set")
    args = arguments.parse_args()
    print(machine(torch.get_num_threads()))
    (measure_speed if args.what == "speed" else measure_auc)(args)


if __name__ == "__main__":
    main()

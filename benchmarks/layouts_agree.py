"""The same test footage through several layouts: do the figures agree?

From a frames-layout data set it writes, in a temporary folder,

    ucsd        Train/Train001/001.tif, Test/Test001/001.tif (lossless), Test/Test001_gt/001.bmp
    avenue      testing_videos/01.avi (FFV1, lossless), testing_label_mask/1_label.mat (volLabel)
    plain-mjpg  01.avi (MJPG, lossy) and labels.csv
    plain-mp4v  01.mp4 (mp4v, lossy) and labels.csv

checks how far the frames and labels that come back are from the originals, and evaluates one
checkpoint on the data set and on each of them with evaluate.py, without the content-free baselines.

    python -m benchmarks.layouts_agree data/ped2 --checkpoint checkpoints/ped2.safetensors

(about 10 minutes on two cores; reads the test split, so it notes that in results/readings.csv)
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.io

from benchmarks.common import ROOT, log_reading, parser, print_table, write_result
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import Video, recognise
from mpn.evaluation.score_files import read_scores
from mpn.io.runs import intervals
from mpn.video.images import fit_frame
from mpn.video.sources import open_source

PROTOCOLS = ("absolute", "causal", "paper")
ORIGINAL = "frames"
RATE = 10  # frames/s in the headers of the videos


class Source:
    """The test split that all is made from: frames, labels, masks; shortened if asked."""

    def __init__(self, data: Path, cut: int | None, videos: int | None) -> None:
        self.tree = recognise(data, "frames")
        self.testing = self.tree.testing[:videos]
        lengths = {video.name: open_source(video.path).length for video in self.tree.testing}
        self.labels = load_labels(self.tree, lengths)
        self.cut = cut

    def frames(self, video: Video) -> Iterator[np.ndarray]:
        """uint8 (H, W, 3), in order."""
        for number, frame in enumerate(open_source(video.path).frames()):
            if self.cut is not None and number >= self.cut:
                return
            yield frame

    def truth(self, video: Video) -> np.ndarray:
        """bool (T,)."""
        return self.labels.frames[video.name][: self.cut]

    def masks(self, video: Video, size: tuple[int, int]) -> np.ndarray:
        """bool (T, H, W); where the data set has none, all of an anomalous frame."""
        masks = self.labels.pixel_mask(video.name)
        if masks is None:
            return np.broadcast_to(
                self.truth(video)[:, None, None], (len(self.truth(video)), *size)
            )
        return masks[: self.cut]


def save(path: Path, picture: np.ndarray) -> None:
    """Writes a picture; one channel where all are equal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if picture.ndim == 3 and (picture == picture[:, :, :1]).all():
        picture = picture[:, :, 0]
    if not cv2.imwrite(str(path), picture):
        raise SystemExit(f"OpenCV cannot write {path.name}")


def save_video(path: Path, codec: str, frames: Iterator[np.ndarray]) -> None:
    """Writes a video file with the codec of that four-letter name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    for frame in frames:
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(
                str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), RATE, size
            )
            if not writer.isOpened():
                raise SystemExit(f"this build of OpenCV cannot write {codec}")
        writer.write(frame)
    writer.release()


def write_ucsd(source: Source, folder: Path) -> None:
    """Write UCSD's tree: numbers from 1, a mask for every test frame.

    Of the training split one clip is enough.
    """
    for video in source.tree.training[:1]:
        for n, frame in enumerate(source.frames(video), 1):
            save(folder / "Train" / "Train001" / f"{n:03d}.tif", frame)
    for number, video in enumerate(source.testing, 1):
        clip = folder / "Test" / f"Test{number:03d}"
        size = (0, 0)
        for n, frame in enumerate(source.frames(video), 1):
            save(clip / f"{n:03d}.tif", frame)
            size = frame.shape[:2]
        for n, mask in enumerate(source.masks(video, size), 1):
            save(clip.with_name(f"{clip.name}_gt") / f"{n:03d}.bmp", mask.astype(np.uint8) * 255)


def write_avenue(source: Source, folder: Path) -> None:
    """Avenue's tree, its videos coded without loss."""
    (folder / "testing_label_mask").mkdir(parents=True)
    for number, video in enumerate(source.testing, 1):
        save_video(folder / "testing_videos" / f"{number:02d}.avi", "FFV1", source.frames(video))
        masks = source.masks(video, next(source.frames(video)).shape[:2])
        cells = np.empty((1, len(masks)), object)
        for n, mask in enumerate(masks):
            cells[0, n] = mask.astype(np.uint8)
        path = folder / "testing_label_mask" / f"{number}_label.mat"
        scipy.io.savemat(path, {"volLabel": cells}, do_compression=True)


def write_plain(codec: str, suffix: str) -> Callable[[Source, Path], None]:
    """A writer of video files with a labels.csv: frames from 0, end exclusive."""

    def write(source: Source, folder: Path) -> None:
        rows = []
        for number, video in enumerate(source.testing, 1):
            save_video(folder / f"{number:02d}{suffix}", codec, source.frames(video))
            rows += [(f"{number:02d}", *run) for run in intervals(source.truth(video))]
        with (folder / "labels.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("video", "start", "end"), *rows])

    return write


WRITERS: dict[str, Callable[[Source, Path], None]] = {
    "ucsd": write_ucsd,
    "avenue": write_avenue,
    "plain-mjpg": write_plain("MJPG", ".avi"),
    "plain-mp4v": write_plain("mp4v", ".mp4"),
}


def check(source: Source, folder: Path) -> dict[str, Any]:
    """Read a layout back through the library and compare it.

    Returns:
        Mean and largest difference of grey levels, and the labels'.
    """
    tree = recognise(folder)
    differences, largest, lengths = [], 0, {}
    for ours, video in zip(tree.testing, source.testing):
        lengths[ours.name] = 0
        for back, frame in zip(open_source(ours.path).frames(grey=True), source.frames(video)):
            difference = np.abs(back.astype(np.int16) - fit_frame(frame, grey=True))
            differences.append(float(difference.mean()))
            largest = max(largest, int(difference.max()))
            lengths[ours.name] += 1
    labels = load_labels(tree, lengths)
    pairs = zip(labels.frames.values(), (source.truth(video) for video in source.testing))
    return {
        "layout": tree.layout,
        "videos": len(tree.testing),
        "labels": labels.kind,
        "labels_equal": all(np.array_equal(a, b) for a, b in pairs),
        "mean_grey_difference": float(np.mean(differences)),
        "largest_grey_difference": largest,
    }


def evaluate(data: Path, checkpoint: Path, out: Path) -> dict[str, Any]:
    """metrics.json of `python evaluate.py DATA --checkpoint FILE --out DIR`."""
    command = [
        sys.executable,
        "evaluate.py",
        str(data),
        "--checkpoint",
        str(checkpoint),
        "--out",
        str(out),
    ]
    subprocess.run([*command, "--no-baselines"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "metrics.json").read_text())


def score_difference(ours: Path, original: Path) -> float:
    """Largest difference of a score from the original's, videos in order."""
    pairs = zip(read_scores(ours / "scores").values(), read_scores(original / "scores").values())
    return max(float(np.nanmax(np.abs(a["score"] - b["score"]))) for a, b in pairs)


def main() -> None:
    """Writes the layouts, evaluates, prints, writes layouts_agree.json."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "data", type=Path, metavar="DATA", help="a data set in the frames layout, with labels"
    )
    arguments.add_argument(
        "--checkpoint", type=Path, help="the model (without: only frames and labels are compared)"
    )
    args = arguments.parse_args()
    source = Source(args.data, 20 if args.quick else None, 2 if args.quick else None)
    layouts: dict[str, dict[str, Any]] = {
        ORIGINAL: {"layout": ORIGINAL, "labels": source.labels.kind}
    }
    with tempfile.TemporaryDirectory(prefix="mpn-layouts-") as temporary:
        folder = Path(temporary)
        for name, write in WRITERS.items():
            (folder / name).mkdir()
            write(source, folder / name)
            layouts[name] = check(source, folder / name)
        # With --quick the data set itself has more frames than the copies: nothing to compare with.
        for name in (
            [] if args.checkpoint is None else [*WRITERS] if args.quick else [ORIGINAL, *WRITERS]
        ):
            place = args.data.resolve() if name == ORIGINAL else folder / name
            metrics = evaluate(place, args.checkpoint.resolve(), folder / f"out-{name}")
            layouts[name]["scores"] = {
                column: {protocol: percent(figures) for protocol, figures in entry.items()}
                for column, entry in metrics["scores"].items()
            }
            if not args.quick:
                layouts[name]["largest_score_difference"] = score_difference(
                    folder / f"out-{name}", folder / f"out-{ORIGINAL}"
                )
                log_reading(
                    f"layouts_agree {args.data.name} {name} {args.checkpoint}",
                    "-",
                    main_figures(layouts[name]),
                )
    report(layouts)
    write_result(
        "layouts_agree",
        args,
        {"data": str(args.data), "checkpoint": str(args.checkpoint), "layouts": layouts},
    )


def percent(figures: dict[str, Any]) -> float:
    """Micro frame AUC in %, NaN where it is undefined."""
    return float("nan") if figures["micro_auc"] is None else 100 * figures["micro_auc"]


def main_figures(entry: dict[str, Any]) -> str:
    """The main score's frame AUC in %, for the log of readings."""
    return "frame AUC score " + " ".join(
        f"{name} {entry['scores']['score'][name]:.2f}" for name in PROTOCOLS
    )


def report(found: dict[str, dict[str, Any]]) -> None:
    """Print how well frames and labels came back, and the figures beside the original's."""
    print_table(
        ["layout", "grey levels, mean", "largest", "labels"],
        [
            [
                name,
                f"{entry['mean_grey_difference']:.3f}",
                str(entry["largest_grey_difference"]),
                "equal" if entry["labels_equal"] else "DIFFER",
            ]
            for name, entry in found.items()
            if name != ORIGINAL
        ],
    )
    scored = {name: entry for name, entry in found.items() if "scores" in entry}
    if not scored:
        return
    first = next(iter(scored.values()))["scores"]
    rows = []
    for column, by_protocol in first.items():
        for protocol, value in by_protocol.items():
            others = [entry["scores"][column][protocol] for entry in list(scored.values())[1:]]
            cells = [f"{other:.2f} ({other - value:+.2f})" for other in others]
            rows.append([f"{column}, {protocol}", f"{value:.2f}", *cells])
    print("\nframe AUC (micro), %, and its difference from the first column")
    print_table(["score, protocol", *scored], rows)
    if ORIGINAL in scored:
        differences = ", ".join(
            f"{n} {e['largest_score_difference']:.2g}" for n, e in scored.items() if n != ORIGINAL
        )
        print(f"largest difference of any score: {differences}")


if __name__ == "__main__":
    main()

"""Names on real footage: events of Ped1 that were named by eye, told from a few examples.

    python -m benchmarks.by_itself ped1 PED1 --work FOLDER
    mpn score FOLDER/ped1/ped1.mkv --out FOLDER/scored --save FOLDER/ped1.camera.safetensors
    python -m benchmarks.teach_ped1 FOLDER/ped1.camera.safetensors FOLDER/scored/ped1

Ped1's test clips, joined to one recording and judged by itself, make some three dozen events. What
each shows was seen in its picture (results/ped1_events.csv; joints of clips that were not seen as
cuts are left out). As in `benchmarks.teach`: N ways, K shots, and the open set.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

from benchmarks.common import parser, print_table, write_result
from benchmarks.teach import (
    SHOTS,
    WAYS,
    Item,
    by_kind,
    mean_interval,
    naming,
    open_curve,
    open_set,
)
from mpn.jobs.examples import examples_of, listed_event
from mpn.jobs.state import EVENTS
from mpn.model.checkpoint import load_checkpoint
from mpn.scoring.detector import Detector

BY_EYE = Path(__file__).parent / "results" / "ped1_events.csv"
JOINT = "joint of clips"


def named_items(camera: Path, results: Path) -> list[Item]:
    """Read the events again as `mpn teach` does, those that were named by eye."""
    with BY_EYE.open(newline="", encoding="utf-8") as table:
        kinds = {int(row["peak_frame"]): row["kind"] for row in csv.DictReader(table)}
    events = json.loads((results / EVENTS).read_text(encoding="utf-8"))["events"]
    detector = Detector(load_checkpoint(camera))
    items = []
    for number, event in enumerate(events, 1):
        kind = kinds.get(event["peak_frame"], JOINT)
        if kind != JOINT:
            examples = examples_of(detector, listed_event(results, number), None).embeddings
            items.append(Item(kind, examples, examples))
    return items


def main() -> None:
    """Print the tables, write teach_ped1.json."""
    arguments = parser(__doc__)
    arguments.add_argument("camera", type=Path)
    arguments.add_argument("results_of_ped1", type=Path, metavar="RESULTS")
    args = arguments.parse_args()
    items = by_kind(named_items(args.camera, args.results_of_ped1))
    names = {}
    for shots in SHOTS:
        right = naming(items, items, shots)
        names[shots] = {way: mean_interval(right[way]) for way in list(WAYS)[:3]}
    rows = [
        [
            str(shots),
            way,
            f"{100 * interval[0]:.1f} ({100 * interval[1]:.1f}-{100 * interval[2]:.1f})",
        ]
        for shots, ways in names.items()
        for way, interval in ways.items()
    ]
    print_table(["K", "compared by", "right, %"], rows)
    curve = open_curve([open_set(items, 3)])
    print_table(list(curve[0]), [[f"{value:.2f}" for value in row.values()] for row in curve])
    counts = {kind: len(examples) for kind, examples in items.items()}
    write_result("teach_ped1", args, {"items": counts, "names": names, "open_set": curve})


if __name__ == "__main__":
    main()

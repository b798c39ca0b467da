"""What a camera learns from a click: which alarms go quiet, what else is lost, and what has a name.

    python -m benchmarks.teach data/taught --scenes 03 04

DATA is a demo set with many test clips a scene (`mpn data` makes none: `write_demo(seed=11,
scenes=4, training=5, validation=0, testing=32, length=120, test_length=120)`). Each scene's camera
is adapted by its normal clips from a base that has not seen it, and scored once.

- Quiet: one kind of anomaly is normal by decree. K of its events are taught, drawn by
  `EpisodeSampler`; on the clips that none of them is from: how many events of the kind and of the
  others there are before and after, at the same threshold (--rate false alarms an hour: by a
  minute of normal footage, which a scene has, that for one lies above everything), and the frame
  AUC of the others.
- Names: N ways, K shots; items are tracks that stand out, an item's examples are those that
  `mpn teach` keeps, and as a query, whichever of them comes nearest (an event keeps the nearest
  name of its frames), beside the peak alone. Nearest example (Matching Networks, Vinyals et al.
  2016, as a nearest neighbour and as their softmax) against the mean of a name (Prototypical
  Networks, Snell et al. 2017), at the same camera and from one to another.
- Open set: of one kind less than there are, known and unknown, the share that is given a name by a
  radius.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from benchmarks.common import parser, print_table, write_result
from benchmarks.taught_scenes import Found, Scene, see_scene, track_sights
from mpn.cli import above_zero
from mpn.jobs.examples import examples_in
from mpn.meta.episodes import EpisodeSampler

SHOTS = (1, 3, 5)
DRAWS = 6  # of the events that are taught
EPISODES = 300
STANDS_OUT = 2.0  # units of normal frames that a track's peak is above, to be an item
RADII = np.round(np.arange(0.3, 0.95, 0.05), 2)


class Item(NamedTuple):
    """A track: its kind, its examples float32 (n, D) and that of its peak (1, D)."""

    kind: str
    examples: np.ndarray
    peak: np.ndarray


def others_auc(scene: Scene, scores: Mapping[str, np.ndarray], kind: str) -> float:
    """Frame AUC of all kinds but one, on frames without that one."""
    labels, values = [], []
    for name, series in scores.items():
        clip = scene.clips[name]
        label, judged = np.zeros(len(series), bool), np.arange(len(series)) >= clip.first
        for other, boxes in clip.tracks.values():
            frames = np.array(list(boxes))
            if other == kind:
                judged[frames] = False
            else:
                label[frames] = True
        labels.append(label[judged])
        values.append(series[judged])
    return float(roc_auc_score(np.concatenate(labels), np.concatenate(values)))


def quiet_cases(scene: Scene) -> Iterator[dict[str, Any]]:
    """Teach each kind as normal; yields a record a draw."""
    before = {name: scene.scores(clip) for name, clip in scene.clips.items()}
    events = {name: scene.found(clip, before[name]) for name, clip in scene.clips.items()}
    by_kind: dict[str, list[Found]] = defaultdict(list)
    for clip_events in events.values():
        for event in clip_events:
            by_kind[event.kind].append(event)
    for kind, of_kind in by_kind.items():
        for shots in SHOTS if kind else ():
            if len(of_kind) <= shots:
                continue
            sampler = EpisodeSampler({kind: len(of_kind)}, shots=shots, queries=1)
            for draw in range(DRAWS):
                chosen = [of_kind[i] for i in sampler.episode(draw).support[0]]
                taught = [scene.teach(event) for event in chosen]
                away = set(scene.clips) - {event.clip for event in chosen}
                after = {name: scene.scores(scene.clips[name], taught) for name in away}
                was = {name: before[name] for name in away}
                yield {
                    "scene": scene.name,
                    "kind": kind,
                    "shots": shots,
                    "before": _count([event for name in away for event in events[name]], kind),
                    "after": _count(
                        [
                            event
                            for name in away
                            for event in scene.found(scene.clips[name], after[name])
                        ],
                        kind,
                    ),
                    "auc_before": others_auc(scene, was, kind),
                    "auc_after": others_auc(scene, after, kind),
                }


def _count(events: Sequence[Found], kind: str) -> list[int]:
    """Count the events of a kind, and of the others."""
    of_kind = sum(event.kind == kind for event in events)
    return [of_kind, sum(bool(event.kind) for event in events) - of_kind]


def items_of(scene: Scene) -> list[Item]:
    """List the tracks of a scene that stand out."""
    items = []
    for clip in scene.clips.values():
        for kind, boxes in clip.tracks.values():
            sights = track_sights(clip, boxes)
            if not sights:
                continue
            peak = max(range(len(sights)), key=lambda i: sights[i][1][0].score)
            sight = sights[peak][1][0]
            if sight.score >= STANDS_OUT:
                examples = examples_in([regions for _, regions in sights], peak)
                items.append(Item(kind, examples, sight.embedding[None]))
    return items


def nearest(query: np.ndarray, support: Sequence[Item]) -> float:
    """Distance from the nearest of a query's examples, float32 (n, D), to the nearest example."""
    return float(cdist(query, _pooled(support)).min())


def prototype(query: np.ndarray, support: Sequence[Item]) -> float:
    """Distance from the nearest of a query's examples to the mean of the examples."""
    return float(cdist(query, _pooled(support).mean(0, keepdims=True)).min())


def matching(query: np.ndarray, support: Sequence[Item]) -> float:
    """Minus the logarithm of the attention to a name's examples, before it is normalised."""
    attention = np.exp(-SHARPNESS * cdist(query, _pooled(support))).sum(1)
    return -float(np.log(attention.max()))


def _pooled(support: Sequence[Item]) -> np.ndarray:
    return np.concatenate([item.examples for item in support])


SHARPNESS = 5.0


class Way(NamedTuple):
    """A way to compare: the distance, and what of an item is asked."""

    distance: Callable[[np.ndarray, Sequence[Item]], float]
    asked: Callable[[Item], np.ndarray] = lambda item: item.examples


WAYS = {
    "nearest example": Way(nearest),
    "mean (prototype)": Way(prototype),
    "softmax (matching)": Way(matching),
    "nearest, peak alone": Way(nearest, lambda item: item.peak),
}


def naming(
    queries: Mapping[str, Sequence[Item]], support: Mapping[str, Sequence[Item]], shots: int
) -> dict[str, list[float]]:
    """Accuracy of each episode, by way of comparing; one scene's queries, maybe another's names."""
    same = queries is support
    kinds = sorted(
        kind
        for kind in queries
        if len(support.get(kind, ())) >= shots + same and (same or queries[kind])
    )
    if len(kinds) < 2:
        return {}
    sampler = EpisodeSampler(
        {kind: len(support[kind]) + (not same) for kind in kinds},
        shots=shots,
        queries=1,
        ways=len(kinds),
    )
    right: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(EPISODES):
        episode = sampler.episode(number)
        rng = np.random.default_rng(number)
        support_items, query_items = [], []
        for kind, indices, query in zip(episode.ways, episode.support, episode.query):
            pool = support[kind]
            support_items.append([pool[i % len(pool)] for i in indices])
            query_items.append(
                pool[query[0]] if same else queries[kind][rng.integers(len(queries[kind]))]
            )
        for way, (distance, of) in WAYS.items():
            guesses = [
                int(np.argmin([distance(of(item), items) for items in support_items]))
                for item in query_items
            ]
            right[way].append(float(np.mean([i == guess for i, guess in enumerate(guesses)])))
    return right


def open_set(items: Mapping[str, Sequence[Item]], shots: int) -> dict[str, list[tuple[float, int]]]:
    """(distance, 1 if the name is right) of known and (distance, 0) of unknown queries."""
    pairs: dict[str, list[tuple[float, int]]] = {"known": [], "unknown": []}
    kinds = sorted(kind for kind in items if len(items[kind]) > shots)
    sampler = EpisodeSampler(
        {kind: len(items[kind]) for kind in kinds}, shots=shots, queries=1, ways=len(kinds)
    )
    for number in range(EPISODES):
        episode = sampler.episode(number)
        out = number % len(kinds)  # this kind has no name
        named = {
            kind: [items[kind][i] for i in indices]
            for j, (kind, indices) in enumerate(zip(episode.ways, episode.support))
            if j != out
        }
        for j, (kind, query) in enumerate(zip(episode.ways, episode.query)):
            examples = items[kind][query[0]].examples
            distances = {name: nearest(examples, support) for name, support in named.items()}
            name = min(distances, key=lambda candidate: distances[candidate])
            pairs["unknown" if j == out else "known"].append((distances[name], int(name == kind)))
    return pairs


def by_kind(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Sort items by their kind."""
    sorted_: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        sorted_[item.kind].append(item)
    return dict(sorted_)


def mean_interval(values: Sequence[float]) -> list[float]:
    """Mean with its 95 % interval over episodes, by resampling these."""
    rng = np.random.default_rng(0)
    array = np.asarray(values)
    means = array[rng.integers(0, len(array), (1000, len(array)))].mean(1)
    return [float(array.mean()), *map(float, np.quantile(means, [0.025, 0.975]))]


def quiet_table(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Sum up the records by kind and shots, a row each."""
    rows = []
    kinds = [*dict.fromkeys(record["kind"] for record in records), "all"]
    for kind in kinds:
        for shots in SHOTS:
            chosen = [
                record
                for record in records
                if record["shots"] == shots and kind in (record["kind"], "all")
            ]
            if chosen:
                before, after = (
                    np.sum([record[name] for record in chosen], 0) for name in ("before", "after")
                )
                auc = [
                    100 * np.mean([record[f"auc_{name}"] for record in chosen])
                    for name in ("before", "after")
                ]
                rows.append(
                    [
                        kind,
                        str(shots),
                        str(len(chosen)),
                        f"{before[0]} -> {after[0]}",
                        f"{100 * (1 - after[0] / max(before[0], 1)):.0f} %",
                        f"{before[1]} -> {after[1]}",
                        f"{100 * (1 - after[1] / max(before[1], 1)):.1f} %",
                        f"{auc[0]:.1f} -> {auc[1]:.1f}",
                    ]
                )
    return rows


def analyse(scenes: Sequence[Scene]) -> dict[str, Any]:
    """Compute and print all figures."""
    records = [record for scene in scenes for record in quiet_cases(scene)]
    head = ["kind", "K", "draws", "its events", "quiet", "others", "lost", "AUC of others, %"]
    print_table(head, quiet_table(records))
    items = {scene.name: by_kind(items_of(scene)) for scene in scenes}
    names: dict[str, Any] = {}
    rows = []
    for where in ("same camera", "other camera"):
        for shots in SHOTS:
            pooled: dict[str, list[float]] = {way: [] for way in WAYS}
            for query_scene, queries in items.items():
                for support_scene, support in items.items():
                    if (query_scene == support_scene) == (where == "same camera"):
                        for way, values in naming(queries, support, shots).items():
                            pooled[way] += values
            intervals = {way: mean_interval(values) for way, values in pooled.items() if values}
            names[f"{where}, {shots} shots"] = intervals
            rows += [
                [
                    where,
                    str(shots),
                    way,
                    f"{100 * interval[0]:.1f} ({100 * interval[1]:.1f}-{100 * interval[2]:.1f})",
                ]
                for way, interval in intervals.items()
            ]
    print_table(["names from", "K", "compared by", "right, %"], rows)
    curve = open_curve([open_set(scene_items, 3) for scene_items in items.values()])
    print_table(list(curve[0]), [[f"{value:.2f}" for value in row.values()] for row in curve])
    return {
        "thresholds": {scene.name: scene.threshold for scene in scenes},
        "items": {
            name: {k: len(v) for k, v in scene_items.items()} for name, scene_items in items.items()
        },
        "quiet": records,
        "names": names,
        "open_set": curve,
    }


def open_curve(found: Sequence[Mapping[str, list[tuple[float, int]]]]) -> list[dict[str, float]]:
    """Share of known and unknown that get a name, by radius; and how many names are right."""
    known = np.array([pair for scene in found for pair in scene["known"]])
    unknown = np.array([pair for scene in found for pair in scene["unknown"]])
    rows = []
    for radius in RADII:
        named = known[:, 0] <= radius
        rows.append(
            {
                "radius": float(radius),
                "known named": float(named.mean()),
                "of these right": float(known[named, 1].mean()) if named.any() else float("nan"),
                "unknown named": float((unknown[:, 0] <= radius).mean()),
            }
        )
    return rows


def main() -> None:
    """Score the scenes, print the tables, write teach.json."""
    arguments = parser(__doc__)
    arguments.add_argument("data", type=Path, metavar="DATA", help="a demo set")
    arguments.add_argument("--scenes", nargs="+", required=True, help="as they are numbered in it")
    arguments.add_argument("--base", default="meta", help="the model that is adapted")
    arguments.add_argument("--rate", type=above_zero, default=6.0, help="false alarms an hour")
    arguments.add_argument("--label", default="", help="of the result file")
    args = arguments.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    scenes = [see_scene(args.data, scene, args.base, args.rate) for scene in args.scenes]
    result = analyse(scenes)
    write_result(f"teach{args.label and '-' + args.label}", args, result)


if __name__ == "__main__":
    main()

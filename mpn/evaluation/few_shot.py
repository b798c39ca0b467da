"""How well a model adapts to a camera it has not seen (PROTOCOL section 4).

Its scores, K by K and draw by draw.

    clean        K windows of the camera's training footage, spread evenly, are the support; its
                 whole test split is evaluated
    test_prefix  the K first windows of each test video, with what they show, are the support, and
                 leave the evaluation (the paper's)

Scoring is what takes the time: every (method, K, draw) is scored once, and all figures are made of
its columns, by `mpn.evaluation.few_shot_summary`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from mpn.adaptation.inner_loop import (
    Adaptation,
    adapt_network,
    adapted_checkpoint,
)
from mpn.adaptation.place import learn_place, motion_columns, windows_as_stretches
from mpn.datasets.shots import shots_of, spread
from mpn.datasets.windows import Clip, split_calibration
from mpn.errors import DataError, MpnError
from mpn.evaluation.few_shot_summary import BASE_UNITS, TEST_PREFIX, UNADAPTED, FewShotRow, Key
from mpn.scoring.calibration import part_statistics
from mpn.scoring.clips import score_clips
from mpn.scoring.detector import Detector
from mpn.scoring.parts import MOTION_PARTS, PSNR, parts_of
from mpn.scoring.scores import combine

PROTOCOLS = ("clean", TEST_PREFIX)
SHOTS = (0, 1, 5, 10)
DRAWS = 5
# The units of the score come from about so many frames of the camera's training footage, never from
# support windows.
UNIT_FRAMES = 400
# Plain Adam on a handful of windows, to compare learned step sizes with; the rate was chosen on
# source scenes. `mpn adapt`, which has more footage, takes more and longer steps.
FINE_TUNING_STEPS, FINE_TUNING_RATE = 100, 5e-4
METHODS: dict[str, Adaptation] = {
    "place": Adaptation(method="place"),
    "meta": Adaptation(method="meta"),
    "fine-tuning": Adaptation("adam", FINE_TUNING_STEPS, FINE_TUNING_RATE),
}


@dataclass(frozen=True)
class _Camera:
    """Footage of one camera: for support windows, for units, and what is judged."""

    scene: str
    support: list[Clip]
    units: list[Clip]
    testing: list[Clip]


def few_shot(
    detector: Detector,
    training: Sequence[Clip],
    testing: Sequence[Clip],
    *,
    protocol: str = "clean",
    shots: Sequence[int] = SHOTS,
    draws: int = DRAWS,
    methods: Mapping[str, Adaptation] = METHODS,
    done: Collection[Key] = (),
) -> Iterator[FewShotRow]:
    """Adapt to every camera of a data set and score its test videos.

    One row a (camera, method, K, draw). In the clean protocol some whole training clips (of a
    single one its last quarter) are kept for the units of the score, mean and deviation of each
    part: the same frames for every K, method and draw, so that these differ by nothing but the
    adaptation; K = 0 comes once, and once more in the checkpoint's own units (`BASE_UNITS`). With
    test_prefix the units are the checkpoint's, there is no K = 0, and draws differ in their
    pseudo-anomalies.

    Args:
        detector: the model, its recipe, device and precision.
        training: clips of the network's size, with their motion for "place"; a camera is a
            `Clip.scene`. With `test_prefix` none are needed.
        testing: clips with labels, likewise.
        protocol: one of `PROTOCOLS`.
        shots: every K, 0 for unadapted.
        draws: how often windows are chosen and the methods seeded, for K >= 1.
        methods: by name; "meta" needs a meta-trained checkpoint. Each draw's number is its seed.
        done: rows that are not wanted again.

    Raises:
        MpnError: at the call: an unknown protocol, counts out of range, a method that the model
            cannot do.
        DataError: cameras without footage, or with too little, before anything is scored.
    """
    if protocol not in PROTOCOLS:
        raise MpnError(f"protocol {protocol!r}: {' or '.join(PROTOCOLS)} was expected")
    if draws < 1 or not shots or min(shots) < 0:
        raise MpnError(
            f"K = {tuple(shots)} and {draws} draws: K from 0 up and draws from 1 up were expected"
        )
    for options in methods.values():
        options.filled(detector.checkpoint)
    cameras = _cameras(training, testing, protocol)
    counts = sorted({count for count in shots if count or protocol == "clean"})
    if not counts:
        raise MpnError(
            "test_prefix adapts on the beginning of every test video: K from 1 up was expected"
        )
    for camera in cameras:
        for count in counts:
            _support(camera, protocol, count, detector.config.window)
    plan = [
        key for camera in cameras for key in _plan(camera.scene, protocol, counts, draws, methods)
    ]
    return _rows(
        detector, {camera.scene: camera for camera in cameras}, plan, draws, methods, set(done)
    )


def _plan(
    scene: str, protocol: str, counts: Sequence[int], draws: int, methods: Mapping[str, Adaptation]
) -> Iterator[Key]:
    for count in counts:
        if count == 0:
            yield Key(scene, protocol, UNADAPTED, 0, 0)
            yield Key(scene, protocol, BASE_UNITS, 0, 0)
            continue
        for draw in range(draws):
            for method, options in methods.items():
                # A place model of a clip's first moments leaves nothing to take its units from.
                if protocol != TEST_PREFIX or options.method != "place":
                    yield Key(scene, protocol, method, count, draw)


def _cameras(training: Sequence[Clip], testing: Sequence[Clip], protocol: str) -> list[_Camera]:
    if not testing:
        raise DataError("no test videos: labelled footage of the camera was expected")
    cameras = []
    for scene in dict.fromkeys(clip.scene for clip in testing):
        footage = [clip for clip in training if clip.scene == scene]
        if not footage and protocol == "clean":
            with_footage = ", ".join(sorted({clip.scene for clip in training})) or "none"
            raise DataError(
                f"camera {scene} has test videos but no training footage to adapt on (cameras with "
                f"some: {with_footage}); use test_prefix, which adapts on the test videos' "
                "beginnings"
            )
        support, units = (
            _support_and_units(footage) if footage and protocol == "clean" else (footage, [])
        )
        cameras.append(
            _Camera(scene, support, units, [clip for clip in testing if clip.scene == scene])
        )
    return cameras


def _support_and_units(clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Divide clips in (support, units).

    The units have, of several clips, whole ones, evenly spread, at most a third of them; else the
    last quarter.
    """
    if len(clips) == 1:
        return split_calibration(clips, 0.25)
    frames = sum(len(clip.frames) for clip in clips)
    count = max(1, min(UNIT_FRAMES * len(clips) // frames, len(clips) // 3))
    chosen = {(2 * i + 1) * len(clips) // (2 * count) for i in range(count)}
    return (
        [clip for i, clip in enumerate(clips) if i not in chosen],
        [clip for i, clip in enumerate(clips) if i in chosen],
    )


def _support(
    camera: _Camera, protocol: str, count: int, window: int, draw: int = 0, draws: int = 1
) -> list[list[tuple[int, int]]]:
    """Choose the support windows (clip, target).

    One list in the clean protocol, one a test video in the paper's.
    """
    if protocol == "clean":
        if not any(len(clip.frames) > window for clip in camera.units):
            raise DataError(
                f"camera {camera.scene}: its training footage is too short to keep {window + 1} "
                "frames in a row for the units of the score; give more"
            )
        return [spread(camera.support, count, window, repeat=draw, repeats=draws) if count else []]
    windows = []
    for number, clip in enumerate(camera.testing):
        bad = {entry.index for entry in clip.bad}
        targets = [
            t for t in range(window, len(clip.frames)) if bad.isdisjoint(range(t - window, t + 1))
        ][:count]
        if len(targets) < count or targets[-1] + 1 >= len(clip.frames):
            raise DataError(
                f"{clip.name}: {len(clip.frames)} frames, {window + count + 1} are needed for "
                f"{count} first windows and something to judge; take fewer shots"
            )
        windows.append([(number, target) for target in targets])
    return windows


def _rows(
    detector: Detector,
    cameras: Mapping[str, _Camera],
    plan: Sequence[Key],
    draws: int,
    methods: Mapping[str, Adaptation],
    done: set[Key],
) -> Iterator[FewShotRow]:
    scored = _Unadapted(detector)
    with tqdm(total=len(plan), desc="few shots", unit="row", disable=None) as bar:
        for key in plan:
            bar.set_postfix_str(
                f"{key.scene} {key.method} K={key.shots} draw {key.draw}", refresh=True
            )
            if (
                key in done
                or key.method == BASE_UNITS
                and key._replace(method=UNADAPTED) not in done
            ):
                bar.update()  # the base's units come with the unadapted row
                continue
            camera = cameras[key.scene]
            if methods.get(key.method, _NO_METHOD).method == "place":
                yield _place_row(scored, camera, key, draws)
            elif key.protocol == TEST_PREFIX:
                yield _test_prefix_row(detector, camera, key, methods[key.method])
            else:
                yield from _clean_rows(detector, camera, key, draws, methods.get(key.method), done)
            bar.update()


_NO_METHOD = Adaptation(method="adam")


class _Unadapted:
    """Columns that the unadapted network gives: of a camera once, whatever K and draw."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._scene: str | None = None
        self._columns: tuple[dict[str, dict[str, np.ndarray]], ...] = ()

    def columns(self, camera: _Camera) -> tuple[dict[str, dict[str, np.ndarray]], ...]:
        """Return video -> column -> float64 (T,), of the testing clips and of those for units."""
        if camera.scene != self._scene:
            self._columns = tuple(
                _scored(self.detector, clips) for clips in (camera.testing, camera.units)
            )
            self._scene = camera.scene
        return self._columns


def _place_row(scored: _Unadapted, camera: _Camera, key: Key, draws: int) -> FewShotRow:
    """Score with a place model of the support windows; the network stays as it is."""
    detector = scored.detector
    window = detector.config.window
    config = detector.score_config.with_place(trained_here=False)
    windows = _support(camera, key.protocol, key.shots, window, key.draw, draws)[0]
    began = time.perf_counter()
    place = learn_place(camera.support, windows_as_stretches(windows, window))
    seconds = time.perf_counter() - began
    both: list[dict[str, dict[str, np.ndarray]]] = []
    for clips, columns in zip((camera.testing, camera.units), scored.columns(camera)):
        both.append({})
        for clip in clips:
            by_part = columns[clip.name] | motion_columns(clip, place)
            for name in MOTION_PARTS:  # where the network has no score there is none
                by_part[name] = np.where(
                    np.isnan(by_part[PSNR.name]), np.nan, by_part[name]
                ).astype(float)
            both[-1][clip.name] = by_part
    parts, units = both
    weights = config.weights_of(parts_of(detector.network, place=True))
    normal = part_statistics(
        {name: {part: by_part[part] for part in weights} for name, by_part in units.items()}
    )
    return FewShotRow(
        *key,
        {
            name: {"score": combine(by_part, weights, normal), **by_part}
            for name, by_part in parts.items()
        },
        seconds,
    )


def _clean_rows(
    detector: Detector,
    camera: _Camera,
    key: Key,
    draws: int,
    options: Adaptation | None,
    done: set[Key],
) -> Iterator[FewShotRow]:
    adapted, seconds = detector, 0.0
    if key.shots and options is not None:
        chosen = _support(camera, "clean", key.shots, detector.config.window, key.draw, draws)[0]
        adapted, seconds = _adapted(
            detector, camera.support, chosen, replace(options, seed=key.draw)
        )
    parts = _scored(adapted, camera.testing)
    if key.method != BASE_UNITS:
        units = score_clips(adapted, camera.units, "units")
        normal = part_statistics(
            {
                str(i): {name: parts_of_clip[name] for name in adapted.weights}
                for i, parts_of_clip in enumerate(units)
            }
        )
        yield FewShotRow(*key, _with_score(adapted, parts, normal), seconds)
    base = key._replace(method=BASE_UNITS)
    if key.shots == 0 and base not in done:
        yield FewShotRow(*base, _with_score(detector, parts, detector.normal), 0.0)


def _test_prefix_row(
    detector: Detector, camera: _Camera, key: Key, options: Adaptation
) -> FewShotRow:
    parts, seconds = {}, []
    for clip, chosen in zip(
        camera.testing, _support(camera, TEST_PREFIX, key.shots, detector.config.window)
    ):
        judge, took = _adapted(detector, camera.testing, chosen, replace(options, seed=key.draw))
        seconds.append(took)
        parts |= _scored(judge, [clip])
        for values in parts[clip.name].values():
            values[: chosen[-1][1] + 1] = np.nan  # what the support shows is not judged
    return FewShotRow(*key, _with_score(detector, parts, detector.normal), float(np.mean(seconds)))


def _adapted(
    detector: Detector,
    clips: Sequence[Clip],
    chosen: Sequence[tuple[int, int]],
    options: Adaptation,
) -> tuple[Detector, float]:
    """Return the detector adapted on windows of the clips, and the seconds that took."""
    shots = shots_of(clips, chosen, detector.config.window)
    began = time.perf_counter()
    tensors = adapt_network(detector.checkpoint, shots, options, bfloat16=detector.bfloat16)
    judge = detector.sibling(adapted_checkpoint(detector.checkpoint, tensors))
    return judge, time.perf_counter() - began


def _scored(judge: Detector, clips: Sequence[Clip]) -> dict[str, dict[str, np.ndarray]]:
    """Compute raw parts, video -> part -> float64 (T,).

    Unreadable frames hold their neighbour, as when a file is scored.
    """
    by_clip = score_clips(judge, [replace(clip, bad=[]) for clip in clips], "scoring")
    return {
        clip.name: {name: values.astype(np.float64) for name, values in parts.items()}
        for clip, parts in zip(clips, by_clip)
    }


def _with_score(
    detector: Detector,
    parts: Mapping[str, Mapping[str, np.ndarray]],
    normal: Mapping[str, tuple[float, float]],
) -> dict[str, dict[str, np.ndarray]]:
    return {
        video: {"score": combine(columns, detector.weights, normal), **columns}
        for video, columns in parts.items()
    }

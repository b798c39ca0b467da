"""What the few-shot benchmarks are made of: alarms, rows that survive, made anomalies, poisoned
windows."""

from __future__ import annotations

import argparse
import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import few_shot_common as common
from benchmarks.few_shot_common import (
    RowFile,
    causal,
    counts_from_zero,
    false_alarms,
    mean_psnr,
    untouched,
)
from benchmarks.few_shot_generated import EVERY, together
from benchmarks.few_shot_scenes import figures_of, fold
from benchmarks.made_anomalies import choice_set, contact_sheet, make
from benchmarks.made_anomaly_kinds import KINDS, find_blobs
from benchmarks.poisoned import support
from mpn.datasets.windows import Clip
from mpn.errors import DataError
from mpn.evaluation.few_shot import FewShotRow

NAN = float("nan")


def series(length: int, **peaks: float) -> np.ndarray:
    """Zeros, with f10=3 for a score of 3 in frame 10."""
    values = np.zeros(length)
    for name, value in peaks.items():
        values[int(name[1:])] = value
    return values


def stretch(length: int, *spans: tuple[int, int]) -> np.ndarray:
    labels = np.zeros(length, bool)
    for start, end in spans:
        labels[start:end] = True
    return labels


class TestFalseAlarms:
    """At 10 frames a second: within 10 frames of an event all is the event's, stretches nearer than
    that are one."""

    def test_by_hand(self):
        labels = {"a": stretch(1000, (100, 110), (400, 410), (700, 710), (950, 960))}
        # The events reach 9, 8, 7, 1; four of five of them are found at 7 if there are five.
        labels["b"] = stretch(560, (500, 510))
        scores = {
            "a": series(
                1000, f105=9, f405=8, f705=7, f955=1, f200=7, f205=7.5, f250=8, f300=6.9, f95=20
            )
        }
        scores["b"] = series(560, f505=7, f30=10)
        # Two episodes in a (frames 200 and 205 are one; 95 is the event's), one in b.
        quiet = 1000 - 4 * 30 + 560 - 30
        assert false_alarms(labels, scores, 10.0) == pytest.approx(3 / (quiet / 10 / 3600))

    def test_frames_without_a_score_are_no_footage(self):
        labels, values = {"a": stretch(200, (150, 160))}, series(200, f155=5, f50=6)
        values[:4] = NAN
        assert false_alarms(labels, {"a": values}, 10.0) == pytest.approx(
            1 / ((200 - 4 - 30) / 10 / 3600)
        )

    def test_a_low_threshold_is_not_better_for_merging_all_alarms(self):
        labels = {"a": stretch(500, (480, 490))}
        values = np.ones(500)
        values[[100, 200, 300]] = 2.0
        assert false_alarms(labels, {"a": values}, 10.0) * (500 - 30) / 36000 == pytest.approx(3)

    def test_undefined_without_events_or_without_normal_frames(self):
        assert np.isnan(false_alarms({"a": stretch(50)}, {"a": np.zeros(50)}, 10.0))
        assert np.isnan(false_alarms({"a": stretch(20, (5, 15))}, {"a": np.zeros(20)}, 10.0))


def test_untouched_frames_have_nothing_anomalous_in_their_window():
    assert np.flatnonzero(untouched(stretch(12, (6, 7)), 3)).tolist() == [3, 4, 5, 10, 11]


def test_mean_psnr_is_over_the_frames_that_are_asked_for():
    columns = {"a": {"psnr_db": np.array([NAN, 30.0, 99.0])}, "b": {"psnr_db": np.array([34.0])}}
    assert mean_psnr(columns, {"a": np.array([True, True, False]), "b": np.array([True])}) == 32.0
    assert np.isnan(mean_psnr(columns, {"a": np.array([True, False, False])}))


def test_shots_are_read_in_order():
    assert counts_from_zero("10,0, 5") == (0, 5, 10)
    with pytest.raises(argparse.ArgumentTypeError):
        counts_from_zero("1,-1")


def test_options_that_contradict_each_other_stop(tmp_path):
    args = SimpleNamespace(steps=3, method="both", quick=False, work=tmp_path)
    with pytest.raises(SystemExit, match="--steps is of one method"):
        common.checked(args)
    args = SimpleNamespace(steps=3, method="fine-tuning", quick=False, learning_rate=0.01)
    (only,) = common.methods_of(args).items()
    assert (only[0], only[1].steps, only[1].learning_rate, only[1].method) == (
        "fine-tuning",
        3,
        0.01,
        "adam",
    )


def row(scene: str = "a", draw: int = 0, method: str = "meta") -> FewShotRow:
    columns = {
        f"{scene}1": {"score": np.array([NAN, 1 / 3, draw]), "error": np.array([NAN, 1e-9, 2.0])}
    }
    return FewShotRow(scene, "clean", method, 5, draw, columns, 0.25)


def test_rows_come_back_as_they_were(tmp_path):
    path, identity = tmp_path / "sub" / "rows.jsonl", {"checkpoint": "c", "draws": 5}
    file = RowFile(path, identity)
    for draw in range(3):
        file.add(row(draw=draw))
    path.write_text(path.read_text()[:-40])  # killed while it wrote
    again = RowFile(path, identity)
    assert again.done == {row(draw=0).key, row(draw=1).key}
    for restored, draw in zip(again.rows, range(2)):
        assert restored.seconds_to_adapt == 0.25
        for name, values in row(draw=draw).columns["a1"].items():
            np.testing.assert_array_equal(restored.columns["a1"][name], values)
    again.add(row(draw=2))
    assert len(RowFile(path, identity).rows) == 3
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 4


def test_rows_of_another_run_are_refused(tmp_path):
    RowFile(tmp_path / "rows.jsonl", {"checkpoint": "c"}).add(row())
    with pytest.raises(SystemExit, match="checkpoint differs"):
        RowFile(tmp_path / "rows.jsonl", {"checkpoint": "d"})


def test_cameras_are_put_together_where_none_is_missing():
    rows = [row("a", 0), row("b", 0), row("a", 1)]
    (joined,) = together(rows, 2)
    assert (joined.scene, joined.draw, list(joined.columns)) == (EVERY, 0, ["a1", "b1"])


def crossing(count: int = 120, speed: float = 1.0, size=(64, 96)) -> np.ndarray:
    """uint8 (T, H, W, 1): a bright square that goes to the right over a textured ground, again and
    again."""
    ground = (
        np.random.default_rng(0).integers(60, 120, (size[0] // 8, size[1] // 8)).astype(np.uint8)
    )
    frames = np.repeat(np.kron(ground, np.ones((8, 8), np.uint8))[None], count, axis=0)
    for t in range(count):
        left = int(speed * t) % (size[1] - 16)
        frames[t, 26:38, left : left + 10] = 240
    return frames[..., None]


@pytest.fixture(scope="module")
def made():
    return [make(crossing(), 10.0, seed, first_kind=seed) for seed in range(6)]


class TestMadeAnomalies:
    def test_frames_between_events_are_the_true_ones(self, made):
        frames = crossing()
        for clip in made:
            inside = np.zeros(len(frames), bool)
            for event in clip.events:
                inside[event.start : event.end] = True
                assert clip.labels[event.start] and clip.labels[event.end - 1]
            assert not (clip.labels & ~inside).any()
            visible = (np.abs(clip.frames.astype(int) - frames).max(axis=3) > 12).sum(
                axis=(1, 2)
            ) >= 24
            assert not (visible & ~clip.labels).any()
            assert np.array_equal(clip.masks.any(axis=(1, 2)), visible)

    def test_about_half_of_the_frames_are_normal_and_events_last(self, made):
        share = np.mean([clip.labels.mean() for clip in made])
        assert 0.3 < share < 0.6
        lengths = [event.end - event.start for clip in made for event in clip.events]
        assert min(lengths) >= 6 and max(lengths) <= 30 and np.mean(lengths) > 10

    def test_all_kinds_come(self, made):
        assert {event.kind for clip in made for event in clip.events} == set(KINDS)

    def test_the_same_seed_gives_the_same(self, made):
        again, other = (
            make(crossing(), 10.0, 2, first_kind=2),
            make(crossing(), 10.0, 9, first_kind=2),
        )
        assert np.array_equal(again.frames, made[2].frames) and again.events == made[2].events
        assert not np.array_equal(again.frames, other.frames)

    def test_a_blob_is_the_thing_that_moves_with_its_velocity(self):
        blobs = find_blobs(crossing())
        assert len(blobs) > 5
        for blob in blobs:
            left = blob.frame % 80
            assert np.hypot(blob.centre[0] - 31.5, blob.centre[1] - left - 4.5) < 4
            # with a pixel of the ground around it
            assert np.median(blob.piece[blob.alpha[..., 0] > 0.99]) == 240
        assert np.median([blob.velocity for blob in blobs], axis=0) == pytest.approx(
            (0, 1), abs=0.3
        )

    @pytest.mark.parametrize("kind", ["reversed", "frozen"])
    def test_areas_show_another_time_of_the_same_place(self, kind):
        stretch_ = crossing(30)
        changed = KINDS[kind](stretch_, 0, [], np.random.default_rng(4))
        half = changed[len(changed) // 2 + 1]
        shown = [np.abs(half.astype(int) - frame) for frame in stretch_]
        # But for the soft edge, every pixel is that of some time.
        assert np.mean(np.minimum.reduce(shown) < 2) > 0.98
        assert (shown[len(changed) // 2 + 1] > 12).any()

    def test_drawn_things_go_on_a_curve(self):
        still = np.full((40, 64, 96, 1), 90, np.uint8)
        changed = KINDS["drawn"](still, 0, [], np.random.default_rng(1))
        masks = np.abs(changed[..., 0].astype(int) - 90) > 12
        path = np.array([np.argwhere(mask).mean(axis=0) for mask in masks if mask.sum() > 40])
        steps = np.diff(path, axis=0)
        turned = np.unwrap(np.arctan2(*steps[5:-5].T))
        assert abs(turned[-1] - turned[0]) > 0.5
        assert 1.2 < np.median(np.hypot(*steps.T)) < 4.5

    def test_choice_set_splits_in_time(self):
        clips = [
            Clip("long", "yard", crossing(160), 10.0),
            Clip("short", "yard", crossing(40), 10.0),
        ]
        (choice,) = choice_set(clips)
        first, other = choice.training
        assert (len(first.frames), len(other.frames)) == (80, 40)
        np.testing.assert_array_equal(choice.normal.frames, clips[0].frames[90:])
        assert len(choice.made) == 300 // 70 and set(choice.truth) == {
            clip.name for clip in choice.made
        }
        assert contact_sheet(choice.truth[choice.made[0].name]).shape[2] == 3
        with pytest.raises(
            DataError, match="yard: 38 frames are left to test on, 40 are needed.*96 frames"
        ):
            choice_set([Clip("c", "yard", crossing(96), 10.0)])

    def test_figures_of_a_scene_by_kind(self):
        (choice,) = choice_set([Clip("long", "yard", crossing(400), 10.0)])
        clips = [choice.normal, *choice.made]
        columns = {
            clip.name: dict.fromkeys(("score", "error", "psnr_db"), np.full(len(clip.frames), 30.0))
            for clip in clips
        }
        for name, truth in choice.truth.items():
            score = np.zeros(len(truth.labels))
            # found, but for the first kind, which is lower than anything
            for event in truth.events:
                score[event.start : event.end] = -1.0 if event.kind == truth.events[0].kind else 1.0
            columns[name] = columns[name] | {"score": score}
        for parts in columns.values():
            for column in parts:
                parts[column] = np.where(np.arange(len(parts[column])) < 4, NAN, parts[column])
        figures = figures_of(FewShotRow("yard", "clean", "meta", 1, 0, columns, 0.0), choice, 4)
        assert figures["psnr_normal"] == 30.0 and figures["error"] == 0.5
        kinds = [event.kind for event in choice.truth[choice.made[0].name].events]
        assert figures[f"kind_{kinds[0]}"] < 0.2
        assert all(figures[f"kind_{kind}"] > 0.8 for kind in set(kinds) - {kinds[0]})
        assert all(np.isnan(figures[f"kind_{kind}"]) for kind in set(KINDS) - set(kinds))


def test_fold_is_read():
    parsed = fold("a=C:/runs/m.safetensors:plaza,road")
    assert (parsed.name, str(parsed.checkpoint), parsed.scenes) == (
        "a",
        "C:/runs/m.safetensors",
        ("plaza", "road"),
    )
    for wrong in ("a=m.safetensors", "m:plaza", "a=:plaza", "a=m:"):
        with pytest.raises(argparse.ArgumentTypeError):
            fold(wrong)


def test_windows_that_show_an_anomalous_frame_are_poisoned():
    truth = stretch(44, (20, 30))
    # Frame 19's window ends before the event, that of 33 shows its last frame, that of 34 none.
    few = SimpleNamespace(windows=[(0, 19), (0, 29), (0, 33), (0, 34)])
    assert support(few, truth, 4) == {"windows": 4, "poisoned": 2}
    # Of all footage: the targets 4 to 43, and of these 20 to 33.
    assert support(SimpleNamespace(windows=[]), truth, 4) == {"windows": 40, "poisoned": 14}


def test_causal_is_the_exponential_of_the_score():
    values = np.array([NAN, 1.0, 2.0])
    np.testing.assert_allclose(causal({"score": values}), [NAN, 1.0, 1.3])

"""Scoring jobs: what they write, and what they say of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mpn.api import load
from mpn.errors import DataError, MpnError
from mpn.jobs import JobOptions, belongs_to
from mpn.scoring.heat_file import read_heat
from mpn.scoring.region_table import read_regions
from mpn.scoring.scores import ScoreConfig
from tests.helpers.scoring_jobs import OPTIONS, load_again, score_source, stopping, summary
from tests.helpers.small_model import footage, write_footage, write_model


def test_events_are_where_the_intruder_is(sharp, clip, tmp_path):
    events = score_source(sharp, clip, tmp_path / "out", OPTIONS).summary["events"]
    assert [(event["start"], event["end"]) for event in events] == [(20, 33), (50, 63)]
    assert [(event["start_seconds"], event["end_seconds"]) for event in events] == [
        (2.0, 3.3),
        (5.0, 6.3),
    ]


def test_events_say_why(sharp, clip, tmp_path):
    events = score_source(sharp, clip, tmp_path / "out", OPTIONS).summary["events"]
    peaks = {event["peak_frame"] for event in events}
    reasons = [result.reason for result in sharp.score(clip, fps=10) if result.frame in peaks]
    assert [event["reason"] for event in events] == [reason.to_dict() for reason in reasons]
    for event in events:
        assert event["reason"]["kind"] == "appearance" and event["reason"]["shares"] == {"error": 1}
        (fact,) = event["reason"]["facts"]
        assert (fact["part"], fact["motion_known"]) == ("error", False) and fact["deviations"] > 100


def test_regions_are_where_the_intruder_is_and_its_events_name_their_tracks(sharp, clip, tmp_path):
    found = score_source(sharp, clip, tmp_path / "out", OPTIONS).summary
    rows = read_regions(tmp_path / "out" / found["regions"])
    assert sorted({row.frame for row in rows}) == [*range(20, 33), *range(50, 63)]
    for row in rows:
        top, left, height, width = row.box
        assert (
            row.score > 100
            and 0 <= top < 48 < top + height + 16
            and top + height <= 64
            and left + width <= 96
        )
        assert left < 80 and left + width > 56  # where it was or where it is now
    for event in found["events"]:
        event_rows = [row for row in rows if event["start"] <= row.frame < event["end"]]
        assert [track["track"] for track in event["tracks"]] == sorted(
            {row.track for row in event_rows}
        )
        for track in event["tracks"]:
            track_rows = [row for row in event_rows if row.track == track["track"]]
            highest = max(track_rows, key=lambda row: row.score)
            assert (track["first"], track["last"]) == (track_rows[0].frame, track_rows[-1].frame)
            assert (
                track["peak_score"] == pytest.approx(highest.score, rel=1e-5)
                and tuple(track["box"]) == highest.box
            )
    first, second = ({track["track"] for track in event["tracks"]} for event in found["events"])
    assert first and second and not first & second  # more than half a second apart


def test_the_place_of_an_alarm_is_named_even_where_no_place_alone_is_above(
    detector, clip, tmp_path
):
    # Smoothing keeps the score up when the intruder is gone.
    found = score_source(detector, clip, tmp_path / "out", OPTIONS).summary
    rows = read_regions(tmp_path / "out" / "clip_regions.csv")
    scores = np.genfromtxt(tmp_path / "out" / "scores.csv", delimiter=",", names=True)["score"]
    alarms = {int(frame) for frame in np.flatnonzero(scores > 100)}
    assert alarms <= {row.frame for row in rows}
    low_rows = [row for row in rows if row.score <= 100]
    assert low_rows and all(row.frame in alarms for row in low_rows)
    assert len(low_rows) == len({row.frame for row in low_rows}) and found["events"]


def test_without_a_threshold_the_highest_places_of_each_frame(tmp_path, clip):
    path = write_model(tmp_path / "bare.safetensors", normal=False, pseudo_head=False)
    bare = load(path, precision="float32", score_config=ScoreConfig(patch=4))
    score_source(bare, clip, tmp_path / "out", replace(OPTIONS, threshold=None))
    rows = read_regions(tmp_path / "out" / "clip_regions.csv")
    frames = [row.frame for row in rows]
    assert set(frames) == set(range(4, 90)) and {frames.count(frame) for frame in frames} <= {
        1,
        2,
        3,
    }
    assert frames.count(10) == 3  # noise has many


def test_heat_maps_for_a_report(sharp, clip, tmp_path):
    found = score_source(sharp, clip, tmp_path / "out", replace(OPTIONS, report=True)).summary
    assert found["heat"] == {"file": "heat.bin", "shape": [24, 36], "unit": 100.0}
    heat = read_heat(tmp_path / "out" / "heat.bin", found["heat"]["shape"])
    assert len(heat) == 90 and not heat[:4].any()
    # It is at pixels 32-47 down and 56-79 across of 64x96: rows 12-18 and columns 21-30.
    assert np.argwhere(heat[25] == 255).mean(axis=0) == pytest.approx((14.5, 25), abs=1.5)
    assert heat[25, :4, :12].max() < 128 and heat[45].max() < 128
    score_source(sharp, clip, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out" / "heat.bin").exists() and "heat" not in summary(tmp_path / "out")


def test_only_a_stretch_and_only_every_third_frame(sharp, clip, tmp_path):
    outcome = score_source(
        sharp, clip, tmp_path / "out", replace(OPTIONS, start=1.0, end=8.0, every=3)
    )
    rows = (tmp_path / "out" / "scores.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [str(frame) for frame in range(10, 80, 3)]
    assert [row.split(",")[1] for row in rows] == [
        f"{frame / 10:.3f}" for frame in range(10, 80, 3)
    ]
    assert outcome.summary["fps"] == pytest.approx(10 / 3)
    # Seen in frames 22, 25, 28 and 31, gone in 34; and 52, 55, 58, 61, gone in 64. A frame stands
    # for three.
    spans = [
        (event["start"], event["end"], event["start_seconds"])
        for event in outcome.summary["events"]
    ]
    assert [start for start, _, _ in spans] == [22, 52] and [seconds for *_, seconds in spans] == [
        2.2,
        5.2,
    ]
    assert all(31 < end <= 37 or 61 < end <= 67 for _, end, _ in spans)


def test_a_model_without_normal_scores_says_how_to_get_a_threshold(tmp_path, clip):
    bare = load(
        write_model(tmp_path / "bare.safetensors", normal=False, pseudo_head=False),
        precision="float32",
    )
    outcome = score_source(bare, clip, tmp_path / "out", replace(OPTIONS, threshold=None))
    assert outcome.summary["threshold"] is None and outcome.summary["events"] == []
    assert any("mpn adapt" in note and "--threshold" in note for note in outcome.notes)


def test_a_camera_that_the_model_does_not_know_is_suspected(detector, tmp_path):
    frames = footage(100)
    frames[1::2] = 255 - frames[1::2]  # flickers all the time
    strange = write_footage(tmp_path / "strange", frames)
    options = JobOptions(fps=10.0)
    with pytest.raises(KeyboardInterrupt):  # it counts on across a stop
        score_source(stopping(detector, 60), strange, tmp_path / "out", options)
    outcome = score_source(detector, strange, tmp_path / "out", options)
    assert any(
        "96% of the frames are above the threshold" in note and "mpn adapt" in note
        for note in outcome.notes
    )
    # Whoever has adapted a model to the camera is not told to adapt one.
    checkpoint = replace(detector.checkpoint, camera={"adapted_on": {}})
    adapted = score_source(detector.sibling(checkpoint), strange, tmp_path / "adapted", options)
    assert any("with more of it" in note for note in adapted.notes)
    usual = score_source(
        detector, write_footage(tmp_path / "usual", footage(100)), tmp_path / "other", options
    )
    assert usual.notes == []
    without_note = score_source(
        detector, strange, tmp_path / "own", replace(options, threshold=0.5)
    )
    assert not any("above the threshold" in note for note in without_note.notes)


def test_overlay_clips_of_events(sharp, clip, tmp_path):
    score_source(sharp, clip, tmp_path / "out", replace(OPTIONS, overlay="events"))
    clips = sorted(path.name for path in (tmp_path / "out").glob("*.webm"))
    assert clips == ["event-001.webm", "event-002.webm"]
    lengths = [frames_of(tmp_path / "out" / name) for name in clips]
    # Frames 0-19 before it, 20-32, and a second after it in which it might have gone on; the second
    # has two seconds before it, of which the first clip has shown some.
    assert lengths[0] in range(42, 44) and lengths[1] in range(13 + 8, 13 + 20 + 11)


def test_an_overlay_of_everything_in_parts(detector, clip, tmp_path):
    options = replace(OPTIONS, overlay="all")
    with pytest.raises(KeyboardInterrupt):
        score_source(stopping(detector, 33), clip, tmp_path / "out", options)
    score_source(detector, clip, tmp_path / "out", options)
    lengths = [frames_of(tmp_path / "out" / name) for name in ("overlay.webm", "overlay-2.webm")]
    # Frames 28 to 32 were drawn, but their batch of 8 behind a window of 4 was not finished.
    assert lengths == [33, 90 - 28]
    assert not list((tmp_path / "out").glob(".*"))


def test_one_threshold_later_old_overlays_are_gone(detector, clip, tmp_path):
    score_source(detector, clip, tmp_path / "out", replace(OPTIONS, overlay="events"))
    score_source(
        detector, clip, tmp_path / "out", replace(OPTIONS, overlay="events", threshold=1e9)
    )
    assert not list((tmp_path / "out").glob("*.webm"))


def test_a_folder_belongs_to_its_source(detector, clip, tmp_path):
    score_source(detector, clip, tmp_path / "out", OPTIONS)
    assert belongs_to(tmp_path / "out", clip) and not belongs_to(
        tmp_path / "out", tmp_path / "other"
    )
    assert belongs_to(tmp_path / "new", clip)
    (tmp_path / "out" / "state.json").unlink()  # results of somebody else, then
    assert not belongs_to(tmp_path / "out", clip)


def test_a_strict_job_stops_and_a_lenient_one_goes_on(detector, clip, tmp_path):
    (clip / "040.png").write_bytes(b"")
    with pytest.raises(DataError, match="frame 40"):
        score_source(detector, clip, tmp_path / "strict", replace(OPTIONS, strict=True))
    outcome = score_source(detector, clip, tmp_path / "out", OPTIONS)
    assert [bad["index"] for bad in outcome.summary["bad_frames"]] == [40] and outcome.summary[
        "frames"
    ] == 90


def test_bad_frames_are_still_known_after_a_stop(detector, clip, tmp_path):
    for number in (10, 40, 70):
        (clip / f"{number:03d}.png").write_bytes(b"")
    whole = score_source(detector, clip, tmp_path / "whole", OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        score_source(stopping(detector, 60), clip, tmp_path / "out", OPTIONS)
    outcome = score_source(load_again(detector), clip, tmp_path / "out", OPTIONS)
    assert outcome.done_before > 40
    assert outcome.summary["bad_frames"] == whole.summary["bad_frames"]
    assert [bad["index"] for bad in whole.summary["bad_frames"]] == [10, 40, 70]


def test_a_folder_that_cannot_be_made(detector, clip, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(MpnError, match="give another --out"):
        score_source(detector, clip, tmp_path / "taken" / "x", OPTIONS)


def frames_of(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count

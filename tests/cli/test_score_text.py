"""What `mpn score` says of a recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpn.cli.score_text import Entry, outcome_text, total_text
from mpn.jobs import Outcome


def told(events: list[dict], threshold: dict | None, **more: object) -> str:
    """What is said of a recording whose highest score is 2.85."""
    summary = {
        "frames": 175,
        "fps": 10.0,
        "threshold": threshold,
        "events": events,
        "judged_by": "model",
        "bad_frames": [],
        **more,
    }
    outcome = Outcome(summary, 0, (2.85, 10.6), [])
    return outcome_text(outcome, Entry(Path("lobby.mp4"), Path("nowhere")))


@pytest.mark.parametrize(
    ("usual", "events", "said"),
    [(1.75, [], True), (2.9, [], False), (1.75, [{}], False), (None, [], False)],
)
def test_what_no_normal_footage_had_is_said_where_the_threshold_is_above_it(usual, events, said):
    threshold = {"value": 3.36, "extrapolated": True, "hours": 0.02, "highest_normal": usual}
    text = told(events, threshold)
    assert "highest score 2.85 at 0:10.6" in text
    assert ("stranger than all normal footage, which has 1.75 at the most" in text) == said


def test_without_a_threshold_nothing_is_said_of_normal_footage():
    assert told([], None).endswith("highest score 2.85 at 0:10.6")
    before = {"value": 3.36, "extrapolated": True, "hours": 0.02}  # of an earlier version
    assert "stranger" not in told([], before)


def test_where_frames_are_left_out_it_says_of_how_many():
    span = {"first": 0, "end": 524, "every": 3}
    assert told([], None, span=span).startswith("lobby.mp4: 175 of 524 frames (every 3rd), 0:17.5 ")
    assert told([], None).startswith("lobby.mp4: 175 frames, 0:17.5 long")


def test_bad_frames_between_those_that_are_left_out_were_replaced():
    span = {"first": 0, "end": 524, "every": 3}
    bad = [{"index": index, "name": f"{index}.jpg", "reason": "is empty"} for index in (300, 303)]
    text = told([], None, span=span, bad_frames=bad)
    assert "2 frames could not be used and were replaced by the one before, the first: " in text
    assert "frame 300 (300.jpg) is empty" in text and "303" not in text


def test_thousands_are_marked_in_the_table_too():
    summary = {"frames": 1169, "fps": 10.0, "events": [], "bad_frames": [], "notes": []}
    entries = [
        Entry(Path(name), Path("out"), Outcome(summary, 0, (2.85, 10.6), [])) for name in "ab"
    ]
    head, first, *_ = total_text(entries, Path("out")).strip().splitlines()
    assert head.split() == ["source", "scored", "length", "events", "highest"]
    assert first.split() == ["a", "1,169", "1:56.9", "0", "2.85"]

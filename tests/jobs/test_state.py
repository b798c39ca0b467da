"""What a job remembers: through JSON and back, and the tracks of an event."""

from __future__ import annotations

import json

import pytest

from mpn.jobs.state import MAX_TRACKS, FoundEvent, JobState, SeenTrack, with_seen
from mpn.scoring.events import Event
from mpn.scoring.facts import OtherWay
from mpn.scoring.reasons import Reason
from mpn.scoring.regions import Tracked

TRACK = SeenTrack(3, 20, 31, 7.25, (1, 2, 3, 4))
REASON = Reason((OtherWay("left", 1 / 3, None, ("right",), 0.01),), {"direction": 1.0})
EVENT = Event(20, 33, 2.0, 3.3, 24, 9.5, (1, 2, 3, 4), REASON)


@pytest.mark.parametrize(
    "state",
    [
        JobState(),
        JobState(
            90,
            26,
            {"scores.csv": 900, "a_regions.csv": 70},
            1 / 3,
            (FoundEvent(EVENT, (TRACK,)),),
            EVENT,
            (TRACK,),
            {"gap": 5, "next": 4, "tracks": [[3, 31, [1, 2, 3, 4]]]},
            (9.5, 2.4),
        ),
    ],
)
def test_through_json_and_back(state: JobState) -> None:
    assert JobState.from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_the_tracks_of_an_event_by_hand() -> None:
    here, moved_box = (0, 0, 9, 9), (0, 5, 9, 9)
    tracks = with_seen((), 20, [Tracked(4, 2.0, here)])
    tracks = with_seen(tracks, 21, [Tracked(7, 1.0, moved_box), Tracked(4, 3.0, moved_box)])
    tracks = with_seen(tracks, 22, [])
    tracks = with_seen(tracks, 25, [Tracked(4, 2.5, here)])
    assert tracks == (SeenTrack(4, 20, 25, 3.0, moved_box), SeenTrack(7, 21, 21, 1.0, moved_box))


def test_the_highest_of_very_many_tracks_are_kept() -> None:
    tracks: tuple[SeenTrack, ...] = ()
    for number in range(300):
        # each score once
        tracks = with_seen(tracks, number, [Tracked(number, float(number * 7 % 300), (0, 0, 1, 1))])
    assert len(tracks) == MAX_TRACKS
    assert {track.peak_score for track in tracks} == set(range(300 - MAX_TRACKS, 300))

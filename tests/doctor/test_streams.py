"""What the doctor says of video files as recorders and cameras write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.odd_videos import VIDEOS
from mpn.doctor.diagnose import diagnose
from mpn.doctor.findings import REMEDIES, remedy_of
from mpn.errors import DataError

BY_NAME = {video.name: video for video in VIDEOS}


@pytest.mark.parametrize("name", [name for name in BY_NAME if name.isascii() and ":" not in name])
def test_each_kind_is_named_with_what_to_do_and_nothing_is_cried_about(tmp_path: Path, name: str):
    video = BY_NAME[name]
    video.make(tmp_path / name)
    if video.count is None:
        with pytest.raises(DataError, match=video.noted):
            diagnose(tmp_path / name)
        return
    diagnosis = diagnose(tmp_path / name)
    [clip] = diagnosis.clips
    assert clip.frames == video.count and clip.bad == []
    stream = [finding for finding in diagnosis.findings if finding.kind == "stream"]
    assert [finding.severity for finding in stream] == ["note"] * bool(video.noted)
    assert all(video.noted in finding.what for finding in stream)
    kinds = {finding.kind for finding in diagnosis.findings if finding.severity != "note"}
    repeats = {"loop"} if name == "joined.ts" else set()  # it holds one recording twice
    assert kinds == ({"no-rate"} if video.rate is None else repeats)


def test_what_a_header_says_wrongly_is_a_fault():
    assert remedy_of("its header says 50 frames/s, its times 10, which are believed") is None
    assert all(remedy_of(begin + " and so on") for begin in REMEDIES)

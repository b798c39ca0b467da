"""Train, score, evaluate and doctor read the same: recordings, frames, times, what is left out.

The whole list of inputs goes through the same comparison in `benchmarks.odd_inputs`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import odd_files
from benchmarks.accounts import Account, Recording, accounts_of, differences
from benchmarks.odd_videos import NOT_UTF8, VIDEOS
from tests.helpers.small_model import write_model

BY_NAME = {video.name: video for video in VIDEOS}
ODD = ("late.mp4", "night.mkv", "pause.mp4", "edit.mp4", "stream.mjpeg", "headless.ts", NOT_UTF8)
PICTURES = [odd_files.picture(index) for index in range(12)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "m.safetensors", normal=False)


def test_odd_recordings_in_one_folder(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    for name in (*ODD, "sound.mp4"):
        BY_NAME[name].make(folder / name)
    odd_files.break_avi(odd_files.write_video(folder / "broken.avi", PICTURES), [3, 4])
    odd_files.cut(odd_files.write_video(folder / "early.avi", PICTURES), 0.6)
    (folder / "text.mp4").write_text("this is no video")
    (folder / "notes.bin").write_bytes(bytes(range(32)))
    gap = odd_files.write_pictures(folder / "camera 2", PICTURES)
    (gap / "005.png").unlink()
    (gap / "background.png").write_bytes((gap / "004.png").read_bytes())
    odd_files.write_pictures(folder / "speck", [picture[:4, :4] for picture in PICTURES])
    (folder / "nothing here").mkdir()
    accounts = accounts_of(folder, model, tmp_path / "work")
    assert list(differences(accounts)) == []
    scored = accounts["score"]
    lengths = {
        path.name: (recording.frames, recording.last)
        for path, recording in scored.recordings.items()
    }
    for video in (BY_NAME[name] for name in ODD):
        last = pytest.approx(np.nan if video.last is None else video.last, abs=0.0006, nan_ok=True)
        assert lengths[video.name] == (video.count, last)
    lost = {
        path.name: recording.lost for path, recording in scored.recordings.items() if recording.lost
    }
    assert lost["broken.avi"] == (3, 4) and lost["camera 2"] == (5,)
    assert set(lost) == {"broken.avi", "camera 2", "early.avi"}
    assert {path.name for path in scored.refused} == {"sound.mp4", "text.mp4", "speck"}
    assert {path.name for path in scored.left_out} == {"notes.bin", "nothing here"}


@pytest.mark.parametrize("name", ["half_d1.mp4", "playlist.mp4"])
def test_a_recording_alone(tmp_path: Path, model: Path, name: str) -> None:
    BY_NAME[name].make(tmp_path / name)
    accounts = accounts_of(tmp_path / name, model, tmp_path / "work")
    assert list(differences(accounts)) == []
    assert len(accounts["train"].recordings) == int(BY_NAME[name].count is not None)


def test_whatever_differs_is_said() -> None:
    recording = Recording(40, (3,), 10.0, 3.9)
    path = Path("a.mp4")
    scored = Account({path: recording})
    for changed in (
        replace(recording, frames=41),
        replace(recording, lost=()),
        replace(recording, rate=float("nan")),
        replace(recording, last=4.0),
    ):
        [line] = differences({"score": scored, "train": Account({path: changed})})
        assert line.startswith("a.mp4: train says Recording(")
    same = replace(recording, last=float("nan"))  # training keeps no times
    assert not list(differences({"score": scored, "train": Account({path: same})}))
    for account in (
        Account({path: recording}, {Path("b")}),
        Account({path: recording}, set(), {Path("b")}),
    ):
        [line] = differences({"score": scored, "doctor": account})
        assert line.endswith("differs in doctor: ['b']")
    [line, second_line] = differences({"score": scored, "doctor": Account({}, {path})})
    assert "refused differs" in line and "0 recordings of 1" in second_line

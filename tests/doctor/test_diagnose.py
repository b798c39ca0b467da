"""The doctor: what it says of files, folders, rates, sizes and labels, and how it ends."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mpn.datasets.demo.dataset import write_demo
from mpn.doctor import diagnose as module
from mpn.doctor.diagnose import diagnose
from mpn.errors import DataError
from tests.helpers.doctoring import by_kind, only, two_splits
from tests.helpers.small_model import footage, write_film, write_footage
from tests.helpers.trees import (
    SIZE,
    TESTING,
    TRAINING,
    frames,
    scenes,
    set_avi_rate,
    ucsd,
    write_csv,
    write_frames,
    write_video,
)

# --- Nothing wrong


def test_nothing_is_found_in_sound_footage(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 6, (1220, 32, 48, 3), dtype=np.uint8)
    clip = write_film(tmp_path / "a.avi", footage(1)[0, ::2, ::2] + noise, fps=2)
    diagnosis = diagnose(clip)
    assert diagnosis.findings == [] and diagnosis.complete
    [row] = diagnosis.to_dict()["videos"]
    assert row == {
        "name": "a",
        "scene": "a",
        "split": None,
        "path": str(clip),
        "frames": 1220,
        "header_frames": 1220,
        "size": [32, 48],
        "fps": 2.0,
        "seconds": 610.0,
        "bytes": clip.stat().st_size,
        "error": None,
        "complete": True,
    }


def test_the_demo_set_has_nothing_but_few_minutes(tmp_path: Path) -> None:
    sizes = {
        "training": 1,
        "validation": 0,
        "testing": 1,
        "length": 30,
        "test_length": 30,
        "size": (64, 96),
    }
    root = write_demo(tmp_path / "demo", scenes=2, **sizes)
    # a matter of these short clips
    kinds = by_kind(diagnose(root, fps=10), but={"one-class", "one-class-videos"})
    assert list(kinds) == ["little-footage"]


# --- Files and folders


def test_a_row_a_video_with_its_split(tmp_path: Path) -> None:
    diagnosis = diagnose(frames(tmp_path / "set"))
    rows = diagnosis.to_dict()["videos"]
    assert [(row["split"], row["name"], row["frames"]) for row in rows] == [
        ("training", "01", TRAINING["1"]),
        ("training", "02", TRAINING["2"]),
        ("testing", "01", TESTING["1"]),
        ("testing", "02", TESTING["2"]),
        ("testing", "10", TESTING["10"]),
    ]
    assert all(
        row["size"] == list(SIZE) and row["fps"] is None and row["header_frames"] is None
        for row in rows
    )
    first = tmp_path / "set" / "training" / "frames" / "01"
    assert rows[0]["bytes"] == sum(file.stat().st_size for file in first.iterdir())
    assert diagnosis.to_dict()["layout"] == "frames"
    json.dumps(diagnosis.to_dict(), allow_nan=False)


def test_names_that_sort_wrongly_as_text(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write_film(tmp_path / f"{number}.avi", footage(20, seed=number))
    assert "10.avi comes before 2.avi" in only(diagnose(tmp_path), "order").what


def test_frames_that_sort_wrongly_as_text(tmp_path: Path) -> None:
    for number, frame in enumerate(footage(12), 1):
        tmp_path.joinpath("clip").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "clip" / f"f{number}.png"), frame)
    finding = only(diagnose(tmp_path), "order")
    assert (
        finding.where == "clip"
        and "f10.png comes before f2.png" in finding.what
        and finding.severity == "note"
    )


def test_numbers_of_one_width_sort_rightly(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write_film(tmp_path / f"B{number:02d}.avi", footage(20, seed=number))
    assert by_kind(diagnose(tmp_path)) == {}


def test_masks_beside_videos(tmp_path: Path) -> None:
    root = ucsd(tmp_path / "set")
    shutil.copytree(root / "Test" / "Test001", root / "Test" / "Test001_gt")
    [beside] = by_kind(diagnose(root))["masks"]
    assert beside.severity == "note" and "Test001_gt" in beside.what
    shutil.rmtree(root / "Test" / "Test001")
    [orphan] = by_kind(diagnose(root))["masks"]
    assert orphan.severity == "warning" and orphan.where == "testing/Test001_gt"


def test_what_lies_there_unused(tmp_path: Path) -> None:
    write_film(tmp_path / "a.avi", footage(20))
    (tmp_path / "b.dat").write_bytes((tmp_path / "a.avi").read_bytes())
    (tmp_path / "c").mkdir()
    (tmp_path / "notes.txt").write_text("x\n" * 2000)
    (tmp_path / "d.dat").write_bytes(b"x")
    kinds = by_kind(diagnose(tmp_path))
    assert set(kinds) == {"unused", "empty"}
    assert kinds["unused"][0].what.endswith(": b.dat") and kinds["empty"][0].what.endswith(": c")


def test_missing_odd_and_broken_frames(tmp_path: Path) -> None:
    clip = write_footage(tmp_path / "clip", footage(30))
    (clip / "007.png").unlink()
    (clip / "008.png").unlink()
    (clip / "012.png").write_bytes((clip / "012.png").read_bytes()[:100])
    cv2.imwrite(str(clip / "020.png"), np.zeros((10, 20, 3), np.uint8))
    diagnosis = diagnose(clip, fps=10)
    kinds = by_kind(diagnosis)
    # and no stand-in is called frozen
    assert set(kinds) == {"missing-frames", "bad-frames", "sizes-in-clip"}
    assert all(finding.severity == "error" for findings in kinds.values() for finding in findings)
    assert (
        "2 frames" in kinds["missing-frames"][0].what
        and "frame 7 (0.7 s)" in kinds["missing-frames"][0].what
    )
    assert "012.png" in kinds["bad-frames"][0].what and "20x10" in kinds["sizes-in-clip"][0].what
    assert diagnosis.clips[0].frames == 30


def test_clips_without_a_window(tmp_path: Path) -> None:
    for name, count in (("a", 4), ("b", 5)):
        write_footage(tmp_path / name, footage(count, seed=count))
    assert only(diagnose(tmp_path), "short").where == "a (4)"


def test_a_video_that_ends_too_early(tmp_path: Path) -> None:
    clip = write_film(tmp_path / "a.avi", footage(60))
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    diagnosis = diagnose(clip)
    finding = only(diagnosis, "cut-short")
    count = diagnosis.clips[0].frames
    assert 0 < count < 60 and finding.severity == "error"
    assert "60 frames" in finding.what and f"{count} can" in finding.what


def test_a_header_that_counts_too_few(tmp_path: Path) -> None:
    clip = write_film(tmp_path / "a.avi", footage(60))
    data = bytearray(clip.read_bytes())
    # frames, in both headers
    for at in (data.index(b"avih") + 8 + 16, data.index(b"strh") + 8 + 32):
        assert int.from_bytes(data[at : at + 4], "little") == 60
        data[at : at + 4] = (59).to_bytes(4, "little")
    clip.write_bytes(data)
    diagnosis = diagnose(clip)
    assert diagnosis.clips[0].frames == 60 and diagnosis.clips[0].header == 59
    finding = only(diagnosis, "container-count")
    assert finding.severity == "note" and "59 frames" in finding.what and "60" in finding.what


def test_absurd_and_absent_rates(tmp_path: Path) -> None:
    clip = write_film(tmp_path / "a.avi", footage(30))
    set_avi_rate(clip, 1, 500)
    assert "500" in by_kind(diagnose(clip))["odd-rate"][0].what
    assert by_kind(diagnose(clip, fps=10)) == {}
    folder = write_footage(tmp_path / "clip", footage(30))
    assert [finding.kind for finding in diagnose(folder).findings] == ["no-rate", "little-footage"]
    assert [finding.kind for finding in diagnose(folder, fps=10).findings] == ["little-footage"]


def test_rates_sizes_and_shapes_that_differ(tmp_path: Path) -> None:
    write_film(tmp_path / "yard" / "a.avi", footage(20))
    write_film(tmp_path / "yard" / "b.avi", footage(20, seed=1)[:, :, :64], fps=20)
    write_film(tmp_path / "lobby" / "a.avi", footage(20, seed=2)[:, :, :48], fps=30)
    kinds = by_kind(diagnose(tmp_path))
    # Cut differently, one camera shows different views.
    assert set(kinds) == {"mixed-sizes", "mixed-rates", "mixed-shapes", "several-cameras"}
    [size], [shape] = kinds["mixed-sizes"], kinds["mixed-shapes"]
    assert size.where == "scene yard" and "96x64" in size.what and "64x64" in size.what
    assert "48x64 (lobby)" in shape.what and "96x64 (yard_a)" in shape.what
    assert {(finding.severity, finding.where) for finding in kinds["mixed-rates"]} == {
        ("warning", "scene yard"),
        ("note", str(tmp_path)),
    }


def test_a_split_is_missing(tmp_path: Path) -> None:
    root = frames(tmp_path / "set")
    shutil.rmtree(root / "training")
    assert "no-training" in by_kind(diagnose(root))
    root = frames(tmp_path / "other")
    shutil.rmtree(root / "testing")
    assert "no-testing" in by_kind(diagnose(root))


def test_what_cannot_be_opened_does_not_stop_the_others(tmp_path: Path) -> None:
    write_film(tmp_path / "a.avi", footage(20))
    (tmp_path / "b.avi").write_bytes(b"no video")
    diagnosis = diagnose(tmp_path)
    finding = only(diagnosis, "unreadable")
    assert finding.where == "b" and "text" in finding.what
    assert [clip.frames for clip in diagnosis.clips] == [20, 0]
    with pytest.raises(DataError, match="b.avi: is no video"):
        diagnose(tmp_path / "b.avi")
    (tmp_path / "a.avi").write_bytes(b"")
    with pytest.raises(DataError, match="none of its 2 videos can be read, the first: .*empty"):
        diagnose(tmp_path)


@pytest.mark.parametrize("split", [True, False])
def test_footage_is_called_normal_where_somebody_said_so(tmp_path: Path, split: bool) -> None:
    root = tmp_path / "set" / "training" / "frames" if split else tmp_path / "set"
    for camera in "ab":
        write_footage(root / camera, footage(20))
    diagnosis = diagnose(tmp_path / "set", fps=10)
    message = {finding.kind: finding.what for finding in diagnosis.findings}["little-footage"]
    assert message == ("0.1 minutes of normal footage" if split else "0.1 minutes of footage")
    described = diagnosis.tree.describe()
    assert ("2 training and 0 test videos" if split else "plain layout, 2 videos, ") in described


def test_remedies_name_options_where_there_are_any(tmp_path: Path) -> None:
    """`mpn score` goes on by itself, and has no --skip-bad."""
    write_footage(tmp_path / "a", footage(20))
    (tmp_path / "a" / "012.png").write_bytes(b"")
    (tmp_path / "b.avi").write_bytes(b"no video")
    kinds = by_kind(diagnose(tmp_path))
    for kind, pronoun in (("unreadable", "it"), ("bad-frames", "them")):
        assert (
            f"mpn score goes on without {pronoun}; train, adapt and evaluate do with --skip-bad"
            in kinds[kind][0].remedy
        )


class Terminal(io.StringIO):
    """What bars are shown on."""

    def isatty(self) -> bool:
        return True


def test_its_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    diagnose(write_footage(tmp_path / "a", footage(20)))
    assert "1/1 a: 0 frames [" in terminal.getvalue()


# --- Labels


def test_labels_that_fit_are_described(tmp_path: Path) -> None:
    root = two_splits(tmp_path / "set", [footage(20)], [footage(20, seed=1), footage(20, seed=2)])
    diagnosis = diagnose(root)
    assert (
        diagnosis.to_dict()["labels"]["anomalous"] == 3
        and diagnosis.to_dict()["labels"]["frames"] == 40
    )
    finding = only(diagnosis, "one-class-videos")
    assert finding.severity == "note" and finding.what.endswith(": 02")


def test_labels_that_do_not_fit_or_are_missing(tmp_path: Path) -> None:
    root = two_splits(tmp_path / "set", [footage(20)], [footage(20, seed=1)])
    (root / "testing" / "labels.csv").unlink()
    assert "no labels found" in only(diagnose(root), "labels").what
    np.save(root / "frame_labels_set.npy", np.arange(21) > 10)
    finding = only(diagnose(root), "labels")
    assert (
        finding.severity == "error" and "21 labels" in finding.what and "20 frames" in finding.what
    )
    np.save(tmp_path / "right.npy", np.arange(20) > 10)
    diagnosis = diagnose(root, labels=tmp_path / "right.npy")
    assert by_kind(diagnosis) == {} and diagnosis.labels.anomalous == 9


def test_labels_of_one_class(tmp_path: Path) -> None:
    root = two_splits(tmp_path / "set", [footage(20)], [footage(20, seed=1)])
    write_csv(root / "testing" / "labels.csv", [])
    assert "all 20 test frames are labelled normal" in only(diagnose(root), "one-class").what


def test_labels_that_contradict(tmp_path: Path) -> None:
    root = two_splits(tmp_path / "set", [footage(20)], [footage(20, seed=1)])
    np.save(root / "frame_labels_set.npy", np.arange(20) > 10)
    assert "contradicts" in only(diagnose(root), "labels-differ").what


def test_a_labelled_folder_of_recordings_is_trained_on_too(tmp_path: Path) -> None:
    root = scenes(tmp_path / "set")
    write_csv(root / "labels.csv", ["yard/1.avi,2,5"])
    diagnosis = diagnose(root)
    assert "same-videos" in by_kind(diagnosis)
    assert len(diagnosis.clips) == 5 and {clip.split for clip in diagnosis.clips} == {"both"}


def test_labels_wait_for_videos_that_can_be_read(tmp_path: Path) -> None:
    root = two_splits(tmp_path / "set", [footage(20)], [footage(20, seed=1), footage(20, seed=2)])
    for file in (root / "testing" / "frames" / "02").iterdir():
        file.write_bytes(b"")
    kinds = by_kind(diagnose(root))
    assert set(kinds) == {"unreadable", "labels"} and "testing/02" in kinds["labels"][0].what


# --- How it ends


def test_errors_come_first(tmp_path: Path) -> None:
    root = two_splits(tmp_path / "set", [footage(20)], [footage(4)])
    severities = [finding.severity for finding in diagnose(root).findings]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert len(set(severities)) == 3


def test_interrupted_it_says_what_it_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = footage(20)
    film[5:8] = 0
    write_footage(tmp_path / "a", film)
    write_footage(tmp_path / "b", footage(20, seed=1))
    write_footage(tmp_path / "c", footage(20, seed=2))
    inside, count = module.read_clip, 0

    def read(clip, **options) -> None:
        def step() -> None:
            nonlocal count
            count += 1
            if count == 29:
                raise KeyboardInterrupt

        inside(clip, **(options | {"step": step}))

    monkeypatch.setattr(module, "read_clip", read)
    diagnosis = diagnose(tmp_path)
    assert not diagnosis.complete
    assert [(clip.frames, clip.complete) for clip in diagnosis.clips] == [
        (20, True),
        (9, False),
        (0, False),
    ]
    assert set(by_kind(diagnosis)) == {"black"}
    assert diagnosis.to_dict()["complete"] is False


def test_long_clips_take_few_bytes_a_frame(tmp_path: Path) -> None:
    clip = diagnose(write_video(tmp_path / "a.avi", 60)).clips[0]
    stored_bytes = sum(
        getattr(clip, name).nbytes for name in ("prints", "level", "flat", "likeness", "good")
    )
    assert stored_bytes <= 20 * clip.frames


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        diagnose(tmp_path / "absent")
    with pytest.raises(DataError, match="is empty"):
        diagnose(tmp_path)
    with pytest.raises(DataError, match="no data set found"):
        diagnose(write_frames(tmp_path / "clip", 5).parent, layout="ucsd")

from __future__ import annotations

import struct
import tracemalloc
from fractions import Fraction

import cv2
import numpy as np
import pytest

from mpn.errors import DataError, FrameError
from mpn.video.sources import fit_frame, open_source, read_image
from tests.helpers import trees

INDICES = list(range(8))


def indices(source, **kwargs):
    return [trees.index_of(frame) for frame in source.frames(**kwargs)]


# --- Pictures


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".jpg", ".JPG", ".TIFF"])
def test_a_grey_picture_is_read_as_bgr(tmp_path, suffix):
    picture = np.full((16, 24), 77, np.uint8)
    cv2.imwrite(str(tmp_path / f"x{suffix}"), picture)
    read = read_image(tmp_path / f"x{suffix}")
    assert read.shape == (16, 24, 3) and read.dtype == np.uint8
    assert np.array_equal(read, np.repeat(picture[:, :, None], 3, 2))


def test_colours_are_bgr(tmp_path):
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[..., 0] = 200  # blue
    cv2.imwrite(str(tmp_path / "blue.png"), picture)
    assert read_image(tmp_path / "blue.png")[0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_picture_is_refused(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = cv2.imencode(suffix, noise)[1].tobytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FrameError, match=rf"cut\{suffix}: is (cut short|no picture)"):
        read_image(path)


def test_a_thumbnail_does_not_hide_that_a_jpeg_is_truncated(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    inner = cv2.imencode(".jpg", noise[:8, :8])[1].tobytes()
    segment = b"\xff\xe5" + (len(inner) + 2).to_bytes(2, "big") + inner
    whole = data[:2] + segment + data[2:]
    (tmp_path / "whole.jpg").write_bytes(whole)
    assert read_image(tmp_path / "whole.jpg").shape == (64, 64, 3)
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(FrameError, match="cut short"):
        read_image(tmp_path / "cut.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_bytes_after_the_end_do_no_harm(tmp_path, suffix):
    data = cv2.imencode(suffix, trees.frame(5))[1].tobytes()
    (tmp_path / f"x{suffix}").write_bytes(data + bytes(200))
    assert trees.index_of(read_image(tmp_path / f"x{suffix}")) == 5


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(FrameError, match=r"empty\.jpg: is empty \(0 bytes\)"):
        read_image(tmp_path / "empty.jpg")
    with pytest.raises(FrameError, match=r"text\.jpg: is no picture"):
        read_image(tmp_path / "text.jpg")
    with pytest.raises(FrameError, match=r"none\.jpg: cannot be opened \(No such file"):
        read_image(tmp_path / "none.jpg")


def ramp():
    return np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(16, 0)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm", ".ppm"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, suffix):
    wide = ramp() if suffix == ".pgm" else np.dstack([ramp(), ramp()[:, ::-1], ramp() // 2])
    assert cv2.imwrite(str(tmp_path / f"x{suffix}"), wide)
    read = read_image(tmp_path / f"x{suffix}")
    assert read.dtype == np.uint8 and read.shape == (16, 64, 3)
    assert np.abs(read - wide.reshape(16, 64, -1) / 257).max() < 1


@pytest.mark.parametrize("bits", [10, 12])
def test_packed_bits_of_a_tiff_are_scaled(tmp_path, bits):
    values = ramp() >> (16 - bits)
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in values]
    # 64 values fill whole bytes
    data = b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)
    tags = [
        (256, 64),
        (257, 16),
        (258, bits),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 16),
        (279, len(data)),
    ]
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack(">H", len(tags)) + entries + bytes(4)
    (tmp_path / "x.tif").write_bytes(b"MM\0*" + struct.pack(">I", 8 + len(data)) + data + directory)
    assert np.abs(read_image(tmp_path / "x.tif") - ramp()[:, :, None] / 257).max() < 1


@pytest.mark.parametrize("top", [100, 1023, 4095])
def test_a_portable_map_says_what_its_white_is(tmp_path, top):
    values = (ramp().astype(float) / 65535 * top).round()
    kind = ">u2" if top > 255 else "u1"
    (tmp_path / "x.pgm").write_bytes(
        b"P5\n# made\n64 16\n%d\n" % top + values.astype(kind).tobytes()
    )
    assert np.abs(read_image(tmp_path / "x.pgm") - values[:, :, None] / top * 255).max() <= 0.5


def test_transparency_is_left_out(tmp_path):
    colours = np.random.default_rng(4).integers(0, 256, (16, 24, 4), dtype=np.uint8)
    for suffix, factor in ((".png", 1), (".tif", 1), (".webp", 1), (".png", 257)):
        wide = colours.astype(np.uint16) * factor if factor > 1 else colours.copy()
        # it does not keep what cannot be seen
        wide[..., 3] = wide[..., 3] if suffix != ".webp" else 255
        options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
        cv2.imwrite(str(tmp_path / f"x{suffix}"), wide, options)
        assert np.array_equal(read_image(tmp_path / f"x{suffix}"), colours[..., :3]), (
            suffix,
            factor,
        )


@pytest.mark.parametrize(
    "mode, suffix, tolerance",
    [
        ("P", ".png", 0),
        ("P", ".tif", 0),
        ("P", ".bmp", 0),
        ("1", ".png", 0),
        ("1", ".tif", 0),
        ("LA", ".png", 0),
        ("CMYK", ".jpg", 4),
        ("CMYK", ".tif", 1),
    ],
)
def test_other_kinds_of_colour(tmp_path, mode, suffix, tolerance):
    pillow = pytest.importorskip("PIL.Image")
    squares = np.kron([[0, 90, 250], [255, 120, 30]], np.ones((16, 16))).astype(np.uint8)
    colours = np.dstack([squares, squares[::-1], squares[:, ::-1]])
    made = pillow.fromarray(colours)
    made = made.quantize(16) if mode == "P" else made.convert(mode)
    made.save(tmp_path / f"x{suffix}", **({"quality": 95} if suffix == ".jpg" else {}))
    expected = np.asarray(made.convert("RGB"))[..., ::-1].astype(int)
    assert np.abs(read_image(tmp_path / f"x{suffix}") - expected).max() <= tolerance


def test_a_photograph_is_turned_as_it_says(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    exif = pillow.Exif()
    exif[0x112] = 6  # a quarter turn clockwise puts it upright
    lying = np.zeros((32, 64, 3), np.uint8)
    lying[:16, :16] = 255
    pillow.fromarray(lying).save(tmp_path / "x.jpg", exif=exif, quality=95)
    read = read_image(tmp_path / "x.jpg")
    assert read.shape == (64, 32, 3) and np.abs(read.astype(int) - np.rot90(lying, -1)).max() < 10


def test_ten_bits_in_sixteen_are_noted(tmp_path):
    for name, values in (("dark", ramp() >> 6), ("wide", ramp()), ("black", ramp() * 0)):
        (tmp_path / name).mkdir()
        for index in range(2):
            cv2.imwrite(str(tmp_path / name / f"{index}.png"), values)
    assert "16 bits but 0.png holds no value above 1,023" in open_source(tmp_path / "dark").notes[0]
    assert (
        open_source(tmp_path / "wide").notes == [] and open_source(tmp_path / "black").notes == []
    )


# --- Fitting


def test_grey_weights_are_those_of_bt601():
    frame = np.zeros((1, 3, 3), np.uint8)
    frame[0, 0, 0] = frame[0, 1, 1] = frame[0, 2, 2] = 255  # blue, green, red
    # 0.114, 0.587, 0.299 of 255
    assert fit_frame(frame, grey=True)[0, :, 0].tolist() == [29, 150, 76]


@pytest.mark.parametrize("channels", [1, 3])
def test_shrinking_by_two_averages_four_pixels(channels):
    frame = np.random.default_rng(1).integers(0, 255, (8, 12, channels), dtype=np.uint8)
    small = fit_frame(frame, (4, 6))
    mean = frame.reshape(4, 2, 6, 2, channels).astype(float).mean((1, 3))
    assert small.shape == (4, 6, channels) and small.dtype == np.uint8
    assert np.abs(small - mean).max() <= 0.5


def test_a_fitting_frame_is_left_alone():
    frame = np.random.default_rng(1).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    assert np.array_equal(fit_frame(frame, (8, 12)), frame)


# --- Frame folders


@pytest.mark.parametrize(
    "options",
    [
        {"start": 0},
        {"start": 1},
        {"start": 98, "digits": 1},
        {"prefix": "frame_"},
        {"suffix": ".jpg"},
        {"suffix": ".tif"},
        {"start": 0, "step": 5},
        {"start": 8, "digits": 1},
    ],
)
def test_a_folder_gives_its_frames_in_order(tmp_path, options):
    source = open_source(trees.write_frames(tmp_path / "clip", 8, **options))
    assert indices(source) == INDICES and source.length == 8 and source.bad == []
    assert source.size == trees.SIZE and source.name == "clip" and source.fps is None
    assert indices(source) == INDICES  # again from the start


def test_frames_are_fitted(tmp_path):
    source = open_source(trees.write_frames(tmp_path / "clip", 3), fps=12.5)
    shapes = {frame.shape for frame in source.frames(size=(10, 20), grey=True)}
    assert shapes == {(10, 20, 1)} and source.fps == Fraction(25, 2)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_random_access_is_the_sequence(tmp_path, skip_bad):
    folder = trees.write_frames(tmp_path / "clip", 9)
    if skip_bad:
        for name in ("000.png", "004.png", "005.png"):
            (folder / name).write_bytes(b"")
    source = open_source(folder, skip_bad=skip_bad)
    sequence = list(source.frames(size=(20, 30), grey=True))
    for index in np.random.default_rng(0).permutation(9):
        assert np.array_equal(source.read(int(index), size=(20, 30), grey=True), sequence[index])
    with pytest.raises(IndexError):
        source.read(9)
    with pytest.raises(IndexError):
        source.read(-1)


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"every": 3}, [0, 3, 6]),
        ({"start": 0.4, "fps": 10}, [4, 5, 6, 7, 8]),
        ({"start": 0.1, "end": 0.8, "fps": 10, "every": 2}, [1, 3, 5, 7]),
    ],
)
def test_part_of_a_folder(tmp_path, options, expected):
    source = open_source(trees.write_frames(tmp_path / "clip", 9), **options)
    found = [(source.position, trees.index_of(frame)) for frame in source.frames()]
    assert [number for _, number in found] == expected == [index for (index, _), _ in found]
    assert [trees.index_of(source.read(k)) for k in range(source.length)] == expected
    if "fps" in options:
        assert [time for (_, time), _ in found] == [index / 10 for index in expected]
        assert source.fps == Fraction(10, options.get("every", 1))


def test_only_the_part_that_is_shown_need_be_whole(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 9)
    (folder / "001.png").unlink()
    for name in ("000.png", "005.png"):
        (folder / name).write_bytes(b"")
    assert indices(open_source(folder, fps=10, start=0.2, end=0.5)) == [2, 3, 4]
    assert indices(open_source(folder, fps=1, start=3, every=3)) == [3, 6]
    source = open_source(folder, fps=10, start=0.4, skip_bad=True)
    assert indices(source) == [4, 4, 6, 7, 8] and [bad.index for bad in source.bad] == [5]
    assert indices(open_source(folder, fps=10, start=0.5, skip_bad=True)) == [6, 6, 7, 8]
    with pytest.raises(FrameError, match=r"frame 1 \(001\.png\) is missing"):
        open_source(folder, fps=10, start=0.1)


def test_part_of_a_folder_takes_a_rate_and_a_start_within_it(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 9)
    with pytest.raises(
        DataError,
        match=r"clip: its frame rate is unknown, so start and end "
        r".*--fps",
    ):
        open_source(folder, start=1)
    with pytest.raises(DataError, match=r"clip: has no frame from 3 s on, it is 0\.9 s long"):
        open_source(folder, fps=10, start=3)
    source = open_source(folder, every=2)
    assert [source.position[0] for _ in source.frames()] == [0, 2, 4, 6, 8] and np.isnan(
        source.position[1]
    )
    source.fps = Fraction(5)  # of what is given, so 10 for the folder
    assert source.position == (8, 0.8)


def test_a_source_is_called_by_the_name_that_the_user_sees(tmp_path, monkeypatch):
    folder = trees.write_frames(tmp_path / "clip.v1.2", 2)
    (tmp_path / "01").symlink_to(folder)
    assert open_source(tmp_path / "01").name == "01" and open_source(folder).name == "clip.v1.2"
    monkeypatch.chdir(folder)
    assert open_source(".").name == "clip.v1.2"


def test_hidden_and_foreign_files_are_ignored(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 8)
    for name in ("._000.png", ".DS_Store", "Thumbs.db", "notes.txt", "labels.csv", ".hidden.jpg"):
        (folder / name).write_bytes(b"x")
    (folder / "sub.png").mkdir()
    assert indices(open_source(folder)) == INDICES


@pytest.mark.parametrize("content", ["zero", "half", "text"])
def test_a_bad_frame_in_the_middle_stops_or_is_replaced(tmp_path, content):
    folder = trees.write_frames(tmp_path / "clip", 8, suffix=".jpg")
    data = (folder / "003.jpg").read_bytes()
    bad = {"zero": b"", "half": data[: len(data) // 2], "text": b"hello"}[content]
    (folder / "003.jpg").write_bytes(bad)
    with pytest.raises(FrameError, match=r"clip: frame 3 \(003\.jpg\) is .*--skip-bad"):
        list(open_source(folder).frames())
    source = open_source(folder, skip_bad=True)
    assert indices(source) == [0, 1, 2, 2, 4, 5, 6, 7]
    assert indices(source) == [0, 1, 2, 2, 4, 5, 6, 7]  # not listed twice
    assert [(bad.index, bad.name) for bad in source.bad] == [(3, "003.jpg")]


def test_bad_frames_at_the_start_are_replaced_by_the_one_after(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 5)
    for name in ("000.png", "001.png"):
        (folder / name).write_bytes(b"")
    with pytest.raises(FrameError, match=r"frame 0 \(000\.png\) is empty \(0 bytes\)"):
        open_source(folder)
    source = open_source(folder, skip_bad=True)
    assert indices(source) == [2, 2, 2, 3, 4] and [bad.index for bad in source.bad] == [0, 1]


def test_a_frame_of_another_size_stops_or_is_replaced(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 6)
    cv2.imwrite(str(folder / "004.png"), trees.frame(4, (24, 32)))
    with pytest.raises(
        FrameError,
        match=r"frame 4 \(004\.png\) is 32x24 where the first frame is "
        r"64x48",
    ):
        list(open_source(folder).frames(size=(24, 32)))
    source = open_source(folder, skip_bad=True)
    assert indices(source) == [0, 1, 2, 3, 3, 5] and source.bad[0].index == 4


def test_a_folder_of_nothing_but_bad_frames(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 3)
    for file in folder.iterdir():
        file.write_bytes(b"")
    with pytest.raises(FrameError, match=r"none of its 3 frames can be read.*000\.png\) is empty"):
        open_source(folder, skip_bad=True)


# --- Video files


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_a_video_file_gives_its_frames_in_order(tmp_path, suffix):
    source = open_source(trees.write_video(tmp_path / f"clip{suffix}", 8, fps=12.5))
    assert indices(source) == INDICES and indices(source) == INDICES
    assert source.fps == Fraction(25, 2) and source.size == trees.SIZE and source.name == "clip"
    assert source.length == 8 and source.bad == []
    assert {frame.shape for frame in source.frames(size=(8, 16), grey=True)} == {(8, 16, 1)}


def test_ntsc_rate_is_exact(tmp_path):
    path = trees.write_video(tmp_path / "clip.avi", 4)
    trees.set_avi_rate(path, 1001, 30000)
    assert open_source(path).fps == Fraction(30000, 1001)
    assert open_source(path, fps=15).fps == 15


def test_an_absurd_rate_given_is_refused(tmp_path):
    with pytest.raises(DataError, match="frame rate 0 given"):
        open_source(trees.write_video(tmp_path / "clip.avi", 5), fps=0)


def test_a_text_file_called_mp4(tmp_path, capfd):
    (tmp_path / "clip.mp4").write_text("this is not a video\n" * 50)
    with pytest.raises(
        FrameError,
        match=r"clip\.mp4: is no video that OpenCV can decode \(1,000 "
        r"bytes of text\)",
    ):
        open_source(tmp_path / "clip.mp4")
    assert capfd.readouterr().err == ""  # nothing of FFmpeg's own


def test_a_digit_in_its_name_does_not_make_it_a_pattern_of_pictures(tmp_path):
    for file in trees.write_frames(tmp_path / "clips", 3, prefix="clip").iterdir():
        # OpenCV's pattern reader would play all three as one video
        file.rename(file.with_suffix(".avi"))
    (tmp_path / "clips" / "clip000.avi").write_text("x")
    with pytest.raises(FrameError, match="is no video"):
        open_source(tmp_path / "clips" / "clip000.avi")


def test_empty_files_and_cut_headers(tmp_path):
    (tmp_path / "zero.mp4").touch()
    with pytest.raises(FrameError, match=r"zero\.mp4: is empty \(0 bytes\)"):
        open_source(tmp_path / "zero.mp4")
    path = trees.write_video(tmp_path / "cut.mp4", 20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # its index is at the end
    with pytest.raises(FrameError, match=r"cut\.mp4: is no video.*cut short"):
        open_source(path)


def test_damage_in_the_middle_of_a_video_does_not_pass(tmp_path):
    path = trees.write_video(tmp_path / "damaged.avi", 40)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    with pytest.raises(FrameError, match="truncated or damaged"):
        list(open_source(path).frames())


def test_a_single_picture_is_no_video(tmp_path):
    trees.write_frames(tmp_path, 1)
    with pytest.raises(FrameError, match="is a single picture"):
        open_source(tmp_path / "000.png")


def test_memory_does_not_grow_with_the_length(tmp_path):
    peaks = []
    for count in (10, 40):
        path = trees.write_video(tmp_path / f"{count}.avi", count, size=(240, 320))
        source = open_source(path)
        tracemalloc.start()
        for _ in source.frames():
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    frame = 240 * 320 * 3
    assert peaks[0] >= frame / 2  # numpy's frames are seen by tracemalloc
    assert peaks[1] < peaks[0] + frame / 2

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from mpn.errors import FrameError
from mpn.video.images import fit_frame, read_image
from tests.helpers import trees

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
    picture = pillow.fromarray(colours)
    picture = picture.quantize(16) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / f"x{suffix}", **({"quality": 95} if suffix == ".jpg" else {}))
    expected = np.asarray(picture.convert("RGB"))[..., ::-1].astype(int)
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


@pytest.mark.parametrize("name, flag", [("area", cv2.INTER_AREA), ("linear", cv2.INTER_LINEAR)])
def test_frames_are_resized_as_asked(name, flag):
    frame = np.random.default_rng(0).integers(0, 256, (97, 133, 3), dtype=np.uint8)
    expected = cv2.resize(frame, (48, 32), interpolation=flag)
    assert np.array_equal(fit_frame(frame, (32, 48), interpolation=name), expected)

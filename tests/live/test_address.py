"""What addresses are of, and that their secrets are not shown."""

from __future__ import annotations

import pytest

from mpn.live.address import check_address, hidden, is_device, is_file, without_secrets


@pytest.mark.parametrize(
    "url, shown",
    [
        ("rtsp://viewer:pass@10.0.0.2:554/s1", "rtsp://10.0.0.2:554/s1"),
        ("rtsp://10.0.0.2/s1?token=abc#x", "rtsp://10.0.0.2/s1"),
        ("http://u:p@ss/w@h/video", "http://h/video"),
        ("rtsp://u:p@ss@h/video", "rtsp://h/video"),
        ("recordings/a@b.mp4", "recordings/a@b.mp4"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_without_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_secrets_are_taken_out_of_errors() -> None:
    url = "rtsp://viewer:hunter22@10.0.0.2/s1"
    text = f"cannot open {url}: hunter22 is wrong for viewer; rtsp://viewer:hunter22@10.0.0.2/"
    assert "hunter22" not in hidden(text, url) and "viewer" not in hidden(text, url)
    assert "10.0.0.2" in hidden(text, url)


@pytest.mark.parametrize("url", ["rtsp://h/x", "https://h/x.m3u8", "/dev/video1", "a"])
def test_what_can_be_opened(url: str) -> None:
    assert check_address(url) == url
    assert is_device(url) == url.startswith("/dev") and is_file(url) == (url == "a")


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "a\0b",
        "rtsp://h/a\0b",
        "file:///etc/passwd",
        "rtsp://",
        "http://:8/x",
        "lobby.camera.safetensors",
    ],
)
def test_what_cannot(url: str) -> None:
    with pytest.raises(ValueError):
        check_address(url)

"""Addresses of cameras: what can be opened, and how they are named without their secrets."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

# What is opened over the network; rtsps and https are the same, encrypted.
NETWORK = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https")
DEVICE = re.compile(r"/dev/video\d+")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
CREDENTIALS = re.compile(r"://[^/\s@]*@")


def check_address(url: str) -> str:
    """Check that an address is one that can be opened: what it holds is never part of an error.

    FFmpeg knows protocols that read other files, or run over anything (concat:, pipe:, subfile:):
    they are no cameras.

    Args:
        url: of the camera.

    Returns:
        The address.

    Raises:
        ValueError: it is none, or of another protocol.
    """
    if "\0" in url:
        raise ValueError("holds a NUL character, which no address can; delete it")
    scheme = SCHEME.match(url)
    if scheme is None:
        if not url.strip():
            raise ValueError("is empty; give rtsp://..., http://..., /dev/video0 or a file")
        if url.endswith(".safetensors"):
            raise ValueError(
                "is a model or a camera file, no camera; give the camera's address, and the file "
                "in a config, as its camera_file"
            )
        return url
    if scheme[1].lower() not in NETWORK:
        raise ValueError(f"protocol {scheme[1]!r}; one of {', '.join(NETWORK)}, or a path")
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_host = False
    if not has_host:
        raise ValueError("has no host, or no port that can be; give rtsp://HOST[:PORT]/PATH")
    return url


def is_file(url: str) -> bool:
    """Say whether an address is that of a file, which is played as a camera.

    Args:
        url: of the camera.
    """
    return SCHEME.match(url) is None and not is_device(url)


def is_device(url: str) -> bool:
    """Say whether an address is that of a camera of this machine.

    Args:
        url: of the camera.
    """
    return DEVICE.fullmatch(url) is not None


def without_secrets(url: str) -> str:
    """Return an address as it may be shown: without user, password, and what follows a ?.

    Args:
        url: of the camera.
    """
    if SCHEME.match(url) is None:
        return url
    shown = CREDENTIALS.sub("://", url).split("?")[0].split("#")[0]
    # A password may hold @ and / that are not escaped: nothing before the last @ is shown.
    scheme, _, rest = shown.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}"


def hidden(text: str, url: str) -> str:
    """Take the secrets of an address out of a text, such as an error of FFmpeg.

    Args:
        text: to be shown.
        url: of the camera.
    """
    text = text.replace(url, without_secrets(url))
    if SCHEME.match(url):
        before = url.partition("://")[2].rpartition("@")[0]
        for secret in (before, *before.split(":", 1)):
            if len(secret) > 2:
                text = text.replace(secret, "***")
    return CREDENTIALS.sub("://", text)


def exists(url: str) -> bool:
    """Say whether the file of an address is there; addresses of other kinds are taken to be.

    Args:
        url: of the camera.
    """
    return not is_file(url) or Path(url).exists()

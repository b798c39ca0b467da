"""Streams of numbered pictures written as video files, and what is read of them."""

from __future__ import annotations

import pytest

from benchmarks import odd_files
from mpn.video.sources import open_source
from tests.helpers import trees

COUNT = 40
B_FRAMES = {"bf": "2"}


def pictures(count=COUNT, size=trees.SIZE):
    return [trees.frame(index, size) for index in range(count)]


def stream(path, count=COUNT, **options):
    return odd_files.write_stream(path, pictures(count), **options)


def shown(source):
    """(index, time, the number that the picture shows) of every frame."""
    return [(*source.position, trees.index_of(frame)) for frame in source.frames()]


def whole(path, count=COUNT):
    """Say whether a file gives its frames, each at its time, and nothing is said against it."""
    source = open_source(path)
    frames = shown(source)
    times = [time for _, time, _ in frames]
    return (
        [(index, number) for index, _, number in frames] == [(k, k) for k in range(count)]
        and times == pytest.approx([k / 10 for k in range(count)])
        and (source.length, source.fps, source.bad, source.notes) == (count, 10, [], [])
    )

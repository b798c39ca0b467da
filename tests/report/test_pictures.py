"""What the pictures of the insides show, read back from the pixels."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mpn.report.model import EventRow, Picture
from mpn.report.pictures import choose_rows, pictures_of
from mpn.scoring.inspection import Activations

H, W, M = 32, 48, 3
HOT = (4, 9)  # of the unit's 16 x 24 positions


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=0)


def even(count: int, height: int = 16, width: int = 24) -> np.ndarray:
    return np.full((count, height, width), 1 / (height * width), np.float32)


@pytest.fixture
def activations() -> Activations:
    """Two halves with queries of their own, which the prototypes explain to the left and not to the
    right."""
    rng = np.random.default_rng(2)
    target = rng.integers(90, 110, (H, W, 1)).astype(np.uint8)
    halves = np.where(np.arange(24) < 12, 1.0, -1.0)
    query = np.zeros((8, 16, 24), np.float32)
    query[0], query[1] = halves, 1
    normalcy = query.copy()
    normalcy[:, :, 12:] = 0
    normalcy[5, :, 12:] = 1
    query, normalcy = unit(query + rng.normal(0, 0.01, query.shape)), unit(normalcy)
    attention = even(M)
    attention[1] = 0
    attention[1][HOT] = 1
    assignment = np.full((M, 16, 24), 1 / M, np.float32)
    error = np.zeros((H, W), np.float32)
    error[20:24, 30:34] = 0.2
    return Activations(
        target,
        target,
        error,
        rng.normal(size=(32, 2, 3)).astype(np.float32),
        query,
        normalcy,
        query + normalcy,
        attention,
        assignment,
        np.eye(M, dtype=np.float32) * 2 - 1,
        np.zeros((16, 24), np.float32),
    )


def pixels(picture: Picture) -> np.ndarray:
    """Its pixels, int (H, W, 3), BGR."""
    found = cv2.imdecode(np.frombuffer(picture.png, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return found.astype(int)


def shown(activations: Activations) -> dict[str, np.ndarray]:
    return {picture.title: pixels(picture) for picture in pictures_of(activations)}


def place(picture: np.ndarray, row: int, column: int, of: tuple[int, int]) -> np.ndarray:
    """The mean colour of a position among `of` (rows, columns)."""
    height, width = picture.shape[0] // of[0], picture.shape[1] // of[1]
    return picture[row * height : (row + 1) * height, column * width : (column + 1) * width].mean(
        axis=(0, 1)
    )


def test_every_picture_has_a_name_and_a_sentence_and_is_small(activations: Activations) -> None:
    pictures = pictures_of(activations)
    titles = [picture.title for picture in pictures]
    assert len(set(titles)) == len(titles) == 4 + 6 + 2 * M + 1
    for picture in pictures:
        assert (
            picture.caption.endswith(".")
            and "\n" not in picture.caption
            and "nan" not in picture.caption
        )
        assert len(picture.png) < 40_000
        if picture.title != "Prototypes compared":
            assert pixels(picture).shape == (128, 192, 3)  # four times, to be 192 wide


def test_the_frame_is_the_frame(activations: Activations) -> None:
    picture = shown(activations)["The frame"]
    assert np.array_equal(picture[..., 0], picture[..., 2])
    assert place(picture, 5, 7, (8, 8)) == pytest.approx(
        activations.target[20:24, 42:48].mean(), abs=1.5
    )
    colours = np.zeros((64, 200, 3), np.uint8)
    colours[:, :100] = (200, 10, 60)
    picture = shown(replace(activations, target=colours, prediction=colours[::-1]))["The frame"]
    assert picture.shape == (64, 200, 3)  # wide enough: left alone
    assert picture[30, 40].tolist() == [200, 10, 60] and picture[30, 160].tolist() == [0, 0, 0]


def test_a_large_frame_is_made_smaller(activations: Activations) -> None:
    large = np.zeros((480, 768, 3), np.uint8)
    sizes = {
        picture.shape
        for title, picture in shown(replace(activations, target=large, prediction=large)).items()
        if title != "Prototypes compared"
    }
    assert sizes == {(240, 384, 3)}


def test_the_error_is_bright_where_frame_and_prediction_differ(activations: Activations) -> None:
    picture = shown(activations)["The error"].sum(axis=2)
    bright = np.argwhere(picture > 200)
    assert bright.min(axis=0).tolist() == [80, 120] and bright.max(axis=0).tolist() == [95, 135]
    assert picture[:80].max() < 30


def test_attention_is_bright_where_it_is_and_dim_where_it_is_even(activations: Activations) -> None:
    pictures = shown(activations)
    even_one, sharp = (
        pictures["Prototype 1: where it looks"],
        pictures["Prototype 2: where it looks"],
    )
    assert place(sharp, *HOT, (16, 24)).sum() > 550
    elsewhere = place(sharp, 12, 3, (16, 24))
    assert elsewhere.max() - elsewhere.min() < 1  # the grey frame
    assert elsewhere.max() < activations.target.max() * 0.5  # dimmed
    assert even_one.sum(axis=2).max() < 400
    captions = {picture.title: picture.caption for picture in pictures_of(activations)}
    assert "384 times" in captions["Prototype 2: where it looks"]
    assert " 1 times" in captions["Prototype 1: where it looks"]
    assert "33% of the picture" in captions["Prototype 3: where it is used"]


def test_encodings_that_are_alike_have_one_colour(activations: Activations) -> None:
    pictures = shown(activations)
    query, normalcy, both = (
        pictures[f"{name} encoding"] for name in ("Query", "Normalcy", "Aggregation")
    )
    left, right = (slice(20, 100), slice(10, 90)), (slice(20, 100), slice(110, 180))
    assert np.abs(query[left] - normalcy[left]).mean() < 12  # the same but for noise
    assert np.abs(query[left] - both[left]).mean() < 12
    assert np.abs(query[right] - normalcy[right]).max(axis=2).mean() > 60
    assert np.abs(query[left].mean((0, 1)) - query[right].mean((0, 1))).max() > 60
    between = (query[right].mean((0, 1)) + normalcy[right].mean((0, 1))) / 2
    assert np.abs(both[right].mean((0, 1)) - between).max() < 12


def test_strength_is_where_query_and_normalcy_agree(activations: Activations) -> None:
    picture = shown(activations)["Aggregation encoding: strength"].sum(axis=2)
    assert picture[:, :90].min() > picture[:, 102:].max() + 200


def test_what_is_the_same_everywhere_can_be_drawn(activations: Activations) -> None:
    flat = replace(
        activations,
        encoding=np.ones((32, 2, 3), np.float32),
        query=activations.normalcy * 0 + 8**-0.5,
        normalcy=activations.normalcy * 0 + 8**-0.5,
    )
    assert len(pictures_of(flat)) == len(pictures_of(activations))
    # the smallest frame has one such position
    tiny = replace(activations, encoding=np.ones((32, 1, 1), np.float32))
    assert len(pictures_of(tiny)) == len(pictures_of(activations))


def test_without_the_head_there_is_no_suspicion(activations: Activations) -> None:
    assert "Suspicion" in shown(activations)
    assert "Suspicion" not in shown(replace(activations, pseudo=None))


def test_learned_keys_look_nowhere_and_without_a_unit_there_are_none(
    activations: Activations,
) -> None:
    titles = set(shown(replace(activations, attention=None)))
    assert "Prototype 1: where it is used" in titles
    assert not any("where it looks" in title for title in titles)
    nothing = activations.assignment[:0]
    without = replace(
        activations,
        attention=None,
        assignment=nothing,
        cosines=nothing.reshape(0, 0),
        normalcy=np.zeros_like(activations.normalcy),
        aggregation=activations.query,
    )
    assert not any("rototype" in title for title in shown(without))


def test_prototypes_compared(activations: Activations) -> None:
    picture = cv2.imdecode(
        np.frombuffer(pictures_of(activations)[-1].png, np.uint8), cv2.IMREAD_UNCHANGED
    ).astype(int)
    opaque = picture[..., 3] > 250
    red = opaque & (picture[..., 2] > picture[..., 0] + 60)
    blue = opaque & (picture[..., 0] > picture[..., 2] + 60)
    assert 1.6 < blue.sum() / red.sum() < 2.4  # six places of -1, three of 1
    assert picture[2, 2, 3] == 0  # nothing behind it, so that it stands on any page


# --- Which rows

SCORES = np.array([np.nan] * 4 + [3.0, 1.0, 9.0, 2.0, 0.5, 7.0, 8.0, 4.0])


def test_the_strongest_events_and_the_quietest_frame() -> None:
    events = [
        EventRow(4, 5, 4, 3.0),
        EventRow(6, 7, 6, 9.0),
        EventRow(9, 11, 10, 8.0),
        EventRow(11, 12, 11, 4.0),
    ]
    assert [row for row, _ in choose_rows(SCORES, events)] == [6, 10, 11, 8]
    assert [row for row, _ in choose_rows(SCORES, events, max_rows=2)] == [6, 8]
    assert [row for row, _ in choose_rows(SCORES, events, max_rows=1)] == [6]
    # as they are numbered
    assert [why.split()[1] for _, why in choose_rows(SCORES, events)[:3]] == ["2", "3", "4"]


def test_without_events_the_highest_and_the_lowest() -> None:
    assert [row for row, _ in choose_rows(SCORES, [])] == [6, 8]
    assert [row for row, _ in choose_rows(np.array([np.nan, 2.0]), [])] == [1]
    assert choose_rows(np.full(5, np.nan), []) == []
    assert choose_rows(np.zeros(0), []) == []

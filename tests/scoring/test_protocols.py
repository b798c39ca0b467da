"""Smoothing and normalisation against sums written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.errors import DataError
from mpn.scoring import protocols

NAN = float("nan")


def gaussian_by_hand(x: np.ndarray) -> np.ndarray:
    taps = np.exp(-(np.arange(-7, 8) ** 2) / (2 * 2.0**2))
    taps /= taps.sum()
    if len(x) < 15:
        lengthened = np.concatenate([np.full(7, x[0]), x, np.full(7, x[-1])])
        return np.array([float((lengthened[t : t + 15] * taps).sum()) for t in range(len(x))])
    whole = [float((x[t - 7 : t + 8] * taps).sum()) for t in range(7, len(x) - 7)]
    return np.array([whole[0]] * 7 + whole + [whole[-1]] * 7)


def test_exponential_by_hand() -> None:
    assert protocols.exponential(np.array([1.0, 2.0, 0.0])) == pytest.approx([1.0, 1.3, 0.91])


def test_exponential_impulse_and_its_stated_delay() -> None:
    impulse = np.zeros(200)
    impulse[1] = 1.0
    answer = protocols.exponential(impulse)[1:]
    lag = np.arange(199)
    assert answer == pytest.approx(0.3 * 0.7**lag)
    assert float((lag * answer).sum()) == pytest.approx(protocols.CAUSAL_DELAY)
    assert protocols.DESCRIPTIONS["causal"]["delay_frames"] == pytest.approx(7 / 3)


def test_streaming_gives_the_same_bits_and_starts_anew_after_reset() -> None:
    x = np.random.default_rng(0).normal(size=500)
    x[:4] = NAN
    smoother = protocols.Exponential(0.3)
    for _ in range(2):
        streamed = np.array([smoother.update(value) for value in x])
        np.testing.assert_array_equal(streamed, protocols.exponential(x, 0.3))
        smoother.reset()


def test_causal_protocol_does_not_see_the_future_and_the_paper_filter_does() -> None:
    x = np.random.default_rng(1).normal(size=40)
    changed = x.copy()
    changed[25:] += 5.0
    for protocol, first in (("absolute", 25), ("causal", 25)):
        a, b = (protocols.apply(protocol, {"v": s})["v"] for s in (x, changed))
        np.testing.assert_array_equal(a[:first], b[:first])
        assert a[first] != b[first]
    a, b = protocols.paper_filter(x), protocols.paper_filter(changed)
    differs = np.flatnonzero(~np.isclose(a, b))
    assert differs[0] == 25 - protocols.DESCRIPTIONS["paper"]["lookahead_frames"] == 18


@pytest.mark.parametrize("length", [1, 2, 7, 8, 14, 15, 16, 40])
def test_paper_filter_is_the_gaussian_with_ends_held(length: int) -> None:
    x = np.random.default_rng(length).normal(size=length)
    assert protocols.paper_filter(x) == pytest.approx(gaussian_by_hand(x), abs=1e-12)


def test_paper_filter_keeps_a_constant() -> None:
    assert protocols.paper_filter(np.full(30, 3.7)) == pytest.approx(np.full(30, 3.7), abs=1e-12)


def test_min_max_by_hand_and_constant() -> None:
    assert protocols.min_max(np.array([2.0, 4.0, 3.0])).tolist() == [0.0, 1.0, 0.5]
    assert protocols.min_max(np.full(5, -2.5)).tolist() == [0.0] * 5


def test_rounding_left_by_smoothing_does_not_become_a_score() -> None:
    smoothed = protocols.paper_filter(np.full(50, 0.1))
    assert protocols.min_max(smoothed).tolist() == [0.0] * 50
    wobble = 0.1 + np.random.default_rng(0).integers(-1, 2, 50) * 1e-16
    assert protocols.min_max(wobble).tolist() == [0.0] * 50
    small = np.array([0.0, 1e-9])  # small numbers are not rounding of nothing
    assert protocols.min_max(small).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("protocol", protocols.PROTOCOLS)
def test_leading_nan_stays_and_the_rest_is_as_without(protocol: str) -> None:
    x = np.random.default_rng(2).normal(size=30)
    late = np.concatenate([np.full(4, NAN), x])
    scores = protocols.apply(protocol, {"late": late, "x": x, "empty": np.full(3, NAN)})
    assert np.isnan(scores["late"][:4]).all()
    np.testing.assert_array_equal(scores["late"][4:], scores["x"])
    assert np.isnan(scores["empty"]).all()
    assert np.isnan(late[:4]).all()  # the input is not written to
    np.testing.assert_array_equal(late[4:], x)


def test_paper_protocol_is_min_max_per_video_then_filter() -> None:
    rng = np.random.default_rng(3)
    series = {"a": rng.normal(size=25), "b": 100 + rng.normal(size=30)}
    for name, scores in protocols.apply("paper", series).items():
        x = series[name]
        assert scores == pytest.approx(
            gaussian_by_hand((x - x.min()) / (x.max() - x.min())), abs=1e-9
        )


@pytest.mark.parametrize("a", [0.5, 0.0, 0.6])
def test_paper_pair_by_hand(a: float) -> None:
    rng = np.random.default_rng(4)
    psnr_db, compactness = rng.uniform(20, 40, 50), rng.uniform(1e-3, 1e-1, 50)
    parts = []
    for x in (psnr_db, 10 * np.log10(1 / compactness)):
        parts.append(gaussian_by_hand((x - x.min()) / (x.max() - x.min())))
    expected = 1 - (a * parts[0] + (1 - a) * parts[1])
    head = np.full(4, NAN)
    scores = protocols.paper_pair(np.r_[head, psnr_db], np.r_[head, compactness], a=a)
    assert np.isnan(scores[:4]).all()
    assert scores[4:] == pytest.approx(expected, abs=1e-9)


def test_paper_pair_rises_where_the_planted_anomaly_is() -> None:
    psnr_db, compactness = np.full(60, 35.0), np.full(60, 0.01)
    psnr_db[30:40] = 25.0
    compactness[30:40] = 0.05
    scores = protocols.paper_pair(psnr_db, compactness)
    assert 30 <= int(scores.argmax()) < 40
    assert scores[0] == pytest.approx(0.0, abs=1e-9)
    assert np.isfinite(protocols.paper_pair(psnr_db, np.zeros(60))).all()


@pytest.mark.parametrize(
    "function", [protocols.exponential, protocols.paper_filter, protocols.min_max]
)
def test_gaps_are_refused(function) -> None:
    with pytest.raises(DataError, match="frame 2 is nan"):
        function(np.array([NAN, 1.0, NAN, 2.0]))
    with pytest.raises(DataError, match="frame 1 is inf"):
        function(np.array([1.0, np.inf]))
    with pytest.raises(DataError, match="one number a frame"):
        function(np.zeros((2, 2)))


def test_streaming_refuses_gaps_too() -> None:
    smoother = protocols.Exponential()
    assert np.isnan(smoother.update(NAN))
    smoother.update(1.0)
    with pytest.raises(DataError, match="finite number"):
        smoother.update(NAN)
    with pytest.raises(DataError, match="finite number"):
        protocols.Exponential().update(np.inf)


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="expected one of absolute, causal, paper"):
        protocols.apply("live", {})
    with pytest.raises(DataError, match="video 'v': .*frame 1"):
        protocols.apply("causal", {"v": np.array([0.0, NAN])})
    with pytest.raises(ValueError, match="above 0"):
        protocols.Exponential(0.0)
    with pytest.raises(ValueError, match="0 to 1"):
        protocols.paper_pair(np.ones(3), np.ones(3), a=1.5)
    with pytest.raises(DataError, match="same frames"):
        protocols.paper_pair(np.ones(3), np.array([NAN, 1.0, 1.0]))
    with pytest.raises(DataError, match="negative"):
        protocols.paper_pair(np.ones(3), -np.ones(3))


SERIES = {
    "score": np.array([NAN, 1.0, 3.0, 2.0]),
    "psnr_db": np.array([NAN, 30.0, 20.0, 25.0]),
    "compactness": np.array([NAN, 0.01, 0.1, 0.01]),
}


def test_named_protocols_are_cells_of_the_matrix() -> None:
    series = {"v": np.random.default_rng(6).normal(size=60)}
    for protocol, place in protocols.CELLS.items():
        np.testing.assert_array_equal(
            protocols.apply(protocol, series)["v"],
            protocols.series_of("score", {"score": series["v"]}, *place),
        )


def test_the_paper_s_cell_of_the_pair_is_the_paper_s_pair() -> None:
    rng = np.random.default_rng(5)
    columns = {"psnr_db": rng.uniform(20, 40, 50), "compactness": rng.uniform(1e-3, 1e-1, 50)}
    parts = []
    for x in (columns["psnr_db"], -10 * np.log10(columns["compactness"])):
        parts.append(gaussian_by_hand((x - x.min()) / (x.max() - x.min())))
    assert protocols.series_of("pair", columns, "min-max", "gaussian15") == pytest.approx(
        1 - sum(parts) / 2, abs=1e-9
    )


@pytest.mark.parametrize(
    ("score", "normalisation", "smoothing", "expected"),
    [
        ("region", "absolute", "off", [NAN, 1, 3, 2]),
        ("region", "absolute", "causal", [NAN, 1, 1.6, 1.72]),
        ("region", "min-max", "off", [NAN, 0, 1, 0.5]),
        # min-max first: its own filter never reaches 1
        ("region", "min-max", "causal", [NAN, 0, 0.3, 0.36]),
        ("psnr", "absolute", "off", [NAN, -30, -20, -25]),
        ("psnr", "min-max", "off", [NAN, 0, 1, 0.5]),
        ("psnr_db", "absolute", "causal", [NAN, -30, -27, -26.4]),
        ("compactness", "absolute", "off", [NAN, 0.01, 0.1, 0.01]),
        # dB: PSNR 30, 20, 25; of the compactness 20, 10, 20; minus the mean of the two
        ("pair", "absolute", "off", [NAN, -25, -15, -22.5]),
        ("pair", "absolute", "causal", [NAN, -25, -22, -22.15]),
        ("pair", "min-max", "off", [NAN, 0, 1, 0.25]),
    ],
)
def test_cells_by_hand(
    score: str, normalisation: str, smoothing: str, expected: list[float]
) -> None:
    series = protocols.series_of(score, SERIES, normalisation, smoothing)
    assert series == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("normalisation", protocols.NORMALISATIONS)
@pytest.mark.parametrize("smoothing", protocols.SMOOTHINGS)
def test_a_cell_is_live_exactly_if_later_frames_beyond_its_lookahead_change_nothing(
    normalisation: str, smoothing: str
) -> None:
    rng = np.random.default_rng(7)
    columns = {
        "psnr_db": rng.uniform(20, 40, 80),
        "compactness": rng.uniform(0.01, 0.1, 80),
        "score": rng.random(80),
    }
    later = {name: values.copy() for name, values in columns.items()}
    for values in later.values():
        values[50:] *= 5
    described = protocols.cell(normalisation, smoothing)
    for score in protocols.SCORES:
        before, after = (
            protocols.series_of(score, x, normalisation, smoothing) for x in (columns, later)
        )
        changed = np.flatnonzero(~np.isclose(before, after, rtol=1e-12, atol=0))
        assert described.live == (changed[0] > 20)
        if described.live:
            assert changed[0] == 50 - described.lookahead_frames
        else:
            assert described.lookahead_frames is None and "whole video" in described.why
    assert described.delay_frames == pytest.approx(7 / 3 if smoothing == "causal" else 0)


def test_the_first_score_of_the_paper_s_filter_waits_twice_as_long() -> None:
    x = np.random.default_rng(8).normal(size=60)
    for changed, same in ((14, False), (15, True)):
        later = x.copy()
        later[changed:] += 1
        first = [
            protocols.series_of("score", {"score": y}, "absolute", "gaussian15")[0]
            for y in (x, later)
        ]
        assert (first[0] == first[1]) == same
    assert "for 14)" in protocols.cell("absolute", "gaussian15").why


def test_cells_that_do_not_exist() -> None:
    for wrong in (("min_max", "off"), ("absolute", "gaussian")):
        for call in (protocols.cell, lambda *cell: protocols.series_of("region", SERIES, *cell)):
            with pytest.raises(ValueError, match="expected one of"):
                call(*wrong)
    with pytest.raises(KeyError, match="psnr_db"):
        protocols.series_of("pair", {"score": np.ones(3)}, "absolute", "off")
    with pytest.raises(DataError, match="frame 1 is nan"):
        protocols.series_of("region", {"score": np.array([1.0, NAN])}, "absolute", "off")

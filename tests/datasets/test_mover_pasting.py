from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpn.datasets.augmentation import mirrored
from mpn.datasets.mover_pasting import MoverPasting, anomalies_by_scene, movers_by_scene
from mpn.datasets.movers import paste
from mpn.datasets.pseudo_anomalies import PseudoAnomalies, PseudoOptions
from mpn.datasets.shots import Shots
from mpn.datasets.windows import Clip, WindowDataset, at_rate
from mpn.errors import MpnError
from mpn.video.frame_source import BadFrame
from tests.datasets.test_movers import SIDE, SIZE, STEP, TOP, ground, patterned, walking

T = 4
ONLY_CONTROL = {"speed_probability": 0, "mover_probability": 0, "control_probability": 1}
ONLY_MOVERS = {"speed_probability": 0, "mover_probability": 1, "control_probability": 0}
ONLY_SPEED = {"speed_probability": 1, "mover_probability": 0, "control_probability": 1}


def no_donor(generator):
    raise AssertionError("no ellipse was asked for")


def still(count=13):
    return np.repeat(ground()[None], count, axis=0)


def pasting(own=(), foreign=(), donor=no_donor, kind="movers", **options):
    return MoverPasting(donor, own, foreign, PseudoOptions(kind=kind, movers=(1, 1), **options))


def draws(anomalies, stack, count, seed=0):
    for number in range(count):
        yield anomalies.sample(stack, T, np.random.default_rng((seed, number)))


def own_movers(limit=10):
    return movers_by_scene([Clip("walk", "yard", walking(), 10.0)], T, limit=limit)["yard"]


def test_a_control_is_what_was_there_at_another_time_and_counts_as_normal():
    """Window and target become those of the time that the mover was cut at; no more is marked."""
    footage, movers = walking(), own_movers()
    times = set()
    for shown, tampered in draws(pasting(movers, **ONLY_CONTROL), still(), 20):
        assert not tampered.any()
        errors = [
            np.abs(shown.astype(int) - footage[t : t + T + 1]).max()
            for t in range(len(footage) - T)
        ]
        assert min(errors) <= 1
        times.add(int(np.argmin(errors)))
    assert len(times) > 3 and times <= {mover.last - T for mover in movers}


def test_called_without_a_target_it_gives_the_same_window():
    anomalies = pasting(own_movers(), [patterned()], **{**ONLY_MOVERS, "control_probability": 0.5})
    for number in range(10):
        first, second = (np.random.default_rng(number) for _ in range(2))
        shown, tampered = anomalies.sample(still(), T, first)
        inputs, also = anomalies(still()[:-1], T, second)
        assert np.array_equal(shown[:-1], inputs) and np.array_equal(tampered, also)


def test_there_is_no_control_beside_a_speed_up():
    """Frames that all show the same can be sped up without a change."""
    for shown, tampered in draws(pasting(own_movers(), **ONLY_SPEED), still(), 10):
        assert np.array_equal(shown, still(T + 1)) and not tampered.any()


def test_speed_ups_stay_as_they_are():
    frames = np.broadcast_to(np.arange(14, dtype=np.uint8)[:, None, None, None] * 10, (14, 9, 9, 1))
    options = PseudoOptions(kind="movers", speed_probability=1, whole_frame_probability=1)
    anomalies = MoverPasting(no_donor, [], [patterned(at=(1, 1))], replace(options))
    steps = {
        (int(s[1, 0, 0, 0]) - int(s[0, 0, 0, 0])) // 10 for s, _ in draws(anomalies, frames, 40)
    }
    assert {2, 3, 4} <= steps


def sizes_and_speeds(movers, **options):
    """Of what was pasted over still ground: the square root of its pixels in the last frame,
    and its columns a frame."""
    for shown, tampered in draws(pasting(movers, **ONLY_MOVERS, **options), still(), 60):
        changed = (shown != still(T + 1)).any(axis=3)
        assert not changed[-1].any()  # the target is the true one
        if not changed[:T].any(axis=(1, 2)).all():
            continue  # from outside of the picture
        assert tampered.any()
        columns = [np.nonzero(frame)[1] for frame in changed[:T]]
        if min(column.min() for column in columns) == 0:
            continue
        middles = [(column.min() + column.max()) / 2 for column in columns]
        yield np.sqrt(changed[T - 1].sum()), (middles[-1] - middles[0]) / (T - 1)


def test_own_movers_come_in_other_sizes_or_at_other_speeds():
    """The outline of the square is up to two pixels wider, and the soft edge up to four more."""
    smaller = larger = faster = 0
    for side, speed in sizes_and_speeds(own_movers()):
        if abs(side - SIDE) < 2:
            assert 2.2 * STEP - 0.5 <= speed <= 5 * STEP + 0.5
            faster += 1
        elif side < SIDE:
            assert 0.35 * SIDE - 1 <= side <= 0.55 * (SIDE + 2) + 4
            assert 0.35 * STEP - 0.5 <= speed <= 0.55 * STEP + 0.5
            smaller += 1
        else:
            # A larger one is a nearer one: its way is as much longer.
            assert 1.7 * SIDE - 1 <= side <= 2.8 * (SIDE + 2) + 4
            assert 1.7 * STEP - 0.5 <= speed <= 2.8 * STEP + 0.5
            larger += 1
    assert min(smaller, larger, faster) >= 4


def test_a_mover_that_fills_the_frame_is_made_smaller_and_a_tiny_one_larger():
    large = patterned(size=(80, 90), at=(10, 10))
    tiny = patterned(size=(4, 5))
    for mover, is_larger in ((large, False), (tiny, True)):
        anomalies = pasting([mover], **ONLY_MOVERS)
        factors = [
            anomalies._size(mover, (T, *SIZE, 1), np.random.default_rng(n)) for n in range(20)
        ]
        assert all((factor > 1) == is_larger for factor in factors)


def test_foreign_movers_come_anywhere_and_are_marked_where_they_are():
    places = []
    for shown, tampered in draws(pasting(foreign=[patterned()], **ONLY_MOVERS), still(), 60):
        changed = np.abs(shown[:T].astype(int) - still(T)).max(axis=(0, 3)) > 20
        assert (tampered | ~changed).all()
        if changed.any():
            places.append(np.argwhere(changed).mean(axis=0))
            # Dilated by two pixels, and no more.
            rows, columns = np.nonzero(tampered)
            inner_rows, inner_columns = np.nonzero(changed)
            assert rows.min() >= inner_rows.min() - 2 and rows.max() <= inner_rows.max() + 2
            assert columns.min() >= inner_columns.min() - 2
            assert columns.max() <= inner_columns.max() + 2
    spread = np.ptp(places, axis=0)
    assert spread[0] > 0.7 * SIZE[0] and spread[1] > 0.7 * SIZE[1]


def test_marked_is_the_mover_and_not_the_control_beside_it():
    """The control is the square, in its rows; the foreign one is brought far below them."""
    options = {**ONLY_MOVERS, "control_probability": 1}
    anomalies = pasting(own_movers(), [patterned()], **options)
    anomalies.own = own_movers()
    count = 0
    for number in range(60):
        shown, tampered = anomalies.sample(still(), T, np.random.default_rng(number))
        rows = np.flatnonzero(tampered.any(axis=1))
        if len(rows) == 0 or rows.min() < TOP + SIDE + 4:
            continue
        count += 1
        assert (shown[:T, TOP : TOP + SIDE] > 200).any()  # the control is there
    assert count >= 3


def test_the_same_generator_gives_the_same_and_the_input_stays():
    stack, before = still(), still()
    anomalies = pasting(own_movers(), [patterned()])
    first, again, other = (list(draws(anomalies, stack, 15, seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for x, y in zip(first, again) for a, b in zip(x, y))
    assert not all(np.array_equal(x[0], y[0]) for x, y in zip(first, other))
    assert np.array_equal(stack, before)


def test_without_any_mover_there_are_ellipses():
    anomalies = MoverPasting(
        lambda generator: np.full((200, 200, 1), 200, np.uint8),
        [],
        [],
        PseudoOptions(kind="movers", speed_probability=0, object_probability=1),
    )
    assert all(tampered.any() for _, tampered in draws(anomalies, still(), 10))


@pytest.mark.parametrize(("kind", "ellipses"), [("movers", False), ("both", True)])
def test_both_has_ellipses_beside_the_movers(kind, ellipses):
    calls = []

    def donor(generator):
        calls.append(1)
        return np.full((200, 200, 1), 200, np.uint8)

    list(draws(pasting(own_movers(), donor=donor, kind=kind, object_probability=1), still(), 5))
    assert bool(calls) == ellipses


def test_an_unknown_kind_is_refused():
    with pytest.raises(MpnError, match="'squares': ellipses, movers, both"):
        PseudoOptions(kind="squares")


# --- By scene


def yard(scene="yard", **options):
    return Clip(f"{scene}-1", scene, walking(**options), 10.0)


def test_foreign_are_the_movers_of_the_other_scenes_but_not_of_the_mirror_image():
    clips = [yard(), yard("lane", level=180)]
    by_scene = anomalies_by_scene(
        [*clips, *mirrored(clips)], no_donor, T, PseudoOptions(kind="movers"), foreign=[patterned()]
    )
    assert set(by_scene) == {"yard", "lane", "yard-mirrored", "lane-mirrored"}
    for scene, anomalies in by_scene.items():
        assert isinstance(anomalies, MoverPasting)
        level, other_level = (180, 220) if scene.startswith("lane") else (220, 180)

        def middle(mover):
            return int(mover.pieces[0][SIDE // 2 + 2, SIDE // 2 + 2, 0])

        assert {middle(mover) for mover in anomalies.own} == {level}
        assert {middle(mover) for mover in anomalies.foreign[1:]} == {other_level}
        assert len(anomalies.foreign) == 1 + 2 * len(anomalies.own)


def test_a_scenes_limit_is_shared_by_its_clips():
    clips = [replace(yard(), name=str(number)) for number in range(3)]
    movers = movers_by_scene([*clips, yard("lane")], T, limit=9)
    assert {scene: len(cut) for scene, cut in movers.items()} == {"yard": 9, "lane": 9}


def test_ellipses_are_the_same_for_all_scenes():
    by_scene = anomalies_by_scene([yard(), yard("lane")], no_donor, T, PseudoOptions())
    assert by_scene["yard"] is by_scene["lane"] and type(by_scene["yard"]) is PseudoAnomalies


# --- Windows and shots


def test_windows_with_movers_are_fixed_by_seed_and_epoch():
    def dataset(seed):
        options = PseudoOptions(kind="movers", **ONLY_MOVERS)
        return WindowDataset([yard()], T, seed=seed, pseudo=options, movers_from=[yard("lane")])

    first, again, different = dataset(1), dataset(1), dataset(2)
    assert all((first[i].frames == again[i].frames).all() for i in range(0, 60, 7))
    assert not all((first[i].frames == different[i].frames).all() for i in range(0, 60, 7))
    again.epoch = 1
    assert not all((first[i].frames == again[i].frames).all() for i in range(0, 60, 7))
    assert sum(bool(first[i].tampered.any()) for i in range(0, 60, 7)) >= 5


def test_further_footage_is_taken_as_often_a_second_as_the_clips():
    """At 30 frames a second a square goes a third as far in a frame: every third is taken."""
    slow = Clip("lane-1", "lane", np.repeat(walking(level=180), 3, axis=0), 30.0)
    options = PseudoOptions(kind="movers")
    dataset = WindowDataset([yard()], T, pseudo=options, movers_from=[slow])
    anomalies = dataset.pseudo["yard"]
    assert anomalies.foreign
    assert all(mover.speed == pytest.approx(STEP, abs=0.05) for mover in anomalies.foreign)
    assert all(clip.scene == "yard" for clip in dataset.clips)


def test_a_clip_at_a_lower_rate_keeps_every_nth_frame_and_the_bad_ones_among_them():
    clip = Clip("a", "a", still(10), 24.0, [BadFrame(4, "4", "torn"), BadFrame(6, "6", "torn")])
    thinned = at_rate(clip, 8.0)
    assert len(thinned.frames) == 4 and thinned.fps == 8.0
    assert [bad.index for bad in thinned.bad] == [2]
    assert at_rate(clip, 50.0).fps == 24.0


def test_shots_with_movers_use_their_own_and_those_that_they_are_given():
    footage = walking()
    stacks = [footage[start : start + 14] for start in (10, 30, 50)]
    shots = Shots(stacks, T, foreign=[patterned()])
    assert shots.own_movers()
    assert all(mover.speed == pytest.approx(STEP, abs=0.2) for mover in shots.own_movers())
    options = PseudoOptions(kind="movers", **ONLY_MOVERS)
    first, again = (shots.sample(6, np.random.default_rng(5), pseudo=options) for _ in range(2))
    assert (first.frames == again.frames).all() and (first.tampered == again.tampered).all()
    assert first.tampered.any(dim=2).any(dim=1).sum() >= 4
    assert first.frames.shape == (6, T + 1, 1, *SIZE)


def test_a_paste_over_the_window_is_as_one_over_its_frames():
    mover = patterned()
    whole, _ = paste(still(T + 1), mover)
    part, _ = paste(still(T), mover)
    assert np.array_equal(whole[:T], part)

"""Adapting to cameras and scoring them, both few-shot protocols, against the pieces put together by
hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mpn.adaptation.inner_loop import Adaptation, adapt_network, adapted_checkpoint
from mpn.adaptation.place import Stretch, learn_place, motion_columns
from mpn.datasets.shots import shots_of, spread
from mpn.datasets.windows import Clip
from mpn.errors import DataError, MpnError
from mpn.evaluation import few_shot as module
from mpn.evaluation.few_shot import BASE_UNITS, METHODS, UNADAPTED, Key, few_shot
from mpn.model.checkpoint import Checkpoint, MetaInfo
from mpn.model.parameters import target_names
from mpn.motion.flow import MotionReader
from mpn.scoring.detector import Detector
from mpn.scoring.parts import DIAGNOSTICS
from mpn.scoring.scores import ScoreConfig, score_frames
from mpn.video.frame_source import BadFrame
from tests.helpers.moving import outstanding
from tests.helpers.training_runs import walkers

TARGETS = ("encoder.block1.", "pseudo_head.")
GRADIENT = {name: METHODS[name] for name in ("meta", "fine-tuning")}
ADAM = {"fine-tuning": Adaptation("adam", steps=2, batch=2, targets=TARGETS)}
COLUMNS = {"score", "error", "pseudo", *(column.name for column in DIAGNOSTICS)}


@pytest.fixture
def detector(tiny) -> Detector:
    """Meta-trained in name; normal parts that are not those of any camera here."""
    parameters = dict(tiny.named_parameters())
    sizes = {
        name: torch.full_like(parameters[name], 0.5).detach()
        for name in target_names(tiny, TARGETS)
    }
    normal = {"error": [np.float32([0.1, 0.3])], "pseudo": [np.float32([0.5, 0.7])]}
    checkpoint = Checkpoint(tiny, normal=normal, meta=MetaInfo(TARGETS, sizes, 2, 2))
    return Detector(
        checkpoint,
        score_config=ScoreConfig(weights={"error": 2.0, "pseudo": 0.5}),
        precision="float32",
    )


def footage(count: int, frames: int, scene: str = "yard", name: str = "walk") -> list[Clip]:
    return [
        replace(clip, name=f"{name}{i}", scene=scene)
        for i, clip in enumerate(walkers(count, frames))
    ]


def parts_of(detector: Detector, network, clips) -> dict[str, dict[str, np.ndarray]]:
    """Parts from frame 4 on, by the plain scorer."""
    by_clip = {}
    for clip in clips:
        scored = list(score_frames(network, clip.frames, patch=16))
        by_clip[clip.name] = {
            name: np.array([frame.parts[name] for frame in scored]) for name in COLUMNS - {"score"}
        }
    return by_clip


def test_one_row_for_every_method_shot_and_draw_in_order(detector):
    training, testing = footage(3, 16), footage(2, 10, name="test")
    rows = list(few_shot(detector, training, testing, shots=(1, 0), draws=2, methods=GRADIENT))
    assert [(row.method, row.shots, row.draw) for row in rows] == [
        (UNADAPTED, 0, 0),
        (BASE_UNITS, 0, 0),
        ("meta", 1, 0),
        ("fine-tuning", 1, 0),
        ("meta", 1, 1),
        ("fine-tuning", 1, 1),
    ]
    for row in rows:
        assert set(row.columns) == {"test0", "test1"} and set(row.columns["test0"]) == COLUMNS
        for values in row.columns["test1"].values():
            assert (
                values.dtype == np.float64
                and np.isnan(values[:4]).all()
                and np.isfinite(values[4:]).all()
            )
        assert (row.seconds_to_adapt > 0) == (row.shots > 0)


def test_scores_are_in_units_of_training_clips_that_are_not_the_support(detector):
    training, testing = footage(6, 16), footage(1, 12, name="test")
    rows = list(few_shot(detector, training, testing, shots=(0, 2), draws=2, methods=ADAM))
    # 400 frames would be more than all of them: a third of the clips, from the middles of two equal
    # parts.
    units, support = [training[1], training[4]], [training[i] for i in (0, 2, 3, 5)]
    shots = shots_of(support, spread(support, 2, 4, repeat=1, repeats=2), 4)
    tensors = adapt_network(detector.checkpoint, shots, replace(ADAM["fine-tuning"], seed=1))
    networks = {
        UNADAPTED: detector.network,
        "fine-tuning": adapted_checkpoint(detector.checkpoint, tensors).network,
    }
    for row in (rows[0], rows[-1]):
        columns = parts_of(detector, networks[row.method], testing)["test0"]
        normal = parts_of(detector, networks[row.method], units).values()
        score = np.zeros(8)
        for name, weight in (("error", 2.0), ("pseudo", 0.5)):
            values = np.concatenate([parts[name] for parts in normal])
            assert len(values) == 24
            score += weight * (columns[name] - values.mean()) / values.std()
        np.testing.assert_allclose(row.columns["test0"]["score"][4:], score, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(
            row.columns["test0"]["psnr_db"][4:], columns["psnr_db"], rtol=1e-5
        )


def test_a_place_model_of_the_windows_judges_motion_in_units_of_other_clips(detector):
    training, testing = footage(3, 16), footage(1, 12, name="walk")  # names may come twice
    for clip in (*training, *testing):
        reader = MotionReader(clip.frames.shape[1:3])
        clip.motion = np.stack([reader.read(frame) for frame in clip.frames])
    place = {"place": METHODS["place"]}
    rows = list(few_shot(detector, training, testing, shots=(0, 2), draws=1, methods=place))
    unadapted, adapted = rows[0].columns["walk0"], rows[-1].columns["walk0"]
    np.testing.assert_array_equal(unadapted["error"], adapted["error"])
    support = [training[0], training[2]]  # the middle one is for the units
    windows = [Stretch(clip, at - 4, at + 1) for clip, at in spread(support, 2, 4)]
    learned = learn_place(support, windows)
    expected = motion_columns(testing[0], learned)
    units = motion_columns(training[1], learned)
    for name in ("speed", "direction"):
        np.testing.assert_allclose(adapted[name][4:], expected[name][4:])
        assert np.isnan(adapted[name][:4]).all()
    network = parts_of(detector, detector.network, [training[1]])["walk1"]
    # Twice the usual weight of the error; the head of a network trained elsewhere has none.
    weights = {"error": 0.5, "speed": 0.7, "direction": 1.0}
    score = []
    for name, weight in weights.items():
        normal = network[name] if name in network else units[name][4:]
        score.append(weight * (adapted[name][4:] - normal.mean()) / normal.std())
    np.testing.assert_allclose(adapted["score"][4:], outstanding(score), rtol=2e-3, atol=2e-3)


def test_base_units_are_those_of_the_checkpoint(detector):
    _, base = few_shot(detector, footage(3, 16), footage(1, 10, name="test"), shots=(0,))
    columns = base.columns["test0"]
    expected = 2.0 * (columns["error"] - 0.2) / 0.1 + 0.5 * (columns["pseudo"] - 0.6) / 0.1
    np.testing.assert_allclose(columns["score"][4:], expected[4:], rtol=1e-5)


def test_adaptation_changes_scores_and_leaves_the_model_alone(detector):
    before = {name: tensor.clone() for name, tensor in detector.network.state_dict().items()}
    training, testing = footage(3, 16), footage(1, 10, name="test")
    rows = list(few_shot(detector, training, testing, shots=(0, 1), draws=2, methods=GRADIENT))
    after = detector.network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    heads = [row.columns["test0"]["pseudo"][4:] for row in rows if row.method != BASE_UNITS]
    for i, head in enumerate(heads):
        assert all(not np.array_equal(head, earlier) for earlier in heads[:i])


def test_a_camera_with_one_clip_keeps_its_end_for_units(detector, monkeypatch):
    taken, scored = [], []
    own_shots, own_scores = module.shots_of, module.score_clips
    monkeypatch.setattr(
        module,
        "shots_of",
        lambda clips, *arguments: taken.append(clips) or own_shots(clips, *arguments),
    )
    monkeypatch.setattr(
        module,
        "score_clips",
        lambda judge, clips, title: (
            scored.append((title, clips)) or own_scores(judge, clips, title)
        ),
    )
    training = footage(1, 40)
    list(
        few_shot(detector, training, footage(1, 10, name="test"), shots=(3,), draws=1, methods=ADAM)
    )
    assert [len(clip.frames) for clip in taken[0]] == [30]
    (units,) = [clips for title, clips in scored if title == "units"]
    assert np.array_equal(units[0].frames, training[0].frames[30:])


def test_every_camera_is_adapted_to_by_itself(detector, monkeypatch):
    taken = []
    original = module.shots_of
    monkeypatch.setattr(
        module,
        "shots_of",
        lambda clips, *arguments: (
            taken.append({c.scene for c in clips}) or original(clips, *arguments)
        ),
    )
    training = footage(3, 16) + footage(3, 16, "hall", "in")
    testing = footage(1, 10, name="test") + footage(1, 10, "hall", "other")
    rows = list(few_shot(detector, training, testing, shots=(1,), draws=1, methods=ADAM))
    assert [(row.scene, list(row.columns)) for row in rows] == [
        ("yard", ["test0"]),
        ("hall", ["other0"]),
    ]
    assert taken == [{"yard"}, {"hall"}]


def test_paper_protocol_adapts_on_the_first_windows_of_each_video_and_leaves_them_out(detector):
    testing = footage(2, 14, name="test")
    testing[1].bad.append(BadFrame(5, "005", "broken"))
    (row,) = few_shot(
        detector, [], testing, protocol="test_prefix", shots=(0, 3), draws=1, methods=ADAM
    )
    assert (row.protocol, row.shots) == ("test_prefix", 3)
    # Targets 4, 5, 6; with frame 5 unreadable 4, 10, 11.
    for name, chosen, clip in (
        ("test0", (4, 5, 6), testing[0]),
        ("test1", (4, 10, 11), testing[1]),
    ):
        shots = shots_of([clip], [(0, target) for target in chosen], 4)
        tensors = adapt_network(detector.checkpoint, shots, ADAM["fine-tuning"])
        network = adapted_checkpoint(detector.checkpoint, tensors).network
        columns, first = parts_of(detector, network, [clip])[clip.name], chosen[-1] + 1
        for column in COLUMNS - {"score"}:
            assert np.isnan(row.columns[name][column][:first]).all()
            np.testing.assert_allclose(
                row.columns[name][column][first:], columns[column][first - 4 :], rtol=1e-4
            )
        expected = 2.0 * (columns["error"] - 0.2) / 0.1 + 0.5 * (columns["pseudo"] - 0.6) / 0.1
        np.testing.assert_allclose(
            row.columns[name]["score"][first:], expected[first - 4 :], rtol=1e-4
        )


def test_rows_that_are_done_are_not_made_again(detector):
    def rows(done=()):
        return list(
            few_shot(
                detector,
                footage(3, 16),
                footage(1, 10, name="test"),
                shots=(0, 1),
                draws=2,
                methods=ADAM,
                done=done,
            )
        )

    every = rows()
    keys = [row.key for row in every]
    assert keys[0] == Key("yard", "clean", UNADAPTED, 0, 0)
    for missing in range(len(keys)):
        (row,) = rows(done=[key for key in keys if key != keys[missing]])
        assert row.key == keys[missing]
        np.testing.assert_array_equal(
            row.columns["test0"]["score"], every[missing].columns["test0"]["score"]
        )


def test_what_cannot_be_done_is_said_before_anything_is_scored(detector, monkeypatch):
    monkeypatch.setattr(module, "score_clips", lambda *_: pytest.fail("scored"))
    training, testing = footage(3, 16), footage(1, 10, name="test")
    with pytest.raises(DataError, match="yard has test videos but no training footage.*hall"):
        few_shot(detector, footage(3, 16, "hall"), testing)
    with pytest.raises(DataError, match="30 windows.*24 in 32 frames"):
        few_shot(detector, training, testing, shots=(0, 30))
    with pytest.raises(DataError, match="test0: 10 frames, 11 are needed for 6 first windows"):
        few_shot(detector, [], testing, protocol="test_prefix", shots=(6,))
    with pytest.raises(DataError, match="too short to keep 5 frames"):
        few_shot(detector, footage(2, 4), testing)
    with pytest.raises(DataError, match="no test videos"):
        few_shot(detector, training, [])
    for wrong in (
        {"protocol": "other"},
        {"draws": 0},
        {"shots": ()},
        {"shots": (-1,)},
        {"protocol": "test_prefix", "shots": (0,)},
    ):
        with pytest.raises(MpnError, match="expected"):
            few_shot(detector, training, testing, **wrong)
    plain = Detector(replace(detector.checkpoint, meta=None))
    with pytest.raises(MpnError, match="was not meta-trained"):
        few_shot(plain, training, testing, methods=METHODS)

"""A teacher's terms by hand, what it leaves alone, and a run with one that was interrupted."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mpn.errors import CheckpointError, TrainingError
from mpn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mpn.model.network import build_model
from mpn.model.state import load_state, save_state
from mpn.training.distillation import Teacher
from mpn.training.pretraining import Training, train
from tests.helpers.training_runs import OPTIONS, PRESET, same_tensors, tensors, walkers

ONE_EPOCH = replace(OPTIONS, epochs=1)
ALL = {"frame": 1.0, "features": 0.5, "maps": 2.0}


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory):
    """A wider network than the student's, of frames twice as large."""
    torch.manual_seed(8)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    network = build_model("small", channels=6, height=64, width=96)
    save_checkpoint(path, Checkpoint(network))
    return path


def teacher_of(path, weights=None, student=PRESET):
    return Teacher(load_checkpoint(path), student, weights)


def batch(seed=1, size=PRESET.size):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand((2, 4, *size), generator=generator) * 2 - 1,
        torch.rand((2, 1, *size), generator=generator) * 2 - 1,
    )


def student_network():
    torch.manual_seed(5)
    return build_model(PRESET)


def test_frame_and_maps_of_one_size_are_mean_squared_differences(tmp_path):
    torch.manual_seed(8)
    save_checkpoint(tmp_path / "t.safetensors", Checkpoint(build_model(PRESET)))
    teacher, student, (window, target) = (
        teacher_of(tmp_path / "t.safetensors", ALL),
        student_network(),
        batch(),
    )
    with torch.no_grad():
        student_output, teacher_output = student(window), teacher.network(window)
        terms = teacher.terms(window, target, student_output)
    learned, taught, true = (
        part.numpy() for part in (student_output.prediction, teacher_output.prediction, target)
    )
    assert float(terms["teacher_frame"]) == pytest.approx(
        np.mean((learned - taught) ** 2), rel=1e-5
    )
    errors = np.mean((abs(learned - true) / 2 - abs(taught - true) / 2) ** 2)
    heads = [
        1 / (1 + np.exp(-result.pseudo_logits.numpy()))
        for result in (student_output, teacher_output)
    ]
    pseudo = np.mean((heads[0] - heads[1]) ** 2)
    assert float(terms["teacher_maps"]) == pytest.approx((errors + pseudo) / 2, rel=1e-5)


def test_features_are_compared_by_how_alike_places_are(teacher_file):
    teacher, student, (window, target) = (
        teacher_of(teacher_file, {"features": 1.0}),
        student_network(),
        batch(),
    )
    with torch.no_grad():
        student_output = student(window)
        terms = teacher.terms(window, target, student_output)
        teacher_output = teacher.network(F.interpolate(window, size=(64, 96), mode="bilinear"))
    assert set(terms) == {"teacher_features"} and student_output.features.shape[1] == 8
    assert teacher_output.features.shape[1:] == (12, 32, 48)

    def cosines(output):
        query = output.query.numpy()
        b, d, h, w = query.shape
        places = query.reshape(b, d, 8, h // 8, 12, w // 12).mean(axis=(3, 5)).reshape(b, d, 96)
        places /= np.linalg.norm(places, axis=1, keepdims=True)
        return np.einsum("bdi,bdj->bij", places, places)

    expected = np.mean((cosines(student_output) - cosines(teacher_output)) ** 2)
    assert float(terms["teacher_features"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", list(ALL))
def test_a_student_that_is_its_teacher_has_nothing_to_learn(tmp_path, name):
    network = student_network().eval()
    save_checkpoint(tmp_path / "t.safetensors", Checkpoint(network))
    window, target = batch()
    terms = teacher_of(tmp_path / "t.safetensors", {name: 1.0}).terms(
        window, target, network(window)
    )
    assert terms[f"teacher_{name}"] < 1e-12


def test_the_gradient_is_that_of_the_student_alone(teacher_file):
    teacher, student, (window, target) = teacher_of(teacher_file, ALL), student_network(), batch()
    before = {name: p.clone() for name, p in teacher.network.state_dict().items()}
    output = student(window)
    terms = teacher.terms(window, target, output)
    assert all(term.requires_grad for term in terms.values())
    terms["teacher_frame"].backward()
    # The last bias is added to every pixel of its place in the square that is shuffled out.
    gradient = student.head[-1].bias.grad.sum()
    with torch.no_grad():
        shown = F.interpolate(window, size=(64, 96), mode="bilinear")
        teacher_frame = F.adaptive_avg_pool2d(teacher.network(shown).prediction, (32, 48))
        expected = 2 * (output.prediction - teacher_frame).mean()
    assert float(gradient) == pytest.approx(float(expected), rel=1e-4)
    assert all(p.grad is None for p in teacher.network.parameters())
    assert same_tensors(before, teacher.network.state_dict())


def test_a_step_adds_the_weighted_terms(teacher_file, tmp_path):
    run = Training(walkers(), PRESET, ONE_EPOCH, tmp_path, teacher=teacher_of(teacher_file, ALL))
    before = (
        teacher_file.read_bytes(),
        {name: p.clone() for name, p in run.teacher.network.state_dict().items()},
    )
    losses = next(run._steps())
    assert {"untampered", "teacher_frame", "teacher_features", "teacher_maps"} < set(losses)
    plain = Training(walkers(), PRESET, ONE_EPOCH, tmp_path / "plain")
    alone = next(plain._steps())
    # The first step's own terms are the same; the step itself is another one.
    assert {name: losses[name] for name in alone} == alone
    assert not same_tensors(run.network.state_dict(), plain.network.state_dict())
    assert same_tensors(before[1], run.teacher.network.state_dict())
    assert teacher_file.read_bytes() == before[0] and not run.teacher.network.training


def test_an_interrupted_run_ends_as_one_left_alone(teacher_file, tmp_path, monkeypatch):
    monkeypatch.setattr(Training, "log_every", 1)
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    model = train(walkers(), PRESET, ONE_EPOCH, alone, teacher=teacher_of(teacher_file))

    def interrupt(line):
        if line["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            walkers(),
            PRESET,
            ONE_EPOCH,
            killed,
            teacher=teacher_of(teacher_file),
            on_log=interrupt,
        )
    for teacher in (None, teacher_of(teacher_file, {"frame": 0.5})):
        with pytest.raises(CheckpointError, match="other options: teacher"):
            train(walkers(), PRESET, ONE_EPOCH, killed, teacher=teacher, resume=True)
    train(walkers(), PRESET, ONE_EPOCH, killed, teacher=teacher_of(teacher_file), resume=True)
    assert same_tensors(tensors(killed), tensors(alone))
    description = load_checkpoint(model).training["options"]["teacher"]
    assert description["sha256"] == load_checkpoint(teacher_file).sha256


def test_a_state_from_before_there_were_teachers_can_be_resumed(tmp_path):
    train(walkers(), PRESET, ONE_EPOCH, tmp_path)
    state = load_state(tmp_path / "state.pt")
    fingerprint = json.loads(state["fingerprint"])
    del fingerprint["options"]["teacher"]
    save_state(tmp_path / "state.pt", state | {"fingerprint": json.dumps(fingerprint)})
    assert Training(walkers(), PRESET, ONE_EPOCH, tmp_path, resume=True).step == 7


def test_a_student_without_the_head_learns_the_error_map_alone(teacher_file):
    student = replace(PRESET, pseudo_head=False)
    assert [part.name for part in teacher_of(teacher_file, None, student).parts] == ["error"]


@pytest.mark.parametrize(
    ("student", "weights", "words"),
    [
        (replace(PRESET, grey=False), None, "sees grey frames.*--colour grey"),
        (replace(PRESET, window=5), None, "windows of 4 frames, the student of 5"),
        (PRESET, {"frames": 1.0}, "no 'frames'; weights are of frame, features, maps"),
        (PRESET, {"frame": -1.0}, "frame is -1.0"),
        (PRESET, {"frame": 0.0}, "all weights of the teacher are 0"),
    ],
)
def test_what_cannot_be_taught_is_named(teacher_file, student, weights, words):
    with pytest.raises(TrainingError, match=words):
        teacher_of(teacher_file, weights, student)

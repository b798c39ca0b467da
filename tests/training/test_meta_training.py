"""Meta-training over scenes: what is learned, resuming, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mpn.datasets.windows import Clip
from mpn.errors import CheckpointError, MpnError, TrainingError
from mpn.model.checkpoint import Checkpoint, load_checkpoint
from mpn.model.network import build_model
from mpn.training import meta_training
from mpn.training.meta_options import MetaOptions
from mpn.training.meta_training import MetaTraining
from mpn.training.step_sizes import sizes_for_change

pytestmark = pytest.mark.usefixtures("few_tasks_for_sizes")

EARLY = ("encoder.block1.", "pseudo_head.")
QUICK = {
    "steps": 4,
    "inner_steps": 2,
    "shots": (1, 2),
    "batch": 2,
    "queries": 2,
    "tasks": 2,
    "precision": "float32",
}


def scenes(count=3, frames=160):
    """A camera each: a square that moves over its own texture at its own speed."""
    clips = []
    for number in range(count):
        generator = np.random.default_rng(number)
        frames_ = np.repeat(generator.integers(40, 160, (1, 32, 48, 1), np.uint8), frames, axis=0)
        for t in range(frames):
            left = (1 + number) * t % 40
            frames_[t, 10:20, left : left + 8] = 230
        clips.append(Clip(f"clip{number}", f"camera{number}", frames_, 10.0))
    return clips


def base():
    torch.manual_seed(5)
    return Checkpoint(build_model("small", channels=4, height=32, width=48), fps=10.0)


def run(folder, *, resume=False, **options):
    training = MetaTraining(
        base(), scenes(), MetaOptions(EARLY, **(QUICK | options)), folder, resume=resume
    )
    return training, training.run()


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_run_gives_a_model_with_step_sizes_of_the_targets(tmp_path):
    training, path = run(tmp_path / "run", validation=("camera1",))
    checkpoint = load_checkpoint(path)
    assert (
        checkpoint.meta.targets == EARLY
        and checkpoint.meta.steps == 2
        and checkpoint.meta.batch == 2
    )
    parameters = dict(training.network.named_parameters())
    assert set(checkpoint.meta.step_sizes) == {
        name for name in parameters if name.startswith(EARLY)
    }
    for name, size in checkpoint.meta.step_sizes.items():
        assert size.shape == parameters[name].shape and (size > 0).all()
    # 160 frames are enough to be seen at half the rate too, and at a third.
    expected = [
        f"camera{n}{temporal_subsample}"
        for n in (0, 2)
        for temporal_subsample in ("", "-every2", "-every3")
    ]
    assert checkpoint.training["meta"]["scenes"] == expected
    assert 0 < checkpoint.meta.clip_norm < float("inf")
    assert set(checkpoint.normal) == {"error", "pseudo"} and len(checkpoint.normal["error"]) == 3
    validations = [line["validation"] for line in log_of(tmp_path / "run") if "validation" in line]
    assert len(validations) == 2  # at the start and at the end
    assert all({"before", "after"} <= set(validation) for validation in validations)


def test_the_first_step_sizes_change_every_number_by_about_what_was_asked():
    squares = {"a": torch.tensor([1.0, 4.0, 0.0]), "b": torch.tensor([1e-8])}
    sizes = sizes_for_change(squares, 1e-3)
    # By hand: 0.001 / (|gradient| + a tenth of the tensor's root mean square).
    tenth = 0.1 * (5 / 3) ** 0.5
    assert torch.allclose(sizes["a"], 1e-3 / torch.tensor([1 + tenth, 2 + tenth, tenth]))
    assert torch.allclose(sizes["b"], torch.tensor([1e-3 / 1.1e-4]))


def test_longer_gradients_are_shortened_to_the_median_of_the_first_tasks(tmp_path, monkeypatch):
    monkeypatch.setattr(meta_training, "TASKS_FOR_SIZES", 24)
    training = MetaTraining(base(), scenes(), MetaOptions(EARLY, **QUICK), tmp_path / "run")
    norms = []
    for number in range(24):
        support, _ = training.tasks.task(number)
        gradients = torch.autograd.grad(
            training.loss(training.params, support[0]), list(training.params.values())
        )
        norms.append(float(sum(g.square().sum() for g in gradients)) ** 0.5)
    # torch's median is the lower one
    assert training.inner_clip == pytest.approx(sorted(norms)[11], rel=1e-4)


def test_a_task_sees_its_scene_through_one_camera_of_its_own(tmp_path):
    plain = MetaTraining(
        base(), scenes(), MetaOptions(EARLY, **QUICK, random_cameras=False), tmp_path / "plain"
    )
    varied = MetaTraining(base(), scenes(), MetaOptions(EARLY, **QUICK), tmp_path / "made")
    targets = [varied.tasks.task(number)[1].target for number in (0, 0, 1)]
    assert torch.equal(targets[0], targets[1])
    assert not torch.equal(plain.tasks.task(0)[1].target, targets[0])


@pytest.mark.parametrize("second_order", [False, True])
def test_meta_sgd_trains_initial_parameters_step_sizes_and_the_rest(tmp_path, second_order):
    before = {name: p.clone() for name, p in base().network.named_parameters()}
    training, _ = run(tmp_path / "run", second_order=second_order, steps=2, whole=True)
    changed = {
        name for name, p in training.network.named_parameters() if not torch.equal(p, before[name])
    }
    assert {"encoder.block1.0.weight", "decoder.block4.0.weight", "head.0.weight"} <= changed
    fresh = MetaTraining(base(), scenes(), MetaOptions(EARLY, **QUICK), tmp_path / "other")
    assert any(
        not torch.equal(size, fresh.log_sizes[name]) for name, size in training.log_sizes.items()
    )


def test_attention_is_differentiated_through_inner_gradients(tmp_path):
    torch.manual_seed(5)
    network = build_model("small", channels=4, height=32, width=48, unit="attention")
    options = MetaOptions(("prototype.",), **(QUICK | {"steps": 1}), second_order=True)
    begin = Checkpoint(network, fps=10.0)
    training = MetaTraining(begin, scenes(), options, tmp_path)
    before = network.prototype.key_map.weight.detach().clone()
    training.run()
    assert not torch.equal(training.network.prototype.key_map.weight, before)


def test_only_what_is_adapted_is_trained_unless_so_asked(tmp_path):
    before = {name: p.clone() for name, p in base().network.named_parameters()}
    training, _ = run(tmp_path / "run", steps=2)
    for name, p in training.network.named_parameters():
        assert torch.equal(p, before[name]) != name.startswith(EARLY), name


def test_maml_keeps_its_step_sizes(tmp_path):
    training, _ = run(tmp_path / "run", algorithm="maml", steps=2)
    fresh = MetaTraining(base(), scenes(), MetaOptions(EARLY, **QUICK), tmp_path / "other")
    assert all(
        torch.equal(size, fresh.log_sizes[name]) for name, size in training.log_sizes.items()
    )


def test_reptile_moves_the_targets_and_nothing_else(tmp_path):
    before = {name: p.clone() for name, p in base().network.named_parameters()}
    training, _ = run(tmp_path / "run", algorithm="reptile", steps=2)
    for name, p in training.network.named_parameters():
        assert torch.equal(p, before[name]) != name.startswith(EARLY), name


def test_meta_training_lowers_the_query_loss_after_adaptation(tmp_path, monkeypatch):
    monkeypatch.setattr(meta_training, "TASKS_FOR_SIZES", 24)
    # The prediction alone: two inner steps, and an outer loop of some seconds, move it most.
    options = QUICK | {
        "shots": (2,),
        "queries": 4,
        "first_change": 1e-3,
        "without": ("pseudo", "usage", "diversity"),
    }
    targets = ("encoder.block1.", "head.")

    def after(training):
        sizes = {name: size.exp() for name, size in training.log_sizes.items()}
        losses = []
        for number in range(1000, 1010):  # tasks that were not trained on
            support, query = training.tasks.task(number)
            params = dict(training.params)
            for batch in support:
                gradients = torch.autograd.grad(training.loss(params, batch), list(params.values()))
                params = {n: p - sizes[n] * g for (n, p), g in zip(params.items(), gradients)}
            losses.append(float(training.loss(params, query).detach()))
        return np.mean(losses)

    start = MetaTraining(base(), scenes(), MetaOptions(targets, **options), tmp_path / "start")
    longer = MetaOptions(targets, **(options | {"steps": 60, "learning_rate": 5e-3}))
    training = MetaTraining(base(), scenes(), longer, tmp_path / "run")
    training.run()
    assert after(training) < 0.95 * after(start)


def test_targets_that_the_loss_does_not_depend_on_are_named(tmp_path):
    with pytest.raises(TrainingError, match="does not depend on pseudo_head"):
        run(tmp_path / "run", without=("pseudo",))


def test_an_interrupted_run_ends_as_one_left_alone(tmp_path, monkeypatch):
    _, whole = run(tmp_path / "whole", steps=6, validation=("camera1",))
    original = MetaTraining.train_step

    def interrupted(self, **options):
        if self.step == 3:
            raise KeyboardInterrupt
        return original(self, **options)

    monkeypatch.setattr(MetaTraining, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", steps=6, validation=("camera1",))
    monkeypatch.undo()
    _, resumed = run(tmp_path / "cut", steps=6, validation=("camera1",), resume=True)
    first, second = load_checkpoint(whole), load_checkpoint(resumed)
    parameters = dict(second.network.named_parameters())
    assert all(torch.equal(p, parameters[name]) for name, p in first.network.named_parameters())
    assert all(
        torch.equal(s, second.meta.step_sizes[name]) for name, s in first.meta.step_sizes.items()
    )
    logs = [log_of(tmp_path / name) for name in ("whole", "cut")]
    for line in logs[0] + logs[1]:
        del line["seconds"]
    assert logs[0] == logs[1]


def test_the_last_step_is_logged_and_what_a_killed_writer_left_is_removed(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".state.pt.x.part").write_bytes(b"half")
    run(folder)
    assert [line["step"] for line in log_of(folder)] == [4]
    assert {"after", "before", "support"} <= set(log_of(folder)[0])
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "log.jsonl",
        "model.safetensors",
        "state.pt",
    ]


@pytest.fixture(scope="module")
def whole_log(tmp_path_factory):
    """The log of a run of two steps with validation, left alone."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder / "run", steps=2, validation=("camera1",))
    return log_of(folder / "run")


@pytest.mark.parametrize("moment", ["before step 0 is validated", "after", "while at the end"])
def test_interrupted_around_a_validation_each_is_in_the_log_once(
    whole_log, tmp_path, monkeypatch, moment
):
    validate = MetaTraining._validate

    def interrupted(self):
        if moment.startswith("before") or (moment.startswith("while") and self.step == 2):
            raise KeyboardInterrupt
        return validate(self)

    def stop(line):
        if moment == "after":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MetaTraining, "_validate", interrupted)
        training = MetaTraining(
            base(),
            scenes(),
            MetaOptions(EARLY, **(QUICK | {"steps": 2, "validation": ("camera1",)})),
            tmp_path / "cut",
        )
        with pytest.raises(KeyboardInterrupt):
            training.run(stop)
    run(tmp_path / "cut", steps=2, validation=("camera1",), resume=True)
    logs = [
        [line | {"seconds": 0} for line in log] for log in (whole_log, log_of(tmp_path / "cut"))
    ]
    assert logs[0] == logs[1]


def test_a_run_is_not_resumed_with_other_options_or_another_base(tmp_path):
    run(tmp_path / "run")
    with pytest.raises(CheckpointError, match="inner_steps"):
        run(tmp_path / "run", resume=True, inner_steps=3)
    with pytest.raises(TrainingError, match="resume"):
        run(tmp_path / "run")
    another = base()
    another.sha256 = "another"
    with pytest.raises(CheckpointError, match="another model"):
        MetaTraining(another, scenes(), MetaOptions(EARLY, **QUICK), tmp_path / "run", resume=True)


def test_what_cannot_be_is_named(tmp_path):
    with pytest.raises(TrainingError, match="camera9"):
        run(tmp_path / "a", validation=("camera9",))
    with pytest.raises(TrainingError, match="every scene"):
        run(tmp_path / "b", validation=("camera0", "camera1", "camera2"))
    with pytest.raises(MpnError, match="encoder.block9"):
        MetaTraining(base(), scenes(), MetaOptions(("encoder.block9.",), **QUICK), tmp_path / "c")


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": None},
        {"algorithm": "sgd"},
        {"inner_steps": 0},
        {"precision": "half"},
        {"first_change": 0.0},
    ],
)
def test_impossible_options_are_named(wrong):
    with pytest.raises(TrainingError, match=r"give either|sgd|inner steps|half|out of range"):
        MetaOptions(EARLY, **(QUICK | wrong))

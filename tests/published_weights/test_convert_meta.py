"""The authors' meta-training as a model of mpn: what it computes and needs, what does not fit."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch.func import functional_call

from mpn.adaptation.inner_loop import Adaptation, adapt_network
from mpn.datasets.shots import shots_of
from mpn.datasets.windows import Clip
from mpn.errors import CheckpointError, MpnError
from mpn.model import losses
from mpn.model.camera_checkpoint import save_camera
from mpn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mpn.model.network import build_model
from mpn.published_weights.convert import META, import_weights
from tests.helpers.authors_classes import convAE, meta_trained, save, trained

OLD_AND_NEW = pytest.mark.parametrize("old", [True, False], ids=["before 1.6", "since 1.6"])


def loss_after_a_step(network, params, sizes, batch):
    """The published loss after a step of gradient descent, written out; batch: (support, query)
    clips."""

    def loss(values, clips):
        output = functional_call(network, values, (clips[:, :12],))
        frame = losses.frame_loss(output.prediction, clips[:, 12:])
        return (
            frame
            + losses.compactness_loss(output)
            + 1e-4 * losses.diversity_loss(output.prototypes)
        )

    values = {name: p.detach().requires_grad_() for name, p in params.items()}
    gradients = torch.autograd.grad(loss(values, batch[0]), list(values.values()))
    moved = {name: p - sizes[name] * g for (name, p), g in zip(values.items(), gradients)}
    return loss(moved, batch[1]).item()


@pytest.mark.parametrize(
    ("base", "old"), [("the other format", True), ("the other format", False), ("ours", True)]
)
def test_meta_weights_on_their_base(module, files, tmp_path, old, base):
    path = files["model", not old]
    if base == "ours":
        path = tmp_path / "base.safetensors"
        begun, _ = import_weights(files["model", old])
        begun.fps, begun.normal = 12.5, {"error": [np.ones(5, np.float32)]}
        save_checkpoint(path, begun)
    checkpoint, imported = import_weights(files["meta", old], path)
    assert (imported.kind, imported.tensors, imported.numbers, imported.epoch) == (
        META,
        7,
        113_731,
        900,
    )
    assert (
        imported.base == path
        and imported.base_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    )

    saved = meta_trained(module)
    published = dict(module.named_parameters()) | saved["meta_init"]
    for weight, value in zip(checkpoint.network.parameters(), published.values(), strict=True):
        assert torch.equal(weight, value)
    assert checkpoint.meta.targets == ("prototype.heads.", "head.")
    assert (checkpoint.meta.steps, checkpoint.meta.batch) == (1, None)
    assert checkpoint.meta.clip_norm is None
    names = [
        name
        for name, _ in checkpoint.network.named_parameters()
        if name.startswith(checkpoint.meta.targets)
    ]
    assert list(checkpoint.meta.step_sizes) == names
    for weight, value in zip(
        checkpoint.meta.step_sizes.values(), saved["meta_alpha"].values(), strict=True
    ):
        assert torch.equal(weight, value)
    # The base's normal scores are not those of these weights; its frame rate is still that of its
    # footage.
    assert checkpoint.normal == {} and checkpoint.fps == (12.5 if base == "ours" else None)
    training, source = checkpoint.training, files["model", old if base == "ours" else not old]
    assert training["imported"].startswith(f"imported from {source.name}, sha256 ")
    assert training["meta"]["imported"].startswith(
        f"imported from {files['meta', old].name}, sha256 {imported.sha256}"
    )
    assert training["meta"]["base"] == f"{path.name}, sha256 {imported.base_sha256}"

    save_checkpoint(tmp_path / "meta.safetensors", checkpoint)
    again = load_checkpoint(tmp_path / "meta.safetensors")
    assert torch.equal(again.meta.step_sizes[names[0]], checkpoint.meta.step_sizes[names[0]])
    assert again.training == checkpoint.training


def test_a_step_of_imported_meta_weights_is_the_published_one(reference, tmp_path):
    arrays = reference.arrays("meta_step_64")
    published = convAE().double()
    weights = {
        row["name"]: torch.tensor(values)
        for row, values in zip(reference.rows, reference.weights(11, False))
    }
    published.load_state_dict(weights)
    generator = np.random.Generator(np.random.PCG64(9))
    targets = {name: p for name, p in weights.items() if name.startswith(("prototype.", "ohead."))}
    sizes = {
        name: torch.tensor(generator.uniform(0.005, 0.015, tuple(p.shape)))
        for name, p in targets.items()
    }
    base = save(tmp_path / "base.pth", trained(published), old=True)
    meta = save(
        tmp_path / "meta.pth", {"epoch": 1, "meta_init": targets, "meta_alpha": sizes}, old=True
    )
    checkpoint, _ = import_weights(meta, base)
    clips = np.random.Generator(np.random.PCG64(7)).uniform(-1, 1, (4, 15, 64, 64))
    clips = torch.tensor(clips, dtype=torch.float32)
    params = {
        name: dict(checkpoint.network.named_parameters())[name]
        for name in checkpoint.meta.step_sizes
    }
    loss = loss_after_a_step(
        checkpoint.network, params, checkpoint.meta.step_sizes, (clips[:2], clips[2:])
    )
    assert loss == pytest.approx(float(arrays["query_loss"].array), rel=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_imported_meta_weights_take_one_step_on_all_windows(files, tmp_path, count):
    imported, _ = import_weights(files["meta", False], files["model", False])
    save_checkpoint(tmp_path / "meta.safetensors", imported)
    checkpoint = load_checkpoint(tmp_path / "meta.safetensors")
    assert checkpoint.meta is not None and checkpoint.meta.batch is None
    frames = np.random.default_rng(3).integers(0, 256, (3 * 7, 64, 64, 3), np.uint8)
    clip = Clip("a", "s", frames)
    shots = shots_of([clip], [(0, 4 + 7 * number) for number in range(count)], 4)
    adapted = adapt_network(checkpoint, shots, Adaptation("meta"))
    # The mean of the gradients of the windows, one by one, as Test_meta.py takes it.
    names = list(checkpoint.meta.step_sizes)
    parameters = dict(checkpoint.network.named_parameters())
    params = {name: parameters[name].detach().requires_grad_() for name in names}
    means = {name: torch.zeros_like(p) for name, p in params.items()}
    for number in range(count):
        window = frames[7 * number : 7 * number + 5].transpose(0, 3, 1, 2)
        clips = torch.from_numpy(window.reshape(1, 15, 64, 64)).float() / 127.5 - 1
        output = functional_call(checkpoint.network, params, (clips[:, :12],))
        loss = losses.frame_loss(output.prediction, clips[:, 12:])
        loss = loss + losses.compactness_loss(output)
        loss = loss + 1e-4 * losses.diversity_loss(output.prototypes)
        for name, gradient in zip(names, torch.autograd.grad(loss, list(params.values()))):
            means[name] += gradient / count
    for name, mean in means.items():
        change = adapted[name] - params[name].detach()
        expected = -checkpoint.meta.step_sizes[name] * mean
        torch.testing.assert_close(change, expected, rtol=2e-2, atol=1e-7)


def test_what_a_meta_training_needs(module, files, tmp_path, tiny):
    meta, model = files["meta", False], files["model", False]

    def told(message, path, base=None):
        with pytest.raises(CheckpointError, match=message) as caught:
            import_weights(path, base)
        assert "\n" not in str(caught.value)

    told("is of meta-training and holds 7 tensors only: give the model that it began with", meta)
    told("is a whole model and needs no base", model, model)
    told("is of meta-training itself and no base", meta, meta)
    told("there is no checkpoint", meta, tmp_path / "none.safetensors")
    told("none.pth is not there", meta, tmp_path / "none.pth")
    save_checkpoint(tmp_path / "small.safetensors", Checkpoint(tiny))
    told("of preset 'small', not the published network", meta, tmp_path / "small.safetensors")
    narrow = build_model("base", channels=8, height=64, width=64)
    save_checkpoint(tmp_path / "narrow.safetensors", Checkpoint(narrow))
    told("base .*narrow.safetensors.*6 of another shape", meta, tmp_path / "narrow.safetensors")
    tensors = {"head.4.bias": narrow.head[4].bias}
    base = tmp_path / "narrow.safetensors"
    sha256 = load_checkpoint(base).sha256
    camera = tmp_path / "a.camera.safetensors"
    save_camera(camera, base, sha256, tensors, {}, 10.0, {}, {})
    told("is adapted to a camera: give the model .*narrow.safetensors instead", meta, camera)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("meta_init", {"ohead.0.bias": None}, r"\(meta_init, .*1 missing \(ohead.0.bias\)"),
        ("meta_alpha", {"ohead.0.bias": None}, r"\(meta_alpha, .*1 missing \(ohead.0.bias\)"),
        ("meta_alpha", {"ohead.0.bias": torch.zeros(1)}, r"\(meta_alpha, .*of another shape"),
        ("meta_alpha", {"ohead.0.bias": torch.full((64,), float("inf"))}, "not finite"),
        ("meta_init", {"encoder.moduleConv1.0.bias": torch.zeros(64)}, r"\(meta_init, .*1 unknown"),
    ],
)
def test_meta_weights_that_do_not_fit(module, files, tmp_path, key, change, message):
    saved = meta_trained(module)
    saved[key] = {name: value for name, value in (saved[key] | change).items() if value is not None}
    path = save(tmp_path / "file.pth", saved, old=False)
    with pytest.raises(MpnError, match=message):
        import_weights(path, files["model", False])
    if key == "meta_init" and "1 missing" in message:
        saved.pop("meta_alpha")
        with pytest.raises(MpnError, match="missing|no tensors called meta_alpha"):
            import_weights(save(path, saved, old=False), files["model", False])

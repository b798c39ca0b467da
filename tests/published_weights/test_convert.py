"""The authors' weights as models of mpn: whose numbers they give, and what does not fit."""

from __future__ import annotations

import copy
import hashlib
import math
from collections import OrderedDict
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

import mpn
from mpn.model import losses
from mpn.model.checkpoint import _preset_of, load_checkpoint, save_checkpoint
from mpn.model.config import ModelConfig, get_config
from mpn.model.network import build_model
from mpn.published_weights.convert import MODEL, import_weights
from mpn.scoring.detector import Detector
from tests.helpers.authors_classes import convAE, save, trained
from tests.helpers.hostile_files import refused
from tests.helpers.small_model import footage, write_footage

OLD_AND_NEW = pytest.mark.parametrize("old", [True, False], ids=["before 1.6", "since 1.6"])
WINDOW = (
    torch.rand(1, 12, 16, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
    - 1
)


def outputs(network, window=WINDOW):
    """Ours, in float64."""
    with torch.no_grad():
        return network.double()(window)


def same(network, published, window=WINDOW):
    """Both networks make the same of a window: the frame, the prototypes, and what is between."""
    with torch.no_grad():
        prediction, parts = published.double()(window)
    published.float()
    output = outputs(network, window)
    for computed, value in (
        (output.prediction, prediction),
        (output.prototypes, parts.prototypes),
        (output.assignment, parts.assignment),
        (output.aggregation, parts.aggregation),
        (output.distance, parts.distance),
        (output.query, parts.query),
    ):
        assert (
            computed.shape == value.shape
            and (computed - value).abs().max() <= 1e-9 * value.abs().max()
        )


# --- Whole models


@OLD_AND_NEW
def test_a_module_of_the_authors_computes_the_same_here(module, files, old):
    checkpoint, imported = import_weights(files["model", old])
    assert (imported.kind, imported.described, imported.epoch) == (
        MODEL,
        "module model.base_model.convAE",
        60,
    )
    assert (imported.tensors, imported.numbers) == (41, 13_285_251)
    assert imported.layout == ("before torch 1.6" if old else "since torch 1.6")
    assert checkpoint.config == get_config("base", interpolation="linear")
    assert not checkpoint.network.training
    assert all(
        p.dtype == torch.float32 and p.requires_grad for p in checkpoint.network.parameters()
    )
    same(checkpoint.network, module)


@pytest.mark.parametrize(
    ("file", "seed", "sharp", "old"),
    [
        ("forward_64", 11, False, True),
        ("forward_64", 11, False, False),
        ("forward_sharp_64", 12, True, True),
    ],
)
def test_imported_weights_give_the_published_networks_numbers(
    reference, tmp_path, file, seed, sharp, old
):
    rows, arrays = reference.rows, reference.arrays(file)
    weights = reference.weights(seed, sharp)
    published = convAE().double()
    assert [name for name, _ in published.named_parameters()] == [row["name"] for row in rows]
    published.load_state_dict(
        {row["name"]: torch.tensor(values) for row, values in zip(rows, weights)}
    )
    network = import_weights(save(tmp_path / "file.pth", trained(published), old=old))[0].network
    clip = torch.tensor(
        np.random.Generator(np.random.PCG64(7)).uniform(-1, 1, (2, 15, 64, 64)), dtype=torch.float32
    )
    with torch.no_grad():
        output = network(clip[:, :12])
    values = {
        "encoding": output.encoding,
        "query_part": output.query[:, ::16, ::4, ::4],
        "aggregation_part": output.aggregation[:, ::16, ::4, ::4],
        "prototypes": output.prototypes,
        "assignment": output.assignment.reshape(2, 64, 64, 10)[:, ::4, ::4],
        "prediction": output.prediction,
        "compactness_map": output.compactness,
        "compactness_loss": losses.compactness_loss(output),
        "diversity_loss": losses.diversity_loss(output.prototypes),
        "frame_loss": losses.frame_loss(output.prediction, clip[:, 12:]),
        "parameter_sums": torch.stack([p.detach().double().sum() for p in network.parameters()]),
        "parameter_first": torch.stack([p.detach().flatten()[0] for p in network.parameters()]),
    }
    for name, value in values.items():
        arrays[name].assert_agrees(value.double().numpy(), 1e-4, name)


def test_what_is_written_is_a_model_that_says_where_it_is_from(files, tmp_path):
    source = files["model", True]
    checkpoint, imported = import_weights(source)
    save_checkpoint(tmp_path / "model.safetensors", checkpoint)
    again = load_checkpoint(tmp_path / "model.safetensors")
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    assert imported.sha256 == sha256
    origin = f"imported from {source.name}, sha256 {sha256}, authors' weights, not trained here"
    assert again.training == {"imported": origin, "epoch": 60}
    assert (again.normal, again.meta, again.fps) == ({}, None, None)
    for name, values in checkpoint.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], values)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert len(list(file.keys())) == 41


def test_it_scores_footage_without_knowing_a_threshold(files, tmp_path):
    checkpoint, _ = import_weights(files["model", False])
    checkpoint.network.config = replace(checkpoint.config, height=32, width=48)  # to be quick
    detector = Detector(checkpoint, precision="float32")
    scores = [
        result.score
        for result in detector.score(write_footage(tmp_path / "clip", footage(7)), fps=10)
    ]
    assert len(scores) == 7 and np.isfinite(scores[4:]).all() and len(set(scores[4:])) == 3
    assert detector.calibration(10) is None


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda module: module,
        lambda module: {"state_dict": module},
        lambda module: {"state_dict": module.state_dict(), "epoch": 60},
        lambda module: module.state_dict(),
        lambda module: {"epoch": True, "state_dict": nn.DataParallel(module)},
        lambda module: {"epoch": -1, "state_dict": nn.DataParallel(module).state_dict()},
    ],
    ids=[
        "module",
        "module in a dict",
        "state dict in a dict",
        "state dict",
        "DataParallel",
        "its state dict",
    ],
)
def test_other_ways_to_save_the_same(module, tmp_path, wrapped):
    checkpoint, imported = import_weights(save(tmp_path / "file.pth", wrapped(module), old=False))
    originals = list(module.parameters())
    for weight, value in zip(checkpoint.network.parameters(), originals, strict=True):
        assert torch.equal(weight, value)
    assert imported.epoch in (None, 60) and imported.numbers == 13_285_251


@pytest.mark.parametrize(
    ("dtype", "old"), [(torch.float64, True), (torch.float16, False), (torch.bfloat16, True)]
)
def test_weights_of_other_precision(tmp_path, dtype, old):
    torch.manual_seed(6)
    values = convAE().to(dtype).state_dict()
    network = import_weights(save(tmp_path / "file.pth", {"state_dict": values}, old=old))[
        0
    ].network
    for weight, value in zip(network.parameters(), values.values(), strict=True):
        assert weight.dtype == torch.float32 and torch.equal(weight, value.float())


@OLD_AND_NEW
def test_weights_that_are_views_of_one_storage(module, tmp_path, old):
    whole = torch.cat([p.detach().flatten() for p in module.parameters()])
    values, place = OrderedDict(), 0
    for name, parameter in module.named_parameters():
        values[name] = whole[place : place + parameter.numel()].view(parameter.shape)
        place += parameter.numel()
    values["ohead.4.weight"] = (
        module.ohead[4].weight.detach().permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    )
    path = save(tmp_path / "file.pth", {"state_dict": values}, old=old)
    assert path.stat().st_size < 54e6
    same(import_weights(path)[0].network, module)


def test_the_first_version_called_prototypes_memory(tmp_path):
    torch.manual_seed(3)
    module = convAE(unit="memory")
    checkpoint, imported = import_weights(save(tmp_path / "file.pth", trained(module), old=True))
    assert imported.tensors == 41
    same(checkpoint.network, module)


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({"colours": 1, "frames": 4}, {"grey": True, "window": 4}),
        ({"colours": 3, "frames": 2}, {"grey": False, "window": 2}),
        ({"prototypes": 7}, {"prototypes": 7}),
    ],
)
def test_options_of_their_code_are_read_off_the_shapes(tmp_path, options, config):
    torch.manual_seed(3)
    module = convAE(**options)
    checkpoint, _ = import_weights(save(tmp_path / "file.pth", trained(module), old=False))
    assert {name: getattr(checkpoint.config, name) for name in config} == config
    channels = checkpoint.config.window * checkpoint.config.colours
    same(checkpoint.network, module, WINDOW[:, :channels])


# --- What does not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ohead.4.bias": None}, r"tensors: 1 missing \(ohead.4.bias\)"),
        ({"encoder.moduleConv2.2.weight": None}, r"1 missing \(encoder.moduleConv2.2.weight\)"),
        ({"decoder.moduleUpsample4.0.bias": None}, r"1 missing \(decoder.moduleUpsample4.0.bias\)"),
        ({"decoder.moduleConv.0.bias": None}, r"1 missing \(decoder.moduleConv.0.bias\)"),
        ({"prototype.Mheads.weight": None}, r"1 missing \(prototype.Mheads.weight\)"),
        ({"memory.keys": torch.zeros(3)}, r"1 unknown \(memory.keys\)"),
        ({"memory.Mheads.weight": torch.zeros(10, 128)}, r"1 unknown \(prototype.Mheads.weight\)"),
        ({"head.0.bias": torch.zeros(64)}, r"1 unknown \(head.0.bias\)"),
        ({"ohead.\x1b[31m\n": torch.zeros(3)}, r"1 unknown \(ohead.\\x1b\[31m\\n\)"),
        (
            {"ohead.0.bias": torch.zeros(65), "x": torch.zeros(1), "ohead.2.bias": None},
            r"1 missing \(ohead.2.bias\); 1 unknown \(x\); 1 of another shape \(ohead.0.bias of 65 "
            r"instead of 64\)",
        ),
        ({"ohead.0.bias": torch.zeros(())}, r"ohead.0.bias of one number instead of 64"),
        (
            {"encoder.moduleConv1.0.weight": torch.zeros(64, 13, 3, 3)},
            "of 64x13x3x3 instead of 64x12x3x3",
        ),
        ({"encoder.moduleConv1.0.weight": torch.zeros(64)}, "of 64 instead of 64x12x3x3"),
        ({"ohead.4.bias": torch.zeros(2)}, "of 2 instead of 3"),
        (
            {"ohead.4.bias": torch.tensor([0, float("nan"), 0])},
            r"head.4.bias has numbers that are "
            r"not finite",
        ),
        ({"ohead.4.bias": torch.tensor([0, 1e300, 0], dtype=torch.float64)}, "not finite"),
        (
            {"ohead.4.bias": torch.zeros(3, dtype=torch.int64)},
            "is of torch.int64, weights are floating-point",
        ),
        ({"ohead.4.bias": torch.zeros(0)}, "of 0 instead of 3"),
    ],
)
def test_tensors_that_do_not_fit(module, tmp_path, change, message):
    # all are views of these, so that the file is small
    numbers = torch.zeros(512 * 512 * 9, dtype=torch.float16)
    whole = {
        name: numbers[: value.numel()].view(value.shape)
        for name, value in module.state_dict().items()
    }
    values = {name: value for name, value in (whole | change).items() if value is not None}
    refused(save(tmp_path / "file.pth", {"state_dict": values}, old=False), message)


def test_the_list_of_what_is_missing_is_cut_short(tmp_path):
    line = refused(
        save(tmp_path / "file.pth", {"state_dict": {"fc.weight": torch.zeros(2)}}, old=False),
        "41 missing",
    )
    assert line.count("moduleConv1") == 3 and ", ...)" in line and "1 unknown (fc.weight)" in line


@pytest.mark.parametrize(
    "value",
    [
        {"epoch": 3},
        {"state_dict": None},
        {"state_dict": {}},
        {"state_dict": {"a": 1}},
        [1],
        5,
        "text",
        None,
        torch.zeros(3),
        {"meta_init": None},
        {"meta_init": {}, "meta_alpha": 3},
        {},
    ],
)
@OLD_AND_NEW
def test_files_without_weights(tmp_path, value, old):
    refused(
        save(tmp_path / "file.pth", value, old=old),
        "holds no weights|no tensors called|holds 0 tensors only",
    )


def test_an_empty_module(tmp_path):
    refused(
        save(tmp_path / "file.pth", {"state_dict": nn.Sequential(nn.ReLU())}, old=False),
        "41 missing",
    )


# --- From the file to PSNR


@pytest.mark.parametrize("size", [(240, 360), (720, 960)])
def test_imported_weights_see_the_authors_pictures(files, module, tmp_path, size):
    """PSNR of a picture folder is that of their np_load_frame: cv2.resize as it is by default."""
    imported, _ = import_weights(files["model", False])
    save_checkpoint(tmp_path / "m.safetensors", imported)
    rng = np.random.default_rng(0)
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(5):
        assert cv2.imwrite(
            str(folder / f"{number}.png"), rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        )
    read = [
        cv2.resize(cv2.imread(str(folder / f"{number}.png")), (256, 256)) for number in range(5)
    ]
    frames = torch.from_numpy(np.stack(read).transpose(0, 3, 1, 2)).float() / 127.5 - 1
    with torch.no_grad():
        prediction, _ = copy.deepcopy(module).float()(frames[None, :4].flatten(1, 2))
    error = float((((prediction + 1) / 2 - (frames[4] + 1) / 2) ** 2).mean())
    expected = 10 * math.log10(1 / error)
    detector = mpn.load(tmp_path / "m.safetensors", precision="float32")
    [*_, result] = detector.score(folder)
    assert result.parts["psnr_db"] == pytest.approx(expected, abs=1e-3)
    by_area = mpn.Detector(
        replace(imported, network=build_model(replace(imported.config, interpolation="area"))),
        precision="float32",
    )
    by_area.network.load_state_dict(imported.network.state_dict())
    [*_, area_result] = by_area.score(folder)
    assert abs(area_result.parts["psnr_db"] - expected) > 0.01


def test_what_was_imported_before_frames_were_resized_so_is_read_as_the_authors_do():
    options = get_config("base").to_dict()
    del options["interpolation"]
    imported = {"preset": options, "training": {"imported": "imported from model.pth"}}
    assert ModelConfig.from_dict(_preset_of(imported)).interpolation == "linear"
    trained_here = {"preset": options, "training": {"steps": 100}}
    assert ModelConfig.from_dict(_preset_of(trained_here)).interpolation == "area"

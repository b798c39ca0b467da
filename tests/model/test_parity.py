"""The base preset against values that the published network computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mpn.model import losses
from mpn.model.network import build_model
from mpn.scoring.frame_batches import begin
from mpn.scoring.parts import ScoringBatch, parts_of

# The paper's network, tensor by tensor: two convolutions a block, and the transposed convolutions
# between.
BASE_SHAPES = [
    *[
        (64, 12, 3, 3),
        (64,),
        (64, 64, 3, 3),
        (64,),
        (128, 64, 3, 3),
        (128,),
        (128, 128, 3, 3),
        (128,),
    ],
    *[
        (256, 128, 3, 3),
        (256,),
        (256, 256, 3, 3),
        (256,),
        (512, 256, 3, 3),
        (512,),
        (512, 512, 3, 3),
        (512,),
    ],
    *[(512, 512, 3, 3), (512,), (512, 512, 3, 3), (512,), (512, 256, 3, 3), (256,)],
    *[(256, 512, 3, 3), (256,), (256, 256, 3, 3), (256,), (256, 128, 3, 3), (128,)],
    *[(128, 256, 3, 3), (128,), (128, 128, 3, 3), (128,), (128, 64, 3, 3), (64,)],
    *[(10, 128), (64, 128, 3, 3), (64,), (64, 64, 3, 3), (64,), (3, 64, 3, 3), (3,)],
]


def forward_values(weights, clip, dtype):
    """Every array of the reference by its name, computed by our network."""
    network = build_model("base", height=64, width=64).to(dtype)
    for parameter, values in zip(network.parameters(), weights, strict=True):
        assert tuple(parameter.shape) == values.shape
        parameter.data = torch.tensor(values, dtype=dtype)
    window, target = (
        torch.tensor(clip[:, :12], dtype=dtype),
        torch.tensor(clip[:, 12:], dtype=dtype),
    )
    with torch.no_grad():
        output = network(window)
    # No part of this score looks at the source's frames.
    batch = ScoringBatch(np.zeros((0, 64, 64, 3), np.uint8), target.float(), output)
    scores = [frame.parts for frame in begin(batch, parts_of(network), 16, 4)()]
    return {
        "encoding": output.encoding,
        "query_part": output.query[:, ::16, ::4, ::4],
        "aggregation_part": output.aggregation[:, ::16, ::4, ::4],
        "prototypes": output.prototypes,
        "assignment": output.assignment.reshape(2, 64, 64, 10)[:, ::4, ::4],
        "prediction": output.prediction,
        "compactness_map": output.compactness,
        "compactness_mean": output.compactness.mean(dim=(1, 2)),
        "compactness_loss": losses.compactness_loss(output),
        "diversity_loss": losses.diversity_loss(output.prototypes),
        # Between neighbours in the batch; the published code computes it and does not train by it.
        "consistency_loss": torch.diff(F.normalize(output.prototypes, dim=2), dim=0)
        .square()
        .sum(dim=2)
        .mean(),
        "frame_loss": losses.frame_loss(output.prediction, target),
        "frame_mse_unit_range": (((output.prediction + 1) / 2 - (target + 1) / 2) ** 2).mean(
            dim=(1, 2, 3)
        ),
        "parameter_sums": torch.stack([p.detach().sum() for p in network.parameters()]),
        "parameter_first": torch.stack([p.detach().flatten()[0] for p in network.parameters()]),
    }, {
        # Made by the scorer, which always ends in float32.
        "psnr": np.array([parts["psnr_db"] for parts in scores]),
        "compactness_mean": np.array([parts["compactness"] for parts in scores]),
    }


DTYPES = {torch.float64: 1e-9, torch.float32: 1e-4}


@pytest.fixture(
    scope="module",
    params=[("forward_64", 11, False), ("forward_sharp_64", 12, True)],
    ids=["forward_64", "forward_sharp_64"],
)
def computed(request, reference):
    """Which file, and by precision what our network makes of its weights and clip."""
    file, seed, sharp = request.param
    arrays = reference.arrays(file)
    weights = list(reference.weights(seed, sharp))
    clip = np.random.Generator(np.random.PCG64(7)).uniform(-1, 1, (2, 15, 64, 64))
    assert np.isclose(clip.sum(), arrays["clip_sum"].array, rtol=1e-12)
    assert np.array_equal(clip[0, 0, :4, :4], arrays["clip_corner"].array)
    return file, {dtype: forward_values(weights, clip, dtype) for dtype in DTYPES}


def assert_forward_agrees(computed, reference):
    file, by_dtype = computed
    arrays = reference.arrays(file)
    compared = {"clip_sum", "clip_corner", "psnr"}
    for dtype, tolerance in DTYPES.items():
        values, scored = by_dtype[dtype]
        for name, value in values.items():
            arrays[name].assert_agrees(value.double().numpy(), tolerance, (name, dtype))
        for name, value in scored.items():
            assert np.allclose(value, arrays[name].array, rtol=1e-4), (name, dtype)
        compared |= set(values)
    assert compared == set(arrays)  # no array is left out


def test_the_base_forward_agrees_with_the_published_network(computed, reference):
    assert_forward_agrees(computed, reference)


@pytest.mark.reference
def test_every_number_of_the_base_forward_agrees(computed, full_reference):
    assert_forward_agrees(computed, full_reference)


def test_base_has_the_published_tensors_in_their_order():
    shapes = [tuple(parameter.shape) for parameter in build_model("base").parameters()]
    assert shapes == BASE_SHAPES
    assert len(shapes) == 41 and sum(int(np.prod(shape)) for shape in shapes) == 13_285_251


def test_the_listed_shapes_are_those_of_the_reference(reference):
    assert reference.shapes() == BASE_SHAPES

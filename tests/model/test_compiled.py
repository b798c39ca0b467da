"""A network's forward made quicker, or done as it comes where that does not work."""

from __future__ import annotations

import pytest
import torch

import mpn
from mpn.errors import MpnError, SizeError
from mpn.model import compiled
from mpn.model.compiled import OfOneShape, WithFallback, for_scoring, for_training
from mpn.model.engines import TorchEngine, narrowed, open_engine
from mpn.model.network import build_model


def windows(network, batch):
    config = network.config
    shape = (batch, config.window * config.colours, *config.size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(batch)) * 2 - 1


@pytest.mark.parametrize("preset", ["small", "base"])
def test_convolutions_in_bfloat16_give_what_autocast_gives(preset):
    torch.manual_seed(2)
    network = build_model(preset, channels=4, height=32, width=48).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected, output = network(windows(network, 2)), narrowed(network)(windows(network, 2))
    assert torch.equal(expected.prediction, output.prediction)
    assert torch.equal(expected.compactness, output.compactness)
    assert network.head[0].weight.dtype == torch.float32  # the network itself is left alone


def test_a_smaller_batch_is_filled_up_to_the_largest_so_far(tiny):
    sizes = []

    def forward(window):
        sizes.append(len(window))
        return tiny(window)

    run = OfOneShape(forward)
    with torch.inference_mode():
        for count in (3, 1, 4, 2):
            output, expected = run(windows(tiny, count)), tiny(windows(tiny, count))
            assert output.pseudo_logits.shape == expected.pseudo_logits.shape
            torch.testing.assert_close(output.prediction, expected.prediction, atol=1e-5, rtol=0)
    assert sizes == [3, 3, 4, 4]


def test_without_a_head_nothing_is_cut_of_it():
    network = build_model("small", channels=4, height=32, width=48, pseudo_head=False)
    run = OfOneShape(network)
    run(windows(network, 2))
    assert run(windows(network, 1)).pseudo_logits is None


def test_what_does_not_work_is_said_once_and_done_without(tiny, caplog):
    tried = []

    def broken(window):
        tried.append(1)
        raise RuntimeError("no compiler\nand many lines")

    run = WithFallback(tiny, broken, "inductor")
    with torch.inference_mode():
        for _ in range(3):
            assert torch.equal(run(windows(tiny, 1)).prediction, tiny(windows(tiny, 1)).prediction)
    assert len(tried) == 1
    assert [record.message for record in caplog.records] == [
        "--compile inductor does not work here, so it is done without: no compiler"
    ]


def test_errors_that_are_not_the_compilers_pass(tiny):
    def too_small(window):
        raise SizeError("frames of 8x8")

    with pytest.raises(SizeError, match="8x8"):
        WithFallback(tiny, too_small, "graph")(windows(tiny, 1))
    works = [True]

    def breaks_later(window):
        if not works.pop():
            raise RuntimeError("later")
        return tiny(window)

    run = WithFallback(tiny, breaks_later, "graph")
    run(windows(tiny, 1))
    works.append(False)
    with pytest.raises(RuntimeError, match="later"):  # it did work: something else is wrong
        run(windows(tiny, 1))


def test_a_cuda_graph_on_a_processor_is_said_and_done_without(tiny, caplog):
    engine = TorchEngine(tiny, compiled="graph")
    with torch.inference_mode():
        expected = tiny(windows(tiny, 2)).prediction
        torch.testing.assert_close(engine(windows(tiny, 2)).prediction, expected)
    assert "--compile graph does not work here" in caplog.text and "need a GPU" in caplog.text


def test_the_compiled_network_trains_as_it_does_without(tiny, monkeypatch):
    monkeypatch.setattr(compiled, "BACKEND", "eager")  # inductor takes minutes
    window = windows(tiny, 2)
    gradients = []
    for way in (None, "inductor"):
        tiny.zero_grad()
        output = for_training(tiny, way)(window)
        (output.prediction.square().mean() + output.distance.mean()).backward()
        gradients.append([p.grad.clone() for p in tiny.parameters() if p.grad is not None])
    for plain, quick in zip(*gradients, strict=True):
        torch.testing.assert_close(quick, plain)
    assert not torch._dynamo.utils.counters["graph_break"]


def test_ways_that_there_are_not(tiny):
    assert for_scoring(tiny, None) is tiny and for_training(tiny, None) is tiny
    with pytest.raises(MpnError, match="compiled by 'magic': inductor or graph"):
        open_engine("torch", tiny, compiled="magic")
    with pytest.raises(MpnError, match="openvino compiles by itself"):
        open_engine("openvino", tiny, compiled="graph")


def test_a_detector_hands_on_how_it_runs_its_network(still):
    detector = mpn.load(still)
    configured = mpn.Detector(detector.checkpoint, batch_size=7, compiled="graph")
    sibling = configured.sibling(detector.checkpoint)
    assert (sibling.batch_size, sibling.compiled, sibling.device.type) == (7, "graph", "cpu")
    assert (
        detector.batch_size == 8 and detector.ends_a_batch(12) and not configured.ends_a_batch(12)
    )
    assert configured.ends_a_batch(11)
    with pytest.raises(MpnError, match="in batches of -1: from 1 up"):
        mpn.Detector(detector.checkpoint, batch_size=-1)

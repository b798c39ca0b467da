"""What a machine can do with a model: what is counted, and what is advised."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from mpn.bench import (
    FILM_SIZE,
    FilmBench,
    FilmRate,
    NetworkBench,
    NetworkRate,
    Setting,
    bench_film,
    bench_network,
    open_engines,
    settings_here,
    usual_setting,
    write_film,
)
from mpn.model.checkpoint import Checkpoint
from mpn.model.engines import installed_engines
from mpn.video.sources import open_source
from tests.helpers.small_model import still_network

TORCH = Setting("torch", "float32")


def operations(network: nn.Module, window: torch.Tensor) -> int:
    """By hand: two for each weight of a convolution at each place that it is applied to."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal total
        places = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        total += 2 * layer.weight.numel() * places.shape[2] * places.shape[3]

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(window)
    return total


def test_the_operations_of_a_frame_are_its_convolutions_and_little_else(tiny):
    settings = [TORCH, Setting("torch", "bfloat16")]
    measured = bench_network(tiny, open_engines(tiny, settings), batches=(1, 3), rounds=2)
    convolutions = operations(tiny, torch.zeros(1, 4, *tiny.config.size))
    assert convolutions < measured.flops < 1.3 * convolutions  # the rest: the prototype unit
    assert [(rate.setting, rate.batch) for rate in measured.rates] == [
        (setting, batch) for setting in settings for batch in (1, 3)
    ]
    assert set(measured.peak) == {"float32", "bfloat16"}
    for rates in (*measured.peak.values(), *(rate.rates for rate in measured.rates)):
        assert len(rates) == 2 and min(rates) > 0


def test_the_share_of_the_peak():
    rate = NetworkRate(TORCH, 4, [20.0, 30.0, 25.0])
    measured = NetworkBench(4_000_000_000, {"float32": [2e11, 1e11, 3e11]}, [rate])
    assert measured.share(rate) == pytest.approx(0.5)  # 25 x 4 of 200 GFLOP/s


def test_rounds_end_when_the_time_is_over_but_not_before_two(tiny):
    measured = bench_network(tiny, open_engines(tiny, [TORCH]), batches=(1,), rounds=50, seconds=0)
    assert len(measured.rates[0].rates) == 2


@pytest.mark.parametrize(
    ("alternative", "best"),
    [
        ({"float32": [110.0, 55.0, 120.0]}, "float32"),  # 1.1 times in the round's median
        ({"float32": [104.0, 52.0, 90.0]}, "bfloat16"),  # not worth an option
        ({"float32": [90.0, 400.0, 80.0]}, "bfloat16"),  # a single lucky round
        ({"float32": [110.0, 49.0, 120.0]}, "bfloat16"),  # not each time
    ],
)
def test_another_setting_is_advised_only_where_it_is_well_quicker(monkeypatch, alternative, best):
    monkeypatch.setattr("mpn.bench.engine_precision", lambda engine, precision: True)
    rates = {"bfloat16": [100.0, 50.0, 100.0], **alternative}
    film = FilmBench(
        [1.0], [FilmRate(Setting("torch", name), rounds) for name, rounds in rates.items()]
    )
    assert film.best().setting == Setting("torch", best)


def test_the_options_say_only_what_is_not_done_without(monkeypatch):
    monkeypatch.setattr("mpn.bench.engine_precision", lambda engine, precision: engine == "torch")
    assert Setting("torch", "bfloat16").options == ""
    assert Setting("torch", "float32").options == "--precision float32"
    assert Setting("openvino", "float32").options == "--engine openvino"
    assert Setting("openvino", "bfloat16").options == "--engine openvino --precision bfloat16"


def test_settings_are_of_the_engines_that_are_installed():
    settings = settings_here()
    assert settings[0] == TORCH and usual_setting() in settings
    assert {setting.engine for setting in settings} == set(installed_engines())
    assert Setting("onnxruntime", "bfloat16") not in settings


def test_the_film_can_be_read(tmp_path):
    write_film(tmp_path / "film.mp4", 5)
    source = open_source(tmp_path / "film.mp4")
    assert (source.length, source.size, source.fps) == (5, FILM_SIZE, 30)


def test_all_of_it_is_measured_by_every_setting(caplog):
    settings = list(dict.fromkeys([TORCH, usual_setting()]))
    level = logging.getLogger("mpn").level
    measured = bench_film(Checkpoint(still_network()), settings, rounds=2, frames=8)
    assert [rate.setting for rate in measured.rates] == settings
    assert all(len(rate.rates) == 2 for rate in measured.rates) and len(measured.motion) == 2
    assert logging.getLogger("mpn").level == level

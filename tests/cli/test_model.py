"""Options of the score."""

from __future__ import annotations

import argparse

import pytest

from mpn.cli.model import add_model, model_options
from mpn.scoring.parts import PARTS


def test_every_part_has_an_option_for_its_weight(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_model(parser)
    options = parser.parse_args(["--error-weight", "2", "--pseudo-weight", "0"])
    assert (options.error_weight, options.pseudo_weight) == (2, 0)
    assert model_options(options) == ["--error-weight", "--pseudo-weight"]
    parser.print_help()
    text = " ".join(capsys.readouterr().out.split())
    for part in PARTS:
        assert f"--{part.name}-weight W weight of {part.title}" in text

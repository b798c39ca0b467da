"""What docs/live-outputs.md says is so: its examples are read and run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mpn.live.outputs.config import OutputsConfig
from mpn.live.outputs.metrics import Metrics
from mpn.live.outputs.webhook import signature
from tests.helpers.fake_cameras import status

PAGE = Path(__file__).resolve().parents[3] / "docs" / "live-outputs.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
CONFIGS = [block for kind, block in BLOCKS if kind == "yaml" and block.startswith("outputs:")]


@pytest.mark.parametrize("text", CONFIGS)
def test_examples_of_configs_are_understood(text: str) -> None:
    OutputsConfig.model_validate(yaml.safe_load(text)["outputs"])


def test_there_are_examples_of_all_outputs() -> None:
    keys = {key for text in CONFIGS for key in yaml.safe_load(text)["outputs"]}
    assert keys == set(OutputsConfig.model_fields)


def test_the_receiver_of_the_example_knows_a_request_of_ours() -> None:
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    session: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), session)
    now = str(int(session["time"].time()))
    for stamp, secret, body, ours in (
        (now, "s", b"{}", True),
        (now, "other", b"{}", False),
        (now, "s", b"{ }", False),
        ("1700000000", "s", b"{}", False),  # an old one again
    ):
        headers = {"X-Mpn-Timestamp": stamp, "X-Mpn-Signature": signature("s", stamp, b"{}")}
        assert session["is_ours"](headers, body, secret) is ours


def test_the_metrics_that_are_named_are_there() -> None:
    metrics = Metrics()
    metrics.status({"lobby": status(alarms_from=1.0)})
    families = set(re.findall(r"^# TYPE (\w+)", metrics.text().decode(), re.MULTILINE))
    named = set(re.findall(r"`(mpn_(?:camera|outbox)\w+)", TEXT))
    assert len(named) >= 14 and named <= families
    assert {name for name in families if name.startswith("mpn_camera")} <= named


def test_the_config_of_the_deployment_is_understood() -> None:
    text = (PAGE.parents[1] / "deploy" / "watch.yaml").read_text(encoding="utf-8")
    config = OutputsConfig.model_validate(yaml.safe_load(text)["outputs"])
    assert config.page is not None and config.page.needs_token

"""What a config may say of outputs, and what is refused before anything opens."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from mpn.errors import DataError
from mpn.live.outputs import settings
from mpn.live.outputs.settings import (
    MqttConfig,
    OutputsConfig,
    PageConfig,
    Settings,
    WebhookConfig,
    is_loopback,
    secret_of,
)

TOKEN = "0123456789abcdef"
HOOK = "https://example.org/hook"


def test_a_config_as_yaml_brings_it() -> None:
    config = OutputsConfig.model_validate(
        {
            "webhooks": [{"url": HOOK, "secret_env": "HOOK", "send": ["end"], "timeout": 3}],
            "mqtt": {"host": "broker.lan", "user": "mpn", "password": "pw"},
            "page": {"host": "0.0.0.0", "port": 80, "token": TOKEN},
            "keep": {"days": 3, "gigabytes": 2.5},
        }
    )
    assert config.webhooks[0].send == {"end"} and config.mqtt and config.mqtt.home_assistant
    assert config.page and config.page.needs_token and config.metrics.enabled
    assert "pw" not in repr(config) and TOKEN not in repr(config)
    bare = OutputsConfig()
    assert bare.page and bare.page.host == "127.0.0.1" and not bare.page.needs_token
    assert OutputsConfig.model_validate({"page": None}).page is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://example.org/x"},
        {"url": "file:///etc/passwd"},
        {"url": "http:///x"},
        {"url": "http://name:pw@example.org"},
        {"url": "http://example.org/a b"},
        {"url": "http://example.org/a\r\nX: y"},
        {"url": "http://[::1"},
        {"url": "http://example.org:99999"},
        {"url": HOOK, "headers": {"X-Mpn-Signature": "mine"}},
        {"url": HOOK, "headers": {"A": "b\r\nC: d"}},
        {"url": HOOK, "headers": {"A: b": "c"}},
        {"url": HOOK, "secret": "a", "secret_env": "B"},
        {"url": HOOK, "secret": ""},
        {"url": HOOK, "timeout": 0},
        {"url": HOOK, "timeout": float("inf")},
        {"url": HOOK, "send": ["middle"]},
        {"url": HOOK, "sekret": "a"},
        {"url": "http://example..org/x"},
    ],
)
def test_webhooks_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        WebhookConfig.model_validate(wrong)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": ""},
        {"host": "mqtt..local"},  # these three end the thread that talks to the broker
        {"host": "b", "user": "u" * 70_000},
        {"host": "b", "topic": "t" * 70_000},
        {"host": "x" * 64},
        {"host": "a\nb"},
        {"host": " "},
        {"host": "mqtt://b"},
        {"host": "b", "topic": "a/+/b"},
        {"host": "b", "topic": "/a"},
        {"host": "b", "topic": "$SYS"},
        {"host": "b", "topic": ""},
        {"host": "b", "password": "pw"},
        {"host": "b", "ca": "x.pem"},
        {"host": "b", "port": 0},
        {"host": "b", "user": "u", "password": "pw", "password_env": "P"},
    ],
)
def test_brokers_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        MqttConfig.model_validate(wrong)


@pytest.mark.parametrize("host", ["b", "b.", "my_broker.lan", "192.168.1.5", "::1", "bröker.de"])
def test_hosts_of_all_kinds(host: str) -> None:
    assert MqttConfig(host=host).host == host and PageConfig(host=host).host == host


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": "short"},
        {"token": "0123456789abcde&"},
        {"token": TOKEN, "token_env": "T"},
        {"port": 65536},
        {"hosts": ["a/b"]},
        {"host": "a..b"},
        {"host": ""},
        {"hosts": ["a:80"]},
    ],
)
def test_pages_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        PageConfig.model_validate(wrong)
    assert "0123456789abcde&" not in str(refused.value)


def test_the_same_address_twice() -> None:
    with pytest.raises(pydantic.ValidationError, match="the same url"):
        OutputsConfig.model_validate({"webhooks": [{"url": HOOK}, {"url": HOOK}]})


def test_when_a_token_is_needed() -> None:
    assert not PageConfig(host="::1").needs_token and not PageConfig(host="127.0.0.2").needs_token
    assert PageConfig(host="0.0.0.0").needs_token and PageConfig(host="cameras.lan").needs_token
    assert PageConfig(hosts=("cameras.lan",)).needs_token and PageConfig(token_env="T").needs_token
    loopback = {"localhost": True, "127.1.2.3": True, "::1": True, "10.0.0.1": False, "a": False}
    assert {host: is_loopback(host) for host in loopback} == loopback


def test_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPN_TEST", "of the environment")
    assert secret_of(None, "MPN_TEST", "x") == "of the environment"
    assert secret_of(pydantic.SecretStr("own"), None, "x") == "own"
    assert secret_of(None, None, "x") is None
    monkeypatch.setenv("MPN_TEST", "")
    with pytest.raises(DataError, match="no variable MPN_TEST"):
        secret_of(None, "MPN_TEST", "x")


def test_every_key_says_what_it_is() -> None:
    parts = [one for one in vars(settings).values() if isinstance(one, type)]
    own = [one for one in parts if issubclass(one, Settings) and one is not Settings]
    assert len(own) == 7
    for part in own:
        assert all(field.description for field in part.model_fields.values()), part

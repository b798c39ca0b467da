"""How alarms and states are carried out: what a config may say of it, checked as it is read."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mpn.errors import DataError

SHORTEST_TOKEN = 16  # characters
# Of a host (DNS), and of what an MQTT message has 16 bits for the length of.
LONGEST_HOST, LONGEST_TEXT = 253, 1000
# What a header's name and value may be made of (RFC 9110): no line end gets into a request.
HEADER_NAME, HEADER_VALUE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"), re.compile(r"[ -~\t]*")


class Settings(BaseModel):
    """A part of a config: unknown keys are refused."""

    # (a secret that is refused is not repeated in the message)
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine alone.

    Args:
        host: a name or an address, without a port.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def secret_of(value: SecretStr | None, variable: str | None, what: str) -> str | None:
    """Return a secret that the config holds, or that a variable of the environment does.

    Args:
        value: in the config.
        variable: the name of a variable of the environment.
        what: it is, for the message.

    Raises:
        DataError: the variable is not set, or empty.
    """
    if value is not None:
        return value.get_secret_value()
    if variable is None:
        return None
    secret = os.environ.get(variable)
    if not secret:
        raise DataError(
            f"{what}: the environment has no variable {variable}; set it, or leave the key out"
        )
    return secret


def _host(text: str) -> str:
    """Check the name or the address of a host; a name that is none fails in ways of its own."""
    try:
        usable = bool(text.encode("idna")) and len(text) <= LONGEST_HOST
    except UnicodeError:  # two dots in a row, a word of more than 63 letters
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f/@]", text):
        raise ValueError("a host such as mqtt.local or 192.168.1.5 was expected")
    return text


def _topic(text: str) -> str:
    """Check a beginning of MQTT topics."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a topic of at most {LONGEST_TEXT:,} letters was expected")
    if not text.strip("/") or re.search(r"[+#\x00]|//|^/|/$|^\$", text):
        raise ValueError("a topic such as mpn or house/mpn was expected, without +, # and $")
    return text


def _from_folder(path: Path, info: ValidationInfo) -> Path:
    """Take a path of a config from its folder, as all others are."""
    return (info.context or {}).get("folder", Path()) / path


OwnPath = Annotated[Path, AfterValidator(_from_folder)]
Host = Annotated[str, AfterValidator(_host)]
Topic = Annotated[str, AfterValidator(_topic)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class QueueConfig(Settings):
    """What is kept for a destination that cannot be reached."""

    messages: int = Field(
        default=10_000, ge=1, le=1_000_000, description="at most so many; oldest go"
    )
    days: float = Field(default=7.0, gt=0, le=3650, description="at most so old; oldest go")


class WebhookConfig(Settings):
    """A server that gets each event as a POST of JSON."""

    url: str = Field(description="http or https; without a user name and password in it")
    secret: SecretStr | None = Field(default=None, description="signs each request, HMAC-SHA256")
    secret_env: str | None = Field(
        default=None, description="variable of the environment that has it"
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="more headers, such as Authorization"
    )
    send: frozenset[Literal["begin", "end", "state"]] = Field(
        default=frozenset({"begin", "end"}),
        description="when an event begins, when it is over, when a camera's state changes",
    )
    only_counting: bool = Field(
        default=False, description="leave out events of cameras that are still learning"
    )
    timeout: Seconds = Field(
        default=10.0, description="seconds for a connection, and for each answer"
    )
    ca: OwnPath | None = Field(
        default=None, description="PEM file of the authority that signed the server's"
    )
    queue: QueueConfig = Field(default_factory=QueueConfig, description="kept while unreachable")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            named = bool(_host(parts.hostname or "")) and parts.port != 0
        except ValueError:
            named, parts = False, urlsplit("")
        plain = re.fullmatch(r"[!-~]+", url)
        if not plain or parts.scheme not in ("http", "https") or not named or parts.fragment:
            raise ValueError("an address such as https://example.org/hook was expected")
        if parts.username is not None or parts.password is not None:
            raise ValueError("name and password do not belong into the address: use `headers`")
        return url

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not HEADER_NAME.fullmatch(name):
                raise ValueError("the name of a header has letters, digits and hyphens")
            if not HEADER_VALUE.fullmatch(value.get_secret_value()):
                raise ValueError(f"the value of {name} is one line of ASCII")
            if name.lower().startswith("x-mpn-") or name.lower() in ("host", "content-length"):
                raise ValueError(f"{name} is set by mpn itself")
        return headers

    @model_validator(mode="after")
    def _check_secret(self) -> WebhookConfig:
        _check_once("secret", self.secret, self.secret_env)
        return self


def _check_once(name: str, value: SecretStr | None, variable: str | None) -> None:
    """Raise ValueError where a secret is given twice, or is empty."""
    if value is not None and variable is not None:
        raise ValueError(f"`{name}` and `{name}_env` are two places for one thing: leave one out")
    if value is not None and not value.get_secret_value():
        raise ValueError(f"`{name}` is empty")


class MqttConfig(Settings):
    """An MQTT broker, and Home Assistant behind it."""

    host: Host = Field(description="of the broker")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="1883, with tls 8883, if not given"
    )
    user: str | None = Field(
        default=None, max_length=LONGEST_TEXT, description="name at the broker"
    )
    password: SecretStr | None = Field(
        default=None, max_length=LONGEST_TEXT, description="password at the broker"
    )
    password_env: str | None = Field(
        default=None, description="variable of the environment that has it"
    )
    tls: bool = Field(default=False, description="encrypt, and check the broker's certificate")
    ca: OwnPath | None = Field(
        default=None, description="PEM file of the authority that signed the broker's"
    )
    topic: Topic = Field(default="mpn", description="what all topics begin with")
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="of this watcher; made of the folder if none",
    )
    home_assistant: bool = Field(default=True, description="announce cameras to Home Assistant")
    discovery: Topic = Field(
        default="homeassistant", description="Home Assistant's discovery prefix"
    )
    snapshots: bool = Field(default=True, description="publish the picture of the latest event")
    every: Seconds = Field(default=5.0, description="seconds between two scores; states go at once")
    keepalive: int = Field(
        default=30, ge=5, le=3600, description="seconds until a silent link is dead"
    )
    queue: QueueConfig = Field(default_factory=QueueConfig, description="kept while unreachable")

    @model_validator(mode="after")
    def _check_whole(self) -> MqttConfig:
        _check_once("password", self.password, self.password_env)
        if (self.password or self.password_env) and self.user is None:
            raise ValueError("a password goes with a `user`")
        if self.ca is not None and not self.tls:
            raise ValueError("`ca` goes with `tls: true`")
        return self


class MetricsConfig(Settings):
    """Figures for Prometheus, on the page's port."""

    enabled: bool = Field(default=True, description="answer /metrics")


class PageConfig(Settings):
    """The page in a browser."""

    host: Host = Field(default="127.0.0.1", description="listens on; 0.0.0.0: on all")
    port: int = Field(
        default=8765,
        ge=0,
        le=65535,
        description="0: any that is free; so too if it is not given and taken",
    )
    token: SecretStr | None = Field(
        default=None,
        description="what a visitor has to know; made where host is no loopback address",
    )
    token_env: str | None = Field(
        default=None, description="variable of the environment that has it"
    )
    hosts: tuple[str, ...] = Field(
        default=(),
        description="names by which a proxy in front is called; a token is required then",
    )

    @field_validator("token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            check_token(token.get_secret_value())
        return token

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]", host) for host in hosts):
            raise ValueError("names such as cameras.example.org were expected, without a port")
        return tuple(host.lower() for host in hosts)

    @model_validator(mode="after")
    def _check_once(self) -> PageConfig:
        _check_once("token", self.token, self.token_env)
        return self

    @property
    def needs_token(self) -> bool:
        """Say whether others than this machine may come, or a token was asked for."""
        has_token = self.token is not None or self.token_env is not None
        return has_token or bool(self.hosts) or not is_loopback(self.host)


def check_token(token: str) -> None:
    """Raise ValueError where a token is too easily guessed, or cannot stand in an address."""
    if len(token) < SHORTEST_TOKEN or not re.fullmatch(r"[A-Za-z0-9._~-]+", token):
        raise ValueError(
            f"a token has {SHORTEST_TOKEN} or more letters, digits and ._~- (openssl rand -hex 16)"
        )


class KeepConfig(Settings):
    """How long clips and snapshots of events are kept."""

    days: float = Field(default=14.0, gt=0, le=36_500, description="older ones go")
    gigabytes: float = Field(default=20.0, gt=0, description="of all cameras together; oldest go")
    free_gigabytes: float = Field(
        default=1.0, ge=0, description="to be left on the disk; where there is less, oldest go"
    )


class OutputsConfig(Settings):
    """All that carries alarms and states out; the journal is always there."""

    webhooks: tuple[WebhookConfig, ...] = Field(
        default=(), description="servers that are told of events"
    )
    mqtt: MqttConfig | None = Field(default=None, description="a broker; none if not given")
    page: PageConfig | None = Field(
        default_factory=PageConfig, description="the page in a browser; null for none"
    )
    metrics: MetricsConfig = Field(default_factory=MetricsConfig, description="for Prometheus")
    keep: KeepConfig = Field(default_factory=KeepConfig, description="of clips and snapshots")

    @field_validator("webhooks")
    @classmethod
    def _check_different(cls, hooks: tuple[WebhookConfig, ...]) -> tuple[WebhookConfig, ...]:
        if len({hook.url for hook in hooks}) < len(hooks):
            raise ValueError("two webhooks have the same url: one of them is enough")
        return hooks

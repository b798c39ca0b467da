"""The outputs of a config, opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

from pydantic import ValidationError

from mpn.errors import DataError
from mpn.live.config import mistakes_of
from mpn.live.outputs.journal import Journal
from mpn.live.outputs.keeping import Keeper
from mpn.live.outputs.metrics import Counted, Metrics
from mpn.live.outputs.mqtt import Mqtt
from mpn.live.outputs.page import Page
from mpn.live.outputs.settings import (
    KeepConfig,
    MetricsConfig,
    MqttConfig,
    OutputsConfig,
    PageConfig,
    QueueConfig,
    WebhookConfig,
    secret_of,
)
from mpn.live.outputs.web import Teach
from mpn.live.outputs.webhook import Webhook, server_of
from mpn.live.status import Output

__all__ = [
    "KeepConfig",
    "MetricsConfig",
    "MqttConfig",
    "OutputsConfig",
    "PageConfig",
    "QueueConfig",
    "WebhookConfig",
    "check_outputs",
    "open_outputs",
]

OUTBOX = ".outbox"  # in OUT: a camera's folder has no such name
CLOSE_SECONDS = 1.0


def open_outputs(
    config: OutputsConfig,
    out: Path,
    *,
    teach: Teach | None = None,
    announce: Callable[[str], None] = print,
) -> list[Output]:
    """Open all that carries alarms and states out.

    Args:
        config: what there is.
        out: the folder of the journal and of the cameras' folders; one watcher at a time uses it.
        teach: what a click on the page does: takes an alarm's id and a name (None: it is normal),
            returns what was done in words; without it the page tells the commands.
        announce: prints the page's address.

    Returns:
        The journal, which is always there, first.

    Raises:
        DataError: a variable of the environment is not set, or a file of the config is not there.
        MpnError: the folder or the page's port cannot be used. Nothing is left open then.
    """
    opened: list[Output] = []
    try:
        opened.append(Journal(out))
        keeper = Keeper(config.keep, out)
        opened.append(keeper)
        outboxes: list[Counted] = []
        for number, hook in enumerate(config.webhooks, 1):
            name = f"webhook {number} {server_of(hook.url)}"
            webhook = Webhook(hook, out / OUTBOX / _folder("webhook", hook.url), name)
            opened.append(webhook)
            outboxes.append(webhook.outbox)
        if config.mqtt is not None:
            where = f"{config.mqtt.host}:{config.mqtt.port}/{config.mqtt.topic}"
            mqtt = Mqtt(config.mqtt, out / OUTBOX / _folder("mqtt", where))
            opened.append(mqtt)
            outboxes.append(mqtt.outbox)
        if config.page is not None:
            metrics = Metrics(outboxes, keeper) if config.metrics.enabled else None
            page = Page(config.page, out, metrics, teach)
            opened += [metrics, page] if metrics else [page]
            announce(f"page: {page.url}")
    except BaseException:
        close_outputs(opened, CLOSE_SECONDS)
        raise
    return opened


def check_outputs(values: Any, folder: Path = Path()) -> tuple[OutputsConfig | None, list[str]]:
    """Check the section `outputs` of a config, and that what it names is there.

    Args:
        values: of the section, as they were read.
        folder: of the config, which its paths are taken from.

    Returns:
        What they configure, None where that cannot be; and the mistakes, a line each.
    """
    config, mistakes = None, []
    try:
        config = OutputsConfig.model_validate(values, context={"folder": folder})
    except ValidationError as error:
        mistakes = mistakes_of(error, ("outputs",))
    return config, [*mistakes, *_missing(values, folder)]


def _missing(values: Any, folder: Path) -> list[str]:
    """List variables of the environment and files that are not there, a line each.

    Of values as they are, not of a config: what is missing is said beside what is wrong.
    """
    values = values if isinstance(values, dict) else {}
    hooks = values.get("webhooks")
    hooks = hooks if isinstance(hooks, list) else []
    sections = {f"webhooks.{number}": hook for number, hook in enumerate(hooks)}
    sections |= {name: values.get(name) for name in ("mqtt", "page")}
    lines = []
    for where, section in sections.items():
        entries = section if isinstance(section, dict) else {}
        for key in ("secret_env", "password_env", "token_env"):
            try:
                secret_of(None, _text(entries.get(key)), f"outputs.{where}.{key}")
            except DataError as error:
                lines.append(str(error))
        path = _text(entries.get("ca"))
        if path is not None and not (folder / path).is_file():
            lines.append(f"outputs.{where}.ca: there is no file {folder / path}; give a PEM file")
    return lines


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _folder(kind: str, destination: str) -> str:
    """Name the folder of what waits for a destination: it is sent to no other one."""
    return f"{kind}-{hashlib.sha256(destination.encode()).hexdigest()[:12]}"


def close_outputs(outputs: list[Output], seconds: float) -> None:
    """Close all outputs, side by side: none has to wait for another's network.

    Args:
        outputs: as `open_outputs` gave them.
        seconds: for all together.
    """
    threads = [Thread(target=output.close, args=(seconds,), daemon=True) for output in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)

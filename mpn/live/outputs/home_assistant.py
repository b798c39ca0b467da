"""What Home Assistant has to be told of a camera, to show it as a device (MQTT discovery).

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from mpn.live.outputs.settings import MqttConfig
from mpn.live.status import State
from mpn.version import __version__

ON, OFF = "ON", "OFF"
# (scores as attributes would fill Home Assistant's database)
DETAIL = "{{ {'detail': value_json.detail, 'source': value_json.source} | tojson }}"
BIRTH = "online"  # what Home Assistant says when it has started


def topic_name(camera: str) -> str:
    """Make a camera's name fit to be a level of a topic; names that differ go on differing.

    Args:
        camera: its name in the config.

    Returns:
        Letters, digits, _ and - of ASCII.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", camera)
    if plain == camera:
        return plain
    return f"{plain.strip('_')}_{hashlib.sha256(camera.encode()).hexdigest()[:6]}"


class Topics(NamedTuple):
    """The topics of a camera.

    Attributes:
        status: JSON, retained: state, score, threshold, fps ...
        event: ON while an event that counts goes on, else OFF; retained.
        latest: JSON of the latest event, retained.
        events: JSON of each event, when it begins and when it is over; not retained.
        snapshot: JPEG of the latest event, retained.
    """

    status: str
    event: str
    latest: str
    events: str
    snapshot: str

    @classmethod
    def of(cls, base: str, camera: str) -> Topics:
        """Name the topics of a camera.

        Args:
            base: what they begin with.
            camera: its name in the config.
        """
        return cls(*(f"{base}/{topic_name(camera)}/{level}" for level in cls._fields))


def availability_topic(base: str) -> str:
    """Name the topic that says online or offline (the last will)."""
    return f"{base}/availability"


def announcements(config: MqttConfig, camera: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Make what announces a camera: one device with its entities.

    Args:
        config: of the broker.
        camera: its name in the config.

    Yields:
        Topic and JSON values of each entity; to be retained.
    """
    device = f"{config.topic.replace('/', '_')}_{topic_name(camera)}"
    common = {
        "availability_topic": availability_topic(config.topic),
        "device": {
            "identifiers": [device],
            "name": camera,
            "manufacturer": "mpn",
            "model": "camera watched by mpn",
            "sw_version": __version__,
        },
        "origin": {"name": "mpn", "sw_version": __version__},
    }
    for (kind, entity), values in _entities(config, camera).items():
        unique = f"{device}_{entity}"
        topic = f"{config.discovery}/{kind}/{device}/{entity}/config"
        # `object_id` is for versions before 2025.10, the other for those since.
        ids = {"unique_id": unique, "object_id": unique, "default_entity_id": f"{kind}.{unique}"}
        yield topic, {**values, **ids, **common}


def _entities(config: MqttConfig, camera: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what each entity of a camera shows, by its kind and name."""
    topics = Topics.of(config.topic, camera)
    entities: dict[tuple[str, str], dict[str, Any]] = {
        ("binary_sensor", "event"): {
            "name": "Event",
            "state_topic": topics.event,
            "payload_on": ON,
            "payload_off": OFF,
            "json_attributes_topic": topics.latest,
            "icon": "mdi:eye-check",
        },
        ("sensor", "score"): {
            "name": "Score",
            "state_topic": topics.status,
            "value_template": "{{ value_json.score }}",
            "state_class": "measurement",
            "suggested_display_precision": 2,
        },
        ("sensor", "state"): {
            "name": "State",
            "state_topic": topics.status,
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": topics.status,
            "json_attributes_template": DETAIL,
            "device_class": "enum",
            "options": [state.value for state in State],
            "entity_category": "diagnostic",
        },
        ("sensor", "fps"): {
            "name": "Frames scored a second",
            "state_topic": topics.status,
            "value_template": "{{ value_json.fps }}",
            "unit_of_measurement": "fps",
            "state_class": "measurement",
            "suggested_display_precision": 1,
            "entity_category": "diagnostic",
        },
    }
    if config.snapshots:
        entities["camera", "snapshot"] = {"name": "Latest event", "topic": topics.snapshot}
    return entities

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The AsyncAPI 3 document of a site's MQTT interface, generated from the topics and the messages' JSON Schemas.

`python -m dronectl.bus.schema` writes it as `schemas/asyncapi.json` with the schemas; a test fails when it is stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dronectl import __version__
from dronectl.bus.topics import Topics


@dataclass(frozen=True, slots=True)
class _Channel:
    """One kind of topic. `ours`: the service publishes it; else it reads it."""

    message: str
    address: str
    ours: bool
    qos: int
    retain: bool
    about: str


def _channels() -> tuple[_Channel, ...]:
    site = Topics("{site_id}")
    drone, alert, incident = "{drone_id}", "{alert_id}", "{incident_id}"
    return (
        _Channel("service_status", site.service_status, True, 1, True, "Birth and last will of the service."),
        _Channel("drone_status", site.drone(drone, "status"), True, 1, True, "Whether the service hears a drone."),
        _Channel("drone_state", site.drone(drone, "state"), True, 1, True, "A drone's state, when it changes."),
        _Channel("telemetry", site.drone(drone, "telemetry"), True, 0, False, "Position and attitude, once a second."),
        _Channel("alert", site.alert(alert), True, 1, False, "The whole alert, until it is acknowledged."),
        _Channel("ack", site.ack(alert), False, 1, False, "From dispatch: this message has arrived."),
        _Channel("action", site.action(alert), False, 1, False, "From dispatch: what a person decided."),
        _Channel("incident", site.incident(incident), True, 1, True, "One thing in the world and its story."),
    )


_PARAMETERS: Final = {
    "site_id": "the site, as in its site file",
    "drone_id": "the drone, as in the site file",
    "alert_id": "the alert (UUIDv7)",
    "incident_id": "the incident (UUIDv7)",
}


def document() -> dict[str, Any]:
    """The AsyncAPI 3.0.0 document as JSON data. Payloads are the schemas beside it, by relative reference."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for channel in _channels():
        names = [name for name in _PARAMETERS if f"{{{name}}}" in channel.address]
        channels[channel.message] = {
            "address": channel.address,
            "description": channel.about,
            "messages": {channel.message: {"$ref": f"#/components/messages/{channel.message}"}},
            "parameters": {name: {"description": _PARAMETERS[name]} for name in names},
        }
        operations[f"{'send' if channel.ours else 'receive'}_{channel.message}"] = {
            "action": "send" if channel.ours else "receive",
            "channel": {"$ref": f"#/channels/{channel.message}"},
            "summary": channel.about,
            "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retain, "bindingVersion": "0.2.0"}},
        }
        messages[channel.message] = {
            "name": channel.message,
            "title": channel.message.replace("_", " "),
            "contentType": "application/cloudevents+json",
            "payload": {"$ref": f"{channel.message}.json"},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "dronectl over MQTT",
            "version": __version__,
            "description": "What a site publishes, and what a dispatch system answers. Payloads are CloudEvents 1.0.",
            "license": {"name": "AGPL-3.0-or-later", "url": "https://www.gnu.org/licenses/agpl-3.0.html"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }

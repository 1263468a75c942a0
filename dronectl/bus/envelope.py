# SPDX-License-Identifier: AGPL-3.0-or-later
"""The envelope of every payload on MQTT: CloudEvents 1.0 (structured mode, JSON), written and read."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from dronectl.bus.messages import (
    Ack,
    Action,
    Alert,
    DroneState,
    DroneStatus,
    Incident,
    ServiceStatus,
    Telemetry,
    Text,
    Utc,
)

MAX_PAYLOAD_BYTES: Final = 64 * 1024
Data = TypeVar("Data", bound=BaseModel)


class CloudEvent(BaseModel, Generic[Data]):
    """The envelope. `id` is the idempotency key of one message; `sequence` sorts as text, as CloudEvents wants it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: Text
    source: Text
    type: Text
    time: Utc
    subject: Text | None = None
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str | None = None
    sequence: str | None = Field(default=None, max_length=32)
    data: Data


ENVELOPES: Final[dict[str, type[CloudEvent[Any]]]] = {
    "service_status": CloudEvent[ServiceStatus],
    "drone_status": CloudEvent[DroneStatus],
    "drone_state": CloudEvent[DroneState],
    "telemetry": CloudEvent[Telemetry],
    "alert": CloudEvent[Alert],
    "ack": CloudEvent[Ack],
    "action": CloudEvent[Action],
    "incident": CloudEvent[Incident],
}


def event_type(name: str) -> str:
    """The CloudEvents type of a message."""
    return f"dronectl.{name}.v1"


def encode(
    name: str,
    data: BaseModel,
    *,
    event_id: str,
    source: str,
    time: datetime,
    subject: str | None = None,
    sequence: int | None = None,
) -> bytes:
    """One message as it goes on the wire."""
    envelope = ENVELOPES[name](
        id=event_id,
        source=source,
        type=event_type(name),
        time=time,
        subject=subject,
        dataschema=f"urn:dronectl:schema:v1:{name}",
        sequence=None if sequence is None else f"{sequence:010d}",
        data=data,
    )
    absent = {field for field, value in (("subject", subject), ("sequence", sequence)) if value is None}
    return envelope.model_dump_json(exclude=absent).encode()


def decode(name: str, payload: bytes) -> CloudEvent[Any]:
    """Read a message of that name; raises ValueError (pydantic's ValidationError is one) when it is none."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a payload of {len(payload)} bytes is over the limit of {MAX_PAYLOAD_BYTES}")
    envelope = ENVELOPES[name].model_validate_json(payload)
    if envelope.type != event_type(name):
        raise ValueError(f"the type is {envelope.type!r}, not {event_type(name)!r}")
    return envelope

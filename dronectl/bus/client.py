# SPDX-License-Identifier: AGPL-3.0-or-later
"""The service's connection to the broker: keeps itself connected, says birth and last will, publishes, listens.

Telemetry comes in as the latest value of each drone and goes out once a second, lost while the broker is away.
State goes out when it changes and again after every reconnect (retained). Alerts are handed to `publish` by the
outbox, which keeps them until the dispatch system has acknowledged them: nothing durable lives here. What others
publish for us (acks and actions) is handed to one listener; anything that is not for it is counted.

    connecting --accepted--> connected --lost, refused--> waiting (jittered backoff, capped) --> connecting
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import aiomqtt
from pydantic import BaseModel

from dronectl import __version__
from dronectl.bus.connection import Connection
from dronectl.bus.envelope import MAX_PAYLOAD_BYTES, encode
from dronectl.bus.messages import DroneState, DroneStatus, ServiceStatus, Telemetry
from dronectl.bus.settings import BusSettings, explain, quiet
from dronectl.bus.topics import Topics
from dronectl.clock import Clock, SystemClock
from dronectl.errors import words_of
from dronectl.streams import Latest

log = logging.getLogger(__name__)

_INCOMING_DEPTH: Final = 2000
_INFLIGHT: Final = 64
_STARTING_FAILURES: Final = 4  # some three seconds
_TELEMETRY_PERIOD_S: Final = 1.0
_TELEMETRY_BATCH: Final = 32
_FAREWELL_S: Final = 1.0
_SUBACK_REFUSED: Final = 128

Listener = Callable[[str, str, bytes], None]


class BusDownError(Exception):
    """The broker did not take the message."""


@dataclass(frozen=True, slots=True)
class BusState:
    """How the connection is doing; `reason` says why it is down."""

    connected: bool
    since: datetime
    reason: str | None
    connections: int


@dataclass(slots=True)
class BusCounters:
    """What went through, and what was thrown away and why."""

    received: int = 0
    oversized: int = 0
    unknown_topic: int = 0
    published: int = 0
    telemetry_published: int = 0
    telemetry_lost: int = 0
    failures: int = 0


class Bus:
    """One connection per site. `run()` until cancelled; everything else may be called at any time."""

    def __init__(self, settings: BusSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.topics = Topics(settings.site_id)
        self.counters = BusCounters()
        self._clock = clock or SystemClock()
        self.state = Latest(BusState(connected=False, since=self._clock.utc(), reason="not started", connections=0))
        self._listener: Listener | None = None
        self._client: Connection | None = None
        self._retained: dict[str, bytes] = {}  # topic -> newest payload
        self._said: dict[str, BaseModel] = {}  # topic -> newest data, to publish on change only
        self._ending: set[str] = set()
        self._dirty: set[str] = set()
        self._dirty_event = asyncio.Event()
        self._telemetry: dict[str, Telemetry] = {}
        self._trouble: str | None = None
        self._warned: str | None = None  # the reason that was told last, while it is away

    @property
    def source(self) -> str:
        """The CloudEvents source of everything from this site."""
        return f"/dronectl/{self.settings.site_id}"

    @property
    def connected(self) -> bool:
        return self._client is not None

    def listen(self, listener: Listener) -> None:
        """Hand (alert id, "ack" or "action", payload) to `listener`, which must not block."""
        self._listener = listener

    def publish_trouble(self, reason: str | None) -> None:
        """What the running service cannot do, in one line; goes out when it changes. None: everything works."""
        if reason is not None or self._trouble is not None:
            self._trouble = reason
            status = self._status("online", reason)
            self._keep(self.topics.service_status, "service_status", self.settings.site_id, status)

    def publish_status(self, drone_id: str, *, online: bool, reason: str | None = None) -> None:
        """Whether a drone is heard; goes out when it changes."""
        status = DroneStatus(drone_id=drone_id, status="online" if online else "offline", reason=reason)
        self._keep(self.topics.drone(drone_id, "status"), "drone_status", drone_id, status)

    def publish_state(self, state: DroneState) -> None:
        """A drone's state; goes out when it changes, and again after a reconnect."""
        self._keep(self.topics.drone(state.drone_id, "state"), "drone_state", state.drone_id, state)

    def publish_telemetry(self, telemetry: Telemetry) -> None:
        """A drone's newest telemetry; the latest of each second goes out, or is lost while the broker is away."""
        self._telemetry[telemetry.drone_id] = telemetry

    def publish_retained(self, topic: str, name: str, subject: str, data: BaseModel, *, last: bool = False) -> None:
        """Keep `data` as the retained message of a topic; goes out when it changes.

        The `last` one goes out to those who listen, and then the topic's retained message is removed.
        """
        self._keep(topic, name, subject, data)
        if last:
            self._ending.add(topic)
            self._touch(topic)
        else:
            self._ending.discard(topic)

    def remove_retained(self, topic: str) -> None:
        """Remove what an earlier run may have left at the broker under a topic."""
        self._retained[topic] = b""
        self._ending.add(topic)
        self._touch(topic)

    def remove_drone(self, drone_id: str) -> None:
        """Remove what is retained of a drone that is not at this site any more."""
        for what in ("state", "status"):
            self.remove_retained(self.topics.drone(drone_id, what))

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the broker's PUBACK, which is no delivery. Raises BusDownError."""
        client = self._client
        if client is None:
            raise BusDownError(self.state.value.reason or "the broker is away")
        try:
            await client.publish(topic, payload, qos=1, retain=retain, timeout=self.settings.timeout_s)
        except aiomqtt.MqttError as error:
            self.counters.failures += 1
            raise BusDownError(explain(self.settings.access, error)) from error
        self.counters.published += 1

    async def wait_connected(self) -> None:
        """Return when the broker has accepted us."""
        async for state in self.state.changes():
            if state.connected:
                return

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        rng = random.Random()  # jitter only: sites must not come back in step
        context = await asyncio.to_thread(self.settings.access.tls_context)
        failures = 0
        while True:
            before = self.state.value.connections
            reason = "the connection ended"
            try:
                await self._session(context)
            except* (aiomqtt.MqttError, OSError, BusDownError) as group:
                reason = explain(self.settings.access, _first(group))
            finally:
                self._client = None
            failures = 1 if self.state.value.connections > before else failures + 1
            self._down(reason, failures)
            wait_s = min(self.settings.cap_retry_s, self.settings.first_retry_s * 2 ** min(failures - 1, 16))
            await asyncio.sleep(wait_s * rng.uniform(0.5, 1.5))

    async def _session(self, context: object) -> None:
        access = self.settings.access
        will = aiomqtt.Will(self.topics.service_status, self._service_status("offline", "connection lost"), 1, True)
        async with Connection(
            access.host,
            access.port,
            username=access.username,
            password=access.password,
            identifier=self.settings.client_id,
            logger=quiet,
            clean_session=False,  # what dispatch says while we are away waits at the broker
            will=will,
            keepalive=self.settings.keepalive_s,
            timeout=math.ceil(self.settings.timeout_s),
            tls_context=context,  # type: ignore[arg-type]  # an ssl.SSLContext or None
            max_queued_incoming_messages=_INCOMING_DEPTH,
            max_inflight_messages=_INFLIGHT,
        ) as client:
            client.pending_calls_threshold = 10 * _INFLIGHT
            await self._subscribe(client)
            birth = self._service_status("online", self._trouble)
            await client.publish(self.topics.service_status, birth, qos=1, retain=True)
            self._up(client)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(client), name="bus-read")
                    group.create_task(self._flush_retained(), name="bus-retained")
                    group.create_task(self._flush_telemetry(client), name="bus-telemetry")
            except asyncio.CancelledError:
                await self._farewell(client)
                raise

    async def _subscribe(self, client: Connection) -> None:
        wanted = [(self.topics.ack("x").replace("/x/", "/+/"), 1), (self.topics.action("x").replace("/x/", "/+/"), 1)]
        granted = await client.subscribe(wanted)
        refused = [topic for (topic, _), code in zip(wanted, granted, strict=False) if code == _SUBACK_REFUSED]
        if refused:
            raise BusDownError(f"it does not let us read {refused[0]}")

    async def _read(self, client: Connection) -> None:
        async for message in client.messages:
            self.counters.received += 1
            payload = message.payload
            parts = self.topics.parts(message.topic.value)
            if not isinstance(payload, bytes) or len(payload) > MAX_PAYLOAD_BYTES:
                self.counters.oversized += 1
            elif self._listener is None or parts is None or len(parts) != 3 or parts[0] != "alerts":
                self.counters.unknown_topic += 1
            else:
                self._listener(parts[1], parts[2], payload)

    async def _flush_retained(self) -> None:
        while True:
            await self._dirty_event.wait()
            self._dirty_event.clear()
            while self._dirty:
                topic = next(iter(self._dirty))
                payload = self._retained[topic]
                self._dirty.discard(topic)
                ending = topic in self._ending
                try:
                    if payload:
                        await self.publish(topic, payload, retain=not ending)
                    if ending:
                        await self.publish(topic, b"", retain=True)
                except BusDownError:
                    self._dirty.add(topic)
                    raise
                if ending and topic not in self._dirty:
                    self._ending.discard(topic)
                    self._retained.pop(topic)
                    self._said.pop(topic, None)

    async def _flush_telemetry(self, client: Connection) -> None:
        while True:
            await asyncio.sleep(_TELEMETRY_PERIOD_S)
            newest, self._telemetry = self._telemetry, {}
            drones = list(newest.values())
            for start in range(0, len(drones), _TELEMETRY_BATCH):  # a large fleet must not hold up the loop
                some = drones[start : start + _TELEMETRY_BATCH]
                async with asyncio.TaskGroup() as group:  # together: the socket is registered for writing once
                    for telemetry in some:
                        payload = self._encode("telemetry", telemetry.drone_id, telemetry)
                        topic = self.topics.drone(telemetry.drone_id, "telemetry")
                        group.create_task(client.publish(topic, payload, qos=0))
                self.counters.telemetry_published += len(some)

    async def _farewell(self, client: Connection) -> None:
        """Say in an orderly way what the last will would say; nobody waits long for it."""
        try:
            async with asyncio.timeout(_FAREWELL_S):
                payload = self._service_status("offline", "stopped")
                await client.publish(self.topics.service_status, payload, qos=1, retain=True)
        except (aiomqtt.MqttError, TimeoutError) as error:
            log.info("the broker did not hear the farewell: %s", words_of(error))

    def _keep(self, topic: str, name: str, subject: str, data: BaseModel) -> None:
        if self._said.get(topic) == data:
            return
        self._said[topic] = data
        self._retained[topic] = self._encode(name, subject, data)
        self._touch(topic)

    def _touch(self, topic: str) -> None:
        self._dirty.add(topic)
        self._dirty_event.set()

    def _encode(self, name: str, subject: str, data: BaseModel) -> bytes:
        return encode(
            name, data, event_id=str(uuid.uuid4()), source=self.source, time=self._clock.utc(), subject=subject
        )

    def _service_status(self, status: str, reason: str | None) -> bytes:
        return self._encode("service_status", self.settings.site_id, self._status(status, reason))

    def _status(self, status: str, reason: str | None) -> ServiceStatus:
        return ServiceStatus.model_validate(
            {
                "status": status,
                "version": __version__,
                "session_id": self.settings.session_id,
                "site_status": self.settings.site_status,
                "reason": reason,
            }
        )

    def _up(self, client: Connection) -> None:
        state = self.state.value
        self._client = client
        if self._warned:
            log.warning("broker %s: connected again", self.settings.access.name)
        self._warned = None
        self._dirty.update(self._retained)
        if self._dirty:
            self._dirty_event.set()
        self.state.set(BusState(True, self._clock.utc(), None, state.connections + 1))

    def _down(self, reason: str, failures: int) -> None:
        """Each reason is told once; a broker that is started with us may take some seconds before it is told at all."""
        state = self.state.value
        self.counters.telemetry_lost += len(self._telemetry)
        self._telemetry.clear()
        if reason != self._warned and (state.connections or failures > _STARTING_FAILURES):
            self._warned = reason
            log.warning("%s; trying again until it is back", reason)
        self.state.set(
            BusState(False, self._clock.utc() if state.connected else state.since, reason, state.connections)
        )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error

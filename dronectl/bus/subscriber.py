# SPDX-License-Identifier: AGPL-3.0-or-later
"""A dispatch system's connection, for `dronectl alerts tail` and for tests: reads alerts, writes acks.

Reconnects for ever, with jitter and a cap; the access is asked for anew each time, because a site's own broker may
come back on another port. What cannot be read is handed on as it came, so that the caller can count it.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime

import aiomqtt

from dronectl.bus.connection import Connection
from dronectl.bus.envelope import encode
from dronectl.bus.messages import Ack
from dronectl.bus.settings import BrokerAccess, explain, quiet
from dronectl.bus.topics import Topics
from dronectl.errors import BadInputError

FIRST_RETRY_S = 0.2
CAP_RETRY_S = 5.0


class Subscriber:
    """One dispatch connection to the alerts of a site. A `lasting` one has the broker keep what comes meanwhile."""

    def __init__(
        self,
        site_id: str,
        access: Callable[[], BrokerAccess],
        on_alert: Callable[[Subscriber, bytes], Awaitable[None]],
        on_connection: Callable[[bool, str], None],
        identifier: str,
        *,
        lasting: bool = True,
        on_service: Callable[[bytes], None] = lambda _payload: None,
    ) -> None:
        """on_service takes what the site's service says of itself: at each connection as it is, then as it changes."""
        self._topics = Topics(site_id)
        self._access = access
        self._on_alert = on_alert
        self._on_connection = on_connection
        self._identifier = identifier
        self._lasting = lasting
        self._on_service = on_service
        self._client: Connection | None = None

    async def run(self) -> None:
        """Connect, read, and connect again, until cancelled."""
        rng = random.Random()  # jitter only
        failures = 0
        while True:
            reason = "the connection ended"
            try:
                access = self._access()
                reason = f"broker {access.name}: the connection ended"
                try:
                    async with self._connection(access) as client:
                        self._client = client
                        alerts = self._topics.alert("x").replace("/x", "/+")
                        await client.subscribe([(alerts, 1), (self._topics.service_status, 1)])
                        failures = 0
                        self._on_connection(True, f"broker {access.name}")
                        async for message in client.messages:
                            payload = message.payload
                            if isinstance(payload, bytes) and message.topic.value == self._topics.service_status:
                                self._on_service(payload)
                            elif isinstance(payload, bytes):
                                await self._on_alert(self, payload)
                except (aiomqtt.MqttError, OSError) as error:
                    reason = explain(access, error)
            except BadInputError as error:
                reason = str(error)
            finally:
                self._client = None
            failures += 1
            self._on_connection(False, reason)
            await asyncio.sleep(min(CAP_RETRY_S, FIRST_RETRY_S * 2 ** min(failures - 1, 16)) * rng.uniform(0.5, 1.5))

    async def acknowledge(self, alert_id: str, sequence: int, *, by: str, now: datetime) -> None:
        """Tell the site that this message and everything before it is here. Lost with the connection; asked again."""
        if self._client is None:
            return
        payload = encode(
            "ack",
            Ack(alert_id=alert_id, sequence=sequence, by=by),
            event_id=str(uuid.uuid4()),
            source=f"/dispatch/{by}",
            time=now,
            subject=alert_id,
        )
        await self._client.publish(self._topics.ack(alert_id), payload, qos=1)

    def _connection(self, access: BrokerAccess) -> Connection:
        return Connection(
            access.host,
            access.port,
            username=access.username,
            password=access.password,
            identifier=self._identifier,
            clean_session=not self._lasting,
            tls_context=access.tls_context(),
            keepalive=15,
            max_queued_incoming_messages=10_000,
            logger=quiet,
        )

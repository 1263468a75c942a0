# SPDX-License-Identifier: AGPL-3.0-or-later
"""The alert service on a real store, without a broker, with a clock that is set by hand: what its tests share."""

import asyncio
import contextlib
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from background import background
from sqlalchemy import select

from dronectl.alerts.model import AlertSite, Responder
from dronectl.alerts.rules import DEFAULT_RULES
from dronectl.alerts.service import AlertService
from dronectl.bus.client import Bus
from dronectl.bus.envelope import encode
from dronectl.bus.messages import Ack, Action
from dronectl.bus.settings import BrokerAccess, BusSettings
from dronectl.store import Store
from dronectl.store.models import OutboxRow
from missions.model import Modality
from vision.sighting import Evidence, GroundEllipse, Kind, Phase, Sighting

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Hand:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = START
        self.set_by = timedelta(0)

    def utc(self):
        return self.now + self.set_by

    def monotonic_s(self):
        return 1000.0 + (self.now - START).total_seconds()


def sighting(track="t1", sequence=1, *, north=0.0, kind=Kind.PERSON, confidence=0.8, place=True, **changes):
    there = GroundEllipse(29.74 + north / 111_000, 107.27, 250.0, 4.0, 1.0, 4.0, 1.0, 0.0, 1.0)
    values = {
        "track_id": track,
        "sequence": sequence,
        "phase": Phase.NEW,
        "kind": kind,
        "confidence": confidence,
        "modality": Modality.THERMAL,
        "camera_id": "d1-thermal",
        "vehicle_id": "d1",
        "place": there if place else None,
        "first_exposure_s": float(zlib.crc32(track.encode())),
        "last_exposure_s": zlib.crc32(track.encode()) + 0.2,
        "confirmed_exposure_monotonic_s": 999.5,
        "looks": 4,
        "chances": 5,
        "rule": "3 of 5",
        "temperature_max_c": 36.0,
        "size_m": 1.7,
        "speed_m_s": 0.0,
        "detector": "onnx people " + "b" * 64,
        "evidence": (Evidence(f"{track}.png", "a" * 64, 64, 64, "crop"),),
    }
    return Sighting(**{**values, **changes})


@contextlib.asynccontextmanager
async def alert_service(path: Path, clock=None, **more):
    clock = clock or Hand()
    async with Store.open(path, "s", busy_timeout_s=0.2) as store:
        bus = Bus(BusSettings("s", "exercise", BrokerAccess("127.0.0.1", 9), "x"), clock)
        site = AlertSite(
            "s",
            "exercise",
            DEFAULT_RULES,
            responders=(Responder("near", "Near", 29.741, 107.27), Responder("far", "Far", 29.75, 107.27)),
        )
        service = AlertService(store, bus, site, clock, **more)
        async with background(service.run):
            yield service, store, clock


async def outbox(store):
    async with store.reader() as session:
        return list(await session.scalars(select(OutboxRow).order_by(OutboxRow.row_id)))


async def until(condition, timeout_s=30.0):
    async with asyncio.timeout(timeout_s):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)


async def heard(service, count):
    """Wait until so many answers are worked through."""
    c = service.counters
    await until(
        lambda: (
            c.acks + c.acks_repeated + c.actions + c.actions_refused + c.actions_repeated + c.unknown_alert + c.garbage
            >= count
        )
    )


def ack(alert_id, sequence, event_id="k1"):
    data = Ack(alert_id=alert_id, sequence=sequence, by="desk")
    return encode("ack", data, event_id=event_id, source="/dispatch", time=START)


def act(alert_id, kind, event_id, **more):
    data = Action(alert_id=alert_id, action=kind, by=more.pop("by", "desk"), **more)
    return encode("action", data, event_id=event_id, source="/dispatch", time=START)

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Event rules within the alert service on a real store: what dispatch reads, and what a failing store costs (nothing)."""

import asyncio
import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from background import background
from sqlalchemy import select

from dronectl.alerts.model import AlertSite, EventSite
from dronectl.alerts.rules import DEFAULT_RULES
from dronectl.alerts.service import AlertService
from dronectl.bus.client import Bus
from dronectl.bus.envelope import decode
from dronectl.bus.messages import Level
from dronectl.bus.settings import BrokerAccess, BusSettings
from dronectl.store import Store
from dronectl.store.models import OutboxRow
from missions.geo import GeoPoint, LocalFrame
from missions.model import Modality
from vision.events import Area, EventRules
from vision.events.settings import Recheck
from vision.sighting import GroundEllipse, Kind, Phase, Sighting

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FRAME = LocalFrame(GeoPoint(29.74, 107.27))
YARD = Area("yard", "Yard", ((0.0, 0.0), (40.0, 0.0), (40.0, 40.0), (0.0, 40.0)), frozenset({"closed"}))


class Hand:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = START

    def utc(self):
        return self.now

    def monotonic_s(self):
        return (self.now - START).total_seconds()


def sighting(track, time_s, east, north, kind=Kind.PERSON, **more):
    at = FRAME.to_geo(east, north)
    place = GroundEllipse(at.latitude_deg, at.longitude_deg, 250.0, 1.04, 0.0, 1.04, 1.0, 0.0, 1.0)
    values = {
        "track_id": track, "sequence": 1, "phase": Phase.UPDATE, "kind": kind, "confidence": 0.8,
        "modality": Modality.THERMAL, "camera_id": "d1-thermal", "vehicle_id": "d1", "place": place,
        "first_exposure_s": 0.0, "last_exposure_s": time_s, "confirmed_exposure_monotonic_s": None,
        "looks": 4, "chances": 5, "rule": "3 of 5", "temperature_max_c": 36.0, "size_m": 0.7, "speed_m_s": 0.0,
        "detector": "onnx", "evidence": (), "depression_deg": 85.0,
    }  # fmt: skip
    return Sighting(**{**values, **more})


@contextlib.asynccontextmanager
async def alert_service(path: Path, clock: Hand, rules: EventRules):
    async with Store.open(path, "s", busy_timeout_s=0.2) as store:
        bus = Bus(BusSettings("s", "exercise", BrokerAccess("127.0.0.1", 9), "x"), clock)
        events = EventSite(rules, FRAME, (YARD,))
        service = AlertService(store, bus, AlertSite("s", "exercise", DEFAULT_RULES, events=events), clock)
        async with background(service.run):
            yield service, store


async def watch(service, clock, looks):
    for look in looks:
        clock.now = START + timedelta(seconds=look.last_exposure_s)
        await service.handle(look, mission_id="m")


async def messages(store):
    async with store.reader() as session:
        rows = await session.scalars(select(OutboxRow).order_by(OutboxRow.row_id))
        return [decode("alert", row.payload.encode()).data for row in rows]


async def test_one_alert_rises_with_what_happens_and_says_the_rule_and_its_numbers(tmp_path):
    clock = Hand()
    async with alert_service(tmp_path / "a.db", clock, EventRules()) as (service, store):
        await watch(service, clock, [sighting("t1", t, 20, 20) for t in range(0, 130, 3)])
        sent = await messages(store)
        assert len({m.alert_id for m in sent}) == 1
        assert [m.level for m in sent] == [Level.BLUE, Level.ORANGE, Level.ORANGE]
        last = sent[-1]
        assert {e.rule for e in last.events} == {"closed-area", "person-down"}
        assert last.why.rule_id in {"closed-area", "person-down"}
        assert "(rule: " in last.why.reason
        down = next(e for e in last.events if e.rule == "person-down")
        assert next(f for f in down.facts if f.name == "motionless for").bound == 90.0
        assert service.counters.events == 2


async def test_a_store_that_fails_while_something_happens_loses_nothing(tmp_path):
    clock = Hand()
    async with alert_service(tmp_path / "a.db", clock, EventRules()) as (service, store):
        await watch(service, clock, [sighting("t1", 0, 20, 20)])
        blocker = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        await watch(service, clock, [sighting("t1", t, 20, 20) for t in (3, 6, 9)])
        assert service.counters.events == 1
        assert len(await messages(store)) == 1, "the store is locked"
        blocker.execute("ROLLBACK")
        blocker.close()
        async with asyncio.timeout(30):
            while len(await messages(store)) < 2:
                await asyncio.sleep(0.05)
        assert [e.rule for e in (await messages(store))[-1].events] == ["closed-area"]


async def test_a_recheck_is_an_alert_of_its_own_and_a_restart_does_not_double_it(tmp_path):
    clock = Hand()
    rules = EventRules(unattended_heat=None, recheck=Recheck(after_s=60.0))
    fire = {"kind": Kind.FIRE, "temperature_max_c": 420.0}
    async with alert_service(tmp_path / "a.db", clock, rules) as (service, store):
        await watch(service, clock, [sighting("f", t, -50, 0, **fire) for t in range(0, 12, 3)])
        await watch(service, clock, [sighting("p", 90, 300, 0), sighting("p", 100, 300, 0)])
        due = [m for m in await messages(store) if m.kind == "hazard"]
        assert [(m.level, m.why.rule_id) for m in due] == [(Level.BLUE, "recheck")]
    async with alert_service(tmp_path / "a.db", clock, rules) as (service, store):
        await watch(service, clock, [sighting("f2", t, -50, 0, **fire) for t in range(110, 122, 3)])
        await watch(service, clock, [sighting("p", 200, 300, 0), sighting("p", 210, 300, 0)])
        due = [m for m in await messages(store) if m.kind == "hazard"]
        assert len({m.alert_id for m in due}) == 1


async def test_a_recheck_that_is_still_to_come_outlives_the_service(tmp_path):
    clock = Hand()
    rules = EventRules(unattended_heat=None, recheck=Recheck(after_s=600.0))
    fire = {"kind": Kind.FIRE, "temperature_max_c": 420.0}

    async def told(seconds):
        """The rechecks after a service that ran at that time for some seconds, with a sighting far from the fire."""
        clock.now = START + timedelta(seconds=seconds)
        async with alert_service(tmp_path / "a.db", clock, rules) as (service, store):
            await service.load()
            await watch(service, clock, [sighting("p", seconds + t, 300, 0) for t in (0, 10)])
            return {m.alert_id for m in await messages(store) if m.kind == "hazard"}

    async with alert_service(tmp_path / "a.db", clock, rules) as (service, _):
        await watch(service, clock, [sighting("f", t, -50, 0, **fire) for t in range(0, 12, 3)])
    assert await told(300.0) == set()
    due = await told(700.0)
    assert len(due) == 1
    assert await told(760.0) == due, "it is told once"
    around = ((-60.0, -10.0), (-40.0, -10.0), (-40.0, 10.0), (-60.0, 10.0))
    async with alert_service(tmp_path / "a.db", clock, rules) as (service, _):
        await watch(service, clock, [sighting("p", 800 + t, 300, 0) for t in (0, 10)])
        for seconds in (820, 822, 824):
            clock.now = START + timedelta(seconds=seconds)
            await service.looked(around)
        await watch(service, clock, [sighting("p", 830, 300, 0)])
        (hazard,) = [a for a in service.alerts() if a.kind == "hazard"]
        assert [e.ended for e in hazard.events] == [True]
    assert await told(1600.0) == due, "it was looked for, and is gone"

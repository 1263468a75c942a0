# SPDX-License-Identifier: AGPL-3.0-or-later
"""The alert service on a real store, without a broker: what becomes an alert, what is kept, what a restart finds."""

import contextlib
import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest
from alerts_on_store import START, Hand, alert_service, outbox, sighting, until
from sqlalchemy import func, select, text

from dronectl.alerts.incidents import MAX_MISSIONS
from dronectl.bus.envelope import decode
from dronectl.bus.messages import Action, AlertPhase, Level
from dronectl.store.models import AlertRow, IncidentRow, OutboxRow
from vision.sighting import Evidence, GroundEllipse, Kind


async def test_a_sighting_becomes_one_alert_that_says_why(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, store, _clock):
        with service.changes.subscribe() as changes:
            await service.handle(sighting(), mission_id="m1")
            alert = await anext(changes)
        assert (alert.phase, alert.level, alert.sequence) == (AlertPhase.NEW, Level.BLUE, 1)
        assert alert.observed_at == START - timedelta(seconds=0.5), "exposure on the monotonic clock, as UTC"
        assert alert.site_status == "exercise"
        assert [r.responder_id for r in alert.responders] == ["near", "far"]
        (row,) = await outbox(store)
        event = decode("alert", row.payload.encode())
        assert (event.id, event.subject, event.data) == (row.message_id, alert.alert_id, alert)
        assert row.topic == f"dronectl/v1/s/alerts/{alert.alert_id}"
        assert row.closed_at is None
        assert service.alerts() == [alert]
        (incident,) = service.incidents()
        assert incident.alerts == [alert.alert_id]


async def test_what_becomes_a_person_later_was_observed_then(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, _store, clock):
        await service.handle(sighting(kind=Kind.HOT_SPOT, confidence=0.3), mission_id="m1")
        assert service.alerts() == [], "a warm stone is no alert"
        clock.now += timedelta(seconds=4.0)
        await service.handle(sighting(sequence=2, confirmed_exposure_monotonic_s=1003.8), mission_id="m1")
        (alert,) = service.alerts()
        assert alert.observed_at == START + timedelta(seconds=3.8)
        await service.handle(sighting(sequence=3, confidence=0.95, confirmed_exposure_monotonic_s=1003.9), "m1")
        assert service.alerts()[0].observed_at == alert.observed_at, "the alert keeps the frame that raised it"


async def test_a_sighting_without_a_place_is_an_alert_that_says_so(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, _store, clock):
        await service.handle(sighting(place=False))
        (alert,) = service.alerts()
        assert alert.location is None
        assert alert.location_missing
        await service.handle(sighting(sequence=2))
        assert service.alerts()[0].location is None, "it waits its turn"
        clock.now += timedelta(seconds=20)
        await until(lambda: service.alerts()[0].location is not None)
        assert service.alerts()[0].location_missing is None


@pytest.mark.parametrize(
    "spoilt",
    [
        {"place": GroundEllipse(float("nan"), 107.27, 250.0, 4.0, 1.0, 4.0, 1.0, 0.0, 1.0)},
        {"place": GroundEllipse(29.7, 107.27, 250.0, float("inf"), 1.0, 4.0, 1.0, 0.0, 1.0)},
        {"place": GroundEllipse(29.7, 107.27, 250.0, -4.0, 1.0, 4.0, 1.0, 0.0, 1.0)},
        {"place": GroundEllipse(89.9, 107.27, 250.0, 4.0, 1.0, 4.0, 1.0, 0.0, 1.0)},
        {"depression_deg": float("nan")},
        {"first_exposure_s": float("-inf")},
        {"last_exposure_s": float("nan")},
        {"confirmed_exposure_monotonic_s": float("nan")},
        {"confirmed_exposure_monotonic_s": float("-inf")},
        {"confidence": 7.0},
        {"confidence": float("nan"), "temperature_max_c": float("inf")},
        {"evidence": (Evidence("x.png", "no hash", 64, 64, "crop"),)},
    ],
)
async def test_a_spoilt_figure_costs_no_alert(tmp_path, spoilt):
    async with alert_service(tmp_path / "a.db") as (service, store, _clock):
        await service.handle(replace(sighting(), **spoilt))
        (alert,) = service.alerts()
        assert (alert.location is None) == ("place" in spoilt)
        assert len(await outbox(store)) == 1


async def test_an_alert_and_its_message_stand_or_fall_together(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, store, _clock):
        async with store.session() as session:  # the last step of the transaction fails, as with a full disk
            await session.execute(
                text(
                    "CREATE TRIGGER full BEFORE INSERT ON outbox "
                    "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
                )
            )
        with contextlib.suppress(Exception):
            await service.handle(sighting())
        async with store.reader() as session:
            for table in (AlertRow, IncidentRow, OutboxRow):
                assert (await session.execute(select(func.count()).select_from(table))).scalar_one() == 0
        assert service.alerts() == []


async def test_a_locked_store_delays_an_alert_and_loses_none(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, store, _clock):
        await service.load()
        other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await service.handle(sighting())
        assert service.alerts() == []
        assert service.counters.store_failures == 1
        other.execute("ROLLBACK")
        other.close()
        await until(lambda: len(service.alerts()) == 1)
        assert len(await outbox(store)) == 1


async def test_one_thing_seen_by_two_drones_is_one_alert(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, store, clock):
        await service.handle(sighting("t1"))
        clock.now += timedelta(seconds=30)
        await service.handle(sighting("t2", north=2.0, vehicle_id="d2", camera_id="d2-thermal"))
        await until(lambda: service.alerts()[0].sequence == 2)
        (alert,) = service.alerts()
        assert alert.phase is AlertPhase.UPDATE
        assert alert.why.vehicles == ["d1", "d2"]
        assert alert.why.tracks == 2
        await service.handle(sighting("t3", north=80.0))
        assert len(service.alerts()) == 2
        assert [r.sequence for r in await outbox(store)] == [1, 2, 1]


async def test_another_mission_is_another_incident(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, _store, _clock):
        await service.handle(sighting("t1"), mission_id="m1")
        await service.handle(sighting("t2", vehicle_id="d2", camera_id="c2"), mission_id="m2")
        assert len(service.alerts()) == 2


async def test_many_missions_at_once_lose_no_alert_and_double_none(tmp_path):
    """More missions than mergers are kept for: one that comes back knows its things, and what is new there is new."""
    async with alert_service(tmp_path / "a.db") as (service, _store, _):
        missions = [f"m{n}" for n in range(MAX_MISSIONS + 4)]
        for mission in missions:
            await service.handle(sighting(f"{mission} first"), mission_id=mission)
        for mission in missions:
            await service.handle(sighting(f"{mission} far", north=900.0), mission_id=mission)
        assert service.counters.alerts == 2 * len(missions)
        for mission in missions:
            await service.handle(sighting(f"{mission} first again"), mission_id=mission)
        assert service.counters.alerts == 2 * len(missions)


async def test_reviews_not_floods(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, store, clock):
        for number in range(1, 60):
            evidence = (Evidence("e.png", f"{number:064x}", 64, 64, "crop"),)
            await service.handle(sighting(sequence=number, evidence=evidence))
            clock.now += timedelta(seconds=1)
        rows = await outbox(store)
        assert 6 <= len(rows) <= 8, "59 sightings in a minute, a message each ten seconds"
        newest = decode("alert", rows[-1].payload.encode()).data
        assert [r.sequence for r in rows] == list(range(1, len(rows) + 1))
        assert newest.phase is AlertPhase.UPDATE
        clock.now += timedelta(seconds=60)  # what was held back comes by itself
        await until(lambda: service.alerts()[0].evidence[0].sha256 == f"{59:064x}")


async def test_a_fire_does_not_wait(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, _store, _clock):
        await service.handle(sighting(kind=Kind.HOT_SPOT, temperature_max_c=95.0))
        await service.handle(sighting(sequence=2, kind=Kind.FIRE))
        (alert,) = service.alerts()
        assert (alert.sequence, alert.level, alert.kind, alert.why.rule_id) == (2, Level.RED, "fire", "fire")


async def test_a_restarted_service_goes_on_where_it_was(tmp_path):
    clock = Hand()
    async with alert_service(tmp_path / "a.db", clock) as (service, _store, _):
        await service.handle(sighting("t1"), mission_id="m")
        before = service.alerts()
    async with alert_service(tmp_path / "a.db", clock) as (service, store, _):
        await service.load()
        assert service.alerts() == before
        assert await service.unacknowledged() == 1
        clock.now += timedelta(minutes=1)
        await service.handle(sighting("t1", 2), mission_id="m")
        await service.handle(sighting("t9", vehicle_id="d2", camera_id="c2"), mission_id="m")
        assert len(service.alerts()) == 1, "the same thing after a restart is no new alert"
        assert [r.sequence for r in await outbox(store)] == [1, 2]


async def test_an_incident_that_ended_just_before_a_kill_does_not_stay_retained_as_open(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, _store, _):
        await service.handle(sighting())
        (alert,) = service.alerts()
        resolved = Action(alert_id=alert.alert_id, action="resolve", by="desk", outcome="found")
        assert await service.act(resolved, event_id="e1", source="/console", said_at=START) is None
    async with alert_service(tmp_path / "a.db") as (again, _store, _):  # the first never reached the broker
        await again.load()
        bus = again._bus
        topic = bus.topics.incident(alert.incident_id)
        assert topic in bus._dirty
        assert topic in bus._ending

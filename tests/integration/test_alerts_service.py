# SPDX-License-Identifier: AGPL-3.0-or-later
"""The alert service on a real store, without a broker: what is kept, what is said, what dispatch can do."""

import asyncio
import contextlib
import json
import sqlite3
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from dronectl.alerts.incidents import MAX_MISSIONS
from dronectl.alerts.model import AlertSite, Responder
from dronectl.alerts.rules import DEFAULT_RULES
from dronectl.alerts.service import AlertService
from dronectl.bus.client import Bus
from dronectl.bus.messages import Ack, Action, AlertPhase, AlertState, Level, decode, encode
from dronectl.bus.settings import BrokerAccess, BusSettings
from dronectl.store import Store, audit
from dronectl.store.models import AlertActionRow, AlertRow, IncidentRow, OutboxRow
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
        running = asyncio.ensure_future(service.run())
        try:
            yield service, store, clock
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


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


async def test_acks_close_everything_up_to_them(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, store, clock):
        for number in (1, 2, 3):
            evidence = (Evidence("e.png", f"{number:064x}", 64, 64, "crop"),)
            await service.handle(sighting(sequence=number, evidence=evidence))
            clock.now += timedelta(seconds=20)
        alert_id = service.alerts()[0].alert_id
        service._bus._listener(alert_id, "ack", ack(alert_id, 2))
        service._bus._listener(alert_id, "ack", ack(alert_id, 2, "k2"))
        service._bus._listener(alert_id, "ack", ack(alert_id, 99, "k3"))  # of the future: garbage
        service._bus._listener("nobody", "ack", ack("nobody", 1, "k4"))
        service._bus._listener("other", "ack", ack(alert_id, 3, "k5"))  # the topic says another alert
        service._bus._listener(alert_id, "ack", b"\xff\x00 no JSON")
        service._bus._listener(alert_id, "cmd", ack(alert_id, 3, "k6"))
        await heard(service, 7)
        rows = await outbox(store)
        assert [r.closed_at is not None for r in rows] == [True, True, False]
        assert rows[0].closed_by == "k1"
        c = service.counters
        assert (c.acks, c.acks_repeated, c.unknown_alert, c.garbage) == (1, 1, 2, 3)
        assert await service.unacknowledged() == 1


@settings(max_examples=8, deadline=None)
@given(messages=st.integers(1, 5), acks=st.lists(st.integers(1, 7), max_size=8))
def test_ack_algebra(messages, acks, tmp_path_factory):
    """Order and repetition do not matter: what is open is what no sound ack has reached."""

    async def play(path):
        async with alert_service(path) as (service, store, clock):
            for number in range(1, messages + 1):
                evidence = (Evidence("e.png", f"{number:064x}", 64, 64, "crop"),)
                await service.handle(sighting(sequence=number, evidence=evidence))
                clock.now += timedelta(seconds=20)
            alert_id = service.alerts()[0].alert_id
            for number, sequence in enumerate(acks):
                service._bus._listener(alert_id, "ack", ack(alert_id, sequence, f"k{number}"))
            await heard(service, len(acks))
            reached = max((a for a in acks if a <= messages), default=0)
            assert [r.sequence for r in await outbox(store) if r.closed_at is None] == list(
                range(reached + 1, messages + 1)
            )

    asyncio.run(play(tmp_path_factory.mktemp("algebra") / "a.db"))


async def test_the_dispatch_system_works_an_alert_to_its_end(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, store, clock):
        await service.handle(sighting())
        alert_id = service.alerts()[0].alert_id
        steps = [
            ("acknowledge", {}),
            ("accept", {}),
            ("accept", {"by": "other"}),  # refused
            ("dispatch", {"responder_id": "near"}),
            ("arrive", {"by": "near"}),
            ("resolve", {"outcome": "walked home"}),
        ]
        for number, (kind, more) in enumerate(steps):
            service._bus._listener(alert_id, "action", act(alert_id, kind, f"a{number}", sequence=number + 1, **more))
            service._bus._listener(alert_id, "action", act(alert_id, kind, f"a{number}", sequence=number + 1, **more))
        await heard(service, 2 * len(steps))
        c = service.counters
        assert (c.actions, c.actions_refused, c.actions_repeated) == (5, 1, 6)
        rows = await outbox(store)
        said = [decode("alert", r.payload.encode()).data for r in rows]
        assert [a.sequence for a in said] == [1, 2, 3, 4, 5, 6, 7]
        assert [str(a.state) for a in said] == [
            "new", "acknowledged", "accepted", "accepted", "dispatched", "arrived", "resolved",
        ]  # fmt: skip
        assert said[3].last_action.refused
        assert (said[6].phase, said[6].end_reason, said[6].outcome) == (AlertPhase.END, "resolved", "walked home")
        assert [a.last_action.event_id for a in said[1:]] == [f"a{n}" for n in range(6)]
        assert [r.closed_at is not None for r in rows] == [True] * 6 + [False], "an action names what it has read"
        (incident,) = service.incidents()
        assert incident.status == "ended"
        assert any("walked home" in entry.what for entry in incident.timeline)
        async with store.reader() as session:
            assert (await session.execute(select(func.count()).select_from(AlertActionRow))).scalar_one() == 6
            assert (await audit.verify(session, "s")).broken_at is None
        # after the end: recorded, refused, not published
        clock.now += timedelta(minutes=1)
        service._bus._listener(alert_id, "action", act(alert_id, "accept", "late"))
        await heard(service, 13)
        assert len(await outbox(store)) == 7


async def test_what_is_settled_stays_quiet_until_it_is_worse_or_long_ago(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, _store, clock):
        await service.handle(sighting(kind=Kind.HOT_SPOT, temperature_max_c=95.0))
        first = service.alerts()[0].alert_id
        service._bus._listener(first, "action", act(first, "false_alarm", "f", note="a sun-heated rock"))
        await until(lambda: service.alerts()[0].state is AlertState.FALSE_ALARM)
        clock.now += timedelta(minutes=5)
        await service.handle(sighting(sequence=2, kind=Kind.HOT_SPOT, temperature_max_c=95.0))
        assert (len(service.alerts()), service.counters.quiet) == (1, 1)
        await service.handle(sighting(sequence=3, kind=Kind.FIRE))
        assert [a.level for a in service.alerts()] == [Level.RED, Level.YELLOW]
        second = service.alerts()[0].alert_id
        service._bus._listener(second, "action", act(second, "resolve", "g", outcome="put out"))
        await until(lambda: service.alerts()[0].state is AlertState.RESOLVED)
        clock.now += timedelta(hours=2)
        await service.handle(sighting(sequence=4, kind=Kind.FIRE))
        assert len(service.alerts()) == 3
        assert len(service.incidents()) == 2


async def test_nobody_acknowledges_so_it_ends_as_expired_and_rises(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, store, clock):
        await service.handle(sighting())  # blue: two hours
        for count in (1, 2, 3):
            clock.now += timedelta(hours=3)
            await until(lambda count=count: service.counters.expired == count)
        alerts = sorted(service.alerts(), key=lambda a: a.escalation)
        assert [a.level for a in alerts] == [Level.BLUE, Level.YELLOW, Level.ORANGE, Level.RED]
        assert [a.end_reason for a in alerts] == ["expired"] * 3 + [None]
        assert alerts[-1].expires_at is None, "the last one waits for ever"
        assert [a.escalated_from for a in alerts[1:]] == [a.alert_id for a in alerts[:-1]]
        assert len({a.incident_id for a in alerts}) == 1
        assert len(await outbox(store)) == 7
        assert await service.unacknowledged() == 7, "nothing is dropped"


@pytest.mark.parametrize("set_by", [timedelta(days=3), -timedelta(days=3)])
async def test_a_clock_that_is_set_brings_no_deadline_nearer_and_puts_none_off(tmp_path, set_by):
    async with alert_service(tmp_path / "a.db") as (service, _store, clock):
        await service.handle(sighting())  # blue: two hours
        clock.now += timedelta(minutes=119)
        clock.set_by = set_by
        await asyncio.sleep(1.5)
        assert service.counters.expired == 0
        clock.now += timedelta(minutes=2)
        await until(lambda: service.counters.expired == 1)
        await asyncio.sleep(1.5)
        assert service.counters.expired == 1  # the next one has a time of its own


async def test_a_clock_that_is_days_behind_at_the_start_puts_no_deadline_off_for_days(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, _store, clock):
        await service.handle(sighting())  # blue: two hours
    clock.set_by = -timedelta(days=3)
    async with alert_service(tmp_path / "a.db", clock) as (service, _store, _):
        await service.load()
        clock.set_by = timedelta(0)
        clock.now += timedelta(minutes=121)
        await until(lambda: service.counters.expired == 1)


async def test_a_clock_that_is_set_makes_nobody_walk_for_days(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, _store, clock):
        await service.handle(sighting())
        clock.now += timedelta(seconds=3)
        clock.set_by = timedelta(days=3)
        await service.handle(sighting("t9", camera_id="d2-thermal", vehicle_id="d2"))
        assert service.counters.merged == 1
        assert len(service.incidents()) == 1


async def test_an_ack_stops_the_deadline(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, _store, clock):
        await service.handle(sighting())
        alert_id = service.alerts()[0].alert_id
        service._bus._listener(alert_id, "ack", ack(alert_id, 1))
        await heard(service, 1)
        clock.now += timedelta(days=1)
        await asyncio.sleep(1.5)
        (alert,) = service.alerts()
        assert (alert.state, alert.expires_at) == (AlertState.NEW, None)
        assert service.counters.expired == 0
    async with alert_service(tmp_path / "a.db", clock) as (service, _store, _):
        await service.load()
        assert service.alerts()[0].expires_at is None, "also after a restart"


async def test_garbage_is_counted_and_memory_stays_bounded(tmp_path):
    async with alert_service(tmp_path / "a.db", inbox_depth=50) as (service, _store, _clock):
        await service.load()
        for number in range(2000):
            service._bus._listener("x", "ack", ack("x", 1, f"k{number}") if number % 2 else b"{" * 100)
        assert service.counters.garbage == 1000
        assert service.counters.inbox_full == 1000 - 50
        await until(service._answers._inbox.empty)
        await service.handle(sighting())
        assert len(service.alerts()) == 1


async def test_the_console_may_act_too(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, _store, _clock):
        await service.handle(sighting())
        alert_id = service.alerts()[0].alert_id
        action = Action(alert_id=alert_id, action="accept", by="desk")
        assert await service.act(action, event_id="e", source="/console", said_at=START) is None
        other = Action(alert_id=alert_id, action="accept", by="other")
        assert "desk" in await service.act(other, event_id="f", source="/console", said_at=START)
        with pytest.raises(LookupError):
            await service.act(
                Action(alert_id="none", action="accept", by="d"), event_id="g", source="/c", said_at=START
            )


@pytest.mark.parametrize(
    ("table", "document"),
    [("alerts", '{"schema_version": 2}'), ("alerts", '{"schema_version": 1}'), ("incidents", '{"schema_version": 1}')],
)
async def test_an_alert_of_another_release_does_not_keep_the_service_down(tmp_path, caplog, table, document):
    async with alert_service(tmp_path / "a.db") as (service, _store, _):
        await service.handle(sighting())
        (alert,) = service.alerts()
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as db, db:
        db.execute(f"UPDATE {table} SET document = ?", (document,))  # noqa: S608  # one of two names
    async with alert_service(tmp_path / "a.db") as (service, store, _):
        service._bus._listener(alert.alert_id, "ack", ack(alert.alert_id, 2, "k0"))  # it has no second message
        await heard(service, 1)
        assert await service.unacknowledged() == 1
        service._bus._listener(alert.alert_id, "ack", ack(alert.alert_id, 1))
        await heard(service, 2)
        assert await service.unacknowledged() == 0, "what cannot be read any more is not sent for ever"
        await service.handle(sighting("t2"), mission_id="m2")
        assert service.counters.alerts == 1
        assert "cannot be read" in caplog.text
        assert next(row.alert_id for row in await outbox(store)) == alert.alert_id


async def test_documents_in_the_store_have_a_version(tmp_path):
    async with alert_service(tmp_path / "a.db") as (service, store, _clock):
        await service.handle(replace(sighting(), speed_m_s=None))
        async with store.reader() as session:
            for table in ("alerts", "incidents"):
                raw = (await session.execute(text(f"SELECT document FROM {table}"))).scalar_one()  # noqa: S608
                assert json.loads(raw)["schema_version"] == 1

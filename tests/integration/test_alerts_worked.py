# SPDX-License-Identifier: AGPL-3.0-or-later
"""The alert service on a real store, without a broker: what dispatch does with alerts, deadlines, and what is garbage."""

import asyncio
import contextlib
import json
import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest
from alerts_on_store import START, ack, act, alert_service, heard, outbox, sighting, until
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from dronectl.bus.envelope import decode
from dronectl.bus.messages import Action, AlertPhase, AlertState, Level
from dronectl.store import audit
from dronectl.store.models import AlertActionRow
from vision.sighting import Evidence, Kind


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


@pytest.mark.parametrize("set_by", [timedelta(days=3), -timedelta(days=3)])
async def test_a_clock_that_is_set_does_not_change_how_long_what_is_settled_stays_quiet(tmp_path, set_by):
    async with alert_service(tmp_path / "a.db") as (service, _store, clock):
        await service.handle(sighting())
        alert_id = service.alerts()[0].alert_id
        service._bus._listener(alert_id, "action", act(alert_id, "false_alarm", "f", note="a scarecrow"))
        await until(lambda: service.alerts()[0].state is AlertState.FALSE_ALARM)
        clock.set_by = set_by
        clock.now += timedelta(minutes=29)
        await service.handle(sighting(sequence=2))
        assert (len(service.alerts()), service.counters.quiet) == (1, 1)
        clock.now += timedelta(minutes=2)
        await service.handle(sighting(sequence=3))
        assert len(service.alerts()) == 2


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

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The store: what it keeps, and how it says that it cannot."""

import asyncio
import contextlib
import random
import sqlite3
import stat
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, event, func, select, text
from sqlalchemy.exc import IntegrityError

from dronectl.store import Store, StoreError, audit
from dronectl.store.models import APPEND_ONLY, AuditRow, Base, CommandEventRow, CommandRow, MissionRow
from dronectl.store.types import from_iso_utc, iso_utc

NOW = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)


def mission(number: int = 1) -> MissionRow:
    return MissionRow(
        site_id="s",
        id=f"m{number}",
        purpose="look",
        authority_who="duty office",
        authority_ground="order 7",
        category="patrol",
        created_at=NOW,
    )


def command(number: int = 1, **changes) -> CommandRow:
    values = {
        "site_id": "s",
        "id": f"c{number}",
        "actor": "duty",
        "reason": "because",
        "vehicle_id": "d1",
        "kind": "hold",
        "issued_at": NOW,
        "expires_at": NOW + timedelta(seconds=5),
        "payload": {"schema_version": 1},
    }
    return CommandRow(**{**values, **changes})


async def test_from_empty_and_again(tmp_path):
    path = tmp_path / "deep" / "a.db"
    async with Store.open(path, "s") as store, store.session() as session:
        session.add(mission())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with Store.open(f"sqlite:///{path}", "s") as store, store.reader() as session:
        row = await session.get(MissionRow, ("s", "m1"))
        assert row is not None
        assert row.created_at == NOW
        assert row.created_at.tzinfo is UTC
        assert (await session.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
        assert (await session.execute(text("PRAGMA synchronous"))).scalar_one() == 2
        assert (await session.execute(text("PRAGMA foreign_keys"))).scalar_one() == 1


async def test_migrations_make_the_tables_of_the_models(tmp_path):
    path = tmp_path / "a.db"
    async with Store.open(path, "s"):
        pass
    with create_engine(f"sqlite:///{path}").connect() as connection:
        differences = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata
        )
    assert differences == []
    for table in Base.metadata.tables.values():
        assert "site_id" in table.columns, table.name


async def test_a_failed_transaction_leaves_nothing(tmp_path):
    async with Store.open(tmp_path / "a.db", "s") as store:
        with pytest.raises(RuntimeError, match="on purpose"):  # noqa: PT012  # the block is the transaction
            async with store.session() as session:
                session.add(mission())
                await session.flush()
                raise RuntimeError("on purpose")
        async with store.session() as session:
            assert await session.get(MissionRow, ("s", "m1")) is None
            session.add(command())
        with pytest.raises(IntegrityError):
            async with store.session() as session:
                session.add(command())
        with pytest.raises(IntegrityError):  # a foreign key that leads nowhere
            async with store.session() as session:
                session.add(CommandEventRow(site_id="s", command_id="none", at=NOW, event="sent"))


async def test_a_reader_keeps_nothing(tmp_path):
    async with Store.open(tmp_path / "a.db", "s") as store:
        async with store.reader() as session:
            session.add(mission())
            await session.flush()
        async with store.reader() as session:
            assert await session.get(MissionRow, ("s", "m1")) is None


async def test_writers_take_turns_and_readers_do_not_wait(tmp_path):
    async with Store.open(tmp_path / "a.db", "s", busy_timeout_s=0.2) as store:

        async def write(number):
            async with store.session() as session:
                session.add(command(number))
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(write(number))
        async with store.session() as writing, store.reader() as reading:
            writing.add(command(99))
            await writing.flush()
            assert (await reading.execute(select(func.count()).select_from(CommandRow))).scalar_one() == 20


async def test_cancelled_transactions_leave_nothing_half_done(tmp_path):
    rng = random.Random(7)
    async with Store.open(tmp_path / "a.db", "s") as store:

        async def write(number):
            async with store.session() as session:
                session.add(command(number))
                await session.flush()
                session.add(CommandEventRow(site_id="s", command_id=f"c{number}", at=NOW, event="sent"))

        for number in range(40):
            task = asyncio.ensure_future(write(number))
            await asyncio.sleep(rng.uniform(0.0, 0.01))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await write(1000)
        async with store.reader() as session:
            commands = (await session.execute(select(func.count()).select_from(CommandRow))).scalar_one()
            events = (await session.execute(select(func.count()).select_from(CommandEventRow))).scalar_one()
    assert commands == events >= 1


async def test_append_only(tmp_path):
    async with Store.open(tmp_path / "a.db", "s") as store:
        async with store.session() as session:
            session.add(command())
            await session.flush()
            session.add(CommandEventRow(site_id="s", command_id="c1", at=NOW, event="sent"))
            await audit.record(session, "s", at=NOW, actor="duty", action="test")
        for table in APPEND_ONLY:
            rows = 1 if table in {"commands", "command_events", "audit"} else 0
            for statement in (f"UPDATE {table} SET site_id='x'", f"DELETE FROM {table}"):  # noqa: S608
                if rows:
                    with pytest.raises(IntegrityError, match="append-only"):
                        async with store.session() as session:
                            await session.execute(text(statement))


async def test_documents_and_times_are_refused_when_they_could_not_be_read_back(tmp_path):
    async with Store.open(tmp_path / "a.db", "s") as store:
        for payload in ({}, {"schema_version": "1"}, {"schema_version": 1, "x": float("nan")}):
            with pytest.raises(Exception, match=r"schema_version|JSON"):
                async with store.session() as session:
                    session.add(command(payload=payload))
        with pytest.raises(Exception, match="time zone"):
            async with store.session() as session:
                session.add(command(issued_at=datetime(2026, 1, 1)))  # noqa: DTZ001  # that is the point


def test_iso_is_sortable_and_utc():
    east = datetime(2026, 3, 1, 20, 0, 0, 5, tzinfo=timezone(timedelta(hours=8)))
    assert iso_utc(east) == "2026-03-01T12:00:00.000005Z" == iso_utc(NOW)
    assert from_iso_utc(iso_utc(east)) == east
    with pytest.raises(ValueError, match="offset"):
        from_iso_utc("2026-03-01T12:00:00")


def check_line(error: pytest.ExceptionInfo[StoreError], path, word: str) -> None:
    message = str(error.value)
    assert str(path) in message
    assert word in message
    assert "\n" not in message
    assert "Traceback" not in message


async def test_no_database_at_all(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"this is a letter to my aunt, not a database " * 100)
    with pytest.raises(StoreError) as error:
        async with Store.open(path, "s"):
            pass
    check_line(error, path, "not a dronectl database")
    assert path.read_bytes().startswith(b"this is a letter")


async def test_database_of_another_program(tmp_path):
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError) as error:
        async with Store.open(path, "s"):
            pass
    check_line(error, path, "another program")
    assert path.read_bytes() == before


async def test_damaged_database(tmp_path):
    path = tmp_path / "a.db"
    async with Store.open(path, "s") as store, store.session() as session:
        for number in range(200):
            session.add(command(number))
    damaged = bytearray(path.read_bytes())
    for offset in range(4096 * 2, len(damaged), 4096):
        damaged[offset : offset + 64] = b"\xff" * 64
    path.write_bytes(damaged)
    with pytest.raises(StoreError) as error:
        async with Store.open(path, "s"):
            pass
    check_line(error, path, "damaged")


async def test_newer_release(tmp_path):
    path = tmp_path / "a.db"
    async with Store.open(path, "s") as store, store.session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num='9999'"))
    with pytest.raises(StoreError) as error:
        async with Store.open(path, "s"):
            pass
    check_line(error, path, "newer release")


async def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as error:
        async with Store.open(tmp_path / "file" / "a.db", "s"):
            pass
    check_line(error, tmp_path / "file", "cannot be opened")
    with pytest.raises(StoreError, match="needs a file"):
        async with Store.open(":memory:", "s"):
            pass
    with pytest.raises(StoreError, match="no driver"):
        async with Store.open("nosuchbase://host/name", "s"):
            pass


async def test_locked(tmp_path):
    path = tmp_path / "a.db"
    async with Store.open(path, "s", busy_timeout_s=0.1) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError) as error:
            async with store.session() as session:
                session.add(mission())
        check_line(error, path, "locked")
        other.execute("ROLLBACK")
        other.close()
        async with store.session() as session:  # and it works again afterwards
            session.add(mission())


async def test_full_disk(tmp_path):
    path = tmp_path / "a.db"
    async with Store.open(path, "s") as store:

        @event.listens_for(store._writing.sync_engine.pool, "checkout")
        def small_disk(dbapi_connection, *_):
            cursor = dbapi_connection.cursor()
            cursor.execute("PRAGMA max_page_count=1")  # never below what is used: no page more
            cursor.close()

        with pytest.raises(StoreError) as error:  # noqa: PT012  # the block is the transaction
            async with store.session() as session:
                for number in range(500):
                    session.add(command(number, reason="x" * 500))
        check_line(error, path, "disk is full")
        async with store.reader() as session:
            assert (await session.execute(select(func.count()).select_from(CommandRow))).scalar_one() == 0


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit SET actor='nobody' WHERE number=3 AND site_id='s'",
        "UPDATE audit SET at='2026-03-01T12:00:00.000006Z' WHERE number=3 AND site_id='s'",
        "UPDATE audit SET detail='{\"schema_version\":1}' WHERE number=3 AND site_id='s'",
        "DELETE FROM audit WHERE number=3 AND site_id='s'",
    ],
)
async def test_audit_chain_finds_tampering(tmp_path, tampering):
    path = tmp_path / "a.db"
    async with Store.open(path, "s") as store:
        async with store.session() as session:
            for number in range(5):
                await audit.record(
                    session, "s", at=NOW, actor="duty", action="view", subject=f"e{number}", detail={"n": number}
                )
            await audit.record(session, "other", at=NOW, actor="duty", action="view")
        async with store.reader() as session:
            verdict = await audit.verify(session, "s")
            assert (verdict.entries, verdict.broken_at) == (5, None)
            last = await session.scalars(select(AuditRow.hash).where(AuditRow.number == 5))
            assert verdict.head == last.one()
        raw = sqlite3.connect(path)
        raw.execute("DROP TRIGGER audit_no_update")
        raw.execute("DROP TRIGGER audit_no_delete")
        raw.execute(tampering)
        raw.commit()
        raw.close()
        async with store.reader() as session:
            assert (await audit.verify(session, "s")).broken_at == 3
            assert (await audit.verify(session, "other")).broken_at is None


async def test_too_many_readers_at_once_are_the_stores_error(tmp_path):
    """Whoever waits for the store knows StoreError: anything else would end it, and the service with it."""
    async with Store.open(tmp_path / "a.db", "s") as store, contextlib.AsyncExitStack() as readers:

        async def read():
            async with store.reader() as session:
                await session.execute(text("select 1"))

        pool = store._reading.sync_engine.pool
        pool._timeout = 0.05
        for _ in range(pool.size() + pool._max_overflow):
            session = await readers.enter_async_context(store.reader())
            await session.execute(text("select 1"))
        with pytest.raises(StoreError, match="connections"):
            await read()


async def test_a_store_that_refuses_says_so_until_it_takes_a_write_again(tmp_path):
    path = tmp_path / "a b%20c.db"
    async with Store.open(path, "s", busy_timeout_s=0.02) as store:
        assert await store.trouble() is None
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError) as refused:
                async with store.session() as session:
                    session.add(mission())
            assert await store.trouble() == str(refused.value)
            other.execute("ROLLBACK")
        assert await store.trouble() is None  # found out without anything to write
        store.must_last()


@pytest.mark.parametrize("what", ["file", "folder", "another"])
async def test_a_file_that_is_gone_is_said_and_not_made_anew(tmp_path, what):
    folder = tmp_path / "state"
    path = folder / "a.db"
    async with Store.open(path, "s") as store:
        async with store.session() as session:
            session.add(mission(1))
        elsewhere = tmp_path / "elsewhere"
        if what == "folder":
            folder.rename(elsewhere)
        else:
            path.rename(elsewhere)
        if what == "another":
            path.write_bytes(b"")
        async with store.session() as session:  # the connection that is open writes on
            session.add(mission(2))
        said = await store.trouble()
        assert said.startswith(f"{path}: it is not there any more")
        assert "\n" not in said
        with pytest.raises(StoreError, match="not there any more"):
            store.must_last()
        if what != "another":
            store._reading.sync_engine.pool._timeout = 0.05
            with pytest.raises(StoreError):  # noqa: PT012  # more connections than are open
                async with contextlib.AsyncExitStack() as stack:
                    for _ in range(2):
                        session = await stack.enter_async_context(store.reader())
                        await session.execute(text("select 1"))
            assert not path.exists()
        if what == "another":
            path.unlink()
        elsewhere.rename(folder if what == "folder" else path)
        assert await store.trouble() is None
        store.must_last()
        async with store.reader() as session:
            assert await session.scalar(select(func.count()).select_from(MissionRow)) == 2

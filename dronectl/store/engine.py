# SPDX-License-Identifier: AGPL-3.0-or-later
"""Opens the database and hands out transactions.

`session()` is a write transaction: one at a time in this process, begun IMMEDIATE on SQLite, committed (with an
fsync: WAL and synchronous=FULL) when the block ends, rolled back when it raises. `reader()` only reads and never
waits for a writer. Whatever the driver raises comes out as one `StoreError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from sqlite3 import DatabaseError
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from dronectl.store.errors import StoreError, explain
from dronectl.store.standing import Standing

APPLICATION_ID: Final = 0x44524E43  # "DRNC" in the SQLite header: how a file of ours is told from any other
_QUICK_CHECK_MAX_BYTES: Final = 256 * 1024 * 1024
_WRITER_WAIT_S: Final = 60.0
_PROBE: Final = "PRAGMA user_version=0"  # nobody uses that number, and it is 0; to set it is a write all the same


class Store:
    """One site's view of the database."""

    def __init__(self, engine: AsyncEngine, site_id: str, location: str) -> None:
        self.site_id = site_id
        self._standing = Standing(Path(location) if engine.dialect.name == "sqlite" else None)
        self.location = location
        self._reading = engine
        self._writing = engine.execution_options(dronectl_begin="BEGIN IMMEDIATE")
        self._writer = asyncio.Lock()

    @classmethod
    def open(
        cls, path_or_url: str | Path, site_id: str, *, busy_timeout_s: float = 5.0
    ) -> AbstractAsyncContextManager[Store]:
        """Open (and create or migrate) a SQLite file or a database URL for the length of the with block.

        Raises StoreError with one clear line when it cannot be used: foreign or damaged file, no permission, locked,
        written by a newer release, no driver for the URL.
        """
        return _open(path_or_url, site_id, busy_timeout_s)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A write transaction; committed when the block ends. Do not open a second one inside it."""
        try:
            async with asyncio.timeout(_WRITER_WAIT_S):
                await self._writer.acquire()
        except TimeoutError:
            raise StoreError(f"{self.location}: a transaction of this process did not end") from None
        try:
            async with self._transaction(self._writing) as session:
                yield session
        finally:
            self._writer.release()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[AsyncSession]:
        """A consistent view for reading; nothing written in it is kept."""
        async with self._transaction(self._reading, keep=False) as session:
            yield session

    async def trouble(self) -> str | None:
        """What is wrong with the store in one line: the last write was refused, or its file is gone. None: nothing.

        After a refused write this writes a header again that says nothing new, to find out whether it is over.
        """
        if self._standing.failing:
            with contextlib.suppress(StoreError):
                async with self.session() as session:
                    await session.execute(text(_PROBE if self._reading.dialect.name == "sqlite" else "SELECT 1"))
        return await asyncio.to_thread(self._standing.trouble)

    def must_last(self) -> None:
        """StoreError when what is written now would not be found again; for what a restarted service must find."""
        if (words := self._standing.gone()) is not None:
            raise StoreError(words)

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine, *, keep: bool = True) -> AsyncIterator[AsyncSession]:
        try:
            async with AsyncSession(engine, expire_on_commit=False) as session:
                yield session
                if keep:
                    await session.commit()
                    self._standing.succeeded()
        except IntegrityError:
            raise  # a duplicate key is the caller's business, not the disk's
        except DBAPIError as error:
            explained = explain(self.location, error)
            if keep:
                self._standing.failed(str(explained))
            raise explained from error
        except PoolTimeoutError:
            raise StoreError(f"{self.location}: too many wait for the disk: no connections are left") from None


@asynccontextmanager
async def _open(path_or_url: str | Path, site_id: str, busy_timeout_s: float) -> AsyncIterator[Store]:
    if not site_id:
        raise StoreError("a store needs a site id")
    url, location = _url_of(path_or_url)
    try:
        engine = create_async_engine(url, pool_pre_ping=False)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreError(f"{location}: no driver for this kind of database is installed ({error})") from error
    if engine.dialect.name == "sqlite":
        _listen(engine, busy_timeout_s)
    try:
        await _prepare(engine, url, location)
        yield Store(engine, site_id, location)
    finally:
        await engine.dispose()


def _url_of(path_or_url: str | Path) -> tuple[URL, str]:
    """The SQLAlchemy URL, and how to name the place to a person (without a password)."""
    given = os.fspath(path_or_url)
    if "://" in given:
        try:
            url = make_url(given)
        except ArgumentError as error:
            raise StoreError(f"the database URL cannot be read: {error}") from error
        if url.drivername == "sqlite":
            url = url.set(drivername="sqlite+aiosqlite")
        if url.get_backend_name() != "sqlite":
            return url, url.render_as_string(hide_password=True)
        given = url.database or ":memory:"
    if given == ":memory:":
        raise StoreError("an alert must survive a crash: the store needs a file, not :memory:")
    path = Path(given)
    _create_private(path)
    # A file that vanishes must not be made anew, empty, by the next connection.
    name = f"file:{quote(str(path.absolute()))}"
    return URL.create("sqlite+aiosqlite", database=name, query={"mode": "rw", "uri": "true"}), str(path)


def _create_private(path: Path) -> None:
    """Create the file readable by its owner alone; SQLite gives its WAL the same permissions."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"{path}: the database cannot be opened or created ({error.strerror})") from error


def _listen(engine: AsyncEngine, busy_timeout_s: float) -> None:
    """SQLite as we want it: our own BEGIN (the driver's is late and never IMMEDIATE), and the pragmas."""

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={round(busy_timeout_s * 1000)}")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("dronectl_begin", "BEGIN"))


async def _prepare(engine: AsyncEngine, url: URL, location: str) -> None:
    try:
        if url.get_backend_name() == "sqlite":
            async with engine.connect() as connection:
                await connection.run_sync(_check_file, location)
            async with engine.connect() as connection:
                raw = await connection.get_raw_connection()
                # Outside any transaction, and once per file: the journal mode is kept in its header.
                await raw.driver_connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[union-attr]
        logging.getLogger("alembic").setLevel(logging.WARNING)  # its plugins announce themselves on import
        from dronectl.store.migrate import upgrade  # needed for this moment only

        immediate = engine.execution_options(dronectl_begin="BEGIN IMMEDIATE")
        async with immediate.begin() as connection:
            await connection.run_sync(upgrade, location)
    except (DBAPIError, DatabaseError) as error:
        raise explain(location, error) from error


def _check_file(connection: Connection, location: str) -> None:
    """Refuse a file of another program, and a damaged one, before anything is written to it."""
    application_id = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
    if tables and application_id != APPLICATION_ID:
        raise StoreError(f"{location}: it is a database of another program: move it away or give another path")
    if Path(location).stat().st_size <= _QUICK_CHECK_MAX_BYTES:
        verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if verdict != "ok":
            words = str(verdict).splitlines()[-1]
            raise StoreError(
                f"{location}: it is damaged: restore a backup, or move it away to start with an empty one ({words})"
            )

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Insert or replace by primary key in one statement, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession


async def upsert(session: AsyncSession, table: Table, values: Mapping[str, Any]) -> None:
    """Write one whole row; an existing one with its key is replaced."""
    keys = [column.name for column in table.primary_key]
    rest = [name for name in values if name not in keys]
    if session.get_bind().dialect.name == "postgresql":
        into = postgresql.insert(table).values(**values)
        await session.execute(
            into.on_conflict_do_update(index_elements=keys, set_={name: into.excluded[name] for name in rest})
        )
        return
    put = sqlite.insert(table).values(**values)
    await session.execute(
        put.on_conflict_do_update(index_elements=keys, set_={name: put.excluded[name] for name in rest})
    )

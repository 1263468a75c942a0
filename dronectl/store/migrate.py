# SPDX-License-Identifier: AGPL-3.0-or-later
"""Brings a database to this release's tables with the migrations that ship inside the package.

Runs inside the caller's transaction: a migration that fails leaves the database as it was.
"""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from dronectl.store.errors import StoreError


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration without a file: the scripts come from the installed package."""
    config = Config()
    config.set_main_option("script_location", "dronectl.store:migrations")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, location: str) -> None:
    """Upgrade to the newest revision; nothing happens when it is there already. Raises StoreError for a newer one."""
    config = configuration(connection)
    scripts = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection).get_current_revision()
    if present == scripts.get_current_head():
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if present is not None and present not in known:
        raise StoreError(f"{location}: it was written by a newer release (revision {present}): upgrade dronectl")
    command.upgrade(config, "head")

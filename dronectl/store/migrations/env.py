# SPDX-License-Identifier: AGPL-3.0-or-later
"""Alembic's entry: runs the revisions on the connection that `dronectl.store.migrate` hands over."""

from alembic import context

from dronectl.store.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=False)
context.run_migrations()

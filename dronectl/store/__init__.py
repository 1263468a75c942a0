# SPDX-License-Identifier: AGPL-3.0-or-later
"""What must survive a crash: missions, commands, flight journal, alerts and their outbox, the audit chain."""

from dronectl.store.engine import Store
from dronectl.store.errors import StoreError

__all__ = ["Store", "StoreError"]

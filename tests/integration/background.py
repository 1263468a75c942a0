# SPDX-License-Identifier: AGPL-3.0-or-later
"""What runs beside a test: when it fails, the test ends with its error, not with what was waited for in vain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def background(*works: Callable[[], Coroutine[Any, Any, Any]]) -> AsyncIterator[None]:
    """Run these until the block ends, which is cancelled if one of them fails."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for work in works]
        yield
        for task in tasks:
            task.cancel()

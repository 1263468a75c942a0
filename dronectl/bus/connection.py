# SPDX-License-Identifier: AGPL-3.0-or-later
"""One connection to a broker, of which no cancellation is lost.

aiomqtt waits with `asyncio.wait_for`. In Python 3.11 that hands out the answer instead of the cancellation when both
come in one turn of the loop (python/cpython#86296; mended in 3.12): the task goes on as if nobody had asked it to end,
and whoever cancelled it and waits for its end waits for ever. A service that is stopped while alerts go out meets this.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final, Self

import aiomqtt

_HANDSHAKE_GRACE_S: Final = 0.5


class Connection(aiomqtt.Client):
    """An aiomqtt client: what is cancelled here ends with CancelledError, and leaves no socket behind."""

    async def __aenter__(self) -> Self:
        """Connect. Raises aiomqtt.MqttError."""
        entering = asyncio.ensure_future(super().__aenter__())
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            # aiomqtt forgets its socket when a handshake is cancelled, so that is let come to its end if it is near.
            try:
                await asyncio.wait([entering], timeout=_HANDSHAKE_GRACE_S)
            finally:
                if not entering.cancel() and entering.exception() is None:
                    await super().__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        """Disconnect."""
        with cancellation_kept():
            await super().__aexit__(*error)  # type: ignore[arg-type]  # as it came

    async def publish(self, *args: Any, **kwargs: Any) -> None:
        """As aiomqtt's. Raises aiomqtt.MqttError."""
        with cancellation_kept():
            await super().publish(*args, **kwargs)

    async def subscribe(self, *args: Any, **kwargs: Any) -> Any:
        """As aiomqtt's. Raises aiomqtt.MqttError."""
        with cancellation_kept():
            return await super().subscribe(*args, **kwargs)


@contextlib.contextmanager
def cancellation_kept() -> Iterator[None]:
    """Raise the CancelledError of a cancellation that came meanwhile, whatever else came of the body."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError

# SPDX-License-Identifier: AGPL-3.0-or-later
"""How values travel inside the service: the latest value for telemetry, bounded subscriptions for events.

A slow reader of `Latest` skips values and never holds up the writer. A slow reader of a `Hub` is closed and told
so: telemetry can be skipped, events cannot be lost silently.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Holds the newest value; readers wait for one that they have not seen."""

    def __init__(self, value: T) -> None:
        self._value = value
        self._version = 0
        self._changed = asyncio.Event()

    @property
    def value(self) -> T:
        return self._value

    @property
    def version(self) -> int:
        return self._version

    def set(self, value: T) -> None:
        """Replace the value and wake every reader."""
        self._value = value
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def changes(self) -> AsyncIterator[T]:
        """The present value, then each newer one; values set while the reader was busy are skipped."""
        seen = -1
        while True:
            if seen != self._version:
                seen = self._version
                yield self._value
            else:
                await self._changed.wait()


class SlowReaderError(Exception):
    """A subscriber did not keep up and was closed."""


class Subscription(Generic[T]):
    """One reader's queue of a Hub."""

    def __init__(self, depth: int) -> None:
        self._queue: asyncio.Queue[T] = asyncio.Queue(maxsize=depth)
        self._overrun = False

    def offer(self, item: T) -> None:
        """Put without waiting; a full queue closes this subscription."""
        if self._overrun:
            return
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self._overrun = True

    def __aiter__(self) -> Subscription[T]:
        return self

    async def __anext__(self) -> T:
        if self._overrun:
            raise SlowReaderError("this subscription fell behind and was closed")
        return await self._queue.get()


class Hub(Generic[T]):
    """Hands every item to every subscription."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription[T]] = set()

    @contextmanager
    def subscribe(self, depth: int = 256) -> Iterator[Subscription[T]]:
        """A subscription for the length of the with block."""
        subscription: Subscription[T] = Subscription(depth)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def publish(self, item: T) -> None:
        """Offer the item to all."""
        for subscription in self._subscriptions:
            subscription.offer(item)

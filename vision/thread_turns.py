# SPDX-License-Identifier: AGPL-3.0-or-later
"""The fair shares of `vision.shares` for threads that look with the same detectors, one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from vision.shares import FairShares


class ThreadTurns:
    """`with turns.of(name): ...` is that source's turn. A source is one thread: it waits for one turn at a time."""

    def __init__(self, names: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds, for what a turn costs."""
        self._shares = FairShares()
        for name in names:
            self._shares.add(name)
        self._clock = clock
        self._news = threading.Condition()
        self._looking: str | None = None

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Wait for this source's turn; it is over at the end of the block."""
        with self._news:
            self._shares.ask(name)
            self._go_on()
            self._news.wait_for(lambda: self._looking == name)
        began = self._clock()
        try:
            yield
        finally:
            with self._news:
                self._shares.charge(name, self._clock() - began)
                self._looking = None
                self._go_on()

    def _go_on(self) -> None:
        if self._looking is None:
            self._looking = self._shares.next()
            self._news.notify_all()

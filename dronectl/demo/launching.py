# SPDX-License-Identifier: AGPL-3.0-or-later
"""Hands in a demonstration's flights at their planned starts, in simulated time, while they are followed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dronectl.cli.client import ServiceClient
from dronectl.demo.processes import Child
from dronectl.errors import UnavailableError
from dronectl.operations.launches import Launches
from missions.formats.qgc_plan import write_plan
from missions.model import FlightPlan

_ANSWER_S: Final = 60.0  # far more than the simulator needs


@dataclass(slots=True)
class SimClock:
    """The simulator's own time. It runs `speed` times as fast as ours at best, and crawls while vision lags.

    The simulator is asked at its control door, which answers in the order of the questions; `take` gets its lines.
    """

    _answers: asyncio.Queue[float] = field(default_factory=lambda: asyncio.Queue(maxsize=1))

    def take(self, line: str) -> None:
        """One line of the simulator's standard output."""
        with contextlib.suppress(ValueError, KeyError, TypeError, asyncio.QueueFull):
            self._answers.put_nowait(float(json.loads(line)["status"]["simulated_s"]))

    async def now_s(self, sim: Child) -> float:
        """Seconds of simulated time. Raises UnavailableError when the simulator does not say it."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                await sim.order({"status": True})
                return await self._answers.get()
        except TimeoutError as error:
            raise UnavailableError("the simulator does not say what time it is") from error


@dataclass(slots=True)
class Launching:
    """The flights of one call, by the index of their plan.

    sorties: sortie id by vehicle, of those handed in. began_s: when the first was, by the clock.
    """

    client: ServiceClient
    plans: Sequence[FlightPlan]
    reason: str
    now_s: Callable[[], Awaitable[float]]
    sorties: dict[str, str] = field(default_factory=dict)
    began_s: float = 0.0
    called_off: bool = False
    _launches: Launches = field(init=False)

    def __post_init__(self) -> None:
        self._launches = Launches([plan.start_after_s for plan in self.plans])

    @property
    def waiting(self) -> list[str]:
        """Vehicles that are still to be handed in, in the order of their starts."""
        return [] if self.called_off else [self.plans[i].vehicle_id for i in self._launches.waiting]

    async def step(self, sorties: dict[str, dict[str, Any]]) -> None:
        """Take what was just seen of the sorties, by vehicle, and hand in whoever is due."""
        if not self.waiting:
            return
        now_s = await self.now_s()
        self.began_s = self.began_s or now_s
        for index, plan in enumerate(self.plans):
            if (sortie := sorties.get(plan.vehicle_id)) is not None:
                self._launches.seen(index, sortie["state"], now_s)
        while (due := self._launches.due(now_s)) is not None:
            plan = self.plans[due]
            self._launches.handed_in(due, now_s)
            body = {"vehicle_id": plan.vehicle_id, "plan": json.loads(write_plan(plan)), "reason": self.reason}
            accepted = await asyncio.to_thread(self.client.post, "/api/v1/sorties", body)
            self.sorties[plan.vehicle_id] = accepted["sortie_id"]

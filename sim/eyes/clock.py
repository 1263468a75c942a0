# SPDX-License-Identifier: AGPL-3.0-or-later
"""One time for all that moves in the world, whenever the clocks of those who look at it began.

Vehicles that are simulated here begin together: their time is the world's. Every PX4 counts from its own boot, seconds
after the one before; by that time a walker would be at another place for each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection


class WorldClock:
    """How far ahead of each vehicle's time the world's is: settled at its first pose, and anew when its clock goes back."""

    def __init__(self, own_clocks: Collection[str], speed: float, now_s: Callable[[], float] = time.monotonic) -> None:
        """own_clocks: vehicles that count from a boot of their own. speed: simulated seconds in one of `now_s`."""
        self._own_clocks, self._speed, self._now_s = own_clocks, speed, now_s
        self._began_s: float | None = None  # when the world's time was 0, in simulated seconds of now_s
        self._ahead: dict[str, tuple[float, float]] = {}  # by vehicle: its last time, and how far ahead the world is

    def ahead_s(self, vehicle_id: str, time_s: float) -> float:
        """What to add to a vehicle's time. Call it for each pose as it comes."""
        if vehicle_id not in self._own_clocks:
            return 0.0
        last_s, ahead_s = self._ahead.get(vehicle_id, (float("inf"), 0.0))
        if time_s < last_s:
            here_s = self._now_s() * self._speed
            if self._began_s is None:
                self._began_s = here_s - time_s
            ahead_s = here_s - self._began_s - time_s
        self._ahead[vehicle_id] = time_s, ahead_s
        return ahead_s

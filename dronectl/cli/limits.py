# SPDX-License-Identifier: AGPL-3.0-or-later
"""Time limits of planners: when to stop, so that checks and files are done in time, and how to repeat such a run."""

from __future__ import annotations

import time
from collections.abc import Callable


class PlanClock:
    """A planner's stop(): towards the time limit, or after the steps of a run that is to be repeated exactly.

    began_s: when the command began, by now_s. afterwards: what checks and files take, as a share of the time that was
    spent until the planner had its first plan, which `first_plan` tells; until then of that until it first asked. A busy
    machine is as slow with the one as with the other.
    """

    def __init__(
        self,
        began_s: float,
        limit_s: float | None,
        most_steps: int | None,
        *,
        afterwards: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._began_s, self._limit_s, self._most, self.steps = began_s, limit_s, most_steps, 0
        self._afterwards, self._now_s = afterwards, now_s
        self._mark_s: float | None = None
        self.ended = False

    def stop(self) -> bool:
        """Whether to end now; a step counts each time when not."""
        if self._most is not None:
            self.ended = self.steps >= self._most
        elif self._limit_s is not None and not self.ended:
            now_s = self._now_s()
            if self._mark_s is None:
                self._mark_s = now_s
            after_s = self._afterwards * (self._mark_s - self._began_s)
            self.ended = now_s > self._began_s + self._limit_s - after_s
        self.steps += not self.ended
        return self.ended

    def first_plan(self) -> None:
        """The planner has a plan from now on, and only betters it."""
        self._mark_s = self._now_s()

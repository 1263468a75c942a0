# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a standing patrol is: rounds of flights that come again, and the times between visits in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from missions.energy import PlanEnergy
from missions.model import FlightPlan
from missions.revisit.model import Circuit


@dataclass(frozen=True, slots=True)
class CircuitRound:
    """One round of flights, flown again every period_s.

    visits_s: per item the arrivals in a round, from 0 on below period_s. idleness_s: per item the longest time between
    two; worst_ratio: the greatest of idleness over interval.
    """

    strategy: str
    circuits: tuple[Circuit, ...]
    plans: tuple[FlightPlan, ...]
    energies: tuple[PlanEnergy, ...]
    period_s: float
    slack_s: float | None
    visits_s: tuple[tuple[float, ...], ...]
    idleness_s: tuple[float, ...]
    worst_ratio: float

    @property
    def worst_s(self) -> float:
        return max(self.idleness_s)


@dataclass(frozen=True, slots=True)
class CircuitPlan:
    """The best round, the best of every strategy, and what none can beat.

    failed: strategies without a round, and why. bound: of the worst idleness over interval; bound_s: of the worst
    idleness in seconds.
    """

    best: CircuitRound
    rounds: tuple[CircuitRound, ...]
    failed: tuple[tuple[str, str], ...]
    items: tuple[str, ...]
    intervals_s: tuple[float, ...]
    bound: float
    bound_s: float
    iterations: int

    @property
    def ratio(self) -> float:
        return self.best.worst_ratio / self.bound if self.bound > 0.0 else 1.0


def visits_s(
    plans: Sequence[FlightPlan], energies: Sequence[PlanEnergy], period_s: float, names: Sequence[str]
) -> tuple[tuple[float, ...], ...]:
    """Per item the arrivals in a round, rising."""
    visits: dict[str, list[float]] = {name: [] for name in names}
    for plan, energy in zip(plans, energies, strict=True):
        for waypoint, arrival_s in zip(plan.waypoints, energy.arrival_s, strict=True):
            for item in waypoint.serves:
                visits[item].append((plan.start_after_s + arrival_s) % period_s)
    return tuple(tuple(sorted(visits[name])) for name in names)


def longest_gap_s(arrivals_s: Sequence[float], period_s: float) -> float:
    """The longest time between two arrivals that come again every period; infinite without any."""
    if not arrivals_s:
        return math.inf
    rising = sorted(arrivals_s)
    return max(b - a for a, b in zip(rising, [*rising[1:], rising[0] + period_s], strict=True))

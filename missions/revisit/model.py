# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a revisit plan is made of: sites and times between them come in, closed circuits with drones on them go out.

Idleness is the time between two arrivals at a site (Chevaleyre 2004); weighted, it is multiplied by the site's
weight. With a weight of one over the wanted interval, a weighted idleness of at most 1 means that it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.errors import PlanningError
from missions.geo import FloatArray

_ASYMMETRY = 1e-6


@dataclass(frozen=True, slots=True)
class Endurance:
    """How long a drone flies on one battery and how long a swap at a dock takes."""

    fly_s: float
    swap_s: float


@dataclass(frozen=True, slots=True, eq=False)
class RevisitTask:
    """Sites, docks and drones. Raises PlanningError when they do not fit together.

    time_s: (n + d, n + d) symmetric shortest times between n sites, then d docks.
    dwell_s, weight: (n,) seconds spent at each visit; how much a second of idleness counts there, above 0.
    endurance: None means that batteries never end; otherwise at least one dock is needed.
    """

    time_s: FloatArray
    dwell_s: FloatArray
    weight: FloatArray
    drones: int
    endurance: Endurance | None = None

    def __post_init__(self) -> None:
        n, total = len(self.weight), len(self.time_s)
        if n == 0:
            raise PlanningError("there is nothing to revisit: name at least one site")
        if self.drones < 1:
            raise PlanningError("a patrol needs at least one drone")
        if self.time_s.shape != (total, total) or total < n or len(self.dwell_s) != n:
            raise PlanningError("times, dwells and weights do not have the same number of sites")
        if not np.isfinite(self.time_s).all():
            first, second = (int(i) for i in np.argwhere(~np.isfinite(self.time_s))[0])
            raise PlanningError(f"site {second} cannot be reached from site {first}; join them or patrol them apart")
        if (self.time_s < 0).any() or np.abs(self.time_s - self.time_s.T).max() > _ASYMMETRY * (1 + self.time_s.max()):
            raise PlanningError("times between sites must be the same both ways and not below 0")
        for site in range(n):
            if not (np.isfinite(self.weight[site]) and self.weight[site] > 0):
                raise PlanningError(f"the weight of site {site} is {self.weight[site]}; it must be above 0")
            if not (np.isfinite(self.dwell_s[site]) and self.dwell_s[site] >= 0):
                raise PlanningError(f"the dwell at site {site} is {self.dwell_s[site]} s; it must not be below 0")
        self._check_endurance(n, total)

    def _check_endurance(self, n: int, total: int) -> None:
        if self.endurance is None:
            return
        if total == n:
            raise PlanningError("batteries end, so at least one dock is needed")
        if self.endurance.fly_s <= 0 or self.endurance.swap_s < 0:
            raise PlanningError("flying time must be above 0 s and swap time not below 0 s")
        need = 2.0 * self.time_s[n:, :n].min(axis=0) + self.dwell_s
        far = int(np.argmax(need))
        if need[far] > self.endurance.fly_s:
            over = need[far] - self.endurance.fly_s
            raise PlanningError(
                f"site {far} needs {need[far]:.0f} s there and back from the nearest dock, {over:.0f} s more than the "
                f"{self.endurance.fly_s:.0f} s of a battery; put a dock nearer"
            )

    @property
    def sites(self) -> int:
        return len(self.weight)

    @property
    def stay_s(self) -> FloatArray:
        """(n + d,) seconds at each node: dwells, then swaps."""
        swap = self.endurance.swap_s if self.endurance else 0.0
        return np.concatenate([self.dwell_s, np.full(len(self.time_s) - self.sites, swap)])


@dataclass(frozen=True, slots=True)
class Circuit:
    """A closed walk over nodes (sites, and docks from n on), flown for ever by `drones`, equally apart in time."""

    stops: tuple[int, ...]
    drones: int


@dataclass(frozen=True, slots=True)
class RevisitPlan:
    """The best circuits found.

    idleness_s: worst time between arrivals, per site. worst_s: the worst of them; worst_weighted: weighted, the goal.
    bound: what no plan can beat, weighted. tried: worst weighted idleness of the best plan of each strategy; bare: the
    circuits of each of these, without stops at docks.
    """

    strategy: str
    circuits: tuple[Circuit, ...]
    idleness_s: tuple[float, ...]
    worst_s: float
    worst_weighted: float
    bound: float
    tried: tuple[tuple[str, float], ...]
    bare: tuple[tuple[str, tuple[Circuit, ...]], ...]
    iterations: int

    @property
    def ratio(self) -> float:
        """Worst weighted idleness over its bound; 1 when both are 0."""
        if self.bound > 0:
            return self.worst_weighted / self.bound
        return 1.0 if self.worst_weighted <= 0 else float("inf")


def lap_s(task: RevisitTask, stops: tuple[int, ...] | list[int]) -> float:
    """Seconds of one lap: moves, dwells and swaps."""
    walk = np.asarray(stops, dtype=np.int64)
    return float(task.time_s[walk, np.roll(walk, -1)].sum() + task.stay_s[walk].sum())


def circuit_idleness_s(task: RevisitTask, stops: NDArray[np.int64], drones: int) -> FloatArray:
    """(n,) worst time between arrivals at each site by the drones of one circuit; infinite where it never comes.

    Drones a lap / m apart make the arrivals at a site periodic with that period, so gaps are counted modulo it.
    """
    steps = task.time_s[stops, np.roll(stops, -1)] + task.stay_s[stops]
    arrival = np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    period = float(steps.sum()) / drones
    out = np.full(task.sites, np.inf)
    if period <= 0.0:
        out[stops[stops < task.sites]] = 0.0
        return out
    phase = arrival % period
    order = np.lexsort((phase, stops))
    site, at = stops[order], phase[order]
    first = np.flatnonzero(np.concatenate([[True], site[1:] != site[:-1]]))
    last = np.concatenate([first[1:], [len(site)]]) - 1
    gap = np.empty(len(at))
    gap[:-1] = at[1:] - at[:-1]
    gap[last] = at[first] + period - at[last]
    worst = np.maximum.reduceat(gap, first)
    here = site[first] < task.sites
    out[site[first][here]] = worst[here]
    return out


def idleness_s(task: RevisitTask, circuits: tuple[Circuit, ...] | list[Circuit]) -> FloatArray:
    """(n,) worst idleness of each site; of several circuits through a site the best one counts."""
    out = np.full(task.sites, np.inf)
    for circuit in circuits:
        out = np.minimum(out, circuit_idleness_s(task, np.asarray(circuit.stops, dtype=np.int64), circuit.drones))
    return out

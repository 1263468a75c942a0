# SPDX-License-Identifier: AGPL-3.0-or-later
"""One flight among others that are settled already: the cheapest way to fit it in.

In this order, the next only where the one before costs much or is not to be had: as it is; a later start; another
layer; a hold on the way; a step aside. "Costs" are seconds: of delay, of longer flight, and (heavier) of a later last
touch-down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from missions.deconflict.delays import Forbidden, forbidden_delays
from missions.deconflict.encounters import Encounter, encounters_with
from missions.deconflict.model import ChangeKind, Rules
from missions.deconflict.options import held, lasts, room, shifted, sidesteps
from missions.deconflict.segments import Segments, segments
from missions.deconflict.trajectory import Phase, Trajectory, fly, places_m
from missions.geo import FloatArray, LocalFrame
from missions.model import FlightPlan, VehicleLimits

_EASY_S = 30.0  # a delay that nobody minds: no other way is looked for
_LAYER_COST_S, _HOLD_COST_S, _SIDESTEP_COST_S = 40.0, 20.0, 60.0
_HOLD_WEIGHT = 1.5  # a hold costs battery, a later start does not
_LATE_WEIGHT = 5.0
_HOLD_PLACES = 4
_MIN_HOLD_S = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A flight to be placed: its plan, the plan's motion and places, and its earliest start."""

    plan: FlightPlan
    trajectory: Trajectory
    places: FloatArray
    start_s: float
    owner: int


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A way to fly it: start delayed by delay_s, and the steps (kind, amount, waypoint) that led there."""

    plan: FlightPlan
    trajectory: Trajectory
    delay_s: float
    steps: tuple[tuple[ChangeKind, float, int | None], ...]
    cost_s: float
    because: Encounter | None


class Placer:
    """Fits flights in; `last_s` is the last touch-down that is to be expected anyway."""

    def __init__(self, frame: LocalFrame, limits: VehicleLimits, rules: Rules, last_s: float) -> None:
        self.frame, self.limits, self.rules, self.last_s = frame, limits, rules, last_s

    def place(self, flight: Piece, settled: Segments | None) -> Placed | Encounter:
        """The cheapest way among the settled flights; where the rules allow none, the meeting that is in the way."""
        unchanged = Placed(flight.plan, flight.trajectory, 0.0, (), 0.0, None)
        if settled is None:
            return unchanged
        met = encounters_with(self._cut(flight, flight.trajectory), settled, self.rules.minima)
        if not met and self.rules.slack_s <= 0.0:
            return unchanged
        forbidden = self._forbidden(flight, flight.trajectory, settled)
        if not met:
            if not forbidden.forbids(0.0):
                return unchanged
            late = forbidden.core_s(0.0)
            met = encounters_with(self._cut(flight, flight.trajectory, late), settled, self.rules.minima)
            if not met:
                return unchanged  # they only touch
        because = met[0]
        delay = forbidden.earliest()
        best: Placed | None = None
        if delay <= self.rules.max_delay_s:
            best = self._costed(flight, flight.plan, flight.trajectory, delay, (), 0.0, because)
            if best.cost_s <= _EASY_S:
                return best
        for cost, ways in (
            (_LAYER_COST_S, self._layers(flight, settled, because)),
            (_HOLD_COST_S, self._holds(flight, settled, forbidden, because)),
            (_SIDESTEP_COST_S, self._sidesteps(flight, settled, because)),
        ):
            if best is not None and best.cost_s <= cost:
                continue  # it could not be cheaper
            for way in ways:
                if best is None or way.cost_s < best.cost_s - 1e-9:
                    best = way
        return because if best is None else best

    def _layers(self, flight: Piece, settled: Segments, because: Encounter) -> Iterator[Placed]:
        step = self.rules.minima.vertical_m
        count = int(self.rules.max_shift_m / step + 1e-9)
        if not count:
            return
        space = room(flight.plan, flight.places, self.frame, self.limits, self.rules.terrain)
        for rise in sorted((s * k * step for k in range(1, count + 1) for s in (1, -1)), key=abs):
            if not space.low_m - 1e-6 <= rise <= space.high_m + 1e-6:
                continue
            plan = shifted(flight.plan, rise)
            if rise > 0 and not lasts(plan, flight.plan, self.limits, self.rules.wind_m_s):
                continue
            yield from self._delayed(flight, plan, settled, ((ChangeKind.LAYER, rise, None),), _LAYER_COST_S, because)

    def _holds(self, flight: Piece, settled: Segments, forbidden: Forbidden, because: Encounter) -> Iterator[Placed]:
        """Start early enough for the first part, wait at a waypoint until the rest is free."""
        rules, items = self.rules, flight.trajectory.item
        if rules.max_hold_s <= 0.0 or not len(forbidden.piece):
            return
        meets = int(items[forbidden.piece[forbidden.low_s < forbidden.earliest()].max(initial=0)])
        for item in range(min(meets, len(flight.plan.waypoints)) - 1, -1, -1)[:_HOLD_PLACES]:
            split = int((items <= item).sum())
            delay = forbidden.of_pieces(0, split).earliest()
            after = forbidden.of_pieces(split, len(items))
            stop_s = _extra_stop_s(flight, item, self.limits, rules.wind_m_s)
            hold = (
                math.ceil(max(_MIN_HOLD_S, after.earliest(delay + stop_s + _MIN_HOLD_S) - delay - stop_s) * 10.0) / 10.0
            )
            if delay > rules.max_delay_s or hold > rules.max_hold_s:
                continue
            plan = held(flight.plan, item, hold)
            trajectory = fly(plan, self.limits, flight.places, wind_m_s=rules.wind_m_s)
            cut = self._cut(flight, trajectory, delay)
            meets_others = bool(encounters_with(cut, settled, rules.minima)) or (
                rules.slack_s > 0.0 and self._forbidden(flight, trajectory, settled).forbids(delay)
            )
            if meets_others or not lasts(plan, flight.plan, self.limits, rules.wind_m_s):
                continue
            steps = ((ChangeKind.HOLD, hold, item),)
            cost = _HOLD_COST_S + _HOLD_WEIGHT * hold
            yield self._costed(flight, plan, trajectory, delay, steps, cost, because)

    def _sidesteps(self, flight: Piece, settled: Segments, because: Encounter) -> Iterator[Placed]:
        if not self.rules.sidesteps:
            return
        at = because.time_s - flight.start_s
        trajectory = flight.trajectory
        if trajectory.phase_at(at) is not Phase.ROUTE:
            return
        piece = min(int((trajectory.time_s[1:] <= at).sum()), len(trajectory.item) - 1)
        item = int(trajectory.item[piece])
        east, north, _ = trajectory.at(at)
        for plan, side in sidesteps(flight.plan, item, (east, north), self.frame, self.limits, self.rules.terrain):
            if lasts(plan, flight.plan, self.limits, self.rules.wind_m_s):
                steps = ((ChangeKind.SIDESTEP, side, item),)
                yield from self._delayed(flight, plan, settled, steps, _SIDESTEP_COST_S, because)

    def _delayed(
        self,
        flight: Piece,
        plan: FlightPlan,
        settled: Segments,
        steps: tuple[tuple[ChangeKind, float, int | None], ...],
        cost: float,
        because: Encounter,
    ) -> Iterator[Placed]:
        """A changed plan at its earliest start."""
        same = len(plan.waypoints) == len(flight.plan.waypoints)
        places = flight.places if same else places_m(plan, self.frame)
        trajectory = fly(plan, self.limits, places, wind_m_s=self.rules.wind_m_s)
        delay = self._forbidden(flight, trajectory, settled).earliest()
        if delay <= self.rules.max_delay_s:
            longer = max(0.0, trajectory.duration_s - flight.trajectory.duration_s)
            yield self._costed(flight, plan, trajectory, delay, steps, cost + longer, because)

    def _costed(
        self,
        flight: Piece,
        plan: FlightPlan,
        trajectory: Trajectory,
        delay: float,
        steps: tuple[tuple[ChangeKind, float, int | None], ...],
        cost: float,
        because: Encounter,
    ) -> Placed:
        late = max(0.0, flight.start_s + delay + trajectory.duration_s - self.last_s)
        if delay > 0.0:
            steps = (*steps, (ChangeKind.DELAY, delay, None))
        return Placed(plan, trajectory, delay, steps, cost + delay + _LATE_WEIGHT * late, because)

    def _forbidden(self, flight: Piece, trajectory: Trajectory, settled: Segments) -> Forbidden:
        return forbidden_delays(
            self._cut(flight, trajectory),
            settled,
            self.rules.minima,
            self.rules.max_delay_s + self.rules.max_hold_s,
            slack_s=self.rules.slack_s,
        )

    @staticmethod
    def _cut(flight: Piece, trajectory: Trajectory, delay_s: float = 0.0) -> Segments:
        return segments(trajectory, start_s=flight.start_s + delay_s, owner=flight.owner)


def _extra_stop_s(flight: Piece, item: int, limits: VehicleLimits, wind_m_s: float) -> float:
    """What stopping for a hold costs beyond the hold, at a waypoint that was flown through."""
    longer = fly(held(flight.plan, item, 1.0), limits, flight.places, wind_m_s=wind_m_s)
    return max(0.0, longer.duration_s - flight.trajectory.duration_s - 1.0)

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flights that conflict in space and time come in; flights that keep apart go out, with what was changed and why.

First the returns are laid in layers (`returns`). Then flights are settled one after another, higher priority first
and longer flights before shorter ones, so that the longest, which sets the makespan, starts when it wants to and the
others use their slack; each is fitted in between those settled before (`placing`). When that makes the last
touch-down later, or a flight finds no place, the flight concerned goes earlier in the order, and all is tried again.
A flight is never moved for one of lower priority.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from missions.deconflict.encounters import Encounter, encounters
from missions.deconflict.model import Change, ChangeKind, Flight, Meeting, Resolution, Rules
from missions.deconflict.options import room, shifted
from missions.deconflict.placing import Piece, Placed, Placer
from missions.deconflict.returns import Returning, layered, lowest_return_m, meeting_place, return_clashes, returning
from missions.deconflict.segments import joined, segments
from missions.deconflict.trajectory import Trajectory, common_frame, fly, places_m
from missions.energy import height_above_home_m
from missions.errors import PlanningError
from missions.geo import FloatArray
from missions.model import Finding, FlightPlan, Severity, VehicleLimits

_ORDERS = 6  # how many orders are tried at most
_LATE_S = 0.05
_DIGITS = 5  # of heights in metres: layers exactly as far apart as asked must stay so


@dataclass(frozen=True, slots=True)
class _Failed:
    index: int
    met: Encounter


def resolve(flights: Sequence[Flight], limits: VehicleLimits, rules: Rules | None = None) -> Resolution:
    """Separate flights; the same set in any order gives the same result.

    Raises PlanningError when a flight cannot be fitted in, with the pair, the time and the place, and for two flights
    of one vehicle; DatumError for altitudes that are not related to home.
    """
    names = [f.plan.vehicle_id for f in flights]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise PlanningError(f"more than one plan for {', '.join(twice)}; give one plan per vehicle")
    if not flights:
        return Resolution((), (), (), (), (), 0.0, 0.0)
    order = sorted(range(len(flights)), key=lambda i: names[i])
    found = _Resolver([flights[i] for i in order], limits, rules or Rules()).run()
    back = [order.index(i) for i in range(len(flights))]
    return replace(
        found,
        flights=tuple(found.flights[i] for i in back),
        trajectories=tuple(found.trajectories[i] for i in back),
    )


def meetings_of(flights: Sequence[Flight], limits: VehicleLimits, rules: Rules | None = None) -> list[Meeting]:
    """The conflicts of flights as they are."""
    if len(flights) < 2:
        return []
    return _Resolver(flights, limits, rules or Rules()).meetings()


class _Resolver:
    def __init__(self, flights: Sequence[Flight], limits: VehicleLimits, rules: Rules) -> None:
        self.flights, self.limits, self.rules = flights, limits, rules
        self.frame = common_frame([f.plan for f in flights])
        self.places: list[FloatArray] = [places_m(f.plan, self.frame) for f in flights]
        self.trajectories = [self._fly(f.plan, p) for f, p in zip(flights, self.places, strict=True)]

    def _fly(self, plan: FlightPlan, places: FloatArray) -> Trajectory:
        return fly(plan, self.limits, places, wind_m_s=self.rules.wind_m_s)

    def meetings(self) -> list[Meeting]:
        timed = [(t, f.start_s) for t, f in zip(self.trajectories, self.flights, strict=True)]
        return [self._meeting(e) for e in encounters(timed, self.rules.minima)]

    def run(self) -> Resolution:
        before = self.meetings()
        first_s = min(f.start_s for f in self.flights)
        was_s = self._last_s(self.trajectories) - first_s
        plans, changes, findings = self._layer_returns()
        motions = [
            t if plan is f.plan else self._fly(plan, p)
            for t, f, plan, p in zip(self.trajectories, self.flights, plans, self.places, strict=True)
        ]
        pieces = [
            Piece(plan, motion, places, f.start_s, i)
            for i, (plan, motion, places, f) in enumerate(zip(plans, motions, self.places, self.flights, strict=True))
        ]
        placed = self._settle(pieces, max(self._last_s(self.trajectories), self._last_s(motions)))
        for i, way in enumerate(placed):
            because = None if way.because is None else self._meeting(way.because)
            changes += [Change(self._name(i), kind, amount, item, because) for kind, amount, item in way.steps]
        done = tuple(
            replace(f, plan=way.plan, start_s=f.start_s + way.delay_s)
            for f, way in zip(self.flights, placed, strict=True)
        )
        ends = [f.start_s + w.trajectory.duration_s for f, w in zip(done, placed, strict=True)]
        return Resolution(
            done,
            tuple(w.trajectory for w in placed),
            tuple(before),
            tuple(changes),
            tuple(findings),
            was_s,
            max(ends) - first_s,
        )

    def _last_s(self, trajectories: Sequence[Trajectory]) -> float:
        return max(f.start_s + t.duration_s for f, t in zip(self.flights, trajectories, strict=True))

    def _layer_returns(self) -> tuple[list[FlightPlan], list[Change], list[Finding]]:
        plans = [f.plan for f in self.flights]
        if not self.rules.return_layers:
            return plans, [], []
        areas = [returning(p, self.limits, places) for p, places in zip(plans, self.places, strict=True)]
        if not return_clashes(areas, self.rules.minima):
            return plans, [], []

        def lowest_m(i: int) -> tuple[float, float]:
            lowered = self._lowered(plans[i], self.places[i])
            levels = (plan.home_amsl_m + self._lowest_return_m(plan) for plan in (plans[i], lowered))
            as_it_is, low = levels
            return as_it_is, min(as_it_is, low)

        ends = [f.start_s + t.duration_s for f, t in zip(self.flights, self.trajectories, strict=True)]
        heights = layered(areas, ends, self.limits, self.rules.minima, lowest_m)
        changes = []
        for i, height in enumerate(heights):
            lower = round(height - areas[i].high_m, _DIGITS)
            if lower < 0.0 and height != areas[i].return_m:
                plans[i] = shifted(plans[i], lower)
                changes.append(Change(self._name(i), ChangeKind.LAYER, lower, None, None))
            rise = round(height - areas[i].return_m, _DIGITS)
            if rise:
                plans[i] = replace(plans[i], return_height_m=round(plans[i].return_height_m + rise, _DIGITS))
                changes.append(Change(self._name(i), ChangeKind.RETURN_LAYER, rise, None, None))
        after = [returning(p, self.limits, places) for p, places in zip(plans, self.places, strict=True)]
        return plans, changes, self._shortage(after)

    def _lowered(self, plan: FlightPlan, places: FloatArray) -> FlightPlan:
        """The plan as low as the rules let it be."""
        space = room(plan, places, self.frame, self.limits, self.rules.terrain)
        return shifted(plan, max(space.low_m, -self.rules.max_shift_m))

    def _lowest_return_m(self, plan: FlightPlan) -> float:
        highest = max((height_above_home_m(w.altitude, plan.home_amsl_m) for w in plan.waypoints), default=0.0)
        return lowest_return_m(plan, self.limits, self.rules.terrain, highest)

    def _shortage(self, areas: Sequence[Returning]) -> list[Finding]:
        findings = []
        for clash in return_clashes(areas, self.rules.minima):
            place = self.frame.to_geo(*meeting_place(areas[clash.first], areas[clash.second], self.rules.minima))
            one, two = self._name(clash.first), self._name(clash.second)
            message = (
                f"if the site is lost, {one} and {two} return {clash.vertical_m:.0f} m apart in height over the same "
                f"ground (near {place.latitude_deg:.5f}, {place.longitude_deg:.5f}); there is no room for another layer "
                f"of {self.rules.minima.vertical_m:.0f} m between their waypoints and the top: raise the fence's top, "
                "lower their plans, or fly fewer vehicles at once"
            )
            findings.append(Finding("return-layers-short", Severity.BLOCKER, message, None, place))
        return findings

    def _settle(self, pieces: Sequence[Piece], last_s: float) -> list[Placed]:
        """Try orders until none makes the last touch-down later; the best is kept."""
        promoted: dict[int, int] = {}
        best: tuple[float, list[Placed]] | None = None
        failed: _Failed | None = None
        for attempt in range(_ORDERS):
            order = sorted(range(len(pieces)), key=lambda i: self._rank(pieces[i], promoted.get(i, 0)))
            outcome = self._in_order(pieces, order, last_s)
            if isinstance(outcome, _Failed):
                failed = outcome
                worst = outcome.index
            else:
                late = [self._end(p, w) - last_s for p, w in zip(pieces, outcome, strict=True)]
                total = max(0.0, *late) * 1e3 + sum(w.cost_s for w in outcome)
                if best is None or total < best[0] - 1e-9:
                    best = total, outcome
                worst = max(range(len(late)), key=lambda i: (late[i], -i))
                if late[worst] <= _LATE_S:
                    break
            if promoted.get(worst, 0) == attempt + 1 or worst == order[0]:
                break
            promoted[worst] = attempt + 1
        if best is None and failed is not None:
            raise PlanningError(self._refusal(failed))
        return [] if best is None else best[1]

    def _rank(self, piece: Piece, promoted: int) -> tuple[float, ...]:
        """Sort key: stated priority, then those that found no good place before, then the longest."""
        flight = self.flights[piece.owner]
        return (-flight.priority, -promoted, -(piece.start_s + piece.trajectory.duration_s), piece.owner)

    def _in_order(self, pieces: Sequence[Piece], order: Sequence[int], last_s: float) -> list[Placed] | _Failed:
        placer = Placer(self.frame, self.limits, self.rules, last_s)
        placed: dict[int, Placed] = {}
        settled = None
        for index in order:
            way = placer.place(pieces[index], settled)
            if isinstance(way, Encounter):
                return _Failed(index, way)
            placed[index] = way
            cut = segments(way.trajectory, start_s=pieces[index].start_s + way.delay_s, owner=index)
            settled = cut if settled is None else joined([settled, cut])
        return [placed[i] for i in range(len(pieces))]

    @staticmethod
    def _end(piece: Piece, way: Placed) -> float:
        return piece.start_s + way.delay_s + way.trajectory.duration_s

    def _refusal(self, failed: _Failed) -> str:
        met, rules = self._meeting(failed.met), self.rules
        tried = [f"starting up to {rules.max_delay_s:.0f} s later"]
        if rules.max_shift_m >= rules.minima.vertical_m:
            tried.append(f"layers up to {rules.max_shift_m:.0f} m higher or lower within the limits")
        if rules.max_hold_s > 0:
            tried.append(f"holds up to {rules.max_hold_s:.0f} s")
        if rules.sidesteps:
            tried.append("steps aside inside the fence")
        return (
            f"{met.first} and {met.second} cannot be separated: {met.time_s:.0f} s after the first start they come within "
            f"{met.lateral_m:.0f} m ({met.vertical_m:.0f} m in height) of each other near "
            f"{met.position.latitude_deg:.5f}, {met.position.longitude_deg:.5f}; no way was found by "
            f"{', '.join(tried)}: allow a longer delay or give {met.first} more room"
        )

    def _name(self, index: int) -> str:
        return self.flights[index].plan.vehicle_id

    def _meeting(self, met: Encounter) -> Meeting:
        east, north, up = met.place_m
        return Meeting(
            self._name(met.first),
            self._name(met.second),
            met.start_s,
            met.end_s,
            met.time_s,
            met.lateral_m,
            met.vertical_m,
            self.frame.to_geo(east, north),
            up,
        )

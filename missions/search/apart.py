# SPDX-License-Identifier: AGPL-3.0-or-later
"""The flights of one search kept apart: those in the air by what they can do there, those on pads by their starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from missions.deconflict.aloft import Aloft, Shorter, fly_on_apart
from missions.deconflict.model import Change
from missions.deconflict.starts import started_apart
from missions.errors import PlanningError
from missions.search.flights import Flights, Flown, SearchVehicle
from missions.search.improve import Allowance, Raster, Sweep
from missions.search.shorten import Shortener

_TRIES = 4


@dataclass(frozen=True, slots=True, eq=False)
class KeptApart:
    """See `planner.SearchPlan`."""

    flown: tuple[Flown, ...]
    homeward: tuple[Flown, ...]
    changes: tuple[Change, ...]
    slack_s: float | None
    slack_aloft_s: float | None


def kept_apart(
    vehicles: Sequence[SearchVehicle],
    flown: Mapping[str, Flown],
    allowances: Sequence[Allowance],
    flights: Flights,
    raster: Raster,
    sweep: Sweep,
) -> KeptApart:
    """Flights by vehicle kept apart; vehicles in the air that have none are brought home.

    Those from pads get starts that keep clear of all that is in the air, the ways home of the latter included.
    """
    wind, terrain = flights.order.wind_m_s, flights.terrain
    bases: dict[int, Flown] = {}  # by the identity of their plans, all of which live as long as this does
    cuts = _Cuts(flown, flights, raster, sweep)

    def shortened(vehicle: SearchVehicle, allowance: Allowance) -> Callable[[float], Shorter | None]:
        def shorter(seconds: float) -> Shorter | None:
            if (cut := cuts.sooner(vehicle, allowance, seconds)) is None:
                return None
            bases[id(cut[0].plan)] = cut[0]
            return Shorter(cut[0].plan, cut[1])

        return shorter

    craft, who = [], []
    for vehicle, allowance in zip(vehicles, allowances, strict=True):
        if vehicle.at is None:
            continue
        home, flight = _home(flights, vehicle), flown.get(vehicle.vehicle_id)
        bases |= {id(f.plan): f for f in (home, flight) if f is not None}
        home_plan = None if home is None else home.plan
        if flight is not None:
            craft.append(Aloft(flight.plan, flight.battery_from_pad, shortened(vehicle, allowance), home_plan))
        elif home is not None:
            craft.append(Aloft(home.plan, home.battery_from_pad))
        else:
            continue
        who.append((vehicle, home_plan))
    on = fly_on_apart(craft, flights.limits, wind_m_s=wind, terrain=terrain)
    moved: dict[str, Flown] = {}
    homeward: dict[str, Flown] = {}
    for (vehicle, home_plan), base, plan in zip(who, on.base, on.plans, strict=True):
        made = bases[id(base)] if plan is base else flights.replanned(vehicle, bases[id(base)], plan)
        (homeward if base is home_plan else moved)[vehicle.vehicle_id] = made
    from_pads = [flown[v.vehicle_id].plan for v in vehicles if v.at is None and v.vehicle_id in flown]
    apart = started_apart(from_pads, flights.limits, wind_m_s=wind, aloft=on.plans)
    started = {p.vehicle_id: replace(flown[p.vehicle_id], plan=p) for p in apart.plans}
    every = {**moved, **started}
    return KeptApart(
        tuple(every[v.vehicle_id] for v in vehicles if v.vehicle_id in every),
        tuple(homeward.values()),
        on.changes,
        apart.slack_s,
        on.slack_s,
    )


class _Cuts:
    """Flights that search less; what all find together is reckoned when the first one is asked for."""

    def __init__(self, flown: Mapping[str, Flown], flights: Flights, raster: Raster, sweep: Sweep) -> None:
        self._flown, self._flights, self._raster, self._sweep = flown, flights, raster, sweep

    @cached_property
    def _shortener(self) -> Shortener:
        return Shortener([f.track for f in self._flown.values()], self._raster, self._sweep)

    def sooner(self, vehicle: SearchVehicle, allowance: Allowance, seconds: float) -> tuple[Flown, float] | None:
        """A flight that is home so many seconds sooner, and what it gives up, in seconds of what all do on average."""
        was, index = self._flown[vehicle.vehicle_id], list(self._flown).index(vehicle.vehicle_id)
        metres = seconds * self._flights.speed
        for _ in range(_TRIES):
            cut = self._shortener.shorter(index, allowance, self._flights.turn_m, metres)
            made = None if cut is None else self._flights.fly(vehicle, cut[0], allowance)
            if cut is None or made is None:
                return None
            late_s = made.energy.time_s - was.energy.time_s + seconds
            if late_s <= 0.0:
                per_s = self._shortener.found / sum(f.energy.time_s for f in self._flown.values())
                return made, cut[1] / per_s if per_s > 0.0 else seconds
            metres += (late_s + 0.5) * self._flights.speed
        return None


def _home(flights: Flights, vehicle: SearchVehicle) -> Flown | None:
    """None where no way home is known: over ground without heights, or outside of the fence."""
    try:
        return flights.homeward(vehicle)
    except PlanningError:
        return None

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether a flight that starts now would come too near to one that is under way, and how much later it would not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from dronectl.fleet.sortie_types import BEFORE_ARMING, Phase, Sortie
from missions.deconflict.starts import SLACK_S, started_apart
from missions.geo import Altitude, Datum, GeoPoint, distance_m
from missions.model import FlightPlan, VehicleLimits, Waypoint
from missions.separation import MINIMA

_ON_THE_WAY_HOME: Final = frozenset({Phase.RETURNING, Phase.LANDING})
_STANDING: Final = frozenset({Phase.PAUSED, Phase.LOST_LINK})  # nobody knows for how long
_STANDS_S: Final = 7200.0
_PLACE_M: Final = 5.0  # what a place by satellites may be off, and a vehicle from where it stays


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A plan that is being flown. sortie: None while it is only being ordered."""

    plan: FlightPlan
    sortie: Sortie | None


@dataclass(frozen=True, slots=True)
class Meeting:
    """A flight under way, `other_id`, that one which starts now would come too near to.

    stands: it holds in the air, nobody knows for how long. later_s: what start would keep clear of it; None: it has
    to move on first. stays_s: it stays at a waypoint, and goes on at a moment that nobody knows, within that time;
    None: it does not stay, or stands. The start keeps clear whenever that is.
    """

    vehicle_id: str
    other_id: str
    stands: bool
    later_s: float | None
    lateral_m: float = MINIMA.lateral_m
    vertical_m: float = MINIMA.vertical_m
    stays_s: float | None = None

    @property
    def text(self) -> str:
        """One line for a person."""
        mend = (
            "wait until it has moved on"
            if self.later_s is None
            else f"started {self.later_s:.0f} s later it would keep clear"
        )
        how = "stands in the air" if self.stands else "is under way"
        if self.stays_s is not None:
            how = f"stays at a waypoint and may go on at any moment of the next {self.stays_s:.0f} s"
        return (
            f"{self.vehicle_id} would come within {self.lateral_m:.0f} m across and {self.vertical_m:.0f} m in height of "
            f"{self.other_id}, which {how}: {mend}"
        )


def meetings_under_way(plan: FlightPlan, others: Sequence[UnderWay], limits: VehicleLimits) -> list[Meeting]:
    """Each flight under way that would come too near, flown from where it is as it is planned.

    Calm, and the energy model's times: a warning to whoever orders it. Flights of the plan's own vehicle do not count.
    Raises DatumError as the energy model does.
    """
    found = []
    for other in others:
        if other.plan.vehicle_id == plan.vehicle_id:
            continue
        rests, stays_s = _rests(other)
        (apart,) = started_apart([plan], limits, aloft=rests, slacks_s=(SLACK_S,)).plans
        if apart.start_after_s <= SLACK_S:
            continue  # they meet only if one is early or late
        stands = other.sortie is not None and other.sortie.phase in _STANDING
        met_standing = stands and apart.start_after_s > _STANDS_S / 2.0  # not on its way after it
        later_s = None if met_standing else apart.start_after_s
        found.append(
            Meeting(plan.vehicle_id, other.plan.vehicle_id, stands, later_s, stays_s=None if stands else stays_s)
        )
    return found


def _rests(other: UnderWay) -> tuple[list[FlightPlan], float | None]:
    """What may be left to fly, and how long it may stay at a waypoint.

    While it stays at one, for how long is not known, as autopilots tell of its end only. The rests are so near to each
    other that a start that keeps clear of all, with its slack, keeps clear of what is between.
    """
    rest = _rest(other)
    if len(rest.waypoints) < 2 or (stay_s := rest.waypoints[1].hold_s) <= 0.0:
        return [rest], None
    here, there, *later = rest.waypoints
    if distance_m(here.position, there.position) > there.acceptance_radius_m + _PLACE_M:
        return [rest], None
    parts = math.ceil(stay_s / (2.0 * SLACK_S))
    rests = [
        replace(rest, waypoints=(here, replace(there, hold_s=stay_s * part / parts), *later))
        for part in range(parts + 1)
    ]
    return rests, stay_s


def _rest(other: UnderWay) -> FlightPlan:
    """What is left to fly, beginning where the vehicle is."""
    plan, sortie = other.plan, other.sortie
    here = _here(plan, sortie)
    if sortie is None or here is None:
        start = (_over(plan.home, 0.0), _over(plan.home, plan.takeoff_height_m))
        return replace(plan, waypoints=(*start, *plan.waypoints), start_after_s=0.0)
    reached = min(sortie.waypoints_reached, len(plan.waypoints))
    speeds = [w.speed_m_s for w in plan.waypoints[:reached] if w.speed_m_s is not None]
    hold_s = _STANDS_S if sortie.phase in _STANDING else 0.0
    begin = replace(here, speed_m_s=speeds[-1] if speeds else None, hold_s=hold_s)
    left = () if sortie.phase in _ON_THE_WAY_HOME else plan.waypoints[reached:]
    climb: tuple[Waypoint, ...] = ()
    if sortie.phase is Phase.TAKING_OFF and here.altitude.value_m < plan.takeoff_height_m:
        climb = (_over(here.position, plan.takeoff_height_m),)  # straight up first, and then to the first waypoint
    return replace(plan, waypoints=(begin, *climb, *left), start_after_s=0.0)


def _here(plan: FlightPlan, sortie: Sortie | None) -> Waypoint | None:
    """Where the vehicle is in the air; None on the ground, or where it is not known."""
    if sortie is None or sortie.phase in BEFORE_ARMING or sortie.state is None or not sortie.state.in_air:
        return None
    latitude_deg, longitude_deg = sortie.state.latitude_deg, sortie.state.longitude_deg
    if latitude_deg is None or longitude_deg is None:
        return None
    height_m = sortie.state.height_above_home_m
    return _over(GeoPoint(latitude_deg, longitude_deg), plan.takeoff_height_m if height_m is None else height_m)


def _over(place: GeoPoint, height_m: float) -> Waypoint:
    return Waypoint(place, Altitude(height_m, Datum.HOME))

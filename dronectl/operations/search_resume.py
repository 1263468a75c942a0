# SPDX-License-Identifier: AGPL-3.0-or-later
"""A search in progress: what was flown changes the map, and the rest is planned again for the drones that are left.

The state of a search is its probability map, nothing else:

    found = plan_site_search(site, chart, at, sensing, budget)            # fly found.plan.flown
    chart = after_flying(chart, tracks, sensing_of(found)).chart          # what was really flown found nothing
    found = plan_rest(site, chart, at, sensing_of(found), drones, budget) # fly on

All functions are pure computation: give them a thread or a process of their own, never the service's loop. With
`REPLAN_MOVES` iterations ten drones take less than two seconds of one core once the kernels are compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from shapely.geometry import Point

from dronectl.errors import BadInputError
from dronectl.operations.planning import LAYER_STEP_M, MAX_LAYERS
from dronectl.operations.searching import (
    Sensing,
    SiteSearch,
    checked_search,
    search_order,
    sweep_of,
    sweep_width,
)
from dronectl.site import Site
from missions.errors import PlanningError
from missions.fences import fence_shape
from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.model import Budget
from missions.search.flights import SearchVehicle
from missions.search.flown import Swept, after_tracks
from missions.search.planner import belief_within, replan
from missions.search.probability import ProbabilityMap

REPLAN_MOVES = 150_000


@dataclass(frozen=True, slots=True)
class DroneNow:
    """A drone at the moment of planning again.

    battery_fraction: what it holds. at: where it is in the air, None on its pad. rest: what is left of the track that
    it is flying, which is kept where nothing better is found.
    """

    drone_id: str
    battery_fraction: float = 1.0
    at: GeoPoint | None = None
    rest: tuple[GeoPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different from the first plan: the wind, and zones (open rings) that may not be flown over any more."""

    wind_m_s: float = 0.0
    no_fly: tuple[tuple[GeoPoint, ...], ...] = ()


def sensing_of(found: SiteSearch) -> Sensing:
    """The sensor of a planned search, with its width as it was taken."""
    return Sensing(found.sweep_width_m, found.height_m, found.certain)


def with_width(site: Site, sensing: Sensing, drone_ids: Sequence[str] | None = None) -> Sensing:
    """The sensor with its width, taken from the drones' cameras where it is not given. Raises BadInputError."""
    drones = site.drones if drone_ids is None else tuple(site.drone(d) for d in drone_ids)
    height = search_order(site, sensing, 0.0).height_m
    return replace(sensing, sweep_width_m=sweep_width(drones, height, sensing.sweep_width_m)[0])


def after_flying(chart: ProbabilityMap, tracks: Sequence[Sequence[GeoPoint]], sensing: Sensing) -> Swept:
    """The map after tracks were flown with a sensor looking and nothing was found: exact Bayes on its cells.

    tracks: where each drone really was, in order; leave out what was flown without looking. sensing needs its width.
    Raises BadInputError when there is no width, or nothing is left of the map.
    """
    if sensing.sweep_width_m is None:
        raise BadInputError("what was flown says nothing without a sweep width; give it")
    flat = [_metres(chart.frame, t) for t in tracks]
    try:
        return after_tracks(chart, flat, sweep_of(sensing.sweep_width_m, certain=sensing.certain))
    except PlanningError as error:
        raise BadInputError(str(error)) from error


def plan_rest(
    site: Site,
    chart: ProbabilityMap,
    at: GeoPoint,
    sensing: Sensing,
    drones: Sequence[DroneNow],
    budget: Budget,
    changes: Changes | None = None,
) -> SiteSearch:
    """Plan the rest of a search: today's map, the drones that are left where they are, the wind and the zones of now.

    A drone that is over a new zone cannot be planned for: it stays idle, and the doubts say by how much it is in.
    Flights of drones in the air begin where the drone is and are kept apart (`missions.deconflict.aloft`);
    `Flown.battery_from_pad` makes checks that know flights from pads only come out right. Raises BadInputError when nobody is left to search, or nothing is in reach.
    """
    changes = changes or Changes()
    doubts: list[str] = []
    if not drones:
        raise BadInputError("no drone is left to search; send another or end the search")
    fence = replace(site.fence, exclusion=(*site.fence.exclusion, *changes.no_fly))
    allowed = fence_shape(fence, chart.frame).allowed(site.limits.position_error_m)
    vehicles, rests = [], []
    order_of = {d.drone_id: i for i, d in enumerate(site.drones)}
    for now in drones:
        drone = site.drone(now.drone_id)
        place = Point(chart.frame.to_enu(now.at or drone.pad))
        off = float(place.distance(allowed))
        if off > 0.0:
            where = "in the air" if now.at is not None else "on its pad"
            doubts.append(
                f"{now.drone_id} {where} is {off:.0f} m inside what may not be flown over: bring it out by hand; "
                "it is not planned for" + (", and nobody is kept clear of it" if now.at is not None else "")
            )
            continue
        layer = LAYER_STEP_M * (order_of[drone.drone_id] % MAX_LAYERS)
        vehicles.append(
            SearchVehicle(drone.drone_id, drone.pad, drone.return_height_m, layer, now.battery_fraction, now.at)
        )
        rests.append(_metres(chart.frame, now.rest))
    if not vehicles:
        raise BadInputError("\n".join(doubts))
    known = [site.drone(v.vehicle_id) for v in vehicles]
    order = search_order(site, sensing, changes.wind_m_s)
    width, doubt = sweep_width(known, order.height_m, sensing.sweep_width_m)
    sweep = sweep_of(width, certain=sensing.certain)
    try:
        belief = belief_within(chart, sweep, vehicles, order, fence, site.limits)
        found = replan(belief, sweep, vehicles, rests, order, fence, site.limits, site.terrain, budget)
    except PlanningError as error:
        raise BadInputError("\n".join(f"{site.file}: {line}" for line in str(error).splitlines())) from error
    planned = {f.plan.vehicle_id for f in found.flights}
    flying = [v.vehicle_id for v in vehicles if v.at is not None and v.vehicle_id in planned]
    doubts += [
        f"{v.vehicle_id} is in the air and no way home is known for it: bring it home by hand, nobody is kept clear of it"
        for v in vehicles
        if v.at is not None and v.vehicle_id not in planned
    ]
    return checked_search(site, chart, at, sensing, found, width, [*doubt, *doubts], changes.wind_m_s, flying)


def _metres(frame: LocalFrame, points: Sequence[GeoPoint]) -> FloatArray:
    if not points:
        return np.empty((0, 2))
    return frame.to_enu_array([p.latitude_deg for p in points], [p.longitude_deg for p in points])

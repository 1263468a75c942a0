# SPDX-License-Identifier: AGPL-3.0-or-later
"""A path over an area to flights: it is cut where batteries end, and every piece goes to a drone.

Each flight leaves its pad, takes up the path exactly where the one before left it, sets the camera again, follows the
ground, and comes home inside the fence. Legs keep position error and braking way from fence, keep-outs and forbidden
holes. Flights are equally long by a quick model; the energy model then judges each, and more flights are made until
all land with their reserve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import shapely
from shapely.geometry import Point, Polygon
from shapely.geometry.base import BaseGeometry

from missions.coverage.area import CoverArea
from missions.coverage.cuts import TOO_FAR_M, Cuts, shared_out
from missions.coverage.track import Track, even_track
from missions.deconflict.starts import started_apart
from missions.energy import Performance, PlanEnergy, height_above_home_m, plan_energy
from missions.errors import PlanningError
from missions.fences import fence_margin_m, fence_shape
from missions.geo import Altitude, Datum, FloatArray, GeoPoint, LocalFrame
from missions.model import FlightPlan, Geofence, Mission, VehicleLimits, Waypoint
from missions.routing.visibility import shortest_paths
from missions.terrain import OutsideTerrainError, Terrain, height_at
from missions.terrain_follow import Corner, HeightBand, follow, height_band

_SLACK_M = 1.0
_APART_M = 1.0  # an autopilot cannot tell nearer waypoints apart
_MAX_ROUNDS = 20
_SOONER = 0.8  # of the time that fewer flights take
_ONE_BY_ONE = 12  # so many are tried one after the other, then ever larger steps


@dataclass(frozen=True, slots=True)
class CoverVehicle:
    """A drone on its pad. `height_m` is its own height above ground: drones fly in layers."""

    vehicle_id: str
    home: GeoPoint
    return_height_m: float
    height_m: float


@dataclass(frozen=True, slots=True)
class CoverTask:
    """What is to be covered and how.

    width_m: distance between passes, which half of a disc around the vehicle must see on either side.
    avoid_holes: holes of the area are keep-outs, not only ground of no interest.
    tolerance_m: how far heights over ground may stray along passes.
    """

    mission: Mission
    area: CoverArea
    width_m: float
    cruise_speed_m_s: float
    gimbal_pitch_deg: float = -90.0
    avoid_holes: bool = False
    tolerance_m: float = 8.0
    swap_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Sortie:
    """One flight of one drone. from_m and to_m are places along the sweep's path."""

    vehicle_id: str
    number: int  # of this drone's flights, from 1
    plan: FlightPlan
    energy: PlanEnergy
    from_m: float
    to_m: float


@dataclass(frozen=True, slots=True)
class Sorties:
    """Flights in order along the path. time_s: until the last drone is down, battery swaps included.

    slack_s: that of their starts (`deconflict.starts`).
    """

    flights: tuple[Sortie, ...]
    time_s: float
    slack_s: float | None


class SortiePlanner:
    """Cuts a track into flights. `work` is where passes may run, `room` where transits may."""

    def __init__(
        self,
        task: CoverTask,
        vehicles: tuple[CoverVehicle, ...],
        fence: Geofence,
        limits: VehicleLimits,
        terrain: Terrain,
        wind_m_s: float,
    ) -> None:
        self.task, self.vehicles, self.limits, self.terrain, self.wind = task, vehicles, limits, terrain, wind_m_s
        self.frame: LocalFrame = task.area.frame
        self.performance = Performance(limits, wind_m_s)
        self.fence = fence
        if task.avoid_holes:
            rings = tuple(tuple(self.frame.to_geo(*p) for p in h.exterior.coords[:-1]) for h in task.area.holes)
            self.fence = replace(fence, exclusion=fence.exclusion + rings)
        self.pads = [self.frame.to_enu(v.home) for v in vehicles]
        self.home_amsl_m = [self._ground(v.home, f"the pad of {v.vehicle_id}") for v in vehicles]
        self.bands = [self._band(i) for i in range(len(vehicles))]
        self.work, self.room = self._rooms()
        self.track = even_track(np.zeros((1, 2)), math.nan)
        self.path: FloatArray = np.zeros((0, 2))
        self.along: FloatArray = np.zeros(0)
        self.able = list(range(len(vehicles)))  # who reaches some of the path

    def _ground(self, point: GeoPoint, what: str) -> float:
        try:
            return height_at(self.terrain, point)
        except OutsideTerrainError as error:
            raise PlanningError(f"{what}: {error}") from error

    def _band(self, i: int) -> HeightBand:
        top = self.fence.max_altitude
        home = self.home_amsl_m[i]
        top_amsl = home + height_above_home_m(top, home) - _SLACK_M if top else float("inf")
        return height_band(self.vehicles[i].height_m, self.task.tolerance_m, self.limits, self.terrain, top_amsl)

    def _rooms(self) -> tuple[Polygon, BaseGeometry]:
        """Where passes may run, and where transits may: also the way out of the pads."""
        shape = fence_shape(self.fence, self.frame)
        margin = fence_margin_m(self.task.cruise_speed_m_s, self.limits) + _SLACK_M
        area: BaseGeometry = shape.inside.buffer(-margin, join_style="mitre")
        for ring in shape.keep_outs:
            area = area.difference(ring.buffer(margin, join_style="mitre", mitre_limit=1.5))
        parts = [p for p in shapely.get_parts(area) if isinstance(p, Polygon) and p.area > 1.0]
        if not parts:
            raise PlanningError(f"the fence leaves no room {margin:.0f} m from its edges; widen it or fly slower")
        near = shape.allowed(self.limits.position_error_m)
        discs = [Point(p).buffer(margin - 2 * _SLACK_M).intersection(near) for p in self.pads]
        room = shapely.union_all([*parts, *discs])
        for vehicle, pad in zip(self.vehicles, self.pads, strict=True):
            if not bool(shapely.covers(near, Point(pad))):
                raise PlanningError(
                    f"the pad of {vehicle.vehicle_id} lies outside the fence, on its edge or in a keep-out; move it"
                )
        # Of the parts that pads lie in the one that sees most of the area; who stands in another one stays there.
        pads = shapely.points(np.asarray(self.pads))
        near_area = self.task.area.shape.buffer(self.task.width_m)
        reached = [part for part in shapely.get_parts(room) if shapely.intersects(part, pads).any()]
        connected: BaseGeometry = max(reached, key=lambda part: float(part.intersection(near_area).area))
        self.cut_off = ~shapely.intersects(connected, pads)
        return shapely.intersection(connected, shapely.union_all(parts)), connected

    def split(self, track: Track, most: int) -> Sorties:
        """Flights in order along a track, at most `most` where more do not help.

        They start so that they keep apart, and a drone's next one after its battery is swapped. Raises PlanningError when
        no number of flights lands with its reserve: no drone gets to some place and back, or many more flights than
        batteries should ask for do not either.
        """
        self.track, self.path = track, track.corners_m
        self.along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(self.path, axis=0).T))])
        away = np.hypot(*(np.asarray(self.pads)[:, None] - self.path).transpose(2, 0, 1))
        spare = np.stack([self._spare_s(v, 2.0 * away[v]) for v in range(len(self.vehicles))])
        spare[self.cut_off] = -math.inf
        self._refuse_far(spare)
        self.able = np.flatnonzero((spare >= 0.0).any(axis=1)).tolist()
        count = len(self.able)
        pads = np.asarray(self.pads)[self.able]
        cuts = Cuts(self.path, self.along, pads, self.performance, self.task.cruise_speed_m_s)
        problem = ""
        usable_s = self.limits.endurance_s * (1.0 - self.limits.reserve_fraction)
        usable_s -= min(self.performance.landing(v.return_height_m)[1] for v in self.vehicles)
        rounds = math.ceil((cuts.fewest(usable_s) or 1) / count)
        for tried in range(_MAX_ROUNDS):
            if tried:
                rounds += 1 if tried <= _ONE_BY_ONE else max(1, rounds // 6)
            # A pass is cut where batteries ask for it, or where that ends the whole clearly sooner.
            wanted = sorted({min(rounds * count, max(most, rounds)), rounds * count})
            tries = [self._flights(cuts.even(number)) for number in wanted]
            problem = tries[0][1]
            done = [self._started(sorties) for sorties, problem_of in tries if not problem_of]
            if done:
                return done[-1] if done[-1].time_s < _SOONER * done[0].time_s else done[0]
        raise PlanningError(problem)

    def _started(self, sorties: list[Sortie]) -> Sorties:
        apart = started_apart([s.plan for s in sorties], self.limits, swap_s=self.task.swap_s, wind_m_s=self.wind)
        flights = tuple(replace(s, plan=plan) for s, plan in zip(sorties, apart.plans, strict=True))
        return Sorties(flights, max(s.plan.start_after_s + s.energy.time_s for s in flights), apart.slack_s)

    def turn_cost_m(self) -> float:
        """What a turn between passes costs, as metres at cruise."""
        speed = self.task.cruise_speed_m_s
        return 2.0 * self.performance.corner_s(speed, 90.0) * speed

    def pass_room(self) -> Polygon:
        """The one part of where passes may run that sees most of the area."""
        parts = [p for p in shapely.get_parts(self.work) if isinstance(p, Polygon) and p.area > 1.0]
        if not parts:
            raise PlanningError("no drone can reach the area inside the fence; widen the passage or move the pad")
        return max(parts, key=lambda p: float(p.intersection(self.task.area.shape.buffer(self.task.width_m)).area))

    def _at(self, along_m: float) -> FloatArray:
        return np.array([np.interp(along_m, self.along, self.path[:, c]) for c in (0, 1)])

    def _flights(self, cuts: list[float]) -> tuple[list[Sortie], str]:
        """The flights between cuts, given to near drones; or why one of them cannot be flown."""
        pieces = [piece for piece in pairwise(cuts) if self._has_work(*piece)]
        pads = np.asarray(self.pads)[self.able]
        ways = np.array([np.hypot(*(pads - self._at(a)).T) + np.hypot(*(pads - self._at(b)).T) for a, b in pieces])
        flown = ways + np.array([[b - a] for a, b in pieces])
        spare = np.stack([self._spare_s(v, flown[:, k]) for k, v in enumerate(self.able)], axis=1)
        cost = ways + np.where(spare < 0.0, TOO_FAR_M, 0.0)
        known: dict[tuple[int, int], tuple[FlightPlan, PlanEnergy]] = {}
        problem = ""
        while True:
            given = shared_out(cost)
            for piece, k in enumerate(given):
                if (piece, k) not in known:
                    flight = self._flight(self.able[k], *pieces[piece])
                    known[piece, k] = flight, plan_energy(flight, self.limits, wind_m_s=self.wind)
                flight, energy = known[piece, k]
                short = self.limits.reserve_fraction - energy.margin_fraction
                if short > 0.0:
                    problem = (
                        f"even {len(pieces)} flights do not cover the area: {flight.vehicle_id} would use {short:.0%} of "
                        f"its battery too much around {self._said(pieces[piece][0])}; use more drones, a nearer pad, a "
                        "smaller area or less overlap"
                    )
                    if cost[piece, k] >= TOO_FAR_M:
                        return [], problem  # nobody can fly it
                    cost[piece, k] += TOO_FAR_M
                    break
            else:
                return self._numbered([(k, *known[piece, k], *pieces[piece]) for piece, k in enumerate(given)]), ""

    def _has_work(self, start_m: float, end_m: float) -> bool:
        """Whether anything is to be seen on a part of the path; a mere way from line to line is nobody's flight."""
        legs = (self.along[1:] > start_m + 1e-6) & (self.along[:-1] < end_m - 1e-6)
        return not legs.any() or bool((self.track.trigger_m[legs] != 0.0).any())

    def _numbered(self, flights: list[tuple[int, FlightPlan, PlanEnergy, float, float]]) -> list[Sortie]:
        number = dict.fromkeys(range(len(self.able)), 0)
        sorties = []
        for k, flight, energy, start, end in flights:
            number[k] += 1
            sorties.append(Sortie(flight.vehicle_id, number[k], flight, energy, start, end))
        return sorties

    def _spare_s(self, vehicle: int, metres: FloatArray) -> FloatArray:
        """Seconds of hover above the reserve that flights of these lengths leave at most; below 0 none can be flown.

        Nothing climbs, turns or goes round in them.
        """
        performance = self.performance
        speed = performance.ground_speed_m_s(self.task.cruise_speed_m_s)
        used_s = metres / speed * performance.level_power(speed)
        used_s += performance.landing(self.vehicles[vehicle].return_height_m)[1]
        return np.asarray(self.limits.endurance_s * (1.0 - self.limits.reserve_fraction) - used_s)

    def _refuse_far(self, spare_s: FloatArray) -> None:
        """PlanningError for a place of the path to which no drone could fly alone: what `_spare_s` says, (drones, corners)."""
        best = spare_s.max(axis=0)
        worst = int(np.argmin(best))
        if best[worst] < 0.0:
            vehicle = self.vehicles[int(np.argmax(spare_s[:, worst]))].vehicle_id
            raise PlanningError(
                f"no number of flights covers the area: {vehicle} would use {-best[worst] / self.limits.endurance_s:.0%} of "
                f"its battery too much around {self._said(float(self.along[worst]))}, only to get there and back; use a "
                "nearer pad or a smaller area"
            )

    def _said(self, along_m: float) -> str:
        place = self.frame.to_geo(*(float(v) for v in self._at(along_m)))
        return f"{place.latitude_deg:.5f}, {place.longitude_deg:.5f}"

    def _flight(self, vehicle: int, start_m: float, end_m: float) -> FlightPlan:
        inner = self.along[(self.along > start_m + 1e-6) & (self.along < end_m - 1e-6)]
        stations = np.array([start_m, *inner, end_m])
        work = np.stack([self._at(s) for s in stations])
        kept = _apart(work)
        work, orders = work[kept], self._camera(stations[kept])
        ways = shortest_paths(self.room, np.vstack([self.pads[vehicle], work[0], work[-1]]))
        if not np.isfinite(ways.length_m).all():
            raise PlanningError(f"the area cannot be reached from the pad of {self.vehicles[vehicle].vehicle_id}")
        out = [self.pads[vehicle], *ways.between(0, 1), (float(work[0, 0]), float(work[0, 1]))]
        corners = [Corner(*place, narrow=False) for place in out]
        first = len(corners) - 1
        corners += [Corner(float(e), float(n), narrow=True) for e, n in work[1:]]
        corners += [Corner(*p, narrow=False) for p in ways.between(2, 0)]
        home = self.home_amsl_m[vehicle]
        try:
            followed = follow(corners, self.bands[vehicle], self.terrain, self.frame)
        except OutsideTerrainError as error:
            raise PlanningError(f"the way of {self.vehicles[vehicle].vehicle_id}: {error}") from error
        waypoints = []
        for corner in followed[1:]:
            pitch, trigger = orders.get(-1 if corner.source is None else corner.source - first, (None, None))
            waypoints.append(
                Waypoint(
                    self.frame.to_geo(corner.east_m, corner.north_m),
                    Altitude(round(corner.amsl_m - home, 2), Datum.HOME),
                    acceptance_radius_m=_APART_M,
                    gimbal_pitch_deg=pitch,
                    trigger_m=trigger,
                )
            )
        band = self.bands[vehicle]
        return FlightPlan(
            vehicle_id=self.vehicles[vehicle].vehicle_id,
            mission=self.task.mission,
            home=self.vehicles[vehicle].home,
            home_amsl_m=home,
            takeoff_height_m=round(min(band.wanted_m, band.top_amsl_m - home), 2),
            waypoints=tuple(waypoints),
            fence=self.fence,
            return_height_m=self.vehicles[vehicle].return_height_m,
            cruise_speed_m_s=self.task.cruise_speed_m_s,
        )

    def _camera(self, stations: FloatArray) -> dict[int, tuple[float | None, float | None]]:
        """Camera angle and trigger distance by the number of the corner where they change.

        They are set again on every flight: a fresh battery knows nothing of the last one's commands.
        """
        orders: dict[int, tuple[float | None, float | None]] = {}
        pitch_now = trigger_now = math.nan
        for number, (here, there) in enumerate(pairwise(stations)):
            leg = min(int(np.searchsorted(self.along, (here + there) / 2.0, side="right")), len(self.along) - 1) - 1
            pitch, trigger = float(self.track.pitch_deg[leg]), float(self.track.trigger_m[leg])
            new_pitch = None if math.isnan(pitch) or pitch == pitch_now else pitch
            idle = math.isnan(trigger) or (math.isnan(trigger_now) and trigger == 0.0) or trigger == trigger_now
            if new_pitch is not None or not idle:
                orders[number] = (new_pitch, None if idle else trigger)
            pitch_now = pitch_now if math.isnan(pitch) else pitch
            trigger_now = trigger_now if math.isnan(trigger) else trigger
        if trigger_now > 0.0:
            orders[len(stations) - 1] = (None, 0.0)
        return orders


def _apart(points: FloatArray) -> list[int]:
    """Numbers of the corners that an autopilot can tell from the one before; the ends stay."""
    kept = [0]
    for number in range(1, len(points) - 1):
        if np.hypot(*(points[number] - points[kept[-1]])) >= _APART_M:
            kept.append(number)
    while len(kept) > 1 and np.hypot(*(points[-1] - points[kept[-1]])) < _APART_M:
        kept.pop()
    return [*kept, len(points) - 1]

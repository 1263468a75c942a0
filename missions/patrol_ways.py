# SPDX-License-Identifier: AGPL-3.0-or-later
"""The ways of a patrol: must-patrol points and lines and their drones come in, times between places and flight plans go out.

Moves are shortest paths inside the fence that keep position error and braking way from every edge. A route, which says
what is served in which order, becomes the waypoints of one flight, with heights that follow the ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry

from missions.energy import Performance, PlanEnergy, height_above_home_m, path_length_m, plan_energy
from missions.errors import PlanningError
from missions.fences import FenceShape, fence_margin_m, fence_shape
from missions.geo import Altitude, Datum, FloatArray, GeoPoint, LocalFrame
from missions.model import Aim, FlightPlan, Geofence, Mission, VehicleLimits, Waypoint
from missions.patrol_waypoints import aimed, looking_down_between, merged_waypoints
from missions.plan_legs import said
from missions.routing.minmax import Item, Route, Task
from missions.routing.polish import polish
from missions.routing.visibility import ShortestPaths, shortest_paths
from missions.terrain import OutsideTerrainError, Terrain, height_at
from missions.terrain_follow import Corner, HeightBand, follow, height_band

_SLACK_M = 1.0
NARROW_BAND_M = 8.0  # by which heights along lines stray from the wanted one
_Note = tuple[float, tuple[str, ...], Aim | None]  # what is done at a corner: seconds of dwell, items, camera
_NOTHING: _Note = (0.0, (), None)


@dataclass(frozen=True, slots=True)
class PatrolPoint:
    """A place to be visited and watched for dwell_s, with `aim` in one direction."""

    item_id: str
    name: str
    position: GeoPoint
    dwell_s: float
    aim: Aim | None = None


@dataclass(frozen=True, slots=True)
class PatrolLine:
    """A polyline to be flown along from one end to the other, either way unless it is one_way."""

    item_id: str
    name: str
    path: tuple[GeoPoint, ...]
    one_way: bool = False


@dataclass(frozen=True, slots=True)
class PatrolVehicle:
    """A drone on its pad. `layer_m` is added to the patrol height; return heights are layered by the caller."""

    vehicle_id: str
    home: GeoPoint
    return_height_m: float
    layer_m: float = 0.0


@dataclass(frozen=True, slots=True)
class PatrolTask:
    """What is to be patrolled, at what height above ground and speed, and on whose authority."""

    mission: Mission
    points: tuple[PatrolPoint, ...]
    lines: tuple[PatrolLine, ...]
    height_m: float
    cruise_speed_m_s: float


class PatrolWays:
    """Places, times between them in a wind, and the way from routes to waypoints. Raises PlanningError.

    `task` has these times; `names` are the items in its order. Wind blows against every leg.
    """

    def __init__(
        self,
        task: PatrolTask,
        vehicles: tuple[PatrolVehicle, ...],
        fence: Geofence,
        limits: VehicleLimits,
        terrain: Terrain,
        wind_m_s: float = 0.0,
    ) -> None:
        self.patrol, self.vehicles, self.fence, self.limits, self.terrain = task, vehicles, fence, limits, terrain
        self.frame = LocalFrame(vehicles[0].home)
        self.performance = Performance(limits, wind_m_s)
        self.names = (*(p.item_id for p in task.points), *(line.item_id for line in task.lines))
        self.home_amsl_m = [self._ground(v.home, f"the pad of {v.vehicle_id}") for v in vehicles]
        shape = fence_shape(fence, self.frame)
        if shape.inside.is_empty:
            raise PlanningError("the fence has no area in common to all of its inclusion rings; redraw it")
        margin = fence_margin_m(task.cruise_speed_m_s, limits) + _SLACK_M
        area = self._with_items(_room(shape, margin), shape, margin)
        self._refuse(shape, area, margin)
        pads = [np.asarray(self.frame.to_enu(v.home)) for v in vehicles]
        # Near a pad the drone is slow: there only the position error counts, as it does for the feasibility rules.
        near = shape.allowed(limits.position_error_m)
        roomy: BaseGeometry = shapely.union_all(
            [area, *(Point(p).buffer(margin - 2 * _SLACK_M).intersection(near) for p in pads)]
        )
        self.lines_m = [self.frame.to_enu_array(*_degrees(line.path)) for line in task.lines]
        places = [*pads, *(np.asarray(self.frame.to_enu(p.position)) for p in task.points)]
        self.items: list[Item] = []
        speed = task.cruise_speed_m_s
        stop_s = self.performance.corner_s(speed, 180.0)
        for number, point in enumerate(task.points):
            service_s = point.dwell_s + stop_s if point.dwell_s > 0 else 0.0
            self.items.append(Item(len(pads) + number, len(pads) + number, service_s))
        for path, line in zip(self.lines_m, task.lines, strict=True):
            service_s = path_length_m(line.path) / self.performance.ground_speed_m_s(speed) + self._bends_s(path)
            self.items.append(Item(len(places), len(places) + 1, service_s, line.one_way))
            places += [path[0], path[-1]]
        self.paths: ShortestPaths = shortest_paths(_polygons(roomy), np.asarray(places))
        self._refuse_unreachable()
        times = self.paths.length_m / self.performance.ground_speed_m_s(speed)
        self.bands = [self._band(i) for i in range(len(vehicles))]
        self.takeoff_m = [self._takeoff_height(i) for i in range(len(vehicles))]
        self.task = Task(
            tuple(tuple(float(t) for t in row) for row in times),
            tuple(self.items),
            tuple(range(len(pads))),
            tuple(self._fixed_s(i) for i in range(len(vehicles))),
        )

    def _ground(self, point: GeoPoint, what: str) -> float:
        try:
            return height_at(self.terrain, point)
        except OutsideTerrainError as error:
            raise PlanningError(f"{what}: {error}") from error

    def _with_items(self, area: BaseGeometry, shape: FenceShape, margin: float) -> BaseGeometry:
        """The room with what its simple corners cut away around items that do keep the margin."""
        exact: BaseGeometry = shape.allowed(margin)
        items: list[BaseGeometry] = [Point(self.frame.to_enu(p.position)) for p in self.patrol.points]
        items += [LineString([self.frame.to_enu(p) for p in line.path]) for line in self.patrol.lines]
        cut = [item.buffer(1.5 * margin) for item in items if exact.covers(item) and not area.covers(item)]
        return shapely.union_all([area, exact.intersection(shapely.union_all(cut))]) if cut else area

    def _refuse(self, shape: FenceShape, area: BaseGeometry, margin: float) -> None:
        """Items that cannot be flown with the margin, each with its line."""
        problems = []
        edge = shapely.union_all([shape.inside.boundary, *(k.exterior for k in shape.keep_outs)])
        bare: BaseGeometry = shape.allowed(0.0)
        needed = f"legs at {self.patrol.cruise_speed_m_s:.0f} m/s keep {said(margin)} from every edge"
        for point in self.patrol.points:
            at = Point(self.frame.to_enu(point.position))
            if not bare.covers(at):
                problems.append(f"point {point.item_id!r} lies outside the fence or in a keep-out; move it")
            elif not area.covers(at):
                problems.append(
                    f"point {point.item_id!r} lies {said(float(edge.distance(at)))} from the fence's edge and {needed}; "
                    "move it inwards or fly slower"
                )
        for line in self.patrol.lines:
            path = LineString([self.frame.to_enu(p) for p in line.path])
            if not bare.covers(path):
                problems.append(f"line {line.item_id!r} leaves the fence or crosses a keep-out; reroute it")
            elif not area.buffer(0.05).covers(path):
                problems.append(
                    f"line {line.item_id!r} comes within {said(float(edge.distance(path)))} of the fence's edge and "
                    f"{needed}; move it inwards or fly slower"
                )
        standing: BaseGeometry = shape.allowed(self.limits.position_error_m)
        problems += [
            f"the pad of {vehicle.vehicle_id} lies outside the fence or on its edge; move it"
            for vehicle in self.vehicles
            if not standing.covers(Point(self.frame.to_enu(vehicle.home)))
        ]
        if problems:
            raise PlanningError("\n".join(problems))

    def _refuse_unreachable(self) -> None:
        pads = range(len(self.vehicles))
        problems = []
        for name, item in zip(self.names, self.items, strict=True):
            if not all(np.isfinite(self.paths.length_m[pad, item.entry]) for pad in pads):
                problems.append(
                    f"{name!r} cannot be reached from every pad inside the fence; widen the passage, or plan for other "
                    "drones"
                )
        if problems:
            raise PlanningError("\n".join(problems))

    def _bends_s(self, path: FloatArray) -> float:
        total = 0.0
        for before, at, after in zip(path, path[1:], path[2:], strict=False):
            a, b = at - before, after - at
            turn = abs(np.degrees(np.arctan2(a[0] * b[1] - a[1] * b[0], a @ b)))
            total += self.performance.corner_s(self.patrol.cruise_speed_m_s, float(turn))
        return total

    def _band(self, vehicle: int) -> HeightBand:
        top = self.fence.max_altitude
        home = self.home_amsl_m[vehicle]
        top_amsl = home + height_above_home_m(top, home) - _SLACK_M if top else float("inf")
        wanted = self.patrol.height_m + self.vehicles[vehicle].layer_m
        return height_band(wanted, NARROW_BAND_M, self.limits, self.terrain, top_amsl)

    def _takeoff_height(self, vehicle: int) -> float:
        return min(self.bands[vehicle].wanted_m, self.bands[vehicle].top_amsl_m - self.home_amsl_m[vehicle])

    def _fixed_s(self, vehicle: int) -> float:
        """Seconds of take-off and landing, as `plan_energy` counts them for a plan that moves nowhere."""
        empty = FlightPlan(
            self.vehicles[vehicle].vehicle_id,
            self.patrol.mission,
            self.vehicles[vehicle].home,
            self.home_amsl_m[vehicle],
            self.takeoff_m[vehicle],
            (),
            self.fence,
            self.vehicles[vehicle].return_height_m,
            self.patrol.cruise_speed_m_s,
        )
        return plan_energy(empty, self.limits, wind_m_s=self.performance.wind_m_s).time_s

    def energy(self, plan: FlightPlan) -> PlanEnergy:
        """A plan's time and energy in the wind that the ways were made for."""
        return plan_energy(plan, self.limits, wind_m_s=self.performance.wind_m_s)

    def best_route(self, vehicle: int, route: Route) -> Route:
        """A route improved under the energy model: turns and climbs count there."""

        def cost(other: Route) -> float:
            return self.energy(self.flight_plan(vehicle, other)).time_s

        return polish(route, self.task.items, cost)

    def flight_plan(self, vehicle: int, route: Route) -> FlightPlan:
        """Waypoints of a route: moves with their detours, dwells, lines, and heights that follow the ground."""
        corners = [Corner(*self._place(vehicle), narrow=False)]
        notes: list[_Note] = [_NOTHING]

        def add(places: list[tuple[float, float]], *, narrow: bool) -> None:
            corners.extend(Corner(*place, narrow=narrow) for place in places)
            notes.extend(_NOTHING for _ in places)

        at = vehicle
        for stop in route:
            item = self.items[stop.item]
            start, end = (item.exit, item.entry) if stop.flip else (item.entry, item.exit)
            add([*self.paths.between(at, start), self._place(start)], narrow=False)
            if stop.item < len(self.patrol.points):
                point = self.patrol.points[stop.item]
                notes[-1] = (point.dwell_s, (point.item_id,), point.aim)
            else:
                number = stop.item - len(self.patrol.points)
                path = self.lines_m[number][::-1] if stop.flip else self.lines_m[number]
                add([(float(e), float(n)) for e, n in path[1:]], narrow=True)
                notes[-1] = (0.0, (self.patrol.lines[number].item_id,), None)
            at = end
        add(self.paths.between(at, vehicle), narrow=False)
        waypoints = []
        home = self.home_amsl_m[vehicle]
        try:
            followed = follow(corners, self.bands[vehicle], self.terrain, self.frame)
        except OutsideTerrainError as error:
            raise PlanningError(f"the way of {self.vehicles[vehicle].vehicle_id}: {error}") from error
        for corner in followed[1:]:
            hold_s, serves, aim = _NOTHING if corner.source is None else notes[corner.source]
            altitude = Altitude(round(corner.amsl_m - home, 2), Datum.HOME)
            position = self.frame.to_geo(corner.east_m, corner.north_m)
            waypoints.append(aimed(Waypoint(position, altitude, hold_s=hold_s, serves=serves), aim))
        return FlightPlan(
            vehicle_id=self.vehicles[vehicle].vehicle_id,
            mission=self.patrol.mission,
            home=self.vehicles[vehicle].home,
            home_amsl_m=home,
            takeoff_height_m=round(self.takeoff_m[vehicle], 2),
            waypoints=looking_down_between(merged_waypoints(waypoints)),
            fence=self.fence,
            return_height_m=self.vehicles[vehicle].return_height_m,
            cruise_speed_m_s=self.patrol.cruise_speed_m_s,
        )

    def _place(self, node: int) -> tuple[float, float]:
        east, north = self.paths.nodes_m[node]
        return float(east), float(north)


def _degrees(points: tuple[GeoPoint, ...]) -> tuple[list[float], list[float]]:
    return [p.latitude_deg for p in points], [p.longitude_deg for p in points]


def _room(shape: FenceShape, margin_m: float) -> Polygon:
    """Where legs may run: the fence shrunk by the margin, with corners kept simple so that paths have few bends."""
    area = shape.inside.buffer(-margin_m, join_style="mitre")
    for ring in shape.keep_outs:
        area = area.difference(ring.buffer(margin_m, join_style="mitre", mitre_limit=1.5))
    return _polygons(area)


def _polygons(area: BaseGeometry) -> Polygon:
    """The areal part of a geometry (differences may leave stray lines)."""
    parts = [p for p in shapely.get_parts(area) if isinstance(p, Polygon) and p.area > 1.0]
    return shapely.union_all(parts)  # type: ignore[no-any-return]  # a Polygon or MultiPolygon, which shapely does not type

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The independent judge of patrol plans: it shares no code with the planner, the feasibility rules or their geometry.

Plans are flown in the mind: every leg is cut into steps of two metres along the geodesic, and each step is held
against the fence (ray casting), the ground and the must-patrol items. What comes back are complaints in words; an
empty list is a plan that does what was asked of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod

from missions.geo import Datum, GeoPoint
from missions.model import FlightPlan, Geofence, VehicleLimits
from missions.terrain import OutsideTerrainError, Terrain

_WGS84 = Geod(ellps="WGS84")
_STEP_M = 2.0
_NEAR_M = 3.5
_GIVE_M = 0.6  # what steps and rounding may cost against an exact rule
_PAD_M = 15.0
_SIGMAS = 2.0

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MustPoint:
    """A place where a vehicle has to stay for dwell_s; with an aim (yaw, pitch) it looks there all that time."""

    item_id: str
    position: GeoPoint
    dwell_s: float
    aim_deg: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class MustLine:
    """A polyline that a vehicle has to follow from end to end, either way or (one_way) as it is drawn."""

    item_id: str
    path: tuple[GeoPoint, ...]
    one_way: bool = False


@dataclass(frozen=True, slots=True)
class _Flown:
    """Steps of one flight: (n, 2) east and north of home in metres, degrees, height above sea, way flown so far."""

    xy: _Floats
    latitude: _Floats
    longitude: _Floats
    amsl: _Floats
    way: _Floats
    returning: NDArray[np.bool_]


def judge_patrol(
    plans: Sequence[FlightPlan],
    points: Sequence[MustPoint],
    lines: Sequence[MustLine],
    fence: Geofence,
    limits: VehicleLimits,
    terrain: Terrain,
) -> list[str]:
    """Return what is wrong with a set of plans for one patrol, in words."""
    complaints = _served_once(plans, [p.item_id for p in points] + [line.item_id for line in lines])
    for plan in plans:
        flown = _fly(plan)
        complaints += [f"{plan.vehicle_id}: {c}" for c in _fence_kept(plan, flown, fence, limits)]
        complaints += [f"{plan.vehicle_id}: {c}" for c in _ground_cleared(flown, limits, terrain)]
        complaints += [f"{plan.vehicle_id}: {c}" for c in _battery_lasts(plan, flown, limits)]
        served = {item for w in plan.waypoints for item in w.serves}
        complaints += [
            f"{plan.vehicle_id}: point {p.item_id} is not visited"
            for p in points
            if p.item_id in served and not _dwells(plan, p)
        ]
        complaints += [
            f"{plan.vehicle_id}: the camera does not look at {p.item_id} as it should"
            for p in points
            if p.item_id in served and p.aim_deg is not None and not _looks(plan, p.item_id, *p.aim_deg)
        ]
        complaints += [
            f"{plan.vehicle_id}: line {line.item_id} is not followed from end to end"
            for line in lines
            if line.item_id in served and not _follows(flown, line, plan.home)
        ]
    return complaints


def _served_once(plans: Sequence[FlightPlan], wanted: Sequence[str]) -> list[str]:
    named = [item for plan in plans for w in plan.waypoints for item in w.serves]
    complaints = [f"{item} is served {named.count(item)} times" for item in wanted if named.count(item) != 1]
    return complaints + [f"{item} was never asked for" for item in sorted(set(named) - set(wanted))]


def _metres(home: GeoPoint, latitude: _Floats, longitude: _Floats) -> _Floats:
    """East and north of home by distance and azimuth of the geodesic, (n, 2)."""
    here = np.full(len(latitude), home.longitude_deg), np.full(len(latitude), home.latitude_deg)
    azimuth, _, distance = _WGS84.inv(*here, longitude, latitude)
    radians = np.radians(azimuth)
    return np.stack([distance * np.sin(radians), distance * np.cos(radians)], axis=1)


def _height(plan: FlightPlan, value_m: float, datum: Datum) -> float:
    if datum is Datum.HOME:
        return plan.home_amsl_m + value_m
    if datum is Datum.AMSL:
        return value_m
    raise ValueError(f"cannot judge heights above {datum}")


def _fly(plan: FlightPlan) -> _Flown:
    stops = [(plan.home, plan.home_amsl_m + plan.takeoff_height_m)]
    stops += [(w.position, _height(plan, w.altitude.value_m, w.altitude.datum)) for w in plan.waypoints]
    legs = [(a, b, False) for a, b in pairwise(stops)]
    last, high = stops[-1]
    away = _WGS84.inv(last.longitude_deg, last.latitude_deg, plan.home.longitude_deg, plan.home.latitude_deg)[2]
    # PX4 lowers its return height near home to a cone of 45 degrees, and never descends to reach it.
    top = max(high, plan.home_amsl_m + min(plan.return_height_m, away))
    legs.append(((last, top), (plan.home, top), True))
    latitude, longitude, amsl, way, returning = [], [], [], [], []
    so_far = 0.0
    for (a, a_high), (b, b_high), home_bound in legs:
        azimuth, _, length = _WGS84.inv(a.longitude_deg, a.latitude_deg, b.longitude_deg, b.latitude_deg)
        along = np.linspace(0.0, length, max(2, int(length / _STEP_M) + 2))
        n = len(along)
        lon, lat, _ = _WGS84.fwd(np.full(n, a.longitude_deg), np.full(n, a.latitude_deg), np.full(n, azimuth), along)
        latitude.append(np.asarray(lat))
        longitude.append(np.asarray(lon))
        amsl.append(np.linspace(a_high, b_high, n))
        way.append(so_far + along)
        returning.append(np.full(n, home_bound))
        so_far += length
    lats, lons = np.concatenate(latitude), np.concatenate(longitude)
    return _Flown(
        _metres(plan.home, lats, lons),
        lats,
        lons,
        np.concatenate(amsl),
        np.concatenate(way),
        np.concatenate(returning),
    )


def _ring(ring: Sequence[GeoPoint], home: GeoPoint) -> _Floats:
    return _metres(home, np.array([p.latitude_deg for p in ring]), np.array([p.longitude_deg for p in ring]))


def _inside(xy: _Floats, ring: _Floats) -> NDArray[np.bool_]:
    """Even-odd ray casting, a ray to the east from every point."""
    result = np.zeros(len(xy), dtype=bool)
    for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > xy[:, 1]) != (y2 > xy[:, 1])
        result ^= crosses & (xy[:, 0] < x1 + (xy[:, 1] - y1) * (x2 - x1) / (y2 - y1))
    return result


def _to_edge(xy: _Floats, ring: _Floats) -> _Floats:
    """Distance of every point to the ring's edges."""
    best = np.full(len(xy), np.inf)
    for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        edge = b - a
        t = np.clip(((xy - a) @ edge) / max(float(edge @ edge), 1e-12), 0.0, 1.0)
        best = np.minimum(best, np.linalg.norm(xy - (a + t[:, None] * edge), axis=1))
    return best


def _fence_kept(plan: FlightPlan, flown: _Flown, fence: Geofence, limits: VehicleLimits) -> list[str]:
    speed = max([plan.cruise_speed_m_s, *(w.speed_m_s for w in plan.waypoints if w.speed_m_s is not None)])
    margin = limits.position_error_m + speed * speed / (2.0 * limits.acceleration_m_s2)
    fast = np.linalg.norm(flown.xy, axis=1) > margin  # nearer to home it has not the speed yet
    complaints = []
    for kind, rings in (("inclusion", fence.inclusion), ("keep-out", fence.exclusion)):
        for number, ring in enumerate(rings, 1):
            corners = _ring(ring, plan.home)
            inside, gap = _inside(flown.xy, corners), _to_edge(flown.xy, corners)
            wrong = ~inside if kind == "inclusion" else inside
            if np.any(wrong & (gap > _GIVE_M)):
                complaints.append(f"breaks {kind} {number} by {gap[wrong].max():.1f} m")
            elif np.any(fast & (gap < margin - _GIVE_M)):
                complaints.append(f"comes within {gap[fast].min():.1f} m of {kind} {number}, margin {margin:.1f} m")
    if fence.max_altitude is not None:
        top = _height(plan, fence.max_altitude.value_m, fence.max_altitude.datum)
        highest = max(float(flown.amsl.max()), plan.home_amsl_m + plan.return_height_m)
        if highest > top + _GIVE_M:
            complaints.append(f"rises {highest - top:.1f} m over the fence")
    return complaints


def _ground_cleared(flown: _Flown, limits: VehicleLimits, terrain: Terrain) -> list[str]:
    on_way = np.linalg.norm(flown.xy, axis=1) > _PAD_M
    if not on_way.any():
        return []
    try:
        ground = terrain.height_amsl_m(flown.latitude[on_way], flown.longitude[on_way])
    except OutsideTerrainError as error:
        return [f"flies where no ground is known: {error}"]
    above = flown.amsl[on_way] - ground
    error_m = _SIGMAS * terrain.vertical_error_m
    complaints = []
    if above.min() < limits.min_height_above_ground_m + error_m - _GIVE_M:
        complaints.append(f"comes within {above.min():.1f} m of the ground")
    tour = above[~flown.returning[on_way]]
    if tour.size and tour.max() > limits.max_height_above_ground_m - error_m + _GIVE_M:
        complaints.append(f"rises {tour.max():.1f} m above the ground")
    return complaints


def _battery_lasts(plan: FlightPlan, flown: _Flown, limits: VehicleLimits) -> list[str]:
    """A rough figure of our own: hovering power, no slowing down. A plan that fails even this is hopeless."""
    time_s = float(flown.way[-1]) / plan.cruise_speed_m_s + sum(w.hold_s for w in plan.waypoints)
    time_s += plan.takeoff_height_m / limits.climb_rate_m_s + plan.return_height_m / limits.descent_rate_m_s
    allowed = limits.endurance_s * (1.0 - limits.reserve_fraction)
    return [f"takes {time_s:.0f} s or more of {allowed:.0f} s"] if time_s > allowed else []


def _dwells(plan: FlightPlan, point: MustPoint) -> bool:
    at = point.position
    return any(
        point.item_id in w.serves
        and w.hold_s >= point.dwell_s
        and _WGS84.inv(at.longitude_deg, at.latitude_deg, w.position.longitude_deg, w.position.latitude_deg)[2]
        <= _NEAR_M
        for w in plan.waypoints
    )


def _looks(plan: FlightPlan, item_id: str, yaw_deg: float, pitch_deg: float) -> bool:
    """Whether heading and gimbal are as wanted where the item is served; the gimbal stays as it was last set."""
    pitch: float | None = None
    for waypoint in plan.waypoints:
        pitch = pitch if waypoint.gimbal_pitch_deg is None else waypoint.gimbal_pitch_deg
        if item_id in waypoint.serves:
            off = None if waypoint.yaw_deg is None else abs((waypoint.yaw_deg - yaw_deg + 180.0) % 360.0 - 180.0)
            return off is not None and off <= 0.5 and pitch is not None and abs(pitch - pitch_deg) <= 0.5
    return False


def _follows(flown: _Flown, line: MustLine, home: GeoPoint) -> bool:
    """Whether from some step on the flight keeps pace with the line, in a direction that it may be flown in."""
    corners = _ring(line.path, home)
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    reach = np.concatenate([[0.0], np.cumsum(lengths)])
    along = np.linspace(0.0, reach[-1], max(2, int(reach[-1] / _STEP_M) + 2))
    wanted = np.stack([np.interp(along, reach, corners[:, c]) for c in (0, 1)], axis=1)
    for direction in (wanted,) if line.one_way else (wanted, wanted[::-1]):
        near = np.flatnonzero(np.linalg.norm(flown.xy - direction[0], axis=1) <= _NEAR_M)
        for start in near:
            paces = flown.way[start] + along
            if paces[-1] > flown.way[-1] + _STEP_M:
                continue
            there = np.stack([np.interp(paces, flown.way, flown.xy[:, c]) for c in (0, 1)], axis=1)
            if np.linalg.norm(there - direction, axis=1).max() <= _NEAR_M:
                return True
    return False

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The independent judge of separation: it shares no code with the resolver in `missions/deconflict`.

Flights are flown again from their plans and starts. Arrival times are the energy model's, because that says when a
vehicle is where; everything between (when a waypoint is left, the climb to the return height, the way home, the
landing) is worked out here. Each pair is then looked at twice: by dense sampling in time with interpolated places,
and by the exact closest approach between all moments at which either vehicle changes its motion. Either can complain.

A vehicle counts from its start on the pad until it touches down. One that is in the air already counts from the common
zero on, at its first waypoint, with its hold there and all that comes after; where it came from is past.
Near means nearer than both minima at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod

from missions.energy import plan_energy
from missions.geo import Datum, GeoPoint
from missions.model import FlightPlan, VehicleLimits

_WGS84 = Geod(ellps="WGS84")
_GIVE_M = 1e-3  # rounding of places and times
_MAP_M = 0.05  # of distances on a map
_STEP_S, _FINE_STEP_S = 0.25, 0.02
_SPIN_UP_S, _SLOW_BELOW_M, _SLOW_M_S = 5.0, 10.0, 0.7  # the energy model's figures of take-off and landing
_CONE = 1.0  # the return height is lowered to the distance from home times this, as PX4 does (45 degrees)

_ROWS_TO_FIRST = 3  # on the pad, spun up, climbed

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Breach:
    """Two vehicles nearer than the minima. Distances at the moment named, place between the two."""

    first: str
    second: str
    time_s: float
    lateral_m: float
    vertical_m: float
    position: GeoPoint
    found_by: str  # "sampling" or "closest approach"


def judge_separation(
    plans: Sequence[FlightPlan],
    starts_s: Sequence[float],
    limits: VehicleLimits,
    *,
    wind_m_s: float = 0.0,
    lateral_m: float = 20.0,
    vertical_m: float = 10.0,
    aloft: Collection[str] = (),
    leaving_s: float = 0.0,
) -> list[Breach]:
    """Return every pair that comes too near, at its worst moment by each of the two methods; empty is good.

    aloft: vehicles in the air, each at its first waypoint from 0 until its start, when it flies on. leaving_s: two of
    them that are too near at 0 may be so until they are apart for the first time, if that is within so many seconds.
    """
    if len(plans) < 2:
        return []
    near = lateral_m - _GIVE_M, vertical_m - _GIVE_M
    tracks = _tracks(plans, starts_s, limits, wind_m_s, aloft)
    first, second = (np.array(side) for side in zip(*combinations(range(len(plans)), 2), strict=True))
    apart_s = _apart_s(tracks, [p.vehicle_id in aloft for p in plans], first, second, near, leaving_s)
    found: list[Breach] = []
    for name, (pair, times, apart) in (
        ("sampling", _sampled(tracks, first, second, near)),
        ("closest approach", _closest(tracks, first, second, near)),
    ):
        counts = times > apart_s[pair]
        for number in np.unique(pair[counts]):
            rows = np.flatnonzero((pair == number) & counts)
            lateral = np.hypot(apart[rows, 0], apart[rows, 1])
            worst = rows[int(np.argmin(lateral))]
            one, two = int(first[number]), int(second[number])
            moment = float(times[worst])
            found.append(
                Breach(
                    plans[one].vehicle_id,
                    plans[two].vehicle_id,
                    moment,
                    float(lateral.min()),
                    abs(float(apart[worst, 2])),
                    _place(plans[0].home, (_at(tracks[one], moment) + _at(tracks[two], moment)) / 2.0),
                    name,
                )
            )
    return found


def judge_lost_site(
    plans: Sequence[FlightPlan],
    starts_s: Sequence[float],
    limits: VehicleLimits,
    *,
    wind_m_s: float = 0.0,
    lateral_m: float = 20.0,
    vertical_m: float = 10.0,
    every_s: float = 5.0,
) -> list[Breach]:
    """Return pairs whose level ways home are too near in height and across the ground when all return at once.

    The loss strikes at every every_s seconds; each vehicle in the air then has its straight way home at its return
    height, or at its own height if that is more. Whoever is nearer to home than its return height comes home lower,
    in the cone over its pad, where no layer holds: it is left out, as are climbs and descents.
    """
    if len(plans) < 2:
        return []
    tracks = _tracks(plans, starts_s, limits, wind_m_s)
    times = np.arange(min(t[0, 0] for t in tracks), max(t[-1, 0] for t in tracks), every_s)
    homes = np.array([track[0, 1:3] for track in tracks])
    at = np.full((len(tracks), len(times), 2), np.nan)
    tops = np.full((len(tracks), len(times)), np.nan)
    for index, (plan, track) in enumerate(zip(plans, tracks, strict=True)):
        up = np.interp(times, track[:, 0], track[:, 3])
        here = np.stack([np.interp(times, track[:, 0], track[:, axis]) for axis in (1, 2)], axis=1)
        away = np.hypot(*(here - homes[index]).T)
        counts = (times >= track[0, 0]) & (times <= track[-1, 0]) & (away >= plan.return_height_m)
        at[index, counts] = here[counts]
        tops[index, counts] = np.maximum(up, plan.home_amsl_m + plan.return_height_m)[counts]
    found = []
    for one, two in combinations(range(len(plans)), 2):
        level = np.flatnonzero(np.abs(tops[one] - tops[two]) < vertical_m - _GIVE_M)
        if not len(level):
            continue
        lateral = _between_lines(at[one, level], homes[one], at[two, level], homes[two])
        worst = int(np.argmin(lateral))
        if lateral[worst] < lateral_m - _GIVE_M:
            moment = level[worst]
            found.append(
                Breach(
                    plans[one].vehicle_id,
                    plans[two].vehicle_id,
                    float(times[moment]),
                    float(lateral[worst]),
                    float(abs(tops[one, moment] - tops[two, moment])),
                    _place(plans[0].home, (at[one, moment] + at[two, moment]) / 2.0),
                    "sampling",
                )
            )
    return found


def _between_lines(a: _Floats, a_end: _Floats, b: _Floats, b_end: _Floats) -> _Floats:
    """Least distances between the lines a[k] to a_end and b[k] to b_end, (n,): zero where they cross."""

    def to_line(point: _Floats, start: _Floats, end: _Floats) -> _Floats:
        way = end - start
        square = np.maximum(np.sum(way * way, axis=-1), 1e-12)
        share = np.clip(np.sum((point - start) * way, axis=-1) / square, 0.0, 1.0)
        distance: _Floats = np.linalg.norm(start + share[..., None] * way - point, axis=-1)
        return distance

    def side(start: _Floats, end: _Floats, point: _Floats) -> _Floats:
        one, two = end - start, point - start
        turn: _Floats = one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]
        return turn

    ends = np.broadcast_to(a_end, a.shape), np.broadcast_to(b_end, b.shape)
    least = np.minimum.reduce(
        [to_line(a, b, ends[1]), to_line(ends[0], b, ends[1]), to_line(b, a, ends[0]), to_line(ends[1], a, ends[0])]
    )
    crosses = (side(a, ends[0], b) * side(a, ends[0], ends[1]) < 0) & (
        side(b, ends[1], a) * side(b, ends[1], ends[0]) < 0
    )
    return np.where(crosses, 0.0, least)


def _apart_s(
    tracks: Sequence[_Floats],
    in_air: Sequence[bool],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    near: tuple[float, float],
    leaving_s: float,
) -> _Floats:
    """(pairs,) when two in the air that are too near at 0 are first apart; minus infinity where that excuses nothing.

    Whoever is exactly at the minimum across the ground is not too near, but has not parted either: a map's rounding
    would decide that. In height the minimum is enough: layers are exactly that far apart.
    """
    times = np.arange(0.0, leaving_s, _FINE_STEP_S)
    places = [np.stack([np.interp(times, t[:, 0], t[:, axis]) for axis in (1, 2, 3)]) for t in tracks]
    out = np.full(len(first), -np.inf)
    for number, (one, two) in enumerate(zip(first, second, strict=True)):
        if in_air[one] and in_air[two]:
            east, north, up = np.abs(places[one] - places[two])
            away = np.flatnonzero((np.hypot(east, north) > near[0] + _MAP_M) | (up >= near[1]))
            if len(away) and away[0]:
                out[number] = times[away[0]]
    return out


def _sampled(
    tracks: Sequence[_Floats], first: NDArray[np.int64], second: NDArray[np.int64], near: tuple[float, float]
) -> tuple[NDArray[np.int64], _Floats, _Floats]:
    """(pair, time, distances (n, 3)) of the samples that are too near."""
    times = np.arange(min(t[0, 0] for t in tracks), max(t[-1, 0] for t in tracks) + _STEP_S, _STEP_S)
    places = np.full((len(tracks), 3, len(times)), np.nan)
    for row, track in zip(places, tracks, strict=True):
        flying = (times >= track[0, 0]) & (times <= track[-1, 0])
        for axis in range(3):
            row[axis, flying] = np.interp(times[flying], track[:, 0], track[:, axis + 1])
    # NaN (on the ground) compares as not near.
    close = np.abs(places[first, 2] - places[second, 2]) < near[1]
    pair, sample = np.nonzero(close)
    apart = places[first[pair], :, sample] - places[second[pair], :, sample]
    hit = apart[:, 0] ** 2 + apart[:, 1] ** 2 < near[0] ** 2
    return pair[hit], times[sample[hit]], apart[hit]


def _closest(
    tracks: Sequence[_Floats], first: NDArray[np.int64], second: NDArray[np.int64], near: tuple[float, float]
) -> tuple[NDArray[np.int64], _Floats, _Floats]:
    """As `_sampled`, for the nearest moments between all times at which any vehicle changes its motion."""
    times = np.unique(np.concatenate([t[:, 0] for t in tracks]))
    places = np.empty((len(tracks), 3, len(times)))
    flying = np.empty((len(tracks), len(times) - 1), dtype=bool)
    for index, track in enumerate(tracks):
        flying[index] = (times[:-1] >= track[0, 0] - 1e-9) & (times[1:] <= track[-1, 0] + 1e-9)
        for axis in range(3):
            places[index, axis] = np.interp(times, track[:, 0], track[:, axis + 1])
    pair, step = np.nonzero(flying[first] & flying[second])
    begin = places[first[pair], :, step] - places[second[pair], :, step]
    end = places[first[pair], :, step + 1] - places[second[pair], :, step + 1]
    # Most can be left out at once: never within the vertical minimum, or never within the lateral one on an axis.
    low, high = np.minimum(begin, end), np.maximum(begin, end)
    limits = np.array([near[0], near[0], near[1]])
    possible = np.all((low < limits) & (high > -limits), axis=1)
    pair, step, begin, end = pair[possible], step[possible], begin[possible], end[possible]
    change = end - begin
    # The share of the step from which to which the vertical minimum is broken.
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (-near[1] - begin[:, 2]) / change[:, 2], (near[1] - begin[:, 2]) / change[:, 2]
    moves = np.abs(change[:, 2]) > 1e-9
    from_share = np.where(moves, np.clip(np.minimum(one, two), 0.0, 1.0), 0.0)
    to_share = np.where(moves, np.clip(np.maximum(one, two), 0.0, 1.0), 1.0)
    along = np.sum(change[:, :2] ** 2, axis=1)
    best = -np.sum(begin[:, :2] * change[:, :2], axis=1) / np.where(along > 1e-12, along, 1.0)
    share = np.clip(np.where(along > 1e-12, best, 0.0), from_share, to_share)
    apart = begin + share[:, None] * change
    hit = (
        (to_share - from_share > 1e-9)
        & (apart[:, 0] ** 2 + apart[:, 1] ** 2 < near[0] ** 2)
        & (np.abs(apart[:, 2]) < near[1] + 1e-9)
    )
    moment = times[step] + share * (times[step + 1] - times[step])
    return pair[hit], moment[hit], apart[hit]


def _at(track: _Floats, moment: float) -> _Floats:
    return np.array([np.interp(moment, track[:, 0], track[:, axis]) for axis in (1, 2)])


def _place(origin: GeoPoint, east_north: _Floats) -> GeoPoint:
    azimuth = float(np.degrees(np.arctan2(east_north[0], east_north[1])))
    reach = float(np.hypot(east_north[0], east_north[1]))
    longitude, latitude, _ = _WGS84.fwd(origin.longitude_deg, origin.latitude_deg, azimuth, reach)
    return GeoPoint(float(latitude), float(longitude))


def _tracks(
    plans: Sequence[FlightPlan],
    starts_s: Sequence[float],
    limits: VehicleLimits,
    wind_m_s: float,
    aloft: Collection[str] = (),
) -> list[_Floats]:
    """(n, 4) time, east and north of the first home, height above sea, for each plan."""
    points = [p for plan in plans for p in (plan.home, *(w.position for w in plan.waypoints))]
    origin = plans[0].home
    here = np.full(len(points), origin.longitude_deg), np.full(len(points), origin.latitude_deg)
    there = np.array([p.longitude_deg for p in points]), np.array([p.latitude_deg for p in points])
    azimuth, _, reach = _WGS84.inv(*here, *there)
    xy = np.stack([reach * np.sin(np.radians(azimuth)), reach * np.cos(np.radians(azimuth))], axis=1)
    out, used = [], 0
    for plan, start in zip(plans, starts_s, strict=True):
        count = 1 + len(plan.waypoints)
        track, arrives = _track(plan, xy[used : used + count], float(start), limits, wind_m_s)
        if plan.vehicle_id in aloft:
            # Rows up to the climb over the pad are the past; the one after them is the arrival at the first waypoint.
            track = track[_ROWS_TO_FIRST:] - np.array([arrives, 0.0, 0.0, 0.0])
            if start > 0.0:
                track = np.vstack([[0.0, *track[0, 1:]], track])
        out.append(track)
        used += count
    return out


def _track(
    plan: FlightPlan, xy: _Floats, start: float, limits: VehicleLimits, wind_m_s: float
) -> tuple[_Floats, float]:
    """The rows of one plan, and how long after its start it reaches its first waypoint."""
    cost = plan_energy(plan, limits, wind_m_s=wind_m_s)
    base = plan.home_amsl_m
    heights = [_above_home(plan, w.altitude.value_m, w.altitude.datum) for w in plan.waypoints]
    most = max(limits.max_speed_m_s, limits.max_wind_m_s) - wind_m_s

    def ground_speed(wanted: float) -> float:
        return max(0.5, min(max(wanted, 0.5), limits.max_speed_m_s, most))

    def landing(height: float) -> tuple[float, float]:
        slow = min(max(height, 0.0), _SLOW_BELOW_M)
        return max(0.0, height - slow) / limits.descent_rate_m_s, slow / _SLOW_M_S

    home = xy[0]
    high = plan.takeoff_height_m
    rows = [
        (0.0, *home, 0.0),
        (_SPIN_UP_S, *home, 0.0),
        (_SPIN_UP_S + max(high, 0.0) / limits.climb_rate_m_s, *home, high),
    ]
    speed = plan.cruise_speed_m_s
    for index, waypoint in enumerate(plan.waypoints):
        speed = speed if waypoint.speed_m_s is None else waypoint.speed_m_s
        rise = heights[index] - high
        rate = limits.climb_rate_m_s if rise >= 0.0 else limits.descent_rate_m_s
        length = float(np.hypot(*(xy[index + 1] - xy[index])))
        leaves = cost.arrival_s[index] - max(length / ground_speed(speed), abs(rise) / rate)
        if index:  # the stay at the waypoint before, whatever it is for
            rows.append((leaves, *xy[index], high))
        high = heights[index]
        rows.append((cost.arrival_s[index], *xy[index + 1], high))
    if plan.waypoints:
        away = float(np.hypot(*(xy[-1] - home)))
        v = ground_speed(speed)
        stop = v / limits.acceleration_m_s2  # (v - 0)^2 / (a v)
        # The energy model climbs to the full return height; from its end we know when the last waypoint is left.
        full = max(high, plan.return_height_m)
        rest = (full - high) / limits.climb_rate_m_s + stop + away / v + sum(landing(full))
        leaves = cost.time_s - rest
        top = max(high, min(plan.return_height_m, away * _CONE))
        climbed = leaves + (top - high) / limits.climb_rate_m_s
        rows += [(leaves, *xy[-1], high), (climbed, *xy[-1], top), (climbed + away / v, *home, top)]
        high = top
        over_pad = climbed + away / v + stop
    else:
        over_pad = rows[-1][0]
    fast_s, slow_s = landing(high)
    slow_from = min(max(high, 0.0), _SLOW_BELOW_M)
    rows += [
        (over_pad, *home, high),
        (over_pad + fast_s, *home, slow_from),
        (over_pad + fast_s + slow_s, *home, 0.0),
    ]
    table = np.asarray(rows)
    table[:, 0] = np.maximum.accumulate(table[:, 0]) + start
    table[:, 3] += base
    return table, cost.arrival_s[0] if cost.arrival_s else 0.0


def _above_home(plan: FlightPlan, value_m: float, datum: Datum) -> float:
    if datum is Datum.HOME:
        return value_m
    if datum is Datum.AMSL:
        return value_m - plan.home_amsl_m
    raise ValueError(f"cannot judge heights above {datum}")

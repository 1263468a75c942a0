# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fixed ways of vehicles in the air, and what they forbid each other, whoever waits where.

A vehicle that holds at waypoints flies every stretch between them by some delay later: its group g is what it flies
after the hold at waypoint g - 1, up to the stay at waypoint g; the last group is the way home and the landing. Two
stretches of two vehicles meet for an open interval of the difference of their delays (`delays`), a stretch meets a
place that is held for an interval that moves with the hold. Both are found once for a pair of ways; every question
about delays and holds is then one of intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from missions.deconflict.delays import Forbidden, forbidden_delays
from missions.deconflict.segments import Minima, Segments, joined, segments
from missions.deconflict.trajectory import HOVERED_S, Phase, Trajectory, fly, from_first_waypoint, places_m
from missions.energy import Performance, turn_deg
from missions.geo import FloatArray, LocalFrame
from missions.model import FlightPlan, VehicleLimits

_LEAVING = 2.0  # minima across the ground from its start: until then a vehicle is still leaving it

_Ints = NDArray[np.int64]
_NOTHING: Final = Forbidden(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Flying:
    """A way in one wind, nobody waiting: its pieces, the group of each, and whether the vehicle is still leaving.

    arrive_s, leave_s: (k,) of the stay at each waypoint. stop_s: (k,) what a hold costs there beyond itself, because
    the vehicle then stops where it else flew through.
    """

    pieces: Segments
    group: _Ints
    leaving: NDArray[np.bool_]
    arrive_s: FloatArray
    leave_s: FloatArray
    stop_s: FloatArray
    end_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A plan as it is flown from its first waypoint, in each of the winds.

    places: its waypoints, as pieces without any duration at time 0.
    """

    plan: FlightPlan
    in_wind: tuple[Flying, ...]
    places: Segments


class Clash:
    """What one way forbids another in one wind: open intervals, and the groups or waypoints that they are about.

    moving: by how much the delay of group `piece` must not be more than that of the other's group `other`. both: pairs
    of waypoints that are too near to each other to stand at both. What holds make of it is found when it is first
    asked for: most flights need none.
    """

    def __init__(
        self,
        moving: Forbidden,
        both: tuple[tuple[int, int], ...],
        find: Callable[[], None],
        turned: Clash | None = None,
    ) -> None:
        self.moving, self.both = moving, both
        self._find, self._passing = find, _NOTHING
        self._known, self._turned = False, turned

    @property
    def turned(self) -> Clash:
        """The same from the side of the other."""
        if self._turned is None:
            self._turned = Clash(_swapped(self.moving), tuple((k, i) for i, k in self.both), self._find, self)
        return self._turned

    @property
    def passing(self) -> Forbidden:
        """Delays that group `piece` must not have when the other stands at its waypoint `other` at 0."""
        if not self._known:
            self._find()
        return self._passing

    @passing.setter
    def passing(self, found: Forbidden) -> None:
        self._passing, self._known = found, True

    @property
    def standing(self) -> Forbidden:
        """Times at which the other's group `other`, not delayed, passes waypoint `piece`."""
        return _swapped(self.turned.passing)


def way_of(
    plan: FlightPlan, limits: VehicleLimits, frame: LocalFrame, winds_m_s: Sequence[float], minima: Minima
) -> Way:
    """A plan's way. Raises DatumError as the energy model does."""
    places = places_m(plan, frame)
    flown = [fly(plan, limits, places, wind_m_s=w) for w in winds_m_s]
    in_wind = tuple(
        _flying(plan, from_first_waypoint(f, hovered_s=HOVERED_S), Performance(limits, w), minima)
        for f, w in zip(flown, winds_m_s, strict=True)
    )
    up = [_arrival_height(flown[0], k) for k in range(len(plan.waypoints))]
    stood = np.column_stack([places[1:], up])
    count = len(stood)
    zero, still = np.zeros(count), np.zeros((count, 3))
    at_waypoints = Segments(zero, zero, stood, still, stood, stood, np.zeros(count, dtype=np.int64), np.arange(count))
    return Way(plan, in_wind, at_waypoints)


def clashes(one: Way, others: Sequence[Way], minima: Minima) -> list[tuple[Clash, ...]]:
    """What each of the others forbids the one, for each wind; all at once, since that is as quick as a single one.

    Two that are too near to each other where they are now cannot be kept from that: while both are still leaving, or
    one leaves and the other stays, they are left to go apart. What they do after that counts.
    """
    both = [_same_places(one.places, other.places, minima) for other in others]
    in_wind = [_in_one_wind(one, others, wind, minima, both) for wind in range(len(one.in_wind)) if others]
    return list(zip(*in_wind, strict=True))


def _in_one_wind(
    one: Way, others: Sequence[Way], wind: int, minima: Minima, both: Sequence[tuple[tuple[int, int], ...]]
) -> list[Clash]:
    mine, theirs = one.in_wind[wind], [other.in_wind[wind] for other in others]
    pieces = [t.pieces for t in theirs]
    out: list[Clash] = []

    def find() -> None:
        """Who passes whom where it stands."""
        passing = _each(_between(mine.pieces, _numbered([o.places for o in others]), minima), others_of_places)
        passed = _each(_swapped(_between(_numbered(pieces), one.places, minima)), others_of_pieces)
        for clash, their, there, back in zip(out, theirs, passing, passed, strict=True):
            clash.passing = _past(there, mine, near=(0, 0) in clash.both)
            clash.turned.passing = _past(_swapped(back), their, near=(0, 0) in clash.both)

    others_of_places, others_of_pieces = [len(o.places) for o in others], [len(p) for p in pieces]
    moving = _each(_between(mine.pieces, _numbered(pieces), minima), others_of_pieces)
    for their, pair, places in zip(theirs, moving, both, strict=True):
        leaving = mine.leaving[pair.piece] & their.leaving[pair.other]
        met = _without(pair, leaving) if (0, 0) in places else pair
        out.append(Clash(replace(met, piece=mine.group[met.piece], other=their.group[met.other]), places, find))
    return out


def _past(found: Forbidden, flown: Flying, *, near: bool) -> Forbidden:
    """Passages of pieces as those of groups; who is near now may leave past one that stays."""
    kept = _without(found, flown.leaving[found.piece] & (found.other == 0)) if near else found
    return replace(kept, piece=flown.group[kept.piece])


def _numbered(parts: Sequence[Segments]) -> Segments:
    """Pieces of several as one array, numbered through."""
    every = joined(parts)
    return replace(every, piece=np.arange(len(every)))


def _each(found: Forbidden, counts: Sequence[int]) -> list[Forbidden]:
    """What was found with several others together for each of them, pieces numbered as their own."""
    first = np.cumsum([0, *counts])
    whose = np.searchsorted(first, found.other, side="right") - 1
    out = []
    for k in range(len(counts)):
        own = whose == k
        out.append(Forbidden(found.low_s[own], found.high_s[own], found.piece[own], found.other[own] - first[k]))
    return out


def _flying(plan: FlightPlan, flown: Trajectory, vehicle: Performance, minima: Minima) -> Flying:
    """Splits the stretch on which the vehicle leaves its place, and notes when it is where."""
    flown = _split(flown, _LEAVING * minima.lateral_bound_m)
    away = np.hypot(*(flown.place_m[:, :2] - flown.place_m[0, :2]).T)
    near = np.maximum(away[:-1], away[1:]) <= _LEAVING * minima.lateral_bound_m + 1e-6
    count = len(plan.waypoints)
    arrive, leave = np.empty(count), np.empty(count)
    for k in range(count):
        before = (flown.item < k) | ((flown.item == k) & (flown.phase == Phase.ROUTE))
        arrive[k] = flown.time_s[int(np.flatnonzero(before)[-1]) + 1] if k else -HOVERED_S
        leave[k] = flown.time_s[int(np.flatnonzero(flown.item <= k)[-1]) + 1]
    return Flying(
        segments(flown),
        np.asarray(flown.item, dtype=np.int64),
        np.logical_and.accumulate(near),
        arrive,
        leave,
        _stops_s(plan, vehicle),
        flown.duration_s,
    )


def _stops_s(plan: FlightPlan, vehicle: Performance) -> FloatArray:
    """As `trajectory.fly` counts corners: a hold is a full stop."""
    points = [plan.home, *(w.position for w in plan.waypoints), plan.home]
    speed, out = plan.cruise_speed_m_s, []
    for k, waypoint in enumerate(plan.waypoints):
        speed = speed if waypoint.speed_m_s is None else waypoint.speed_m_s
        flown = min(max(speed, 0.5), vehicle.limits.max_speed_m_s)
        turn = 180.0 if waypoint.hold_s > 0.0 else turn_deg(points[k], points[k + 1], points[k + 2])
        out.append(vehicle.corner_s(flown, 180.0) - vehicle.corner_s(flown, turn))
    return np.asarray(out)


def _split(flown: Trajectory, radius_m: float) -> Trajectory:
    """The same motion with a knot where it first is a distance away from its start, across the ground."""
    place = flown.place_m[:, :2] - flown.place_m[0, :2]
    out = np.flatnonzero(np.hypot(*place.T) > radius_m)
    if not len(out):
        return flown
    k = int(out[0])
    step, begin = place[k] - place[k - 1], place[k - 1]
    a, b, c = float(step @ step), float(begin @ step), float(begin @ begin) - radius_m**2
    share = (-b + np.sqrt(b * b - a * c)) / a
    if not 1e-6 < share < 1.0 - 1e-6:
        return flown
    knots = np.column_stack([flown.time_s, flown.place_m])
    knots = np.insert(knots, k, knots[k - 1] + share * (knots[k] - knots[k - 1]), axis=0)
    return Trajectory(
        knots[:, 0],
        knots[:, 1:],
        np.insert(flown.phase, k, flown.phase[k - 1]),
        np.insert(flown.item, k, flown.item[k - 1]),
    )


def _arrival_height(flown: Trajectory, item: int) -> float:
    """Height above the sea at which a waypoint is stood at."""
    return float(flown.place_m[int(np.flatnonzero(flown.item <= item)[-1]) + 1, 2])


def _between(one: Segments, other: Segments, minima: Minima) -> Forbidden:
    """By how much the one must not be later than the other, whether that is positive or negative."""
    before_s = float(one.end_s.max()) + HOVERED_S + 1.0
    moved = Segments(
        other.start_s + before_s, other.end_s + before_s, *(getattr(other, name) for name in Segments.__slots__[2:])
    )
    found = forbidden_delays(one, moved, minima, before_s + float(other.end_s.max()) + HOVERED_S + 1.0)
    return Forbidden(found.low_s - before_s, found.high_s - before_s, found.piece, found.other)


def _without(found: Forbidden, those: NDArray[np.bool_]) -> Forbidden:
    kept = ~those
    return Forbidden(found.low_s[kept], found.high_s[kept], found.piece[kept], found.other[kept])


def _swapped(found: Forbidden) -> Forbidden:
    return Forbidden(-found.high_s, -found.low_s, found.other, found.piece)


def _same_places(one: Segments, other: Segments, minima: Minima) -> tuple[tuple[int, int], ...]:
    apart = one.place_m[:, None] - other.place_m[None]
    near = (np.hypot(apart[..., 0], apart[..., 1]) < minima.lateral_bound_m) & (
        np.abs(apart[..., 2]) < minima.vertical_bound_m
    )
    return tuple((int(i), int(k)) for i, k in np.argwhere(near))

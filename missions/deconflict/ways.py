# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fixed ways of vehicles in the air, and what they forbid each other, whoever waits where.

A vehicle that holds at waypoints flies every stretch between them by some delay later: its group g is what it flies
after the hold at waypoint g - 1, up to the stay at waypoint g; the last group is the way home and the landing. Two
stretches of two vehicles meet for an open interval of the difference of their delays (`delays`), a stretch meets a
place that is held for an interval that moves with the hold. Both are found once for a pair of ways; every question
about delays and holds is then one of intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from missions.deconflict.delays import Forbidden, forbidden_delays
from missions.deconflict.segments import APART_WITHIN_S, Minima, Segments, joined, segments
from missions.deconflict.trajectory import HOVERED_S, Phase, Trajectory, fly, from_first_waypoint, places_m
from missions.energy import Performance, turn_deg
from missions.geo import FloatArray, LocalFrame
from missions.model import FlightPlan, VehicleLimits

_LEAVING = 2.0  # minima across the ground from its start: until then a vehicle is still leaving it
_ROUNDING_S = 1e-5  # between offsets that are excused and those without any meeting

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
    one leaves and the other stays, they are left to go apart. That ends for good with the first moment at which they
    are apart: whoever comes near again is forbidden it, be it a second later over the same place.
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
        for clash, their, other, there, back in zip(out, theirs, others, passing, passed, strict=True):
            near = (0, 0) in clash.both
            clash.passing = _past(there, mine, other.places, minima) if near else _in_groups(there, mine)
            turned = _swapped(back)
            clash.turned.passing = _past(turned, their, one.places, minima) if near else _in_groups(turned, their)

    others_of_places, others_of_pieces = [len(o.places) for o in others], [len(p) for p in pieces]
    moving = _each(_between(mine.pieces, _numbered(pieces), minima), others_of_pieces)
    for their, pair, places in zip(theirs, moving, both, strict=True):
        met = _again(pair, mine, their, minima) if (0, 0) in places else pair
        out.append(Clash(replace(met, piece=mine.group[met.piece], other=their.group[met.other]), places, find))
    return out


def _again(found: Forbidden, one: Flying, other: Flying, minima: Minima) -> Forbidden:
    """What is left of meetings of two that are too near now, without those in which they have not yet been apart.

    Where two pieces are flown at an offset of times, one of them begins first while the other one is on its way. Two
    that are too near then were so before, in the pieces before these. Two that are not, but meet within the pieces,
    come near again. The first are excused, as long as both are leaving: offsets at which the begin of the one is too
    near to a place on the other. (Where what came before is a meeting again, it is forbidden there.)
    """
    leaving = one.leaving[found.piece] & other.leaving[found.other]
    mine, theirs = _chosen(one.pieces, one.leaving), _chosen(other.pieces, other.leaving)
    near: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for known in (_between(_begins(mine), theirs, minima), _between(mine, _begins(theirs), minima)):
        rows = zip(*(getattr(known, name).tolist() for name in Forbidden.__slots__), strict=True)
        for low, high, piece, its in rows:
            near.setdefault((piece, its), []).append((low, high))
    kept, again = _without(found, leaving), _without(found, ~leaving)
    rows = zip(*(getattr(again, name).tolist() for name in Forbidden.__slots__), strict=True)
    more = [
        (begin, end, piece, its)
        for low, high, piece, its in rows
        for begin, end in _outside((low, high), near.get((piece, its), []))
    ]
    if not more:
        return kept
    low_s, high_s, pieces, others = (np.array(column) for column in zip(*more, strict=True))
    return Forbidden(
        np.append(kept.low_s, low_s),
        np.append(kept.high_s, high_s),
        np.append(kept.piece, pieces),
        np.append(kept.other, others),
    )


def _outside(span: tuple[float, float], taken: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The parts of an interval that are in none of others, without what is only rounding."""
    begin, end = span
    out = []
    for low, high in sorted(taken):
        out.append((begin, min(low, end)))
        begin = max(begin, high)
    out.append((begin, end))
    return [(low, high) for low, high in out if high - low > _ROUNDING_S]


def _begins(pieces: Segments) -> Segments:
    """Pieces without any duration, where and when others begin."""
    return replace(
        pieces,
        end_s=pieces.start_s,
        velocity_m_s=np.zeros_like(pieces.velocity_m_s),
        low_m=pieces.place_m,
        high_m=pieces.place_m,
    )


def _chosen(pieces: Segments, those: NDArray[np.bool_]) -> Segments:
    return Segments(*(getattr(pieces, name)[those] for name in Segments.__slots__))


def _past(found: Forbidden, flown: Flying, places: Segments, minima: Minima) -> Forbidden:
    """Passages as `_in_groups`, of one that is near to another now and may leave it where that stays.

    It has not been apart from it yet if it is too near when a piece begins.
    """
    leaving = flown.leaving[found.piece] & (found.other == 0)
    begins = _near_m(flown.pieces.place_m[found.piece], places.place_m[:1], minima)[:, 0]
    return _in_groups(_without(found, leaving & begins), flown)


def _in_groups(found: Forbidden, flown: Flying) -> Forbidden:
    """Passages of pieces as those of groups."""
    return replace(found, piece=flown.group[found.piece])


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
    """Splits the piece in which the vehicle has left its place, and notes when it is where."""
    until_s = min(_gone_s(flown, _LEAVING * minima.lateral_bound_m), APART_WITHIN_S)
    flown = _split(flown, until_s)
    count = len(plan.waypoints)
    arrive, leave = np.empty(count), np.empty(count)
    for k in range(count):
        before = (flown.item < k) | ((flown.item == k) & (flown.phase == Phase.ROUTE))
        arrive[k] = flown.time_s[int(np.flatnonzero(before)[-1]) + 1] if k else -HOVERED_S
        leave[k] = flown.time_s[int(np.flatnonzero(flown.item <= k)[-1]) + 1]
    return Flying(
        segments(flown),
        np.asarray(flown.item, dtype=np.int64),
        flown.time_s[1:] <= until_s + 1e-6,
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


def _gone_s(flown: Trajectory, radius_m: float) -> float:
    """When a motion is first a distance away from its start, across the ground; infinite if it never is."""
    place = flown.place_m[:, :2] - flown.place_m[0, :2]
    out = np.flatnonzero(np.hypot(*place.T) > radius_m)
    if not len(out):
        return math.inf
    k = int(out[0])
    step, begin = place[k] - place[k - 1], place[k - 1]
    a, b, c = float(step @ step), float(begin @ step), float(begin @ begin) - radius_m**2
    share = (-b + math.sqrt(b * b - a * c)) / a
    return float(flown.time_s[k - 1] + share * (flown.time_s[k] - flown.time_s[k - 1]))


def _split(flown: Trajectory, at_s: float) -> Trajectory:
    """The same motion with a knot at a time, unless it has one there or is over by then."""
    if at_s >= flown.duration_s or float(np.abs(flown.time_s - at_s).min()) < 1e-6:
        return flown
    k = int(np.searchsorted(flown.time_s, at_s))
    place = [np.interp(at_s, flown.time_s, flown.place_m[:, axis]) for axis in range(3)]
    return Trajectory(
        np.insert(flown.time_s, k, at_s),
        np.insert(flown.place_m, k, place, axis=0),
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
    return tuple((int(i), int(k)) for i, k in np.argwhere(_near_m(one.place_m, other.place_m, minima)))


def _near_m(one: FloatArray, other: FloatArray, minima: Minima) -> NDArray[np.bool_]:
    """(n, m) which of n places (n, 3) are nearer than both minima to which of m others."""
    apart = one[:, None] - other[None]
    near: NDArray[np.bool_] = (np.hypot(apart[..., 0], apart[..., 1]) < minima.lateral_bound_m) & (
        np.abs(apart[..., 2]) < minima.vertical_bound_m
    )
    return near

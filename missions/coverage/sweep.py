# SPDX-License-Identifier: AGPL-3.0-or-later
"""An area and a swath width to one path that sweeps all of it: direction, swaths, order, moves, turns.

Every step's better candidates go on to the next, dearer one: many directions are weighed roughly, a few are put in
order with real distances, the best of those are mended, shortened and compared by what they cost to fly. Beside
parallel swaths stand swaths in a direction of their own for every piece of the area, and rings along its edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import shapely
from shapely import affinity
from shapely.geometry import LineString, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from missions.coverage.contours import contour_strokes
from missions.coverage.footprints import CAREFUL
from missions.coverage.ordering import order_swaths
from missions.coverage.paths import Path, Points, stretches
from missions.coverage.pieces import piece_swaths
from missions.coverage.strips import (
    Area,
    Layout,
    Swath,
    cells,
    estimate_m,
    intervals,
    layouts,
    swaths,
)
from missions.coverage.turns import shorten
from missions.errors import PlanningError
from missions.geo import FloatArray
from missions.model import Budget, never_stop
from missions.routing.visibility import ShortestPaths, shortest_paths

_EVERY_DEG = 5.0
_PACKED = 8
_ORDERED = 6
_FINISHED = 2
_MENDED = 3
_CLOSE = 1.015
_MANY = 40
_PASSES = 3
_SHORTENED = 1.02  # of the best mended path's cost: who may still become the best when shortened
_GIVE = 0.96  # of what mended rings cost: what they will
_GOOD = 1.08  # of A / w: parallel swaths that cost no more, nothing betters by much
_WORTH = 1.04  # of the parallel swaths' cost, in order: who is worth mending
_RINGED_HOLES = 3
_SMALL_HOLE = 8.0  # of the square width
_RINGED_LEGS = 300  # mending rings with more is slow and leaves little of what they save
_SEEN = 0.45  # of the width: what lies farther from any allowed place would cost a visit for every hand's breadth
_FINE = 1000.0  # paths are searched in millimetres: the search's slack is then far below any swath
# What a metre flown in a direction (degrees counter-clockwise from east) costs, over one flown in still air.
MetreCost = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A path that sweeps an area. Places are east, north metres.

    corners_m: (n, 2). direction_deg: of the longest pass, where they have several; counter-clockwise from east.
    length_m over bound_m is the ratio; bound_m = A / w of the part A that is swept, what parallel passes of a
    rectangular footprint cannot beat (a disc could save at most pi w / 4). unswept_m2 is what no allowed place can see.
    """

    corners_m: FloatArray
    width_m: float
    direction_deg: float
    swath_count: int
    length_m: float
    bound_m: float
    unswept_m2: float

    @property
    def ratio(self) -> float:
        return self.length_m / self.bound_m if self.bound_m > 0.0 else 1.0


def even_cost(_direction_deg: float) -> float:
    """A metre costs the same in every direction: no wind."""
    return 1.0


def sweep_area(
    area: Area,
    width_m: float,
    budget: Budget,
    *,
    allowed: Area | None = None,
    depot_m: tuple[float, float] | None = None,
    metre_cost: MetreCost = even_cost,
    turn_cost_m: float = 0.0,
    direction_deg: float | None = None,
) -> Sweep:
    """Plan a path whose disc of radius width_m / 2 sweeps the area.

    allowed: where legs may run; without it the area with its holes filled. depot_m: where the path should begin and
    end near. turn_cost_m: what a turn costs, in metres. direction_deg: fixes the swaths' direction.
    Raises PlanningError when nothing of the area can be reached, or its parts are not connected.
    """
    if not (math.isfinite(width_m) and width_m > 0.0):
        raise PlanningError(f"a swath must be wider than 0 m, not {width_m}")
    if not area.is_valid:
        raise PlanningError("the area crosses itself; build it with missions.coverage.area, which names the place")
    if area.is_empty or not area.area > 0.0:
        raise PlanningError("the area is empty; nothing is to be covered")
    room = _filled(area) if allowed is None else allowed
    careful = CAREFUL * width_m
    seen = _polygons(area.intersection(room.buffer(_SEEN * careful)))
    if seen.is_empty:
        raise PlanningError("no allowed place can see any of the area; check the fence and the keep-outs")
    planner = _Planner(seen, room, careful, width_m, budget, depot_m, metre_cost, turn_cost_m)
    found = planner.best(direction_deg)
    unswept_m2 = found.unswept_m2 + max(0.0, area.area - seen.area)
    return replace(found, bound_m=max(0.0, area.area - unswept_m2) / width_m, unswept_m2=unswept_m2)


@dataclass(frozen=True, slots=True)
class _Ordered:
    lines: list[Swath]
    order: list[tuple[int, bool]]
    paths: ShortestPaths
    between_m: FloatArray  # as order_swaths takes them
    cost: float
    rings: bool = False


class _Planner:
    def __init__(
        self,
        area: Area,
        room: Area,
        careful_m: float,
        width_m: float,
        budget: Budget,
        depot_m: tuple[float, float] | None,
        metre_cost: MetreCost,
        turn_cost_m: float,
    ) -> None:
        self.area, self.room, self.careful, self.width = area, room, careful_m, width_m
        self.budget, self.depot, self.metre_cost, self.turn_cost = budget, depot_m, metre_cost, turn_cost_m
        self.fine_room = affinity.scale(room, _FINE, _FINE, origin=(0.0, 0.0))

    def best(self, direction_deg: float | None) -> Sweep:
        directions = sweep_directions(self.area) if direction_deg is None else [direction_deg]
        firsts = [layouts(self.area, self.careful, direction) for direction in directions]
        rough = sorted((self._rough(options[0], n) for n, options in enumerate(firsts)), key=lambda r: r[:2])
        # Packed layouts differ from even ones by little: worth a look only where the direction is good.
        for number in [n for _, n, _, _ in rough[:_PACKED]]:
            rough += [self._rough(layout, number + len(firsts)) for layout in firsts[number][1:]]
        rough.sort(key=lambda r: r[:2])
        ordered: list[_Ordered] = []
        for number, (_, _, layout, spans) in enumerate(rough[:_ORDERED]):
            if self.budget.stop() and ordered:
                break
            self.budget.progress(0.1 + 0.3 * number / _ORDERED, "ordering swaths")
            lines = swaths(spans, layout, self.room)
            first = [i for cell in cells(lines, layout) for i in cell] if lines else []
            ordered.append(self._order(lines, first))
        ordered = sorted(ordered, key=lambda o: o.cost)[:_FINISHED]
        # With many swaths mending rarely turns a clearly longer order into the shorter path, and takes a third of the time.
        near = [o for o in ordered if o.cost <= _CLOSE * ordered[0].cost or len(o.lines) < _MANY]
        if direction_deg is None:
            near = sorted([*near, *self._others(ordered[0].cost)], key=lambda o: o.cost)[:_MENDED]
        finished: list[tuple[float, int, Path]] = []
        for number, candidate in enumerate(near):
            if self.budget.stop() and finished:
                break
            self.budget.progress(0.4 + 0.3 * number / len(near), "mending the path")
            near[number] = self._reorder(candidate)
            # The first one is a plan, however little time there is.
            done = self._finish(near[number], number, self.budget.stop if finished else never_stop)
            if done is not None:
                finished.append(done)
            self.budget.progress(0.4 + 0.3 * (number + 1) / len(near), "mending the path")
        # Rings come shorter than they are mended, as their corners have more to give; how much is a guess, so that the
        # next best is shortened beside them. Else two are shortened only where that is quick.
        hoped = sorted((f[0] * (_GIVE if near[f[1]].rings else 1.0), *f[1:]) for f in finished)
        best = near[hoped[0][1]]
        close = [f for f in hoped[: 1 + (best.rings or len(best.lines) < _MANY)] if f[0] <= _SHORTENED * hoped[0][0]]
        shortened: list[tuple[float, int, Path]] = []
        for number, (_, which, path) in enumerate(close):
            if self.budget.stop() and shortened:
                break
            self.budget.progress(0.7 + 0.3 * number / len(close), "shortening the path")
            shorten(path, _PASSES, self.budget.stop)
            shortened.append((self._weight(path), which, path))
        _, which, path = min(shortened, key=lambda f: f[:2])
        return self._sweep(path, near[which])

    def _others(self, cost: float) -> list[_Ordered]:
        """What is not parallel throughout, as far as it may come below a cost."""
        found: list[_Ordered] = []
        if cost <= _GOOD * self.area.area / self.width:
            return found
        for rings in (False, True):
            lines = self._rings() if rings else piece_swaths(self.area, self.room, self.careful)
            if lines and not self.budget.stop():
                ordered = self._order(lines, list(range(len(lines))))
                if ordered.cost <= _WORTH * cost:
                    found.append(replace(ordered, rings=rings))
        return found

    def _rings(self) -> list[Swath]:
        """Strokes along the area's edge; none where they do not fit, or go round many holes."""
        small = [
            hole
            for part in shapely.get_parts(self.area)
            for hole in map(Polygon, part.interiors)
            if hole.area < _SMALL_HOLE * self.width**2 and shapely.covers(self.room, hole)
        ]
        area = _polygons(shapely.union_all([self.area, *small]))  # flown over, as parallel swaths do
        if sum(len(part.interiors) for part in shapely.get_parts(area)) > _RINGED_HOLES:
            return []
        found = []
        roomy = self.room.buffer(1e-6 * self.width)
        shapely.prepare(roomy)
        for stroke in contour_strokes(area, self.careful):
            line = LineString(stroke.points_m)
            parts = [line] if roomy.covers(line) else shapely.get_parts(line.intersection(self.room))
            for part in parts:
                if part.geom_type == "LineString" and part.length > 0.0:
                    points = [(float(x), float(y)) for x, y in part.coords]
                    found.append(Swath(stroke.strip, points[0], points[-1], tuple(points[1:-1])))
        return found if sum(len(line.via_m) + 1 for line in found) <= _RINGED_LEGS else []

    def _rough(self, layout: Layout, number: int) -> tuple[float, int, Layout, list[tuple[int, float, float]]]:
        """(roughly what a layout costs, its number, itself, its spans)."""
        spans = intervals(self.area, layout, layout.spacing_m)
        passes = sum(right - left for _, left, right in spans)
        estimate = estimate_m(spans, layout) + passes * (self.metre_cost(layout.direction_deg) - 1.0)
        return estimate + self.turn_cost * len(spans), number, layout, spans

    def _order(self, lines: list[Swath], first: list[int]) -> _Ordered:
        if not lines:  # an area beside where vehicles may be: visits alone see it
            x, y = shapely.ops.nearest_points(self.room, self.area)[0].coords[0]
            lines, first = [Swath(0, (x, y), (x, y))], [0]
        ends = np.array([p for line in lines for p in (line.start_m, line.end_m)])
        places = ends if self.depot is None else np.vstack([ends, self.depot])
        paths = shortest_paths(self.fine_room, places * _FINE)
        between = paths.length_m / _FINE
        if not np.isfinite(between).all():
            raise PlanningError(
                "parts of the area cannot be reached from one another where vehicles may fly; widen the passage or plan "
                "them one by one"
            )
        if self.depot is None:
            between = np.pad(between, ((0, 1), (0, 1)))
        order = order_swaths(between, first, replace(self.budget, iterations=0))
        return self._weighed(_Ordered(lines, order, paths, between, 0.0))

    def _reorder(self, found: _Ordered) -> _Ordered:
        order = order_swaths(found.between_m, [i for i, _ in found.order], self.budget)
        return self._weighed(replace(found, order=order))

    def _weighed(self, found: _Ordered) -> _Ordered:
        nodes = [n for i, flip in found.order for n in (2 * i + flip, 2 * i + 1 - flip)]
        cost = float(found.between_m[nodes[1:-1:2], nodes[2::2]].sum())
        cost += float(found.between_m[-1, nodes[0]] + found.between_m[nodes[-1], -1])
        cost += sum(
            math.dist(a, b) * self.metre_cost(_direction_deg(a, b))
            for line in found.lines
            for a, b in pairwise(line.points_m)
        )
        return replace(found, cost=cost + self.turn_cost * len(found.lines))

    def _finish(self, candidate: _Ordered, number: int, stop: Callable[[], bool]) -> tuple[float, int, Path] | None:
        """A candidate as a path that sweeps all it can, and what it costs; None where stop() ended it before."""
        legs: list[tuple[Points, bool]] = []
        last = -1
        for i, flip in candidate.order:
            line = candidate.lines[i]
            points = line.points_m[::-1] if flip else line.points_m
            if legs:
                bends = candidate.paths.between(last, 2 * i + flip)
                legs.append(([legs[-1][0][-1], *((x / _FINE, y / _FINE) for x, y in bends), points[0]], False))
            legs.append((points, True))
            last = 2 * i + 1 - flip
        path = Path(self.area, self.room, self.width / 2.0, stretches(legs, self.width))
        return (self._weight(path), number, path) if path.mend(stop) else None

    def _weight(self, path: Path) -> float:
        """What a path costs, with a heavy price on what it leaves unswept."""
        unswept = sum(float(hole.area) for hole in path.holes())
        return self._flown(path.corners()) + 1e3 * unswept / self.width

    def _sweep(self, path: Path, found: _Ordered) -> Sweep:
        corners = path.corners()
        longest = max((leg for line in found.lines for leg in pairwise(line.points_m)), key=lambda leg: math.dist(*leg))
        return Sweep(
            corners_m=corners,
            width_m=self.width,
            direction_deg=_direction_deg(*longest) % 180.0,
            swath_count=len(found.lines),
            length_m=float(np.hypot(*np.diff(corners, axis=0).T).sum()),
            bound_m=self.area.area / self.width,
            unswept_m2=sum(hole.area for hole in path.holes()),
        )

    def _flown(self, corners: FloatArray) -> float:
        """What a path costs: metres weighed by their direction, and its turns."""
        legs = np.diff(corners, axis=0)
        angles = np.degrees(np.arctan2(legs[:, 1], legs[:, 0]))
        metres = sum(float(np.hypot(*leg)) * self.metre_cost(float(a)) for leg, a in zip(legs, angles, strict=True))
        bends = np.abs((np.diff(angles) + 180.0) % 360.0 - 180.0)
        return metres + self.turn_cost * float(np.minimum(bends / 180.0, 1.0).sum())


def _direction_deg(a: tuple[float, float], b: tuple[float, float]) -> float:
    return math.degrees(math.atan2(b[1] - a[1], b[0] - a[0]))


def sweep_directions(area: Area) -> list[float]:
    """Every few degrees, and along the longer edges of the area's hull."""
    found = {float(d) for d in np.arange(0.0, 180.0, _EVERY_DEG)}
    ring = np.asarray(shapely.convex_hull(area).exterior.coords)
    legs = np.diff(ring, axis=0)
    sizes = np.hypot(*legs.T)
    for leg in legs[np.argsort(-sizes)[:6]]:
        found.add(float(np.degrees(np.arctan2(leg[1], leg[0])) % 180.0))
    return sorted(found)


def _filled(area: Area) -> Area:
    """The area without its holes; the hull when it is in several parts, so that they can be reached."""
    parts = [Polygon(part.exterior) for part in shapely.get_parts(area)]
    if len(parts) > 1:
        return Polygon(shapely.convex_hull(area).exterior)
    return parts[0]


def _polygons(shape: BaseGeometry) -> Area:
    parts = [p for p in shapely.get_parts(shape) if isinstance(p, Polygon) and p.area > 0.0]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)

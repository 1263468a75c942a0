# SPDX-License-Identifier: AGPL-3.0-or-later
"""A path, what it sweeps, and its mending: nothing of the area that can be reached stays unswept.

The swept footprint is a disc of half the swath width along the path. A path is cut into trunks (the inner parts of
swaths, left as they are) and turns (what joins them). For each turn the part of the area that nothing else sweeps is
its duty. Unswept places are visited from the nearest turn or trunk, and exact overlays judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import shapely
from shapely import affinity
from shapely.geometry import LineString, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import nearest_points

from missions.coverage.footprints import ARC, CAREFUL, OUTER, discs_along, edge_samples, path_length, squared_away
from missions.geo import FloatArray
from missions.model import never_stop
from missions.routing.visibility import shortest_paths

SAMPLE = 0.2  # of the radius, along a duty's edge
_TRIED = 8  # pieces of the path that a visit may start from
_ROUNDING_M = 1e-4  # a leg along an edge lies on it up to this
_BENDS = 8  # in one turn, from where on short legs become stretches of their own
_NEGLIGIBLE = 1e-7  # of the disc's square radius
_FINE = 1000.0  # ways round corners are searched in millimetres
Points = list[tuple[float, float]]


@dataclass(slots=True)
class Piece:
    """A stretch of the path and its footprint. Ends are fixed unless the path itself begins or ends there."""

    points: FloatArray
    turn: bool
    line: LineString = field(init=False)
    swept: BaseGeometry = field(init=False)
    bounds: tuple[float, float, float, float] = field(init=False)
    changed: int = 0  # the pass in which it was last shortened

    def take(self, points: FloatArray, radius: float) -> None:
        self.points = points
        self.line = LineString(points)
        discs = discs_along(points, radius)
        self.swept = discs[0] if len(discs) == 1 else shapely.union_all(discs)
        self.bounds = self.swept.bounds


class Path:
    """A path over an area, to be mended and then shortened. `radius_m` is half the swath width."""

    def __init__(self, area: BaseGeometry, allowed: BaseGeometry, radius_m: float, stretches: list[Points]) -> None:
        """Stretches alternate: swath, move, swath, move, ..., swath; each begins where the one before ends."""
        self.area, self.allowed, self.radius = area, allowed, CAREFUL * radius_m
        self.room = allowed.buffer(_ROUNDING_M + 1e-6 * radius_m, join_style="mitre", mitre_limit=2.0)
        shapely.prepare(self.room)
        self.passes = 0
        self.pieces: list[Piece] = []
        self._cut(stretches)

    def _cut(self, stretches: list[Points]) -> None:
        knee = 3.0 * self.radius
        turn: Points = [stretches[0][0]]
        for number in range(0, len(stretches), 2):
            (ax, ay), (bx, by) = stretches[number][0], stretches[number][-1]
            length = math.hypot(bx - ax, by - ay)
            share = 0.5 if length <= 2.0 * knee else knee / length
            near = (ax + share * (bx - ax), ay + share * (by - ay))
            far = (bx - share * (bx - ax), by - share * (by - ay)) if share < 0.5 else near
            self._add([*turn, near], turn=True)
            if far != near:
                self._add([near, far], turn=False)
            turn = [far, (bx, by)]
            if number + 1 < len(stretches):
                turn += stretches[number + 1][1:]
        self._add(turn, turn=True)

    def _add(self, points: Points, *, turn: bool) -> None:
        kept = [points[0]]
        kept += [p for i, p in enumerate(points[1:], 1) if p != kept[-1] or i == len(points) - 1]
        self.pieces.append(self._piece(np.asarray(kept, dtype=np.float64), turn=turn))

    def _piece(self, points: FloatArray, *, turn: bool) -> Piece:
        piece = Piece(points, turn)
        piece.take(points, self.radius)
        return piece

    def corners(self) -> FloatArray:
        """The path's corners, (n, 2), without those that lie straight on the way."""
        points = np.concatenate([p.points for p in self.pieces])
        out = [points[0]]
        for at, after in zip(points[1:], [*points[2:], None], strict=True):
            if np.hypot(*(at - out[-1])) < 1e-6 * self.radius and after is not None:
                continue
            if after is not None:
                a, b = at - out[-1], after - at
                size = float(np.hypot(*a) * np.hypot(*b))
                straight = abs(a[0] * b[1] - a[1] * b[0]) <= 1e-9 * size and a @ b >= 0.0
                if straight and size > 0.0:
                    continue
            out.append(at)
        return np.asarray(out)

    @property
    def length_m(self) -> float:
        return float(sum(np.hypot(*np.diff(p.points, axis=0).T).sum() for p in self.pieces))

    def unswept(self) -> BaseGeometry:
        """What of the area the path does not sweep."""
        left: BaseGeometry = self.area.difference(shapely.union_all([p.swept for p in self.pieces]))
        return left

    def holes(self) -> list[Polygon]:
        """The unswept places that are more than rounding."""
        return self._holes(self.unswept())

    def _holes(self, region: BaseGeometry) -> list[Polygon]:
        least = _NEGLIGIBLE * self.radius**2
        return [p for p in shapely.get_parts(region) if isinstance(p, Polygon) and p.area > least]

    def mend(self, stop: Callable[[], bool] = never_stop) -> bool:
        """Visit every unswept place that can be reached. False where stop() ended it before that."""
        work = self._holes(self.unswept())
        budget = 4 * len(work) + 200
        while work and budget > 0:
            budget -= 1
            if stop():
                return False
            hole = work.pop()
            left = self._holes(hole.difference(shapely.union_all([p.swept for p in self.near(hole)])))
            if not left:
                continue
            if len(left) > 1:
                work += left
                continue
            spot = self._spot(left[0])
            if spot is None:
                work += self._halves(left[0])
            else:
                self._visit(spot, left[0])
        return True

    def near(self, region: BaseGeometry) -> list[Piece]:
        """The pieces that may sweep some of a region."""
        west, south, east, north = region.bounds
        out = []
        for piece in self.pieces:
            w, s, e, n = piece.bounds
            if w <= east and e >= west and s <= north and n >= south:
                out.append(piece)
        # Slanting pieces have wide bounds: how far they run from the region says whether they sweep any of it.
        lines = np.asarray([p.line for p in out], dtype=object)
        close = shapely.dwithin(lines, region, self.radius * OUTER)
        return [piece for piece, is_close in zip(out, close, strict=True) if is_close]

    def _spot(self, hole: Polygon) -> BaseGeometry | None:
        """Where the disc's centre sweeps all of a hole at once, as far as a vehicle may go there."""
        corners = np.asarray(hole.convex_hull.exterior.coords)[:-1]
        west, south, east, north = hole.bounds
        if max(east - west, north - south) > 2.0 * self.radius:
            return None
        discs = shapely.buffer(shapely.points(corners), self.radius, quad_segs=ARC)
        region: BaseGeometry = self.allowed.intersection(shapely.intersection_all(discs))
        return None if region.is_empty else region

    def _halves(self, hole: Polygon) -> list[Polygon]:
        """A hole that one disc cannot sweep, in two; nothing once the pieces are smaller than a tenth of the disc."""
        west, south, east, north = hole.bounds
        if max(east - west, north - south) < 0.1 * self.radius:
            return []
        if east - west >= north - south:
            cut = shapely.box(west - 1.0, south - 1.0, (west + east) / 2.0, north + 1.0)
        else:
            cut = shapely.box(west - 1.0, south - 1.0, east + 1.0, (south + north) / 2.0)
        return self._holes(hole.intersection(cut)) + self._holes(hole.difference(cut))

    def _visit(self, spot: BaseGeometry, hole: Polygon) -> None:
        """Lead the path over a spot from the nearest piece that sees it."""
        lines = np.asarray([p.line for p in self.pieces], dtype=object)
        away = shapely.distance(lines, spot)
        for index in np.argsort(away, kind="stable")[:_TRIED]:
            on_path, there = nearest_points(lines[index], spot)
            if self._lead(int(index), np.asarray([on_path.x, on_path.y]), np.asarray([there.x, there.y]), hole):
                return
        for index in np.argsort(away, kind="stable")[:_TRIED]:
            on_path, there = nearest_points(lines[index], spot)
            if self._lead_round(int(index), np.asarray([on_path.x, on_path.y]), np.asarray([there.x, there.y]), hole):
                return

    def _lead(self, index: int, foot: FloatArray, place: FloatArray, hole: Polygon) -> bool:
        if not self.inside(np.stack([foot, place])):
            return False
        piece = self.pieces[index]
        if not piece.turn:
            index, piece = self._split(index, foot)
        duty = [*self.duty(index), hole]
        samples = edge_samples(duty, SAMPLE * self.radius)
        best: tuple[float, FloatArray] | None = None
        legs = np.diff(piece.points, axis=0)
        away = squared_away(samples, piece.points[:-1], piece.points[1:])
        for k, leg in enumerate(legs):
            a = piece.points[k]
            t = float(np.clip(((foot - a) @ leg) / max(float(leg @ leg), 1e-30), 0.0, 1.0))
            q = a + t * leg
            missed = samples[~(np.delete(away, k, axis=0) <= (self.radius * OUTER) ** 2).any(axis=0)]
            for middle in (place[None], np.stack([q, place, q])):
                points = np.concatenate([piece.points[: k + 1], middle, piece.points[k + 1 :]])
                longer = path_length(points)
                if best is not None and longer >= best[0]:
                    continue
                changed = points[k : k + len(middle) + 2]
                # What does not even reach the samples, an exact overlay need not judge.
                reached = squared_away(missed, changed[:-1], changed[1:]).min(axis=0) <= (self.radius * OUTER) ** 2
                if not reached.all() or not self.inside(changed):
                    continue
                if not self.left(points, duty):
                    best = longer, points
        if best is None:
            return False
        piece.take(best[1], self.radius)
        return True

    def _lead_round(self, index: int, foot: FloatArray, place: FloatArray, hole: Polygon) -> bool:
        """The same where no straight way leads there: round the corners between, and back."""
        about = LineString([foot, place]).buffer(4.0 * self.radius + math.dist(foot, place))
        ways = shortest_paths(
            affinity.scale(_polygonal(self.allowed.intersection(about)), _FINE, _FINE, origin=(0.0, 0.0)),
            np.stack([foot, place]) * _FINE,
        )
        if not np.isfinite(ways.length_m).all():
            return False
        there = np.vstack([foot, np.asarray(ways.between(0, 1)).reshape(-1, 2) / _FINE, place])
        detour = np.vstack([there, there[-2::-1]])
        if not self.inside(detour):
            return False
        piece = self.pieces[index]
        if not piece.turn:
            index, piece = self._split(index, foot)
        k = int(squared_away(foot[None], piece.points[:-1], piece.points[1:])[:, 0].argmin()) + 1
        points = np.concatenate([piece.points[:k], detour, piece.points[k:]])
        if not self.inside(points) or self.left(points, [*self.duty(index), hole]):
            return False
        piece.take(points, self.radius)
        return True

    def _split(self, index: int, at: FloatArray) -> tuple[int, Piece]:
        """Make room for a visit from within a trunk: trunk, turn of no length, trunk."""
        trunk = self.pieces[index]
        parts = [
            self._piece(np.stack([trunk.points[0], at]), turn=False),
            self._piece(np.stack([at, at]), turn=True),
            self._piece(np.stack([at, trunk.points[-1]]), turn=False),
        ]
        self.pieces[index : index + 1] = parts
        return index + 1, parts[1]

    def inside(self, points: FloatArray) -> bool:
        return bool(shapely.covers(self.room, LineString(points)))

    def duty(self, index: int) -> list[Polygon]:
        """What of the area only this piece sweeps."""
        mine = self.pieces[index].swept
        duty = self.area.intersection(mine)
        for other in self.near(mine):
            if other is not self.pieces[index]:
                duty = duty.difference(other.swept)
                if duty.is_empty:
                    break
        return self._holes(duty)

    def left(self, points: FloatArray, duty: list[Polygon]) -> list[Polygon]:
        """What of a duty a turn through these points leaves unswept."""
        legs = discs_along(points, self.radius)
        out = []
        for part in duty:
            rest: BaseGeometry = part
            for leg in legs:
                rest = rest.difference(leg)
                if rest.is_empty:
                    break
            out += self._holes(rest)
        return out


def stretches(runs: list[tuple[Points, bool]], long_m: float) -> list[Points]:
    """Runs of points (each begins where the one before ends; whether it is a pass) as Path takes them.

    The legs of a pass that bends are stretches of their own when they are long; short ones belong to the turns.
    """
    out: list[Points] = []
    turn: Points = [runs[0][0][0]]
    for points, is_pass in runs:
        if not is_pass:
            turn += points[1:]
            continue
        for a, b in pairwise(points):
            if len(points) > 2 and math.dist(a, b) < long_m and len(turn) <= _BENDS:
                turn.append(b)
                continue
            if out or len(turn) > 1:
                out += [turn] if out else [[turn[0], turn[0]], turn]
            out.append([a, b])
            turn = [b]
    return out if len(turn) == 1 else [*out, *([] if out else [[turn[0], turn[0]]]), turn, [turn[-1], turn[-1]]]


def _polygonal(shape: BaseGeometry) -> MultiPolygon:
    return MultiPolygon([p for p in shapely.get_parts(shape) if isinstance(p, Polygon)])

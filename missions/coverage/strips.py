# SPDX-License-Identifier: AGPL-3.0-or-later
"""An area to swaths: parallel lines at one direction whose strips together hold the whole area.

A layout is a direction, a spacing and a first line. Swaths of neighbouring strips that follow each other one to one
form a cell (boustrophedon decomposition, Choset and Pignon 1998): a place where a lawn-mower pattern needs no jump.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import affinity
from shapely.geometry import LineString, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from missions.geo import FloatArray

Area = Polygon | MultiPolygon
_EPS = 1e-9
_ASIDE = (0.0, -0.25, 0.25, -0.45, 0.45)  # of the spacing


@dataclass(frozen=True, slots=True)
class Layout:
    """Lines along `direction_deg` (counter-clockwise from east), the lowest at `first_m`, `spacing_m` apart.

    `first_m` is measured across the lines from the frame's origin, to the left of the direction.
    """

    direction_deg: float
    first_m: float
    spacing_m: float
    count: int


@dataclass(frozen=True, slots=True)
class Swath:
    """A pass from start to end (east, north metres), straight or over `via_m`; `strip` numbers its strip or ring."""

    strip: int
    start_m: tuple[float, float]
    end_m: tuple[float, float]
    via_m: tuple[tuple[float, float], ...] = ()

    @property
    def points_m(self) -> list[tuple[float, float]]:
        return [self.start_m, *self.via_m, self.end_m]

    @property
    def length_m(self) -> float:
        return sum(map(math.dist, self.points_m[:-1], self.points_m[1:]))


def layouts(area: Area, width_m: float, direction_deg: float) -> list[Layout]:
    """Fewest lines that hold the area at one direction: spread evenly, and packed from either side."""
    turned = affinity.rotate(area, -direction_deg, origin=(0.0, 0.0))
    _, low, _, high = turned.bounds
    across = high - low
    count = max(1, math.ceil(across / width_m - _EPS))
    even = Layout(direction_deg, low + across / count / 2.0, across / count, count)
    if count * width_m - across < 0.02 * width_m:
        return [even]
    half = width_m / 2.0
    from_high = high - half - (count - 1) * width_m
    return [even, Layout(direction_deg, low + half, width_m, count), Layout(direction_deg, from_high, width_m, count)]


def intervals(area: Area, layout: Layout, join_m: float) -> list[tuple[int, float, float]]:
    """(strip, from, to) along each line: what a pass must span so that its strip is swept. Gaps below join_m close."""
    turned = _turned(area, layout.direction_deg)
    west, _, east, _ = turned.bounds
    middles = layout.first_m + layout.spacing_m * np.arange(layout.count)
    half = layout.spacing_m / 2.0
    pieces = shapely.intersection(turned, shapely.box(west - 1.0, middles - half, east + 1.0, middles + half))
    parts, strip = shapely.get_parts(pieces, return_index=True)
    flat = shapely.area(parts) > 0.0
    bounds, strip = shapely.bounds(parts[flat]), strip[flat]
    found: list[tuple[int, float, float]] = []
    for number in range(layout.count):
        mine = bounds[strip == number]
        for left, _, right, _ in mine[np.argsort(mine[:, 0])]:
            if found and found[-1][0] == number and left <= found[-1][2] + join_m:
                found[-1] = (number, found[-1][1], max(found[-1][2], float(right)))
            else:
                found.append((number, float(left), float(right)))
    return found


def _turned(area: Area, direction_deg: float) -> BaseGeometry:
    """The area turned until its lines lie east, and still valid.

    Where two corners are a rounding error apart, turning may cross the edges there. Cut by a rectangle, such a ring
    comes out as what lies outside it.
    """
    turned: BaseGeometry = affinity.rotate(area, -direction_deg, origin=(0.0, 0.0))
    if not turned.is_valid:
        turned = shapely.make_valid(shapely.remove_repeated_points(turned, _EPS))
    return turned


def estimate_m(spans: list[tuple[int, float, float]], layout: Layout) -> float:
    """Roughly how long a path over these swaths is: passes, one step aside each, and a jump for every extra piece."""
    passes = sum(right - left for _, left, right in spans)
    extra = len(spans) - layout.count
    return passes + layout.spacing_m * len(spans) + 2.0 * layout.spacing_m * max(0, extra)


def swaths(spans: list[tuple[int, float, float]], layout: Layout, allowed: BaseGeometry) -> list[Swath]:
    """Spans as lines in the plane, cut to where a vehicle may be; pieces keep their strip."""
    angle = math.radians(layout.direction_deg)
    c, s = math.cos(angle), math.sin(angle)

    def place(x: float, y: float) -> tuple[float, float]:
        return c * x - s * y, s * x + c * y

    out: list[Swath] = []
    for strip, left, right in spans:
        y = layout.first_m + layout.spacing_m * strip
        slack = 1e-6 if right - left < 1e-6 else 0.0
        best = LineString()
        # Where the middle of a strip lies outside, a line beside it may still run inside and see most of the strip.
        for aside in _ASIDE:
            x = y + aside * layout.spacing_m
            line = LineString([place(left - slack, x), place(right + slack, x)]).intersection(allowed)
            if line.length > best.length + 0.25 * layout.spacing_m:
                best = line
            if best.length > 0.5 * (right - left):
                break
        for part in shapely.get_parts(best):
            if part.geom_type == "LineString" and part.length > 0.0:
                (a, b) = (part.coords[0], part.coords[-1])
                if (b[0] - a[0]) * c + (b[1] - a[1]) * s < 0.0:
                    a, b = b, a
                out.append(Swath(strip, (a[0], a[1]), (b[0], b[1])))
    return out


def cells(lines: list[Swath], layout: Layout) -> list[list[int]]:
    """Indices of swaths by cell: neighbours in adjacent strips that overlap each other and nothing else there."""
    angle = math.radians(layout.direction_deg)
    axis = np.array([math.cos(angle), math.sin(angle)])
    low: FloatArray = np.array([line.start_m for line in lines]) @ axis
    high: FloatArray = np.array([line.end_m for line in lines]) @ axis
    strip = np.array([line.strip for line in lines])
    touch = (np.abs(strip[:, None] - strip) == 1) & (low[:, None] <= high) & (low <= high[:, None])
    above = [np.flatnonzero(touch[i] & (strip == strip[i] + 1)) for i in range(len(lines))]
    below = [np.flatnonzero(touch[i] & (strip == strip[i] - 1)) for i in range(len(lines))]
    follows: dict[int, int] = {}
    for i, up in enumerate(above):
        if len(up) == 1 and len(below[int(up[0])]) == 1:
            follows[i] = int(up[0])
    starts = sorted(set(range(len(lines))) - set(follows.values()))
    out = []
    for start in starts:
        cell = [start]
        while cell[-1] in follows:
            cell.append(follows[cell[-1]])
        out.append(cell)
    return out

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The search patterns that pilots know, as polylines in metres around a datum (IAMSAR names).

Each pattern is one long way; `portfolio` shares it out among the vehicles and cuts it to what they may fly. Pizza, the
baseline, is the exception: it gives every vehicle a sector of its own.
"""

from __future__ import annotations

import math

import numpy as np
import shapely
from shapely.geometry import LineString

from missions.geo import FloatArray

_ARC_STEP = math.radians(12.0)


def expanding_square(spacing_m: float, length_m: float, axis_deg: float = 0.0) -> FloatArray:
    """SS: legs of one, one, two, two, three, three ... spacings, turning right, until the length is used."""
    points = [(0.0, 0.0)]
    direction, used, leg = 0, 0.0, 1
    while used < length_m:
        for _ in range(2):
            x, y = points[-1]
            step = min(leg * spacing_m, max(length_m - used, 0.0))
            dx, dy = ((0, 1), (1, 0), (0, -1), (-1, 0))[direction % 4]
            points.append((x + dx * step, y + dy * step))
            used, direction = used + step, direction + 1
        leg += 1
    return turned(np.asarray(points), axis_deg)


def sector(radius_m: float, length_m: float, spacing_m: float, axis_deg: float = 0.0) -> FloatArray:
    """VS: legs through the datum out to a radius, joined by chords, turned on until the length is used.

    Chords are one spacing long at the rim, as far as that makes at least three sectors.
    """
    # An odd number of lines: only then both ends of the first one are reached before it is flown again.
    lines = max(3, 2 * (math.floor(math.pi * radius_m / spacing_m) // 2) + 1)
    step = math.pi / lines
    points, used = [(0.0, 0.0)], 0.0
    for number in range(lines):
        bearing = number * (step + math.pi)  # straight on through the datum
        points += [(radius_m * math.sin(a), radius_m * math.cos(a)) for a in (bearing, bearing + step)]
        points.append((0.0, 0.0))
        used += 2.0 * radius_m + 2.0 * radius_m * math.sin(step / 2.0)
        if used >= length_m:
            break
    return turned(np.asarray(points), axis_deg)


def parallel_sweep(width_m: float, depth_m: float, spacing_m: float, axis_deg: float = 0.0) -> FloatArray:
    """PS (legs along the longer side) or CS (along the shorter): legs of width_m, one spacing apart, over depth_m."""
    legs = max(1, round(depth_m / spacing_m))
    points = []
    for number in range(legs):
        y = (number - (legs - 1) / 2.0) * spacing_m
        ends = [(-width_m / 2.0, y), (width_m / 2.0, y)]
        points += ends if number % 2 == 0 else ends[::-1]
    return turned(np.asarray(points), axis_deg)


def rings(spacing_m: float, length_m: float) -> FloatArray:
    """Concentric circles one spacing apart from the datum outward, joined radially."""
    points, used, number = [(0.0, 0.0)], 0.0, 1
    while used < length_m:
        radius = number * spacing_m
        count = max(8, math.ceil(2.0 * math.pi / _ARC_STEP))
        points += [(radius * math.sin(a), radius * math.cos(a)) for a in np.linspace(0.0, 2.0 * math.pi, count)]
        used += spacing_m + 2.0 * math.pi * radius
        number += 1
    return np.asarray(points)


def pizza(vehicle: int, vehicles: int, spacing_m: float, length_m: float) -> FloatArray:
    """Arcs of one sector of 2 pi / n, outward from the datum, one swath apart, in turns left and right."""
    low, high = 2.0 * math.pi * vehicle / vehicles, 2.0 * math.pi * (vehicle + 1) / vehicles
    points, used, number = [(0.0, 0.0)], 0.0, 1
    while used < length_m:
        radius = number * spacing_m
        angles = np.linspace(low, high, max(3, math.ceil((high - low) / math.radians(4.0)) + 1))
        if number % 2 == 0:
            angles = angles[::-1]
        points += [(radius * math.sin(a), radius * math.cos(a)) for a in angles]
        used += spacing_m + radius * (high - low)
        number += 1
    return np.asarray(points)


def contours(
    heights_m: FloatArray, west_m: float, south_m: float, cell_m: float, spacing_m: float, shortest_m: float
) -> list[FloatArray]:
    """Lines of equal height, as far apart as one spacing is on the mean slope, from the highest down.

    heights_m: (rows, columns) at points cell_m apart, row 0 in the south; west_m, south_m: the place of the first.
    Lines shorter than shortest_m are left out. Flat ground has none.
    """
    slopes = np.hypot(*np.gradient(heights_m, cell_m))
    step = float(slopes.mean()) * spacing_m
    low, high = float(heights_m.min()), float(heights_m.max())
    if step < 1.0 or high - low < step:
        return []
    lines: list[FloatArray] = []
    for level in np.arange(high - step / 2.0, low, -step):
        level_lines = shapely.get_parts(shapely.line_merge(shapely.multilinestrings(_level(heights_m, float(level)))))
        for line in level_lines:
            smooth = LineString(np.asarray(line.coords) * cell_m + (west_m, south_m)).simplify(0.15 * spacing_m)
            if smooth.length >= shortest_m:
                lines.append(np.asarray(smooth.coords))
    return lines


def _level(heights: FloatArray, level: float) -> FloatArray:
    """Marching squares by triangles: segments (k, 2, 2) in grid units (column, row) where the height is a level.

    Every square is cut into two triangles, so that no case is ambiguous (Doi and Koide 1991, in two dimensions).
    """
    rows, columns = heights.shape
    y, x = np.mgrid[: rows - 1, : columns - 1]
    a, b, c, d = ((x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1))
    segments = []
    for triangle in ((a, b, c), (a, c, d)):
        corner = [np.stack([px.ravel(), py.ravel()], axis=1).astype(np.float64) for px, py in triangle]
        value = [heights[py.ravel(), px.ravel()] - level for px, py in triangle]
        above = [v > 0.0 for v in value]
        for alone in range(3):
            one, two = (alone + 1) % 3, (alone + 2) % 3
            hit = (above[alone] != above[one]) & (above[alone] != above[two])
            ends = []
            for other in (one, two):
                # The lower end first, so that both triangles of an edge compute the same point to the last bit.
                t = value[alone][hit] / (value[alone][hit] - value[other][hit])
                ends.append(np.round(corner[alone][hit] + t[:, None] * (corner[other][hit] - corner[alone][hit]), 9))
            segments.append(np.stack(ends, axis=1))
    found = np.concatenate(segments)
    return np.asarray(found[np.abs(found[:, 0] - found[:, 1]).max(axis=1) > 1e-9], dtype=np.float64)


def turned(points_m: FloatArray, axis_deg: float) -> FloatArray:
    """Turn points (n, 2) clockwise around the origin."""
    angle = math.radians(axis_deg)
    c, s = math.cos(angle), math.sin(angle)
    return np.asarray(points_m @ np.array([[c, -s], [s, c]]), dtype=np.float64)

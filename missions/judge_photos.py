# SPDX-License-Identifier: AGPL-3.0-or-later
"""The independent judge of photo grids: it shares no code with the planners or their geometry.

Flights are followed leg by leg as an autopilot flies them: where a trigger distance is in force a picture is taken at
once and then each time that distance has been flown. The area is cut into cells on the ground; a cell is in a picture
when a pinhole projects its middle, at its height, into the frame. What lies behind a hill or a house is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_NADIR_DEG = -80.0
_MAX_CELLS = 4_000_000
_FARTHEST = 6.0  # of the height: nobody looks for detail beyond


@dataclass(frozen=True, slots=True)
class FlownPath:
    """Corners of shape (n, 3): east, north, height above sea in metres, and what the camera is told there.

    trigger_m: (n,) set on reaching the corner, NaN to leave as it is, 0 to stop. pitch_deg: (n,) set before flying to
    the corner, NaN to leave as it is.
    """

    corners_m: _Floats
    trigger_m: _Floats
    pitch_deg: _Floats


@dataclass(frozen=True, slots=True)
class PhotoVerdict:
    """cells: of the area. nadir_*: pictures from above that hold a cell. looks: of the four sides that obliques show.

    gsd_worst_m: the finest picture of the cell that is worst off; infinite when one is in no picture.
    """

    photos: int
    cells: int
    enough: int
    nadir_least: int
    nadir_median: float
    seen_from_all_sides: int
    looks_median: float
    gsd_worst_m: float
    first_short_m: tuple[float, float] | None

    @property
    def fraction(self) -> float:
        """Share of the cells that are in enough pictures."""
        return self.enough / self.cells if self.cells else 1.0

    @property
    def sides_fraction(self) -> float:
        """Share of the cells that obliques show from all four sides."""
        return self.seen_from_all_sides / self.cells if self.cells else 1.0


def photos_of(path: FlownPath) -> _Floats:
    """Pictures of a flight, (m, 5): east, north, height above sea, heading and pitch in degrees."""
    out: list[tuple[float, float, float, float, float]] = []
    trigger = 0.0
    pitch = -90.0
    since = 0.0
    for number in range(len(path.corners_m) - 1):
        for corner in (number, number + 1):
            if not np.isnan(path.pitch_deg[corner]):
                pitch = float(path.pitch_deg[corner])
        start, end = path.corners_m[number], path.corners_m[number + 1]
        told = float(path.trigger_m[number])
        size = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        heading = float(np.degrees(np.arctan2(end[0] - start[0], end[1] - start[1])))
        if not np.isnan(told):
            trigger = told
            since = trigger  # the first picture at once
        if trigger > 0.0:
            at = trigger - since
            while at <= size:
                share = at / size if size > 0.0 else 0.0
                place = start + share * (end - start)
                out.append((float(place[0]), float(place[1]), float(place[2]), heading, pitch))
                if size == 0.0:
                    break
                at += trigger
            since = size - (at - trigger)
    return np.asarray(out, dtype=np.float64).reshape(-1, 5)


def judge_photos(
    photos: _Floats,
    rings: Sequence[_Floats],
    ground: Callable[[_Floats, _Floats], _Floats],
    half_width: float,
    half_height: float,
    focal_px: float,
    *,
    needed: int,
    cell_m: float,
) -> PhotoVerdict:
    """Judge pictures of shape (m, 5), as `photos_of` gives them.

    rings: (k, 2), outer rings and holes; inside is what an odd number of them encloses. ground: heights above sea at
    east and north. half_width and half_height: half the frame over the focal length. Raises ValueError for too many
    cells.
    """
    x, y = _cells(rings, cell_m)
    z = ground(x, y)
    nadir = np.zeros(len(x), dtype=np.int64)
    sides = np.zeros(len(x), dtype=np.int64)
    best = np.full(len(x), np.inf)
    lowest = float(z.min()) if len(z) else 0.0
    # Four sides of the grid, whatever way it lies: quarters around the heading of the first oblique picture.
    oblique = photos[photos[:, 4] > _NADIR_DEG]
    ahead = float(oblique[0, 3]) if len(oblique) else 0.0
    for east, north, height, heading, pitch in photos:
        psi, theta = np.radians(heading), np.radians(pitch)
        axis = np.array([np.sin(psi) * np.cos(theta), np.cos(psi) * np.cos(theta), np.sin(theta)])
        right = np.array([np.cos(psi), -np.sin(psi), 0.0])
        down = np.array(
            [
                axis[1] * right[2] - axis[2] * right[1],
                axis[2] * right[0] - axis[0] * right[2],
                axis[0] * right[1] - axis[1] * right[0],
            ]
        )
        west, south, far_east, far_north = _reach(axis, half_width * right, half_height * down, height - lowest)
        # Ground above the lowest is met nearer to the camera: always inside the box around it and the corners.
        near = np.flatnonzero(
            (x >= east + west) & (x <= east + far_east) & (y >= north + south) & (y <= north + far_north)
        )
        ray = np.stack([x[near] - east, y[near] - north, z[near] - height], axis=1)
        depth = ray @ axis
        seen = (depth > 0.0) & (np.abs(ray @ right) <= half_width * depth) & (np.abs(ray @ down) <= half_height * depth)
        hit = near[seen]
        best[hit] = np.minimum(best[hit], depth[seen] / focal_px)
        if pitch <= _NADIR_DEG:
            nadir[hit] += 1
        else:
            sides[hit] |= 1 << int(((heading - ahead + 45.0) % 360.0) // 90.0) % 4
    looks = sum((sides >> bit) & 1 for bit in range(4))
    short = np.flatnonzero(nadir < needed)
    return PhotoVerdict(
        photos=len(photos),
        cells=len(x),
        enough=len(x) - len(short),
        nadir_least=int(nadir.min()) if len(x) else 0,
        nadir_median=float(np.median(nadir)) if len(x) else 0.0,
        seen_from_all_sides=int(np.sum(looks == 4)),
        looks_median=float(np.median(looks)) if len(x) else 0.0,
        gsd_worst_m=float(best.max()) if len(x) else 0.0,
        first_short_m=None if len(short) == 0 else (float(x[short[0]]), float(y[short[0]])),
    )


def _reach(axis: _Floats, right: _Floats, down: _Floats, drop_m: float) -> tuple[float, float, float, float]:
    """West, south, east and north ends of what the frame can show, from the camera, over the lowest ground."""
    places = [np.zeros(2)]
    for across in (-1.0, 1.0):
        for along in (-1.0, 1.0):
            ray = axis + across * right + along * down
            flat = float(np.hypot(ray[0], ray[1]))
            steep = max(-float(ray[2]), flat / _FARTHEST, 1e-9)
            places.append(ray[:2] * max(0.0, drop_m) / steep)
    low, high = np.min(places, axis=0), np.max(places, axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _cells(rings: Sequence[_Floats], cell_m: float) -> tuple[_Floats, _Floats]:
    """Middles of the cells inside, by crossings of a ray to the east."""
    corners = np.concatenate(rings)
    low, high = corners.min(axis=0), corners.max(axis=0)
    columns, rows = (int(v) + 1 for v in np.ceil((high - low) / cell_m))
    if columns * rows > _MAX_CELLS:
        raise ValueError(f"{columns} x {rows} cells are too many to judge")
    x, y = np.meshgrid(low[0] + (np.arange(columns) + 0.5) * cell_m, low[1] + (np.arange(rows) + 0.5) * cell_m)
    inside = np.zeros(x.shape, dtype=bool)
    for ring in rings:
        for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if y1 != y2:
                spans = (y1 > y) != (y2 > y)
                inside ^= spans & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return x[inside], y[inside]

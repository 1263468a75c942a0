# SPDX-License-Identifier: AGPL-3.0-or-later
"""What ground thermal cameras were over, and how much of a probability map that is. Shares no code with any planner."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

import numpy as np
import shapely
from shapely.geometry import LineString, MultiPolygon
from shapely.geometry.base import BaseGeometry

from dronectl.site import Site
from missions.geo import GeoPoint, LocalFrame
from missions.model import Modality
from missions.search.probability import ProbabilityMap
from missions.terrain import OutsideTerrainError, height_at

SECTORS: Final = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
_SAMPLES: Final = 3


def ground_looked_at(
    site: Site, frame: LocalFrame, tracks: Mapping[str, Iterable[tuple[float, float, float]]]
) -> BaseGeometry:
    """Union of the strips under the drones' thermal cameras, metres of `frame`.

    tracks: drone id -> (latitude_deg, longitude_deg, amsl_m) in order. A strip is as wide as the picture at the height
    above the map's ground, and reaches from fix to fix; what was lower than half the least flight height is left out.
    """
    strips = []
    for drone in site.drones:
        thermal = [c for c, _, _ in drone.cameras if c.modality is Modality.THERMAL]
        for a, b in pairwise(tracks.get(drone.drone_id, ())) if thermal else ():
            try:
                height = a[2] - height_at(site.terrain, GeoPoint(a[0], a[1]))
            except OutsideTerrainError:
                continue
            half_m = max(0.0, height) * thermal[0].width_px / (2 * thermal[0].fx_px)
            line = LineString([frame.to_enu(GeoPoint(a[0], a[1])), frame.to_enu(GeoPoint(b[0], b[1]))])
            if height > site.limits.min_height_above_ground_m / 2 and line.length > 0:
                strips.append(line.buffer(half_m, cap_style="flat"))
    return shapely.union_all(strips) if strips else MultiPolygon()


def _samples(chart: ProbabilityMap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places within the cells that hold anything, and the probability that each stands for."""
    rows, columns = np.nonzero(chart.p > 0.0)
    offsets = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    dx, dy = (grid.ravel() for grid in np.meshgrid(offsets, offsets))
    east = chart.west_m + (columns[:, None] + dx) * chart.cell_m
    north = chart.south_m + (rows[:, None] + dy) * chart.cell_m
    weight = np.repeat(chart.p[rows, columns] / _SAMPLES**2, _SAMPLES**2)
    return east.ravel(), north.ravel(), weight


def probability_in(chart: ProbabilityMap, ground: BaseGeometry) -> float:
    """Share of a map's probability that lies on a piece of ground, metres of the map's frame."""
    east, north, weight = _samples(chart)
    shapely.prepare(ground)
    return float(weight[shapely.contains_xy(ground, east, north)].sum())


def probability_by_sector(
    chart: ProbabilityMap, within: BaseGeometry, centre_m: tuple[float, float]
) -> dict[str, float]:
    """What lies on a piece of ground, by compass sector around a centre, the most first. Metres of the map's frame."""
    east, north, weight = _samples(chart)
    shapely.prepare(within)
    on = shapely.contains_xy(within, east, north)
    bearing = np.degrees(np.arctan2(east[on] - centre_m[0], north[on] - centre_m[1])) % 360.0
    sector = np.floor((bearing + 22.5) / 45.0).astype(np.int64) % len(SECTORS)
    totals = [math.fsum(weight[on][sector == k].tolist()) for k in range(len(SECTORS))]
    return dict(sorted(zip(SECTORS, totals, strict=True), key=lambda item: -item[1]))

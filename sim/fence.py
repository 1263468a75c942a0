# SPDX-License-Identifier: AGPL-3.0-or-later
"""The fence as the autopilot holds it: built from uploaded items, asked for every position estimate. Pure.

As PX4 does (geofence.cpp, main): inside every inclusion area and outside every exclusion area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim.mavlink_messages import Cmd, MissionItem
from sim.vehicle import degree_lengths_m


@dataclass(frozen=True, slots=True)
class _Polygon:
    inclusion: bool
    corners: tuple[tuple[float, float], ...]  # latitude, longitude in degrees

    def contains(self, latitude_deg: float, longitude_deg: float) -> bool:
        """Crossing number (W. R. Franklin's PNPOLY), in degrees."""
        inside = False
        before_lat, before_lon = self.corners[-1]
        for lat, lon in self.corners:
            if (lon > longitude_deg) != (before_lon > longitude_deg):
                crossing = (before_lat - lat) * (longitude_deg - lon) / (before_lon - lon) + lat
                inside ^= latitude_deg < crossing
            before_lat, before_lon = lat, lon
        return inside


@dataclass(frozen=True, slots=True)
class _Circle:
    inclusion: bool
    latitude_deg: float
    longitude_deg: float
    radius_m: float

    def contains(self, latitude_deg: float, longitude_deg: float) -> bool:
        per_lat, per_lon = degree_lengths_m(self.latitude_deg)
        north = (latitude_deg - self.latitude_deg) * per_lat
        east = (longitude_deg - self.longitude_deg) * per_lon
        return math.hypot(north, east) <= self.radius_m


class Fence:
    """All areas of one upload."""

    __slots__ = ("_areas",)

    def __init__(self, items: tuple[MissionItem, ...] = ()) -> None:
        """Items as they passed `sim.mission.check_fence`."""
        areas: list[_Polygon | _Circle] = []
        at = 0
        while at < len(items):
            item = items[at]
            if item.command in (Cmd.FENCE_POLYGON_INCLUSION, Cmd.FENCE_POLYGON_EXCLUSION):
                ring = items[at : at + int(item.param1)]
                corners = tuple((point.x / 1e7, point.y / 1e7) for point in ring)
                areas.append(_Polygon(item.command == Cmd.FENCE_POLYGON_INCLUSION, corners))
                at += len(ring)
                continue
            if item.command in (Cmd.FENCE_CIRCLE_INCLUSION, Cmd.FENCE_CIRCLE_EXCLUSION):
                inclusion = item.command == Cmd.FENCE_CIRCLE_INCLUSION
                areas.append(_Circle(inclusion, item.x / 1e7, item.y / 1e7, item.param1))
            at += 1
        self._areas = tuple(areas)

    def __bool__(self) -> bool:
        return bool(self._areas)

    def allows(self, latitude_deg: float, longitude_deg: float) -> bool:
        """Whether a place is inside the fence."""
        return all(area.contains(latitude_deg, longitude_deg) == area.inclusion for area in self._areas)

# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is wrong with a ring: sides that cross or touch each other, corners twice, no area. Rings are open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import shapely
from shapely.geometry import Polygon

from missions.geo import GeoPoint, LocalFrame


@dataclass(frozen=True, slots=True)
class RingFault:
    """Why a ring bounds nothing. `message` continues "the ring ..."; `position` is where."""

    message: str
    position: GeoPoint


def ring_fault(ring: Sequence[GeoPoint]) -> RingFault | None:
    """Return what is wrong with a ring, or None for one that bounds an area. Sides count from 1, from the first corner."""
    frame = LocalFrame(ring[0])
    corners = frame.to_enu_array([p.latitude_deg for p in ring], [p.longitude_deg for p in ring])
    if len(ring) >= 3 and Polygon(corners).is_valid:
        return None
    sides = np.asarray(shapely.linestrings(np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)))
    count = len(sides)
    first, second = shapely.STRtree(sides).query(sides, predicate="intersects")
    for a, b in sorted(zip(first.tolist(), second.tolist(), strict=True)):
        if b - a < 2 or (a == 0 and b == count - 1):
            continue  # itself, or a neighbour
        meet = shapely.intersection(sides[a], sides[b]).representative_point()
        if meet.is_empty:  # of sides too short for their meeting to have a place
            continue
        where = frame.to_geo(meet.x, meet.y)
        message = (
            f"crosses itself: sides {a + 1} and {b + 1} meet near {where.latitude_deg:.6f}, {where.longitude_deg:.6f}"
        )
        return RingFault(message, where)
    return RingFault("has no area", ring[0])


def closed_ring(corners: Sequence[GeoPoint], fail: Callable[[str], NoReturn]) -> tuple[GeoPoint, ...]:
    """The open ring of a closed one. Calls `fail` with the reason for one that is not closed or bounds nothing."""
    if len(corners) < 4:
        fail("a ring needs at least 4 positions, the last one equal to the first")
    if corners[0] != corners[-1]:
        a, b = corners[0], corners[-1]
        fail(
            f"the ring is not closed: it begins at {a.latitude_deg:.6f}, {a.longitude_deg:.6f} and ends at "
            f"{b.latitude_deg:.6f}, {b.longitude_deg:.6f}; repeat the first position at its end"
        )
    fault = ring_fault(corners[:-1])
    if fault is not None:
        fail(f"the ring {fault.message}; redraw it")
    return tuple(corners[:-1])

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flights as 4-D volumes: where a vehicle may be during which seconds, in the terms of ASTM F3548-21.

A flight is cut into windows of time. Each window's volume is the convex outline of the way flown in it, its least and
greatest height, and its times, all widened by buffers. F3548 wants heights above the WGS 84 ellipsoid; ours are above
mean sea level. With the geoid's height at the place they are converted, else they are given, and named, as AMSL.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import shapely
from shapely.geometry import MultiPoint

from missions.deconflict.trajectory import Trajectory
from missions.geo import GeoPoint, LocalFrame

_CORNERS = 8  # of the ring around a single place


class HeightReference(StrEnum):
    """What a volume's heights are measured from."""

    W84 = "W84"
    AMSL = "AMSL"


@dataclass(frozen=True, slots=True)
class VolumeRules:
    """How volumes are cut and widened. geoid_m: height of the geoid above the ellipsoid; None where not known."""

    window_s: float = 30.0
    lateral_m: float = 10.0
    vertical_m: float = 5.0
    time_s: float = 5.0
    geoid_m: float | None = None

    @property
    def reference(self) -> HeightReference:
        return HeightReference.AMSL if self.geoid_m is None else HeightReference.W84


@dataclass(frozen=True, slots=True)
class Volume4D:
    """A convex ring (open, counter-clockwise), heights in metres in `reference`, seconds after the common zero."""

    ring: tuple[GeoPoint, ...]
    lower_m: float
    upper_m: float
    reference: HeightReference
    start_s: float
    end_s: float


def volumes(trajectory: Trajectory, start_s: float, frame: LocalFrame, rules: VolumeRules) -> tuple[Volume4D, ...]:
    """The volumes of a flight that starts at start_s; at every second it is inside one that holds then."""
    shift = 0.0 if rules.geoid_m is None else rules.geoid_m
    # A ring of n corners must hold the circle that the buffer means.
    reach = rules.lateral_m / math.cos(math.pi / _CORNERS)
    turns = 2.0 * math.pi * np.arange(_CORNERS) / _CORNERS
    around = reach * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    out = []
    count = max(1, math.ceil(trajectory.duration_s / rules.window_s - 1e-9))
    for number in range(count):
        begin, end = number * rules.window_s, min((number + 1) * rules.window_s, trajectory.duration_s)
        inner = trajectory.place_m[(trajectory.time_s > begin) & (trajectory.time_s < end)]
        places = np.vstack([trajectory.at(begin), inner, trajectory.at(end)])
        outline = MultiPoint((places[:, None, :2] + around).reshape(-1, 2)).convex_hull.normalize()
        corners = shapely.get_coordinates(outline.exterior.reverse())[:-1]
        ring = tuple(frame.to_geo(float(east), float(north)) for east, north in corners)
        out.append(
            Volume4D(
                ring,
                float(places[:, 2].min()) - rules.vertical_m + shift,
                float(places[:, 2].max()) + rules.vertical_m + shift,
                rules.reference,
                start_s + begin - rules.time_s,
                start_s + end + rules.time_s,
            )
        )
    return tuple(out)

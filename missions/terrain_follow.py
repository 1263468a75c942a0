# SPDX-License-Identifier: AGPL-3.0-or-later
"""Heights along a path: few waypoints whose straight legs stay inside a band above the ground.

A path with fixed corners comes in; the same path with heights, and with as few corners added as the band asks for,
goes out. Legs to and on must-patrol items keep a narrow band, so that the picture scale stays; the rest may use all
of what the limits allow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from missions.errors import PlanningError
from missions.geo import FloatArray, LocalFrame
from missions.model import VehicleLimits
from missions.terrain import Terrain

ERROR_SIGMAS = 2.0
_SLACK_M = 1.0  # the checker samples elsewhere on the leg


@dataclass(frozen=True, slots=True)
class HeightBand:
    """What is wanted and allowed, in metres above ground; `top_amsl_m` is the fence's top."""

    wanted_m: float
    tolerance_m: float
    lowest_m: float
    highest_m: float
    top_amsl_m: float


def allowed_heights_m(limits: VehicleLimits, terrain: Terrain) -> tuple[float, float]:
    """The least and the greatest height above ground that may be asked for: the limits, less the terrain's error."""
    error = ERROR_SIGMAS * terrain.vertical_error_m + _SLACK_M
    return limits.min_height_above_ground_m + error, limits.max_height_above_ground_m - error


def height_band(
    wanted_m: float, tolerance_m: float, limits: VehicleLimits, terrain: Terrain, top_amsl_m: float
) -> HeightBand:
    """Return the band that limits and terrain error leave. PlanningError when nothing is left of it."""
    lowest, highest = allowed_heights_m(limits, terrain)
    if lowest > highest:
        raise PlanningError(
            f"heights of {limits.min_height_above_ground_m:.0f} to {limits.max_height_above_ground_m:.0f} m above ground "
            f"leave no room for the terrain's error of {terrain.vertical_error_m:.0f} m; widen them or bring a better "
            "terrain"
        )
    if not lowest <= wanted_m <= highest:
        raise PlanningError(
            f"{wanted_m:.0f} m above ground is outside the {lowest:.0f} to {highest:.0f} m that the limits and the "
            "terrain's error allow; choose another patrol height"
        )
    return HeightBand(wanted_m, tolerance_m, lowest, highest, top_amsl_m)


@dataclass(frozen=True, slots=True)
class Corner:
    """A place on a path: (east, north) metres. `narrow`: the leg that leads here keeps the narrow band."""

    east_m: float
    north_m: float
    narrow: bool


@dataclass(frozen=True, slots=True)
class FollowedCorner:
    """A place with its height; `source` is the index of the corner that it is, None for an added one."""

    east_m: float
    north_m: float
    amsl_m: float
    source: int | None


def follow(corners: list[Corner], band: HeightBand, terrain: Terrain, frame: LocalFrame) -> list[FollowedCorner]:
    """Give heights to a path. Corners are added where a straight leg would leave the band, worst place first."""
    out = [_placed(corners[0], 0, band, terrain, frame)]
    for index in range(1, len(corners)):
        start, end = corners[index - 1], corners[index]
        step = min(terrain.resolution_m / 3.0, 10.0)
        count = max(2, int(np.ceil(np.hypot(end.east_m - start.east_m, end.north_m - start.north_m) / step)) + 1)
        t = np.linspace(0.0, 1.0, count)
        places = np.stack(
            [start.east_m + t * (end.east_m - start.east_m), start.north_m + t * (end.north_m - start.north_m)], axis=1
        )
        wanted, low, high = _profile(places, band, terrain, frame, narrow=end.narrow)
        wanted[0] = out[-1].amsl_m
        kept = _few(wanted, low, high)
        out += [FollowedCorner(float(places[i, 0]), float(places[i, 1]), float(wanted[i]), None) for i in kept[1:-1]]
        out.append(FollowedCorner(end.east_m, end.north_m, float(wanted[-1]), index))
    return out


def _placed(corner: Corner, index: int, band: HeightBand, terrain: Terrain, frame: LocalFrame) -> FollowedCorner:
    place = np.asarray([[corner.east_m, corner.north_m]])
    wanted, _, _ = _profile(place, band, terrain, frame, narrow=False)
    return FollowedCorner(corner.east_m, corner.north_m, float(wanted[0]), index)


def _profile(
    places: FloatArray, band: HeightBand, terrain: Terrain, frame: LocalFrame, *, narrow: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(wanted, lowest, highest) heights above mean sea level at places of shape (n, 2)."""
    geo = frame.to_geo_array(places)
    ground = terrain.height_amsl_m(geo[:, 0], geo[:, 1])
    low = ground + band.lowest_m
    high = np.minimum(ground + band.highest_m, band.top_amsl_m)
    if np.any(low > high):
        i = int(np.argmax(low - high))
        where = frame.to_geo(*places[i])
        raise PlanningError(
            f"the ground near {where.latitude_deg:.5f}, {where.longitude_deg:.5f} is {ground[i]:.0f} m high: "
            f"{band.lowest_m:.0f} m above it is over the fence's top; raise the top or keep out of there"
        )
    wanted = np.clip(ground + band.wanted_m, low, high)
    if narrow:
        low = np.maximum(low, wanted - band.tolerance_m)
        high = np.minimum(high, wanted + band.tolerance_m)
    return wanted, low, high


def _few(wanted: FloatArray, low: FloatArray, high: FloatArray) -> list[int]:
    """Indices of the samples that a polyline through `wanted` needs to stay within [low, high], ends included."""
    kept = [0, len(wanted) - 1]
    work = [(0, len(wanted) - 1)]
    while work:
        a, b = work.pop()
        if b - a < 2:
            continue
        line = np.interp(np.arange(a, b + 1), [a, b], [wanted[a], wanted[b]])
        out = np.maximum(low[a : b + 1] - line, line - high[a : b + 1])
        out[0] = out[-1] = -np.inf  # the ends are as wanted, or were fixed by the leg before
        if out.max() <= 0.0:
            continue
        middle = a + int(np.argmax(out))
        kept.append(middle)
        work += [(a, middle), (middle, b)]
    return sorted(kept)

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The way of a flight as it was uploaded: for each mission item the leg that leads to it, and how far off it one is.

Made once per flight from the items aboard; `progress_watch.py` holds positions against it. Pure, plain floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from missions.geo import degree_lengths_m, wrap_degrees
from missions.mavlink_items import DO_CHANGE_SPEED, DO_JUMP, NAV_TAKEOFF, NAV_WAYPOINT, MissionItem

_NAV_LOITER_TIME: Final = 19
_NAV_DELAY: Final = 93
_FLOWN_TO: Final = frozenset({NAV_WAYPOINT, _NAV_LOITER_TIME, NAV_TAKEOFF})
_RELATIVE_FRAMES: Final = frozenset({3, 6})
_DEFAULT_SPEED_M_S: Final = 5.0  # PX4's MPC_XY_CRUISE
_DEFAULT_RADIUS_M: Final = 10.0  # PX4's NAV_ACC_RAD
_SHORTEST_LEG_M: Final = 0.1


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in degrees and its height, above home where `above_home`, else above mean sea level."""

    latitude_deg: float
    longitude_deg: float
    height_m: float
    above_home: bool

    def amsl_m(self, home_amsl_m: float) -> float:
        return self.height_m + home_amsl_m if self.above_home else self.height_m


@dataclass(frozen=True, slots=True)
class Leg:
    """The way to one mission item.

    origins: whence the plan leads here, one place but for loops; none for the first place of a flight. reach_m: by
    how much corners may be cut here, the largest acceptance radius of its ends. stay_s: the hold, loiter or delay that
    is flown at its end. waypoint: which of those that a sortie counts, from 1; None for an item that is none.
    """

    target: Spot
    origins: tuple[Spot, ...]
    speed_m_s: float
    stay_s: float
    reach_m: float
    waypoint: int | None

    def offset_m(self, latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
        """(east_m, north_m) of a place from the target, in the plane that touches the ellipsoid there.

        Over a leg of 5 km at 60 degrees it bends a straight line by less than a metre.
        """
        north, east = degree_lengths_m(self.target.latitude_deg)
        return (
            wrap_degrees(longitude_deg - self.target.longitude_deg) * east,
            (latitude_deg - self.target.latitude_deg) * north,
        )

    def off_m(self, latitude_deg: float, longitude_deg: float, entry: tuple[float, float]) -> float:
        """Horizontal distance from the leg in metres: from its nearest origin, or from where it was begun (degrees).

        A leg that is begun from elsewhere, after a pause or a restart, may be flown straight from there.
        """
        here = self.offset_m(latitude_deg, longitude_deg)
        starts = [self.offset_m(o.latitude_deg, o.longitude_deg) for o in self.origins]
        starts.append(self.offset_m(*entry))
        return min(_from_segment_m(here, start) for start in starts)

    def height_off_m(self, amsl_m: float, home_amsl_m: float, entry_amsl_m: float) -> float:
        """By how much it is below or above all heights of the leg's ends, where it was begun included.

        Between them any height will do: some autopilots climb first, others climb along the leg.
        """
        heights = [spot.amsl_m(home_amsl_m) for spot in (self.target, *self.origins)]
        heights.append(entry_amsl_m)
        return max(0.0, min(heights) - amsl_m, amsl_m - max(heights))


Way = tuple[Leg | None, ...]


def _from_segment_m(here: tuple[float, float], start: tuple[float, float]) -> float:
    """Distance in the plane from the segment between `start` and the origin."""
    length2 = start[0] ** 2 + start[1] ** 2
    if length2 < _SHORTEST_LEG_M**2:
        return math.hypot(*here)
    share = max(0.0, min(1.0, (here[0] * start[0] + here[1] * start[1]) / length2))
    return math.hypot(here[0] - share * start[0], here[1] - share * start[1])


def way_of(items: Sequence[MissionItem], waypoint_of_item: Sequence[int | None]) -> Way:
    """The leg of each mission item, None before the first place.

    An item without a place is done where the one before it has ended.
    """
    placed = [i for i, item in enumerate(items) if item.command in _FLOWN_TO]
    before: dict[int, set[int]] = {i: set() for i in placed}
    for i, item in enumerate(items):
        earlier = [p for p in placed if p < i]
        if i in before and earlier:
            before[i].add(earlier[-1])
        if item.command == DO_JUMP and earlier:
            later = [p for p in placed if p >= int(item.param1)]
            if later:
                before[later[0]].add(earlier[-1])
    jumps = any(item.command == DO_JUMP for item in items)
    slowest = min((_speed_m_s(item) or math.inf for item in items), default=math.inf)
    speed = _DEFAULT_SPEED_M_S
    last: int | None = None
    waypoints = 0
    way: list[Leg | None] = []
    for i, item in enumerate(items):
        waypoints += waypoint_of_item[i] is not None
        speed = _speed_m_s(item) or speed
        last = i if i in before else last
        if last is None:
            way.append(None)
            continue
        ends = [last, *before[last]] if i == last else [last]
        way.append(
            Leg(
                target=_spot(items[last]),
                origins=tuple(_spot(items[o]) for o in sorted(before[last])) if i == last else (),
                speed_m_s=min(speed, slowest) if jumps else speed,
                stay_s=_stay_s(item),
                reach_m=max(_radius_m(items[end]) for end in ends),
                waypoint=None if waypoint_of_item[i] is None else waypoints,
            )
        )
    return tuple(way)


def _spot(item: MissionItem) -> Spot:
    return Spot(item.x / 1e7, item.y / 1e7, item.z, item.frame in _RELATIVE_FRAMES)


def _speed_m_s(item: MissionItem) -> float | None:
    wanted = item.param2 if item.command == DO_CHANGE_SPEED else math.nan
    return wanted if math.isfinite(wanted) and wanted > 0.0 else None


def _stay_s(item: MissionItem) -> float:
    stays = item.command in (NAV_WAYPOINT, _NAV_LOITER_TIME, _NAV_DELAY) and math.isfinite(item.param1)
    return max(0.0, item.param1) if stays else 0.0


def _radius_m(item: MissionItem) -> float:
    """Acceptance radius, or that of a loiter."""
    radius = abs({NAV_WAYPOINT: item.param2, _NAV_LOITER_TIME: item.param3}.get(item.command, math.nan))
    return radius if math.isfinite(radius) and radius > 0.0 else _DEFAULT_RADIUS_M

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The watch on progress: does a flight keep to its way and come on? Pure: `look(watch, way, seen) -> Watch`.

It tells and never commands (ADR 10). All times are the vehicle's own clock, all limits are stated here with their
reasons. Whoever calls it decides when a flight is to be watched at all (`watching.py`) and begins anew, with
`Watch()`, after a pause, a lost link or a restart, so that no clock counts what was meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from dronectl.fleet.flight_way import Leg, Way

# Planned flights are kept 20 m apart across the ground or 10 m in height (ADR 9): who is farther off its way than
# that may be in another one's. Both are far above GNSS noise (some 5 m, 95 %), gusts and the corners that a
# multicopter cuts or overshoots; the acceptance radius comes on top.
OFF_WAY_M: Final = 20.0
OFF_HEIGHT_M: Final = 10.0
OFF_S: Final = 10.0  # longer than an overshoot or a gust lasts
CALM: Final = 0.7  # of a limit: it is over below that, for CALM_S, so that nothing flaps at the limit
CALM_S: Final = 5.0
# A multicopter that flies at all makes 10 m in 30 s, uphill or against the wind; a slow plan is asked for less.
STALLED_S: Final = 30.0
STEP_M: Final = 10.0
LATE_FACTOR: Final = 2.0  # wind of half the airspeed on the nose doubles a leg's time
LATE_S: Final = 30.0
CLIMB_M_S: Final = 1.0  # the slowest that climbs and descents of missions are flown at
_FORGET_S: Final = 60.0  # a gap in what is seen; the clocks restart


class NoticeKind(StrEnum):
    """What is wrong."""

    OFF_WAY = "off-way"
    OFF_HEIGHT = "off-height"
    NO_PROGRESS = "no-progress"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that is wrong now.

    metres: how far off it is (off-way, off-height), else None. seconds: for how long, in vehicle time; for `late` how
    long the leg has been flown, planned_s being what it was reckoned to take. waypoint: towards which, from 1.
    """

    kind: NoticeKind
    waypoint: int | None
    seconds: float
    metres: float | None = None
    planned_s: float | None = None

    @property
    def words(self) -> str:
        """What is wrong without the figures that change from second to second."""
        to = "" if self.waypoint is None else f" towards waypoint {self.waypoint}"
        return {
            NoticeKind.OFF_WAY: f"off its way{to}",
            NoticeKind.OFF_HEIGHT: f"off its height{to}",
            NoticeKind.NO_PROGRESS: f"no progress{to}",
            NoticeKind.LATE: f"late on its way{to}",
        }[self.kind]

    @property
    def text(self) -> str:
        """One line for a person."""
        off = "" if self.metres is None else f" by {self.metres:.0f} m"
        planned = "" if self.planned_s is None else f", planned were {self.planned_s:.0f} s"
        return f"{self.words}{off} for {self.seconds:.0f} s{planned}"


def advice(vehicle_id: str) -> str:
    """What a person can do about a notice."""
    return f"`dronectl hold {vehicle_id}` stops it, `dronectl return {vehicle_id}` brings it home"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a vehicle says of itself in one moment of its own clock. item: of the mission, the one being flown to."""

    time_s: float
    item: int
    latitude_deg: float
    longitude_deg: float
    amsl_m: float | None
    home_amsl_m: float | None


@dataclass(frozen=True, slots=True)
class _Gate:
    """One limit with its delays: told when exceeded for OFF_S, over when calm for CALM_S."""

    since_s: float | None = None
    told: bool = False
    calm_since_s: float | None = None

    def step(self, value_m: float, limit_m: float, now_s: float) -> _Gate:
        calm = value_m <= CALM * limit_m
        if not self.told:
            if calm or (self.since_s is None and value_m <= limit_m):
                return _Gate()
            since_s = now_s if self.since_s is None else self.since_s
            return _Gate(since_s, told=value_m > limit_m and now_s - since_s >= OFF_S)
        if not calm:
            return replace(self, calm_since_s=None)
        calm_since_s = now_s if self.calm_since_s is None else self.calm_since_s
        return _Gate() if now_s - calm_since_s >= CALM_S else replace(self, calm_since_s=calm_since_s)


@dataclass(frozen=True, slots=True)
class Watch:
    """What the watch remembers of one flight; `Watch()` knows nothing yet."""

    seen: Seen | None = None
    entry: Seen | None = None  # where and when the leg was begun, or first looked at
    best_m: float = math.inf  # least distance to go on this leg at which the clock of progress was set
    best_s: float = 0.0
    way: _Gate = _Gate()
    height: _Gate = _Gate()
    notices: tuple[Notice, ...] = ()


def look(watch: Watch, way: Way, seen: Seen) -> Watch:
    """The watch after one more look. Nothing is said of an item without a place to fly to or from."""
    last = watch.seen
    if last is not None and not 0.0 <= seen.time_s - last.time_s <= _FORGET_S:
        watch, last = Watch(), None
    if last is not None and seen.time_s == last.time_s:
        return watch
    leg = way[seen.item] if seen.item < len(way) else None
    if leg is None:
        return Watch(seen)
    if watch.entry is None or watch.entry.item != seen.item:
        watch = replace(watch, entry=seen, best_m=math.inf)
    entry = watch.entry or seen
    watch = _measured(replace(watch, seen=seen), leg, entry, seen)
    to_go_m = _to_go_m(leg, seen)
    step_m = min(STEP_M, 0.25 * leg.speed_m_s * STALLED_S)
    if to_go_m <= watch.best_m - step_m:
        watch = replace(watch, best_m=to_go_m, best_s=seen.time_s)
    elif any(n.kind is NoticeKind.NO_PROGRESS for n in watch.notices):  # coming back from farther off is progress, too
        watch = replace(watch, best_m=max(watch.best_m, to_go_m))
    return replace(watch, notices=_notices(watch, leg, entry, seen))


def _measured(watch: Watch, leg: Leg, entry: Seen, seen: Seen) -> Watch:
    off_m = leg.off_m(seen.latitude_deg, seen.longitude_deg, (entry.latitude_deg, entry.longitude_deg))
    gate = watch.way.step(off_m, OFF_WAY_M + leg.reach_m, seen.time_s)
    if seen.amsl_m is None or seen.home_amsl_m is None or entry.amsl_m is None:
        return replace(watch, way=gate, height=_Gate())
    high_m = leg.height_off_m(seen.amsl_m, seen.home_amsl_m, entry.amsl_m)
    return replace(watch, way=gate, height=watch.height.step(high_m, OFF_HEIGHT_M, seen.time_s))


def _gap_m(leg: Leg, seen: Seen) -> float:
    """Height still to be made up to the target; 0 where heights are not known."""
    if seen.amsl_m is None or seen.home_amsl_m is None:
        return 0.0
    return abs(leg.target.amsl_m(seen.home_amsl_m) - seen.amsl_m)


def _to_go_m(leg: Leg, seen: Seen) -> float:
    """Across the ground and in height, added up: who climbs on the spot, far from the target, comes on as well."""
    return math.hypot(*leg.offset_m(seen.latitude_deg, seen.longitude_deg)) + _gap_m(leg, seen)


def _notices(watch: Watch, leg: Leg, entry: Seen, seen: Seen) -> tuple[Notice, ...]:
    now_s, found = seen.time_s, []
    if watch.way.told and watch.way.since_s is not None:
        off_m = leg.off_m(seen.latitude_deg, seen.longitude_deg, (entry.latitude_deg, entry.longitude_deg))
        found.append(Notice(NoticeKind.OFF_WAY, leg.waypoint, now_s - watch.way.since_s, off_m))
    height = (seen.amsl_m, seen.home_amsl_m, entry.amsl_m)
    if watch.height.told and watch.height.since_s is not None and None not in height:
        off_m = leg.height_off_m(*(h for h in height if h is not None))
        found.append(Notice(NoticeKind.OFF_HEIGHT, leg.waypoint, now_s - watch.height.since_s, off_m))
    stalled_s = now_s - watch.best_s
    there = math.hypot(*leg.offset_m(seen.latitude_deg, seen.longitude_deg)) <= leg.reach_m + OFF_WAY_M
    if stalled_s > STALLED_S + (leg.stay_s if there else 0.0):
        found.append(Notice(NoticeKind.NO_PROGRESS, leg.waypoint, stalled_s))
    elif not found:
        across_m = math.hypot(*leg.offset_m(entry.latitude_deg, entry.longitude_deg))
        planned_s = across_m / leg.speed_m_s + _gap_m(leg, entry) / CLIMB_M_S
        flown_s = now_s - entry.time_s
        if flown_s > LATE_FACTOR * planned_s + LATE_S + leg.stay_s:
            found.append(Notice(NoticeKind.LATE, leg.waypoint, flown_s, planned_s=planned_s + leg.stay_s))
    return tuple(found)

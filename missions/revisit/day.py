# SPDX-License-Identifier: AGPL-3.0-or-later
"""The words of a timetable: what is to be visited when, by which drones, and the flights that come out of it.

All times are seconds of the day; places are numbers of `Ways`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from missions.revisit.ways import Place, Ways, Window

TOLERANCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Visit:
    """Something to be visited at least every interval_s within each window; at least once in a shorter window.

    path_m: a point, or the line that is flown; entry and exit are its ends as places (the same for a point). one_way:
    the line is flown from its entry to its exit only.
    """

    item_id: str
    entry: int
    exit: int
    path_m: tuple[Place, ...]
    service_s: float
    interval_s: float
    windows: tuple[Window, ...]
    one_way: bool = False

    @property
    def ways(self) -> tuple[bool, ...]:
        """The directions in which it may be flown: flip or not."""
        return (False, True) if self.entry != self.exit and not self.one_way else (False,)


@dataclass(frozen=True, slots=True)
class Watch:
    """A place where a drone must be present all the time in each window: the next comes before the last leaves."""

    item_id: str
    place: int
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Craft:
    """A drone at its dock. fly_s: from take-off to touch-down on one battery, the reserve kept."""

    vehicle_id: str
    dock: int
    fly_s: float
    takeoff_s: float
    landing_s: float


@dataclass(frozen=True, slots=True)
class Urgent:
    """A mission that is ordered at a time and goes before the patrol: one drone at a place for stay_s."""

    mission_id: str
    at_s: float
    place_m: Place
    stay_s: float


@dataclass(frozen=True, slots=True, eq=False)
class DayTask:
    """A day to be planned. overlap_s: how long two drones are at a watched place together."""

    ways: Ways
    visits: tuple[Visit, ...]
    watches: tuple[Watch, ...]
    craft: tuple[Craft, ...]
    swap_s: float
    hours: Window
    overlap_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Move:
    """A leg, or a line being flown: from start_s to end_s along a path in metres."""

    start_s: float
    end_s: float
    path_m: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Something done on a flight. kind: visit, watch or urgent."""

    kind: str
    item_id: str
    arrive_s: float
    leave_s: float


@dataclass(frozen=True, slots=True)
class Flight:
    """One battery's flight. kind: patrol, watch or urgent. dropped: visits given up for an urgent mission."""

    vehicle_id: str
    kind: str
    depart_s: float
    landed_s: float
    stops: tuple[Stop, ...]
    moves: tuple[Move, ...]
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """Flights that keep apart, those given up for it, and how many still meet: those that may not be moved."""

    flights: list[Flight]
    given_up: tuple[Flight, ...] = ()
    meeting: int = 0


@dataclass(frozen=True, slots=True)
class Miss:
    """Something that could not be kept: from when to when nobody came, how long was wanted, and why.

    wanted_s: the interval of a visit, the wait of an urgent mission; 0 where somebody should be there all the time.
    """

    item_id: str
    from_s: float
    to_s: float
    wanted_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Kept:
    """How an item fared: arrivals in its windows, the longest time without one, and that over the interval."""

    item_id: str
    arrivals_s: tuple[float, ...]
    worst_s: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Timetable:
    """A day. worst_ratio: longest time without a visit over its interval, of all items; bound: what none can beat."""

    flights: tuple[Flight, ...]
    kept: tuple[Kept, ...]
    misses: tuple[Miss, ...]
    worst_ratio: float
    bound: float
    tried: int
    urgent: tuple[Urgent, ...] = field(default=())


def gaps(arrivals_s: list[float], window: Window) -> list[Window]:
    """Times without an arrival in a window: from its start, between arrivals, to its end."""
    inside = [t for t in sorted(arrivals_s) if window[0] <= t <= window[1]]
    edges = [window[0], *inside, window[1]]
    return list(pairwise(edges))


def later(flight: Flight, seconds: float) -> Flight:
    """The same flight, all of it that much later (earlier, below 0)."""
    if seconds == 0.0:
        return flight
    return replace(
        flight,
        depart_s=flight.depart_s + seconds,
        landed_s=flight.landed_s + seconds,
        stops=tuple(replace(s, arrive_s=s.arrive_s + seconds, leave_s=s.leave_s + seconds) for s in flight.stops),
        moves=tuple(replace(m, start_s=m.start_s + seconds, end_s=m.end_s + seconds) for m in flight.moves),
    )

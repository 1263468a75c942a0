# SPDX-License-Identifier: AGPL-3.0-or-later
"""Vehicles that are in the air already and fly on together: kept apart, with as little change as can be found.

They cannot start later, only wait where they are. One after another is placed among those placed before, by the first
of these that does: its plan as it is; holds at waypoints, the first one among them, as far as its battery has more than
the reserve (`waits`); a height a few metres off, to which it climbs or sinks where it is, or a shorter way, so that it is
home before another comes there, both with holds; and at last straight home. Several orders are tried, and the least
change is kept.

Real flights do not keep to the second, and one that flies on late waits where it is: any two keep apart also when they
run early or late against each other by the slack, as far as that can be had.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from missions.deconflict.model import Change, ChangeKind
from missions.deconflict.options import held, room, shifted
from missions.deconflict.segments import Minima
from missions.deconflict.trajectory import common_frame, places_m
from missions.deconflict.waits import Blocked, Taken, Waiting, unhindered, wait
from missions.deconflict.ways import Clash, Way, clashes, way_of
from missions.energy import plan_energy
from missions.model import FlightPlan, VehicleLimits
from missions.terrain import Terrain

SLACK_S: Final = 10.0
MORE_SLACK_S: Final = (30.0, 20.0)
LESS_SLACK_S: Final = (5.0, 0.0)
_FOR_SLACK_S: Final = 30.0  # of waiting, all together, for more slack
_RISES_M: Final = (4.0, -4.0, 6.0, -6.0, 10.0, -10.0, 12.0, -12.0)  # out of layers of 6 m, or of one height
_SHORTER_STEP_S = 2.0
_SHORTER_TRIES = 4
_MOST_SHORTER = 0.5  # of the flight
_ORDERS, _ROUNDS = 3, 3
_LAYER_COST_S, _HOLD_COST = 20.0, 0.3  # over a second that is taken off a flight


@dataclass(frozen=True, slots=True)
class Shorter:
    """A plan that is home sooner. cost_s: what it gives up, in seconds of what all flights do on average."""

    plan: FlightPlan
    cost_s: float


def _not_shorter(_seconds: float) -> Shorter | None:
    return None


@dataclass(frozen=True, slots=True)
class Aloft:
    """A vehicle in the air at the first waypoint of its plan.

    battery_fraction: with which a flight from the pad would be there with what it holds now. shorter: a flight that is
    home at least that many seconds sooner, None where nothing is left of it. home: straight home from where it is;
    None: only the plan.
    """

    plan: FlightPlan
    battery_fraction: float = 1.0
    shorter: Callable[[float], Shorter | None] = _not_shorter
    home: FlightPlan | None = None


@dataclass(frozen=True, slots=True)
class FlownOn:
    """Plans in the order of the input, and what was changed in them.

    base: what each plan was before holds and another height: the plan that came in, a shorter one, or that home.
    slack_s: by how much any two may run early or late against each other; None for one alone. near_now: pairs (indices)
    that are too near to each other already, where they are. unsolved: those that nothing keeps apart from others.
    """

    plans: tuple[FlightPlan, ...]
    base: tuple[FlightPlan, ...]
    changes: tuple[Change, ...]
    slack_s: float | None
    near_now: tuple[tuple[int, int], ...]
    unsolved: tuple[int, ...]


def fly_on_apart(
    craft: Sequence[Aloft],
    limits: VehicleLimits,
    *,
    wind_m_s: float = 0.0,
    terrain: Terrain | None = None,
    minima: Minima | None = None,
) -> FlownOn:
    """Plans that keep apart, in wind and in calm, as far as that can be had. Raises DatumError as the energy model does.

    Two that are too near to each other now are led apart as soon as one of them leaves: they do not both stay.
    """
    if len(craft) < 2:
        plans = tuple(c.plan for c in craft)
        return FlownOn(plans, plans, (), None, (), ())
    board = _Board(craft, limits, wind_m_s, terrain, minima or Minima())
    slack_s, chosen = board.best()
    return board.result(slack_s, chosen)


@dataclass(frozen=True, slots=True)
class _Option:
    """One way to fly on: seconds taken off its end (infinite: straight home), and metres higher."""

    shorter_s: float = 0.0
    rise_m: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    option: _Option
    waiting: Waiting
    gives_up_s: float = 0.0
    solved: bool = True

    @property
    def cost(self) -> tuple[int, int, float]:
        """Less is better: left in breach, sent home, and what the changes are worth in seconds."""
        home = math.isinf(self.option.shorter_s)
        worth = _HOLD_COST * self.waiting.total_s + self.gives_up_s
        if self.option.rise_m:
            worth += _LAYER_COST_S + abs(self.option.rise_m)
        return int(not self.solved), int(home), worth


_Set = Mapping[int, _Placed]


class _Board:
    """Places vehicles one after another; ways and what they forbid each other are found once."""

    def __init__(
        self, craft: Sequence[Aloft], limits: VehicleLimits, wind_m_s: float, terrain: Terrain | None, minima: Minima
    ) -> None:
        self.craft, self.limits, self.terrain, self.minima = craft, limits, terrain, minima
        self.winds = sorted({0.0, wind_m_s})
        self.frame = common_frame([c.plan for c in craft])
        self._plain = [self._flown(i, c.plan) for i, c in enumerate(craft)]
        self._ways: dict[tuple[int, _Option], tuple[Way, float] | None] = {
            (i, _Option()): made for i, made in enumerate(self._plain)
        }
        self._clashes: dict[tuple[int, _Option, int, _Option], tuple[Clash, ...]] = {}
        self._bases: dict[tuple[int, float], tuple[FlightPlan | None, float]] = {}

    def best(self) -> tuple[float, _Set]:
        """The slack that was reached, and what was chosen."""
        least = self._set(SLACK_S, further=False, home=False)
        if _solved(least):
            allowed = self._waits_s(least) + _FOR_SLACK_S
            for slack_s in MORE_SLACK_S:
                more = self._set(slack_s, further=False, home=False)
                if _solved(more) and self._waits_s(more) <= allowed:
                    return slack_s, more
            return SLACK_S, least
        tried = [(SLACK_S, least)]
        for home in (False, True):
            for slack_s in (SLACK_S, *LESS_SLACK_S):
                found = self._set(slack_s, further=True, home=home)
                if _solved(found):
                    return slack_s, found
                tried.append((slack_s, found))
        return min(reversed(tried), key=lambda t: _cost(t[1]))

    def result(self, slack_s: float, chosen: _Set) -> FlownOn:
        plans, bases, changes = [], [], []
        for index in range(len(self.craft)):
            placed = chosen[index]
            option, plan = placed.option, placed.waiting.way.plan
            name = plan.vehicle_id
            base = self._base(index, option.shorter_s)[0] or plan
            if math.isinf(option.shorter_s):
                changes.append(Change(name, ChangeKind.HOME, 0.0, None, None))
            elif option.shorter_s > 0.0:
                less = self._time_s(self.craft[index].plan) - self._time_s(base)
                changes.append(Change(name, ChangeKind.SHORTER, round(less, 1), None, None))
            if option.rise_m:
                changes.append(Change(name, ChangeKind.LAYER, option.rise_m, 1, None))
            for hold in placed.waiting.holds:
                plan = held(plan, hold.item, hold.seconds)
                changes.append(Change(name, ChangeKind.HOLD, hold.seconds, hold.item, None))
            plans.append(plan)
            bases.append(base)
        unsolved = tuple(i for i in range(len(self.craft)) if not chosen[i].solved)
        return FlownOn(tuple(plans), tuple(bases), tuple(changes), slack_s, self._near_now(), unsolved)

    def _near_now(self) -> tuple[tuple[int, int], ...]:
        plain = {i: _Placed(_Option(), unhindered(way)) for i, (way, _) in enumerate(self._plain)}
        out = []
        for i, mine in plain.items():
            self._know(i, mine, {j: p for j, p in plain.items() if j > i})
            out += [(i, j) for j in plain if j > i and (0, 0) in self._clashes[i, _Option(), j, _Option()][0].both]
        return tuple(out)

    def _set(self, slack_s: float, *, further: bool, home: bool) -> _Set:
        """The best of a few orders: who was changed most goes first in the next."""
        order = sorted(range(len(self.craft)), key=lambda i: (self._plain[i][1], self.craft[i].plan.vehicle_id))
        best: _Set | None = None
        seen = set()
        for _ in range(_ORDERS):
            if tuple(order) in seen:
                break
            seen.add(tuple(order))
            found = self._in_order(order, slack_s, further=further, home=home)
            if best is None or _cost(found) < _cost(best):
                best = found
            worst = max(order, key=lambda i: found[i].cost)
            if found[worst].cost <= (0, 0, 0.0):
                break
            order = [worst, *(i for i in order if i != worst)]
        return self._settled(best or {}, slack_s, further=further, home=home)

    def _settled(self, found: _Set, slack_s: float, *, further: bool, home: bool) -> _Set:
        """The same with everyone who was changed placed again among all the others, while that makes less of it."""
        placed = dict(found)
        for _ in range(_ROUNDS if further else 0):
            before = _cost(placed)
            for index in sorted(placed, key=lambda i: placed[i].cost, reverse=True):
                if placed[index].cost > (0, 0, 0.0):
                    others = {i: p for i, p in placed.items() if i != index}
                    again = self._placed(index, others, slack_s, further=further, home=home)
                    placed[index] = min(placed[index], again, key=lambda p: p.cost)
            if _cost(placed) >= before:
                break
        return placed

    def _in_order(self, order: Sequence[int], slack_s: float, *, further: bool, home: bool) -> _Set:
        placed: dict[int, _Placed] = {}
        for index in order:
            placed[index] = self._placed(index, placed, slack_s, further=further, home=home)
        return placed

    def _placed(self, index: int, others: _Set, slack_s: float, *, further: bool, home: bool) -> _Placed:
        found = self._wait(index, _Option(), others, slack_s)
        if isinstance(found, _Placed):
            return found
        if further and found is not None:
            # Ways home are flown at the return height: another one helps there only if nothing shorter does.
            last = found.group >= len(self.craft[index].plan.waypoints)
            layer = None if last else self._layer(index, others, slack_s)
            shorter = self._shorter(index, found, others, slack_s)
            if last and shorter is None:
                layer = self._layer(index, others, slack_s)
            if better := [placed for placed in (layer, shorter) if placed is not None]:
                return min(better, key=lambda placed: placed.cost)
        if home:
            at_once = self._wait(index, _Option(math.inf), others, slack_s)
            if isinstance(at_once, _Placed):
                return at_once
        return _Placed(_Option(), unhindered(self._plain[index][0]), solved=False)

    def _layer(self, index: int, others: _Set, slack_s: float) -> _Placed | None:
        """The first height that does, the least change first."""
        plan = self.craft[index].plan
        space = room(plan, places_m(plan, self.frame), self.frame, self.limits, self.terrain)
        for rise in _RISES_M:
            if space.low_m - 1e-6 <= rise <= space.high_m + 1e-6:
                found = self._wait(index, _Option(rise_m=rise), others, slack_s)
                if isinstance(found, _Placed):
                    return found
        return None

    def _shorter(self, index: int, blocked: Blocked, others: _Set, slack_s: float) -> _Placed | None:
        all_s = self._time_s(self.craft[index].plan)
        most, seconds, last = _MOST_SHORTER * all_s, 0.0, len(self.craft[index].plan.waypoints)
        for _ in range(_SHORTER_TRIES):
            # Being home sooner is a matter of seconds; what is in the way before that has to be left out.
            more = blocked.earlier_s if blocked.group == last else most / _SHORTER_TRIES
            seconds = math.ceil((seconds + max(more, 0.1)) / _SHORTER_STEP_S) * _SHORTER_STEP_S
            if seconds > most + _SHORTER_STEP_S:
                return None
            found = self._wait(index, _Option(seconds), others, slack_s)
            if isinstance(found, _Placed):
                return found
            if found is None:
                return None
            made = self._way(index, _Option(seconds))
            blocked, last = found, last if made is None else len(made[0].plan.waypoints)
        return None

    def _wait(self, index: int, option: _Option, others: _Set, slack_s: float) -> _Placed | Blocked | None:
        """None where there is no such option."""
        made = self._way(index, option)
        if made is None:
            return None
        way, spare_s = made
        mine = _Placed(option, unhindered(way))
        self._know(index, mine, others)
        taken = [Taken(w, slack_s) for w in range(len(self.winds))]
        for other, placed in others.items():
            for wind, clash in enumerate(self._clashes[index, option, other, placed.option]):
                taken[wind].add(clash, placed.waiting)
        found = wait(way, taken, spare_s)
        return found if isinstance(found, Blocked) else _Placed(option, found, self._gives_up_s(index, option))

    def _know(self, index: int, mine: _Placed, others: _Set) -> None:
        """Find out what others' ways forbid one, where that is not known yet."""
        new = [(i, p) for i, p in others.items() if (index, mine.option, i, p.option) not in self._clashes]
        found = clashes(mine.waiting.way, [p.waiting.way for _, p in new], self.minima)
        for (other, placed), clash in zip(new, found, strict=True):
            self._clashes[index, mine.option, other, placed.option] = clash
            self._clashes[other, placed.option, index, mine.option] = tuple(c.turned for c in clash)

    def _way(self, index: int, option: _Option) -> tuple[Way, float] | None:
        """A way and the seconds of hover that its battery has beyond the reserve; None where there is none."""
        key = index, option
        if key not in self._ways:
            self._ways[key] = self._made(index, option)
        return self._ways[key]

    def _made(self, index: int, option: _Option) -> tuple[Way, float] | None:
        plan, _ = self._base(index, option.shorter_s)
        if plan is None:
            return None
        made = self._flown(index, _climbed_first(plan, option.rise_m) if option.rise_m else plan)
        if option.rise_m and made[1] < 0.0 <= self._plain[index][1]:
            return None  # the battery does not hold for it
        return made

    def _flown(self, index: int, plan: FlightPlan) -> tuple[Way, float]:
        return way_of(plan, self.limits, self.frame, self.winds, self.minima), self._left_s(index, plan)

    def _base(self, index: int, shorter_s: float) -> tuple[FlightPlan | None, float]:
        """The plan before holds and another height, None where there is none, and what it gives up in seconds."""
        key = index, shorter_s
        if key not in self._bases:
            one = self.craft[index]
            if math.isinf(shorter_s):
                self._bases[key] = one.home, 0.0
            elif shorter_s > 0.0:
                less = one.shorter(shorter_s)
                self._bases[key] = (None, 0.0) if less is None else (less.plan, less.cost_s)
            else:
                self._bases[key] = one.plan, 0.0
        return self._bases[key]

    def _gives_up_s(self, index: int, option: _Option) -> float:
        return self._base(index, option.shorter_s)[1]

    def _left_s(self, index: int, plan: FlightPlan) -> float:
        battery = self.craft[index].battery_fraction
        costs = [plan_energy(plan, self.limits, wind_m_s=w, battery_fraction=battery) for w in self.winds]
        return min(c.margin_fraction - self.limits.reserve_fraction for c in costs) * self.limits.endurance_s

    def _time_s(self, plan: FlightPlan) -> float:
        cost = plan_energy(plan, self.limits, wind_m_s=self.winds[-1])
        return cost.time_s - cost.arrival_s[0]

    @staticmethod
    def _waits_s(found: _Set) -> float:
        return sum(p.waiting.total_s for p in found.values())


def _climbed_first(plan: FlightPlan, rise_m: float) -> FlightPlan:
    """The same plan higher by rise_m: it is at its first waypoint now, changes its height there and then flies on."""
    here = plan.waypoints[0]
    there = shifted(plan, rise_m).waypoints
    climbed = replace(there[0], hold_s=0.0, photo=False, serves=())
    return replace(plan, waypoints=(here, climbed, *there[1:]))


def _solved(found: _Set) -> bool:
    return all(p.solved for p in found.values())


def _cost(found: _Set) -> tuple[int, int, float]:
    unsolved, homes, worth = zip(*(p.cost for p in found.values()), strict=True)
    return sum(unsolved), sum(homes), sum(worth)

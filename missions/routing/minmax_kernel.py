# SPDX-License-Identifier: AGPL-3.0-or-later
"""Inner loops of `missions.routing.minmax`: ruin and recreate on routes held in flat sequences.

A visit is an item in one direction: visit i is item i as given, later ones are reversible items turned round. Nodes are
the visits and then one home per vehicle.
"""

from __future__ import annotations

from typing import NamedTuple

from missions.routing.compiled import SEED_MODULUS, Floats, Ints, compiled

# In levels: flights longer than TARGET pay PRICE per second more; TEMPERATURE falls by COOLING each step; COST is of the
# routes at hand, LONGEST and SUM of the best so far; STRINGS and STRING bound how much a step removes.
TARGET, PRICE, TEMPERATURE, COOLING, COST, LONGEST, SUM, SHRINK = 0, 1, 2, 3, 4, 5, 6, 7
_RANDOM, _BLINK, _OUT = 0, 1, 2
_REMOVED = 10.0  # items that a step removes on average, and the longest string (Christiaens and Vanden Berghe 2020)
_LONGEST_STRING = 10.0
_SCATTERED, _SCATTER_EVERY = 8, 8  # at most so many items anywhere, in one step out of so many
_BLINK_EVERY = 200  # twice the mean number of places between two that are overlooked
NOISE = 4096
_HUGE = 1e300


class Work(NamedTuple):
    """A task and the routes being worked on, in the sequences that kernels take. `v` is a vehicle."""

    nodes: int
    room: int  # places in `route` for each vehicle
    wide: int  # neighbours of an item
    into: Floats  # into[y * nodes + x]: seconds from the end of x to the end of y, service included
    fixed: Floats  # of each vehicle: take-off and landing
    item_of: Ints  # of each visit
    twin: Ints  # the visit the other way round; itself where there is none
    near: Ints  # near[item * wide + j]: other items, nearest first
    reach: Floats  # of each item: seconds from its nearest home
    noise: Floats  # -ln of equally spaced numbers between 0 and 1
    route: Ints  # route[v * room + k]: visits in order
    leg: Floats  # leg[v * room + k]: seconds to that visit; the one after the last leads home
    size: Ints  # visits of each vehicle
    time: Floats  # of each vehicle; 0 when it stays at home
    where: Ints  # the vehicle of each item, -1 while it has none
    kept: Ints  # as `route`, before this step
    kept_size: Ints
    best: Ints  # as `route`, of the best routes so far
    best_size: Ints
    touched: Ints  # of each vehicle: whether this step took something out
    out: Ints  # items that are out
    levels: Floats  # by the names above
    state: Ints  # random, evaluations until a place is overlooked, how many items are out


@compiled
def _below(limit: int, state: Ints) -> int:
    """A random whole number below the limit."""
    state[_RANDOM] = state[_RANDOM] * 48271 % SEED_MODULUS
    return state[_RANDOM] % limit


@compiled
def measure(v: int, work: Work) -> None:
    """Work out the legs and the time of one vehicle's route anew."""
    nodes, room, into, fixed, route, leg = work.nodes, work.room, work.into, work.fixed, work.route, work.leg
    size, time = work.size, work.time
    count = size[v]
    home = nodes - len(size) + v
    if count == 0:
        time[v] = 0.0
        leg[v * room] = 0.0
        return
    total = fixed[v]
    at = home
    for k in range(v * room, v * room + count):
        leg[k] = into[route[k] * nodes + at]
        total += leg[k]
        at = route[k]
    leg[v * room + count] = into[home * nodes + at]
    time[v] = total + leg[v * room + count]


@compiled
def _dear(seconds: float, target: float, price: float) -> float:
    """What a flight's seconds beyond the target cost more: the square of their share, in seconds of the target."""
    over = seconds - target
    return price * over * over / target if over > 0.0 else 0.0


@compiled
def cost_of(work: Work) -> float:
    """Seconds of all flights, and the price of those beyond the target."""
    time, levels = work.time, work.levels
    total = 0.0
    for v in range(len(time)):
        total += time[v] + _dear(time[v], levels[TARGET], levels[PRICE])
    return total


@compiled
def insert(item: int, blinks: int, work: Work) -> None:
    """Put an item where the cost grows least, overlooking a place now and then."""
    nodes, room, into, fixed, twin, route = work.nodes, work.room, work.into, work.fixed, work.twin, work.route
    leg, size, time, where, levels, state = work.leg, work.size, work.time, work.where, work.levels, work.state
    vehicles = len(size)
    target, price = levels[TARGET], levels[PRICE]
    best = _HUGE
    best_v, best_k, best_visit = -1, 0, item
    for v in range(vehicles):
        home = nodes - vehicles + v
        count = size[v]
        first = v * room
        grown = _HUGE
        grown_k, grown_visit = 0, item
        visit = item
        for _ in range(2):
            row = visit * nodes
            if count == 0:
                grown_new = fixed[v] + into[row + home] + into[home * nodes + visit]
                if grown_new < grown:
                    grown, grown_k, grown_visit = grown_new, 0, visit
            else:
                at = home
                for k in range(count + 1):
                    follower = route[first + k] if k < count else home
                    growth = into[row + at] + into[follower * nodes + visit] - leg[first + k]
                    at = follower
                    if growth < grown:
                        if blinks == 1:
                            state[_BLINK] -= 1
                            if state[_BLINK] <= 0:
                                state[_BLINK] = 1 + _below(_BLINK_EVERY, state)
                                continue
                        grown, grown_k, grown_visit = growth, k, visit
            if twin[visit] == visit:
                break
            visit = twin[visit]
        cost = grown
        if time[v] + grown > target:
            cost += _dear(time[v] + grown, target, price) - _dear(time[v], target, price)
        if cost < best:
            best, best_v, best_k, best_visit = cost, v, grown_k, grown_visit
    first = best_v * room
    for k in range(first + size[best_v], first + best_k, -1):
        route[k] = route[k - 1]
    route[first + best_k] = best_visit
    size[best_v] += 1
    where[item] = best_v
    measure(best_v, work)


@compiled
def _scatter(work: Work) -> None:
    """Take any few items out, whichever routes they are on."""
    room, item_of, route, size = work.room, work.item_of, work.route, work.size
    where, out, state = work.where, work.out, work.state
    items = len(where)
    state[_OUT] = 0
    for _ in range(1 + _below(min(items, _SCATTERED), state)):
        item = _below(items, state)
        v = where[item]
        if v < 0:
            continue
        k = v * room
        while item_of[route[k]] != item:
            k += 1
        size[v] -= 1
        for later in range(k, v * room + size[v]):
            route[later] = route[later + 1]
        measure(v, work)
        where[item] = -1
        out[state[_OUT]] = item
        state[_OUT] += 1


@compiled
def _ruin(work: Work) -> None:
    """Take strings of visits out of routes that pass near one item, at most one string from each."""
    room, wide, item_of, near, route = work.room, work.wide, work.item_of, work.near, work.route
    size, time, where, touched, out = work.size, work.time, work.where, work.touched, work.out
    state = work.state
    items = len(where)
    vehicles = len(size)
    busy = 0
    longest = 0
    for v in range(vehicles):
        touched[v] = 0
        if size[v] > 0:
            busy += 1
        if time[v] > time[longest]:
            longest = v
    string = min(_LONGEST_STRING, items / busy)
    most = 4.0 * _REMOVED / (1.0 + string) - 1.0
    strings = 1 + int(_below(1_000_000, state) * 1e-6 * most)
    seed = _below(items, state)
    if _below(3, state) == 0:
        seed = item_of[route[longest * room + _below(size[longest], state)]]
    state[_OUT] = 0
    for j in range(-1, wide):
        item = seed if j < 0 else near[seed * wide + j]
        v = where[item]
        if v < 0 or touched[v] == 1:
            continue
        touched[v] = 1
        count = size[v]
        first = v * room
        length = 1 + int(_below(1_000_000, state) * 1e-6 * min(string, float(count)))
        length = min(length, count)
        at = 0
        while item_of[route[first + at]] != item:
            at += 1
        # A split string keeps some visits in its middle.
        spared = 0
        if length > 1 and length < count and _below(2, state) == 0:
            spared = 1
            while length + spared < count and _below(100, state) != 0:
                spared += 1
        span = length + spared
        low = max(0, at - span + 1)
        high = min(at, count - span)
        begin = low + _below(high - low + 1, state)
        spare_from = begin + span
        if spared > 0:
            spare_from = begin + 1 + _below(length - 1, state)
        keep = 0
        for k in range(count):
            if k < begin or k >= begin + span or (k >= spare_from and k < spare_from + spared):
                route[first + keep] = route[first + k]
                keep += 1
            else:
                gone = item_of[route[first + k]]
                where[gone] = -1
                out[state[_OUT]] = gone
                state[_OUT] += 1
        size[v] = keep
        measure(v, work)
        strings -= 1
        if strings <= 0:
            break


@compiled
def _arrange(work: Work) -> None:
    """Order the items that are out: at random, the farthest first, or the nearest first."""
    out, reach, state = work.out, work.reach, work.state
    count = state[_OUT]
    for k in range(count - 1, 0, -1):
        other = _below(k + 1, state)
        out[k], out[other] = out[other], out[k]
    way = _below(7, state)
    if way < 4:
        return
    sign = -1.0 if way < 6 else 1.0
    for k in range(1, count):
        moved = out[k]
        to = k
        while to > 0 and sign * reach[out[to - 1]] > sign * reach[moved]:
            out[to] = out[to - 1]
            to -= 1
        out[to] = moved


@compiled
def _copy(room: int, route: Ints, size: Ints, other: Ints, other_size: Ints) -> None:
    for v in range(len(size)):
        other_size[v] = size[v]
        for k in range(v * room, v * room + size[v]):
            other[k] = route[k]


@compiled
def search(steps: int, work: Work) -> None:
    """So many steps of annealed ruin and recreate; `best` holds the routes whose longest is shortest."""
    room, item_of, noise, route, size = work.room, work.item_of, work.noise, work.route, work.size
    time, where, kept, kept_size, best = work.time, work.where, work.kept, work.kept_size, work.best
    best_size, out, levels, state = work.best_size, work.out, work.levels, work.state
    vehicles = len(size)
    for _ in range(steps):
        _copy(room, route, size, kept, kept_size)
        if _below(_SCATTER_EVERY, state) == 0:
            _scatter(work)
        else:
            _ruin(work)
        _arrange(work)
        for k in range(state[_OUT]):
            insert(out[k], 1, work)
        cost = cost_of(work)
        allowed = levels[COST] + levels[TEMPERATURE] * noise[_below(NOISE, state)]
        levels[TEMPERATURE] *= levels[COOLING]
        if cost >= allowed:
            _copy(room, kept, kept_size, route, size)
            for v in range(vehicles):
                measure(v, work)
                for k in range(v * room, v * room + size[v]):
                    where[item_of[route[k]]] = v
            continue
        levels[COST] = cost
        longest, total = 0.0, 0.0
        for v in range(vehicles):
            total += time[v]
            longest = max(longest, time[v])
        if longest < levels[LONGEST] - 1e-9 or (longest <= levels[LONGEST] and total < levels[SUM] - 1e-9):
            levels[LONGEST] = longest
            levels[SUM] = total
            _copy(room, route, size, best, best_size)
            levels[TARGET] = longest * levels[SHRINK]
            levels[COST] = cost_of(work)

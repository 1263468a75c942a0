# SPDX-License-Identifier: AGPL-3.0-or-later
"""Inner loops of `missions.routing.tour`: a tour as an array of cities, changed by reversals that can be undone.

A reversal turns round the shorter side of the cycle; which of the two makes no difference to a closed tour. Moves name
cities, never positions, because a reversal may turn the tour's sense.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from missions.routing.compiled import SEED_MODULUS, Floats, Ints, compiled

_RANDOM, _HEAD, _WAITING, _WRITTEN, _DESCENDED = 0, 1, 2, 3, 4
_LONGEST_SEGMENT = 3  # cities that Or-opt moves together (Or 1976)
_EPSILON = 1e-7
_BREADTH = 3  # neighbours that a chain looks at
_DEPTH = 25  # its most exchanges
LINKS = 2 * _DEPTH
JOURNAL = 1024  # reversals that one step may make; what waits after them is left to the next
_WIDE_EVERY = 2  # one kick of so many swaps stretches of any length between long edges
_DRAWN = 40  # edges, of which the longest is taken
_START_STEP = 50  # cities looked at in one step of the first descent


class Cycle(NamedTuple):
    """A tour of n cities and what the search keeps beside it, in the sequences that kernels take."""

    n: int
    k: int  # neighbours of a city
    xy: Floats  # 2 n coordinates, or nothing when there is a matrix
    matrix: Floats  # n * n, or nothing
    near: Ints  # near[city * k + j]: neighbours, nearest first
    gap: Floats  # the distances to them
    tour: Ints  # the city at each position
    position: Ints  # the position of each city
    queue: Ints  # a ring of cities to look at; the others have don't-look bits
    queued: Ints  # who is in the ring
    journal: Ints  # first and last position of each reversal in this step
    links: Ints  # the edges that came in the present chain, two cities each
    state: Ints  # random, head of the ring, how many wait, reversals in the journal, whether the first descent is over


@compiled
def distance(a: int, b: int, cycle: Cycle) -> float:
    """Between two cities: from the matrix, or straight where there is none."""
    if len(cycle.matrix) > 0:
        return cycle.matrix[a * cycle.n + b]
    east = cycle.xy[2 * a] - cycle.xy[2 * b]
    north = cycle.xy[2 * a + 1] - cycle.xy[2 * b + 1]
    return math.sqrt(east * east + north * north)


@compiled
def _reverse(first: int, last: int, cycle: Cycle) -> None:
    """Turn round the positions from first to last, cyclically, or the others when they are fewer."""
    n, tour, position = cycle.n, cycle.tour, cycle.position
    count = (last - first) % n + 1
    if 2 * count > n:
        first, last = (last + 1) % n, (first - 1) % n
        count = n - count
    for _ in range(count // 2):
        a = tour[first]
        b = tour[last]
        tour[first] = b
        position[b] = first
        tour[last] = a
        position[a] = last
        first += 1
        if first == n:
            first = 0
        last -= 1
        if last < 0:
            last = n - 1


@compiled
def _exchange(a: int, b: int, c: int, d: int, cycle: Cycle) -> None:
    """Replace edges a-b and c-d, where d lies on the same side of c as b of a, by a-c and b-d."""
    n, tour, position, journal, state = cycle.n, cycle.tour, cycle.position, cycle.journal, cycle.state
    if tour[(position[a] + 1) % n] == b and tour[(position[c] + 1) % n] == d:
        first, last = position[b], position[c]
    else:
        first, last = position[a], position[d]
    _reverse(first, last, cycle)
    written = state[_WRITTEN]
    journal[2 * written] = first
    journal[2 * written + 1] = last
    state[_WRITTEN] = written + 1


@compiled
def _push(city: int, cycle: Cycle) -> None:
    n, queue, queued, state = cycle.n, cycle.queue, cycle.queued, cycle.state
    if queued[city] == 0:
        queued[city] = 1
        queue[(state[_HEAD] + state[_WAITING]) % n] = city
        state[_WAITING] += 1


@compiled
def _move_segment(before: int, a: int, b: int, after: int, u: int, v: int, kept: int, cycle: Cycle) -> None:
    """Move the segment a..b from between before and after to between u and v.

    Kept, it joins u-a and b-v; turned round, u-b and a-v. In the sense before -> a, u comes before v.
    """
    _exchange(before, a, u, v, cycle)
    if u != after:
        _exchange(before, u, after, b, cycle)
    if kept == 1 and a != b:
        _exchange(u, b, a, v, cycle)


@compiled
def _improve_city(c: int, cycle: Cycle) -> float:
    """Make the best 2-opt or Or-opt move that gives c a new, nearer neighbour; returns what it gained, 0 for none."""
    n, k, near, gap, tour, position = cycle.n, cycle.k, cycle.near, cycle.gap, cycle.tour, cycle.position
    best = _EPSILON
    kind = 0
    m0, m1, m2, m3, m4, m5, kept = 0, 0, 0, 0, 0, 0, 0
    here = position[c]
    for side in range(2):
        step = 1 if side == 0 else n - 1
        back = n - step
        d = tour[(here + step) % n]
        cut = distance(c, d, cycle)
        for j in range(k):
            joined = gap[c * k + j]
            if joined >= cut:
                break
            e = near[c * k + j]
            f = tour[(position[e] + step) % n]
            gain = cut - joined + distance(e, f, cycle) - distance(d, f, cycle)
            if gain > best:
                best = gain
                kind = 1
                m0, m1, m2, m3 = c, d, e, f
        # The segment c..b runs to this side; c is joined to e, b to a neighbour of e.
        before = tour[(here + back) % n]
        loose = distance(before, c, cycle)
        b = c
        for length in range(1, _LONGEST_SEGMENT + 1):
            if length > 1:
                b = tour[(position[b] + step) % n]
            after = tour[(position[b] + step) % n]
            if after == before:
                break
            free = loose + distance(b, after, cycle) - distance(before, after, cycle)
            for j in range(k):
                joined = gap[c * k + j]
                if joined >= free:
                    break
                e = near[c * k + j]
                offset = (position[e] - here) % n if side == 0 else (here - position[e]) % n
                if offset < length:
                    continue
                if e != after:  # turned round: e lies beyond c
                    u = tour[(position[e] + back) % n]
                    gain = free - joined + distance(u, e, cycle) - distance(u, b, cycle)
                    if gain > best:
                        best = gain
                        kind = 2
                        m0, m1, m2, m3, m4, m5, kept = before, c, b, after, u, e, 0
                if e != before:
                    v = tour[(position[e] + step) % n]
                    gain = free - joined + distance(e, v, cycle) - distance(b, v, cycle)
                    if gain > best:
                        best = gain
                        kind = 2
                        m0, m1, m2, m3, m4, m5, kept = before, c, b, after, e, v, 1
    if kind == 0:
        return 0.0
    if kind == 1:
        _exchange(m0, m1, m2, m3, cycle)
    else:
        _move_segment(m0, m1, m2, m3, m4, m5, kept, cycle)
        _push(m4, cycle)
        _push(m5, cycle)
    _push(m0, cycle)
    _push(m1, cycle)
    _push(m2, cycle)
    _push(m3, cycle)
    return best


@compiled
def _undo(to: int, cycle: Cycle) -> None:
    """Take back the reversals of this step that were made after the first so many."""
    journal, state = cycle.journal, cycle.state
    for index in range(state[_WRITTEN] - 1, to - 1, -1):
        _reverse(journal[2 * index], journal[2 * index + 1], cycle)
    state[_WRITTEN] = to


@compiled
def _chain(c: int, cycle: Cycle) -> float:
    """Make the first chain of exchanges from c that shortens the tour (Lin and Kernighan 1973); returns the gain.

    The edge c-d goes; d joins a near city e, whose edge to f goes in turn, and f, which c would be joined to, takes
    the place of d. Each step is the exchange that closes the tour; the best one on the way is kept, or none.
    """
    n, k, near, gap, tour, position = cycle.n, cycle.k, cycle.near, cycle.gap, cycle.tour, cycle.position
    state, links = cycle.state, cycle.links
    mark = state[_WRITTEN]
    for side in range(2):
        for first in range(min(k, _BREADTH)):
            d = tour[(position[c] + 1) % n] if side == 0 else tour[(position[c] - 1) % n]
            open_gain = distance(c, d, cycle)
            best, best_at, depth = _EPSILON, 0, 0
            while depth < _DEPTH and state[_WRITTEN] < JOURNAL - 1:
                forward = tour[(position[c] + 1) % n] == d
                chosen, behind, most = -1, -1, -1e300
                low, high = (first, first + 1) if depth == 0 else (0, min(k, _BREADTH))
                for j in range(low, high):
                    joined = gap[d * k + j]
                    if joined >= open_gain - _EPSILON:
                        break
                    e = near[d * k + j]
                    f = tour[(position[e] - 1) % n] if forward else tour[(position[e] + 1) % n]
                    if e == c or f == d:
                        continue
                    fresh = True
                    for i in range(depth):  # an edge that came in this chain stays
                        if (links[2 * i] == e and links[2 * i + 1] == f) or (
                            links[2 * i] == f and links[2 * i + 1] == e
                        ):
                            fresh = False
                    value = distance(e, f, cycle) - joined
                    if fresh and value > most:
                        chosen, behind, most = e, f, value
                if chosen < 0:
                    break
                _exchange(c, d, behind, chosen, cycle)
                links[2 * depth] = d
                links[2 * depth + 1] = chosen
                depth += 1
                open_gain += most
                d = behind
                closed = open_gain - distance(c, d, cycle)
                if closed > best:
                    best, best_at = closed, depth
            _undo(mark + best_at, cycle)
            if best_at > 0:
                _push(c, cycle)
                for i in range(best_at):
                    _push(links[2 * i], cycle)
                    _push(links[2 * i + 1], cycle)
                _push(tour[(position[c] + 1) % n], cycle)
                _push(tour[(position[c] - 1) % n], cycle)
                return best
    return 0.0


@compiled
def _descend(looks: int, cycle: Cycle) -> float:
    """Improve the cities that wait, at most so many; returns what was gained."""
    n, queue, queued, state = cycle.n, cycle.queue, cycle.queued, cycle.state
    gained = 0.0
    while state[_WAITING] > 0 and looks > 0 and state[_WRITTEN] < JOURNAL - _DEPTH - 3:
        looks -= 1
        c = queue[state[_HEAD]]
        state[_HEAD] = (state[_HEAD] + 1) % n
        state[_WAITING] -= 1
        queued[c] = 0
        gain = _improve_city(c, cycle)
        gained += gain if gain > 0.0 else _chain(c, cycle)
    return gained


@compiled
def _below(limit: int, state: Ints) -> int:
    """A random whole number below the limit."""
    state[_RANDOM] = state[_RANDOM] * 48271 % SEED_MODULUS
    return state[_RANDOM] % limit


@compiled
def _long_edge(cycle: Cycle) -> int:
    """A position that one of the longer edges begins at: the longest of a few drawn at random."""
    n, tour, state = cycle.n, cycle.tour, cycle.state
    best, longest = 0, -1e300
    for _ in range(_DRAWN):
        at = _below(n, state)
        length = distance(tour[at], tour[(at + 1) % n], cycle)
        if length > longest:
            best, longest = at, length
    return best


@compiled
def _kick(reach: int, cycle: Cycle) -> float:
    """Swap two stretches that follow each other, a double bridge on nearby cities; returns what it cost."""
    n, tour, state = cycle.n, cycle.tour, cycle.state
    if _below(_WIDE_EVERY, state) == 0 and n >= 8:
        at, b, u = _long_edge(cycle), _long_edge(cycle), _long_edge(cycle)
        at, b, u = min(at, b, u), at + b + u - min(at, b, u) - max(at, b, u), max(at, b, u)
        if b in (at, u):
            return 0.0
    else:
        at = _below(n, state)
        b = (at + 1 + _below(reach, state)) % n
        u = (b + 1 + _below(reach, state)) % n
    c0, c1 = tour[at], tour[(at + 1) % n]
    c2, c3 = tour[b], tour[(b + 1) % n]
    c4, c5 = tour[u], tour[(u + 1) % n]
    cost = (
        distance(c0, c3, cycle)
        + distance(c4, c1, cycle)
        + distance(c2, c5, cycle)
        - distance(c0, c1, cycle)
        - distance(c2, c3, cycle)
        - distance(c4, c5, cycle)
    )
    _move_segment(c0, c1, c2, c3, c4, c5, 1, cycle)
    _push(c0, cycle)
    _push(c1, cycle)
    _push(c2, cycle)
    _push(c3, cycle)
    _push(c4, cycle)
    _push(c5, cycle)
    return cost


@compiled
def search(steps: int, reach: int, cycle: Cycle) -> float:
    """So many steps of iterated local search; returns by how much the tour is shorter now.

    While the first descent lasts a step looks at a few cities; later it is a kick, a descent from the cities that it
    touched, and the way back when the tour has become longer.
    """
    n, state = cycle.n, cycle.state
    gained = 0.0
    for _ in range(steps):
        state[_WRITTEN] = 0
        if state[_DESCENDED] == 0:
            gained += _descend(_START_STEP, cycle)
            if state[_WAITING] == 0:
                state[_DESCENDED] = 1
            continue
        change = -_kick(reach, cycle)
        change += _descend(n * n, cycle)
        if change >= 0.0:
            gained += change
        else:
            _undo(0, cycle)
    return gained

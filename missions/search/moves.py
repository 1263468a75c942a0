# SPDX-License-Identifier: AGPL-3.0-or-later
"""The moves of `improve`, compiled: what one is worth is found by doing it on the raster, and undoing it if refused.

A corner shifts, goes, or comes; a part of a track is flown the other way; two tracks swap their tails. Tracks are rows
of one array, n corners each. `home` holds NaN for a vehicle that need not come back. Randomness is a MINSTD sequence
(Park and Miller 1988), the same with and without compilation.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray
from missions.routing.compiled import compiled
from missions.search.sweep import sweep_leg

ROOM_PER_TRACK = 4000


@compiled
def _draw(state: NDArray[np.int64]) -> float:
    state[0] = (state[0] * 48271) % 2147483647
    return float(state[0]) / 2147483647.0


@compiled
def _turn_loss(ax: float, ay: float, bx: float, by: float, cx: float, cy: float, turn_m: float) -> float:
    """Metres' worth of slowing down at b: v^2 / a (1 - cos+)^2, as the energy model counts it."""
    ux, uy, vx, vy = bx - ax, by - ay, cx - bx, cy - by
    u, v = math.sqrt(ux * ux + uy * uy), math.sqrt(vx * vx + vy * vy)
    if u < 1e-9 or v < 1e-9:
        return 0.0
    kept = max(0.0, (ux * vx + uy * vy) / (u * v))
    return turn_m * (1.0 - kept) * (1.0 - kept)


@compiled
def track_cost(xy: FloatArray, n: int, home: FloatArray, turn_m: float) -> float:
    """Length of a track with what its turns cost, and with the way home when home has no NaN."""
    total = 0.0
    for k in range(n - 1):
        total += math.hypot(xy[k + 1, 0] - xy[k, 0], xy[k + 1, 1] - xy[k, 1])
    if turn_m > 0.0:
        for k in range(1, n - 1):
            total += _turn_loss(xy[k - 1, 0], xy[k - 1, 1], xy[k, 0], xy[k, 1], xy[k + 1, 0], xy[k + 1, 1], turn_m)
    if n > 0 and not math.isnan(home[0]):
        total += math.hypot(home[0] - xy[n - 1, 0], home[1] - xy[n - 1, 1])
    return total


@compiled
def leg_free(blocked: NDArray[np.bool_], frame: FloatArray, x0: float, y0: float, x1: float, y1: float) -> bool:
    """Whether a leg stays on free cells, sampled at half a cell."""
    west, south, cell = frame[0], frame[1], frame[2]
    rows, columns = blocked.shape
    steps = int(math.hypot(x1 - x0, y1 - y0) / (0.5 * cell)) + 1
    for k in range(steps + 1):
        t = k / steps
        column = math.floor((x0 + t * (x1 - x0) - west) / cell)
        row = math.floor((y0 + t * (y1 - y0) - south) / cell)
        if row < 0 or column < 0 or row >= rows or column >= columns or blocked[row, column]:
            return False
    return True


@compiled
def _window_cost(xy: FloatArray, n: int, first: int, last: int, home: FloatArray, turn_m: float) -> float:
    """Cost of the legs between corners first and last, of the turns at them, and of the way home if last is the end."""
    total = 0.0
    for k in range(max(0, first), min(n - 1, last)):
        total += math.hypot(xy[k + 1, 0] - xy[k, 0], xy[k + 1, 1] - xy[k, 1])
    if turn_m > 0.0:
        for k in range(max(1, first), min(n - 2, last) + 1):
            total += _turn_loss(xy[k - 1, 0], xy[k - 1, 1], xy[k, 0], xy[k, 1], xy[k + 1, 0], xy[k + 1, 1], turn_m)
    if last >= n - 1 and n > 0 and not math.isnan(home[0]):
        total += math.hypot(home[0] - xy[n - 1, 0], home[1] - xy[n - 1, 1])
    return total


@compiled
def _swept(
    counts: NDArray[np.int32],
    mass: FloatArray,
    pod: FloatArray,
    frame: FloatArray,
    xy: FloatArray,
    n: int,
    first: int,
    last: int,
    sign: int,
) -> float:
    change = 0.0
    for k in range(max(0, first), min(n - 1, last)):
        change += sweep_leg(counts, mass, pod, frame, xy[k, 0], xy[k, 1], xy[k + 1, 0], xy[k + 1, 1], sign)
    return change


@compiled
def _legs_free(blocked: NDArray[np.bool_], frame: FloatArray, xy: FloatArray, n: int, first: int, last: int) -> bool:
    for k in range(max(0, first), min(n - 1, last)):
        if not leg_free(blocked, frame, xy[k, 0], xy[k, 1], xy[k + 1, 0], xy[k + 1, 1]):
            return False
    return True


@compiled
def _nearest(
    xy: FloatArray, n: NDArray[np.int64], x: float, y: float, reach: float, skip_d: int, skip_k: int, pick: float
) -> tuple[int, int]:
    """A random corner within reach of a place, (-1, -1) without one; with reach 0 the nearest one."""
    best, found, count = 1e300, (-1, -1), 0
    for d in range(len(n)):
        for k in range(n[d]):
            if d == skip_d and abs(k - skip_k) <= 1:
                continue
            dx, dy = xy[d, k, 0] - x, xy[d, k, 1] - y
            away = dx * dx + dy * dy
            if reach > 0.0:
                if away < reach * reach:
                    count += 1
                    # Reservoir sampling with one number: its digits are drawn on.
                    pick = (pick * 9973.0 + 0.137) % 1.0
                    if pick * count < 1.0:
                        found = (d, k)
            elif away < best:
                best, found = away, (d, k)
    return found


@compiled
def anneal(
    counts: NDArray[np.int32],
    mass: FloatArray,
    pod: FloatArray,
    frame: FloatArray,
    blocked: NDArray[np.bool_],
    xy: FloatArray,
    n: NDArray[np.int64],
    fixed: NDArray[np.bool_],
    home: FloatArray,
    limit: FloatArray,
    price: FloatArray,
    cost: FloatArray,
    cumulative: FloatArray,
    state: NDArray[np.int64],
    turn_m: float,
    moves: int,
    heat: float,
    tails: bool,
) -> float:
    """Run some moves at one temperature; changes everything in place and returns the change of success."""
    gained = 0.0
    drones = len(n)
    radius = frame[3]
    longest = 6.0 * radius  # moves of long legs cost much and gain little
    columns = counts.shape[1]
    keep = np.empty((8, 2))
    for _ in range(moves):
        d = min(drones - 1, int(_draw(state) * drones))
        if n[d] < 3:
            continue
        kind = _draw(state)
        lowest = 1 if fixed[d] else 0
        track = xy[d]
        if kind < 0.50:  # a corner shifts
            k = lowest + min(n[d] - lowest - 1, int(_draw(state) * (n[d] - lowest)))
            scale = _draw(state)
            size = radius * (1.0 if scale < 0.2 else 0.3 if scale < 0.6 else 0.1)
            x = track[k, 0] + size * (_draw(state) + _draw(state) - 1.0)
            y = track[k, 1] + size * (_draw(state) + _draw(state) - 1.0)
            ox, oy = track[k, 0], track[k, 1]
            before = _window_cost(track, n[d], k - 1, k + 1, home[d], turn_m)
            if turn_m > 0.0:
                before = _window_cost(track, n[d], k - 2, k + 2, home[d], turn_m)
            track[k, 0], track[k, 1] = x, y
            reach = 2 if turn_m > 0.0 else 1
            grown = _window_cost(track, n[d], k - reach, k + reach, home[d], turn_m) - before
            if (grown > 0.0 and cost[d] + grown > limit[d]) or not _legs_free(
                blocked, frame, track, n[d], k - 1, k + 1
            ):
                track[k, 0], track[k, 1] = ox, oy
                continue
            track[k, 0], track[k, 1] = ox, oy
            change = _swept(counts, mass, pod, frame, track, n[d], k - 1, k + 1, -1)
            track[k, 0], track[k, 1] = x, y
            change += _swept(counts, mass, pod, frame, track, n[d], k - 1, k + 1, 1)
            worth = change - price[d] * grown
            if worth >= 0.0 or _draw(state) < math.exp(worth / heat):
                gained += change
                cost[d] += grown
            else:
                _swept(counts, mass, pod, frame, track, n[d], k - 1, k + 1, -1)
                track[k, 0], track[k, 1] = ox, oy
                _swept(counts, mass, pod, frame, track, n[d], k - 1, k + 1, 1)
        elif kind < 0.66:  # one or two corners go
            many = 1 if _draw(state) < 0.7 else 2
            if n[d] - lowest <= many + 1:
                continue
            k = lowest + min(n[d] - lowest - many, int(_draw(state) * (n[d] - lowest - many + 1)))
            before = _window_cost(track, n[d], k - 2, k + many + 1, home[d], turn_m)
            for i in range(many):
                keep[i, 0], keep[i, 1] = track[k + i, 0], track[k + i, 1]
            change = _swept(counts, mass, pod, frame, track, n[d], k - 1, k + many, -1)
            for i in range(k, n[d] - many):
                track[i, 0], track[i, 1] = track[i + many, 0], track[i + many, 1]
            n[d] -= many
            grown = _window_cost(track, n[d], k - 2, k + 1, home[d], turn_m) - before
            change += _swept(counts, mass, pod, frame, track, n[d], k - 1, k, 1)
            long = 0 < k < n[d] and math.hypot(track[k, 0] - track[k - 1, 0], track[k, 1] - track[k - 1, 1]) > longest
            worth = change - price[d] * grown
            if (
                not long
                and not (grown > 0.0 and cost[d] + grown > limit[d])
                and _legs_free(blocked, frame, track, n[d], k - 1, k)
                and (worth >= 0.0 or _draw(state) < math.exp(worth / heat))
            ):
                gained += change
                cost[d] += grown
            else:
                _swept(counts, mass, pod, frame, track, n[d], k - 1, k, -1)
                for i in range(n[d] - 1, k - 1, -1):
                    track[i + many, 0], track[i + many, 1] = track[i, 0], track[i, 1]
                n[d] += many
                for i in range(many):
                    track[k + i, 0], track[k + i, 1] = keep[i, 0], keep[i, 1]
                _swept(counts, mass, pod, frame, track, n[d], k - 1, k + many, 1)
        elif kind < 0.90:  # one or two corners come: near a corner, or where much is left
            many = 1 if _draw(state) < 0.6 else 2
            e, k = d, lowest + min(n[d] - lowest - 1, int(_draw(state) * (n[d] - lowest)))
            if _draw(state) < 0.5:
                x = track[k, 0] + 2.5 * radius * (2.0 * _draw(state) - 1.0)
                y = track[k, 1] + 2.5 * radius * (2.0 * _draw(state) - 1.0)
            else:
                cell = min(len(cumulative) - 1, int(np.searchsorted(cumulative, _draw(state) * cumulative[-1])))
                if counts.ravel()[cell] > 0:
                    continue
                x = frame[0] + (cell % columns + _draw(state)) * frame[2]
                y = frame[1] + (cell // columns + _draw(state)) * frame[2]
                e, k = _nearest(xy, n, x, y, 0.0, -1, -1, 0.0)
            if e < 0 or n[e] + many > ROOM_PER_TRACK - 2:
                continue
            track = xy[e]
            low = 1 if fixed[e] else 0
            at = k if _draw(state) < 0.5 else k + 1  # before or after that corner
            at = max(at, low)
            before = _window_cost(track, n[e], at - 2, at + 1, home[e], turn_m)
            change = _swept(counts, mass, pod, frame, track, n[e], at - 1, at, -1)
            for i in range(n[e] - 1, at - 1, -1):
                track[i + many, 0], track[i + many, 1] = track[i, 0], track[i, 1]
            n[e] += many
            turn = _draw(state) * 6.283185307179586
            for i in range(many):
                track[at + i, 0] = x + i * 2.0 * radius * math.cos(turn)
                track[at + i, 1] = y + i * 2.0 * radius * math.sin(turn)
            grown = _window_cost(track, n[e], at - 2, at + many + 1, home[e], turn_m) - before
            change += _swept(counts, mass, pod, frame, track, n[e], at - 1, at + many, 1)
            worth = change - price[e] * grown
            if (
                not (grown > 0.0 and cost[e] + grown > limit[e])
                and _legs_free(blocked, frame, track, n[e], at - 1, at + many)
                and (worth >= 0.0 or _draw(state) < math.exp(worth / heat))
            ):
                gained += change
                cost[e] += grown
            else:
                _swept(counts, mass, pod, frame, track, n[e], at - 1, at + many, -1)
                for i in range(at, n[e] - many):
                    track[i, 0], track[i, 1] = track[i + many, 0], track[i + many, 1]
                n[e] -= many
                _swept(counts, mass, pod, frame, track, n[e], at - 1, at, 1)
        elif kind < 0.97 or not tails:  # the part between two near corners is flown the other way (2-opt)
            i = lowest + min(n[d] - lowest - 1, int(_draw(state) * (n[d] - lowest)))
            e, j = _nearest(xy[d : d + 1], n[d : d + 1], track[i, 0], track[i, 1], 4.0 * radius, 0, i, _draw(state))
            if e < 0:
                continue
            i, j = min(i, j), max(i, j)
            if _draw(state) < 0.5:  # legs (i-1, i) and (j, j+1) change; corners i..j turn round
                i += 1
            else:
                j -= 1
            if i < lowest or j <= i:
                continue
            head, tail = i > 0, j + 1 < n[d]
            grown = 0.0
            if head:
                grown += math.hypot(track[i - 1, 0] - track[j, 0], track[i - 1, 1] - track[j, 1])
                grown -= math.hypot(track[i - 1, 0] - track[i, 0], track[i - 1, 1] - track[i, 1])
            if tail:
                grown += math.hypot(track[j + 1, 0] - track[i, 0], track[j + 1, 1] - track[i, 1])
                grown -= math.hypot(track[j + 1, 0] - track[j, 0], track[j + 1, 1] - track[j, 1])
            elif not math.isnan(home[d, 0]):
                grown += math.hypot(track[i, 0] - home[d, 0], track[i, 1] - home[d, 1])
                grown -= math.hypot(track[j, 0] - home[d, 0], track[j, 1] - home[d, 1])
            # A reversal that cannot pay is not tried on the raster: what it can gain is bounded by what it adds.
            if grown > 4.0 * radius:
                continue
            change = _swept(counts, mass, pod, frame, track, n[d], i - 1, i, -1)
            change += _swept(counts, mass, pod, frame, track, n[d], j, j + 1, -1)
            if turn_m > 0.0:
                grown = -track_cost(track, n[d], home[d], turn_m)
            a, b = i, j
            while a < b:
                for c in range(2):
                    track[a, c], track[b, c] = track[b, c], track[a, c]
                a, b = a + 1, b - 1
            if turn_m > 0.0:
                grown += track_cost(track, n[d], home[d], turn_m)
            change += _swept(counts, mass, pod, frame, track, n[d], i - 1, i, 1)
            change += _swept(counts, mass, pod, frame, track, n[d], j, j + 1, 1)
            worth = change - price[d] * grown
            if (
                not (grown > 0.0 and cost[d] + grown > limit[d])
                and _legs_free(blocked, frame, track, n[d], i - 1, i)
                and _legs_free(blocked, frame, track, n[d], j, j + 1)
                and (worth >= 0.0 or _draw(state) < math.exp(worth / heat))
            ):
                gained += change
                cost[d] += grown
            else:
                _swept(counts, mass, pod, frame, track, n[d], i - 1, i, -1)
                _swept(counts, mass, pod, frame, track, n[d], j, j + 1, -1)
                a, b = i, j
                while a < b:
                    for c in range(2):
                        track[a, c], track[b, c] = track[b, c], track[a, c]
                    a, b = a + 1, b - 1
                _swept(counts, mass, pod, frame, track, n[d], i - 1, i, 1)
                _swept(counts, mass, pod, frame, track, n[d], j, j + 1, 1)
        else:  # two tracks swap their tails
            i = 1 + min(n[d] - 2, int(_draw(state) * (n[d] - 1)))
            e, j = _nearest(xy, n, track[i, 0], track[i, 1], 4.0 * radius, d, i, _draw(state))
            if e < 0 or e == d or j < 1:
                continue
            other = xy[e]
            rest_d, rest_e = n[d] - i, n[e] - j
            if i + rest_e < 3 or j + rest_d < 3 or max(i + rest_e, j + rest_d) > ROOM_PER_TRACK - 4:
                continue
            cut_d = np.copy(track[: n[d]])
            cut_e = np.copy(other[: n[e]])
            new_d = np.concatenate((cut_d[:i], cut_e[j:]))
            new_e = np.concatenate((cut_e[:j], cut_d[i:]))
            cost_d = track_cost(new_d, len(new_d), home[d], turn_m)
            cost_e = track_cost(new_e, len(new_e), home[e], turn_m)
            if cost_d > max(limit[d], cost[d]) or cost_e > max(limit[e], cost[e]):
                continue
            if not _legs_free(blocked, frame, new_d, len(new_d), i - 1, i):
                continue
            if not _legs_free(blocked, frame, new_e, len(new_e), j - 1, j):
                continue
            change = _swept(counts, mass, pod, frame, cut_d, len(cut_d), i - 1, i, -1)
            change += _swept(counts, mass, pod, frame, cut_e, len(cut_e), j - 1, j, -1)
            change += _swept(counts, mass, pod, frame, new_d, len(new_d), i - 1, i, 1)
            change += _swept(counts, mass, pod, frame, new_e, len(new_e), j - 1, j, 1)
            worth = change - price[d] * (cost_d - cost[d]) - price[e] * (cost_e - cost[e])
            if worth >= 0.0 or _draw(state) < math.exp(worth / heat):
                gained += change
                cost[d], cost[e] = cost_d, cost_e
                n[d], n[e] = len(new_d), len(new_e)
                track[: n[d]] = new_d
                other[: n[e]] = new_e
            else:
                _swept(counts, mass, pod, frame, new_d, len(new_d), i - 1, i, -1)
                _swept(counts, mass, pod, frame, new_e, len(new_e), j - 1, j, -1)
                _swept(counts, mass, pod, frame, cut_d, len(cut_d), i - 1, i, 1)
                _swept(counts, mass, pod, frame, cut_e, len(cut_e), j - 1, j, 1)
    return gained

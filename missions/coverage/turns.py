# SPDX-License-Identifier: AGPL-3.0-or-later
"""Turns no longer than their duty needs.

A pattern search (Hooke and Jeeves 1961) moves a turn's corners while its duty, what only it sweeps, stays swept. The
search weighs samples of the duty, and an exact overlay judges before anything is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from missions.coverage.footprints import edge_samples, path_length, squared_away
from missions.coverage.paths import SAMPLE, Path
from missions.geo import FloatArray
from missions.model import never_stop

_STEPS = (0.6, 0.25, 0.1, 0.04)  # of the disc's radius
_AROUND: FloatArray = np.stack([np.cos(np.arange(12) * math.pi / 6.0), np.sin(np.arange(12) * math.pi / 6.0)], axis=1)
_BETWEEN = 1.0 - 0.005  # of the radius: what a disc may miss between two samples that it just reaches


def shorten(path: Path, passes: int, stop: Callable[[], bool] = never_stop) -> None:
    """Shorten every turn in order, a few times over: what one gives up another may take on.

    After stop() the path is as short as it has come, and sweeps what it did.
    """
    for _ in range(passes):
        before = path.length_m
        path.passes += 1
        for index, piece in enumerate(path.pieces):
            if not piece.turn:
                continue
            stirred = any(other.changed >= path.passes - 1 for other in path.near(piece.swept))
            if path.passes == 1 or stirred:
                if stop():
                    return
                _shorten(path, index)
        if before - path.length_m < 1e-3 * path.radius * len(path.pieces) / 4.0:
            break


def _shorten(path: Path, index: int) -> None:
    piece = path.pieces[index]
    duty = path.duty(index)
    samples = edge_samples(duty, SAMPLE * path.radius)
    free = (index == 0, index == len(path.pieces) - 1)
    for _ in range(3):
        points = _search(path, piece.points, samples, free)
        if points is piece.points:
            return
        left = path.left(points, duty)
        if not left:
            piece.take(points, path.radius)
            piece.changed = path.passes
            return
        samples = np.concatenate([samples, edge_samples(left, SAMPLE * path.radius)])


def _search(path: Path, points: FloatArray, samples: FloatArray, free: tuple[bool, bool]) -> FloatArray:
    """Corners moved or left out while every sample stays within the radius of the turn."""
    away = squared_away(samples, points[:-1], points[1:])
    was = away.min(axis=0)
    # What the turn just reaches now it may just reach later; elsewhere it keeps what samples may miss.
    limit = np.maximum((path.radius * _BETWEEN) ** 2, was * (1.0 + 1e-7))
    current = points
    length = path_length(current)
    start = length
    for step in _STEPS:
        moved = True
        while moved:
            moved = False
            k = 0 if free[0] else 1
            while k < len(current) - (0 if free[1] else 1):
                found = _better(path, current, k, samples, limit, away, step * path.radius)
                if found is not None and path_length(found) < length - 1e-4 * path.radius:
                    moved = moved or len(found) == len(current)
                    current, length = found, path_length(found)
                    away = squared_away(samples, current[:-1], current[1:])
                    continue
                k += 1
    return current if length < start - 1e-4 * path.radius else points


def _better(
    path: Path, points: FloatArray, k: int, samples: FloatArray, limit: FloatArray, away: FloatArray, step: float
) -> FloatArray | None:
    """The shortest of the turns with corner k left out or moved by a step that sweeps the samples.

    away holds the squared distances of samples from every leg, (legs, samples).
    """
    ends = points[[i for i in (k - 1, k + 1) if 0 <= i < len(points)]]
    if len(ends) == 0:
        return None
    is_open = ~((away[: max(0, k - 1)] <= limit).any(axis=0) | (away[k + 1 :] <= limit).any(axis=0))
    open_samples, limit = samples[is_open], limit[is_open]
    if len(ends) == 2:
        gone = squared_away(open_samples, ends[:1], ends[1:])[0]
        without = np.concatenate([points[:k], points[k + 1 :]])
        if (gone <= limit).all() and path.inside(ends):
            return without
    elif len(points) > 2 and len(open_samples) == 0:
        return np.concatenate([points[:k], points[k + 1 :]])
    spots = points[k] + step * _AROUND
    cost = np.hypot(spots[:, :1] - ends[:, 0], spots[:, 1:] - ends[:, 1]).sum(axis=1)
    shorter = cost < sum(math.dist(points[k], end) for end in ends) - 1e-4 * path.radius
    if not shorter.any():
        return None
    spots, cost = spots[shorter], cost[shorter]
    away = squared_away(open_samples, spots, ends[:1])
    if len(ends) == 2:
        np.minimum(away, squared_away(open_samples, spots, ends[1:]), out=away)
    good = np.all(away <= limit, axis=1)
    for choice in np.argsort(cost):
        if good[choice]:
            trial = points.copy()
            trial[k] = spots[choice]
            if path.inside(trial[max(0, k - 1) : k + 2]):
                return trial
    return None

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Closed tours against brute force, the optima of TSPLIB, and themselves without a compiler."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.bounds import tour_bound
from missions.model import Budget
from missions.routing.compiled import COMPILED
from missions.routing.tour import tour_over_matrix, tour_through_points


def _points(seed, n, side=1000.0):
    return np.random.default_rng(seed).uniform(0.0, side, (n, 2))


def _apart(points):
    return np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))


def _length(points, order):
    closed = points[[*order, order[0]]]
    return float(np.hypot(*np.diff(closed, axis=0).T).sum())


def _best_by_force(cost):
    rest = range(1, len(cost))
    return min(sum(cost[a, b] for a, b in itertools.pairwise((0, *order, 0))) for order in itertools.permutations(rest))


@given(st.integers(0, 10_000), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_small_tours_are_optimal(seed, n):
    points = _points(seed, n)
    found = tour_through_points(points, Budget(150, seed))
    assert sorted(found.order) == list(range(n))
    assert found.order[0] == 0
    assert found.length == pytest.approx(_length(points, found.order), abs=1e-9)
    best = _best_by_force(_apart(points))
    assert found.length == pytest.approx(best, abs=1e-6)
    assert tour_bound(_apart(points)) <= best + 1e-6


@given(st.integers(0, 10_000), st.integers(2, 120), st.sampled_from(["spread", "doubles", "row", "rounded"]))
@settings(max_examples=30, deadline=None)
def test_every_city_is_visited_once_and_no_tour_beats_the_bound(seed, n, kind):
    points = _points(seed, n)
    if kind == "doubles":
        points = points[np.random.default_rng(seed).integers(0, 1 + n // 4, n)]
    elif kind == "row":
        points[:, 1] = 5.0
    cost = np.round(_apart(points)) if kind == "rounded" else _apart(points)
    found = tour_over_matrix(cost, Budget(40, seed)) if kind == "rounded" else tour_through_points(points, Budget(40))
    assert sorted(found.order) == list(range(n))
    closed = (*found.order, found.order[0])
    assert found.length == pytest.approx(sum(cost[a, b] for a, b in itertools.pairwise(closed)), abs=1e-6)
    assert tour_bound(cost) <= found.length + 1e-6


def test_a_row_of_places_is_flown_up_and_down():
    points = np.column_stack([np.random.default_rng(3).permutation(60) * 10.0, np.zeros(60)])
    assert tour_through_points(points, Budget(500)).length == pytest.approx(2 * 590.0)


def test_points_and_their_matrix_give_the_same_tour():
    points = _points(4, 90)
    assert tour_through_points(points, Budget(300)).length == pytest.approx(
        tour_over_matrix(_apart(points), Budget(300)).length, rel=0.02
    )


def test_same_seed_same_tour_and_more_work_is_not_worse():
    points = _points(5, 150)
    lengths = []
    for iterations in (0, 1, 20, 700):
        found = tour_through_points(points, Budget(iterations, seed=9))
        assert found == tour_through_points(points, Budget(iterations, seed=9))
        assert found.iterations == iterations
        lengths.append(found.length)
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < lengths[0]


def test_a_stopped_run_can_be_repeated_with_the_iterations_that_it_did():
    points = _points(6, 80)
    calls = itertools.count()
    heard = []
    budget = Budget(10**9, 3, stop=lambda: next(calls) >= 4, progress=lambda f, m: heard.append((f, m)))
    stopped = tour_through_points(points, budget)
    assert 0 < stopped.iterations < 10_000
    assert tour_through_points(points, Budget(stopped.iterations, 3)) == stopped
    assert len(heard) == 5
    assert heard[-1] == (1.0, f"tour of {stopped.length:.0f}")


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: tour_through_points(np.zeros((3, 3)), Budget(1)), "shape"),
        (lambda: tour_through_points(np.array([[0.0, np.nan]]), Budget(1)), "finite"),
        (lambda: tour_over_matrix(np.zeros((2, 3)), Budget(1)), "square"),
        (lambda: tour_over_matrix(np.array([[0.0, 1.0], [2.0, 0.0]]), Budget(1)), "same both ways"),
        (lambda: tour_over_matrix(np.array([[0.0, np.inf], [np.inf, 0.0]]), Budget(1)), "finite"),
    ],
)
def test_what_is_no_instance_is_refused(call, hint):
    with pytest.raises(ValueError, match=hint):
        call()


_PROBE = """
import json, sys
import numpy as np
from missions.model import Budget
from missions.routing import compiled
from missions.routing.minmax import Item, Task, split
from missions.routing.tour import tour_over_matrix, tour_through_points
from missions.bounds import longest_flight_bound_s
points = np.random.default_rng(7).uniform(0.0, 1000.0, (70, 2))
apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
items = tuple(Item(i, i + i % 2, 3.0) for i in range(2, 30, 2)) + tuple(Item(i, i + 1, 9.0) for i in range(31, 41, 2))
task = Task(tuple(map(tuple, apart.tolist())), items, (0, 1, 1), (20.0, 25.0, 30.0))
found = split(task, Budget(150, 5))
print(json.dumps([
    compiled.COMPILED,
    tour_through_points(points, Budget(40, 2)).order,
    tour_over_matrix(apart.round(), Budget(20, 2)).order,
    [[(s.item, s.flip) for s in r] for r in found.routes],
    round(longest_flight_bound_s(task), 6),
]))
"""


@pytest.mark.skipif(not COMPILED, reason="numba is not installed: there is only the plain way")
def test_the_plain_way_gives_the_answers_of_the_compiled_one():
    answers = []
    for plain in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env={**os.environ, "NUMBA_DISABLE_JIT": plain},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        answers.append(json.loads(done.stdout))
    assert [a.pop(0) for a in answers] == [True, False]
    assert answers[0] == answers[1]


@pytest.mark.data
@pytest.mark.parametrize(("name", "optimum"), [("berlin52", 7542), ("eil51", 426), ("kroA100", 21282)])
def test_tsplib(name, optimum):
    data = os.environ.get("DRONECTL_DATA")
    if not data:
        pytest.skip("DRONECTL_DATA is not set: no TSPLIB instances")
    lines = Path(data, "planning", "tsplib", f"{name}.tsp").read_text(encoding="ascii").split("NODE_COORD_SECTION")[1]
    rows = [line.split()[1:] for line in lines.strip().splitlines() if len(line.split()) == 3]
    cost = np.floor(_apart(np.array(rows, dtype=float)) + 0.5)
    found = tour_over_matrix(cost, Budget(4000))
    assert optimum <= found.length <= 1.005 * optimum
    assert 0.98 * optimum <= tour_bound(cost) <= optimum + 1e-6

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Revisit plans: never below their bound, never worse than one tour, and what they claim is what a simulation measures."""

from __future__ import annotations

import math
import os
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree

from missions.errors import PlanError, PlanningError
from missions.judge_patrol import simulate_idleness
from missions.model import Budget
from missions.revisit.bound import forest_bound, idleness_bound
from missions.revisit.graph import parse_graph
from missions.revisit.groups import structures
from missions.revisit.model import Circuit, Endurance, RevisitTask, circuit_idleness_s
from missions.revisit.plan import plan_revisit
from missions.revisit.tours import improve, short_tour, tour_length

QUICK = settings(max_examples=25, deadline=None, print_blob=True)


def plane(rng, count, docks=0):
    places = rng.uniform(0.0, 1000.0, (count + docks, 2))
    return np.hypot(*(places[:, None] - places[None, :]).transpose(2, 0, 1)) / 10.0


def judged(task, circuits):
    return simulate_idleness(
        [(c.stops, c.drones) for c in circuits], task.time_s.tolist(), task.stay_s.tolist(), task.sites
    )


def shortest_closed(time_s):
    n = len(time_s)
    return min(sum(time_s[a][b] for a, b in pairwise((0, *rest, 0))) for rest in permutations(range(1, n)))


@st.composite
def tasks(draw, endurance=False):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, k = draw(st.integers(1, 14)), draw(st.integers(1, 5))
    dwell = rng.uniform(0.0, 20.0, n) if draw(st.booleans()) else np.zeros(n)
    weight = 2.0 ** -rng.integers(0, 4, n) if draw(st.booleans()) else np.ones(n)
    docks = draw(st.integers(1, 2)) if endurance else 0
    time_s = plane(rng, n, docks)
    limit = None
    if endurance:
        need = float((2.0 * time_s[n:, :n].min(axis=0) + dwell).max())
        limit = Endurance(max(need * draw(st.floats(1.0, 4.0)), 150.0), draw(st.floats(0.0, 120.0)))
    return RevisitTask(time_s, dwell, weight, k, limit)


@QUICK
@given(tasks())
def test_a_plan_keeps_its_bound_beats_one_tour_and_is_measured_as_claimed(task):
    plan = plan_revisit(task, Budget(120, seed=1))
    assert plan.worst_weighted >= plan.bound - 1e-6
    tour = short_tour(task.time_s, 20, 1)
    spaced = (tour_length(task.time_s, tour) + task.dwell_s.sum()) / task.drones * task.weight.max()
    assert plan.worst_weighted <= spaced + 1e-6
    measured = judged(task, plan.circuits).worst_s
    for site in range(task.sites):
        assert measured[site] is not None
        assert measured[site] == pytest.approx(plan.idleness_s[site], abs=1e-6)
    assert sum(c.drones for c in plan.circuits) <= task.drones


@settings(max_examples=12, deadline=None, print_blob=True)
@given(tasks(endurance=True))
def test_with_batteries_no_flight_is_too_long_and_the_claim_stands(task):
    plan = plan_revisit(task, Budget(30, seed=1))
    seen = judged(task, plan.circuits)
    assert all(flight is not None and flight <= task.endurance.fly_s + 1e-6 for flight in seen.longest_flight_s)
    for site in range(task.sites):
        assert seen.worst_s[site] == pytest.approx(plan.idleness_s[site], abs=1e-6)
    assert plan.worst_weighted >= plan.bound - 1e-6


def test_the_bound_holds_for_a_drone_that_sees_every_site_twice_around_a_swap():
    """Two sites 75 s apart, a dock 5 s beyond each: 370 s a lap, and yet no site waits longer than 260 s."""
    place = np.array([5.0, 80.0, 0.0, 85.0])  # two sites, then two docks
    task = RevisitTask(np.abs(place[:, None] - place), np.zeros(2), np.ones(2), 1, Endurance(100.0, 100.0))
    seen = judged(task, [Circuit((2, 0, 1, 3, 1, 0), 1)])
    assert seen.longest_flight_s == (85.0,)
    assert seen.worst_s == (260.0, 260.0)
    found = plan_revisit(task, Budget(40))
    assert found.bound <= 260.0
    assert found.bound == 250.0  # there and back, and one swap


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(3, 7), st.integers(1, 3))
def test_the_bound_lies_between_the_plain_forest_and_the_truth(seed, n, k):
    time_s = plane(np.random.default_rng(seed), n)
    edges = np.sort(minimum_spanning_tree(time_s).toarray()[np.nonzero(minimum_spanning_tree(time_s).toarray())])
    plain = float(edges[: n - min(k, n)].sum())
    lifted = forest_bound(time_s, k)
    assert lifted >= plain - 1e-9
    # The cheapest way to visit all with k paths: an order of all nodes without its k - 1 longest steps.
    paths = min(
        sum(sorted(time_s[a, b] for a, b in pairwise(order))[: max(0, n - k)]) for order in permutations(range(n))
    )
    assert lifted <= paths + 1e-6
    closed = shortest_closed(time_s)
    alone = idleness_bound(time_s, np.zeros(n), np.ones(n), 1)
    assert alone <= closed + 1e-6
    plan = plan_revisit(RevisitTask(time_s, np.zeros(n), np.ones(n), 1), Budget(100))
    assert plan.worst_s == pytest.approx(closed, abs=1e-6)


def test_parts_that_no_way_joins_have_a_bound_and_no_warnings():
    """A star of four in one part, one site in another, two drones: prices on the star's middle lift the forest."""
    star = np.array([(0.0, 0.0), (10.0, 0.0), (-5.0, 9.0), (-5.0, -9.0)])
    time_s = np.full((5, 5), np.inf)
    time_s[:4, :4] = np.hypot(*(star[:, None] - star[None, :]).transpose(2, 0, 1))
    time_s[4, 4] = 0.0
    with np.errstate(all="raise"):
        bound = forest_bound(time_s, 2)
    assert bound == pytest.approx(forest_bound(time_s[:4, :4], 1), rel=0.02)
    assert bound > 37.0  # the forest itself weighs 30.6, and is no path


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_improving_keeps_every_node_and_never_lengthens(seed, n):
    rng = np.random.default_rng(seed)
    time_s = plane(rng, n)
    before = rng.permutation(n).astype(np.int64)
    after = improve(time_s, before)
    assert sorted(after.tolist()) == list(range(n))
    assert tour_length(time_s, after) <= tour_length(time_s, before) + 1e-9


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.integers(1, 4))
def test_idleness_of_any_walk_with_repeated_stops_is_what_flying_it_gives(seed, n, drones):
    rng = np.random.default_rng(seed)
    walk = np.concatenate([rng.permutation(n), rng.integers(0, n, rng.integers(0, 12))])
    task = RevisitTask(plane(rng, n), rng.uniform(0.0, 9.0, n), np.ones(n), drones)
    claimed = circuit_idleness_s(task, walk, drones)
    measured = judged(task, [Circuit(tuple(walk.tolist()), drones)]).worst_s
    assert measured == pytest.approx(claimed.tolist(), abs=1e-6)


def test_heavy_sites_are_visited_more_often_where_that_pays():
    # Two sites 10 s apart that matter, eight light ones far out on the other side.
    places = np.array([(0.0, 0.0), (100.0, 0.0), *((3000.0 + 50.0 * i, 40.0 * (i % 3)) for i in range(8))])
    time_s = np.hypot(*(places[:, None] - places[None, :]).transpose(2, 0, 1)) / 10.0
    weight = np.array([8.0, 8.0, *[1.0] * 8])
    task = RevisitTask(time_s, np.zeros(10), weight, 1)
    plan = plan_revisit(task, Budget(3000, seed=1))
    alone = dict(plan.tried)
    assert alone["weighted"] <= alone["tour"] + 1e-9
    near = np.array([(0.0, 0.0), *((300.0 * math.cos(i), 300.0 * math.sin(i)) for i in range(9))])
    time_s = np.hypot(*(near[:, None] - near[None, :]).transpose(2, 0, 1)) / 10.0
    star = RevisitTask(time_s, np.zeros(10), np.array([6.0, *[1.0] * 9]), 1)
    plan = plan_revisit(star, Budget(3000, seed=1))
    assert plan.strategy == "weighted"
    assert plan.worst_weighted < 0.8 * dict(plan.tried)["tour"]


def test_far_apart_clusters_are_parted():
    rng = np.random.default_rng(5)
    centres = np.array([(0.0, 0.0), (9000.0, 0.0), (0.0, 9000.0)])
    places = np.repeat(centres, 5, axis=0) + rng.uniform(-100, 100, (15, 2))
    time_s = np.hypot(*(places[:, None] - places[None, :]).transpose(2, 0, 1))
    plan = plan_revisit(RevisitTask(time_s, np.zeros(15), np.ones(15), 3), Budget(300))
    assert plan.worst_s < 0.1 * dict(plan.tried)["tour"]
    assert {frozenset(s // 5 for s in c.stops) for c in plan.circuits} == {frozenset({g}) for g in range(3)}


def test_same_seed_same_plan():
    rng = np.random.default_rng(3)
    task = RevisitTask(plane(rng, 20), np.zeros(20), rng.uniform(1, 4, 20), 3)
    assert plan_revisit(task, Budget(200, seed=4)) == plan_revisit(task, Budget(200, seed=4))


def test_stop_still_gives_a_plan():
    rng = np.random.default_rng(3)
    task = RevisitTask(plane(rng, 20), np.zeros(20), np.ones(20), 3)
    plan = plan_revisit(task, Budget(200, stop=lambda: True))
    assert plan.strategy == "tour"
    assert math.isfinite(plan.worst_s)


@pytest.mark.parametrize("drones", [1, 3, 6, 9])
def test_structures_share_out_all_drones(drones):
    found = structures(drones)
    assert all(sum(way) == drones for way in found)
    assert (drones,) in found
    assert (1,) * drones in found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"time_s": np.zeros((0, 0)), "weight": np.ones(0), "dwell_s": np.zeros(0)}, "nothing to revisit"),
        ({"drones": 0}, "at least one drone"),
        ({"time_s": np.array([[0.0, np.inf], [np.inf, 0.0]])}, "cannot be reached"),
        ({"time_s": np.array([[0.0, 2.0], [1.0, 0.0]])}, "same both ways"),
        ({"weight": np.array([1.0, 0.0])}, "weight of site 1"),
        ({"dwell_s": np.array([-1.0, 0.0])}, "dwell at site 0"),
        ({"endurance": Endurance(60.0, 10.0)}, "at least one dock"),
        (
            {"time_s": np.array([[0, 9, 9], [9, 0, 50], [9, 50, 0.0]]), "endurance": Endurance(60.0, 10.0)},
            "site 1 needs 100 s .* 40 s more",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_in_words(change, said):
    fields = {
        "time_s": np.array([[0.0, 1.0], [1.0, 0.0]]), "dwell_s": np.zeros(2), "weight": np.ones(2), "drones": 1, **change
    }  # fmt: skip
    with pytest.raises(PlanningError, match=said):
        RevisitTask(**fields)


SQUARE = "4\n10 10\n0.5\n0 0\n" + "".join(
    f"{i} {x} {y} 2 {(i + 1) % 4} E 8 {(i - 1) % 4} W 8\n" for i, (x, y) in enumerate([(0, 0), (8, 0), (8, 8), (0, 8)])
)


def test_a_graph_is_read_and_walked_along_its_edges():
    graph = parse_graph(SQUARE)
    assert graph.length_m[0].tolist() == [0.0, 4.0, 8.0, 4.0]
    assert graph.place_m[2].tolist() == [4.0, 4.0]
    walk = graph.walk((0, 2))
    assert len(walk) == 4
    assert walk[0] == 0
    assert walk[2] == 2
    assert {walk[1], walk[3]} <= {1, 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "g: the file ends where the number of nodes"),
        ("0 1 1 1 0 0", "no nodes"),
        ("2\n1 1 1 0 0\n0 x 0 0", "g:3: x of node 0 is 'x'"),
        ("2\n1 1 1 0 0\n0 0 0 1 7 E 5", "g:3: a neighbour of node 0 is 7"),
        ("2\n1 1 1 0 0\n0 0 0 0\n0 0 0 0", "node 1 is not described"),
        ("1\n1 1 0 0 0", "g:2: metres per pixel is 0"),
        (SQUARE[:-8], "ends where"),
    ],
)
def test_a_broken_graph_is_refused_with_its_line(text, said):
    with pytest.raises(PlanError, match=said):
        parse_graph(text, "g")


@pytest.fixture(scope="module")
def graphs():
    if "DRONECTL_DATA" not in os.environ:
        pytest.skip("needs the patrol graphs of $DRONECTL_DATA")
    return Path(os.environ["DRONECTL_DATA"]) / "planning" / "patrol_graphs"


@pytest.mark.parametrize(("name", "drones"), [("grid", 3), ("grid", 8), ("cumberland", 4), ("cumberland", 7)])
def test_published_graphs_are_patrolled_at_least_as_often_as_by_one_tour(graphs, name, drones):
    graph = parse_graph((graphs / name / f"{name}.graph").read_text(encoding="utf-8"), name)
    n = len(graph.length_m)
    task = RevisitTask(graph.length_m, np.zeros(n), np.ones(n), drones)
    plan = plan_revisit(task, Budget(400))
    tour = tour_length(graph.length_m, short_tour(graph.length_m, 60, 9))
    assert plan.bound - 1e-6 <= plan.worst_s <= tour / drones + 1e-6
    assert max(judged(task, plan.circuits).worst_s) == pytest.approx(plan.worst_s, abs=1e-6)


def test_published_partition_routes_are_beaten(graphs):
    graph = parse_graph((graphs / "grid" / "grid.graph").read_text(encoding="utf-8"), "grid")
    n = len(graph.length_m)
    for drones in (2, 5, 8):
        routes = [
            [int(w) for w in (graphs / "MSP" / "grid" / f"grid_{drones}_{i}").read_text(encoding="utf-8").split()[1:]]
            for i in range(drones)
        ]
        task = RevisitTask(graph.length_m, np.zeros(n), np.ones(n), drones)
        published = [Circuit(tuple(r[:-1] if r[0] == r[-1] else r), 1) for r in routes]
        assert set().union(*(c.stops for c in published)) == set(range(n))
        worst = max(judged(task, published).worst_s)
        assert plan_revisit(task, Budget(300)).worst_s <= worst + 1e-6

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Standing patrols over random places: flyable, apart round after round, idleness as the judge hears it, above its bound."""

from __future__ import annotations

import random
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.circuit_rounds import longest_gap_s
from missions.circuits import plan_circuits
from missions.deconflict.meetings import Meetings
from missions.deconflict.rounds import round_apart
from missions.deconflict.segments import Minima
from missions.energy import plan_energy
from missions.errors import PlanningError
from missions.feasibility import blockers, check_plan
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.judge_patrol import RoundFlight, judge_rounds
from missions.judge_separation import judge_separation
from missions.model import Authority, Budget, Category, FlightPlan, Geofence, Mission, VehicleLimits, Waypoint
from missions.patrol import PatrolLine, PatrolPoint, PatrolTask, PatrolVehicle, plan_patrol
from missions.revisit.bound import idleness_bound, rates_bound
from missions.revisit.model import Endurance, RevisitTask
from missions.revisit.plan import plan_revisit
from missions.terrain import FlatTerrain
from missions.validate import MustLine, MustPoint, judge_patrol

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

from rounds_judged import again, complaints

HOME = GeoPoint(-33.9, 151.2)
FRAME = LocalFrame(HOME)
MISSION = Mission("circuits", "patrol", Authority("duty desk", "exercise"), Category.PATROL)
LIMITS = VehicleLimits(cruise_speed_m_s=8.0, endurance_s=1500.0)
FLAT = FlatTerrain(20.0)
BUDGET = Budget(iterations=120, seed=3)
SWAP_S = 180.0


def ring(*places):
    return tuple(FRAME.to_geo(*p) for p in places)


FENCE = Geofence((ring((-900, -900), (900, -900), (900, 900), (-900, 900)),), max_altitude=Altitude(160.0, Datum.HOME))


def drones(count, *, docks=1):
    return tuple(
        PatrolVehicle(
            f"d{i + 1}",
            FRAME.to_geo(8.0 * i + 700.0 * (i % docks), -500.0 * (i % docks)),
            100.0 + 8.0 * i,
            12.0 * (i % 4),
        )
        for i in range(count)
    )


def at(east, north, name, dwell=3.0):
    return PatrolPoint(name, name, FRAME.to_geo(east, north), dwell)


def patrol(points, lines=()):
    return PatrolTask(MISSION, tuple(points), tuple(lines), 60.0, 8.0)


def random_patrol(rng):
    points = [
        at(rng.uniform(-800, 800), rng.uniform(-800, 800), f"p{i}", rng.choice([0.0, 3.0, 20.0]))
        for i in range(rng.randint(1, 5))
    ]
    lines = []
    for i in range(rng.randint(0, 2)):
        path = [(rng.uniform(-800, 800), rng.uniform(-800, 800)) for _ in range(rng.randint(2, 3))]
        lines.append(PatrolLine(f"l{i}", f"l{i}", ring(*path), one_way=rng.random() < 0.4))
    return patrol(points, lines)


def plan(task, intervals, vehicles, *, limits=LIMITS, swap_s=SWAP_S, wind_m_s=0.0, budget=BUDGET):
    return plan_circuits(task, intervals, vehicles, FENCE, limits, FLAT, budget, swap_s=swap_s, wind_m_s=wind_m_s)


def judged(found, swap_s=SWAP_S):
    """What the judge hears of every round that was made, in seconds of the careful energy model."""
    return [c for made in found.rounds for c in complaints(found.items, made, made.energies, swap_s)]


@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([1, 2]), st.sampled_from([0.0, 4.0]))
@settings(max_examples=6, deadline=None)
def test_rounds_can_be_flown_again_and_again(seed, count, docks, wind_m_s):
    rng = random.Random(seed)
    task, vehicles = random_patrol(rng), drones(count, docks=docks)
    intervals = [rng.choice([300.0, 900.0, 3600.0]) for _ in (*task.points, *task.lines)]
    try:
        found = plan(task, intervals, vehicles, wind_m_s=wind_m_s)
    except PlanningError as error:
        assert "of its battery too much" in str(error)  # noqa: PT017  # what a random line may ask for
        return
    assert judged(found) == []
    points = [MustPoint(p.item_id, p.position, p.dwell_s) for p in task.points]
    lines = [MustLine(x.item_id, x.path, x.one_way) for x in task.lines]
    for made in found.rounds:
        for p in made.plans:
            assert blockers(check_plan(p, LIMITS, FLAT, wind_m_s=wind_m_s)) == []
        flown = again(made.plans, made.period_s)
        assert judge_separation(flown, [p.start_after_s for p in flown], LIMITS) == []
        heard = judge_patrol(made.plans, points, lines, FENCE, LIMITS, FLAT)
        assert [c for c in heard if not re.search(r"is served [1-9]", c)] == []  # several times is the aim
        ratios = [i / w for i, w in zip(made.idleness_s, intervals, strict=True)]
        assert made.worst_ratio == max(ratios) >= found.bound - 1e-9
        assert made.worst_s >= found.bound_s - 1e-6
        assert min(p.start_after_s for p in made.plans) == 0.0
        assert made.worst_ratio >= found.best.worst_ratio - 1e-9


def test_same_seed_same_round():
    task = random_patrol(random.Random(5))
    one, two = (plan(task, [900.0] * len((*task.points, *task.lines)), drones(2)) for _ in range(2))
    assert one == two


def test_three_drones_on_a_ring_are_three_times_as_often_there():
    """Eight places around the dock: one tour, equally spaced; each drone as far behind the one before."""
    task = patrol([at(400 * np.cos(a), 400 * np.sin(a), f"p{k}") for k, a in enumerate(np.arange(8) * np.pi / 4)])
    one, three = (plan(task, [600.0] * 8, drones(n)) for n in (1, 3))
    tour = next(r for r in three.rounds if r.strategy == "tour")
    assert three.best.worst_ratio <= tour.worst_ratio < 0.5 * one.best.worst_ratio
    assert tour.worst_s == pytest.approx(tour.period_s / 3.0, rel=0.1)
    assert {r.strategy for r in three.rounds} >= {"tour", "partition", "groups"}


def test_far_clusters_are_partitioned_and_what_matters_more_is_visited_more_often():
    near = [at(500 + 130 * k, -700, f"a{k}", 0.0) for k in range(3)]
    far = [at(-560 - 130 * k, 600, f"b{k}", 0.0) for k in range(3)]
    apart = plan(
        patrol([*near, *far]),
        [600.0] * 6,
        (
            PatrolVehicle("d1", FRAME.to_geo(600, -600), 100.0),
            PatrolVehicle("d2", FRAME.to_geo(-700, 500), 110.0, 12.0),
        ),
    )
    assert apart.best.strategy == "partition"
    assert apart.best.worst_ratio < 0.6 * next(r for r in apart.rounds if r.strategy == "tour").worst_ratio
    owners = {p.vehicle_id: {i[0] for w in p.waypoints for i in w.serves} for p in apart.best.plans}
    assert owners == {"d1": {"a"}, "d2": {"b"}}
    line = patrol([at(60, 0, "often"), *(at(-500 + 60 * k, 700, f"p{k}") for k in range(8))])
    weighted = plan(line, [120.0, *([3600.0] * 8)], drones(1), limits=replace(LIMITS, endurance_s=2400.0))
    visits = dict(zip(weighted.items, weighted.best.visits_s, strict=True))
    assert weighted.best.strategy == "weighted"
    assert len(visits["often"]) > max(len(v) for k, v in visits.items() if k != "often")
    assert weighted.best.worst_ratio < next(r for r in weighted.rounds if r.strategy == "tour").worst_ratio


def test_batteries_that_last_for_two_places_only_make_every_drone_fly_its_share_in_turns():
    """Six far places wanted alike, two drones: three flights each with swaps between, as the patrol planner shares them."""
    task = patrol([at(600 * np.cos(a), 600 * np.sin(a), f"p{k}") for k, a in enumerate(np.arange(6) * np.pi / 3)])
    weak = replace(LIMITS, endurance_s=470.0)
    found = plan(task, [3600.0] * 6, drones(2), limits=weak)
    assert judged(found) == []
    assert all(e.margin_fraction >= weak.reserve_fraction for r in found.rounds for e in r.energies)
    assert len(found.best.plans) > 2
    shares = plan_patrol(task, drones(2), FENCE, weak, FLAT, BUDGET)
    assert found.best.worst_s <= 1.3 * (shares.busiest_s + 3 * SWAP_S)


def test_what_no_battery_lasts_for_is_refused_by_name():
    task = patrol([at(20, 20, "near"), at(800, 800, "far")])
    with pytest.raises(PlanningError, match=r"^'far': d1 would use \d+% of its battery too much") as caught:
        plan(task, [600.0, 600.0], drones(1), limits=replace(LIMITS, endurance_s=300.0))
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(PlanningError, match="nothing to patrol"):
        plan(patrol([]), [], drones(1))


def test_gaps_are_counted_round_the_end_of_the_period():
    assert longest_gap_s([10.0, 40.0], 100.0) == 70.0
    assert longest_gap_s([5.0], 60.0) == 60.0
    assert longest_gap_s([], 60.0) == float("inf")


def there_and_back(vehicle, east):
    home = FRAME.to_geo(0.0, 0.0)
    spot = Waypoint(FRAME.to_geo(east, 0.0), Altitude(60.0, Datum.HOME), serves=("p",))
    return FlightPlan(vehicle, MISSION, home, 20.0, 60.0, (spot,), FENCE, 60.0, 8.0)


def test_a_round_that_cannot_be_kept_apart_in_its_period_gets_a_longer_one():
    """Two drones from one pad, up the same column to the same place: one has landed before the next may start."""
    plans = [there_and_back("d1", 200.0), there_and_back("d2", 200.0)]
    lasts = plan_energy(plans[0], LIMITS).time_s
    meetings = Meetings(plans, LIMITS, 0.0, Minima())
    found = round_apart(meetings, lambda p: [0.0, p / 2.0], lasts, 10.0 * lasts, swap_s=0.0, slack_s=10.0)
    assert found is not None
    assert found.period_s > 1.3 * lasts
    started = [replace(p, start_after_s=s) for p, s in zip(plans, found.starts_s, strict=True)]
    flown = again(started, found.period_s, rounds=4)
    assert judge_separation(flown, [p.start_after_s for p in flown], LIMITS) == []
    assert round_apart(meetings, lambda p: [0.0, p / 2.0], lasts, 1.2 * lasts, swap_s=0.0, slack_s=10.0) is None


@pytest.mark.parametrize("damage", ["early", "missing", "late", "unsaid"])
def test_the_judge_of_rounds_notices(damage):
    flights = [
        RoundFlight("d1", 0.0, 100.0, (("p", 50.0),)),
        RoundFlight("d1", 150.0, 100.0, (("p", 50.0), ("q", 60.0))),
    ]
    said = {"p": 150.0, "q": 300.0}
    assert judge_rounds(flights, 300.0, 50.0, said) == []
    if damage == "early":
        assert judge_rounds(flights, 300.0, 60.0, said)
    elif damage == "missing":
        assert judge_rounds([flights[0], replace(flights[1], visits=(("p", 50.0),))], 300.0, 50.0, said)
    elif damage == "late":
        assert judge_rounds(flights, 310.0, 50.0, said)
    else:
        assert judge_rounds(flights, 300.0, 50.0, {"p": 150.0})


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 3), st.booleans())
@settings(max_examples=15, deadline=None)
def test_no_circuits_come_by_more_often_than_the_rates_allow(seed, sites, count, ends):
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.0, 500.0, (sites + 1, 2))
    times = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    dwell, weight = rng.uniform(0.0, 60.0, sites), 1.0 / rng.choice([100.0, 700.0, 3000.0], sites)
    battery = Endurance(1500.0, 300.0) if ends else None
    found = plan_revisit(
        RevisitTask(times if ends else times[:sites, :sites], dwell, weight, count, battery), Budget(30)
    )
    fly = {"fly_s": 1500.0, "swap_s": 300.0} if ends else {}
    dock = times[sites, :sites] if ends else np.full(sites, np.inf)
    bound = rates_bound(times[:sites, :sites], dock, dwell, weight, count, **fly)
    assert bound <= found.worst_weighted + 1e-9


def test_rates_where_they_are_known():
    """One drone between two places 100 s apart: each is left alone for 200 s, which both bounds say."""
    times, nobody = np.array([[0.0, 100.0], [100.0, 0.0]]), np.full(2, np.inf)
    assert rates_bound(times, nobody, np.zeros(2), np.ones(2), 1) == pytest.approx(200.0)
    # Wanted ten times as often: the one is hardly left, and rates say so where the forest does not.
    weight = np.array([10.0, 1.0])
    assert rates_bound(times, nobody, np.zeros(2), weight, 1) == pytest.approx(1100.0)
    assert idleness_bound(times, np.zeros(2), weight, 1) == pytest.approx(200.0)
    assert rates_bound(times, nobody, np.zeros(2), np.ones(2), 2) == 0.0
    assert rates_bound(times, nobody, np.zeros(2), np.ones(2), 1, fly_s=300.0, swap_s=100.0) == pytest.approx(
        200.0 / 0.75
    )

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flights over an area: all of it is seen, each lands with its reserve, none leaves its fence or loses a metre."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from coverage_shapes import rings_of

from missions.coverage.area import AreaRings, cover_area
from missions.coverage.flights import CoverTask, CoverVehicle, plan_cover
from missions.coverage.sorties import SortiePlanner
from missions.coverage.track import even_track
from missions.errors import PlanningError
from missions.feasibility import blockers, check_plan
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.judge_coverage import judge_coverage
from missions.judge_separation import judge_separation
from missions.model import Authority, Budget, Category, Geofence, Mission, VehicleLimits
from missions.terrain import FlatTerrain, GridTerrain

HOME = GeoPoint(-33.9, 151.2)  # the southern hemisphere
FRAME = LocalFrame(HOME)
MISSION = Mission("cover-1", "search a field", Authority("duty desk", "exercise"), Category.SEARCH)
LIMITS = VehicleLimits(cruise_speed_m_s=8.0)
BUDGET = Budget(iterations=5)


def ring(*places):
    return tuple(FRAME.to_geo(*p) for p in places)


FENCE = Geofence((ring((-100, -100), (900, -100), (900, 800), (-100, 800)),), max_altitude=Altitude(140.0, Datum.HOME))
FIELD = AreaRings(
    ring((50, 50), (800, 80), (750, 700), (60, 650)), (ring((300, 300), (400, 300), (400, 400), (300, 400)),)
)
HILL = GridTerrain(
    FRAME,
    -400.0,
    -400.0,
    40.0,
    (20.0 * np.sin(np.arange(50)[:, None] / 6.0) * np.cos(np.arange(50)[None, :] / 7.0)).astype(np.float32),
    "made up",
    1.0,
)


def task(width_m=40.0, **changes):
    return CoverTask(MISSION, cover_area([FIELD]), width_m, 8.0, **changes)


def drones(count):
    return tuple(
        CoverVehicle(f"d{i + 1}", FRAME.to_geo(8.0 * i, 0.0), 90.0 + 8.0 * i, 70.0 - 6.0 * i) for i in range(count)
    )


def flown(wanted, plan):
    frame = wanted.area.frame
    return [np.array([frame.to_enu(w.position) for w in s.plan.waypoints]) for s in plan.sorties]


def split(planner, track, most):
    """The flights, and when the last is down."""
    found = planner.split(track, most)
    return found.flights, found.time_s


@pytest.mark.parametrize(("count", "terrain", "avoid"), [(1, FlatTerrain(20.0), False), (3, HILL, True)])
def test_flights_cover_the_area_and_can_be_flown(count, terrain, avoid):
    wanted = task(avoid_holes=avoid)
    plan = plan_cover(wanted, drones(count), FENCE, LIMITS, terrain, BUDGET)
    for sortie in plan.sorties:
        assert blockers(check_plan(sortie.plan, LIMITS, terrain)) == []
        assert sortie.energy.landing_fraction >= LIMITS.reserve_fraction
        assert sortie.plan.waypoints[0].gimbal_pitch_deg == -90.0 or any(
            w.gimbal_pitch_deg == -90.0 for w in sortie.plan.waypoints[:4]
        )
    plans = [s.plan for s in plan.sorties]
    assert judge_separation(plans, [p.start_after_s for p in plans], LIMITS) == []
    ends = sorted((s.from_m, s.to_m) for s in plan.sorties)
    assert ends[0][0] == 0.0
    assert ends[-1][1] == pytest.approx(plan.sweep.length_m)
    assert all(a[1] == b[0] for a, b in pairwise(ends))  # taken up where it was left
    # Corners nearer than a metre to each other are one waypoint: the judge allows for that metre.
    verdict = judge_coverage(flown(wanted, plan), rings_of(wanted.area.shape), wanted.width_m + 2.0)
    assert verdict.fraction == 1.0
    assert plan.time_s >= plan.bound_s > 0.0


@pytest.mark.parametrize("apart_m", [0.0, 5e-4, 0.6])
def test_what_is_swept_from_one_place_is_flown_to(apart_m):
    """An area smaller than a swath may be swept by a path without length, and is a flight all the same."""
    planner = SortiePlanner(task(), drones(2), FENCE, LIMITS, FlatTerrain(20.0), 0.0)
    east, north = planner.frame.to_enu(FRAME.to_geo(300.0, 300.0))
    (sortie,), time_s = split(planner, even_track(np.array([[east, north], [east + apart_m, north]]), -90.0), 1)
    assert time_s == sortie.energy.time_s > 100.0
    assert sortie.plan.waypoints[0].gimbal_pitch_deg == -90.0
    assert np.hypot(*(np.array(FRAME.to_enu(sortie.plan.waypoints[0].position)) - 300.0)) < 1.0


LONG = Geofence((ring((-100, -100), (6000, -100), (6000, 1800), (-100, 1800)),))
LANES = ((200, 100), (2500, 100), (2500, 600), (200, 600), (200, 1100), (2500, 1100))


def lanes(planner, places=LANES):
    return even_track(np.array([planner.frame.to_enu(FRAME.to_geo(*p)) for p in places]), -90.0)


def test_flights_that_batteries_ask_for_are_shared_among_the_drones():
    """A street of one swath, whose flights all lie nearer to the second drone's pad, by a few metres."""
    planner = SortiePlanner(task(), drones(2), LONG, LIMITS, FlatTerrain(20.0), 0.0)
    sorties, time_s = split(planner, lanes(planner), 1)
    assert {s.vehicle_id for s in sorties} == {"d1", "d2"}
    assert time_s == max(s.plan.start_after_s + s.energy.time_s for s in sorties)
    assert sorted(s.plan.start_after_s for s in sorties)[1] > 0.0  # one waits


def test_a_street_of_one_swath_is_shared_where_that_ends_it_sooner():
    strong = VehicleLimits(cruise_speed_m_s=8.0, endurance_s=3000.0)
    one, two = (SortiePlanner(task(), drones(n), LONG, strong, FlatTerrain(20.0), 0.0) for n in (1, 2))
    _, alone_s = split(one, lanes(one), 1)
    sorties, time_s = split(two, lanes(two), 1)
    assert [s.vehicle_id for s in sorties] in (["d1", "d2"], ["d2", "d1"])
    assert time_s < 0.7 * alone_s
    short = lanes(two, ((300, 300), (420, 300)))  # not worth a second drone
    assert len(split(two, short, 1)[0]) == 1


def test_a_drone_that_is_too_far_away_leaves_the_work_to_the_others():
    short = VehicleLimits(cruise_speed_m_s=8.0, endurance_s=1200.0)
    near, far = drones(2)
    far = replace(far, home=FRAME.to_geo(5900.0, 0.0))
    planner = SortiePlanner(task(), (near, far), LONG, short, FlatTerrain(20.0), 0.0)
    sorties, _ = split(planner, lanes(planner, LANES[:3]), 5)
    assert {s.vehicle_id for s in sorties} == {"d1"}
    halfway = replace(far, home=FRAME.to_geo(4500.0, 0.0))  # reaches the eastern ends only
    planner = SortiePlanner(task(), (near, halfway), LONG, short, FlatTerrain(20.0), 0.0)
    sorties, _ = split(planner, lanes(planner), 5)
    assert sorties[0].from_m == 0.0
    assert sorties[-1].to_m == pytest.approx(planner.along[-1])
    assert all(s.energy.landing_fraction >= LIMITS.reserve_fraction for s in sorties)


@pytest.mark.parametrize("first", [0, 1])
def test_a_drone_behind_a_wall_leaves_the_work_to_the_one_beside_the_area(first):
    """A keep-out from edge to edge: whichever drone is named first, the one on the area's side flies."""
    walled = Geofence(FENCE.inclusion, (ring((-110, 400), (910, 400), (910, 450), (-110, 450)),))
    homes = [FRAME.to_geo(0.0, 0.0), FRAME.to_geo(0.0, 700.0)]
    pair = [CoverVehicle(f"d{i}", homes[i], 90.0 + 8.0 * i, 70.0 - 6.0 * i) for i in (first, 1 - first)]
    south = cover_area([AreaRings(ring((100, 100), (400, 100), (400, 250), (100, 250)))])
    wanted = CoverTask(MISSION, south, 40.0, 8.0)
    plan = plan_cover(wanted, tuple(pair), walled, LIMITS, FlatTerrain(20.0), BUDGET)
    assert {s.vehicle_id for s in plan.sorties} == {"d0"}
    assert plan.sweep.unswept_m2 < 1.0


@pytest.mark.parametrize("high", [0, 1])
def test_what_one_drone_cannot_hold_another_flies(high):
    """Of two pads side by side the drone with the higher way home does not get to the far end and back."""
    pair = [replace(d, return_height_m=190.0 if i == high else 90.0) for i, d in enumerate(drones(2))]
    short = VehicleLimits(cruise_speed_m_s=8.0, endurance_s=1200.0)
    planner = SortiePlanner(task(), tuple(pair), LONG, short, FlatTerrain(20.0), 0.0)
    sorties, _ = split(planner, lanes(planner, LANES[:3]), 5)
    assert sorties[-1].to_m == pytest.approx(planner.along[-1])
    assert len(sorties) <= 5
    assert all(s.energy.margin_fraction >= short.reserve_fraction for s in sorties)


def test_smaller_batteries_take_more_flights():
    small = VehicleLimits(cruise_speed_m_s=8.0, endurance_s=900.0)
    few = plan_cover(task(), drones(1), FENCE, LIMITS, FlatTerrain(0.0), BUDGET)
    many = plan_cover(task(), drones(1), FENCE, small, FlatTerrain(0.0), BUDGET)
    assert len(many.sorties) > len(few.sorties)
    assert [s.number for s in many.sorties] == list(range(1, len(many.sorties) + 1))


def test_one_drone_goes_on_for_as_many_batteries_as_it_takes():
    """Lanes that the battery reaches all of: thirty flights, where a dozen were once the most."""
    short = VehicleLimits(cruise_speed_m_s=8.0, endurance_s=520.0)
    planner = SortiePlanner(task(), drones(1), FENCE, short, FlatTerrain(20.0), 0.0)
    places = [(x, y) for i, y in enumerate(range(100, 500, 10)) for x in ((100, 700) if i % 2 else (700, 100))]
    sorties, time_s = split(planner, lanes(planner, places), len(places) // 2)
    assert len(sorties) > 20
    assert [s.from_m for s in sorties[1:]] == [s.to_m for s in sorties[:-1]]
    assert sorties[-1].to_m == pytest.approx(planner.along[-1])
    assert all(s.energy.landing_fraction >= short.reserve_fraction for s in sorties)
    assert time_s == max(s.plan.start_after_s + s.energy.time_s for s in sorties)
    ready_s = 0.0
    for sortie in sorties:  # each as soon as the battery is swapped, on a tenth of a second
        assert sortie.plan.start_after_s == math.ceil(round(ready_s * 10.0, 6)) / 10.0
        ready_s = sortie.plan.start_after_s + sortie.energy.time_s + 120.0


def test_batteries_that_cannot_reach_are_refused_with_place_and_amount():
    tiny = VehicleLimits(cruise_speed_m_s=8.0, endurance_s=130.0)
    with pytest.raises(PlanningError, match=r"% of its battery too much around -33\.\d+, 151\.\d+"):
        plan_cover(task(), drones(1), FENCE, tiny, FlatTerrain(0.0), BUDGET)


@pytest.mark.parametrize(
    ("vehicles", "fence", "said"),
    [
        ((), FENCE, "at least one drone"),
        (drones(1), Geofence((ring((-9, -9), (9, -9), (9, 9), (-9, 9)),)), "no room"),
        (drones(1), Geofence((ring((100, -100), (900, -100), (900, 800), (100, 800)),)), "outside the fence"),
    ],
)
def test_what_cannot_be_flown_is_refused(vehicles, fence, said):
    with pytest.raises(PlanningError, match=said):
        plan_cover(task(), vehicles, fence, LIMITS, FlatTerrain(0.0), BUDGET)

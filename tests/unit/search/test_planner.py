# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whole searches: flights that may be flown, figures that the judge confirms, and the rest of a flight planned again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import LineString, Polygon

from missions.errors import PlanningError
from missions.feasibility import blockers, check_plan
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.judge_search import judge_effort_bound, judge_pos, judge_posterior
from missions.judge_separation import judge_separation
from missions.model import Authority, Budget, Category, Geofence, Mission, VehicleLimits
from missions.search.belief import disc_sensor, exponential_sensor
from missions.search.flights import SearchOrder, SearchVehicle
from missions.search.lost_person import distance_law
from missions.search.planner import after_flying, belief_within, plan_search, replan
from missions.search.probability import from_array, from_distances
from missions.search.tracks import pod_grid
from missions.terrain import FlatTerrain, GridTerrain
from missions.validate import judge_patrol

FRAME = LocalFrame(GeoPoint(-33.9, 18.45))
LIMITS = VehicleLimits(cruise_speed_m_s=9.0, endurance_s=1500.0)
ORDER = SearchOrder(Mission("s", "find", Authority("desk", "call"), Category.SEARCH), 60.0, 9.0)
BUDGET = Budget(50_000, 2)


def ring(*corners):
    return tuple(FRAME.to_geo(*c) for c in corners)


KEEP_OUT = ((150, 100), (420, 130), (380, 330), (160, 300))
FENCE = Geofence(
    (ring((-900, -700), (800, -900), (1000, 500), (100, 950), (-800, 700)),),
    (ring(*KEEP_OUT),),
    Altitude(150.0, Datum.HOME),
)


def hills():
    x = np.arange(-80, 81) * 20.0
    heights = 40.0 + 25.0 * np.sin(x[None, :] / 300.0) + 20.0 * np.cos(x[:, None] / 260.0)
    return GridTerrain(FRAME, -1600.0, -1600.0, 20.0, heights.astype(np.float32), "made", 1.0)


TERRAIN = hills()
CHART = from_distances(distance_law("child_4_6", "urban"), FRAME)


def vehicles(count, spot=(-60.0, -40.0)):
    return [
        SearchVehicle(f"d{i}", FRAME.to_geo(spot[0] + 8.0 * i, spot[1]), 70.0 + 6.0 * i, 6.0 * (i % 4))
        for i in range(count)
    ]


def check_flights(found, limits=LIMITS, fence=FENCE, wind=0.0):
    plans = [f.plan for f in found.flown]
    for plan in plans:
        assert blockers(check_plan(plan, limits, TERRAIN, wind_m_s=wind)) == []
    assert judge_patrol(plans, [], [], fence, limits, TERRAIN) == []
    assert judge_separation(plans, [p.start_after_s for p in plans], limits, wind_m_s=wind) == []


@pytest.mark.parametrize("sweep", [disc_sensor(25.0), exponential_sensor(50.0)], ids=["disc", "exponential"])
def test_a_search_is_flyable_and_is_worth_what_it_says(sweep):
    found = plan_search(CHART, sweep, vehicles(3), ORDER, FENCE, LIMITS, TERRAIN, BUDGET)
    check_flights(found)
    assert len(found.flown) == 3
    assert not found.idle
    disc = sweep.round_ends
    judged = judge_pos(
        CHART.p, CHART.west_m, CHART.south_m, CHART.cell_m, [f.track for f in found.flown], 25.0, disc=disc, samples=5
    )
    assert found.pos == pytest.approx(judged, rel=0.02)
    assert 0.5 < found.ratio <= 1.0
    names = [c.name for c in found.candidates]
    assert len(set(names)) == len(names) >= 10
    for flight in found.flown:
        assert LIMITS.reserve_fraction <= flight.energy.landing_fraction < LIMITS.reserve_fraction + 0.1
        keep_out = Polygon(KEEP_OUT)
        assert not LineString(flight.track).intersects(keep_out)
    if not disc:
        metres = sum(f.energy.length_m for f in found.flown)
        assert judge_effort_bound(found.raster.mass, found.raster.cell_m, 50.0 * metres) <= found.bound * 1.02


def test_the_same_seed_gives_the_same_flights():
    one, two = (
        plan_search(CHART, disc_sensor(25.0), vehicles(2), ORDER, FENCE, LIMITS, TERRAIN, Budget(20_000, 9))
        for _ in range(2)
    )
    assert [f.plan for f in one.flown] == [f.plan for f in two.flown]


def test_wind_shortens_a_search():
    calm = plan_search(CHART, disc_sensor(25.0), vehicles(1), ORDER, FENCE, LIMITS, TERRAIN, Budget(5000))
    windy = plan_search(
        CHART, disc_sensor(25.0), vehicles(1), replace(ORDER, wind_m_s=8.0), FENCE, LIMITS, TERRAIN, Budget(5000)
    )
    check_flights(windy, wind=8.0)
    assert windy.pos < calm.pos
    assert windy.flown[0].energy.length_m < calm.flown[0].energy.length_m


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"wind": 30.0}, "wind"),
        ({"battery": 0.27}, r"charge.*d0 lacks \d+% of a battery"),
        ({"spot": (3000.0, 0.0)}, "outside the fence"),
        ({"chart": (50_000.0, 0.0)}, r"no drone can reach.*lies 49\d\d\d m beyond"),
        ({"count": 0}, "at least one drone"),
    ],
)
def test_searches_that_cannot_be_are_refused_with_the_reason(change, word):
    chart = CHART
    if "chart" in change:
        chart = from_array(np.ones((4, 4)), FRAME, 30.0, source="far", west_m=change["chart"][0])
    drones = [
        replace(v, battery_fraction=change.get("battery", 1.0))
        for v in vehicles(change.get("count", 2), change.get("spot", (0.0, 0.0)))
    ]
    order = replace(ORDER, wind_m_s=change.get("wind", 0.0))
    with pytest.raises(PlanningError, match=word):
        plan_search(chart, disc_sensor(25.0), drones, order, FENCE, LIMITS, TERRAIN, Budget(1000))


def test_what_lies_beyond_a_slanting_fence_or_amid_a_keep_out_is_not_in_reach():
    """A strip across the map: of its box most cannot be seen, and what cannot be seen nobody may hope to find there."""
    chart = from_array(np.ones((50, 50)), FRAME, 40.0, source="even")
    strip = ((-900, -1000), (-1000, -900), (900, 1000), (1000, 900))
    sweep = exponential_sensor(50.0)
    belief = belief_within(chart, sweep, vehicles(1, (0.0, 0.0)), ORDER, Geofence((ring(*strip),)), LIMITS)
    seen = Polygon(strip).buffer(25.0 - 3.0 - 9.0**2 / 6.0).area / 2000.0**2  # half a swath beyond the margin
    assert 1.0 - belief.outside == pytest.approx(seen, abs=0.01)
    assert belief.mass.sum() + belief.outside == pytest.approx(1.0, abs=1e-9)
    amid = from_array(np.ones((1, 1)), FRAME, 30.0, source="amid", west_m=270.0, south_m=200.0)
    with pytest.raises(PlanningError, match=r"no drone can reach.*lies [5-9]\d m beyond"):
        plan_search(amid, sweep, vehicles(1), ORDER, FENCE, LIMITS, TERRAIN, Budget(100))


def test_terrain_that_does_not_reach_is_refused():
    small = GridTerrain(FRAME, -200.0, -200.0, 20.0, np.zeros((21, 21), dtype=np.float32), "small", 1.0)
    with pytest.raises(PlanningError, match="no terrain"):
        plan_search(CHART, disc_sensor(25.0), vehicles(1), ORDER, FENCE, LIMITS, small, Budget(1000))


def test_a_flat_site_has_no_contour_pattern():
    flat = plan_search(CHART, disc_sensor(25.0), vehicles(1), ORDER, FENCE, LIMITS, FlatTerrain(20.0), Budget(1000))
    assert not any(c.name == "contour" for c in flat.candidates)


def half_flown(found, share=0.4):
    """What was flown, where the drones are, and what is left of their tracks."""
    flown, rest, places = [], [], []
    for flight in found.flown:
        cut = max(2, int(len(flight.track) * share))
        flown.append(flight.track[:cut])
        rest.append(flight.track[cut - 1 :])
        places.append(FRAME.to_geo(*flight.track[cut - 1]))
    return flown, rest, places


def test_the_rest_of_a_flight_is_planned_again_on_exact_bayes():
    sweep = exponential_sensor(50.0)
    found = plan_search(CHART, sweep, vehicles(4), ORDER, FENCE, LIMITS, TERRAIN, BUDGET)
    flown, rest, places = half_flown(found)
    now = after_flying(found.belief, sweep, flown)
    pod = pod_grid(flown, found.raster, sweep)
    oracle = judge_posterior(found.belief.mass.ravel().tolist(), pod.ravel().tolist(), found.belief.outside)
    assert np.abs(now.mass.ravel() - np.asarray(oracle)).max() < 1e-9
    in_air = [replace(v, at=p, battery_fraction=0.6) for v, p in zip(vehicles(4), places, strict=True)]
    keep_outs = (ring(*KEEP_OUT), ring((-420, -260), (-200, -260), (-200, -120), (-420, -120)))
    cases = {
        "swept without success": (in_air, rest, ORDER, FENCE),
        "lost drone": (in_air[1:], rest[1:], ORDER, FENCE),
        "wind": (in_air, rest, replace(ORDER, wind_m_s=7.0), FENCE),
        "no-fly zone": (in_air, rest, ORDER, replace(FENCE, exclusion=keep_outs)),
    }
    for name, (known, left, order, fence) in cases.items():
        drones, tracks = known, left
        if name == "no-fly zone":  # those over the new zone have to leave it by hand first
            zone = Polygon([FRAME.to_enu(p) for p in keep_outs[1]]).buffer(30.0)
            outside = [i for i, p in enumerate(places) if not zone.contains_properly(LineString([FRAME.to_enu(p)] * 2))]
            drones, tracks = [drones[i] for i in outside], [tracks[i] for i in outside]
        again = replan(now, sweep, drones, tracks, order, fence, LIMITS, TERRAIN, Budget(30_000, 4))
        assert again.pos > 0.0, name
        assert again.ratio <= 1.0, name
        for flight in again.flown:
            assert flight.energy.landing_fraction >= LIMITS.reserve_fraction, name
            drone = next(d for d in drones if d.vehicle_id == flight.plan.vehicle_id)
            assert np.hypot(*(flight.track[0] - FRAME.to_enu(drone.at))) < 1.0, name
            for keep_out in fence.exclusion:
                assert not LineString(flight.track).intersects(Polygon([FRAME.to_enu(p) for p in keep_out])), name
        kept = next(c for c in again.candidates if c.name == "rest of the flight")
        assert again.candidates[0].pos >= kept.pos, name


def test_a_drone_beyond_the_raster_opens_no_way_through_a_keep_out():
    """It brakes in the fence's margin, where a narrow sensor's raster does not reach; the rest is planned from there."""
    square, amid = ((-400, -400), (400, -400), (400, 400), (-400, 400)), ((-60, -60), (60, -60), (60, 60), (-60, 60))
    fence, sweep = Geofence((ring(*square),), (ring(*amid),)), exponential_sensor(10.0)
    (drone,) = vehicles(1, (-300.0, -300.0))
    belief = belief_within(CHART, sweep, [drone], ORDER, fence, LIMITS)
    for at in ((-396.0, 0.0), (0.0, -396.0)):
        turned = replace(drone, at=FRAME.to_geo(*at), battery_fraction=0.6)
        again = replan(belief, sweep, [turned], [np.empty((0, 2))], ORDER, fence, LIMITS, TERRAIN, Budget(0))
        row, column = (int(-low / belief.cell_m) for low in (belief.south_m, belief.west_m))
        assert again.raster.blocked[row - 20 : row + 20, column - 20 : column + 20].all()


def test_nobody_left_is_said():
    with pytest.raises(PlanningError, match="no drone is left"):
        replan(
            plan_search(CHART, disc_sensor(25.0), vehicles(1), ORDER, FENCE, LIMITS, TERRAIN, Budget(0)).belief,
            disc_sensor(25.0), [], [], ORDER, FENCE, LIMITS, TERRAIN, Budget(0),
        )  # fmt: skip

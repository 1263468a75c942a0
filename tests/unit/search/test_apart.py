# SPDX-License-Identifier: AGPL-3.0-or-later
"""Searches planned again for drones in the air and on pads together: all that flies keeps apart, by the judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.judge_separation import judge_separation
from missions.model import Authority, Budget, Category, Geofence, Mission, VehicleLimits
from missions.search.area import search_room
from missions.search.belief import belief_in, disc_sensor
from missions.search.flights import Flights, SearchOrder, SearchVehicle
from missions.search.improve import Allowance, Raster
from missions.search.lost_person import distance_law
from missions.search.planner import replan
from missions.search.probability import from_distances
from missions.search.shorten import Shortener
from missions.search.tracks import cost_m, success
from missions.separation import check_separation
from missions.terrain import FlatTerrain

FRAME = LocalFrame(GeoPoint(50.0, 4.0))
HALF_M = 900.0
LIMITS, GROUND = VehicleLimits(), FlatTerrain(100.0)
ORDER = SearchOrder(Mission("m", "search", Authority("desk", "form"), Category.SEARCH), 60.0, 8.0)
SWEEP = disc_sensor(30.0)


def fence():
    corners = ((-HALF_M, -HALF_M), (HALF_M, -HALF_M), (HALF_M, HALF_M), (-HALF_M, HALF_M))
    return Geofence((tuple(FRAME.to_geo(*c) for c in corners),), (), Altitude(150.0, Datum.HOME))


def believed():
    chart = from_distances(distance_law("child_7_9", "temperate_flat"), FRAME, reach_m=HALF_M)
    return belief_in(chart, (-HALF_M, -HALF_M, HALF_M, HALF_M), 30.0)


def drones(rng, in_air, on_pads):
    """Pads in a row, 20 m apart; places anywhere, some of them on top of each other; layers of 6 m for some."""
    out = []
    for i in range(in_air + on_pads):
        at = FRAME.to_geo(*rng.uniform(-600.0, 600.0, 2)) if i < in_air else None
        if at is not None and i and rng.random() < 0.1:
            at = out[0].at
        pad = FRAME.to_geo(20.0 * i - 90.0, 0.0)
        layer = float(rng.choice([0.0, 6.0, 12.0]))
        out.append(SearchVehicle(f"d{i}", pad, 90.0 + 4.0 * i, layer, float(rng.choice([0.45, 0.5, 0.6])), at))
    return out


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_planned_for_drones_in_the_air_and_on_pads_passes_the_judge(seed):
    rng = np.random.default_rng(seed)
    in_air, on_pads, wind = int(rng.integers(2, 11)), int(rng.integers(0, 3)), float(rng.choice([0.0, 4.0]))
    vehicles = drones(rng, in_air, on_pads)
    order = replace(ORDER, wind_m_s=wind)
    plan = replan(
        believed(), SWEEP, vehicles, [np.empty((0, 2))] * len(vehicles), order, fence(), LIMITS, GROUND, Budget(2000)
    )
    ids = {v.vehicle_id for v in vehicles if v.at is not None}
    plans = [f.plan for f in plan.flights]
    print(
        f"seed {seed}: {in_air} in the air, {on_pads} on pads, wind {wind:.0f} m/s, slack {plan.slack_aloft_s}, ",
        end="",
    )
    print(f"{[(c.vehicle_id, c.kind.value, c.amount) for c in plan.changes]}, home {plan.idle}")
    assert ids <= {p.vehicle_id for p in plans}  # nobody in the air is left out of what is kept apart
    for blowing in {0.0, wind}:
        breaches = check_separation(plans, LIMITS, wind_m_s=blowing, aloft=ids)
        assert all(b.now for b in breaches)
        near = {(plans[b.first].vehicle_id, plans[b.second].vehicle_id) for b in breaches}
        starts = [p.start_after_s for p in plans]
        judged = judge_separation(plans, starts, LIMITS, wind_m_s=blowing, aloft=ids)
        assert {(b.first, b.second) for b in judged} <= near
        assert all(b.time_s <= 20.0 for b in judged)
    assert all(f.energy.margin_fraction >= LIMITS.reserve_fraction - 1e-9 for f in plan.flown)
    assert plan.pos == pytest.approx(success([f.track for f in plan.flown], plan.raster, SWEEP))


def test_a_drone_in_the_air_that_is_of_no_use_comes_home_and_the_others_keep_clear():
    empty = SearchVehicle("d0", FRAME.to_geo(0.0, 0.0), 90.0, 0.0, 0.28, FRAME.to_geo(300.0, 0.0))
    full = SearchVehicle("d1", FRAME.to_geo(20.0, 0.0), 94.0, 0.0, 0.7, FRAME.to_geo(300.0, 25.0))
    plan = replan(
        believed(), SWEEP, [empty, full], [np.empty((0, 2))] * 2, ORDER, fence(), LIMITS, GROUND, Budget(2000)
    )
    (home,) = plan.homeward
    assert plan.idle == ("d0",)
    assert [f.plan.vehicle_id for f in plan.flown] == ["d1"]
    assert home.plan.vehicle_id == "d0"
    assert len(home.plan.waypoints) == 1
    plans = [f.plan for f in plan.flights]
    assert judge_separation(plans, [0.0, 0.0], LIMITS, aloft=["d0", "d1"]) == []


def test_holds_and_heights_leave_tracks_as_they_are():
    """What is believed after flights depends on where they were, so that is not for separation to change unsaid."""
    plan = replan(
        believed(), SWEEP, drones(np.random.default_rng(7), 8, 0), [np.empty((0, 2))] * 8,
        ORDER, fence(), LIMITS, GROUND, Budget(2000),
    )  # fmt: skip
    assert any(w.hold_s > 0.0 for f in plan.flown for w in f.plan.waypoints)
    for f in plan.flown:
        places = [FRAME.to_enu(w.position) for w in f.plan.waypoints][: len(f.track)]
        assert np.abs(np.array(places) - f.track).max() < 0.01


def test_a_track_is_cut_where_least_is_lost():
    belief = believed()
    raster = Raster(belief.west_m, belief.south_m, belief.cell_m, belief.mass, np.zeros(belief.mass.shape, dtype=bool))
    # Far out and back through the middle, where most is: the end is worth more than the excursion before it.
    track = np.array([[0.0, 400.0], [-800.0, 400.0], [-800.0, 480.0], [0.0, 480.0], [0.0, 200.0], [100.0, 0.0]])
    other = np.array([[300.0, -300.0], [600.0, -300.0]])
    allowance = Allowance(5000.0, (0.0, 400.0), (120.0, 0.0))
    found = Shortener([track, other], raster, SWEEP)
    short, lost = found.shorter(0, allowance, 10.0, 500.0)
    assert cost_m(short, allowance, 10.0) <= cost_m(track, allowance, 10.0) - 500.0
    assert short[-1].tolist() == [100.0, 0.0]
    assert short[0].tolist() == [0.0, 400.0]
    both = success([track, other], raster, SWEEP)
    assert lost == pytest.approx(both - success([short, other], raster, SWEEP), rel=0.05)
    assert found.found == pytest.approx(both, rel=0.05)
    assert found.shorter(0, allowance, 10.0, 1e5) is None
    assert found.shorter(0, allowance, 10.0, 500.0)[1] == pytest.approx(lost)  # asking changes nothing


def test_ways_home_follow_the_fence():
    hole = tuple(FRAME.to_geo(*c) for c in ((100, -100), (200, -100), (200, 100), (100, 100)))
    holed = replace(fence(), exclusion=(hole,))
    vehicle = SearchVehicle("d0", FRAME.to_geo(0.0, 0.0), 90.0, 0.0, 0.5, FRAME.to_geo(300.0, 0.0))
    room = search_room(holed, LIMITS, 8.0, [vehicle.home, vehicle.at], FRAME)
    home = Flights(ORDER, room, holed, LIMITS, GROUND).homeward(vehicle)
    assert len(home.plan.waypoints) > 1

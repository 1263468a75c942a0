# SPDX-License-Identifier: AGPL-3.0-or-later
"""Photo grids: every place in enough pictures, from above and from four sides, through battery swaps, over hills."""

from __future__ import annotations

import math

import numpy as np
import pytest
from coverage_shapes import rings_of, star
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity
from shapely.geometry import Polygon, box

from missions.coverage.area import AreaRings, cover_area
from missions.coverage.photo_flights import plan_photos
from missions.coverage.photo_lines import nadir_view, oblique_view, photo_track
from missions.coverage.sorties import CoverTask, CoverVehicle, SortiePlanner
from missions.coverage.sweep import even_cost
from missions.coverage.track import Track
from missions.errors import PlanningError
from missions.feasibility import blockers, check_plan
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.judge_photos import FlownPath, judge_photos, photos_of
from missions.mavlink_items import DO_MOUNT_CONTROL, DO_SET_CAM_TRIGG_DIST, NAV_WAYPOINT, compile_plan
from missions.model import Authority, Budget, Camera, Category, Geofence, Mission, Modality, VehicleLimits
from missions.terrain import FlatTerrain, GridTerrain

HOME = GeoPoint(-33.9, 151.2)
FRAME = LocalFrame(HOME)
MISSION = Mission("map-1", "map a field", Authority("duty desk", "exercise"), Category.SEARCH)
LIMITS = VehicleLimits(cruise_speed_m_s=8.0)
BUDGET = Budget(iterations=5)
LENS = Camera("c", Modality.RGB, 4000, 3000, 3000.0, 3000.0, 1999.5, 1499.5)
HALVES = (4000 / 3000 / 2, 3000 / 3000 / 2, 3000.0)
ROOM = box(-2000.0, -2000.0, 2000.0, 2000.0)


def of_track(track, height_m):
    legs = len(track.trigger_m)
    corners = np.column_stack([track.corners_m, np.full(legs + 1, height_m)])
    return FlownPath(corners, np.append(track.trigger_m, 0.0), np.insert(track.pitch_deg, 0, math.nan))


def flat(east_m, north_m):
    return np.zeros(len(east_m))


def test_pictures_are_taken_where_an_autopilot_takes_them():
    """By hand: at once, every 10 m, on over a bend, none after the stop."""
    corners = np.array([[0.0, 0, 50], [25.0, 0, 50], [25.0, 20, 60], [25.0, 100, 60]])
    path = FlownPath(corners, np.array([10.0, np.nan, 0.0, np.nan]), np.array([np.nan, -60.0, np.nan, np.nan]))
    photos = photos_of(path)
    assert photos[:, :2].tolist() == [[0, 0], [10, 0], [20, 0], [25, 5], [25, 15]]
    assert photos[:, 2].tolist() == [50, 50, 50, 52.5, 57.5]
    assert photos[:, 3].tolist() == [90, 90, 90, 0, 0]
    assert set(photos[:, 4]) == {-60.0}


@given(st.floats(-180, 180), st.floats(-90, -30), st.integers(0, 10_000))
def test_the_judge_sees_what_a_rotation_matrix_sees(heading, pitch, seed):
    """Against a camera turned by rotation matrices, one point at a time."""
    rng = np.random.default_rng(seed)
    ring = box(-150, -150, 150, 150)
    ground = lambda e, n: 5.0 * np.sin(e / 40.0) + 0.02 * n  # noqa: E731
    place = np.array([*rng.uniform(-40, 40, 2), 60.0])
    verdict = judge_photos(
        np.array([[*place, heading, pitch]]), rings_of(ring), ground, 0.6, 0.45, 1000.0, needed=0, cell_m=10.0
    )
    psi, theta = math.radians(heading), math.radians(pitch)
    # Body axes of a level camera looking north, then turned down about its right, then about the vertical.
    turn = np.array([[1, 0, 0], [0, math.cos(theta), -math.sin(theta)], [0, math.sin(theta), math.cos(theta)]])
    round_ = np.array([[math.cos(psi), math.sin(psi), 0], [-math.sin(psi), math.cos(psi), 0], [0, 0, 1]])
    world = round_ @ turn
    seen = 0
    for x in np.arange(-145.0, 150.0, 10.0):
        for y in np.arange(-145.0, 150.0, 10.0):
            there = np.array([x, y, float(ground(np.array([x]), np.array([y]))[0])]) - place
            right, ahead, up = world.T @ there
            seen += ahead > 0 and abs(right) <= 0.6 * ahead + 1e-9 and abs(up) <= 0.45 * ahead + 1e-9
    if pitch <= -80.0:
        assert verdict.nadir_median * verdict.cells >= 0
        counted = judge_photos(
            np.array([[*place, heading, pitch]]), rings_of(ring), ground, 0.6, 0.45, 1000.0, needed=1, cell_m=10.0
        ).enough
        assert abs(counted - seen) <= 1  # a cell on the very edge
    elif seen > 450:
        assert verdict.looks_median == 1.0


@settings(max_examples=25)
@given(
    st.integers(0, 10_000),
    st.integers(4, 12),
    st.sampled_from([30.0, 120.0, 300.0]),
    st.sampled_from([(0.0, 0.0), (0.3, 0.3), (0.75, 0.7), (0.8, 0.8), (0.5, 0.65)]),
)
def test_every_place_is_in_as_many_pictures_as_the_overlaps_say(seed, corners, size, overlaps):
    area = star(seed, corners=corners, size=size)
    view = nadir_view(LENS, 60.0, side_overlap=overlaps[1], front_overlap=overlaps[0])
    grid = photo_track(area, [view], ROOM, BUDGET, even_cost, 10.0)
    photos = photos_of(of_track(grid.track, 60.0))
    verdict = judge_photos(photos, rings_of(area), flat, *HALVES, needed=view.needed, cell_m=max(1.0, size / 60))
    assert verdict.enough == verdict.cells, verdict
    assert verdict.gsd_worst_m == pytest.approx(60.0 / 3000.0)
    times = math.floor(1 / (1 - overlaps[0]) + 1e-9) * math.floor(1 / (1 - overlaps[1]) + 1e-9)
    assert view.needed == times


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([120.0, 250.0]), st.sampled_from([-45.0, -60.0, -70.0]))
def test_obliques_show_every_place_from_four_sides(seed, size, pitch):
    area = star(seed, size=size)
    views = [
        nadir_view(LENS, 60.0, side_overlap=0.3, front_overlap=0.3),
        oblique_view(LENS, 60.0, pitch, side_overlap=0.6, front_overlap=0.6),
    ]
    grid = photo_track(area, views, ROOM, BUDGET, even_cost, 10.0)
    photos = photos_of(of_track(grid.track, 60.0))
    verdict = judge_photos(photos, rings_of(area), flat, *HALVES, needed=1, cell_m=4.0)
    assert verdict.fraction == 1.0
    assert verdict.sides_fraction > 0.95, verdict
    assert grid.length_m / grid.bound_m >= 1.0


@pytest.mark.parametrize("turned_deg", [20.0, 45.0, 135.0])
def test_four_sides_are_those_of_the_grid_whatever_way_it_lies(turned_deg):
    """Places in degrees bring a plan's corners off by a hair: no heading of a grid may lie between two sides."""
    area = affinity.rotate(box(-120.0, -60.0, 120.0, 60.0), turned_deg)
    views = [
        nadir_view(LENS, 60.0, side_overlap=0.3, front_overlap=0.3),
        oblique_view(LENS, 60.0, -60.0, side_overlap=0.6, front_overlap=0.6),
    ]
    path = of_track(photo_track(area, views, ROOM, BUDGET, even_cost, 10.0).track, 60.0)
    path.corners_m[:, :2] += np.random.default_rng(1).normal(0.0, 1e-6, path.corners_m[:, :2].shape)
    verdict = judge_photos(photos_of(path), rings_of(area), flat, *HALVES, needed=1, cell_m=4.0)
    assert verdict.sides_fraction == 1.0
    one_way = photos_of(path)
    one_way = one_way[(one_way[:, 4] <= -80.0) | (np.abs((one_way[:, 3] - turned_deg + 90.0) % 360.0 - 180.0) < 100.0)]
    verdict = judge_photos(one_way, rings_of(area), flat, *HALVES, needed=1, cell_m=4.0)
    assert verdict.sides_fraction == 0.0


def ring(*places):
    return tuple(FRAME.to_geo(*p) for p in places)


FENCE = Geofence(
    (ring((-300, -300), (1300, -300), (1300, 1200), (-300, 1200)),), max_altitude=Altitude(140.0, Datum.HOME)
)
FIELD = AreaRings(ring((50, 50), (800, 80), (750, 700), (60, 650)))
HILL = GridTerrain(
    FRAME,
    -800.0,
    -800.0,
    40.0,
    (15.0 * np.sin(np.arange(70)[:, None] / 9.0) * np.cos(np.arange(70)[None, :] / 11.0)).astype(np.float32),
    "made up",
    1.0,
)


@pytest.mark.parametrize("terrain", [FlatTerrain(0.0), HILL], ids=["flat", "hills"])
def test_flights_replay_the_camera_and_leave_nothing_out(terrain):
    """Three flights of one drone: each sets angle and trigger itself, and together they hold every place."""
    area = cover_area([FIELD])
    stray = 7.0
    views = [
        nadir_view(LENS, 70.0 - stray, side_overlap=0.7, front_overlap=0.75),
        oblique_view(LENS, 70.0 - stray, -60.0, side_overlap=0.5, front_overlap=0.6),
    ]
    task = CoverTask(MISSION, area, views[0].spacing_m, 8.0, tolerance_m=stray)
    vehicle = CoverVehicle("d1", HOME, 90.0, 70.0)
    found = plan_photos(task, views, (vehicle,), FENCE, LIMITS, terrain, BUDGET)
    assert len(found.sorties) > 2
    assert found.time_s >= found.bound_s
    photos = []
    for before, after in zip(found.sorties, found.sorties[1:], strict=False):
        assert before.to_m == after.from_m
    for sortie in found.sorties:
        plan = sortie.plan
        assert not blockers(check_plan(plan, LIMITS, terrain))
        assert sortie.energy.landing_fraction >= LIMITS.reserve_fraction
        orders = [w.trigger_m for w in plan.waypoints if w.trigger_m is not None]
        assert orders[-1] == 0.0
        assert orders[0] > 0.0
        items = [i.command for i in compile_plan(plan).items]
        first = items.index(DO_SET_CAM_TRIGG_DIST)
        assert DO_MOUNT_CONTROL in items[:first]
        assert items[first - 1] == NAV_WAYPOINT
        places = area.frame.to_enu_array(
            [w.position.latitude_deg for w in plan.waypoints], [w.position.longitude_deg for w in plan.waypoints]
        )
        heights = [plan.home_amsl_m + w.altitude.value_m for w in plan.waypoints]
        triggers = [math.nan if w.trigger_m is None else w.trigger_m for w in plan.waypoints]
        pitches = [math.nan if w.gimbal_pitch_deg is None else w.gimbal_pitch_deg for w in plan.waypoints]
        photos.append(photos_of(FlownPath(np.column_stack([places, heights]), np.array(triggers), np.array(pitches))))

    def ground(east_m, north_m):
        geo = area.frame.to_geo_array(np.column_stack([east_m, north_m]))
        return terrain.height_amsl_m(geo[:, 0], geo[:, 1])

    rings = rings_of(area.shape)
    verdict = judge_photos(np.concatenate(photos), rings, ground, *HALVES, needed=views[0].needed, cell_m=6.0)
    assert verdict.fraction > 0.999, verdict
    assert verdict.sides_fraction > 0.97, verdict
    without = judge_photos(np.concatenate(photos[:-2]), rings, ground, *HALVES, needed=1, cell_m=6.0)
    assert without.seen_from_all_sides < verdict.seen_from_all_sides  # the judge misses flights that are left out


def test_a_fence_close_to_the_area_costs_pictures_and_the_judge_says_so():
    tight = Geofence((ring((-30, -30), (830, -30), (830, 730), (-30, 730)),), max_altitude=Altitude(140.0, Datum.HOME))
    area = cover_area([AreaRings(ring((0, 0), (800, 0), (800, 700), (0, 700)))])
    view = nadir_view(LENS, 63.0, side_overlap=0.7, front_overlap=0.75)
    task = CoverTask(MISSION, area, view.spacing_m, 8.0, tolerance_m=7.0)
    vehicle = CoverVehicle("d1", FRAME.to_geo(20, 20), 90.0, 70.0)
    found = plan_photos(task, [view], (vehicle,), tight, LIMITS, FlatTerrain(0.0), BUDGET)
    assert all(not blockers(check_plan(s.plan, LIMITS, FlatTerrain(0.0))) for s in found.sorties)
    photos = photos_of(of_track(found.grid.track, 70.0))
    verdict = judge_photos(photos, rings_of(area.shape), flat, *HALVES, needed=view.needed, cell_m=8.0)
    assert 0.9 * verdict.cells < verdict.enough < verdict.cells


def test_nobody_flies_from_line_to_line_only():
    """Two short lines beside the pads, a long way round between them, and three drones: its middle shows nothing."""
    task = CoverTask(MISSION, cover_area([FIELD]), 30.0, 8.0)
    trio = tuple(CoverVehicle(f"d{i}", FRAME.to_geo(8.0 * i, 0.0), 90.0 + 8.0 * i, 70.0 - 6.0 * i) for i in range(3))
    planner = SortiePlanner(task, trio, FENCE, LIMITS, FlatTerrain(0.0), 0.0)
    places = ((0, 20), (50, 20), (1100, 0), (1100, 1100), (0, 1100), (0, 60), (50, 60))
    corners = np.array([planner.frame.to_enu(FRAME.to_geo(*p)) for p in places])
    track = Track(corners, np.array([10.0, 0, 0, 0, 0, 10.0]), np.array([-90.0, *[math.nan] * 4, -90.0]))
    sorties = planner.split(track, 3).flights
    assert [s.number for s in sorties] == [1, 1]
    assert sorties[0].from_m == 0.0
    assert sorties[-1].to_m == pytest.approx(planner.along[-1])
    assert all(any((w.trigger_m or 0.0) > 0.0 for w in s.plan.waypoints) for s in sorties)


def test_the_bound_counts_only_what_lines_can_be_flown_over():
    """Most of the area lies beyond the fence: lines over the rest are no shorter than it asks for, nor quicker."""
    area = cover_area([AreaRings(ring((900, 300), (2400, 300), (2400, 700), (900, 700)))])
    view = nadir_view(LENS, 60.0, side_overlap=0.3, front_overlap=0.3)
    task = CoverTask(MISSION, area, view.spacing_m, 8.0)
    found = plan_photos(task, [view], (CoverVehicle("d1", HOME, 90.0, 70.0),), FENCE, LIMITS, FlatTerrain(0.0), BUDGET)
    assert found.ratio >= 1.0
    assert found.time_s >= found.bound_s > 0.0
    assert found.grid.bound_m < 0.5 * area.shape.area / view.spacing_m


def test_what_cannot_be_photographed_is_refused_with_the_reason():
    with pytest.raises(PlanningError, match="30 to 80 degrees"):
        oblique_view(LENS, 60.0, -20.0, side_overlap=0.5, front_overlap=0.5)
    with pytest.raises(PlanningError, match="nearly level"):
        oblique_view(LENS, 60.0, -35.0, side_overlap=0.5, front_overlap=0.5)
    view = nadir_view(LENS, 5.0, side_overlap=0.9, front_overlap=0.5)
    with pytest.raises(PlanningError, match="more than 600"):
        photo_track(Polygon([(0, 0), (900, 0), (900, 900), (0, 900)]), [view], ROOM, BUDGET, even_cost, 1.0)

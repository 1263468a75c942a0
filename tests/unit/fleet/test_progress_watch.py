# SPDX-License-Identifier: AGPL-3.0-or-later
"""The watch on progress: silent on flights that follow their plan, heard within its time on those that do not.

Flights are made here by a model of their own, on the ellipsoid through pyproj; distances are checked against shapely.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer
from shapely.geometry import LineString, Point

from dronectl.fleet.flight_way import Leg, Spot, way_of
from dronectl.fleet.progress_watch import (
    OFF_HEIGHT_M,
    OFF_S,
    OFF_WAY_M,
    STALLED_S,
    NoticeKind,
    Seen,
    Watch,
    look,
)
from missions.geo import Altitude, Datum, GeoPoint
from missions.mavlink_items import MissionItem, compile_plan
from missions.model import Authority, Category, FlightPlan, Geofence, Mission, Waypoint

GEOD = Geod(ellps="WGS84")
HOME_AMSL_M = 300.0
RADIUS_M = 3.0
MISSION = Mission("m", "a test", Authority("the test", "it has to pass"), Category.TRAINING)

places = st.sampled_from(
    [GeoPoint(29.7, 107.3), GeoPoint(-45.0, -179.999), GeoPoint(64.0, 179.9995), GeoPoint(0.0, 0.0)]
)


def beside(start: GeoPoint, east_m: float, north_m: float) -> GeoPoint:
    lon, lat, _ = GEOD.fwd(
        start.longitude_deg, start.latitude_deg, math.degrees(math.atan2(east_m, north_m)), math.hypot(east_m, north_m)
    )
    return GeoPoint(lat, lon)


def plan_over(home: GeoPoint, waypoints: list[Waypoint], speed_m_s: float = 8.0) -> FlightPlan:
    return FlightPlan("d1", MISSION, home, HOME_AMSL_M, 40.0, tuple(waypoints), Geofence(()), 50.0, speed_m_s)


def seen(time_s: float, item: int, home: GeoPoint, east_m: float, north_m: float, height_m: float = 40.0) -> Seen:
    at = beside(home, east_m, north_m)
    return Seen(time_s, item, at.latitude_deg, at.longitude_deg, HOME_AMSL_M + height_m, HOME_AMSL_M)


@st.composite
def flights(draw):
    """A plan, and where its vehicle is in each look: (item, east_m, north_m, height_m) along the plan."""
    home = draw(places)
    speed = draw(st.floats(2.0, 15.0))
    corner = st.tuples(
        st.floats(-600.0, 600.0),
        st.floats(-600.0, 600.0),
        st.floats(20.0, 110.0),
        st.sampled_from([0.0, 0.0, 20.0, 90.0]),
    )
    corners = draw(st.lists(corner, min_size=1, max_size=6))
    amsl = draw(st.booleans())
    waypoints = [
        Waypoint(
            beside(home, east, north),
            Altitude(height + HOME_AMSL_M, Datum.AMSL) if amsl else Altitude(height, Datum.HOME),
            hold_s=hold,
            acceptance_radius_m=RADIUS_M,
        )
        for east, north, height, hold in corners
    ]
    return home, speed, corners, plan_over(home, waypoints, speed)


def flown(corners, speed_m_s, start, period_s, rng, *, wind=0.0, noise_m=0.0, climbs_first=False):
    """How a multicopter flies corners from `start`, looked at every `period_s`: (time_s, corner index, east, north, height).

    It cuts corners by the acceptance radius, overshoots them by up to 15 m, takes climbs at 1.2 m/s at least, and its
    ground speed is that of the plan less a wind. Noise wanders as GNSS does.
    """
    east, north, height = start
    time_s, next_s = 0.0, 0.0
    drift = [0.0, 0.0, 0.0]
    dt = 0.5
    for index, (to_east, to_north, to_height, hold_s) in enumerate(corners):
        held_s = 0.0
        over_s = 0.0
        while True:
            gap = math.hypot(to_east - east, to_north - north)
            climb = to_height - height
            if gap <= RADIUS_M and abs(climb) <= 1.0:
                held_s += dt
                if held_s > hold_s:
                    break
            flat = (1.0 - wind) * speed_m_s
            if abs(climb) > 0.5:
                flat = 0.0 if climbs_first else min(flat, max(0.5, gap) / (abs(climb) / 1.2))
            move = min(gap, flat * dt)
            if gap > 0.0:
                east, north = east + (to_east - east) / gap * move, north + (to_north - north) / gap * move
            height += math.copysign(min(abs(climb), 1.2 * dt), climb)
            time_s += dt
            over_s += dt
            if time_s >= next_s:
                next_s = time_s + period_s
                drift = [0.95 * d + rng.uniform(-0.25, 0.25) * noise_m for d in drift]
                aside = 15.0 * math.exp(-over_s / 2.0)  # of an overshoot
                yield time_s, index, east + drift[0] + aside, north + drift[1], height + 0.5 * drift[2]


def notices_of(way, looks) -> list[tuple[float, NoticeKind]]:
    watch, found = Watch(), []
    for one in looks:
        before = {n.kind for n in watch.notices}
        watch = look(watch, way, one)
        found += [(one.time_s, n.kind) for n in watch.notices if n.kind not in before]
    return found


@given(
    flights(),
    st.sampled_from([1.0, 1.0, 2.5, 10.0]),
    st.floats(0.0, 0.45),
    st.floats(0.0, 6.0),
    st.booleans(),
    st.integers(0, 1000),
)
def test_a_flight_that_follows_its_plan_is_never_spoken_of(flight, period_s, wind, noise_m, climbs_first, seed):
    home, speed, corners, plan = flight
    compiled = compile_plan(plan)
    item_of = [i for i, waypoint in enumerate(compiled.waypoint_of_item) if waypoint is not None]
    way = way_of(compiled.items, compiled.waypoint_of_item)
    track = flown(
        corners, speed, (0.0, 0.0, 40.0), period_s, random.Random(seed),
        wind=wind, noise_m=noise_m, climbs_first=climbs_first,
    )  # fmt: skip
    looks = [seen(t, item_of[index], home, east, north, height) for t, index, east, north, height in track]
    assert notices_of(way, looks) == []


@given(
    flights(),
    st.floats(-300.0, 300.0),
    st.floats(-300.0, 300.0),
    st.floats(10.0, 120.0),
    st.integers(0, 5),
)
def test_a_flight_begun_from_anywhere_is_never_spoken_of(flight, east_m, north_m, height_m, first):
    """After a pause, or taken over by a restarted service: the first look finds it wherever it is."""
    home, speed, corners, plan = flight
    first = min(first, len(corners) - 1)
    compiled = compile_plan(plan)
    item_of = [i for i, waypoint in enumerate(compiled.waypoint_of_item) if waypoint is not None]
    way = way_of(compiled.items, compiled.waypoint_of_item)
    track = flown(corners[first:], speed, (east_m, north_m, height_m), 1.0, random.Random(1))
    looks = [seen(t, item_of[first + index], home, east, north, height) for t, index, east, north, height in track]
    assert notices_of(way, looks) == []


straight = [
    Waypoint(GeoPoint(0.0, 0.0), Altitude(40.0, Datum.HOME), acceptance_radius_m=RADIUS_M),
    Waypoint(GeoPoint(0.0, 0.0), Altitude(40.0, Datum.HOME), acceptance_radius_m=RADIUS_M),
]


def two_legs(home: GeoPoint, hold_s: float = 0.0):
    """Home, 500 m north, 500 m on to the east; the items of the two waypoints."""
    waypoints = [
        replace(straight[0], position=beside(home, 0.0, 500.0)),
        replace(straight[1], position=beside(home, 500.0, 500.0), hold_s=hold_s),
    ]
    compiled = compile_plan(plan_over(home, waypoints))
    first, second = (i for i, waypoint in enumerate(compiled.waypoint_of_item) if waypoint is not None)
    return way_of(compiled.items, compiled.waypoint_of_item), first, second


@given(places, st.floats(1.0, 12.0), st.floats(0.0, 360.0), st.floats(30.0, 470.0), st.sampled_from([1.0, 4.0]))
def test_whoever_drifts_away_is_spoken_of_in_time(home, speed_m_s, course_deg, along_m, period_s):
    """From on its way straight on at 1 m/s or more, whatever the course: but on its own way it would be no drifting."""
    way, _, second = two_legs(home)
    east, north = math.sin(math.radians(course_deg)), math.cos(math.radians(course_deg))
    looks = [
        seen(t, second, home, along_m + t * speed_m_s * east, 500.0 + t * speed_m_s * north)
        for t in (period_s * i for i in range(400))
    ]
    told = notices_of(way, looks)
    # It is off when it has left the limit to the side, or when the waypoint lies behind it by as much. At 1 m/s and
    # more it is noticed at the latest when the waypoint has been missed; the clock of progress may be earlier.
    limit_m = OFF_WAY_M + RADIUS_M
    off_s = next(
        t
        for t in (0.25 * i for i in range(8_000))
        if LineString([(0.0, 500.0), (500.0, 500.0)]).distance(
            Point(along_m + t * speed_m_s * east, 500.0 + t * speed_m_s * north)
        )
        > limit_m + 0.5
    )
    assert told
    assert told[0][0] <= off_s + OFF_S + 2.0 * period_s


@given(places, st.floats(0.0, 480.0), st.floats(0.0, 5.0))
def test_whoever_stands_still_is_spoken_of_in_time(home, along_m, noise_m):
    way, _, second = two_legs(home)
    rng = random.Random(3)
    looks = [
        seen(
            float(t), second, home, along_m + rng.uniform(-0.5, 0.5) * noise_m, 500.0 + rng.uniform(-0.5, 0.5) * noise_m
        )
        for t in range(60)
    ]
    told = notices_of(way, looks)
    assert [kind for _, kind in told] == [NoticeKind.NO_PROGRESS]
    assert told[0][0] <= STALLED_S + 2.0


def test_a_hold_is_no_standing_still_until_it_is_over():
    home = GeoPoint(29.7, 107.3)
    way, _, second = two_legs(home, hold_s=120.0)
    there = [seen(float(t), second, home, 500.0, 500.0) for t in range(120 + 28)]
    assert notices_of(way, there) == []
    longer = [seen(float(t), second, home, 500.0, 500.0) for t in range(160)]
    assert [kind for _, kind in notices_of(way, longer)] == [NoticeKind.NO_PROGRESS]


def test_height_is_told_beyond_all_heights_of_the_leg_and_not_between_them():
    home = GeoPoint(29.7, 107.3)
    way, _, second = two_legs(home)
    high = [seen(float(t), second, home, 8.0 * t, 500.0, 40.0 + OFF_HEIGHT_M + 2.0 * min(1, t)) for t in range(30)]
    assert notices_of(way, high) == []  # it began the leg that high
    rising = [seen(float(t), second, home, 8.0 * t, 500.0, 40.0 + 2.0 * t) for t in range(40)]
    told = notices_of(way, rising)
    assert [kind for _, kind in told] == [NoticeKind.OFF_HEIGHT]
    assert told[0][0] <= OFF_HEIGHT_M / 2.0 + OFF_S + 2.0


def test_creeping_is_told_as_late_once_the_leg_takes_more_than_twice_its_time():
    home = GeoPoint(29.7, 107.3)
    way, _, second = two_legs(home)
    looks = [seen(float(t), second, home, 1.5 * t, 500.0) for t in range(330)]
    told = notices_of(way, looks)
    assert [kind for _, kind in told] == [NoticeKind.LATE]
    assert 2.0 * 500.0 / 8.0 + 30.0 <= told[0][0] <= 2.0 * 500.0 / 8.0 + 32.0


def test_a_notice_does_not_flap_at_the_limit_and_is_over_by_itself():
    home = GeoPoint(29.7, 107.3)
    way, _, second = two_legs(home)
    limit_m = OFF_WAY_M + RADIUS_M

    def at(t: int) -> float:
        if t < 60:
            return limit_m + (2.0 if t % 4 < 2 else -4.0)
        return 1.0

    watch, changes = Watch(), []
    for t in range(80):
        after = look(watch, way, seen(float(t), second, home, 6.0 * t, 500.0 + at(t) if t else 500.0))
        if [n.kind for n in after.notices] != [n.kind for n in watch.notices]:
            changes.append((t, [n.kind for n in after.notices]))
        watch = after
    assert [kinds for _, kinds in changes] == [[NoticeKind.OFF_WAY], []]
    assert 60 < changes[1][0] < 70


def test_no_progress_is_over_when_it_comes_on_again_also_from_farther_off():
    home = GeoPoint(29.7, 107.3)
    way, _, second = two_legs(home)
    track = [200.0 - 1.0 * t for t in range(60)]
    track += [track[-1] + 6.0 * t for t in range(1, 30)]
    watch, kinds = Watch(), []
    for t, along_m in enumerate(track):
        watch = look(watch, way, seen(float(t), second, home, along_m, 500.0))
        kinds.append([n.kind for n in watch.notices])
    assert kinds[59] == [NoticeKind.NO_PROGRESS]
    assert kinds[64] == []
    assert kinds[-1] == []


def test_a_clock_that_stands_or_jumps_back_counts_nothing():
    home = GeoPoint(29.7, 107.3)
    way, _, second = two_legs(home)
    watch = Watch()
    for _ in range(100):
        watch = look(watch, way, seen(50.0, second, home, 100.0, 500.0))
    assert watch.notices == ()
    for t in range(29):
        watch = look(watch, way, seen(50.0 + t, second, home, 100.0, 500.0))
    watch = look(watch, way, seen(3.0, second, home, 100.0, 500.0))
    watch = look(watch, way, seen(20.0, second, home, 100.0, 500.0))
    assert watch.notices == ()


def test_an_item_that_the_way_does_not_have_is_not_watched():
    home = GeoPoint(29.7, 107.3)
    way, _, _ = two_legs(home)
    looks = [seen(float(t), len(way) + 3, home, 9.0 * t, 0.0) for t in range(100)]
    assert notices_of(way, looks) == []


def item(command: int, *, at: GeoPoint | None = None, p1: float = 0.0, p2: float = 0.0, p3: float = 0.0) -> MissionItem:
    x, y = (0, 0) if at is None else (round(at.latitude_deg * 1e7), round(at.longitude_deg * 1e7))
    return MissionItem(0, 2 if at is None else 3, command, p1, p2, p3, math.nan, x, y, 40.0 if at else 0.0)


def test_the_way_back_of_a_loop_is_a_way_too():
    home = GeoPoint(29.7, 107.3)
    a, b, c = beside(home, 0.0, 200.0), beside(home, 300.0, 200.0), beside(home, 300.0, 500.0)
    items = [item(22, at=home), item(178, p1=1.0, p2=6.0), item(16, at=a), item(16, at=b), item(16, at=c)]
    items += [item(177, p1=2.0, p2=3.0), item(20)]
    way = way_of(items, (None, None, 0, 1, 2, None, None))
    leg = way[2]
    assert leg is not None
    assert {(round(o.latitude_deg, 6), round(o.longitude_deg, 6)) for o in leg.origins} == {
        (round(p.latitude_deg, 6), round(p.longitude_deg, 6)) for p in (home, c)
    }
    middle = GeoPoint((a.latitude_deg + c.latitude_deg) / 2.0, (a.longitude_deg + c.longitude_deg) / 2.0)
    assert leg.off_m(middle.latitude_deg, middle.longitude_deg, (a.latitude_deg, a.longitude_deg)) < 1.0
    assert way[3].waypoint == 2
    assert way[3].speed_m_s == 6.0


def test_a_delay_is_spent_where_the_item_before_it_ended():
    home = GeoPoint(29.7, 107.3)
    a = beside(home, 0.0, 200.0)
    items = [item(22, at=home), item(178, p1=1.0, p2=6.0), item(16, at=a), item(93, p1=75.0), item(20)]
    way = way_of(items, (None, None, 0, None, None))
    assert way[3].stay_s == 75.0
    waits = [seen(float(t), 3, home, 0.0, 200.0) for t in range(75 + 28)]
    assert notices_of(way, waits) == []
    assert [kind for _, kind in notices_of(way, [seen(float(t), 3, home, 0.0, 200.0) for t in range(120)])] == [
        NoticeKind.NO_PROGRESS
    ]


@given(
    places,
    st.floats(-4000.0, 4000.0),
    st.floats(-4000.0, 4000.0),
    st.floats(-4000.0, 4000.0),
    st.floats(-4000.0, 4000.0),
)
def test_the_distance_from_a_leg_is_that_of_an_exact_projection(target, east_m, north_m, from_east_m, from_north_m):
    """Against shapely in an azimuthal equidistant projection around the target: within half a per cent and a metre."""
    origin, here = beside(target, from_east_m, from_north_m), beside(target, east_m, north_m)
    leg = Leg(
        Spot(target.latitude_deg, target.longitude_deg, 40.0, above_home=True),
        (Spot(origin.latitude_deg, origin.longitude_deg, 40.0, above_home=True),),
        8.0, 0.0, 3.0, 1,
    )  # fmt: skip
    aeqd = CRS.from_proj4(f"+proj=aeqd +lat_0={target.latitude_deg} +lon_0={target.longitude_deg} +datum=WGS84")
    project = Transformer.from_crs(CRS.from_epsg(4326), aeqd, always_xy=True).transform
    line = LineString([project(origin.longitude_deg, origin.latitude_deg), (0.0, 0.0)])
    wanted = line.distance(Point(*project(here.longitude_deg, here.latitude_deg)))
    got = leg.off_m(here.latitude_deg, here.longitude_deg, (origin.latitude_deg, origin.longitude_deg))
    assert got == pytest.approx(wanted, rel=0.005, abs=5.0)
    if max(map(abs, (east_m, north_m, from_east_m, from_north_m))) < 1000.0:
        assert got == pytest.approx(wanted, rel=0.002, abs=0.5)


def test_texts_are_short_lines_with_names():
    home = GeoPoint(29.7, 107.3)
    way, _, second = two_legs(home)
    watch = Watch()
    for t in range(40):
        watch = look(watch, way, seen(float(t), second, home, 100.0, 500.0 + 2.0 * t))
    assert [n.text for n in watch.notices] == [
        "off its way towards waypoint 2 by 78 m for 27 s",
        "no progress towards waypoint 2 for 39 s",
    ]
    assert [n.words for n in watch.notices] == ["off its way towards waypoint 2", "no progress towards waypoint 2"]

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Writing and reading gives the same, for every format within what it can say; and what it cannot say is listed."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import pytest
from flight_files import HOME, MISSION, anywhere, circles, files, names, numbers, placed, points, rings, routes
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.formats.files import FileFormat, format_of, read_flight_file, write_flight_file
from missions.formats.flight_file import (
    DO_CHANGE_SPEED,
    DO_MOUNT_CONTROL,
    DO_SET_CAM_TRIGG_DIST,
    NAV_WAYPOINT,
    FlightFile,
    Loss,
    NamedPlace,
    Orders,
    RallyPoint,
    Ring,
    Route,
    Step,
)
from missions.geo import Altitude, Datum, GeoPoint
from missions.rings import ring_fault

_FEW = settings(max_examples=60, deadline=None)


def through(file, kind):
    written = write_flight_file(file, kind)
    assert format_of(written.data, "x") is kind
    back = read_flight_file(written.data, source="x")
    assert write_flight_file(file, kind).data == written.data  # same content, same bytes
    return back, written.losses


@given(files)
@_FEW
def test_geojson_keeps_everything(file):
    back, losses = through(file, FileFormat.GEOJSON)
    assert back == file
    assert losses == ()
    assert back.losses == ()


@given(files, st.sampled_from([FileFormat.KML, FileFormat.KMZ]))
@_FEW
def test_kml_and_kmz_keep_everything(file, kind):
    back, losses = through(file, kind)
    assert losses == ()
    assert back.losses == ()
    assert [sorted(p.properties) for p in back.places] == [sorted(p.properties) for p in file.places]
    plain = tuple(replace(p, properties=()) for p in file.places)
    assert replace(back, places=tuple(replace(p, properties=()) for p in back.places)) == replace(file, places=plain)


@given(
    routes(home=HOME),
    st.lists(rings(named=False), max_size=2).map(tuple),
    st.lists(circles, max_size=2).map(tuple),
    st.lists(st.builds(RallyPoint, points, st.builds(Altitude, numbers, st.just(Datum.HOME))), max_size=2).map(tuple),
)
@_FEW
def test_plan_keeps_mission_surveys_fence_and_rally_points(route, ring_list, circle_list, rally):
    route = replace(route, cruise_speed_m_s=7.5, name="d1" if route.orders else route.name)
    if route.orders:
        route = replace(route, orders=replace(route.orders, vehicle_id="d1"))
    file = FlightFile((route,), ring_list, circle_list, None, rally)
    back, losses = through(file, FileFormat.PLAN)
    assert back == file
    assert losses == ()


@given(routes(home=HOME))
@_FEW
def test_waypoint_text_keeps_every_item(route):
    bare = replace(route, name="mission", cruise_speed_m_s=None, orders=None, surveys=())
    back, losses = through(FlightFile((bare,)), FileFormat.WAYPOINTS)
    assert back == FlightFile((bare,))
    assert losses == ()
    _, losses = through(FlightFile((route,)), FileFormat.WAYPOINTS)
    assert bool(losses) == (replace(bare, name=route.name) != route)


@given(st.lists(st.tuples(anywhere, st.none() | st.floats(-400, 9000)), min_size=1, max_size=6), names)
@_FEW
def test_gpx_keeps_places_and_heights_above_the_sea(path, name):
    steps = tuple(
        Step(NAV_WAYPOINT, position=p, altitude=None if h is None else Altitude(h, Datum.AMSL)) for p, h in path
    )
    file = FlightFile((Route(name, steps),), places=(NamedPlace("dock", path[0][0]),))
    back, losses = through(file, FileFormat.GPX)
    assert back == file
    assert losses == ()


@given(
    st.lists(
        st.builds(
            Step,
            st.just(NAV_WAYPOINT),
            st.tuples(st.floats(0, 600), st.just(0.0), st.just(0.0), st.none() | st.floats(-180, 180)),
            anywhere,
            st.builds(Altitude, st.floats(-400, 9000), st.just(Datum.HOME)),
        ),
        min_size=2,
        max_size=6,
    ),
    st.lists(st.none() | st.floats(1.0, 15.0), min_size=6, max_size=6),
    st.lists(st.none() | st.floats(-90.0, 30.0), min_size=6, max_size=6),
    st.lists(st.none() | st.floats(1.0, 200.0), min_size=6, max_size=6),
)
@_FEW
def test_wpml_keeps_waypoints_holds_headings_speeds_gimbal_and_triggers(waypoints, speeds, gimbals, triggers):
    steps, current, triggered = [], 7.0, False
    for index, (waypoint, speed, gimbal, every_m) in enumerate(zip(waypoints, speeds, gimbals, triggers, strict=False)):
        if speed is not None and speed != current:
            current = speed
            steps.append(Step(DO_CHANGE_SPEED, (1.0, speed, -1.0, 0.0)))
        if gimbal is not None:
            steps.append(Step(DO_MOUNT_CONTROL, (gimbal, 0.0, 0.0, 0.0), rest=(0.0, 0.0, 2.0)))
        steps.append(waypoint)
        if index + 1 < len(waypoints) and every_m is not None:
            steps.append(Step(DO_SET_CAM_TRIGG_DIST, (every_m, 0.0, 1.0, 0.0)))
            triggered = True
        elif triggered and (index % 2 or index + 1 == len(waypoints)):
            steps.append(Step(DO_SET_CAM_TRIGG_DIST, (0.0, 0.0, 0.0, 0.0)))
            triggered = False
    file = FlightFile((Route("wayline 1", tuple(steps), None, 7.0),))
    back, losses = through(file, FileFormat.WPML)
    assert back == file
    assert losses == ()


RICH = FlightFile(
    (
        Route(
            "patrol",
            (
                Step(22, (0.0, 0.0, 0.0, None), HOME.position, Altitude(60.0, Datum.HOME)),
                Step(NAV_WAYPOINT, (5.0, 3.0, 0.0, None), GeoPoint(29.741, 107.271), Altitude(60.0, Datum.HOME)),
                Step(18, (2.0, 0.0, 40.0, None), GeoPoint(29.742, 107.272), Altitude(60.0, Datum.HOME), serves=("a",)),
                Step(NAV_WAYPOINT, (0.0, 0.0, 0.0, None), GeoPoint(29.743, 107.271), Altitude(60.0, Datum.HOME)),
                Step(177, (1.0, 3.0, 0.0, 0.0)),
                Step(20, (0.0, 0.0, 0.0, 0.0)),
            ),
            HOME,
            8.0,
            Orders("d1", MISSION, 70.0, 37.5),
        ),
        Route("second", (Step(NAV_WAYPOINT, position=GeoPoint(29.7, 107.2)),)),
    ),
    rings=(Ring((GeoPoint(29.7, 107.2), GeoPoint(29.7, 107.3), GeoPoint(29.8, 107.3)), True),),
    max_altitude=Altitude(120.0, Datum.HOME),
    rally=(RallyPoint(GeoPoint(29.74, 107.26), Altitude(50.0, Datum.HOME)),),
    places=(NamedPlace("dock 1", HOME.position, None, (("kind", "dock"),)),),
)


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        (FileFormat.GEOJSON, {"second: a line needs two places"}),
        (FileFormat.KML, {"second: a line needs two places"}),
        (FileFormat.PLAN, {"second: a .plan file holds one route", "dock 1: a .plan file has no named places"}),
        (
            FileFormat.WAYPOINTS,
            {
                "second: ",
                "dock 1: ",
                "fence ring 1: ",
                "the fence's height limit: ",
                "rally point 1: ",
                "patrol: vehicle, mission",
                "patrol: which patrol items",
                "patrol: the cruise speed",
            },
        ),
        (
            FileFormat.WPML,
            {
                "second: ",
                "dock 1: ",
                "fence ring 1: ",
                "the fence's height limit: ",
                "rally point 1: ",
                "step 3: a loiter by turns",
                "step 5: a jump",
                "patrol: acceptance radii",
                "patrol: vehicle, mission",
                "patrol: which patrol items",
                "patrol: WPML starts where",
            },
        ),
        (
            FileFormat.GPX,
            {
                "dock 1: its properties",
                "fence ring 1: ",
                "the fence's height limit: ",
                "rally point 1: ",
                "step 3: a loiter by turns",
                "step 5: a jump",
                "patrol: acceptance radii",
                "patrol: vehicle, mission",
                "patrol: which patrol items",
                "patrol: its home",
                "patrol: holds",
                "patrol: speeds",
                "patrol: how the flight ends",
            },
        ),
    ],
)
def test_what_is_lost_is_listed(kind, lost):
    losses = [str(x) for x in write_flight_file(RICH, kind).losses]
    for beginning in lost:
        assert sum(line.startswith(beginning) for line in losses) == 1, (beginning, losses)
    assert len(losses) == len(lost)


@given(st.lists(placed, min_size=2, max_size=4).map(tuple))
@_FEW
def test_a_line_that_was_edited_no_longer_fits_its_note(steps):
    document = json.loads(write_flight_file(FlightFile((Route("r", steps),)), FileFormat.GEOJSON).data)
    document["features"][0]["geometry"]["coordinates"].pop()
    with pytest.raises(ValueError, match=rf"speaks of {len(steps)} places, but the line has {len(steps) - 1}"):
        read_flight_file(json.dumps(document).encode(), source="x")


def test_archives_hold_what_they_must():
    kmz = zipfile.ZipFile(io.BytesIO(write_flight_file(RICH, FileFormat.KMZ).data))
    assert kmz.namelist() == ["doc.kml"]
    wpml = zipfile.ZipFile(io.BytesIO(write_flight_file(RICH, FileFormat.WPML).data))
    assert wpml.namelist() == ["wpmz/template.kml", "wpmz/waylines.wpml"]


@given(rings())
@_FEW
def test_star_rings_bound_something(ring):
    assert ring_fault(ring.corners) is None


def test_a_loss_reads_well():
    assert str(Loss("line 7", "is lost")) == "line 7: is lost"
    assert str(Loss("", "is lost")) == "is lost"

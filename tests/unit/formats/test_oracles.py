# SPDX-License-Identifier: AGPL-3.0-or-later
"""What others say of our files: pymavlink's loader, the fields that QGroundControl documents, the XML schemas' orders."""

from __future__ import annotations

import io
import json
import os
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest
from flight_files import FRAME, HOME, routes
from hypothesis import given, settings
from pymavlink import mavwp
from test_round_trips import RICH

from missions.formats.files import FileFormat, read_flight_file, write_flight_file
from missions.formats.flight_file import Circle, FlightFile, Route, Step, Survey
from missions.geo import Altitude, Datum, GeoPoint


def test_pymavlink_reads_our_waypoint_text_as_we_mean_it(tmp_path):
    @given(routes(home=HOME))
    @settings(max_examples=25, deadline=None)
    def agrees(route):
        file = tmp_path / "x.waypoints"
        file.write_bytes(write_flight_file(FlightFile((route,)), FileFormat.WAYPOINTS).data)
        loader = mavwp.MAVWPLoader()
        assert loader.load(str(file)) == len(route.steps) + 1
        home = loader.wp(0)
        assert (home.x, home.y, home.z) == (HOME.position.latitude_deg, HOME.position.longitude_deg, HOME.amsl_m)
        for index, step in enumerate(route.steps, 1):
            item = loader.wp(index)
            assert item.command == step.command
            assert item.autocontinue == step.autocontinue
            wanted = [None if p is None else p for p in step.params]
            if step.command == 177:
                wanted[0] += 1  # the home is item 0
            got = [item.param1, item.param2, item.param3, item.param4]
            assert [None if g != g else g for g in got] == wanted  # noqa: PLR0124  # NaN
            if step.position is not None:
                assert (item.x, item.y) == (step.position.latitude_deg, step.position.longitude_deg)
                assert (item.frame, item.z) == (
                    {Datum.AMSL: 0, Datum.HOME: 3, Datum.TERRAIN: 10}[step.altitude.datum],
                    step.altitude.value_m,
                )

    agrees()


def test_what_pymavlink_saves_is_read(tmp_path):
    loader = mavwp.MAVWPLoader()
    loader.target_system = loader.target_component = 1
    mav = mavwp.mavutil.mavlink
    rows = [
        (0, 16, 47.4, 8.5, 488.0),
        (3, 22, 47.4, 8.5, 30.0),
        (3, 16, 47.401, 8.501, 40.0),
        (0, 16, 47.402, 8.5, 530.0),
    ]
    for seq, (frame, command, x, y, z) in enumerate(rows):
        loader.add(mav.MAVLink_mission_item_message(1, 1, seq, frame, command, int(seq == 0), 1, 0, 0, 0, 0, x, y, z))
    file = tmp_path / "saved.waypoints"
    loader.save(str(file))
    route = read_flight_file(file.read_bytes(), source="x").routes[0]
    assert route.home.amsl_m == 488.0
    assert [s.command for s in route.steps] == [22, 16, 16]
    assert [s.altitude.datum for s in route.steps] == [Datum.HOME, Datum.HOME, Datum.AMSL]
    assert route.steps[1].position == GeoPoint(47.401, 8.501)


# What QGroundControl's loaders insist on, after its "Plan File Format" page.
SIMPLE = {"type", "command", "frame", "params", "autoContinue", "doJumpId"}


def test_plan_has_the_fields_that_qgroundcontrol_documents():
    settings_json = {
        "type": "ComplexItem",
        "complexItemType": "survey",
        "version": 5,
        "TransectStyleComplexItem": {"version": 1},
    }
    steps = RICH.routes[0].steps
    survey = Survey("survey", 1, 2, json.dumps(settings_json))
    file = FlightFile(
        (Route("mission", steps, HOME, 8.0, None, (survey,)),), RICH.rings, (Circle(HOME.position, 50.0, False),)
    )
    document = json.loads(write_flight_file(file, FileFormat.PLAN).data)
    assert (document["fileType"], document["version"]) == ("Plan", 1)
    mission = document["mission"]
    assert {"version", "firmwareType", "vehicleType", "cruiseSpeed", "hoverSpeed", "items"} <= set(mission)
    assert mission["version"] == 2
    assert mission["plannedHomePosition"] == [29.74, 107.27, 200.0]
    assert [i["type"] for i in mission["items"]] == ["SimpleItem", "ComplexItem", *["SimpleItem"] * 3]
    inside = mission["items"][1]["TransectStyleComplexItem"]["Items"]
    simple = [mission["items"][0], *inside, *mission["items"][2:]]
    assert [i["doJumpId"] for i in simple] == [1, 2, 3, 4, 5, 6]
    for i in simple:
        assert set(i) >= SIMPLE
        assert len(i["params"]) == 7
    jump = next(i for i in simple if i["command"] == 177)
    assert jump["params"][0] == 2  # the identity of the second item
    assert document["geoFence"]["version"] == document["rallyPoints"]["version"] == 2
    assert set(document["geoFence"]["circles"][0]) == {"version", "inclusion", "circle"}
    assert set(document["geoFence"]["circles"][0]["circle"]) == {"center", "radius"}
    assert set(document["geoFence"]["polygons"][0]) == {"version", "inclusion", "polygon"}


KML = "{http://www.opengis.net/kml/2.2}"
# The order in which the schema of KML 2.2 has the children of these elements.
KML_ORDER = {
    "Document": ["name", "Style", "ExtendedData", "Placemark"],
    "Placemark": ["name", "styleUrl", "ExtendedData", "Point", "LineString", "Polygon"],
    "LineString": ["tessellate", "altitudeMode", "coordinates"],
    "Point": ["altitudeMode", "coordinates"],
    "Polygon": ["outerBoundaryIs"],
    "LinearRing": ["coordinates"],
    "Data": ["value"],
}


def test_kml_keeps_the_order_of_its_schema():
    root = ET.fromstring(write_flight_file(RICH, FileFormat.KML).data)  # noqa: S314  # our own file
    assert root.tag == KML + "kml"
    for element in root.iter():
        order = KML_ORDER.get(element.tag.removeprefix(KML))
        if order is not None:
            places = [order.index(child.tag.removeprefix(KML)) for child in element]
            assert places == sorted(places), element.tag
    line = next(root.iter(KML + "LineString"))
    assert line.find(KML + "altitudeMode").text == "absolute"
    heights = [float(c.split(",")[2]) for c in line.find(KML + "coordinates").text.split()]
    assert heights == [260.0] * 4  # home at 200 m above the sea, flown at 60 m


def test_geojson_follows_the_rfc():
    document = json.loads(write_flight_file(RICH, FileFormat.GEOJSON).data)
    assert document["type"] == "FeatureCollection"
    assert "crs" not in document
    kinds = [f["geometry"]["type"] for f in document["features"]]
    assert kinds == ["LineString", "Polygon", "Point", "Point"]
    ring = document["features"][1]["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1] == [107.2, 29.7]  # longitude first
    assert document["features"][0]["geometry"]["coordinates"][0] == [107.27, 29.74]


def test_gpx_has_latitude_and_longitude_as_attributes():
    root = ET.fromstring(write_flight_file(RICH, FileFormat.GPX).data)  # noqa: S314  # our own file
    space = "{http://www.topografix.com/GPX/1/1}"
    assert (root.tag, root.get("version"), bool(root.get("creator"))) == (space + "gpx", "1.1", True)
    assert [c.tag for c in root] == [space + "wpt", space + "rte", space + "rte"]  # the schema's order
    points = root[1].findall(space + "rtept")
    assert [float(p.find(space + "ele").text) for p in points] == [260.0, 260.0]
    assert points[0].get("lat") == "29.741"


def test_wpml_has_what_its_reference_requires():
    steps = (
        Step(16, (4.0, 0.0, 0.0, 90.0), FRAME.to_geo(0, 100), Altitude(60.0, Datum.HOME)),
        Step(205, (-45.0, 0.0, 0.0, 0.0), rest=(0.0, 0.0, 2.0)),
        Step(16, (0.0, 0.0, 0.0, None), FRAME.to_geo(0, 300), Altitude(70.0, Datum.HOME)),
        Step(2000, (0.0, 0.0, 1.0, 0.0)),
        Step(206, (12.5, 0.0, 1.0, 0.0)),
        Step(16, (0.0, 0.0, 0.0, None), FRAME.to_geo(0, 500), Altitude(70.0, Datum.HOME)),
        Step(16, (0.0, 0.0, 0.0, None), FRAME.to_geo(0, 600), Altitude(70.0, Datum.HOME)),
        Step(206, (0.0, 0.0, 0.0, 0.0)),
        Step(20, (0.0, 0.0, 0.0, 0.0)),
    )
    file = FlightFile((Route("r", steps, None, 9.0),))
    archive = zipfile.ZipFile(io.BytesIO(write_flight_file(file, FileFormat.WPML).data))
    space = {"k": "http://www.opengis.net/kml/2.2", "w": "http://www.dji.com/wpmz/1.0.2"}
    lines = ET.fromstring(archive.read("wpmz/waylines.wpml"))  # noqa: S314  # our own file
    config = lines.find("k:Document/w:missionConfig", space)
    for name in (
        "flyToWaylineMode",
        "finishAction",
        "exitOnRCLost",
        "takeOffSecurityHeight",
        "globalTransitionalSpeed",
    ):
        assert config.find(f"w:{name}", space).text
    assert config.find("w:finishAction", space).text == "goHome"
    assert config.find("w:droneInfo/w:droneEnumValue", space) is not None
    folder = lines.find("k:Document/k:Folder", space)
    for name in ("templateId", "executeHeightMode", "waylineId", "autoFlightSpeed"):
        assert folder.find(f"w:{name}", space).text
    marks = folder.findall("k:Placemark", space)
    assert [m.find("w:index", space).text for m in marks] == ["0", "1", "2", "3"]
    assert [float(m.find("w:executeHeight", space).text) for m in marks] == [60.0, 70.0, 70.0, 70.0]
    actions = [[a.text for a in m.iterfind(".//w:actionActuatorFunc", space)] for m in marks]
    assert actions == [["hover"], ["gimbalRotate", "takePhoto", "takePhoto"], [], []]
    (by_distance,) = (
        g
        for g in lines.iterfind(".//w:actionGroup", space)
        if g.find("w:actionTrigger/w:actionTriggerType", space).text == "multipleDistance"
    )
    assert float(by_distance.find("w:actionTrigger/w:actionTriggerParam", space).text) == 12.5
    ends = [by_distance.find(f"w:actionGroup{which}Index", space).text for which in ("Start", "End")]
    assert ends == ["1", "3"]
    template = ET.fromstring(archive.read("wpmz/template.kml"))  # noqa: S314  # our own file
    folder = template.find("k:Document/k:Folder", space)
    assert folder.find("w:templateType", space).text == "waypoint"
    assert folder.find("w:waylineCoordinateSysParam/w:coordinateMode", space).text == "WGS84"
    assert len(folder.findall("k:Placemark", space)) == 4


WPML = {"k": "http://www.opengis.net/kml/2.2", "w": "http://www.dji.com/wpmz/1.0.2"}


def waylines(*steps, cruise_m_s=9.0):
    """What the vehicle is told to fly, and what the writer says is lost."""
    written = write_flight_file(FlightFile((Route("r", steps, HOME, cruise_m_s),)), FileFormat.WPML)
    archive = zipfile.ZipFile(io.BytesIO(written.data))
    root = ET.fromstring(archive.read("wpmz/waylines.wpml"))  # noqa: S314  # our own file
    return root, [str(loss) for loss in written.losses], written.data


def numbers_of(root, tag):
    return [float(e.text) for e in root.iterfind(f".//k:Placemark//w:{tag}", WPML)]


def at(north_m, height_m=60.0, yaw_deg=None):
    return Step(16, (0.0, 0.0, 0.0, yaw_deg), FRAME.to_geo(0.0, north_m), Altitude(height_m, Datum.HOME))


def test_wpml_does_not_fly_down_to_the_ground_on_the_way_to_a_landing():
    """A landing's height is that of the ground; WPML flies straight from waypoint to waypoint, heights included."""
    landing = Step(21, (0.0, 0.0, 0.0, None), FRAME.to_geo(0.0, 900.0), Altitude(0.0, Datum.HOME))
    root, _, data = waylines(at(200.0, 60.0), at(500.0, 80.0), landing)
    assert numbers_of(root, "executeHeight") == [60.0, 80.0, 80.0]
    assert root.find(".//w:finishAction", WPML).text == "autoLand"
    last = read_flight_file(data, source="x").routes[0].steps[-1]
    assert (last.command, last.position) == (21, landing.position)


def test_wpml_headings_lie_where_its_reference_wants_them():
    root, _, _ = waylines(at(200.0, yaw_deg=270.0), at(500.0, yaw_deg=350.0), at(700.0, yaw_deg=180.0))
    assert numbers_of(root, "waypointHeadingAngle") == [-90.0, -10.0, 180.0]  # -180 to 180, not 0 to 360


def test_wpml_says_that_pictures_on_the_way_home_are_lost():
    by_distance = Step(206, (12.5, 0.0, 1.0, 0.0))
    _, lost, _ = waylines(at(200.0), at(500.0), by_distance, Step(20))
    assert any(loss.startswith("r: pictures by distance after the last waypoint") for loss in lost)
    _, lost, _ = waylines(at(200.0), by_distance, at(500.0), Step(206, (0.0, 0.0, 0.0, 0.0)), Step(20))
    assert not any("pictures" in loss for loss in lost)


def test_wpml_speeds_are_those_from_a_waypoint_to_the_next():
    def speed(m_s):
        return Step(178, (1.0, m_s, -1.0, 0.0))

    root, _, data = waylines(speed(6.0), at(200.0), speed(4.0), at(500.0), speed(12.0), at(900.0), Step(20))
    assert numbers_of(root, "waypointSpeed")[:2] == [4.0, 12.0]  # slow from the first to the second, fast from there
    assert root.find(".//w:globalTransitionalSpeed", WPML).text == "6"  # on the way to the first
    assert root.find(".//w:autoFlightSpeed", WPML).text == "9"
    back = read_flight_file(data, source="x").routes[0]
    assert [s.command for s in back.steps] == [178, 16, 178, 16, 178, 16, 20]
    assert [s.params[1] for s in back.steps if s.command == 178] == [6.0, 4.0, 12.0]


@pytest.mark.data
@pytest.mark.parametrize("kind", [FileFormat.PLAN, FileFormat.GEOJSON, FileFormat.KMZ])
def test_a_real_qgroundcontrol_plan_goes_through(kind):
    folder = os.environ.get("DRONECTL_DATA")
    if not folder:
        pytest.skip("set DRONECTL_DATA to the folder of real data")
    file = Path(folder) / "planning" / "qgc" / "multicopter_mission_geofence_avoid.plan"
    if not file.is_file():
        pytest.skip(f"{file} is absent")
    content = read_flight_file(file.read_bytes(), source=file.name)
    assert [s.command for s in content.routes[0].steps] == [22, 16, 16, 16, 20]
    assert [r.inclusion for r in content.rings] == [False, True]
    assert content.circles[0].radius_m == pytest.approx(111.05, abs=0.01)
    written = write_flight_file(content, kind)
    assert written.losses == ()
    assert read_flight_file(written.data, source="again") == content

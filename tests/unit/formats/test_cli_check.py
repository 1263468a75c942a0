# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl check` on files of every format at the demonstration site: places, codes, exit codes, several at once."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dronectl.cli import plan as plan_cli
from dronectl.cli.check import check
from dronectl.cli.common import open_site
from dronectl.errors import BadInputError
from dronectl.terrain_io import save_terrain
from missions.formats.files import FileFormat, write_flight_file
from missions.formats.flight_file import FlightFile, Home, RallyPoint, Ring, Route, Step
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.terrain import height_at

APP = typer.Typer()
APP.command()(check)
APP.command()(plan_cli.patrol)  # a second one, so that the first keeps its name
RUNNER = CliRunner()
RETURN = Step(20, (0.0, 0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def site():
    return open_site(None)


@pytest.fixture(scope="module")
def flights(site):
    """A function from (east, north) places to a route of drone d1 that has nothing wrong by itself."""
    pad = site.drone("d1").pad
    home = Home(pad, height_at(site.terrain, pad))

    def at(east, north, command=16, params=(0.0, 0.0, 0.0, None), above_m=60.0):
        place = site.frame.to_geo(east, north)
        height = height_at(site.terrain, place) + above_m - home.amsl_m
        return Step(command, params, place, Altitude(round(height, 1), Datum.HOME))

    def route(*steps, name="mission"):
        first = next(s for s in steps if s.position is not None)
        takeoff = Step(22, (0.0, 0.0, 0.0, None), pad, Altitude(max(40.0, first.altitude.value_m), Datum.HOME))
        return Route(name, (takeoff, *steps, RETURN), home, 8.0)

    route.at = at
    return route


def written(tmp_path, route, kind, name="x", **more):
    file = tmp_path / f"{name}.{kind.value}"
    file.write_bytes(write_flight_file(FlightFile((route,), **more), kind).data)
    return file


def run(*arguments):
    return RUNNER.invoke(APP, ["check", *map(str, arguments)])


def document(*arguments, code):
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def refused(*arguments):
    result = run(*arguments)
    assert isinstance(result.exception, BadInputError), result.output
    return str(result.exception)


@pytest.mark.parametrize(
    "kind", [FileFormat.PLAN, FileFormat.WAYPOINTS, FileFormat.GEOJSON, FileFormat.KML, FileFormat.KMZ]
)
def test_a_good_flight_is_good_in_every_format(flights, tmp_path, kind):
    route = flights(flights.at(0, 150), flights.at(-150, 150), flights.at(-150, 20))
    file = written(tmp_path, route, kind)
    found = document(file, "--vehicle", "d1", code=0)
    assert (found["clean"], found["vehicle_id"], found["waypoints"]) == (True, "d1", 3)
    assert [f for f in found["findings"] if f["severity"] == "blocker"] == []
    assert "name the vehicle" in refused(file)


def test_a_bare_line_is_flown_from_the_pad_at_the_height_that_is_named(site, tmp_path):
    corners = [site.frame.to_geo(*p) for p in ((0, 150), (-150, 150), (-150, 20))]
    text = " ".join(f"{p.longitude_deg},{p.latitude_deg}" for p in corners)
    file = tmp_path / "line.kml"
    line = "<Placemark><name>north</name><LineString><coordinates>{}</coordinates></LineString></Placemark>"
    file.write_text(f"<kml><Document>\n{line.format(text)}</Document></kml>", encoding="utf-8")
    assert "line 2: gives no height; say one above home with --height" in refused(file, "--vehicle", "d1")
    found = document(file, "--vehicle", "d1", "--height", "70", code=0)
    assert [(f["code"], f["severity"]) for f in found["findings"]] == [("no-return", "warning")]
    assert found["findings"][0]["place"] == "line 2"


def test_heights_above_the_ground_are_taken_from_the_sites_terrain(site, tmp_path):
    corners = [site.frame.to_geo(*p) for p in ((0, 150), (-150, 150), (-150, 20))]
    file = tmp_path / "line.kml"

    def at_height(height):
        text = " ".join(f"{p.longitude_deg},{p.latitude_deg},{height}" for p in corners)
        mode = "<altitudeMode>relativeToGround</altitudeMode>"
        shape = f"<LineString>{mode}<coordinates>{text}</coordinates></LineString>"
        file.write_text(f"<kml><Placemark>{shape}</Placemark></kml>", encoding="utf-8")
        return file

    found = document(at_height(60), "--vehicle", "d1", code=0)
    assert [f["code"] for f in found["findings"]] == ["height-above-terrain", "no-return"]
    assert "clearance-low" in {f["code"] for f in document(at_height(20), "--vehicle", "d1", code=1)["findings"]}
    assert "clearance-high" in {f["code"] for f in document(at_height(130), "--vehicle", "d1", code=1)["findings"]}


def _keep_out(site):
    corners = [site.frame.to_enu(p) for p in site.fence.exclusion[0]]
    return tuple(sum(c) / len(corners) for c in zip(*corners, strict=True))


def test_a_loiter_circle_into_the_keep_out_is_found_with_its_place(site, flights, tmp_path):
    east, north = _keep_out(site)
    circle = flights.at(east - 180.0, north, 18, (2.0, 0.0, 120.0, None))
    beside = flights.at(east - 180.0, north, 18, (2.0, 0.0, 20.0, None))
    for kind, place in ((FileFormat.PLAN, "mission.items[1]"), (FileFormat.WAYPOINTS, "line 4")):
        found = document(written(tmp_path, flights(circle), kind), "--vehicle", "d1", code=1)
        inside = [f for f in found["findings"] if f["code"] == "leg-in-keep-out"]
        assert inside
        assert {f["place"] for f in inside} == {place}
        assert {f["item"] for f in inside} == {2}
        assert "item 2 (loiter circle)" in inside[0]["message"]
        assert len(inside[0]["position"]) == 2
    assert document(written(tmp_path, flights(beside), FileFormat.PLAN), "--vehicle", "d1", code=0)["clean"]


def test_loops_empty_the_battery(flights, tmp_path):
    loop = [flights.at(0, 150), flights.at(-150, 150), Step(177, (1.0, 200.0, 0.0, 0.0))]
    once = document(written(tmp_path, flights(*loop[:2]), FileFormat.PLAN), "--vehicle", "d1", code=0)
    found = document(written(tmp_path, flights(*loop), FileFormat.PLAN), "--vehicle", "d1", code=1)
    assert [f["code"] for f in found["findings"] if f["severity"] == "blocker"] == ["battery"]
    assert found["waypoints"] == 402
    assert found["length_m"] > 30 * once["length_m"]


def test_unsupported_items_block_and_are_named(flights, tmp_path):
    file = written(tmp_path, flights(flights.at(0, 150)), FileFormat.PLAN)
    plan = json.loads(file.read_text(encoding="utf-8"))
    plan["mission"]["items"].insert(1, {"type": "ComplexItem", "complexItemType": "StructureScan", "version": 3})
    file.write_text(json.dumps(plan))
    result = run(file, "--vehicle", "d1")
    assert result.exit_code == 1
    assert "mission.items[1]: a StructureScan item is not supported" in result.stdout
    plan["mission"]["items"][1] = {**plan["mission"]["items"][0], "frame": 7}
    file.write_text(json.dumps(plan))
    assert "mission.items[1].frame: altitude frame 7 is unknown" in refused(file, "--vehicle", "d1")


def test_the_files_own_fence_and_rally_points_count_too(site, flights, tmp_path):
    route = flights(flights.at(0, 150), flights.at(-150, 150))
    around = tuple(site.frame.to_geo(*p) for p in ((-100, -100), (100, -100), (100, 300), (-100, 300)))
    rally = (RallyPoint(site.frame.to_geo(0, 5000), Altitude(60.0, Datum.HOME)),)
    file = written(tmp_path, route, FileFormat.PLAN, rings=(Ring(around, True),), rally=rally)
    found = document(file, "--vehicle", "d1", code=1)
    by_code = {f["code"]: f["place"] for f in found["findings"] if f["severity"] == "blocker"}
    assert by_code["waypoint-outside-fence"] == "mission.items[2]"
    assert by_code["rally-outside-fence"] == "rallyPoints.points[0]"
    crossed = json.loads(file.read_text(encoding="utf-8"))
    ring = crossed["geoFence"]["polygons"][0]["polygon"]
    ring[1], ring[2] = ring[2], ring[1]
    file.write_text(json.dumps(crossed))
    assert "geoFence.polygons[0].polygon: the ring crosses itself: sides" in refused(file, "--vehicle", "d1")


def test_swapped_coordinates_are_said_where_both_ways_round_exist(site, tmp_path):
    """The demonstration site lies at 107 degrees east: a copy of it in Europe has both ways round."""
    europe = tmp_path / "site.yaml"
    text = site.file.read_text(encoding="utf-8").replace("terrain.npz", str(site.terrain_path))
    file = tmp_path / "x.geojson"
    near = site.frame.to_geo(0, 150)
    file.write_text(json.dumps({"type": "LineString", "coordinates": [[near.latitude_deg, near.longitude_deg]] * 2}))
    assert "latitude and longitude look swapped" in refused(file, "--vehicle", "d1")
    terrain = replace(site.terrain, frame=LocalFrame(GeoPoint(29.74, 47.27)))
    save_terrain(tmp_path / "terrain.npz", terrain)
    europe.write_text(text.replace(str(site.terrain_path), "terrain.npz").replace("107.2", "47.2"), encoding="utf-8")
    file.write_text(json.dumps({"type": "LineString", "coordinates": [[29.741, 47.27], [29.742, 47.27]]}))
    arguments = (file, "--vehicle", "d1", "--site", europe, "--height", "60")
    assert "coordinates[0]: latitude and longitude look swapped" in refused(*arguments)
    file.write_text(json.dumps({"type": "LineString", "coordinates": [[47.27, 29.741], [47.27, 29.742]]}))
    assert run(*arguments).exit_code in {0, 1}


def test_flights_together_are_held_against_each_other(flights, tmp_path):
    route = flights(flights.at(0, 150), flights.at(-150, 150))
    one = written(tmp_path, route, FileFormat.PLAN, "one")
    higher = replace(
        route,
        steps=tuple(
            s if s.altitude is None else replace(s, altitude=Altitude(s.altitude.value_m + 45.0, Datum.HOME))
            for s in route.steps
        ),
    )
    two, three = written(tmp_path, route, FileFormat.PLAN, "two"), written(tmp_path, higher, FileFormat.PLAN, "three")
    found = document(one, two, "--vehicle", "d1", "--vehicle", "d2", code=1)
    assert [f["clean"] for f in found["flights"]] == [True, True]
    assert [f["code"] for f in found["findings"]] == ["separation"]
    assert found["findings"][0]["plans"] == [str(one), str(two)]
    assert document(one, two, "--vehicle", "d1", code=0)["clean"]  # one drone flies them one after the other
    result = run(one, three, "--vehicle", "d1", "--vehicle", "d3")
    assert result.exit_code == 0, result.output
    assert "They can be flown." in result.stdout
    assert "2 vehicles are named for 1 routes" in refused(one, "--vehicle", "d1", "--vehicle", "d2")


def test_files_without_a_route_or_from_elsewhere_are_bad_input(flights, site, tmp_path):
    empty = tmp_path / "fence.geojson"
    empty.write_text('{"type": "FeatureCollection", "features": []}')
    assert "holds no route to check" in refused(empty, "--vehicle", "d1")
    route = flights(flights.at(0, 150))
    far = replace(route, home=Home(site.frame.to_geo(0, 90_000), 300.0))
    assert "name its own site with --site" in refused(written(tmp_path, far, FileFormat.PLAN), "--vehicle", "d1")


@pytest.mark.data
def test_a_real_qgroundcontrol_plan_is_from_elsewhere(site):
    folder = os.environ.get("DRONECTL_DATA")
    if not folder:
        pytest.skip("set DRONECTL_DATA to the folder of real data")
    file = Path(folder) / "planning" / "qgc" / "multicopter_mission_geofence_avoid.plan"
    if not file.is_file():
        pytest.skip(f"{file} is absent")
    assert "km from site lidu" in refused(file, "--vehicle", "d1")

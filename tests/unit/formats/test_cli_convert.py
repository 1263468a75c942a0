# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan convert`: exit codes, what it says, and files that are whole or not there."""

from __future__ import annotations

import json

import pytest
from test_round_trips import RICH
from typer.testing import CliRunner

from dronectl.cli.plan import plan_app
from dronectl.errors import BadInputError
from missions.formats.files import FileFormat, read_flight_file, write_flight_file
from missions.geo import Datum

RUNNER = CliRunner()


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "rich.geojson"
    file.write_bytes(write_flight_file(RICH, FileFormat.GEOJSON).data)
    return file


def run(*arguments):
    return RUNNER.invoke(plan_app, ["convert", *map(str, arguments)])


def test_complete_conversions_end_with_0(source, tmp_path):
    result = run(source, "--to", "kmz", "--out", tmp_path / "new" / "a.kmz")
    assert result.exit_code == 0, result.output
    assert "rich.geojson holds 1 route, 1 fence area, 1 rally point, 1 place; written:" in result.stdout
    back = read_flight_file((tmp_path / "new" / "a.kmz").read_bytes(), source="x")
    assert back == read_flight_file(source.read_bytes(), source="x")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.kmz"]


def test_losses_are_listed_and_end_with_1(source, tmp_path):
    result = run(source, "--to", "plan", "--out", tmp_path / "a.plan")
    assert result.exit_code == 1
    assert "lost dock 1: a .plan file has no named places" in result.stdout
    assert (tmp_path / "a.plan").is_file()
    result = run(source, "--to", "gpx", "--out", tmp_path / "a.gpx", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["from"], document["to"], document["complete"]) == ("geojson", "gpx", False)
    jump = next(x for x in document["losses"] if "a jump" in x["message"])
    assert jump["place"] == "features[0].properties.dronectl_route.steps[4]"


def test_what_cannot_be_read_or_written_leaves_the_old_file(source, tmp_path):
    out = tmp_path / "old.wpml"
    out.write_text("as it was")
    bad = tmp_path / "bad.kml"
    bad.write_text("<kml><Document>")
    for arguments, said in (
        ((bad, "--to", "plan", "--out", out), "bad.kml: line 1: not XML"),
        ((tmp_path / "absent", "--to", "plan", "--out", out), "No such file"),
        ((source, "--to", "plan", "--out", out, "--route", "north"), "there is no route 'north'; there are: 'patrol'"),
        ((source, "--to", "plan", "--out", bad / "x"), "cannot be written"),
    ):
        result = run(*arguments)
        assert isinstance(result.exception, BadInputError), result.output
        assert said in str(result.exception)
    bare = tmp_path / "bare.kml"
    bare.write_text("<kml><Placemark><LineString><coordinates>1,2 1,3</coordinates></LineString></Placemark></kml>")
    result = run(bare, "--to", "wpml", "--out", out)
    assert "waypoint 1: WPML takes heights above the take-off point, and it has none" in str(result.exception)
    assert out.read_text(encoding="utf-8") == "as it was"
    assert run(bare, "--to", "wpml", "--out", out, "--height", 60).exit_code == 1  # no speed is in the file
    again = read_flight_file(out.read_bytes(), source="x").routes[0]
    assert [s.altitude.value_m for s in again.steps if s.position] == [60.0, 60.0]
    assert out.stat().st_mode & 0o777 == 0o644


def test_a_fence_alone_becomes_a_plan_without_items(tmp_path):
    fence = tmp_path / "fence.kml"
    ring = "<LinearRing><coordinates>1,2 1,3 2,3 1,2</coordinates></LinearRing>"
    shape = f"<Polygon><outerBoundaryIs>{ring}</outerBoundaryIs></Polygon>"
    fence.write_text(f"<kml><Placemark>{shape}</Placemark></kml>")
    result = run(fence, "--to", "plan", "--out", tmp_path / "fence.plan")
    assert result.exit_code == 1
    assert "lost mission: a .plan file needs a home with its height" in result.stdout
    plan = json.loads((tmp_path / "fence.plan").read_text(encoding="utf-8"))
    assert plan["mission"]["items"] == []
    assert plan["mission"]["plannedHomePosition"] == [2.0, 1.0, 0.0]
    assert plan["geoFence"]["polygons"][0]["polygon"] == [[2.0, 1.0], [3.0, 1.0], [3.0, 2.0]]
    fence.write_text("<kml/>")
    assert "needs a route or a fence" in str(run(fence, "--to", "plan", "--out", tmp_path / "x").exception)
    assert not (tmp_path / "x").exists()


def test_bare_heights_mean_what_the_user_says(tmp_path):
    line = tmp_path / "line.geojson"
    line.write_text('{"type": "LineString", "coordinates": [[1, 2, 30], [1, 3, 30]]}')
    assert run(line, "--to", "geojson", "--out", tmp_path / "a", "--heights", "home").exit_code == 0
    steps = read_flight_file((tmp_path / "a").read_bytes(), source="x").routes[0].steps
    assert {s.altitude.datum for s in steps} == {Datum.HOME}

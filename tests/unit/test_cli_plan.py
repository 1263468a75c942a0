# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan patrol` and `dronectl check` on the demonstration site: files, numbers, exit codes, bad inputs."""

from __future__ import annotations

import inspect
import json
import math
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dronectl.cli import plan as plan_cli
from dronectl.cli import plan_circuits, plan_cover, plan_map, plan_patrols, plan_search, plan_separate
from dronectl.cli.check import check
from dronectl.cli.common import open_site
from dronectl.errors import BadInputError
from dronectl.operations.planning import (
    check_at_site,
    plan_site_patrol,
    read_plan_file,
    shared_return_layer,
    with_meetings,
)
from dronectl.paths import default_site_file
from missions.feasibility import blockers
from missions.formats.qgc_plan import read_plan, write_plan
from missions.geo import Altitude, Datum
from missions.model import Budget, Severity
from missions.validate import MustLine, MustPoint, judge_patrol

APP = typer.Typer()
APP.add_typer(plan_cli.plan_app, name="plan")
APP.command()(check)
RUNNER = CliRunner()


@pytest.fixture(scope="module")
def site():
    return open_site(None)


@pytest.fixture(scope="module")
def patrol(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plans")
    result = RUNNER.invoke(APP, ["plan", "patrol", "--out", str(folder), "--iterations", "600", "--json"])
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def run(*arguments):
    return RUNNER.invoke(APP, [str(a) for a in arguments])


def test_times_and_batteries_in_wind_are_those_that_check_says(tmp_path):
    """`plan patrol --wind` and `check --wind` speak of the same flights: neither of a calm day."""
    result = run("plan", "patrol", "--out", tmp_path, "--iterations", 100, "--wind", 7, "--json")
    summary = json.loads(result.stdout)
    assert len(summary["flights"]) == 3
    for flight in summary["flights"]:
        said = json.loads(run("check", tmp_path / flight["file"], "--wind", 7, "--json").stdout)
        assert (flight["time_s"], flight["battery_at_landing"]) == (said["time_s"], said["battery_at_landing"])
    assert summary["longest_s"] == max(f["time_s"] for f in summary["flights"])
    assert summary["ratio"] == pytest.approx(summary["longest_s"] / summary["bound_s"], abs=1e-3)


def test_weak_batteries_make_several_flights_of_a_drone(tmp_path):
    """The demonstration site with a third of its battery: sorties with swaps, none of which `check` forbids; less is refused."""
    shutil.copytree(default_site_file().parent, tmp_path / "site")
    file = tmp_path / "site" / "site.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("endurance_s: 1800", "endurance_s: 560"), encoding="utf-8")
    out = tmp_path / "out"
    result = run("plan", "patrol", "--site", file, "--out", out, "--drones", "d1,d2", "--iterations", 200, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    names = {f["file"] for f in said["flights"]}
    assert names == {p.name for p in out.glob("*.plan")} >= {"d1-1.plan", "d1-2.plan", "d2-1.plan", "d2-2.plan"}
    assert said["cost"] == pytest.approx(said["busiest_s"], abs=0.1)
    assert said["longest_s"] < said["bound_s"] <= said["busiest_s"] <= said["done_s"]
    assert "swaps included" in said["cost_of"]
    items = [i for f in said["flights"] for i in f["items"]]
    assert len(items) == len(set(items)) == 10
    assert run("check", "--site", file, *out.glob("*.plan")).exit_code == 0
    file.write_text(text.replace("endurance_s: 1800", "endurance_s: 400"), encoding="utf-8")
    refused = run("plan", "patrol", "--site", file, "--out", out, "--iterations", 50)
    assert isinstance(refused.exception, BadInputError)
    assert "'forest-edge': d1 would use 21% of its battery too much" in str(refused.exception)


def test_a_wind_that_no_drone_can_hold_against_is_refused(tmp_path):
    result = run("plan", "patrol", "--out", tmp_path, "--wind", 11)
    assert isinstance(result.exception, BadInputError)
    assert "11.0 m/s is above the vehicles' limit of 10.0 m/s" in str(result.exception)


def test_the_demonstration_patrol_is_clean_short_and_judged_good(site, patrol):
    folder, summary = patrol
    assert summary["clean"]
    assert summary["longest_s"] <= 6.75 * 60
    assert 1.0 <= summary["ratio"] < 1.3
    plans = [read_plan_file(site, folder / f"{d}.plan") for d in ("d1", "d2", "d3")]
    points = [MustPoint(p.place_id, p.position, p.dwell_s) for p in site.points]
    lines = [MustLine(line.line_id, line.path) for line in site.lines]
    assert judge_patrol(plans, points, lines, site.fence, site.limits, site.terrain) == []
    for plan in plans:
        assert blockers(check_at_site(site, plan)) == []
        assert plan.cruise_speed_m_s == 9.0
        assert plan.return_height_m == site.drone(plan.vehicle_id).return_height_m
        assert all(w.altitude.datum is Datum.HOME for w in plan.waypoints)
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["flights"] == summary["flights"]
    routes = {"routes.html", "routes.geojson", "routes.kml"}
    plans_written = {"d1.plan", "d2.plan", "d3.plan", "summary.json", "plan.svg"}
    assert {Path(f).name for f in summary["files"]} == plans_written | routes


def test_the_picture_is_well_formed_and_names_everything(site, patrol):
    root = ET.fromstring((patrol[0] / "plan.svg").read_text(encoding="utf-8"))  # noqa: S314  # our own file
    words = {t.text for t in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {p.name for p in site.points} | {line.name for line in site.lines} <= words
    assert {d.name for d in site.drones} <= words


def test_a_table_for_people(tmp_path):
    result = run("plan", "patrol", "--out", tmp_path, "--drones", "d1,d3", "--iterations", 100)
    assert result.exit_code == 0, result.output
    assert "no plan can do it in less than" in result.stdout
    assert "d2" not in {p.stem for p in tmp_path.glob("*.plan")}
    assert len(list(tmp_path.glob("*.plan"))) == 2


def test_plans_of_an_earlier_run_in_the_same_folder_are_named(tmp_path):
    for drones, others in (("d1,d2", None), ("d1,d2", None), ("d1", "(d2.plan)")):
        result = run("plan", "patrol", "--out", tmp_path, "--drones", drones, "--iterations", 20, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["flights"]
        assert ("not made now" in result.stderr) == (others is not None)
        assert others is None or others in result.stderr


def test_same_seed_same_files(site):
    one, two = (plan_site_patrol(site, Budget(200, seed=3)) for _ in range(2))
    assert one == two


def test_flights_that_would_meet_are_said_to_both(site):
    """The same way flown by two drones at one height meets itself; in another layer, or much later, it does not."""
    d1 = plan_site_patrol(site, Budget(50), drone_ids=["d1"]).plans[0]
    same = replace(d1, vehicle_id="d2", return_height_m=d1.return_height_m)
    found = with_meetings(site, [d1, same], [[], []], ["one", "other"])
    assert [[f.code for f in own] for own in found] == [["separation"], ["separation"]]
    assert all(f.severity is Severity.BLOCKER for own in found for f in own)
    assert "0 m across and 0.0 m in height of other" in found[0][0].message
    assert "in height of one" in found[1][0].message
    high = replace(same, return_height_m=d1.return_height_m + 60.0, takeoff_height_m=d1.takeoff_height_m + 60.0)
    lifted = [replace(w, altitude=Altitude(w.altitude.value_m + 60.0, w.altitude.datum)) for w in same.waypoints]
    high = replace(high, waypoints=tuple(lifted))
    assert with_meetings(site, [d1, high], [[], []], ["one", "other"]) == ((), ())
    much_later = replace(same, start_after_s=4000.0)
    assert with_meetings(site, [d1, much_later], [[], []], ["one", "other"]) == ((), ())


def test_check_accepts_what_was_planned(patrol):
    result = run("check", patrol[0] / "d1.plan")
    assert result.exit_code == 0, result.output
    assert "It can be flown." in result.stdout
    document = json.loads(run("check", patrol[0] / "d1.plan", "--json").stdout)
    assert document["clean"]
    assert document["vehicle_id"] == "d1"


def test_battery_and_wind_are_taken_into_account(patrol):
    assert run("check", patrol[0] / "d1.plan", "--battery", "0.4").exit_code == 1
    result = run("check", patrol[0] / "d1.plan", "--wind", "12", "--json")
    assert result.exit_code == 1
    assert "wind-above-limit" in [f["code"] for f in json.loads(result.stdout)["findings"]]


def _bad(site, patrol, kind):
    plan = read_plan_file(site, patrol[0] / "d1.plan")
    first = plan.waypoints[0]
    if kind == "keep-out":  # from the west of it to the north-east, and back in a wide bow
        corners = [site.frame.to_enu(p) for p in site.fence.exclusion[0]]
        east, north = (sum(c) / len(corners) for c in zip(*corners, strict=True))
        places = [(east - 150.0, north), (east + 150.0, north + 10.0), (east + 100.0, north + 200.0), (0.0, 300.0)]
        waypoints = tuple(replace(first, position=site.frame.to_geo(*p), serves=()) for p in places)
    elif kind == "far":
        waypoints = (*plan.waypoints, replace(first, position=site.frame.to_geo(0.0, 49_000.0)))
    elif kind == "underground":
        waypoints = tuple(replace(w, altitude=Altitude(-60.0, Datum.HOME)) for w in plan.waypoints)
    else:
        waypoints = plan.waypoints * 9
    return replace(plan, waypoints=waypoints)


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("keep-out", "leg-in-keep-out", "deep into keep-out 1"),
        ("far", "waypoint-outside-fence", "km outside the fence"),
        ("underground", "below-terrain", "below the ground"),
        ("battery", "battery", "of the battery"),
    ],
)
def test_bad_plans_block_with_one_clear_line(site, patrol, tmp_path, kind, code, said):
    file = tmp_path / "bad.plan"
    file.write_text(write_plan(_bad(site, patrol, kind)), encoding="utf-8")
    result = run("check", file)
    assert result.exit_code == 1, result.output
    lines = [line for line in result.stdout.splitlines() if f"({code})" in line]
    assert lines
    assert said in lines[0]
    assert "must not be flown" in result.stdout


def _refused(*arguments):
    result = run(*arguments)
    assert isinstance(result.exception, BadInputError), result.output
    return str(result.exception)


def test_unreadable_plans_are_bad_input(patrol, tmp_path):
    torn = tmp_path / "torn.plan"
    torn.write_text((patrol[0] / "d1.plan").read_text(encoding="utf-8")[:400], encoding="utf-8")
    assert f"{torn}: line " in _refused("check", torn)
    assert "No such file" in _refused("check", tmp_path / "absent.plan")
    binary = tmp_path / "binary.plan"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    assert "not UTF-8" in _refused("check", binary)


def test_vehicles_and_places_must_fit(site, patrol, tmp_path):
    assert "was made for d1, not for d2" in _refused("check", patrol[0] / "d1.plan", "--vehicle", "d2")
    assert "there are: d1, d2, d3" in _refused("check", patrol[0] / "d1.plan", "--vehicle", "d9")
    assert "there are: d1, d2, d3" in _refused("plan", "patrol", "--out", tmp_path, "--drones", "d9")
    foreign = json.loads((patrol[0] / "d1.plan").read_text(encoding="utf-8"))
    del foreign["dronectl"]
    file = tmp_path / "foreign.plan"
    file.write_text(json.dumps(foreign), encoding="utf-8")
    assert "name the vehicle" in _refused("check", file)
    assert run("check", file, "--vehicle", "d1").exit_code == 0
    foreign["mission"]["plannedHomePosition"] = [47.4, 8.5, 488.0]
    file.write_text(json.dumps(foreign), encoding="utf-8")
    assert "name its own site with --site" in _refused("check", file, "--vehicle", "d1")


def test_an_unwritable_folder_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "name another --out" in _refused("plan", "patrol", "--out", tmp_path / "file", "--iterations", "10")


def test_the_plan_of_a_site_keeps_the_site_fence_even_if_its_own_is_wider(site, patrol):
    plan = read_plan((patrol[0] / "d1.plan").read_text(encoding="utf-8"), source="x")
    wide = replace(plan, fence=replace(plan.fence, exclusion=(), max_altitude=None))
    through = replace(wide, waypoints=_bad(site, patrol, "keep-out").waypoints)
    assert "leg-in-keep-out" in [f.code for f in check_at_site(site, through)]


def test_a_site_point_outside_its_margin_names_file_and_item(site, tmp_path):
    (ax, ay), (bx, by) = (site.frame.to_enu(p) for p in site.fence.inclusion[0][:2])
    middle = (ax + bx) / 2.0, (ay + by) / 2.0
    inwards = 1.0 - 8.0 / math.hypot(*middle)  # towards the dock
    near = site.frame.to_geo(middle[0] * inwards, middle[1] * inwards)
    moved = f"[{near.latitude_deg:.7f}, {near.longitude_deg:.7f}]"
    bridge = next(p.position for p in site.points if p.place_id == "bridge")
    text = site.file.read_text(encoding="utf-8")
    there = f"[{bridge.latitude_deg:.6f}, {bridge.longitude_deg:.6f}]"
    assert there in text
    text = text.replace(there, moved)
    (tmp_path / "site.yaml").write_text(text.replace("terrain.npz", str(site.terrain_path)), encoding="utf-8")
    said = _refused("plan", "patrol", "--site", tmp_path / "site.yaml", "--out", tmp_path / "p")
    assert "site.yaml: point 'bridge' lies" in said
    assert "from the fence's edge" in said


def test_planning_needs_no_heavy_library():
    """Planning stays quick to start: no camera, engine or vehicle library comes with it."""
    code = (
        "import sys; import dronectl.cli.plan; "
        "print([m for m in ('cv2', 'openvino', 'onnxruntime', 'mavsdk', 'fastapi') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=120
    )
    assert result.stdout.strip() == "[]"


def test_a_return_height_of_its_own_is_kept_said_and_not_flown_beside_another(site, patrol):
    one, two = (read_plan_file(site, patrol[0] / f"{d}.plan") for d in ("d1", "d2"))
    own = replace(one, return_height_m=two.return_height_m + 1.0)
    assert [f.code for f in check_at_site(site, own)] == ["return-height-own"]
    assert blockers(check_at_site(site, own)) == []
    low = replace(one, return_height_m=5.0)
    assert "return-height-own" in [f.code for f in check_at_site(site, low)]
    assert shared_return_layer(site, one, [two]) is None  # the site's layers, 8 m apart
    assert shared_return_layer(site, own, []) is None
    assert shared_return_layer(site, own, [one]) is None  # the same drone, before
    for plan, others in ((own, [two]), (two, [own])):
        assert "if the site were lost they would meet" in shared_return_layer(site, plan, others)


def test_no_two_planners_write_into_one_folder_unless_told_to():
    """`dronectl fly plans/*.plan` after a patrol and a survey were planned would fly both at once."""
    planners = [
        plan_cli.patrol, plan_cover.cover, plan_map.map_, plan_search.search, plan_circuits.circuits,
        plan_patrols.timetable, plan_patrols.heat, plan_separate.separate,
    ]  # fmt: skip
    folders = [inspect.signature(planner).parameters["out_dir"].default for planner in planners]
    assert len(set(folders)) == len(folders), folders

# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan search` on the demonstration site: files, numbers, what is doubtful, exit codes, bad input."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dronectl.cli import plan_search
from dronectl.cli.common import open_site
from dronectl.cli.limits import PlanClock
from dronectl.errors import BadInputError
from dronectl.operations.last_seen import LastSeen, map_of_form
from dronectl.operations.planning import check_at_site, read_plan_file
from dronectl.operations.probability_files import MapReading, read_probability_map
from dronectl.operations.searching import Sensing, plan_site_search
from missions.feasibility import blockers
from missions.geo import Altitude, Datum, GeoPoint
from missions.judge_search import judge_effort_bound, judge_pos
from missions.judge_separation import judge_separation
from missions.model import Budget
from missions.search.probability import from_array
from missions.separation import check_separation
from missions.validate import judge_patrol

APP = typer.Typer()
APP.command()(plan_search.search)
APP.command("nothing")(lambda: None)
RUNNER = CliRunner()
EXAMPLE = Path(__file__).parents[3] / "config" / "last_seen.yaml"
LAST_SEEN = "29.7405,107.2690"


def run(*arguments):
    return RUNNER.invoke(APP, ["search", *(str(a) for a in arguments)])


@pytest.fixture(scope="module")
def site():
    return open_site(None)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    result = run("--at", LAST_SEEN, "--category", "child_4_6", "--out", folder, "--iterations", 20_000, "--json")
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def test_every_drone_gets_a_plan_that_may_be_flown(site, searched):
    folder, summary = searched
    plans = [read_plan_file(site, folder / f"{d}.plan") for d in ("d1", "d2", "d3")]
    for plan in plans:
        assert blockers(check_at_site(site, plan)) == []
        assert plan.mission.category.value == "search"
    assert judge_patrol(plans, [], [], site.fence, site.limits, site.terrain) == []
    assert judge_separation(plans, [p.start_after_s for p in plans], site.limits) == []
    assert {f["vehicle_id"] for f in summary["flights"]} == {"d1", "d2", "d3"}
    assert all(f["battery_at_landing"] >= site.limits.reserve_fraction for f in summary["flights"])
    assert summary["clean"]
    assert check_separation(plans, site.limits) == []
    starts = {p.vehicle_id: p.start_after_s for p in plans}
    assert {f["vehicle_id"]: f["start_after_s"] for f in summary["flights"]} == starts
    assert len(set(starts.values())) == 3  # the pads are side by side


def test_the_summary_says_what_was_tried_and_what_is_doubtful(searched):
    folder, summary = searched
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["pos"] == summary["pos"]
    assert 0.5 < summary["ratio"] <= 1.0
    assert summary["ratio"] == pytest.approx(summary["pos"] / summary["bound"], abs=1e-3)
    tried = " ".join(p["pattern"] for p in summary["patterns"])
    for wanted in ("(SS)", "(VS)", "(PS)", "(CS)", "contour", "ring", "lattice", "Pizza"):
        assert wanted in tried
    doubts = " ".join(summary["doubts"])
    for wanted in ("one transcription", "watersheds", "sweep width", "cannot look"):
        assert wanted in doubts
    assert "Koester" in summary["source"]


def test_the_plans_find_what_the_summary_says(site, searched):
    """From the .plan files alone: ways out and search legs, on a map made again from the table's rings."""
    folder, summary = searched
    latitude, longitude = (float(v) for v in LAST_SEEN.split(","))
    chart = map_of_form(LastSeen(GeoPoint(latitude, longitude), "child_4_6", "temperate_flat"), site.terrain)
    saved = read_probability_map(folder / "map.npz", MapReading(None, 1.0, first_row_north=False))
    assert np.array_equal(saved.p, chart.p)
    assert (saved.source, saved.doubts) == (chart.source, chart.doubts)
    tracks = []
    for drone in ("d1", "d2", "d3"):
        plan = read_plan_file(site, folder / f"{drone}.plan")
        tracks.append(np.array([chart.frame.to_enu(p) for p in (plan.home, *(w.position for w in plan.waypoints))]))
    width = summary["sweep_width_m"]
    cut = int(1500.0 / chart.cell_m)
    rows, columns = chart.p.shape
    near = chart.p[rows // 2 - cut : rows // 2 + cut, columns // 2 - cut : columns // 2 + cut]
    west = chart.west_m + (columns // 2 - cut) * chart.cell_m
    south = chart.south_m + (rows // 2 - cut) * chart.cell_m
    judged = judge_pos(near, west, south, chart.cell_m, tracks, width / 2.0, disc=False)
    assert summary["pos"] == pytest.approx(judged, rel=0.02)
    flown = sum(f["length_m"] for f in summary["flights"])
    assert summary["pos"] <= judge_effort_bound(chart.p, chart.cell_m, width * flown)


def test_the_map_shows_every_track(searched):
    folder, _ = searched
    root = ET.parse(folder / "search.svg").getroot()  # noqa: S314  # our own file
    paths = [e for e in root.iter() if e.get("class") == "plan"]
    assert len(paths) == 3
    assert len([e for e in root.iter() if e.tag.endswith("image")]) == 2
    said = " ".join(e.text or "" for e in root.iter() if e.tag.endswith("text"))
    assert "no search with these batteries" in " ".join(said.split())
    assert "where the person was last seen" in said
    assert "越深越可能 the darker, the more probable per area" in said
    assert {"搜索 Search", "李渡镇（演示）", "Lidu township (demonstration)"} <= {e.text for e in root.iter()}
    assert "发现概率" in said
    assert len([e for e in root.iter() if e.get("class") == "plan-casing"]) == len(paths)


def test_people_read_it_too(tmp_path):
    result = run(
        "--at", LAST_SEEN, "--category", "dementia", "--hours", 0.5, "--sweep-width", 40, "--drones", "d2",
        "--iterations", 2000, "--out", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for wanted in ("Probability of success", "Tried:", "doubtful", "cut at 2.5 km", "d2.plan"):
        assert wanted in result.stdout
    assert "not measured" not in result.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "d2.plan",
        "map.npz",
        "routes.geojson",
        "routes.html",
        "routes.kml",
        "search.svg",
        "summary.json",
    ]


def test_a_map_from_a_file_is_searched_where_it_is_likely(site, tmp_path):
    weights = np.zeros((60, 60))
    weights[40:50, 10:20] = 1.0  # north-west of the middle
    np.savez(tmp_path / "map.npz", p=weights, cell_m=20.0)
    result = run(
        "--at", LAST_SEEN, "--map", tmp_path / "map.npz", "--drones", "d1", "--iterations", 3000, "--certain",
        "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["pos"] > 0.9
    assert summary["source"] == "map.npz"
    chart = from_array(weights, site.frame, 20.0, source="again")
    assert chart.p.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--at", "29.74;107.27", "--category", "dementia"], "latitude,longitude"),
        (["--at", "107.27,29.74", "--category", "dementia"], "swapped"),
        (["--at", "31.0,107.27", "--category", "dementia"], "km from site"),
        (["--at", LAST_SEEN], "--category"),
        ([], "FORM.yaml"),
        ([str(EXAMPLE), "--at", LAST_SEEN], "the form says"),
        (["--at", LAST_SEEN, "--category", "dementia", "--ignore", "ring"], "watershed"),
        (["--at", LAST_SEEN, "--category", "dementia", "--map", "x.npz"], "either"),
        (["--at", LAST_SEEN, "--category", "dog"], "dementia"),
        (["--at", LAST_SEEN, "--category", "hiker", "--terrain", "urban"], "no figures"),
        (["--at", LAST_SEEN, "--map", "absent.npz"], "absent.npz"),
        (["--at", LAST_SEEN, "--map", "x.npz", "--hours", "3"], "leave out"),
        (["--at", LAST_SEEN, "--map", "x.npz", "--ignore", "lines"], "leave out"),
        (["--at", LAST_SEEN, "--category", "dementia", "--drones", "d9"], "d9"),
        (["--at", LAST_SEEN, "--category", "dementia", "--wind", "25"], "wind"),
        (["--at", LAST_SEEN, "--category", "dementia", "--height", "20"], "above ground"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(arguments, word, tmp_path):
    result = run(*arguments, "--out", tmp_path / "out", "--iterations", 100)
    assert isinstance(result.exception, BadInputError)
    assert word in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_an_empty_map_is_refused(tmp_path):
    np.savez(tmp_path / "zero.npz", p=np.zeros((20, 20)))
    result = run("--at", LAST_SEEN, "--map", tmp_path / "zero.npz", "--out", tmp_path / "out")
    assert isinstance(result.exception, BadInputError)
    assert "empty" in str(result.exception)


def test_a_form_is_searched_and_its_lines_are_drawn(tmp_path):
    result = run(EXAMPLE, "--out", tmp_path, "--iterations", 2000, "--json")
    assert result.exit_code == 0, result.output
    said = " ".join(json.loads(result.stdout)["doubts"])
    for word in ("child_4_6", "Tobler", "watersheds", "Jacobs", "Market hall", "1.5 h before"):
        assert word in said
    root = ET.parse(tmp_path / "search.svg").getroot()  # noqa: S314  # our own file
    assert sum(e.get("class") == "ground-line" for e in root.iter()) == 6  # three lines, three in the legend


@given(
    limit_s=st.floats(5.0, 300.0),
    map_share=st.floats(0.0, 0.4),
    after_share=st.floats(0.1, 0.6),
    step_share=st.floats(1e-4, 0.05),
)
def test_the_planner_stops_in_time_for_checks_and_files(limit_s, map_share, after_share, step_share):
    """However slow the machine: what comes after the plan takes some share of what the map before it took."""
    now = [1000.0]
    clock = PlanClock(1000.0, limit_s, None, afterwards=0.4, now_s=lambda: now[0])
    map_s = map_share * limit_s
    now[0] += map_s
    while not clock.stop():
        now[0] += step_share * limit_s
    planned_s = now[0] - 1000.0 - map_s
    spent_s = now[0] + after_share * map_s - 1000.0
    assert spent_s <= (1.0 + step_share) * limit_s + 0.2 * map_s  # the step begun is ended
    assert spent_s >= limit_s - 0.3 * map_s - 1e-6  # nor is time given away
    assert clock.steps > 0
    assert planned_s > 0.0


def test_a_run_that_the_time_limit_ended_can_be_repeated_exactly(tmp_path):
    np.savez(tmp_path / "map.npz", p=np.ones((20, 20)), cell_m=30.0)
    asked = ["--at", LAST_SEEN, "--map", tmp_path / "map.npz", "--drones", "d1", "--iterations", 50_000_000, "--json"]
    ended = run(*asked, "--time-limit", 1, "--out", tmp_path / "one")
    assert ended.exit_code == 0, ended.output
    first = json.loads((tmp_path / "one" / "summary.json").read_text(encoding="utf-8"))
    assert 0 < first["ratio"] <= 1.0
    again = run(*asked, "--steps", first["steps"], "--out", tmp_path / "two")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "two" / "summary.json").read_text(encoding="utf-8")) == first


@pytest.mark.data
def test_a_real_map_of_lost_persons_is_read(tmp_path):
    data = os.environ.get("DRONECTL_DATA")
    if not data:
        pytest.skip("set DRONECTL_DATA: the maps of SAREnv are needed")
    file = Path(data) / "planning" / "sarenv" / "heatmap_1.npz"
    result = run("--at", LAST_SEEN, "--map", file, "--out", tmp_path, "--iterations", 1000, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert 0.0 < summary["pos"] < summary["bound"] < 0.5
    assert any("middle was put on the given place" in d for d in summary["doubts"])


@pytest.mark.parametrize(("top", "low"), [(150.0, False), (90.0, True)])
def test_a_search_that_the_fences_top_presses_down_is_doubtful(site, top, low):
    """The whole ground raised by 45 m but for the dock: under a top of 90 m nobody can be 60 m above it."""
    raised = site.terrain.heights_amsl_m + np.float32(45.0)
    east, north = (np.arange(n) * site.terrain.resolution_m for n in raised.shape[::-1])
    x, y = np.meshgrid(east + site.terrain.west_m, north + site.terrain.south_m)
    near = np.hypot(x, y) < 150.0  # home stays where it is
    ground = replace(site.terrain, heights_amsl_m=np.where(near, site.terrain.heights_amsl_m, raised))
    pressed = replace(site, terrain=ground, fence=replace(site.fence, max_altitude=Altitude(top, Datum.HOME)))
    at = GeoPoint(29.7405, 107.2690)
    chart = map_of_form(LastSeen(at, "child_4_6", "temperate_flat", None, ()), ground)
    found = plan_site_search(pressed, chart, at, Sensing(50.0), Budget(200), drone_ids=["d1"])
    assert any("sees less wide" in d for d in found.doubts) is low

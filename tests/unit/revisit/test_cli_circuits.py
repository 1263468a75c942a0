# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan circuits` on the demonstration site: files, numbers, exit codes, bad inputs."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
import typer
from typer.testing import CliRunner

from dronectl.cli import plan as plan_cli
from dronectl.cli.check import check
from dronectl.cli.common import open_site
from dronectl.errors import BadInputError
from dronectl.operations.planning import read_plan_file
from missions.judge_patrol import RoundFlight, judge_rounds
from missions.judge_separation import judge_separation

APP = typer.Typer()
APP.add_typer(plan_cli.plan_app, name="plan")
APP.command()(check)
RUNNER = CliRunner()
DEFAULTS = "schema_version: 1\n"


def run(*arguments):
    return RUNNER.invoke(APP, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("circuits")
    result = run("plan", "circuits", "--out", folder, "--iterations", 200, "--json")
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def test_the_summary_says_how_often_and_why(made):
    folder, said = made
    assert said["planner"] == "circuits"
    assert said["cost"] == pytest.approx(said["worst_ratio"], abs=1e-4)
    assert said["worst_ratio"] <= 1.0
    assert 0.0 < said["lower_bound"] <= said["cost"]
    assert said["worst_idleness_bound_s"] <= said["worst_idleness_s"]
    assert {c["strategy"] for c in said["candidates"]} >= {"tour", "partition", "weighted"}
    (chosen,) = [c for c in said["candidates"] if c["chosen"]]
    assert chosen["strategy"] == said["strategy"]
    assert chosen["worst_ratio"] == min(c["worst_ratio"] for c in said["candidates"])
    assert all(c["strategy"] in said["why"] or c["chosen"] for c in said["candidates"])
    assert said["clean"]
    assert said["all_kept"]
    site = open_site(None)
    assert {i["item"] for i in said["items"]} == {p.place_id for p in site.points} | {x.line_id for x in site.lines}
    for item in said["items"]:
        assert len(item["visits_s"]) >= 1
        assert item["ratio"] == pytest.approx(item["longest_without_s"] / item["interval_s"], abs=1e-3)
    for drone in said["drones"]:
        flown = [f["time_s"] for f in said["flights"] if f["vehicle_id"] == drone["vehicle_id"]]
        assert drone["air_s"] == pytest.approx(sum(flown), abs=0.2 * len(flown))
        assert sum(flown) + len(flown) * said["swap_s"] <= said["period_s"] + 0.2 * len(flown)
    assert {f["file"] for f in said["flights"]} == {p.name for p in folder.glob("*.plan")}


def test_the_files_are_a_round_that_the_judges_accept(made):
    folder, said = made
    site = open_site(None)
    plans = [read_plan_file(site, folder / f["file"]) for f in said["flights"]]
    period = said["period_s"]
    starts = [p.start_after_s + k * period for k in range(3) for p in plans]
    assert judge_separation(plans * 3, starts, site.limits) == []
    flights = []
    for plan, flight in zip(plans, said["flights"], strict=True):
        arrivals = [(v, i["item"]) for i in said["items"] for v in i["visits_s"]]
        own = [(i, (v - plan.start_after_s) % period) for v, i in arrivals]
        served = {i for w in plan.waypoints for i in w.serves}
        visits = tuple((i, a) for i, a in own if i in served and a <= flight["time_s"])
        flights.append(RoundFlight(plan.vehicle_id, plan.start_after_s, flight["time_s"], visits))
    assert (
        judge_rounds(flights, period, said["swap_s"], {i["item"]: i["longest_without_s"] for i in said["items"]}) == []
    )
    assert run("check", *(folder / f["file"] for f in said["flights"])).exit_code == 0
    for name in ("routes.html", "routes.kml", "routes.geojson", "summary.json", "plan.svg", "round.svg"):
        assert (folder / name).is_file()
    root = ET.fromstring((folder / "round.svg").read_text(encoding="utf-8"))  # noqa: S314  # our own file
    words = {t.text for t in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {p.name for p in site.points} | {"d1", "d2", "d3"} <= words
    dots = sum(1 for _ in root.iter("{http://www.w3.org/2000/svg}circle"))
    assert dots == sum(len(i["visits_s"]) for i in said["items"])


def test_a_table_for_people_and_intervals_that_cannot_be_kept(tmp_path):
    wanted = tmp_path / "often.yaml"
    wanted.write_text(DEFAULTS + "default_interval_min: 5\n", encoding="utf-8")
    result = run("plan", "circuits", "--out", tmp_path, "--iterations", 60, "--drones", "d1", "--file", wanted)
    assert result.exit_code == 1, result.output
    assert "no patrol can do better than" in result.stdout
    assert "Fly the round again every" in result.stdout
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["clean"]
    assert not summary["all_kept"]


def test_wind_and_closed_schools_count(tmp_path):
    wanted = tmp_path / "wanted.yaml"
    wanted.write_text(
        DEFAULTS
        + "calendars: {all: {hours: ['07:30-17:40']}}\nclosed: [{school: school-east, calendar: all}]\n"
        + "default_interval_min: null\nitems: {market: {interval_min: 30}, dam: {interval_min: 40}}\n",
        encoding="utf-8",
    )
    arguments = (
        "plan",
        "circuits",
        "--iterations",
        60,
        "--file",
        wanted,
        "--drones",
        "d1",
        "--json",
        "--out",
        tmp_path,
    )
    calm, windy, closed = (
        json.loads(run(*arguments, *more).stdout) for more in ((), ("--wind", 8), ("--day", "2026-11-23"))
    )
    assert [i["item"] for i in calm["items"]] == ["market", "dam"]
    assert windy["worst_idleness_s"] > calm["worst_idleness_s"]
    assert calm["closed"] == []
    assert closed["closed"] == ["school-east"]
    result = run(*arguments, "--wind", 30)
    assert isinstance(result.exception, BadInputError)
    assert "above the vehicles' limit" in str(result.exception)


def test_nothing_wanted_is_a_clear_line(tmp_path):
    wanted = tmp_path / "none.yaml"
    wanted.write_text(DEFAULTS + "default_interval_min: null\n", encoding="utf-8")
    result = run("plan", "circuits", "--out", tmp_path, "--file", wanted)
    assert isinstance(result.exception, BadInputError)
    assert "no must-patrol item has an interval" in str(result.exception)

# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan separate`, in the process: files, reasons, refusals and exit codes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from dronectl.cli.main import app
from dronectl.errors import BadInputError
from dronectl.operations.planning import plan_site_patrol, read_plan_file
from dronectl.paths import default_site_file
from dronectl.site import load_site
from missions.formats.qgc_plan import write_plan
from missions.judge_separation import judge_lost_site, judge_separation
from missions.model import Budget


def run(*arguments):
    return CliRunner().invoke(app, ["plan", "separate", *map(str, arguments)])


@pytest.fixture(scope="module")
def site():
    return load_site(default_site_file())


@pytest.fixture(scope="module")
def patrol(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("patrol")
    files = []
    for plan in plan_site_patrol(site, Budget(100, seed=1)).plans:
        files.append(folder / f"{plan.vehicle_id}.plan")
        together = replace(plan, start_after_s=0.0)  # as a set that nobody has kept apart yet
        files[-1].write_text(write_plan(together), encoding="utf-8")
    return files


@pytest.fixture(scope="module")
def separated(patrol, tmp_path_factory):
    folder = tmp_path_factory.mktemp("separated")
    at = "2026-05-01T09:30:00+08:00"
    result = run(*patrol, "--out", folder, "--at", at, "--geoid", "-30", "--priority", "d3=1")
    return folder, result


def test_the_demonstration_patrol_is_separated(site, patrol, separated):
    folder, result = separated
    assert result.exit_code == 0, result.output
    assert "conflicts of 3 pairs. After: none" in result.stdout
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["clean"]
    assert summary["conflicts_before"]
    starts = {f["vehicle_id"]: f["start_s"] for f in summary["flights"]}
    plans = [read_plan_file(site, folder / f"{name}.plan") for name in starts]
    assert judge_separation(plans, list(starts.values()), site.limits) == []
    assert judge_lost_site(plans, list(starts.values()), site.limits) == []
    before = [read_plan_file(site, file) for file in patrol]
    assert judge_separation(before, [0.0] * len(before), site.limits)
    assert starts["d3"] == 0.0  # it has priority


def test_every_change_says_why(separated):
    folder, result = separated
    changes = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["changes"]
    assert {c["kind"] for c in changes} <= {"delay", "return-layer"}
    delays = [c for c in changes if c["kind"] == "delay"]
    assert delays
    for change in delays:
        assert change["because"]["lateral_m"] < 20.1
        assert "it would have come within" in change["text"]
        assert change["text"] in result.stdout


def test_volumes_have_absolute_times_and_say_their_datum(separated):
    folder, _ = separated
    document = json.loads((folder / "volumes.json").read_text(encoding="utf-8"))
    assert document["altitude_reference"] == "W84"
    intents = {i["vehicle_id"]: i for i in document["operational_intents"]}
    first = intents["d3"]["volumes"][0]
    assert first["time_start"] == {"value": "2026-05-01T01:29:55.000Z", "format": "RFC3339"}
    assert first["volume"]["altitude_lower"]["reference"] == "W84"
    assert first["volume"]["altitude_lower"]["units"] == "M"
    assert len(first["volume"]["outline_polygon"]["vertices"]) >= 3
    assert intents["d3"]["priority"] == 1


def test_pictures_are_svg_with_a_row_per_drone(separated):
    folder, _ = separated
    root = ET.fromstring((folder / "timeline.svg").read_text(encoding="utf-8"))  # noqa: S314  # our own file
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"d1", "d2", "d3"} <= set(texts)
    titles = [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")]
    assert any(t.startswith("before: within") for t in titles)
    assert any(t.startswith("starts ") for t in titles)
    ET.fromstring((folder / "plan.svg").read_text(encoding="utf-8"))  # noqa: S314  # our own file


def test_starts_far_apart_change_nothing(site, patrol, tmp_path):
    result = run(*patrol, "--out", tmp_path, "--start", "d2=3000", "--start", "d3=6000", "--no-return-layers", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["changes"] == []
    assert document["conflicts_before"] == []
    assert [f["start_s"] for f in document["flights"]] == [0.0, 3000.0, 6000.0]
    assert [f["plan_changed"] for f in document["flights"]] == [False] * 3
    for file, start in zip(patrol, (0.0, 3000.0, 6000.0), strict=True):
        was, now = (read_plan_file(site, folder / file.name) for folder in (file.parent, tmp_path))
        assert now == was.at_start(start)
    again = run(*(tmp_path / f.name for f in patrol), "--out", tmp_path / "again", "--no-return-layers", "--json")
    assert json.loads(again.stdout)["changes"] == []  # the plans say when they want to start


def test_slack_puts_launches_farther_apart(patrol, separated, tmp_path):
    result = run(*patrol, "--out", tmp_path, "--priority", "d3=1", "--slack", "20", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    before = json.loads((separated[0] / "summary.json").read_text(encoding="utf-8"))
    wide, narrow = (sorted(f["start_s"] for f in d["flights"]) for d in (document, before))
    assert document["slack_s"] == 20.0
    assert wide[1] >= 20.0 > narrow[1] > 0.0


def test_a_missing_return_layer_is_exit_code_1(site, patrol, tmp_path):
    """All fly as high as the fence allows: there is one layer for three."""
    files = []
    for file in patrol:
        plan = read_plan_file(site, file)
        files.append(tmp_path / file.name)
        files[-1].write_text(write_plan(replace(plan, return_height_m=120.0)), encoding="utf-8")
    result = run(*files, "--out", tmp_path / "out", "--max-shift", "0", "--vertical", "80", "--max-delay", "3000")
    assert result.exit_code == 1, result.output
    assert "return-layers-short" in result.stdout
    assert (tmp_path / "out" / "summary.json").exists()


def refused(*arguments):
    result = run(*arguments)
    assert isinstance(result.exception, BadInputError), result.output
    return str(result.exception)


def test_what_cannot_be_separated_is_refused_and_nothing_is_written(patrol, tmp_path):
    folder = tmp_path / "out"
    said = refused(*patrol, "--out", folder, "--max-delay", "2", "--max-shift", "0", "--no-sidesteps")
    assert "cannot be separated" in said
    assert "s after the first start" in said
    assert not folder.exists()


def test_bad_input_says_how_to_mend_it(patrol, tmp_path):
    assert "give one plan per vehicle" in refused(patrol[0], patrol[0], "--out", tmp_path)
    assert "like --priority d1=5" in refused(*patrol, "--out", tmp_path, "--priority", "d1")
    assert "like --start d1=120" in refused(*patrol, "--out", tmp_path, "--start", "d1=soon")
    assert "like --start d1=120" in refused(*patrol, "--out", tmp_path, "--start", "d1=nan")
    assert "which none of the plans is for" in refused(*patrol, "--out", tmp_path, "--priority", "d9=2")
    assert "lacks its time zone" in refused(*patrol, "--out", tmp_path, "--at", "2026-05-01T09:30")
    assert "is no time" in refused(*patrol, "--out", tmp_path, "--at", "noon")
    for year in ("9999-12-31T23:59:00Z", "0001-01-01T00:00:00+14:00"):
        assert "check the year" in refused(*patrol, "--out", tmp_path, "--at", year)
    assert "would overwrite a plan that was read" in refused(*patrol, "--out", patrol[0].parent)
    assert "cannot be read" in refused(tmp_path / "absent.plan", "--out", tmp_path)


def test_a_plan_of_another_ground_station_is_named_on_the_command_line(patrol, tmp_path):
    foreign = json.loads(patrol[0].read_text(encoding="utf-8"))
    del foreign["dronectl"]
    file = tmp_path / "foreign.plan"
    file.write_text(json.dumps(foreign), encoding="utf-8")
    assert "name the vehicle" in refused(file, patrol[1], "--out", tmp_path / "out")
    result = run(f"d1={file}", patrol[1], "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output

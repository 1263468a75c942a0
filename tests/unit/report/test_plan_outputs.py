# SPDX-License-Identifier: AGPL-3.0-or-later
"""What every planner writes: routes read back as they were planned, a page that stands alone, numbers under one name."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from dronectl.cli.common import open_site
from dronectl.cli.main import app
from dronectl.errors import BadInputError
from dronectl.operations.plan_outputs import Goal, PlannedFlight, PlannedFlights, common_files, with_common_keys
from dronectl.operations.planning import read_plan_file
from missions.energy import plan_energy
from missions.formats.files import FileFormat, format_of, read_flight_file
from missions.model import Finding, Severity

RUNNER = CliRunner()
AREA = {
    "type": "Polygon",
    "coordinates": [
        [[107.267, 29.7385], [107.271, 29.7385], [107.271, 29.7415], [107.267, 29.7415], [107.267, 29.7385]]
    ],
}
KEYS = {"planner", "cost", "cost_unit", "cost_of", "lower_bound", "ratio", "coverage", "pos"}
FLIGHT_KEYS = {"file", "vehicle_id", "time_s", "distance_m", "battery_at_landing", "coverage", "pos"}


@pytest.fixture(scope="module")
def site():
    return open_site(None)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Folder and summary of each planner, run once."""
    top = tmp_path_factory.mktemp("results")
    area = top / "area.json"
    area.write_text(json.dumps(AREA))
    found = {}
    for name, arguments in {
        "patrol": ["patrol", "--iterations", "200"],
        "cover": ["cover", str(area), "--drones", "d1", "--iterations", "5"],
        "search": [
            "search", "--at", "29.741,107.271", "--category", "child_4_6", "--sweep-width", "60", "--drones", "d1",
            "--iterations", "200", "--time-limit", "5",
        ],
        "separate": ["separate", *(str(top / "patrol" / f"d{i}.plan") for i in (1, 2, 3))],
    }.items():  # fmt: skip
        result = RUNNER.invoke(app, ["plan", *arguments, "--out", str(top / name), "--json"])
        assert result.exit_code == 0, result.output
        found[name] = top / name, json.loads(result.stdout)
    return found


@pytest.mark.parametrize("name", ["patrol", "cover", "search", "separate"])
def test_every_planner_writes_the_same_files_and_keys(site, results, name):
    folder, summary = results[name]
    on_disk = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    for document in (summary, on_disk):
        assert document.keys() >= KEYS
        assert document["planner"] == name
        assert document["cost"] >= document["lower_bound"] - 1e-6
        assert all(f.keys() >= FLIGHT_KEYS for f in document["flights"])
    assert (summary["coverage"] is not None) is (name == "cover")
    assert (summary["pos"] is not None) is (name == "search")
    plans = {f["file"]: read_plan_file(site, folder / f["file"]) for f in summary["flights"]}
    for flight in summary["flights"]:
        energy = plan_energy(plans[flight["file"]], site.limits)
        assert flight["time_s"] == pytest.approx(energy.time_s, abs=0.1)
        assert flight["distance_m"] == pytest.approx(energy.length_m, abs=0.1)
    for file, kind in (("routes.geojson", FileFormat.GEOJSON), ("routes.kml", FileFormat.KML)):
        data = (folder / file).read_bytes()
        assert format_of(data, file) is kind
        read = read_flight_file(data, source=file)
        assert read.losses == ()
        assert [r.name.split(":")[0] for r in read.routes] == [f.removesuffix(".plan") for f in plans]
        for route, plan in zip(read.routes, plans.values(), strict=True):
            wanted = [plan.home, *(w.position for w in plan.waypoints)]
            assert [s.position for s in route.steps if s.position is not None] == wanted
            assert route.orders.return_height_m == plan.return_height_m
    lines = [
        f
        for f in json.loads((folder / "routes.geojson").read_text(encoding="utf-8"))["features"]
        if f["geometry"]["type"] == "LineString"
    ]
    assert all(f["properties"].keys() >= FLIGHT_KEYS for f in lines)


@pytest.mark.parametrize("name", ["patrol", "cover", "search", "separate"])
def test_the_page_stands_alone_and_shows_every_flight(results, name):
    folder, summary = results[name]
    page = (folder / "routes.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:)[^"'#]""", page)
    drawn = re.search(r"<svg.*</svg>", page, re.DOTALL).group()
    groups = [g.get("data-flight") for g in ET.fromstring(drawn).iter() if g.get("data-flight")]  # noqa: S314  # ours
    assert groups == [str(i) for i in range(len(summary["flights"]))]
    for flight in summary["flights"]:
        assert flight["file"].removesuffix(".plan") in page
    assert "落地电量" in page
    assert "Battery at landing" in page


def made(site, folder, names, findings=()):
    plan = replace(read_plan_file(site, folder / "d1.plan"), vehicle_id="<d1>")
    flights = tuple(PlannedFlight(n, plan, plan_energy(plan, site.limits), findings, start="07:00") for n in names)
    return PlannedFlights("patrol", site, flights, Goal(2.0, 1.0, 2.0, "s", "费用", "cost", "证", "proof"))


def test_names_and_findings_are_escaped_and_shown(site, results):
    finding = Finding("battery", Severity.BLOCKER, "too <b>long</b>", 1, site.docks[0].position)
    page = common_files(made(site, results["patrol"][0], ["a"], (finding,)))["routes.html"]
    assert "too &lt;b&gt;long" in page
    assert "&lt;d1&gt;" in page
    assert "禁飞 blocks" in page
    assert "07:00" in page


def test_two_flights_never_share_a_file(site, results):
    with pytest.raises(BadInputError, match=r"both be written to a\.plan"):
        common_files(made(site, results["patrol"][0], ["a", "a"]))


def test_a_summary_needs_a_row_for_every_flight(site, results):
    found = made(site, results["patrol"][0], ["a", "b"])
    assert with_common_keys({"flights": [{"x": 1}, {"x": 2}], "y": 3}, found)["flights"][1]["x"] == 2
    with pytest.raises(ValueError, match="zip"):
        with_common_keys({"flights": [{}]}, found)

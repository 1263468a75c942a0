# SPDX-License-Identifier: AGPL-3.0-or-later
"""A search that goes on from the command line: what was flown, drones that are left, new zones; and the pure calls."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import typer
from shapely.geometry import LineString, Polygon
from typer.testing import CliRunner

from dronectl.cli import plan_search
from dronectl.cli.common import open_site
from dronectl.errors import BadInputError
from dronectl.operations.planning import read_plan_file
from dronectl.operations.probability_files import MapReading, read_probability_map
from dronectl.operations.search_resume import Changes, DroneNow, after_flying, plan_rest, sensing_of
from dronectl.operations.searching import Sensing, plan_site_search
from missions.energy import plan_energy
from missions.judge_search import judge_pos, judge_posterior, passes
from missions.judge_separation import judge_separation
from missions.model import Budget
from missions.search.probability import from_array

APP = typer.Typer()
APP.command()(plan_search.search)
APP.command("nothing")(lambda: None)
RUNNER = CliRunner()
LINES = Path(__file__).parents[3] / "config" / "lidu_lines.geojson"
WIDTH = 60.0


def run(*arguments):
    return RUNNER.invoke(APP, ["search", *(str(a) for a in arguments)])


def hill(frame):
    """A map of 1.2 km around the docks, highest in the middle."""
    x = np.arange(-600.0, 600.0, 40.0) + 20.0
    return from_array(np.exp(-(x[None, :] ** 2 + x[:, None] ** 2) / 300.0**2), frame, 40.0, source="made")


@pytest.fixture(scope="module")
def site():
    return open_site(None)


@pytest.fixture(scope="module")
def first(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    chart = hill(site.frame)
    place = site.frame.origin
    np.savez(
        folder / "start.npz", p=chart.p, cell_m=40.0, latitude_deg=place.latitude_deg, longitude_deg=place.longitude_deg
    )
    result = run("--map", folder / "start.npz", "--sweep-width", WIDTH, "--iterations", 5000, "--out", folder, "--json")
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def saved(folder):
    return read_probability_map(folder / "map.npz", MapReading(None, 1.0, first_row_north=False))


def way(site, folder, drone, upto=None):
    plan = read_plan_file(site, folder / f"{drone}.plan")
    points = (plan.home, *(w.position for w in plan.waypoints))
    return points if upto is None else points[: upto + 1]


def test_the_saved_posterior_is_that_of_the_judge(site, first, tmp_path):
    folder, summary = first
    result = run(
        "--map", folder / "map.npz", "--flown", folder / "d1.plan", "--flown", f"{folder / 'd2.plan'}@9", "--drones",
        "d1,d3", "--battery", "d1=70%", "--sweep-width", WIDTH, "--iterations", 3000, "--out", tmp_path, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    again = json.loads(result.stdout)
    before, after = saved(folder), saved(tmp_path)
    tracks = [
        np.array([before.frame.to_enu(p) for p in points])
        for points in (way(site, folder, "d1"), way(site, folder, "d2", 9))
    ]
    # Exact Bayes on the saved cells with the judge's passes over their centres: cell by cell, not only in the mean.
    parts = round(before.cell_m / after.cell_m)
    prior = np.repeat(np.repeat(before.p, parts, 0), parts, 1) / parts**2
    middle = [
        w + (np.arange(n) + 0.5) * after.cell_m for w, n in zip((after.west_m, after.south_m), prior.shape, strict=True)
    ]
    east, north = np.meshgrid(*middle)
    seen = passes(tracks, east.ravel(), north.ravel(), WIDTH / 2.0, disc=False)
    oracle = np.array(judge_posterior(prior.ravel().tolist(), (1.0 - np.exp(-seen)).tolist())).reshape(prior.shape)
    changed = np.abs(oracle - prior).sum()
    assert changed > 0.3
    assert np.abs(after.p - oracle).sum() < 0.005 * changed  # a track is thinned to a metre
    judged = judge_pos(before.p, before.west_m, before.south_m, before.cell_m, tracks, WIDTH / 2.0, disc=False)
    assert again["found_if_flown_before"] == pytest.approx(judged, rel=0.01)  # its points are scattered, not centres
    assert {f["vehicle_id"] for f in again["flights"]} == {"d1", "d3"}
    assert again["pos"] < summary["pos"]
    d1 = next(f for f in again["flights"] if f["vehicle_id"] == "d1")
    d3 = next(f for f in again["flights"] if f["vehicle_id"] == "d3")
    assert d1["length_m"] < 0.8 * d3["length_m"]


def test_a_drone_in_the_air_goes_on_from_there_around_a_new_zone(site, first, tmp_path):
    folder, _ = first
    square = [(150, -150), (150, 150), (350, 150), (350, -150), (150, -150)]
    ring = [[p.longitude_deg, p.latitude_deg] for p in (site.frame.to_geo(*c) for c in square)]
    zone = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"kind": "keep-out"},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        ],
    }
    (tmp_path / "zone.geojson").write_text(json.dumps(zone))
    at = site.frame.to_geo(-200.0, 100.0)
    result = run(
        "--map", folder / "map.npz", "--from", f"d2={at.latitude_deg},{at.longitude_deg}", "--battery", "d2=60",
        "--no-fly", tmp_path / "zone.geojson", "--wind", 5, "--sweep-width", WIDTH, "--iterations", 3000,
        "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert any(
        d.startswith("in the air: d2. Taken to be at the place and height") for d in json.loads(result.stdout)["doubts"]
    )
    shape = Polygon(square)
    for drone in ("d1", "d2", "d3"):
        plan = read_plan_file(site, tmp_path / "out" / f"{drone}.plan")
        legs = [site.frame.to_enu(w.position) for w in plan.waypoints]
        assert not LineString(legs).intersects(shape)
        if drone == "d2":
            assert math.dist(legs[0], (-200.0, 100.0)) < 1.0
    summary = json.loads(result.stdout)
    assert all(f["battery_at_landing"] >= site.limits.reserve_fraction for f in summary["flights"])
    plans = {d: read_plan_file(site, tmp_path / "out" / f"{d}.plan") for d in ("d1", "d2", "d3")}
    # d2 is at its first waypoint now: as if it had taken off by as much earlier.
    begun = plan_energy(plans["d2"], site.limits, wind_m_s=5.0).arrival_s[0]
    starts = [plans[d].start_after_s + (0.0 if d == "d2" else begun) for d in plans]
    met = judge_separation(list(plans.values()), starts, site.limits, wind_m_s=5.0)
    assert met == []


def test_drones_in_the_air_that_would_meet_are_kept_apart_and_it_is_said_how(site, first, tmp_path):
    folder, _ = first
    places = {"d1": (60.0, 40.0), "d2": (66.0, 44.0), "d3": (-80.0, 120.0)}  # d1 and d2 are too near already
    at = {d: site.frame.to_geo(*p) for d, p in places.items()}
    arguments = [
        word
        for d, p in at.items()
        for word in (
            "--from",
            f"{d}={p.latitude_deg},{p.longitude_deg}",
            "--battery",
            f"{d}={27.5 if d == 'd3' else 60}",
        )
    ]
    shown = run(
        "--map", folder / "map.npz", *arguments, "--wind", 4, "--sweep-width", WIDTH, "--iterations", 3000,
        "--out", tmp_path,
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    said = " ".join(shown.output.split())
    assert "So that those in the air keep apart:" in said
    assert "Brought home: d3" in said
    assert "they keep apart while they are at most" in said
    assert "d1 and d2, both in the air, are too near to each other now" in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["brought_home"] == summary["idle"] == ["d3"]
    assert summary["clean"]
    assert {c["vehicle_id"] for c in summary["changes"]} <= {"d1", "d2"}
    plans = [read_plan_file(site, tmp_path / f"{d}.plan") for d in at]
    holds = {f["vehicle_id"]: f["holds"] for f in summary["flights"]}
    routes = json.loads((tmp_path / "routes.geojson").read_text())["features"]
    for plan in plans:
        mine = [{"waypoint": i + 1, "hold_s": w.hold_s} for i, w in enumerate(plan.waypoints) if w.hold_s > 0.0]
        assert holds[plan.vehicle_id] == mine  # what is said is what goes aboard
        route = next(r["properties"] for r in routes if r["properties"].get("vehicle_id") == plan.vehicle_id)
        assert route["holds"] == mine
        assert route["brought_home"] == (plan.vehicle_id == "d3")
    assert (tmp_path / "search.svg").read_text().count("hold-mark") == sum(len(h) for h in holds.values()) > 0
    codes = {f["vehicle_id"]: {(x["code"], x["severity"]) for x in f["findings"]} for f in summary["flights"]}
    assert ("separation-now", "warning") in codes["d1"] & codes["d2"]
    assert ("battery", "warning") in codes["d3"]  # what it has is for coming home
    for wind in (0.0, 4.0):
        met = judge_separation(plans, [0.0, 0.0, 0.0], site.limits, wind_m_s=wind, aloft=list(at))
        assert {(b.first, b.second) for b in met} == {("d1", "d2")}
        assert all(b.time_s < 10.0 for b in met)


def test_a_drone_over_a_new_zone_is_said_and_not_planned_for(site):
    chart, place = hill(site.frame), site.frame.origin
    ring = tuple(site.frame.to_geo(*c) for c in ((250, 250), (250, 400), (400, 400), (400, 250)))
    now = [DroneNow("d1", 0.7, site.frame.to_geo(300.0, 300.0)), DroneNow("d2")]
    found = plan_rest(site, chart, place, Sensing(WIDTH), now, Budget(500), Changes(0.0, (ring,)))
    assert [f.plan.vehicle_id for f in found.plan.flown] == ["d2"]
    assert any("d1 in the air is" in d and "by hand" in d for d in found.doubts)
    with pytest.raises(BadInputError, match="by hand"):
        plan_rest(site, chart, place, Sensing(WIDTH), now[:1], Budget(500), Changes(0.0, (ring,)))
    with pytest.raises(BadInputError, match="no drone is left"):
        plan_rest(site, chart, place, Sensing(WIDTH), [], Budget(500))


def test_the_calls_of_a_running_search_follow_each_other(site):
    chart, place = hill(site.frame), site.frame.origin
    found = plan_site_search(site, chart, place, Sensing(WIDTH), Budget(3000))
    total, now = 1.0, chart
    for _ in range(2):
        tracks = [tuple(w.position for w in f.plan.waypoints) for f in found.plan.flown]
        swept = after_flying(now, tracks, sensing_of(found))
        assert swept.found == pytest.approx(found.plan.pos, rel=0.08)
        total *= 1.0 - swept.found
        now = swept.chart
        found = plan_rest(site, now, place, sensing_of(found), [DroneNow("d1"), DroneNow("d3")], Budget(3000))
        assert found.clean
    assert total < 1.0 - found.plan.pos
    assert now.p.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--flown", "absent.plan"], "absent.plan"),
        (["--flown", "{d1}@999"], "places after its start"),
        (["--flown", "{d1}@0"], "places after its start"),
        (["--battery", "55"], "d1=55"),
        (["--battery", "d1=full"], "percent"),
        (["--battery", "d1=0"], "more than 0"),
        (["--battery", "d9=50"], "d1, d2, d3"),
        (["--battery", "d1=26", "--drones", "d1"], "battery"),
        (["--from", "d1=29.74"], "latitude,longitude"),
        (["--from", "d1=29.70,107.27", "--drones", "d1"], "by hand"),
        (["--no-fly", str(LINES)], "keep-out"),
        (["--wind", "25", "--battery", "d1=90"], "wind"),
    ],
)
def test_bad_input_of_a_search_that_goes_on(first, arguments, word, tmp_path):
    folder, _ = first
    filled = [a.replace("{d1}", str(folder / "d1.plan")) for a in arguments]
    result = run("--map", folder / "map.npz", *filled, "--iterations", 100, "--out", tmp_path / "out")
    assert isinstance(result.exception, BadInputError), result.output
    assert word in str(result.exception)
    assert not (tmp_path / "out").exists()

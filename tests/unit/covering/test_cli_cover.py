# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan cover` on the demonstration site: files, numbers, exit codes, bad inputs."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dronectl.cli.common import open_site
from dronectl.cli.limits import PlanClock
from dronectl.cli.main import app
from dronectl.errors import BadInputError
from dronectl.operations.area_file import read_area
from dronectl.operations.covering import CoverWishes, plan_site_cover
from dronectl.operations.planning import read_plan_file
from missions.geo import Altitude, Datum
from missions.judge_separation import judge_separation
from missions.model import Budget

RUNNER = CliRunner()
RING = [[107.267, 29.7385], [107.272, 29.7382], [107.2722, 29.742], [107.2675, 29.7422], [107.267, 29.7385]]


@pytest.fixture(scope="module")
def site():
    return open_site(None)


def write(folder, geometry):
    file = folder / "area.geojson"
    file.write_text(json.dumps(geometry), encoding="utf-8")
    return file


def test_a_run_that_the_time_limit_ended_can_be_repeated_exactly(tmp_path):
    """However early it ends there is a whole plan; its steps make the same one again."""
    file = write(tmp_path, {"type": "Feature", "properties": {}, "geometry": polygon(RING)})
    asked = ["plan", "cover", str(file), "--drones", "d1", "--iterations", "4000", "--json"]
    said = {}
    for name, more in (("ended", ["--time-limit", "0.1"]), ("longer", ["--time-limit", "2"])):
        result = RUNNER.invoke(app, [*asked, *more, "--out", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
        said[name] = json.loads(result.stdout)
        assert said[name]["coverage"] >= 0.9995
        assert said[name]["path"]["ratio"] < 1.5
        steps = ["--steps", str(said[name]["steps"])]
        again = RUNNER.invoke(app, [*asked, *steps, "--out", str(tmp_path / f"{name}-again")])
        assert again.exit_code == 0, again.output
        for flight in said[name]["flights"]:
            texts = {(tmp_path / f / flight["file"]).read_text(encoding="utf-8") for f in (name, f"{name}-again")}
            assert len(texts) == 1
    assert said["ended"]["iterations"] == 4000


@given(
    limit_s=st.floats(1.0, 300.0),
    first_share=st.floats(0.01, 0.3),
    after=st.floats(0.5, 1.5),
    step_share=st.floats(1e-4, 0.05),
)
def test_the_planner_stops_in_time_for_flights_checks_and_files(limit_s, first_share, after, step_share):
    """What comes after the path takes some multiple of what the first path took, on any machine."""
    now = [50.0]
    clock = PlanClock(50.0, limit_s, None, afterwards=1.5, now_s=lambda: now[0])
    first_s = first_share * limit_s
    while now[0] < 50.0 + first_s:
        clock.stop()
        now[0] += step_share * first_s
    clock.first_plan()
    began_s, planned_s = 50.0, now[0] - 50.0
    while not clock.stop():
        now[0] += step_share * limit_s
    spent_s = now[0] - began_s + after * planned_s
    assert spent_s <= (1.0 + step_share) * limit_s + 1e-6
    assert spent_s >= limit_s - (1.5 - after) * planned_s - 1e-6
    repeat = PlanClock(0.0, None, clock.steps, afterwards=1.5)
    assert [repeat.stop() for _ in range(clock.steps + 2)] == [False] * clock.steps + [True, True]
    free = PlanClock(0.0, None, None, afterwards=1.5)
    assert not any(free.stop() for _ in range(50))


@given(
    limit_s=st.floats(1.0, 300.0), more=st.floats(1.0, 4.0), first_s=st.floats(0.05, 100.0), step_s=st.floats(0.01, 5.0)
)
def test_a_longer_limit_never_ends_a_run_after_fewer_steps(limit_s, more, first_s, step_s):
    """On a clock of its own: which of two runs gets farther on this machine is decided by what else it does."""
    fewer, longer = (steps_within(limit, first_s, step_s) for limit in (limit_s, more * limit_s))
    assert fewer <= longer
    if limit_s > 2.5 * first_s + step_s:  # what is left after the first plan and what follows it is for steps
        assert longer - fewer == pytest.approx((more - 1.0) * limit_s / step_s, abs=1.0 + 1e-6)


def steps_within(limit_s, first_s, step_s):
    """Steps after the first plan, which is there after first_s, each of step_s."""
    now = [0.0]
    clock = PlanClock(0.0, limit_s, None, afterwards=1.5, now_s=lambda: now[0])
    now[0] = first_s
    clock.first_plan()
    while not clock.stop():
        now[0] += step_s
    return clock.steps


def polygon(*rings):
    return {"type": "Polygon", "coordinates": [list(r) for r in rings]}


def test_an_area_becomes_plans_a_summary_and_a_picture(site, tmp_path):
    file = write(tmp_path, {"type": "Feature", "properties": {}, "geometry": polygon(RING)})
    arguments = [
        "plan",
        "cover",
        str(file),
        "--out",
        str(tmp_path / "out"),
        "--drones",
        "d1,d2",
        "--wind",
        "3",
        "--json",
    ]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["clean"]
    assert summary["coverage"] == 1.0
    assert 1.0 < summary["path"]["ratio"] < 1.3
    assert summary["time_s"] >= summary["bound_s"]
    plans = []
    for flight in summary["flights"]:
        plans.append(read_plan_file(site, tmp_path / "out" / flight["file"]))
        assert plans[-1].vehicle_id == flight["vehicle_id"]
        assert plans[-1].start_after_s == flight["start_after_s"]
        assert flight["battery_at_landing"] >= site.limits.reserve_fraction
    assert judge_separation(plans, [p.start_after_s for p in plans], site.limits, wind_m_s=3.0) == []
    assert summary["time_s"] == max(round(f["start_after_s"] + f["time_s"], 1) for f in summary["flights"])
    ET.fromstring((tmp_path / "out" / "plan.svg").read_text(encoding="utf-8"))  # noqa: S314  # we wrote it


def test_an_area_that_the_fence_cuts_is_said_with_exit_code_1(tmp_path):
    beyond = [[107.276, 29.742], [107.281, 29.742], [107.281, 29.744], [107.276, 29.744], [107.276, 29.742]]
    file = write(tmp_path, polygon(beyond))
    result = RUNNER.invoke(
        app, ["plan", "cover", str(file), "--out", str(tmp_path / "out"), "--drones", "d1", "--json"]
    )
    assert result.exit_code == 1, result.output
    assert json.loads(result.stdout)["coverage"] < 0.9


@pytest.mark.parametrize(
    ("geometry", "said"),
    [
        (polygon(RING[:-1]), "not closed"),
        (polygon([[b, a] for a, b in RING]), r"swapped|latitude"),
        (polygon([[a - 20.0, b] for a, b in RING]), "km from site"),
        (polygon([RING[0], "x", RING[2], RING[0]]), r"\[longitude, latitude\]"),
        (polygon([RING[0], RING[1], RING[0]]), "at least 4"),
        (polygon([RING[0], [10**400, 29.7], RING[2], RING[0]]), r"\[0\]\[1\]: a position is \[longitude"),
        ({"type": "Point", "coordinates": RING[0]}, "is Point"),
        ({"type": "FeatureCollection", "features": []}, "holds no polygon"),
        ([], "no GeoJSON object"),
        (polygon(), "list of rings"),
    ],
)
def test_bad_areas_are_refused_with_their_place(site, tmp_path, geometry, said):
    with pytest.raises(BadInputError, match=said):
        read_area(write(tmp_path, geometry), site)


def test_files_that_are_none_are_refused(site, tmp_path):
    with pytest.raises(BadInputError, match="cannot be read"):
        read_area(tmp_path / "absent.geojson", site)
    (tmp_path / "text").write_text("not json", encoding="utf-8")
    with pytest.raises(BadInputError, match="not JSON"):
        read_area(tmp_path / "text", site)
    (tmp_path / "digits").write_text("1" * 5000, encoding="utf-8")
    with pytest.raises(BadInputError, match="not JSON"):
        read_area(tmp_path / "digits", site)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--wind", "20"], "not below the air speed"),
        (["--camera", "sonar"], "carries no camera"),
        (["--height", "50", "--gsd", "3"], "give one of"),
        (["--gsd", "0.2"], "outside the site's 30 m"),
    ],
)
def test_impossible_wishes_are_refused_in_one_line_and_nothing_is_written(tmp_path, extra, said):
    file = write(tmp_path, polygon(RING))
    result = RUNNER.invoke(app, ["plan", "cover", str(file), "--out", str(tmp_path / "out"), *extra])
    assert isinstance(result.exception, BadInputError)
    assert said in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_crossing_ring_is_named(tmp_path):
    bow = [RING[0], RING[2], RING[1], RING[3], RING[0]]
    result = RUNNER.invoke(app, ["plan", "cover", str(write(tmp_path, polygon(bow))), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, BadInputError)
    assert "crosses itself at 29.7" in str(result.exception)


def test_lines_are_corridors_and_several_areas_are_one_task(tmp_path):
    """A road and two fields in one file, for two drones: all of them are seen."""
    line = {"type": "LineString", "coordinates": [[107.266, 29.737], [107.269, 29.738], [107.270, 29.7405]]}
    first = [[107.271, 29.741], [107.2725, 29.741], [107.2725, 29.742], [107.271, 29.742], [107.271, 29.741]]
    second = [[x - 0.006, y] for x, y in first]
    parts = [line, polygon(first), polygon(second)]
    features = [{"type": "Feature", "properties": {}, "geometry": g} for g in parts]
    file = write(tmp_path, {"type": "FeatureCollection", "features": features})
    common = ["plan", "cover", str(file), "--out", str(tmp_path / "out"), "--drones", "d1,d2", "--json"]
    result = RUNNER.invoke(app, [*common, "--corridor", "60"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["coverage"] >= 0.9995
    assert {f["vehicle_id"] for f in summary["flights"]} == {"d1", "d2"}
    narrow = json.loads(RUNNER.invoke(app, [*common, "--corridor", "30"]).stdout)
    assert narrow["area_m2"] < summary["area_m2"]
    refused = RUNNER.invoke(app, common)
    assert isinstance(refused.exception, BadInputError)
    assert "say how wide" in str(refused.exception)


@pytest.mark.parametrize(("top", "all_seen"), [(150.0, True), (90.0, False)])
def test_what_is_flown_lower_under_the_fences_top_is_seen_less_wide(site, tmp_path, top, all_seen):
    """A hill of 60 m in the area: below a top of 90 m it is passed at 40 m above ground, not at 60."""
    terrain = site.terrain
    east, north = (
        corner + terrain.resolution_m * np.arange(count)
        for corner, count in zip((terrain.west_m, terrain.south_m), terrain.heights_amsl_m.shape[::-1], strict=True)
    )
    x, y = np.meshgrid(east - 121.0, north - 172.0)
    hill = (terrain.heights_amsl_m + 60.0 * np.exp(-(x**2 + y**2) / 80.0**2)).astype(np.float32)
    pressed = replace(
        site,
        terrain=replace(terrain, heights_amsl_m=hill),
        fence=replace(site.fence, max_altitude=Altitude(top, Datum.HOME)),
    )
    file = write(tmp_path, polygon(RING))
    found = plan_site_cover(pressed, file, CoverWishes(), Budget(20), drone_ids=["d1"])
    assert (found.verdict.fraction == 1.0) is all_seen
    assert found.verdict.fraction > 0.98

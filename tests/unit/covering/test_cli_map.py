# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan map` on the demonstration site: presets, files, numbers, exit codes, bad inputs."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from dronectl.cli.main import app
from dronectl.errors import BadInputError
from dronectl.operations.mapping import judged_cell_m
from dronectl.operations.planning import read_plan_file
from dronectl.paths import default_site_file
from dronectl.site import load_site
from missions.coverage.area import corridor, cover_area
from missions.geo import GeoPoint, LocalFrame
from missions.judge_photos import judge_photos
from missions.judge_separation import judge_separation
from missions.mavlink_items import compile_plan

RUNNER = CliRunner()
RING = [[107.268, 29.739], [107.2705, 29.739], [107.2705, 29.741], [107.268, 29.741], [107.268, 29.739]]
EDGE = [[107.262, 29.7336], [107.2665, 29.7326], [107.2662, 29.736], [107.262, 29.736], [107.262, 29.7336]]


@pytest.fixture(scope="module")
def site_file(tmp_path_factory):
    """The demonstration site with a camera for mapping: 20 megapixels, a picture every 0.7 s."""
    folder = tmp_path_factory.mktemp("site")
    document = yaml.safe_load(default_site_file().read_text(encoding="utf-8"))
    document["cameras"]["rgb"].update(
        width_px=5280, height_px=3956, fx_px=3700.0, fy_px=3700.0, cx_px=2639.5, cy_px=1977.5, rate_hz=1.4
    )
    shutil.copy(default_site_file().parent / document["terrain"], folder)
    (folder / "site.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return folder / "site.yaml"


def area(folder, ring=RING):
    file = folder / "field.geojson"
    file.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), encoding="utf-8")
    return str(file)


def run(folder, site_file, *arguments, ring=RING):
    common = ["plan", "map", area(folder, ring), "--site", str(site_file), "--out", str(folder / "out")]
    return RUNNER.invoke(app, [*common, *arguments])


@pytest.mark.parametrize("metres", [100.0, 3000.0, 20_000.0])
def test_a_slanting_corridor_is_judged_with_cells_that_fit_its_box(metres):
    """A narrow corridor has little area, but the box around it is all that the judge's cells fill."""
    frame = LocalFrame(GeoPoint(29.74, 107.27))
    made = cover_area(corridor([frame.to_geo(0.0, 0.0), frame.to_geo(metres, metres)], 8.0))
    cell = judged_cell_m(made, 16.0)
    assert cell >= 1.0
    rings = [np.asarray(made.shape.exterior.coords)[:-1]]
    verdict = judge_photos(
        np.zeros((0, 5)), rings, lambda x, _: np.zeros(len(x)), 0.5, 0.5, 1000.0, needed=1, cell_m=cell
    )
    assert verdict.cells > 0


@pytest.mark.parametrize(("preset", "views"), [("ortho", 1), ("model3d", 2), ("carpet", 2)])
def test_a_preset_becomes_flights_with_camera_commands(preset, views, site_file, tmp_path):
    extra = ["--oblique"] if preset == "carpet" else []
    result = run(tmp_path, site_file, "--preset", preset, "--camera", "rgb", "--drones", "d1,d2", "--json", *extra)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["clean"]
    assert len(said["views"]) == views
    assert said["overlap"]["fraction"] >= 0.995
    assert said["overlap"]["least"] >= 1
    assert said["path"]["length_m"] >= said["path"]["lines_m"]
    assert said["path"]["ratio"] >= 1.0
    assert said["photos"] == sum(f["photos"] for f in said["flights"])
    for view in said["views"]:
        assert view["between_photos_s"] >= view["camera_needs_s"] - 0.02
        assert view["blur_px"] <= 1.0
    if views == 2:
        assert said["overlap"]["from_four_sides"] > 0.99
    if preset == "carpet":
        assert all(view["person_px"] >= 25.0 for view in said["views"])
        assert said["overlap"]["gsd_worst_m"] <= 0.036
    site = load_site(site_file)
    plans = [read_plan_file(site, tmp_path / "out" / f["file"]) for f in said["flights"]]
    assert [p.start_after_s for p in plans] == [f["start_after_s"] for f in said["flights"]]
    assert judge_separation(plans, [p.start_after_s for p in plans], site.limits) == []
    for plan in plans:
        aboard = [item.command for item in compile_plan(plan).items]
        assert 206 in aboard
        assert aboard.index(205) < aboard.index(206)
        assert [w.trigger_m for w in plan.waypoints if w.trigger_m is not None][-1] == 0.0
    ET.fromstring((tmp_path / "out" / "plan.svg").read_text(encoding="utf-8"))  # noqa: S314  # our own
    assert json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8")) == {
        k: v for k, v in said.items() if k != "files"
    }


def test_a_slow_camera_slows_the_flight_and_says_so(site_file, tmp_path):
    result = run(tmp_path, site_file, "--camera", "rgb", "--drones", "d1", "--front", "0.9")
    assert result.exit_code == 0, result.output
    assert "because of a picture every 0.7 s" in result.stdout
    refused = run(tmp_path, site_file, "--camera", "rgb", "--drones", "d1", "--front", "0.9", "--speed", "12")
    assert isinstance(refused.exception, BadInputError)
    assert "does not keep up" in str(refused.exception)


def test_an_area_at_the_fence_says_what_is_missing(site_file, tmp_path):
    result = run(tmp_path, site_file, "--camera", "rgb", "--drones", "d1", ring=EDGE)
    assert result.exit_code == 1, result.output
    assert "Too few pictures near" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--height", "80", "--gsd", "2"], "give one of"),
        (["--camera", "ir"], "carries no camera 'ir'"),
        (["--camera", "rgb", "--gsd", "0.3"], "longer lens"),
        (["--camera", "rgb", "--oblique", "--pitch", "-40"], "nearly level"),
        (["--camera", "rgb", "--exposure", "50"], "smears"),
    ],
)
def test_bad_wishes_get_a_line_and_code_2(arguments, said, site_file, tmp_path):
    result = run(tmp_path, site_file, "--drones", "d1", *arguments)
    assert isinstance(result.exception, BadInputError), result.output  # the program makes code 2 of it
    assert said in str(result.exception)

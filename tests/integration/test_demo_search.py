# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl demo search` at a small size: two drones that hardly see, so that nobody is found, in two waves.

Everything is as in the demonstration (form, plans, simulator, service, MAVSDK, batteries, Bayes, report), but the cameras
take a picture of 64 x 48 pixels twice a minute, on which a person is no pixel.
"""

import io
import itertools
import json
import math
import shutil
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from dronectl.demo.search import Reviewer, play_search, search_summary
from dronectl.demo.search_stage import Story, search_play
from dronectl.demo.site_run import Options
from dronectl.demo.stage import Stage, set_stage
from dronectl.operations.last_seen import LastSeen
from dronectl.operations.searching import Sensing
from dronectl.paths import default_site_file
from dronectl.report.search_score import Result
from dronectl.report.truth import read_truth
from missions.deconflict.starts import SLACK_S
from missions.geo import GeoPoint, destination, distance_m

pytestmark = pytest.mark.timeout(400)
SPEED = 6.0  # faster, the ten seconds from arming to the start are too short for a busy machine
SEEN_LAST = GeoPoint(29.7392, 107.2704)


@pytest.fixture
def story():
    form = LastSeen(SEEN_LAST, "dementia", "temperate_flat", 0.1)
    return Story(form, "a test", Sensing(sweep_width_m=60.0, height_m=60.0), endurance_s=220.0)


def stage_of(folder: Path, story: Story) -> Stage:
    source = default_site_file()
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    document["drones"] = document["drones"][:2]
    for drone in document["drones"]:
        drone["cameras"] = [c for c in drone["cameras"] if c["type"] == "thermal"]
    document["cameras"]["thermal"].update(
        width_px=64, height_px=48, fx_px=76.0, fy_px=76.0, cx_px=31.5, cy_px=23.5, rate_hz=1 / 30
    )
    (folder / "in").mkdir()
    (folder / "run").mkdir()
    shutil.copy(source.parent / "terrain.npz", folder / "in")
    template = folder / "in" / "site.yaml"
    template.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return set_stage(folder / "run", template, seed=1, speed=SPEED, px4=None, play=search_play(story))


async def test_two_waves_without_a_find_say_what_is_left(story, tmp_path):
    stage = stage_of(tmp_path, story)
    console = Console(file=io.StringIO(), width=200)
    report = await play_search(stage, story, Options(1, SPEED, None, 200.0), console)
    said = console.file.getvalue()
    assert report.result in (Result.NOT_THERE, Result.HIDDEN)
    assert report.passed, (report.note, said)
    assert [w.number for w in report.waves] == [1, 2]
    first, second = report.waves
    assert {f.outcome for w in report.waves for f in w.flights} == {"completed"}, said
    assert first.landed_min < second.launched_min
    for wave in report.waves:
        assert 0.0 < wave.pos <= wave.bound
        # by telemetry; a hundredth more or less is the way home of flights of three minutes
        assert wave.swept == pytest.approx(wave.pos, rel=0.25, abs=0.01), said
    assert report.left.seen + report.left.unseen + report.left.outside == pytest.approx(1.0)
    # Bayes: what nobody could look at gains as all the rest does, by what the second wave would have found.
    assert second.left_outside == pytest.approx(first.left_outside / (1.0 - second.swept), rel=1e-6)
    assert "is left on ground that was not seen" in report.goals[0].figure
    for number in (1, 2):
        folder = stage.plans / f"wave-{number}"
        assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["clean"]
        assert len(list(folder.glob("*.plan"))) == len(report.waves[number - 1].flights)
    page = (stage.folder / "report.html").read_text(encoding="utf-8")
    assert "未找到" in page
    assert "Not found" in page
    document = json.loads((stage.folder / "report.json").read_text(encoding="utf-8"))
    assert document["result"] == report.result.value
    assert 0.0 < report.area_seen_m2 < 1e6
    assert search_summary(report)["minutes_to_find"] is None

    nearest = document["nearest"]  # none if one was back at its pad before the other left
    assert nearest is None or nearest["lateral_m"] >= 20.0 or nearest["vertical_m"] >= 10.0

    # What was flown is known as if time had not run faster; telemetry is noisy, its way some hundredths longer.
    tracks = read_truth(stage.truth_file).tracks
    for number, wave in enumerate(report.waves):
        for flight in wave.flights:
            assert flight.flown_length_m == pytest.approx(true_length_m(tracks[flight.vehicle_id], number), rel=0.06)

    # In simulated time nobody took off sooner after another than planned, but for what the starts allow.
    for number in (1, 2):
        plans = [json.loads(f.read_text(encoding="utf-8")) for f in (stage.plans / f"wave-{number}").glob("*.plan")]
        starts_s = {p["dronectl"]["vehicle_id"]: p["dronectl"].get("start_after_s", 0.0) for p in plans}
        (first, _), (second, planned_s) = sorted(starts_s.items(), key=lambda s: s[1])
        apart_s = take_offs_s(tracks[second])[number - 1] - take_offs_s(tracks[first])[number - 1]
        assert planned_s > SLACK_S
        assert apart_s >= planned_s - SLACK_S - 2.0

    # The reviewer knows the person by the place, and by nothing else.
    truth = json.loads((stage.truth_file).read_text(encoding="utf-8").splitlines()[0])
    person = next(e for e in truth["entities"] if e["kind"] == "person")
    place = GeoPoint(person["latitude_deg"], person["longitude_deg"])
    reviewer = Reviewer(stage)
    assert reviewer.confirms(alert_at(destination(place, 30.0, 10.0)))
    assert not reviewer.confirms(alert_at(destination(place, 30.0, 25.0)))
    assert not reviewer.confirms({**alert_at(place), "kind": "vehicle"})


def take_offs_s(track) -> list[float]:
    """When a vehicle was first seen off the ground, each time."""
    up = [p.amsl_m > track[0].amsl_m + 1.0 for p in track]
    return [p.time_s for p, before, now in zip(track[1:], up, up[1:], strict=False) if now and not before]


def true_length_m(track, number: int) -> float:
    """How far a vehicle went from its take-off of this number, counted from 0, until the next one."""
    begins = [*take_offs_s(track), math.inf]
    places = [
        GeoPoint(p.latitude_deg, p.longitude_deg) for p in track if begins[number] <= p.time_s < begins[number + 1]
    ]
    return sum(distance_m(a, b) for a, b in itertools.pairwise(places))


def alert_at(place: GeoPoint):
    return {
        "alert_id": "a", "kind": "person", "level": "yellow", "acknowledged": True,
        "latitude_deg": place.latitude_deg, "longitude_deg": place.longitude_deg,
        "document": {"location": None, "why": {"exposure_s": None}},
    }  # fmt: skip

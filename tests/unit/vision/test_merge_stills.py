# SPDX-License-Identifier: AGPL-3.0-or-later
"""One thing in several overlapping stills is one card; two things of one picture stay two; ground from a height model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronectl.terrain_io import save_terrain
from missions.geo import GeoPoint, LocalFrame, distance_m
from missions.terrain import GridTerrain
from tests.unit.vision.test_review import dji_still, invoke
from vision import merge
from vision.ellipse import common_covariance, covariance, ground_ellipse
from vision.examine_lines import place_line, place_of
from vision.merge_stills import things

HOME = GeoPoint(47.0, 8.0)
FRAME = LocalFrame(HOME)
COMMON = np.eye(2) * 2.0**2


def still(number: int, found: list[tuple[float, float]], seconds: float, kind: str = "person") -> dict[str, Any]:
    """A line of a still with detections at these east-north places; errors of one look 0.6 m, of the flight 2 m."""
    detections = [
        {
            "kind": kind, "confidence": 0.4 + 0.01 * number, "rule": "r", "detectors": ["d"], "crop": f"{number}.jpg",
            "place": place_line(ground_ellipse(FRAME, np.array(at), 100.0, np.eye(2) * 0.6**2 + COMMON, COMMON)),
            "learned_score": 0.5, "hot_spot_sigma": None, "contrast_c": None, "temperature_max_c": None, "size_m": 1.7,
            "box_px": [300.0, 200.0, 316.0, 216.0],
        }
        for at in found
    ]  # fmt: skip
    return {
        "type": "frame", "media": "still", "source": f"flight/p{number:03d}.jpg", "no_place": None, "pixels": "bgr8",
        "width_px": 640, "height_px": 512,
        "taken_at": f"2026-05-01T10:{int(seconds // 60):02d}:{int(seconds % 60):02d}", "camera": "X1", "detections": detections,
    }  # fmt: skip


@given(seed=st.integers(0, 2**32 - 1), people=st.integers(1, 6), pictures=st.integers(2, 7))
@settings(max_examples=25, deadline=None)
def test_people_far_apart_are_one_card_each_however_many_pictures_show_them(
    seed: int, people: int, pictures: int
) -> None:
    rng = np.random.default_rng(seed)
    truth = [(60.0 * i, float(rng.uniform(-20, 20))) for i in range(people)]
    shared = rng.normal(0, 2.0, 2)
    lines = []
    for number in range(pictures):
        seen = [tuple(np.array(p) + shared + rng.normal(0, 0.3, 2)) for p in truth]
        rng.shuffle(seen)
        lines.append(still(number, [(float(e), float(n)) for e, n in seen], 3.0 * number))
    found = list(things(lines))
    assert len(found) == people
    assert all(thing.looks == pictures for thing in found)
    for thing in found:
        assert thing.sightings is not None
        assert [s.source for s in thing.sightings] == [f"flight/p{n:03d}.jpg" for n in range(pictures)]
        assert thing.place is not None
        place = np.array(FRAME.to_enu(GeoPoint(thing.place["latitude_deg"], thing.place["longitude_deg"])))
        nearest = min(float(np.hypot(*(place - shared - p))) for p in truth)
        assert nearest < 1.0  # the mean of several looks, apart from what the flight shares
        common = thing.place["flight_covariance_m2"]
        assert thing.place["covariance_m2"][0] >= common[0] - 1e-6  # never surer than the flight is


@given(gap=st.floats(1.0, 8.0), pictures=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_two_people_of_one_picture_stay_two(gap: float, pictures: int) -> None:
    lines = [still(n, [(0.0, 0.0), (gap, 0.0)], 3.0 * n) for n in range(pictures)]
    found = list(things(lines))
    assert len(found) == 2
    assert sum(thing.looks or 1 for thing in found) == 2 * pictures


def test_what_is_far_away_is_not_even_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of stills of one area are compared near each other, not each with all."""
    compared: list[int] = []
    ratio = merge.log_likelihood_ratio

    def counted(*arguments: Any) -> float | None:
        compared.append(arguments[2].number)
        return ratio(*arguments)

    monkeypatch.setattr(merge, "log_likelihood_ratio", counted)
    lines = [still(n, [(25.0 * n, 0.0)], 3.0 * n) for n in range(60)]
    found = list(things([*lines, still(60, [(25.0 * 30, 0.3)], 180.0)]))
    assert len(found) == 60
    assert len(compared) < 6 * 60


def test_what_cannot_be_one_thing_is_not_united() -> None:
    lines = [still(0, [(0.0, 0.0)], 0.0), still(1, [(0.5, 0.0)], 3.0, kind="vehicle"), still(2, [(50.0, 0.0)], 6.0)]
    assert sorted((t.kind, t.looks) for t in things(lines)) == [("person", None), ("person", None), ("vehicle", None)]


def test_a_thing_alone_and_one_without_place_pass_through() -> None:
    lines = [still(0, [(0.0, 0.0)], 0.0), still(1, [(0.0, 0.0)], 5.0)]
    lines[1]["detections"][0]["place"] = None
    found = list(things(lines))
    assert [(t.source, t.sightings) for t in found] == [("flight/p001.jpg", None), ("flight/p000.jpg", None)]


@given(values=st.tuples(*[st.floats(0.1, 50.0)] * 4), lean=st.floats(-0.9, 0.9))
@settings(max_examples=25, deadline=None)
def test_a_place_comes_back_out_of_its_line(values: tuple[float, ...], lean: float) -> None:
    a, b, c, d = values
    cov = np.array([[a + c, lean * np.sqrt(a * b)], [lean * np.sqrt(a * b), b + d]])
    place = ground_ellipse(FRAME, np.array([12.0, -7.0]), 431.0, cov, np.diag([c / 2, d / 2]))
    line = place_line(place)
    assert line is not None
    back = place_of(json.loads(json.dumps(line)))
    for found, wanted in ((covariance(back), covariance(place)), (common_covariance(back), common_covariance(place))):
        assert np.abs(found - wanted).max() < 1e-3
    assert distance_m(GeoPoint(back.latitude_deg, back.longitude_deg), FRAME.to_geo(12.0, -7.0)) < 0.02
    assert back.amsl_m == 431.0


def test_five_overlapping_photos_of_one_person_are_one_feature_and_one_card(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(4)
    for i in range(5):
        east, north = rng.normal(0, 0.25, 2)
        at = LocalFrame(GeoPoint(31.5, 121.25)).to_geo(float(east), float(north))
        (folder / f"p{i}.jpg").write_bytes(dji_still(at.latitude_deg, at.longitude_deg))
    geo, review = tmp_path / "g.json", tmp_path / "r.html"
    code, lines, said = invoke(str(folder), "--geojson", str(geo), "--review", str(review))
    assert code == 0
    assert [len(line["detections"]) for line in lines] == [1] * 5
    features = json.loads(geo.read_text(encoding="utf-8"))["features"]
    assert len(features) == 1
    seen = features[0]["properties"]["sightings"]
    assert [Path(s["source"]).name for s in seen] == [f"p{i}.jpg" for i in range(5)]
    assert features[0]["properties"]["looks"] == 5
    assert "r.html: 1 card(s)" in said


def slope(tmp_path: Path, rise: float) -> Path:
    """Ground that rises to the east by `rise` per metre, 50 m above sea level at 31.5, 121.25."""
    frame = LocalFrame(GeoPoint(31.5, 121.25))
    east = np.arange(-200.0, 201.0, 5.0)
    heights = np.broadcast_to(50.0 + rise * east, (len(east), len(east))).astype(np.float32)
    path = tmp_path / "ground.npz"
    save_terrain(path, GridTerrain(frame, -200.0, -200.0, 5.0, heights, "made", 0.5))
    return path


@pytest.mark.parametrize("take_off", [None, "31.5,121.25"])
def test_places_lie_on_the_height_model(tmp_path: Path, take_off: str | None) -> None:
    rise = 0.5
    (tmp_path / "a.jpg").write_bytes(dji_still(31.5, 121.25, pitch=-60.0))
    options = ["--dem", str(slope(tmp_path, rise))] + ([] if take_off is None else ["--take-off", take_off])
    code, lines, _ = invoke(str(tmp_path / "a.jpg"), *options)
    assert code == 0
    place = lines[0]["detections"][0]["place"]
    east, north = LocalFrame(GeoPoint(31.5, 121.25)).to_enu(GeoPoint(place["latitude_deg"], place["longitude_deg"]))
    # the camera looks east: the ray falls by tan(angle) per metre and meets what rises by `rise` per metre
    above_axis = np.arctan2(100.0, 757.8)
    falls = np.tan(np.radians(60.0) - above_axis)
    assert east == pytest.approx(60.0 / (falls + rise), rel=0.02)
    assert north == pytest.approx(0.0, abs=0.5)
    assert place["amsl_m"] == pytest.approx(50.0 + rise * east, abs=0.3)


def test_a_height_model_that_does_not_fit_is_said_and_the_ground_stays_level(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(dji_still(32.5, 121.25))
    code, lines, said = invoke(str(tmp_path / "a.jpg"), "--dem", str(slope(tmp_path, 0.1)))
    assert code == 0
    assert "outside the height model" in said
    assert lines[0]["detections"][0]["place"]["amsl_m"] == pytest.approx(50.0, abs=0.1)


def test_options_of_the_height_model_that_cannot_be(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    picture.write_bytes(dji_still(31.5, 121.25))
    dem = str(slope(tmp_path, 0.1))
    for options, said in (
        (["--take-off", "31.5,121.25"], "goes with --dem"),
        (["--dem", dem, "--take-off", "north"], "is not LATITUDE,LONGITUDE"),
        (["--dem", dem, "--take-off", "40,8"], "no terrain at 40"),
        (["--dem", str(picture)], "a.jpg"),
    ):
        code, _, text = invoke(str(picture), *options)
        assert code == 2
        assert said in text

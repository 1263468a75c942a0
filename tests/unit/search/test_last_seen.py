# SPDX-License-Identifier: AGPL-3.0-or-later
"""The last-seen form: category by rule, time, reference systems, traces, places searched; errors with line and field."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from dronectl.cli.common import open_site
from dronectl.errors import BadInputError
from dronectl.operations.last_seen import choose_category, map_of_form, read_last_seen
from dronectl.operations.last_seen_model import Condition
from dronectl.operations.line_features import read_line_features
from dronectl.site_model import ReferenceSystem
from missions.geo import distance_m, from_gcj02

EXAMPLE = Path(__file__).parents[3] / "config" / "last_seen.yaml"
NOW = datetime(2026, 11, 25, 9, 10, tzinfo=UTC)
FORM = """schema_version: 1
reference_system: wgs84
place: [29.7405, 107.2690]
last_seen: 2026-11-25 16:40:00+08:00
age: 5
terrain: temperate_flat
"""


def form(tmp_path, text=FORM, **change):
    for key, value in change.items():
        lines = [line for line in text.splitlines() if not line.startswith(f"{key}:")]
        text = "\n".join([*lines, f"{key}: {value}"]) + "\n"
    file = tmp_path / "form.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_example_ships_and_says_what_was_chosen():
    seen = read_last_seen(EXAMPLE, NOW)
    assert seen.category == "child_4_6"
    assert seen.hours_ago == pytest.approx(1.5)
    assert {f.kind for f in seen.lines} == {"road", "track", "stream"}
    assert [p.pod for p in seen.searched] == [0.9]
    assert "a condition that is named decides" in " ".join(seen.notes)


@pytest.mark.parametrize(
    ("age", "condition", "category"),
    [
        (2, "none", "child_1_3"), (3, "none", "child_1_3"), (4, "none", "child_4_6"), (9, "none", "child_7_9"),
        (12, "none", "child_10_12"), (13, "none", "hiker"), (69, "none", "hiker"), (70, "none", "dementia"),
        (8, "autistic", "autistic"), (30, "despondent", "despondent"), (60, "dementia", "dementia"),
    ],
)  # fmt: skip
def test_age_and_condition_choose_the_row(age, condition, category):
    chosen, why = choose_category(age, Condition(condition))
    assert chosen == category
    assert category in why


def test_time_gone_by_bounds_how_far_anybody_is(tmp_path):
    soon = map_of_form(read_last_seen(form(tmp_path, now="2026-11-25 16:50:00+08:00"), NOW))
    later = map_of_form(read_last_seen(form(tmp_path), NOW))
    assert -soon.west_m == pytest.approx(600 * 1.4, rel=0.05)
    assert -later.west_m > 2 * -soon.west_m
    assert any("4 m/s" in d for d in soon.doubts)


def test_gcj02_is_moved_and_cgcs2000_is_not(tmp_path):
    plain = read_last_seen(form(tmp_path), NOW).at
    assert distance_m(read_last_seen(form(tmp_path, reference_system="cgcs2000"), NOW).at, plain) < 0.01
    moved = read_last_seen(form(tmp_path, reference_system="gcj02"), NOW).at
    assert 200.0 < distance_m(moved, plain) < 800.0
    assert distance_m(moved, from_gcj02(29.7405, 107.2690)) < 0.01


def test_a_trace_moves_the_start_and_a_searched_place_loses_weight(tmp_path):
    trace = form(
        tmp_path,
        searched="[{name: cap, position: [29.7371, 107.2652], found: true, time: 2026-11-25 17:00:00+08:00}]",
    )
    seen = read_last_seen(trace, NOW)
    assert distance_m(seen.at, read_last_seen(form(tmp_path), NOW).at) > 300.0
    assert seen.hours_ago == pytest.approx(1.0 / 6.0)
    assert any("cap" in n for n in seen.notes)
    before = map_of_form(read_last_seen(form(tmp_path), NOW))
    ruled = "[{name: hall, position: [29.7405, 107.2690], radius_m: 150, pod: 0.8}]"
    after = map_of_form(read_last_seen(form(tmp_path, searched=ruled), NOW))
    east, north = np.meshgrid(*before.centres_m())
    inside = np.hypot(east, north) < 120.0
    prior = before.p[np.hypot(east, north) < 150.0].sum()
    assert after.p[inside].sum() / before.p[inside].sum() == pytest.approx(0.2 / (1 - 0.8 * prior), rel=0.02)
    assert after.p.sum() == pytest.approx(1.0)


def test_the_sites_ground_counts_and_can_be_switched_off(tmp_path):
    terrain = open_site(None).terrain
    with_ground = map_of_form(read_last_seen(form(tmp_path), NOW), terrain)
    off = form(tmp_path, ground="{walking: false, watershed: false, lines: false}")
    without = map_of_form(read_last_seen(off, NOW), terrain)
    assert np.abs(with_ground.p - without.p).max() > 0.0
    said = " ".join(with_ground.doubts)
    for word in ("Tobler", "watersheds", ".78"):
        assert word in said
    assert "Tobler" not in " ".join(without.doubts)
    assert "direction is taken as unknown" in " ".join(without.doubts)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"clothing": "red jacket"}, ("form.yaml:7: clothing:", "never identified")),
        ({"name": "somebody"}, (":7: name:", "never identified")),
        ({"age": "0"}, (": age:", "greater than or equal to 1")),
        ({"age": "old"}, (": age:", "integer")),
        ({"place": "[107.2690, 29.7405]"}, (": place:", "swapped")),
        ({"place": "[29.7405]"}, (": place:", "[latitude, longitude]")),
        ({"last_seen": "2026-11-25 16:40:00"}, (": last_seen:", "time zone")),
        ({"last_seen": "2026-11-26 16:40:00+08:00"}, (": last_seen:", "not before")),
        ({"terrain": "swamp"}, (": terrain:", "urban")),
        ({"category": "dog"}, (": category:", "dementia")),
        ({"condition": "tired"}, (": condition:", "dementia")),
        ({"reference_system": "bd09"}, (": reference_system:", "gcj02")),
        ({"linear_features": "none.geojson"}, ("none.geojson", "cannot be read")),
        ({"searched": "[{position: [29.74, 107.27]}]"}, (": searched.0:", "radius_m")),
        ({"searched": "[{position: [29.74, 107.27], found: true}]"}, (": searched.0:", "time")),
        (
            {"searched": "[{position: [29.74, 107.27], found: true, time: 2026-11-24 10:00:00+08:00}]"},
            (": searched.0.time:", "between"),
        ),
        ({"weight": "3"}, (": weight:", "not a field")),
    ],
)
def test_bad_forms_name_file_line_and_field(tmp_path, change, words):
    with pytest.raises(BadInputError) as refused:
        read_last_seen(form(tmp_path, **change), NOW)
    for word in words:
        assert word in str(refused.value)


def feature(shape="LineString", coordinates=((107.26, 29.74), (107.27, 29.75)), **properties):
    return {"type": "Feature", "properties": properties, "geometry": {"type": shape, "coordinates": coordinates}}


def write(tmp_path, *features):
    file = tmp_path / "lines.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return file


def test_lines_by_kind_or_by_tags(tmp_path):
    file = write(
        tmp_path,
        feature(name="x", highway="residential"),
        feature(highway="footway"),
        feature(waterway="river"),
        feature("MultiLineString", (((107.0, 29.0), (107.1, 29.0)), ((107.0, 29.1), (107.1, 29.1))), kind="edge"),
    )
    found = read_line_features(file, ReferenceSystem.WGS84)
    assert [f.kind for f in found] == ["road", "track", "stream", "edge", "edge"]
    assert found[0].points[0].latitude_deg == 29.74
    moved = read_line_features(file, ReferenceSystem.GCJ02)
    assert distance_m(moved[0].points[0], found[0].points[0]) > 200.0


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (feature(), ("features[0].properties", "kind")),
        (feature(kind="canal"), ("features[0].properties.kind", "stream")),
        (feature("Point", (107.0, 29.0), highway="road"), ("features[0].geometry", "Point")),
        (feature(coordinates=((29.74, 107.26), (29.75, 107.27)), highway="road"), ("features[0].geometry", "swapped")),
        (feature(coordinates=((107.26, 29.74),), highway="road"), ("at least 2",)),
        (feature(coordinates=("x", "y"), highway="road"), ("[longitude, latitude]",)),
    ],
)
def test_bad_lines_name_the_feature(tmp_path, bad, words):
    with pytest.raises(BadInputError) as refused:
        read_line_features(write(tmp_path, bad), ReferenceSystem.WGS84)
    for word in words:
        assert word in str(refused.value)

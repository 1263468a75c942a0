# SPDX-License-Identifier: AGPL-3.0-or-later
"""QGroundControl plans: exact round trips, foreign plans, and refusals that say where and how to mend."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mission_plans import HOME, MISSION, make_plan, plans

from missions.formats.qgc_plan import PlanDefaults, PlanError, read_plan, write_plan
from missions.geo import Altitude, Datum, GeoPoint, distance_m
from missions.mavlink_items import compile_plan

DEFAULTS = PlanDefaults(MISSION, "d7", 55.0, Altitude(100.0, Datum.HOME))
PLAN = make_plan([(100, 0), (100, 200), (-100, 100)])


@given(plans)
@settings(deadline=None, max_examples=60)
@example(replace(PLAN, waypoints=(replace(PLAN.waypoints[0], speed_m_s=PLAN.cruise_speed_m_s),)))
@example(replace(PLAN, waypoints=(replace(PLAN.waypoints[0], speed_m_s=3.0), PLAN.waypoints[1])))
def test_round_trip_is_exact(plan):
    text = write_plan(plan)
    assert read_plan(text, source="x.plan") == plan
    assert write_plan(read_plan(text, source="x.plan")) == text


def test_the_document_is_what_qgroundcontrol_reads():
    document = json.loads(write_plan(PLAN))
    assert document["fileType"] == "Plan"
    assert document["version"] == 1
    assert document["mission"]["version"] == 2
    assert document["mission"]["firmwareType"] == 12
    assert document["mission"]["vehicleType"] == 2
    assert document["mission"]["hoverSpeed"] == PLAN.cruise_speed_m_s
    assert document["geoFence"]["version"] == document["rallyPoints"]["version"] == 2
    assert [p["inclusion"] for p in document["geoFence"]["polygons"]] == [True, False]
    items = document["mission"]["items"]
    assert [i["command"] for i in items] == [22, 178, 16, 16, 16, 20]
    assert [i["doJumpId"] for i in items] == [1, 2, 3, 4, 5, 6]
    for item, uploaded in zip(items, compile_plan(PLAN).items, strict=True):
        assert item["type"] == "SimpleItem"
        assert len(item["params"]) == 7
        assert item["frame"] == uploaded.frame
        if uploaded.command == 16:
            assert round(item["params"][4] * 1e7) == uploaded.x
            assert item["params"][3] is None


def _foreign():
    """As another ground station writes it: without our object."""
    document = json.loads(write_plan(PLAN))
    del document["dronectl"]
    return document


def test_a_foreign_plan_takes_mission_and_vehicle_from_defaults():
    plan = read_plan(json.dumps(_foreign()), source="x.plan", defaults=DEFAULTS)
    assert plan.vehicle_id == "d7"
    assert plan.mission is MISSION
    assert plan.return_height_m == 55.0
    assert plan.fence.max_altitude == DEFAULTS.max_altitude
    assert plan.waypoints == tuple(replace(w, serves=()) for w in PLAN.waypoints)
    assert plan.cruise_speed_m_s == PLAN.cruise_speed_m_s
    with pytest.raises(PlanError, match="which mission and vehicle"):
        read_plan(json.dumps(_foreign()), source="x.plan")


def test_a_take_off_item_elsewhere_is_a_waypoint():
    document = _foreign()
    document["mission"]["items"][0]["params"][4] += 0.001
    plan = read_plan(json.dumps(document), source="x.plan", defaults=DEFAULTS)
    assert len(plan.waypoints) == 4
    assert plan.waypoints[0].position == GeoPoint(HOME.latitude_deg + 0.001, HOME.longitude_deg)


def test_circles_become_polygons_on_the_safe_side():
    document = _foreign()
    centre = [29.741, 107.271]
    document["geoFence"]["circles"] = [
        {"circle": {"center": centre, "radius": 80.0}, "inclusion": inclusion, "version": 1}
        for inclusion in (True, False)
    ]
    fence = read_plan(json.dumps(document), source="x.plan", defaults=DEFAULTS).fence
    middle = GeoPoint(*centre)
    assert max(distance_m(middle, p) for p in fence.inclusion[-1]) <= 80.001
    # The sides of the keep-out's polygon, not only its corners, lie outside the circle.
    ring = fence.exclusion[-1]
    for a, b in itertools.pairwise(ring):
        half = GeoPoint((a.latitude_deg + b.latitude_deg) / 2, (a.longitude_deg + b.longitude_deg) / 2)
        assert distance_m(middle, half) >= 79.99


def _item(index, **changes):
    def edit(document):
        document["mission"]["items"][index].update(changes)

    return edit


def _param(index, number, value):
    def edit(document):
        document["mission"]["items"][index]["params"][number - 1] = value

    return edit


def _set(path, value):
    def edit(document):
        target = document
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return edit


def _swap(document):
    params = document["mission"]["items"][2]["params"]
    params[4], params[5] = params[5], params[4]


REFUSALS = {
    "file type": (_set(["fileType"], "Mission"), 'fileType is "Mission", not "Plan"'),
    "version": (_set(["version"], 3), "version 3 is not supported"),
    "no home": (lambda d: d["mission"].pop("plannedHomePosition"), 'mission: lacks "plannedHomePosition"'),
    "home of two": (_set(["mission", "plannedHomePosition"], [29.7, 107.2]), "mission.plannedHomePosition: must be"),
    "swapped": (_swap, "mission.items[2]: latitude 107."),
    "frame": (_item(2, frame=7), "mission.items[2].frame: altitude frame 7 is unknown"),
    "terrain frame": (_item(2, frame=10), "mission.items[2].frame: altitudes above terrain are not supported"),
    "altitude mode": (_item(2, AltitudeMode=9), "mission.items[2].AltitudeMode: altitude mode 9 is unknown"),
    "command": (_item(3, command=18), "item 4 (loiter by turns) is command 18, which is not supported"),
    "complex": (
        _item(3, type="ComplexItem", complexItemType="survey"),
        "mission.items[3]: a survey item is not supported",
    ),
    "no take-off": (_item(0, command=16), "does not begin with a take-off"),
    "no return": (_item(5, command=16, frame=3), "does not end with a return"),
    "after return": (_item(4, command=20), "item 6 comes after the return"),
    "second take-off": (_item(3, command=22), "item 4 is a second take-off"),
    "pass-by radius": (_param(2, 3, 5.0), "mission.items[2].params[2]: a pass-by radius"),
    "text for a number": (_param(2, 7, "60"), 'mission.items[2].params[6]: must be a number, not "60"'),
    "true for a number": (_param(2, 7, True), "must be a number, not true"),
    "six parameters": (_item(2, params=[0] * 6), "must hold 7 parameters"),
    "negative hold": (_param(2, 1, -1.0), "must not be negative"),
    "throttle": (_param(1, 3, 50.0), "no throttle"),
    "rally points": (_set(["rallyPoints", "points"], [[29.7, 107.2, 10]]), "rally points are not supported"),
    "breach return": (_set(["geoFence", "breachReturn"], [1, 2, 3]), "a breach return point is not supported"),
    "fence version": (_set(["geoFence", "version"], 1), "geoFence.version: version 1"),
    "fence of two": (_set(["geoFence", "polygons", 0, "polygon"], [[29.7, 107.2]] * 3), "at least 3 corners"),
    "items no list": (_set(["mission", "items"], {}), "mission.items: must be a list"),
    "huge number": (_param(2, 7, 10**400), "too large a number"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_cannot_be_flown_is_refused_with_its_place(kind):
    edit, said = REFUSALS[kind]
    document = _foreign()
    edit(document)
    with pytest.raises(PlanError) as caught:
        read_plan(json.dumps(document), source="some.plan", defaults=DEFAULTS)
    assert said in str(caught.value)
    assert all(line.startswith("some.plan") for line in str(caught.value).splitlines())


def test_swapped_coordinates_are_seen_where_both_ways_round_exist():
    home = GeoPoint(47.39, 8.54)
    document = _foreign()
    document["mission"]["plannedHomePosition"] = [home.latitude_deg, home.longitude_deg, 500.0]
    for index in (0, 2, 3, 4):
        document["mission"]["items"][index]["params"][4:6] = [47.391, 8.541]
    document["mission"]["items"][3]["params"][4:6] = [8.541, 47.391]
    with pytest.raises(PlanError, match=r"mission.items\[3\]: latitude and longitude look swapped"):
        read_plan(json.dumps(document), source="x.plan", defaults=DEFAULTS)


def test_all_unsupported_items_are_listed_at_once():
    document = _foreign()
    document["mission"]["items"][2]["command"] = 18
    document["mission"]["items"][4].update(type="ComplexItem", complexItemType="CorridorScan")
    with pytest.raises(PlanError) as caught:
        read_plan(json.dumps(document), source="x.plan", defaults=DEFAULTS)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "mission.items[4]: a CorridorScan item" in lines[0]
    assert "item 3 (loiter by turns) is command 18" in lines[1]


def test_not_json_names_the_line():
    with pytest.raises(PlanError, match=r"x.plan: line 3, column"):
        read_plan('{\n"fileType": "Plan",\n"version": ,\n}', source="x.plan")
    with pytest.raises(PlanError, match="NaN"):
        read_plan('{"fileType": NaN}', source="x.plan")
    with pytest.raises(PlanError, match="nested too deeply"):
        read_plan("[" * 100_000, source="x.plan")
    with pytest.raises(PlanError, match="is no plan"):
        read_plan("[]", source="x.plan")


def test_edited_items_must_agree_with_our_object():
    document = json.loads(write_plan(PLAN))
    fewer = copy.deepcopy(document)
    del fewer["mission"]["items"][3]
    with pytest.raises(PlanError, match=r"speaks of 3 waypoints, but mission\.items has 2"):
        read_plan(json.dumps(fewer), source="x.plan")
    faster = copy.deepcopy(document)
    faster["dronectl"]["cruise_speed_m_s"] = 3.0
    with pytest.raises(PlanError, match=r"differ from mission\.items"):
        read_plan(json.dumps(faster), source="x.plan")
    newer = copy.deepcopy(document)
    newer["dronectl"]["schema_version"] = 2
    with pytest.raises(PlanError, match="schema_version"):
        read_plan(json.dumps(newer), source="x.plan")
    early = copy.deepcopy(document)
    early["dronectl"]["start_after_s"] = -1.0
    with pytest.raises(PlanError, match=r"dronectl\.start_after_s: is -1; no flight of a set starts before the set"):
        read_plan(json.dumps(early), source="x.plan")
    aimless = copy.deepcopy(document)
    aimless["dronectl"]["mission"]["purpose"] = " "
    with pytest.raises(PlanError, match=r"dronectl.mission: a mission needs a purpose"):
        read_plan(json.dumps(aimless), source="x.plan")


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_any_damage_gives_a_plan_or_one_refusal(data):
    """Replace a random part of a good document by random JSON: never any other exception."""
    document = json.loads(write_plan(PLAN))
    target = document
    for _ in range(6):
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        key = data.draw(st.sampled_from(keys))
        child = target[key]
        if not isinstance(child, dict | list) or not child or data.draw(st.booleans()):
            break
        target = child
    target[key] = data.draw(_json)
    with contextlib.suppress(PlanError):
        read_plan(json.dumps(document), source="x.plan", defaults=DEFAULTS)


@pytest.mark.data
def test_a_real_qgroundcontrol_plan():
    folder = os.environ.get("DRONECTL_DATA")
    if not folder:
        pytest.skip("set DRONECTL_DATA to the folder of real data")
    file = Path(folder) / "planning" / "qgc" / "multicopter_mission_geofence_avoid.plan"
    if not file.is_file():
        pytest.skip(f"{file} is absent")
    plan = read_plan(file.read_text(encoding="utf-8"), source=file.name, defaults=DEFAULTS)
    assert len(plan.waypoints) == 3
    assert plan.cruise_speed_m_s == 5.0
    assert len(plan.fence.inclusion) == 1
    assert len(plan.fence.exclusion) == 2  # a polygon and a circle
    assert plan.home == GeoPoint(47.3977444, 8.5455918)
    assert read_plan(write_plan(plan), source="again") == plan

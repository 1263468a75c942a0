# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plans drawn in QGroundControl, flown by their own items: what goes aboard, what is checked, what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from flight_files import FRAME, MISSION
from hypothesis import given
from hypothesis import strategies as st

from missions.errors import PlanError
from missions.formats.qgc_plan import PlanDefaults, read_plan, write_plan
from missions.mavlink_items import compile_plan, differences
from missions.model import FlightPlan, Geofence

HOME = FRAME.origin
FENCE = Geofence((tuple(FRAME.to_geo(*p) for p in ((-400, -400), (400, -400), (400, 400), (-400, 400))),))
DEFAULTS = PlanDefaults(MISSION, "d7", 55.0)
NAN = None


def simple(command, params, place=None, height=None, frame=3):
    latitude, longitude = (0, 0) if place is None else (place.latitude_deg, place.longitude_deg)
    at = [latitude, longitude, 0 if height is None else height]
    return {
        "type": "SimpleItem",
        "command": command,
        "frame": frame if height is not None else 2,
        "autoContinue": True,
        "params": [*params, *at],
    }


def numbered(items, start=1):
    """doJumpId as QGroundControl counts: through the patterns' own items too."""
    for item in items:
        if item["type"] == "SimpleItem":
            item["doJumpId"] = start
            start += 1
        elif "TransectStyleComplexItem" in item:
            start = numbered(item["TransectStyleComplexItem"]["Items"], start)
    return start


def plan_text(items):
    numbered(items)
    document = {
        "fileType": "Plan",
        "version": 1,
        "groundStation": "QGroundControl",
        "mission": {
            "version": 2,
            "firmwareType": 12,
            "vehicleType": 2,
            "cruiseSpeed": 15,
            "hoverSpeed": 6.5,
            "plannedHomePosition": [HOME.latitude_deg, HOME.longitude_deg, 250.0],
            "items": items,
        },
        "geoFence": {"version": 2, "circles": [], "polygons": []},
        "rallyPoints": {"version": 2, "points": []},
    }
    return json.dumps(document)


def at(east, north):
    return FRAME.to_geo(east, north)


def survey(lines, kind="survey", trigger=12.5):
    """Items as a survey of QGroundControl holds them: to a line, pictures by distance, its end, no more pictures."""
    items = []
    for start, end in lines:
        items.append(simple(16, [0, 0, 0, NAN], at(*start), 60.0))
        items.append(simple(206, [trigger, 0, 1, 0]))
        items.append(simple(16, [0, 0, 0, NAN], at(*end), 60.0))
        items.append(simple(206, [0, 0, 0, 0]))
    return {
        "type": "ComplexItem",
        "complexItemType": kind,
        "angle": 90,
        "version": 5,
        "polygon": [[29.74, 107.27], [29.741, 107.27], [29.741, 107.271]],
        "TransectStyleComplexItem": {"version": 2, "CameraCalc": {}, "Items": items},
    }


LINES = [((0, 50), (200, 50)), ((200, 90), (0, 90)), ((0, 130), (200, 130))]
TAKEOFF = [22, [0, 0, 0, NAN], HOME, 50.0]
RETURN = [20, [0, 0, 0, 0]]


def read(items):
    return read_plan(plan_text(items), source="x.plan", defaults=DEFAULTS)


def test_a_survey_goes_aboard_item_by_item_and_is_checked_leg_by_leg():
    text = [simple(*TAKEOFF), survey(LINES), simple(*RETURN)]
    plan = read(text)
    compiled = compile_plan(plan)
    aboard = [item.command for item in compiled.items]
    assert aboard == [22, 178, *[16, 206, 16, 206] * 3, 20]
    assert compiled.items[1].param2 == 6.5  # the plan's own speed, or the vehicle's setting would be flown
    drawn = text[1]["TransectStyleComplexItem"]["Items"]
    for theirs, ours in zip(drawn, compiled.items[2:-1], strict=True):
        assert (theirs["command"], theirs["frame"]) == (ours.command, ours.frame)
        assert theirs["params"][:3] == [ours.param1, ours.param2, ours.param3]
        if theirs["command"] == 16:
            assert abs(theirs["params"][4] * 1e7 - ours.x) <= 1
            assert abs(theirs["params"][5] * 1e7 - ours.y) <= 1
            assert math.isnan(ours.param4)
    assert [w.position for w in plan.waypoints] == [at(*p) for line in LINES for p in line]
    assert [i for i in compiled.waypoint_of_item if i is not None] == list(range(6))
    assert [item.seq for item in compiled.items] == list(range(len(compiled.items)))
    assert [item.current for item in compiled.items] == [1] + [0] * (len(compiled.items) - 1)


def test_a_corridor_loiter_and_loop_are_flown_as_drawn_and_checked_as_flown():
    items = [
        simple(*TAKEOFF),
        simple(178, [1, 4.0, -1, 0]),
        survey(LINES[:1], "CorridorScan"),
        simple(19, [30, 0, 0, NAN], at(100, 200), 60.0),
        simple(177, [3, 2, 0, 0]),  # back to the corridor's first waypoint, twice
        simple(1000, [-45, 90, NAN, NAN]),
        simple(2000, [0, 0, 1, 0]),
        simple(*RETURN),
    ]
    plan = read(items)
    compiled = compile_plan(plan)
    jump = next(item for item in compiled.items if item.command == 177)
    assert compiled.items[int(jump.param1)].command == 16  # MAVLink counts items from 0
    assert int(jump.param1) == 2
    assert jump.param2 == 2.0
    assert len(plan.waypoints) == 3 * 3  # two legs and a loiter, three times over
    assert [w.hold_s for w in plan.waypoints] == [0.0, 0.0, 30.0] * 3
    assert [i.command for i in compiled.items] == [22, 178, 16, 206, 16, 206, 19, 177, 1000, 2000, 20]


def test_a_jump_still_finds_its_item_after_a_speed_was_put_in():
    items = [simple(*TAKEOFF), simple(16, [0, 0, 0, NAN], at(50, 50), 60.0)]
    items += [simple(16, [0, 0, 0, NAN], at(90, 50), 60.0), simple(177, [2, 1, 0, 0]), simple(*RETURN)]
    compiled = compile_plan(read(items))
    jump = next(item for item in compiled.items if item.command == 177)
    target = compiled.items[int(jump.param1)]
    assert abs(target.x - at(50, 50).latitude_deg * 1e7) <= 1


def test_writing_and_reading_keeps_a_drawn_plan():
    items = [simple(*TAKEOFF), survey(LINES), simple(19, [5, 0, 0, NAN], at(9, 9), 60.0), simple(177, [3, 1, 0, 0])]
    plan = replace(read([*items, simple(*RETURN)]), fence=FENCE)
    again = read_plan(write_plan(plan), source="y.plan")
    sent, back = compile_plan(plan), compile_plan(again)
    assert repr(sent) == repr(back)
    assert differences(sent.items, back.items) == []
    assert again.vehicle_id == plan.vehicle_id
    assert again.commands == plan.commands
    assert len(again.waypoints) == len(plan.waypoints)


def test_waypoints_that_were_moved_never_fly_the_old_commands():
    plan = read([simple(*TAKEOFF), survey(LINES), simple(*RETURN)])
    moved = replace(plan.waypoints[2], position=at(210, 95))
    changed = replace(plan, waypoints=(*plan.waypoints[:2], moved, *plan.waypoints[3:]))
    with pytest.raises(ValueError, match="waypoint 3 is not where item"):
        compile_plan(changed)


SCAN = {"type": "ComplexItem", "complexItemType": "StructureScan", "version": 3}
REFUSALS = {
    "structure scan": ([simple(*TAKEOFF), SCAN, simple(*RETURN)], "a StructureScan item is not supported"),
    "turns": ([simple(*TAKEOFF), simple(18, [2, 0, 9, NAN], at(9, 9), 60.0), simple(*RETURN)], "loiter by turns"),
    "servo": ([simple(*TAKEOFF), simple(183, [5, 1500, 0, 0]), simple(*RETURN)], "command 183"),
    "gripper": ([simple(*TAKEOFF), simple(211, [1, 1, 0, 0]), simple(*RETURN)], "command 211"),
    "fence off": ([simple(*TAKEOFF), simple(207, [0, 0, 0, 0]), simple(*RETURN)], "command 207"),
    "endless loop": (
        [simple(*TAKEOFF), simple(16, [0] * 4, at(9, 9), 60.0), simple(177, [2, -1, 0, 0]), simple(*RETURN)],
        "repeats without end",
    ),
    "no return": ([simple(*TAKEOFF), survey(LINES)], "does not end with a return"),
    "no take-off": ([survey(LINES), simple(*RETURN)], "does not begin with a take-off"),
    "after the return": (
        [simple(*TAKEOFF), survey(LINES), simple(*RETURN), simple(16, [0] * 4, at(9, 9), 60.0)],
        "is followed by more items",
    ),
    "terrain": (
        [simple(*TAKEOFF), survey(LINES), simple(16, [0] * 4, at(9, 9), 60.0, frame=10), simple(*RETURN)],
        "an altitude above terrain",
    ),
    "climb speed": ([simple(*TAKEOFF), survey(LINES), simple(178, [2, 3, -1, 0]), simple(*RETURN)], "not of climb"),
    "climb speed alone": (
        [simple(*TAKEOFF), simple(178, [3, 3, -1, 0]), simple(16, [0] * 4, at(9, 9), 60.0), simple(*RETURN)],
        "mission.items[1]: a speed change must set a speed above 0 (not of climb",
    ),
    "stops": (
        [
            simple(*TAKEOFF),
            survey(LINES),
            simple(16, [0] * 4, at(9, 9), 60.0) | {"autoContinue": False},
            simple(*RETURN),
        ],
        "does not go on by itself",
    ),
    "stops, simple": (
        [simple(*TAKEOFF), simple(16, [0] * 4, at(9, 9), 60.0) | {"autoContinue": False}, simple(*RETURN)],
        "mission.items[1].autoContinue: the vehicle would wait there",
    ),
    "time of day": ([simple(*TAKEOFF), survey(LINES), simple(93, [-1, 8, 0, 0]), simple(*RETURN)], "time of day"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_cannot_be_flown_is_refused_by_name(kind):
    items, said = REFUSALS[kind]
    with pytest.raises(PlanError) as caught:
        read(items)
    assert said in str(caught.value)
    assert all(line.startswith("x.plan: ") for line in str(caught.value).splitlines())


@given(st.lists(st.sampled_from([203, 205, 206, 214, 530, 1000, 2000, 2001, 2500, 2501]), min_size=1, max_size=12))
def test_no_camera_command_is_ever_dropped(commands):
    items = [simple(*TAKEOFF), simple(16, [0, 0, 0, NAN], at(50, 50), 60.0)]
    items += [simple(c, [1.0, 0.0, 0.0, 0.0]) for c in commands]
    plan = read([*items, simple(*RETURN)])
    assert isinstance(plan, FlightPlan)
    aboard = [item.command for item in compile_plan(plan).items]
    assert [c for c in aboard if c not in {16, 20, 22, 178}] == commands

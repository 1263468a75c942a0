# SPDX-License-Identifier: AGPL-3.0-or-later
"""What QGroundControl asks of a .plan before it opens it, written down from its published format: keys, types, counts.

A file that fails here is refused by QGroundControl with a message; one that passes is loaded. The rules know nothing
of our writers.
"""

from __future__ import annotations

import json

import pytest
from flight_files import files
from hypothesis import given, settings

from missions.errors import PlanError
from missions.formats.files import FileFormat, write_flight_file
from missions.formats.flight_file import FlightFile
from missions.formats.qgc_plan import PlanDefaults, read_plan, write_plan
from missions.mavlink_items import compile_plan

_PLACED = {16, 17, 18, 19, 21, 22, 31, 82, 195}


def number(value, *, empty=False):
    return (empty and value is None) or (isinstance(value, int | float) and not isinstance(value, bool))


def faults_of(document):
    """Every rule that a document breaks."""
    faults = []

    def ask(truth, what):
        if not truth:
            faults.append(what)

    ask(document.get("fileType") == "Plan", "fileType")
    ask(document.get("version") == 1, "version")
    ask(isinstance(document.get("groundStation"), str), "groundStation")
    for part in ("mission", "geoFence", "rallyPoints"):
        ask(isinstance(document.get(part), dict), part)
    if faults:
        return faults
    mission, fence, rally = document["mission"], document["geoFence"], document["rallyPoints"]
    ask(mission.get("version") == 2, "mission.version")
    ask(number(mission.get("firmwareType")), "mission.firmwareType")
    for key in ("vehicleType", "cruiseSpeed", "hoverSpeed", "globalPlanAltitudeMode"):
        ask(key not in mission or number(mission[key]), f"mission.{key}")
    home = mission.get("plannedHomePosition")
    ask(isinstance(home, list) and len(home) == 3 and all(map(number, home)), "plannedHomePosition")
    ask(isinstance(mission.get("items"), list), "mission.items")
    ids = []
    for item in mission.get("items", []):
        faults.extend(_item_faults(item, ids))
    ask(len(set(ids)) == len(ids), "doJumpId twice")
    jumps = [i["params"][0] for i in _simple(mission["items"]) if i["command"] == 177]
    ask(all(target in ids for target in jumps), "a jump to no item")
    ask(fence.get("version") == 2, "geoFence.version")
    ask(isinstance(fence.get("polygons"), list) and isinstance(fence.get("circles"), list), "geoFence lists")
    for polygon in fence.get("polygons", []):
        corners = polygon.get("polygon")
        ask(polygon.get("version") == 1 and isinstance(polygon.get("inclusion"), bool), "polygon")
        ask(len(corners) >= 3 and all(len(c) == 2 and all(map(number, c)) for c in corners), "polygon corners")
    for circle in fence.get("circles", []):
        ask(circle.get("version") == 1 and isinstance(circle.get("inclusion"), bool), "circle")
        shape = circle.get("circle", {})
        ask(number(shape.get("radius")) and len(shape.get("center", [])) == 2, "circle shape")
    ask(rally.get("version") == 2 and isinstance(rally.get("points"), list), "rallyPoints")
    ask(all(len(p) == 3 and all(map(number, p)) for p in rally.get("points", [])), "rally points")
    return faults


def _simple(items):
    for item in items:
        if item["type"] == "SimpleItem":
            yield item
        else:
            yield from item["TransectStyleComplexItem"]["Items"]


def _item_faults(item, ids):
    if item.get("type") == "ComplexItem":
        known = isinstance(item.get("complexItemType"), str) and isinstance(item.get("TransectStyleComplexItem"), dict)
        if not known:
            return ["complex item"]
        return [f for part in item["TransectStyleComplexItem"].get("Items", []) for f in _item_faults(part, ids)]
    faults = []
    if item.get("type") != "SimpleItem":
        return ["item type"]
    faults.extend(key for key in ("frame", "command") if not isinstance(item.get(key), int))
    if not isinstance(item.get("autoContinue"), bool):
        faults.append("autoContinue")
    params = item.get("params")
    if not isinstance(params, list) or len(params) != 7 or not all(number(p, empty=True) for p in params):
        faults.append("params")
    if "doJumpId" in item:
        ids.append(item["doJumpId"])
        if not isinstance(item["doJumpId"], int) or item["doJumpId"] < 1:
            faults.append("doJumpId")
    # One of the three altitude keys brings the other two with it.
    altitude = [key in item for key in ("Altitude", "AltitudeMode", "AMSLAltAboveTerrain")]
    if any(altitude) and not all(altitude):
        faults.append("altitude keys")
    if all(altitude) and not (number(item["Altitude"]) and item["AltitudeMode"] in {0, 1, 2, 3, 4}):
        faults.append("altitude values")
    if item.get("frame") in {0, 3, 5, 6, 10, 11} and item.get("command") in _PLACED and not number(params[6]):
        faults.append("no altitude")
    return faults


def load(text):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@settings(max_examples=60)
@given(files)
def test_every_file_that_is_written_would_be_opened(content: FlightFile):
    try:
        written = write_flight_file(content, FileFormat.PLAN, title="x", now_ms=0)
    except PlanError:
        return  # refused with its reason: nothing was written
    assert faults_of(load(written.data.decode())) == []


def test_plans_of_ours_and_drawn_ones_would_be_opened():
    import test_drawn_plans as drawn

    plan = drawn.read(
        [
            drawn.simple(*drawn.TAKEOFF),
            drawn.survey(drawn.LINES),
            drawn.simple(177, [3, 1, 0, 0]),
            drawn.simple(*drawn.RETURN),
        ]
    )
    text = write_plan(plan)
    assert faults_of(load(text)) == []
    again = read_plan(text, source="x", defaults=PlanDefaults(plan.mission, "d7", 55.0))
    assert repr(compile_plan(again)) == repr(compile_plan(plan))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda d: d["mission"]["items"][0].pop("autoContinue"), "autoContinue"),
        (lambda d: d["mission"]["items"][1]["params"].pop(), "params"),
        (lambda d: d["mission"]["items"][2].pop("AltitudeMode"), "altitude keys"),
        (lambda d: d["mission"].pop("firmwareType"), "mission.firmwareType"),
        (lambda d: d["geoFence"].update(version=1), "geoFence.version"),
    ],
)
def test_the_rules_see_what_is_missing(edit, said):
    import test_drawn_plans as drawn

    items = [drawn.simple(*drawn.TAKEOFF), drawn.simple(16, [0, 0, 0, None], drawn.at(50, 50), 60.0)]
    document = load(write_plan(drawn.read([*items, drawn.simple(2000, [0, 0, 1, 0]), drawn.simple(*drawn.RETURN)])))
    assert faults_of(document) == []
    edit(document)
    assert said in faults_of(document)

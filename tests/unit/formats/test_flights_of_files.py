# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whatever route a file holds, checking it gives findings and never an exception; and jumps keep their targets."""

from __future__ import annotations

import json

from flight_files import FRAME, HOME, MISSION, routes
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.feasibility import check_plan
from missions.feasibility_steps import MAX_WAYPOINTS, Starter, fly_steps
from missions.formats.files import FileFormat, read_flight_file, write_flight_file
from missions.model import Geofence, VehicleLimits
from missions.terrain import FlatTerrain

SQUARE = tuple(FRAME.to_geo(*p) for p in ((-900, -900), (900, -900), (900, 900), (-900, 900)))
START = Starter("d1", MISSION, HOME.position, 200.0, 70.0, 8.0)


@given(routes(home=HOME), st.floats(0.0, 1.0), st.floats(0.0, 30.0))
@settings(max_examples=60, deadline=None)
def test_any_route_gets_findings(route, battery, wind):
    flight = fly_steps(route, Geofence((SQUARE,)), START)
    assert len(flight.plan.waypoints) == len(flight.names) == len(flight.step_of) <= MAX_WAYPOINTS + 50
    assert all(0 <= i < len(route.steps) for i in flight.step_of)
    for finding in flight.findings:
        assert finding.item is None or 0 <= finding.item < len(route.steps)
        assert "\n" not in finding.message
    if len(flight.plan.waypoints) > 2000:
        return  # the rules on thousands of waypoints have their own test, and their time
    found = check_plan(
        flight.plan, VehicleLimits(), FlatTerrain(200.0), battery_fraction=battery, wind_m_s=wind, names=flight.names
    )
    for finding in found:
        assert finding.item is None or 0 <= finding.item < len(flight.plan.waypoints)


def test_a_jump_that_is_left_out_does_not_lead_the_others_astray():
    """Two jumps, the first to an item that there is not: the second still goes back to the waypoint it names."""

    def item(number, command, params, frame=3):
        names = {"type": "SimpleItem", "doJumpId": number, "command": command, "frame": frame, "autoContinue": True}
        return {**names, "params": params}

    places = {n: [0, 0, 0, None, 29.74 + n / 1000.0, 107.27, 50] for n in (1, 3, 4)}
    items = [item(1, 16, places[1]), item(2, 177, [99, 1, 0, 0, 0, 0, 0], 2), item(3, 16, places[3])]
    items += [item(4, 16, places[4]), item(5, 177, [3, 2, 0, 0, 0, 0, 0], 2)]
    mission = {"version": 2, "hoverSpeed": 8, "plannedHomePosition": [29.74, 107.27, 200], "items": items}
    file = read_flight_file(json.dumps({"fileType": "Plan", "version": 1, "mission": mission}).encode(), source="x")
    assert [loss.place for loss in file.losses] == ["mission.items[1]"]
    steps = file.routes[0].steps
    assert [s.command for s in steps] == [16, 16, 16, 177]
    assert steps[int(steps[3].params[0])].position.latitude_deg == 29.743
    again = json.loads(write_flight_file(file, FileFormat.PLAN).data)["mission"]["items"]
    assert again[int(again[3]["params"][0]) - 1]["params"][4] == 29.743

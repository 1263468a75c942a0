# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whatever route a file holds, checking it gives findings and never an exception."""

from __future__ import annotations

from flight_files import FRAME, HOME, MISSION, routes
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.feasibility import check_plan
from missions.feasibility_steps import MAX_WAYPOINTS, Starter, fly_steps
from missions.model import Geofence, VehicleLimits
from missions.terrain import FlatTerrain

SQUARE = tuple(FRAME.to_geo(*p) for p in ((-900, -900), (900, -900), (900, 900), (-900, 900)))
START = Starter("d1", MISSION, HOME.position, 200.0, 70.0, 8.0)


@given(routes(home=HOME), st.floats(0.0, 1.0), st.floats(0.0, 30.0))
@settings(max_examples=60, deadline=None)
def test_any_route_gets_findings(route, battery, wind):
    flight = fly_steps(route, Geofence((SQUARE,)), START)
    assert len(flight.plan.waypoints) == len(flight.names) == len(flight.step_of) <= MAX_WAYPOINTS + 25
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

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mission commands whose flight is not the straight line that their places suggest: landings, spirals, stops, waits."""

from __future__ import annotations

import numpy as np
import pytest
from mission_plans import FENCE, FRAME, HOME, LIMITS, MISSION

from missions.energy import plan_energy
from missions.feasibility import blockers, check_plan
from missions.feasibility_steps import Starter, fly_steps
from missions.formats.flight_file import Route, Step
from missions.geo import Altitude, Datum
from missions.model import Severity
from missions.terrain import GridTerrain

START = Starter("d1", MISSION, HOME, 200.0, 100.0, 8.0)
TAKEOFF = Step(22, altitude=Altitude(60.0, Datum.HOME))
RETURN = Step(20, (0.0, 0.0, 0.0, 0.0))


def at(east, north, command=16, params=(0.0, 0.0, 0.0, None), height=60.0, **more):
    return Step(command, params, FRAME.to_geo(east, north), Altitude(height, Datum.HOME), **more)


def fly(*steps, end=RETURN):
    return fly_steps(Route("r", (TAKEOFF, *steps, end)), FENCE, START)


def hill(east_m, north_m, top_m, half_m=60.0):
    """Level ground at home's height with one steep hill."""
    heights = np.full((201, 201), 200.0, dtype=np.float32)
    axis = np.arange(201) * 10.0 - 1000.0
    x, y = np.meshgrid(axis, axis)
    heights[(np.abs(x - east_m) <= half_m) & (np.abs(y - north_m) <= half_m)] += top_m
    return GridTerrain(FRAME, -1000.0, -1000.0, 10.0, heights, "hill", 0.0)


def codes(flight, terrain):
    return {f.code for f in blockers([*flight.findings, *check_plan(flight.plan, LIMITS, terrain)])}


@pytest.mark.parametrize("pad_m", [0.0, 20.0])
def test_the_way_to_a_landing_at_home_is_flown_at_the_last_height(pad_m):
    """Only a return climbs to the return height: a landing is flown to at the height of the waypoint before."""
    round_the_hill = at(-300, 300), at(300, 300)
    ground = hill(150, 150, 50.0)
    assert codes(fly(*round_the_hill), ground) == set()
    land = at(0, pad_m, 21, height=0.0)
    assert "clearance-low" in codes(fly(*round_the_hill, end=land), ground)


def test_a_spiral_is_entered_at_the_height_before_it():
    """PX4 flies to a loiter-to-altitude at the height it has, and changes height on the circle."""
    spiral = at(0, 600, 31, (0.0, 50.0, 0.0, None), height=110.0)
    ground = hill(0, 450, 40.0)  # under the last part of the way; a straight climb to 110 m would clear it
    assert "clearance-low" in codes(fly(at(0, 200, height=60.0), spiral), ground)
    on_circle = hill(0, 650, 40.0, half_m=10.0)
    assert "clearance-low" in codes(fly(at(0, 200, height=60.0), spiral), on_circle)
    assert codes(fly(at(0, 200, height=75.0), spiral), on_circle) == set()
    hovering = at(0, 600, 31, (0.0, 0.5, 0.0, None), height=110.0)
    assert "clearance-low" in codes(fly(at(0, 200, height=60.0), hovering), ground)


@pytest.mark.parametrize("step", [at(0, 300, autocontinue=False), Step(206, (5.0, 0.0, 1.0, 0.0), autocontinue=False)])
def test_an_item_after_which_the_mission_stops_is_a_flight_without_end(step):
    flight = fly(at(0, 200), step)
    assert [(f.code, f.severity, f.item) for f in flight.findings] == [("stops-here", Severity.BLOCKER, 2)]


@pytest.mark.parametrize("kind", [2.0, 3.0])
def test_a_climb_or_descent_speed_is_no_ground_speed(kind):
    """MAV_CMD_DO_CHANGE_SPEED: 0 air and 1 ground speed, 2 climb and 3 descent."""
    speeds = Step(178, (kind, 2.0, -1.0, 0.0))
    flight = fly(Step(178, (1.0, 11.0, -1.0, 0.0)), at(0, 100), speeds, at(0, 300))
    assert [w.speed_m_s for w in flight.plan.waypoints] == [11.0, None]


def test_waiting_counts_wherever_it_stands():
    wait = Step(93, (300.0, -1.0, -1.0, -1.0))
    plain = plan_energy(fly(at(0, 300)).plan, LIMITS).time_s
    assert plan_energy(fly(at(0, 300), wait).plan, LIMITS).time_s >= plain + 300.0
    assert plan_energy(fly(wait, at(0, 300)).plan, LIMITS).time_s >= plain + 300.0
    until = fly(at(0, 300), Step(93, (-1.0, 9.0, 30.0, 0.0)))
    assert [(f.code, f.severity, f.item) for f in until.findings] == [("waits-for-a-time", Severity.BLOCKER, 2)]


def test_a_change_of_height_between_places_cannot_be_checked():
    flight = fly(at(0, 200), Step(113, (2.0, 0.0, 0.0, 0.0), rest=(0.0, 0.0, 20.0)), at(0, 300))
    assert [(f.code, f.item) for f in flight.findings] == [("unsupported-item", 2)]

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mission commands as flights: loops with their counts, circles, ends, and what nobody can judge."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mission_plans import FENCE, FRAME, HOME, LIMITS, MISSION

from missions.energy import plan_energy
from missions.feasibility import check_plan
from missions.feasibility_steps import MAX_WAYPOINTS, Starter, check_rally, fence_of, fly_steps
from missions.formats.flight_file import Circle, FlightFile, RallyPoint, Ring, Route, Step
from missions.geo import Altitude, Datum, distance_m
from missions.model import Severity
from missions.separation import MINIMA, check_separation
from missions.terrain import FlatTerrain

GROUND = FlatTerrain(200.0)
START = Starter("d1", MISSION, HOME, 200.0, 70.0, 8.0)
TAKEOFF = Step(22, altitude=Altitude(60.0, Datum.HOME))
RETURN = Step(20, (0.0, 0.0, 0.0, 0.0))


def at(east, north, command=16, params=(0.0, 0.0, 0.0, None), height=60.0):
    return Step(command, params, FRAME.to_geo(east, north), Altitude(height, Datum.HOME))


def jump(target, rounds):
    return Step(177, (float(target), float(rounds), 0.0, 0.0))


def fly(*steps):
    return fly_steps(Route("r", (TAKEOFF, *steps, RETURN)), FENCE, START)


def codes(flight):
    return [f.code for f in flight.findings]


def order_of(instructions):
    """An independent reading of loops: unroll the innermost of the properly nested ones until none is left.

    Waypoints are numbers, a loop is ("jump", target, rounds); recursion over the list, not a program counter.
    """

    def unroll(first, last):
        out = []
        spans = {}
        for i in range(first, last):
            spans[i] = len(out)
            if isinstance(instructions[i], tuple):
                _, target, rounds = instructions[i]
                body = unroll(target, i)
                out = out[: spans[target]] + body * (rounds + 1)
            else:
                out.append(instructions[i])
        return out

    return unroll(0, len(instructions))


@st.composite
def nested_loops(draw):
    """Waypoints with jumps back; every loop lies wholly inside, or wholly outside, the others."""
    program = []
    for number in range(draw(st.integers(1, 7))):
        program.append(number)
        if draw(st.booleans()):
            # To where no other loop ends in between, or around whole loops.
            target = draw(st.sampled_from([i for i, p in enumerate(program) if not isinstance(p, tuple)]))
            starts = [p[1] for p in program[target:] if isinstance(p, tuple)]
            if all(s >= target for s in starts):
                program.append(("jump", target, draw(st.integers(0, 3))))
    return program


@given(nested_loops())
@settings(max_examples=150, deadline=None)
def test_loops_are_flown_as_often_as_they_say(program):
    steps = [jump(p[1] + 1, p[2]) if isinstance(p, tuple) else at(40.0 * p, 100.0) for p in program]
    flight = fly(*steps)
    flown = [round(FRAME.to_enu(w.position)[0] / 40.0) for w in flight.plan.waypoints]
    assert flown == order_of(program)
    assert [flight.names[i] for i in range(len(flown))] == [f"item {s + 1}" for s in flight.step_of]
    assert codes(flight) == []


def test_endless_and_monstrous_loops_end():
    endless = fly(at(0, 100), at(0, 200), jump(1, -1))
    assert codes(endless) == ["jump-endless"]
    assert len(endless.plan.waypoints) == 4
    huge = fly(at(0, 100), at(0, 200), jump(1, 1_000_000))
    assert codes(huge) == ["too-long"]
    assert len(huge.plan.waypoints) <= MAX_WAYPOINTS + 1
    nowhere = fly(at(0, 100), jump(3, 2), jump(2, 100_000), jump(2, 100_000), jump(2, 100_000))
    assert "too-long" in codes(nowhere)
    assert codes(fly(at(0, 100), jump(77, 1))) == ["jump-target"]
    assert codes(fly(at(0, 100), at(200, 0, 18, (1e6, 0.0, 50.0, None)))) == ["too-long"]


@given(st.floats(20.0, 200.0), st.floats(0.0, 400.0), st.floats(-180, 180), st.sampled_from([18, 19, 31]))
@settings(max_examples=60, deadline=None)
def test_a_circle_into_the_keep_out_is_seen(radius, gap, bearing, command):
    """The keep-out is the square of 200 m around (400, 0); the loiter's centre lies west of it."""
    params = {18: (1.0, 0.0, radius, None), 19: (30.0, 0.0, -radius, None), 31: (0.0, radius, 0.0, None)}[command]
    flight = fly(at(300.0 - gap - radius, 0.0, command, params))
    found = [f for f in check_plan(flight.plan, LIMITS, GROUND, names=flight.names) if f.code == "leg-in-keep-out"]
    margin = 3.0 + 8.0**2 / 6.0
    if gap < margin - 0.1:
        assert found
        assert "item 2 (loiter circle)" in found[0].message
    elif gap > margin + 0.01 * radius + 0.1:
        on_circle = [f for f in found if "from item 2 (loiter circle)" in f.message and "to item 2" in f.message]
        assert not on_circle
    centre = FRAME.to_geo(300.0 - gap - radius, 0.0)
    assert all(radius * 0.999 <= distance_m(centre, w.position) <= radius * 1.1 for w in flight.plan.waypoints)


def test_turns_and_holds_cost_their_time():
    def time_s(step):
        flight = fly(step)
        return plan_energy(flight.plan, LIMITS).time_s

    around = 2 * math.pi * 80.0 / 8.0
    one, three = (time_s(at(0, 300, 18, (n, 0.0, 80.0, None))) for n in (1.0, 3.0))
    assert three - one == pytest.approx(2 * around, rel=0.1)
    still, long = (time_s(at(0, 300, 19, (n, 0.0, 0.0, None))) for n in (10.0, 100.0))
    assert long - still == pytest.approx(90.0)
    assert time_s(at(0, 300)) + 50.0 < time_s(at(0, 300, 19, (55.0, 0.0, 0.0, None)))
    later = fly(at(0, 300), Step(93, (40.0, -1.0, -1.0, -1.0)))
    assert later.plan.waypoints[0].hold_s == 40.0


@pytest.mark.parametrize(
    ("step", "code", "severity"),
    [
        (at(0, 300, 17), "loiter-endless", Severity.BLOCKER),
        (at(0, 300, 18, (1.0, 0.0, 0.0, None)), "loiter-radius", Severity.WARNING),
        (at(0, 300, 82), "spline", Severity.WARNING),
        (at(0, 300, 84), "unsupported-item", Severity.BLOCKER),
        (Step(207, (0.0, 0.0, 0.0, 0.0)), "fence-off", Severity.BLOCKER),
        (at(0, 300, 22), "second-take-off", Severity.WARNING),
        (Step(179, (1.0, 0.0, 0.0, 0.0)), "unsupported-item", Severity.BLOCKER),
    ],
)
def test_what_cannot_simply_be_judged_is_said(step, code, severity):
    flight = fly(at(0, 200), step)
    assert [(f.code, f.severity, f.item) for f in flight.findings] == [(code, severity, 2)]
    assert flight.findings[0].message.startswith("item 3 (")


def test_how_flights_end():
    home_less = fly_steps(Route("r", (TAKEOFF, at(0, 300))), FENCE, START)
    assert codes(home_less) == ["no-return"]
    after = fly_steps(Route("r", (TAKEOFF, at(0, 300), RETURN, at(0, 400))), FENCE, START)
    assert codes(after) == ["after-the-end"]
    assert len(after.plan.waypoints) == 1
    away = fly_steps(Route("r", (TAKEOFF, at(0, 100), at(0, 400, 21, height=0.0))), FENCE, START)
    assert codes(away) == ["lands-away"]
    assert away.plan.waypoints[-1].altitude.value_m == 60.0
    at_home = fly_steps(Route("r", (TAKEOFF, at(0, 100), at(0, 1, 21, height=0.0))), FENCE, START)
    assert codes(at_home) == []
    assert codes(fly(Step(206, (20.0, 0.0, 0.0, 0.0)), at(0, 100))) == []  # a camera's business


def test_speeds_and_take_off_places_are_taken_over():
    elsewhere = Step(22, (0.0, 0.0, 0.0, None), FRAME.to_geo(0, 50), Altitude(40.0, Datum.HOME))
    faster = Step(178, (1.0, 11.0, -1.0, 0.0))
    flight = fly_steps(Route("r", (elsewhere, faster, at(0, 300), RETURN)), FENCE, START)
    assert flight.plan.takeoff_height_m == 40.0
    assert [w.speed_m_s for w in flight.plan.waypoints] == [None, 11.0]
    above_sea = Step(22, altitude=Altitude(245.0, Datum.AMSL))
    assert fly_steps(Route("r", (above_sea, at(0, 9), RETURN)), FENCE, START).plan.takeoff_height_m == 45.0


def test_fences_keep_circles_on_the_safe_side_and_rally_points_are_checked():
    file = FlightFile(
        rings=(Ring(FENCE.inclusion[0], True), Ring(FENCE.exclusion[0], False)),
        circles=(Circle(FRAME.to_geo(0, 500), 100.0, False), Circle(HOME, 900.0, True)),
    )
    fence = fence_of(file)
    assert len(fence.inclusion) == len(fence.exclusion) == 2
    assert all(distance_m(FRAME.to_geo(0, 500), p) >= 100.0 for p in fence.exclusion[1])
    assert all(distance_m(HOME, p) <= 900.01 for p in fence.inclusion[1])
    plan = fly_steps(Route("r", (TAKEOFF, at(0, 100), RETURN)), fence, START).plan
    places = [(0, -100), (0, 500), (400, 0), (950, 0)]
    rally = [RallyPoint(FRAME.to_geo(*p), Altitude(50.0, Datum.HOME)) for p in places]
    assert [f.message[:13] for f in check_rally(rally, plan)] == ["rally point 2", "rally point 3", "rally point 4"]


@given(st.floats(-100.0, 100.0), st.floats(-30.0, 30.0))
@settings(max_examples=60, deadline=None)
def test_flights_side_by_side_breach_exactly_below_both_distances(across, high):
    """Two vehicles fly the same way at the same time, `across` and `high` apart: nothing else decides."""

    other = replace(
        START, vehicle_id="d2", home=FRAME.to_geo(across, 0.0), home_amsl_m=200.0 + high, return_height_m=70.0
    )
    first = fly(at(0, 400)).plan
    steps = (TAKEOFF, at(across, 400), RETURN)
    second = fly_steps(Route("r", steps), FENCE, other).plan
    found = check_separation([first, second], LIMITS)
    if abs(across) < MINIMA.lateral_m - 0.1 and abs(high) < MINIMA.vertical_m - 0.1:
        assert len(found) == 1
        assert "started together, come within" in found[0].finding.message
    elif abs(across) > MINIMA.lateral_m + 0.1 or abs(high) > MINIMA.vertical_m + 0.1:
        assert found == []


def test_one_vehicle_does_not_meet_itself():
    plan = fly(at(0, 400)).plan
    assert check_separation([plan, plan], LIMITS) == []

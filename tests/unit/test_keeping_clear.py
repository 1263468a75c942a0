# SPDX-License-Identifier: AGPL-3.0-or-later
"""A flight that is handed in beside others under way: who is warned, held against the judge of separation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dronectl.fleet.link import LandedState, VehicleState
from dronectl.fleet.sortie_types import Phase, Sortie
from dronectl.operations.keeping_clear import UnderWay, meetings_under_way
from missions.deconflict.segments import Minima
from missions.deconflict.trajectory import Phase as Part
from missions.deconflict.trajectory import common_frame, fly, places_m
from missions.judge_separation import judge_separation
from missions.separation import check_separation
from tests.unit.deconflict.deconflict_flights import LIMITS, flight_sets, plan

NORTH = plan("d1", (0.0, 0.0), [(0.0, 500.0)])
HEAD_ON = plan("d2", (0.0, 7.0), [(0.0, 520.0)], return_height_m=64.0)
ASIDE = plan("d3", (300.0, 0.0), [(300.0, 500.0)])


def flown_for(seconds: float, other) -> UnderWay:
    """What is known of a flight after so many seconds, as its motion has it."""
    frame = common_frame([other])
    motion = fly(other, LIMITS, places_m(other, frame))
    east, north, amsl_m = motion.at(seconds)
    place = frame.to_geo(east, north)
    part = motion.phase_at(seconds)
    piece = min(int((motion.time_s <= seconds).sum()) - 1, len(motion.item) - 1)
    reached = int(motion.item[piece])  # also while it stays there: autopilots say so when that is over
    phase = {Part.LAUNCH: Phase.TAKING_OFF, Part.RETURN: Phase.RETURNING, Part.LANDING: Phase.LANDING}
    height_m = amsl_m - other.home_amsl_m
    state = VehicleState(
        other.vehicle_id,
        landed=LandedState.IN_AIR if height_m > 0.5 else LandedState.ON_GROUND,
        latitude_deg=place.latitude_deg,
        longitude_deg=place.longitude_deg,
        height_above_home_m=height_m,
    )
    items = tuple(range(len(other.waypoints)))
    return UnderWay(
        other,
        Sortie("s", other.vehicle_id, items, phase.get(part, Phase.FLYING), state=state, reached_item=reached - 1),
    )


def test_who_is_met_is_named_with_the_start_that_keeps_clear():
    (met,) = meetings_under_way(NORTH, [flown_for(20.0, ASIDE), flown_for(40.0, HEAD_ON)], LIMITS)
    line = met.text
    assert line.startswith("d1 would come within 20 m across and 10 m in height of d2, which is under way: started ")
    later_s = float(line.split("started ")[1].split(" s")[0])
    assert later_s == round(met.later_s)
    assert judge_separation([NORTH, HEAD_ON], [40.0, 0.0], LIMITS)
    assert not judge_separation([NORTH, HEAD_ON], [40.0 + later_s, 0.0], LIMITS)


def test_a_flight_that_is_only_being_ordered_counts_from_its_pad():
    assert meetings_under_way(NORTH, [UnderWay(HEAD_ON, None)], LIMITS)[0].other_id == "d2"
    assert meetings_under_way(NORTH, [UnderWay(ASIDE, None)], LIMITS) == []


def test_the_drone_itself_does_not_count():
    assert meetings_under_way(NORTH, [UnderWay(replace(HEAD_ON, vehicle_id="d1"), None)], LIMITS) == []


@given(st.floats(6.0, 21.0))
def test_one_that_is_taking_off_climbs_straight_up_before_it_goes(seconds):
    """Aslant to its waypoint it would be home a quarter of a minute sooner, and not where the other meets it."""
    mine = plan(
        "d1", (-300.0, 0.0), [(0.0, 0.0), (0.0, 165.0), (0.0, -67.0), (48.0, 70.0)], height=40.0, holds=[0, 0, 15, 15]
    )
    other = plan("d2", (-300.0, 7.0), [(0.0, 0.0)], height=50.0, holds=[120.0])
    climbing = flown_for(seconds, other)
    assert climbing.sortie is not None
    assert climbing.sortie.phase is Phase.TAKING_OFF
    met = bool(meetings_under_way(mine, [climbing], LIMITS))
    # Within a second of the border either answer will do.
    if check_separation([mine, other], LIMITS, starts_s=[seconds - 1.0, 0.0]):
        assert met or not check_separation([mine, other], LIMITS, starts_s=[seconds + 1.0, 0.0])
    elif not check_separation([mine, other], LIMITS, starts_s=[seconds + 1.0, 0.0]):
        assert not met


@settings(max_examples=30)
@given(st.floats(0.0, 120.0))
def test_one_that_stays_at_a_waypoint_may_go_on_at_any_moment_of_it(stayed_s):
    """Nobody hears how long it has stayed. It crosses the other's way half a minute after it has gone on."""
    other = plan("d2", (0.0, 0.0), [(0.0, 300.0), (400.0, 300.0)], holds=[120.0, 0.0])
    crossing = plan("d1", (200.0, 0.0), [(200.0, 600.0)])
    frame = common_frame([other])
    motion = fly(other, LIMITS, places_m(other, frame))
    begin_s = float(motion.time_s[list(motion.phase).index(int(Part.STAY))])
    seconds = begin_s + stayed_s
    warned = meetings_under_way(crossing, [flown_for(seconds, other)], LIMITS)
    near = check_separation([crossing, other], LIMITS, starts_s=[seconds, 0.0])
    assert warned or not near
    if near:
        later_s = warned[0].later_s
        assert later_s is not None
        assert not check_separation([crossing, other], LIMITS, starts_s=[seconds + later_s, 0.0])


def test_a_long_stay_is_said_once_with_the_span_in_which_it_may_end():
    other = plan("d2", (0.0, 0.0), [(0.0, 300.0), (400.0, 300.0)], holds=[3600.0, 0.0])
    (met,) = meetings_under_way(plan("d1", (200.0, 0.0), [(200.0, 600.0)]), [flown_for(100.0, other)], LIMITS)
    assert met.stays_s == 3600.0
    assert ", which stays at a waypoint and may go on at any moment of the next 3600 s: started " in met.text
    held = flown_for(100.0, other)
    held = replace(held, sortie=replace(held.sortie, phase=Phase.PAUSED))
    (standing,) = meetings_under_way(plan("d1", (0.0, 250.0), [(0.0, 600.0)]), [held], LIMITS)
    assert standing.stands
    assert standing.stays_s is None
    (on_its_way,) = meetings_under_way(NORTH, [flown_for(40.0, HEAD_ON)], LIMITS)
    assert on_its_way.stays_s is None


@pytest.mark.parametrize("phase", [Phase.PAUSED, Phase.LOST_LINK])
def test_one_that_stands_in_the_way_is_waited_for(phase):
    there = flown_for(50.0, HEAD_ON)
    standing = replace(there, sortie=replace(there.sortie, phase=phase))
    (met,) = meetings_under_way(NORTH, [standing], LIMITS)
    assert met.text.endswith("of d2, which stands in the air: wait until it has moved on")


def test_one_on_its_way_home_flies_no_more_waypoints():
    far = plan("d2", (-300.0, 0.0), [(-300.0, 200.0), (0.0, 250.0)])
    there = flown_for(30.0, far)
    assert meetings_under_way(NORTH, [there], LIMITS)
    assert (
        meetings_under_way(NORTH, [replace(there, sortie=replace(there.sortie, phase=Phase.RETURNING))], LIMITS) == []
    )


@settings(deadline=None)
@given(flight_sets(least=2, most=2), st.floats(0.0, 1.0))
def test_without_a_warning_nobody_meets(flights, share):
    mine, other = flights[0].plan, flights[1].plan
    frame = common_frame([other])
    seconds = share * fly(other, LIMITS, places_m(other, frame)).duration_s
    under_way = flown_for(seconds, other)
    assume(under_way.sortie is not None and under_way.sortie.state.in_air)
    warned = meetings_under_way(mine, [under_way], LIMITS)
    # Within some seconds: a leg that is begun in its middle has a start of its own in the energy model.
    near = check_separation([mine, other], LIMITS, starts_s=[seconds, 0.0], minima=Minima(8.0, 4.0))
    assert warned or not near

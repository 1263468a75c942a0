# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sortie machine where vehicles and links do odd things: late effects, time-outs, adopted flights."""

from __future__ import annotations

from dataclasses import replace

from sortie_flight import Flight, airborne, new_sortie

from dronectl.fleet.link import FlightMode, LandedState
from dronectl.fleet.sortie import adopted, step
from dronectl.fleet.sortie_rules import refusal
from dronectl.fleet.sortie_types import (
    ActionEnded,
    ActionKind,
    Observed,
    Order,
    Ordered,
    Phase,
    Recognised,
    Tick,
)
from missions.model import OutcomeKind


def test_progress_of_an_earlier_flight_does_not_count():
    flight = Flight(reached=6)
    flight.pass_time()
    flight.order(Order.START)
    flight.pass_time(0.5)
    flight.landed = LandedState.IN_AIR
    flight.pass_time(5.0)
    assert flight.sortie.waypoints_reached == 0
    flight.reached = 2
    flight.pass_time()
    assert flight.sortie.waypoints_reached == 1


def test_a_take_off_that_the_vehicle_only_imagined_is_no_flight_as_planned():
    """PX4, armed and kept waiting for its start, may take noise for a take-off and the next moment for a landing."""
    flight = Flight(deaf=frozenset({ActionKind.START}))
    flight.pass_time()
    flight.order(Order.START)
    flight.pass_time(1.0)
    flight.landed = LandedState.IN_AIR
    flight.pass_time(0.5)
    flight.landed = LandedState.ON_GROUND
    flight.pass_time(0.5)
    flight.armed = False
    flight.pass_time(0.5)
    assert flight.sortie.phase is Phase.LANDED
    assert flight.sortie.outcome is not None
    assert flight.sortie.outcome.kind is OutcomeKind.FAILED
    assert "its start was not confirmed" in flight.sortie.outcome.note
    assert flight.count(ActionKind.ARM) == 1


def test_an_unknown_mission_aboard_is_observed_only():
    flight = Flight(sortie=replace(new_sortie(), phase=Phase.LOST_LINK, flown=True, known=False, may_arm=False))
    flight.armed, flight.landed, flight.mode = True, LandedState.IN_AIR, FlightMode.MISSION
    flight.pass_time(20.0)
    assert flight.sortie.phase is Phase.FLYING
    assert flight.log == []
    flight.order(Order.HOLD)
    flight.pass_time(1.0)
    assert refusal(flight.sortie, Order.RESUME) is not None
    flight.order(Order.RETURN)
    flight.fly_until(Phase.LANDED)
    assert flight.sortie.outcome is not None
    assert flight.sortie.outcome.kind is not OutcomeKind.COMPLETED


def test_a_resume_never_fights_a_failsafe():
    flight = airborne()
    flight.order(Order.HOLD)
    flight.pass_time(1.0)
    flight.deaf = frozenset({ActionKind.START})
    flight.order(Order.RESUME)
    flight.pass_time(1.0)
    flight.mode = FlightMode.RETURN  # the battery is low, say, just then
    asked = flight.count(ActionKind.START)
    flight.pass_time(60.0)
    assert flight.count(ActionKind.START) == asked
    assert flight.sortie.phase is Phase.RETURNING
    assert flight.sortie.failsafe is not None


def test_an_ordered_return_outlives_a_lost_link_and_a_hold_does_not():
    for order, kind, mode in (
        (Order.RETURN, ActionKind.RETURN, FlightMode.RETURN),
        (Order.HOLD, ActionKind.HOLD, FlightMode.MISSION),
    ):
        flight = airborne()
        flight.deaf = frozenset({kind})
        flight.order(order)
        flight.connected = False
        flight.pass_time(20.0)
        assert flight.sortie.phase is Phase.LOST_LINK
        flight.deaf, flight.connected = frozenset(), True
        flight.pass_time(2.0)
        assert flight.mode is mode


def test_an_abort_on_the_ground_that_was_not_obeyed_follows_it_into_the_air():
    flight = Flight(deaf=frozenset({ActionKind.DISARM, ActionKind.START}))
    flight.pass_time()
    flight.order(Order.START)
    flight.pass_time()
    flight.order(Order.ABORT)
    flight.pass_time(60.0)
    assert flight.sortie.request is None
    flight.mode, flight.landed = FlightMode.MISSION, LandedState.IN_AIR
    flight.pass_time(1.0)
    assert flight.mode is FlightMode.RETURN


def test_a_time_out_is_repeated_only_after_a_newer_state():
    flight = airborne()
    flight.sortie, actions = step(flight.sortie, Ordered(Order.HOLD, flight.now_s))
    hold = actions[-1]
    flight.sortie, _ = step(flight.sortie, ActionEnded(hold, "timeout", flight.now_s + 0.1))
    flight.sortie, actions = step(flight.sortie, Tick(flight.now_s + 3.0))
    assert actions == ()
    newer = replace(flight.state(), heard_monotonic_s=flight.now_s + 3.1)
    flight.sortie, actions = step(flight.sortie, Observed(newer, flight.now_s + 3.1))
    flight.sortie, actions = step(flight.sortie, Tick(flight.now_s + 3.2))
    assert [action.kind for action in actions] == [ActionKind.HOLD]


def test_a_call_that_lasts_is_not_repeated_meanwhile():
    flight = airborne()
    flight.sortie, actions = step(flight.sortie, Ordered(Order.HOLD, flight.now_s))
    for later_s in (6.0, 10.0, 15.0):
        newer = replace(flight.state(), heard_monotonic_s=flight.now_s + later_s)
        flight.sortie, _ = step(flight.sortie, Observed(newer, flight.now_s + later_s))
        flight.sortie, actions = step(flight.sortie, Tick(flight.now_s + later_s))
        assert actions == ()


def test_a_vehicle_that_is_not_armable_is_waited_for_and_then_given_up():
    patient = Flight(armable=False)
    patient.pass_time()
    patient.order(Order.START)
    patient.pass_time(10.0)
    assert patient.sortie.phase is Phase.ARMING
    assert patient.count(ActionKind.ARM) == 0
    patient.armable = True
    patient.fly_until(Phase.FLYING)
    never = Flight(armable=False)
    never.pass_time()
    never.order(Order.START)
    never.pass_time(60.0)
    assert never.sortie.phase is Phase.FAILED


def test_prepared_and_started_later():
    flight = Flight()
    flight.pass_time()
    flight.order(Order.PREPARE)
    flight.pass_time(10.0)
    assert flight.sortie.phase is Phase.READY
    assert flight.count(ActionKind.ARM) == 0
    flight.pass_time(300.0)
    flight.order(Order.START)
    assert flight.count(ActionKind.PREFLIGHT) == 2  # the first is old by now
    flight.fly_until(Phase.LANDED)


def test_a_vehicle_that_stays_on_the_ground_in_mission_mode_is_disarmed():
    flight = Flight()
    flight.pass_time()
    flight.order(Order.START)
    flight.pass_time(90.0)  # it never takes off
    assert flight.count(ActionKind.DISARM) == 1
    assert flight.sortie.phase is Phase.FAILED
    assert "leave the ground" in flight.sortie.note


def test_disarmed_aloft_is_given_up_after_a_while():
    flight = airborne()
    flight.armed = False
    flight.pass_time(20.0)
    assert not flight.sortie.ended
    flight.pass_time(20.0)
    assert flight.sortie.phase is Phase.FAILED
    assert flight.count(ActionKind.ARM) == 1


def test_only_a_silent_vehicle_can_be_abandoned():
    flight = airborne()
    assert refusal(flight.sortie, Order.ABANDON) is not None
    flight.connected = False
    flight.pass_time(10.0)
    assert refusal(flight.sortie, Order.ABANDON) is None
    before = len(flight.log)
    flight.feed(Ordered(Order.ABANDON, flight.now_s, "found in the lake"))
    assert flight.sortie.phase is Phase.FAILED
    assert flight.sortie.outcome.note.endswith("found in the lake")
    assert [action.kind for action in flight.log[before:]] == [ActionKind.CANCEL]


def test_a_vehicle_that_is_heard_is_not_abandoned_though_it_says_too_little_to_be_followed():
    flight = Flight(sortie=adopted(replace(new_sortie(), phase=Phase.FLYING, flown=True), 100.0))
    flight.feed(Observed(replace(flight.state(), armed=True, landed=LandedState.UNKNOWN), flight.now_s))
    assert flight.sortie.phase is Phase.LOST_LINK
    assert "heard" in refusal(flight.sortie, Order.ABANDON)


def test_an_adopted_flight_knows_what_was_reached_by_the_item_flown_to():
    flight = Flight(sortie=adopted(replace(new_sortie(), phase=Phase.FLYING, flown=True), 100.0))
    state = replace(flight.state(), armed=True, landed=LandedState.IN_AIR, mode=FlightMode.MISSION, mission_current=5)
    flight.feed(Observed(state, flight.now_s))
    assert flight.sortie.waypoints_reached == 0  # whose mission that is, is not known yet
    flight.feed(Recognised(known=True, note="", now_s=flight.now_s))
    assert flight.sortie.waypoints_reached == 2
    flight.feed(Observed(replace(state, mission_current=0), flight.now_s))
    assert flight.sortie.waypoints_reached == 2
    own = airborne()
    own.feed(Observed(replace(own.state(), mission_current=6), own.now_s))
    assert own.sortie.waypoints_reached < 3  # of its own flight it is told what is reached

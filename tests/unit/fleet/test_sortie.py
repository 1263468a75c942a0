# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sortie machine on a small vehicle model: flights as planned, orders, failsafes, lost links, aborts."""

from __future__ import annotations

import pytest
from sortie_flight import BLOCKER, Flight, airborne

from dronectl.fleet.link import FlightMode, LandedState
from dronectl.fleet.sortie_rules import refusal
from dronectl.fleet.sortie_types import (
    ActionKind,
    Observed,
    Order,
    Phase,
    Tick,
)
from missions.model import OutcomeKind


def test_a_flight_as_planned():
    flight = airborne()
    flight.fly_until(Phase.LANDED)
    assert flight.phases == [
        Phase.PLANNED,
        Phase.PREFLIGHT,
        Phase.UPLOADING,
        Phase.READY,
        Phase.ARMING,
        Phase.TAKING_OFF,
        Phase.FLYING,
        Phase.RETURNING,
        Phase.LANDING,
        Phase.LANDED,
    ]
    outcome = flight.sortie.outcome
    assert outcome is not None
    assert (outcome.kind, outcome.items_done, outcome.items_total) == (OutcomeKind.COMPLETED, 3, 3)
    assert flight.sortie.failsafe is None
    assert [flight.count(kind) for kind in (ActionKind.ARM, ActionKind.START)] == [1, 1]


def test_ok_is_not_done():
    flight = Flight(deaf=frozenset({ActionKind.START}))
    flight.pass_time()
    flight.order(Order.START)
    flight.pass_time(1.0)
    assert flight.sortie.phase is Phase.ARMING
    flight.pass_time(60.0)
    assert flight.count(ActionKind.START) > 1
    assert flight.sortie.phase is Phase.FAILED
    assert not flight.armed
    assert flight.sortie.outcome is not None
    assert flight.sortie.outcome.kind is OutcomeKind.FAILED


def test_auto_disarm_before_take_off_is_armed_again_on_the_ground_a_few_times():
    flight = Flight(deaf=frozenset({ActionKind.START}))
    flight.pass_time()
    flight.order(Order.START)
    for _ in range(20):
        flight.pass_time(1.0)
        flight.armed = False
        flight.pass_time(0.5)
    assert flight.sortie.phase is Phase.FAILED
    assert flight.count(ActionKind.ARM) == 3


def test_blockers_and_differing_read_backs_keep_it_on_the_ground():
    blocked = Flight(blockers=(BLOCKER,))
    blocked.order(Order.START)
    assert blocked.sortie.phase is Phase.FAILED
    assert blocked.sortie.findings == (BLOCKER,)
    differing = Flight(differences=("item 3: altitude 40 came back as 20",))
    differing.order(Order.START)
    assert differing.sortie.phase is Phase.FAILED
    assert differing.count(ActionKind.UPLOAD) == 3
    assert [finding.code for finding in differing.sortie.findings] == ["mission-read-back"]
    assert blocked.count(ActionKind.ARM) == differing.count(ActionKind.ARM) == 0


def test_hold_and_resume():
    flight = airborne()
    flight.order(Order.HOLD)
    flight.pass_time(1.0)
    assert flight.sortie.phase is Phase.PAUSED
    flight.pass_time(100.0)
    assert flight.count(ActionKind.START) == 1
    flight.order(Order.RESUME)
    flight.fly_until(Phase.LANDED)
    assert flight.sortie.outcome is not None
    assert flight.sortie.outcome.kind is OutcomeKind.COMPLETED


def test_an_order_is_repeated_until_the_state_shows_it():
    flight = airborne()
    flight.deaf = frozenset({ActionKind.RETURN})
    flight.order(Order.RETURN)
    flight.pass_time(12.0)
    assert flight.count(ActionKind.RETURN) >= 3
    flight.deaf = frozenset()
    flight.pass_time(6.0)
    assert flight.sortie.phase is Phase.RETURNING
    asked = flight.count(ActionKind.RETURN)
    flight.pass_time(60.0)
    assert flight.count(ActionKind.RETURN) == asked


def test_return_by_order_ends_partial():
    flight = airborne()
    while flight.sortie.waypoints_reached == 0:
        flight.fly()
    flight.order(Order.RETURN)
    flight.fly_until(Phase.LANDED)
    outcome = flight.sortie.outcome
    assert outcome is not None
    assert outcome.kind is OutcomeKind.PARTIAL
    assert 0 < outcome.items_done < outcome.items_total


@pytest.mark.parametrize("mode", [FlightMode.RETURN, FlightMode.LAND, FlightMode.HOLD])
def test_a_failsafe_is_named_and_nothing_resumes(mode):
    flight = airborne()
    flight.mode = mode
    flight.pass_time(300.0)
    assert flight.sortie.failsafe is not None
    assert str(mode) in flight.sortie.failsafe
    assert flight.count(ActionKind.START) == 1
    assert refusal(flight.sortie, Order.RESUME) is None
    flight.order(Order.RESUME)
    flight.pass_time(1.0)
    assert flight.sortie.phase is Phase.FLYING
    assert flight.sortie.failsafe is None


def test_lost_link_in_flight_and_back():
    flight = airborne()
    flight.connected = False
    flight.pass_time(20.0)
    assert flight.sortie.phase is Phase.LOST_LINK
    assert flight.sortie.lost_from is Phase.FLYING
    before = len(flight.log)
    flight.connected = True
    flight.pass_time(1.0)
    assert flight.sortie.phase is Phase.FLYING  # the vehicle went on by itself; nothing was asked
    assert len(flight.log) == before
    flight.fly_until(Phase.LANDED)


def test_a_hung_worker_that_still_says_connected_is_a_lost_link():
    flight = airborne()
    old = flight.state()
    flight.feed(Tick(flight.now_s + 4.0))
    assert flight.sortie.phase is Phase.FLYING
    flight.feed(Observed(old, flight.now_s + 10.0))
    assert flight.sortie.phase is Phase.LOST_LINK


def test_landed_while_the_link_was_lost():
    flight = airborne()
    flight.connected = False
    flight.pass_time(10.0)
    flight.connected, flight.armed, flight.landed, flight.mode = True, False, LandedState.ON_GROUND, FlightMode.RETURN
    flight.pass_time()
    assert flight.sortie.phase is Phase.LANDED


def test_return_ordered_in_the_dark_is_sent_when_the_link_is_back():
    flight = airborne()
    flight.connected = False
    flight.pass_time(10.0)
    flight.order(Order.ABORT)
    flight.pass_time(30.0)
    assert flight.sortie.phase is Phase.LOST_LINK
    flight.connected = True
    flight.pass_time(1.0)
    assert flight.sortie.phase is Phase.RETURNING


def test_sticks_mean_hands_off():
    flight = airborne()
    flight.mode = FlightMode.MANUAL
    before = len(flight.log)
    flight.pass_time(120.0)
    assert len(flight.log) == before
    assert refusal(flight.sortie, Order.RESUME) is not None
    flight.deaf = frozenset({ActionKind.RETURN})
    flight.order(Order.RETURN)
    flight.pass_time(60.0)
    assert flight.count(ActionKind.RETURN) == 1  # given once, never insisted on


def test_abort_while_arming_disarms_and_if_too_late_returns():
    flight = Flight(deaf=frozenset({ActionKind.START}))
    flight.pass_time()
    flight.order(Order.START)
    flight.pass_time()
    assert flight.armed
    flight.order(Order.ABORT)
    flight.pass_time(10.0)
    assert flight.sortie.phase is Phase.FAILED
    assert flight.sortie.outcome is not None
    assert flight.sortie.outcome.kind is OutcomeKind.ABORTED
    late = Flight(deaf=frozenset({ActionKind.DISARM}))
    late.pass_time()
    late.order(Order.START)
    late.pass_time()
    late.order(Order.ABORT)
    late.mode, late.landed = FlightMode.MISSION, LandedState.TAKING_OFF
    late.pass_time(1.0)
    assert late.mode is FlightMode.RETURN
    late.fly_until(Phase.LANDED)


def test_a_start_that_takes_effect_after_an_abort_is_undone():
    flight = airborne()
    flight.order(Order.ABORT)
    flight.pass_time(0.5)
    flight.mode = FlightMode.MISSION  # the call that was already under way
    flight.pass_time(0.5)
    assert flight.mode is FlightMode.RETURN

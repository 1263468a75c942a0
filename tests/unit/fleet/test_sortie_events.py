# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sortie machine after any sequence of events."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sortie_flight import BLOCKER, Flight, new_sortie

from dronectl.fleet.link import FlightMode, LandedState, VehicleState
from dronectl.fleet.sortie import step
from dronectl.fleet.sortie_rules import refusal
from dronectl.fleet.sortie_types import (
    Action,
    ActionEnded,
    ActionKind,
    MissionReadBack,
    Observed,
    Order,
    Ordered,
    Phase,
    PreflightEnded,
    Tick,
)
from dronectl.fleet.state import ENDING, alive
from missions.model import OutcomeKind

MODES = st.sampled_from(list(FlightMode))
WIRE = st.one_of(
    st.tuples(
        st.just("state"),
        st.booleans() | st.just(True),
        MODES,
        st.sampled_from([None, True, False]),
        st.sampled_from(list(LandedState)),
        st.sampled_from([None, 0, 2, 5, 6]),
        st.booleans() | st.just(True),
        st.sampled_from([0.0, 0.0, 0.0, 8.0]),
    ),
    st.tuples(st.just("order"), st.sampled_from([*Order, Order.START, Order.START])),
    st.tuples(st.just("tick"), st.sampled_from([0.1, 1.0, 6.0, 40.0])),
    st.tuples(st.just("ended"), st.sampled_from([None, "denied", "timeout"])),
    st.tuples(st.just("preflight"), st.sampled_from([0, 0, 0, 1])),
    st.tuples(st.just("read-back"), st.sampled_from([0, 0, 0, 1])),
    st.tuples(st.just("obey"), st.none()),
)
WELL = [("state", True, FlightMode.HOLD, False, LandedState.ON_GROUND, None, True, 0.0), ("order", Order.START)]
WELL += [("preflight", 0), ("read-back", 0)]


class Watched:
    """Feeds events and checks every step."""

    def __init__(self):
        self.sortie = new_sortie()
        self.now_s = 100.0
        self.pending: list[Action] = []
        self.start_allowed = False
        self.aborted = False

    def feed(self, event):
        before = self.sortie
        self.sortie, actions = step(before, event)
        after = self.sortie
        if isinstance(event, Ordered) and refusal(before, event.order) is None:
            self.aborted = self.aborted or event.order is Order.ABORT
            if event.order in (Order.START, Order.RESUME):
                self.start_allowed = True
            elif event.order is not Order.PREPARE:
                self.start_allowed = False
            if event.order is Order.ABORT:
                self.check_abort(before, after, actions)
        if before.ended:
            assert after == before
            assert not actions
        for action in actions:
            self.check_action(before, after, action)
            self.pending.append(action)
        assert (after.outcome is not None) == after.ended
        assert after.phase is not Phase.LANDED or after.flown
        if after.outcome is not None and after.outcome.kind is not OutcomeKind.COMPLETED:
            assert "as planned" not in after.outcome.note
        self.forbid_after_trouble()

    def forbid_after_trouble(self):
        """Link loss, sticks and failsafes take back a person's leave to go on."""
        sortie = self.sortie
        if sortie.phase is Phase.LOST_LINK or sortie.failsafe is not None or sortie.hands_off:
            self.start_allowed = False

    def check_abort(self, before, after, actions):
        kinds = {action.kind for action in actions}
        assert ActionKind.CANCEL in kinds
        coming_down = before.state is not None and before.state.mode in ENDING and alive(before.state, self.now_s)
        assert after.ended or kinds & {ActionKind.RETURN, ActionKind.DISARM} or coming_down

    def check_action(self, before, after, action):
        state = after.state
        if action.kind is ActionKind.ARM:
            assert state is not None
            assert state.in_air is False
            assert state.armed is False
            assert alive(state, self.now_s)
            assert not before.flown
            assert after.may_arm
        if action.kind is ActionKind.DISARM:
            assert not before.flown
        if action.kind in (ActionKind.ARM, ActionKind.START, ActionKind.UPLOAD, ActionKind.PREFLIGHT):
            assert not self.aborted
        if action.kind in (ActionKind.ARM, ActionKind.START):
            assert self.start_allowed, "nothing resumes by itself"
            assert not after.hands_off


def play(script):
    watched = Watched()
    for kind, *values in script:
        watched.now_s += 0.1
        match kind:
            case "state":
                connected, mode, armed, landed, reached, armable, age_s = values
                state = VehicleState(
                    "d1",
                    connected=connected,
                    heard_monotonic_s=watched.now_s - age_s,
                    vehicle_time_s=watched.now_s,
                    mode=mode,
                    armed=armed,
                    landed=landed,
                    mission_reached=reached,
                    armable=armable,
                )
                watched.feed(Observed(state, watched.now_s))
            case "obey":
                obey(watched)
            case "order":
                watched.feed(Ordered(values[0], watched.now_s))
            case "tick":
                watched.now_s += values[0]
                watched.feed(Tick(watched.now_s))
            case "ended" if watched.pending:
                watched.feed(ActionEnded(watched.pending[-1], values[0], watched.now_s))
            case "preflight" if watched.pending:
                found = (BLOCKER,) * values[0]
                watched.feed(PreflightEnded(watched.pending[-1], found, found, watched.now_s))
            case "read-back" if watched.pending:
                watched.feed(MissionReadBack(watched.pending[-1], ("differs",) * values[0], watched.now_s))
    return watched


def obey(watched):
    """The vehicle does the last thing that was asked of it, so that random scripts get into the air at all."""
    state, request = watched.sortie.state, watched.sortie.request
    if state is None or request is None:
        return
    kind = request.action.kind
    changes = {
        ActionKind.ARM: {"armed": True},
        ActionKind.START: {"mode": FlightMode.MISSION, "armed": True, "landed": LandedState.IN_AIR},
        ActionKind.HOLD: {"mode": FlightMode.HOLD},
        ActionKind.RETURN: {"mode": FlightMode.RETURN},
        ActionKind.LAND: {"mode": FlightMode.LAND},
        ActionKind.DISARM: {"armed": False, "landed": LandedState.ON_GROUND},
    }[kind]
    obeyed = replace(state, connected=True, heard_monotonic_s=watched.now_s, **changes)
    watched.feed(Observed(obeyed, watched.now_s))


IN_AIR = [("tick", 0.1), ("obey", None), ("obey", None)]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WIRE, max_size=40), st.sampled_from([0, len(WELL), len(WELL) + len(IN_AIR)]))
def test_what_holds_after_any_events(script, head):
    play([*(WELL + IN_AIR)[:head], *script])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WIRE, max_size=25), st.sampled_from([0, len(WELL), len(WELL) + len(IN_AIR)]))
def test_after_an_abort_an_obeying_vehicle_always_ends_on_the_ground(script, head):
    watched = play([*(WELL + IN_AIR)[:head], *script])
    flight = Flight(sortie=watched.sortie, now_s=watched.now_s, heard_s=watched.now_s)
    state = watched.sortie.state
    if state is not None:
        flight.mode, flight.armed, flight.reached = state.mode, state.armed is True, None
        flight.landed = LandedState.IN_AIR if state.armed else LandedState.ON_GROUND
    flight.order(Order.ABORT)
    for _ in range(400):
        if flight.sortie.ended:
            break
        if flight.mode in (FlightMode.MANUAL, FlightMode.OFFBOARD):
            flight.mode = FlightMode.LAND  # the person at the sticks lands it
        flight.fly()
    assert flight.sortie.ended
    assert flight.sortie.outcome is not None


def test_the_random_scripts_reach_every_phase():
    """A guard on the guard: the well-formed head really flies, so the properties above are not vacuous."""
    assert play(WELL).sortie.phase is Phase.READY
    assert play([*WELL, ("tick", 0.1)]).sortie.phase is Phase.ARMING
    assert play(WELL + IN_AIR).sortie.phase is Phase.FLYING

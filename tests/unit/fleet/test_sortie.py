# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sortie machine: flight cards on a small vehicle model, and what must hold after any sequence of events."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dronectl.fleet.link import FlightMode, LandedState, VehicleState
from dronectl.fleet.sortie import adopted, step
from dronectl.fleet.sortie_rules import ENDING, refusal
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
    Recognised,
    Sortie,
    Tick,
)
from dronectl.fleet.state import alive
from missions.model import Finding, OutcomeKind, Severity

REACHES = (None, None, 0, 1, None, 2, None)  # take-off, speed, two waypoints, gimbal, a waypoint, return
LAST_WAYPOINT_ITEM = 5
BLOCKER = Finding("no-home", Severity.BLOCKER, "no home")


def new_sortie() -> Sortie:
    return Sortie("s1", "d1", REACHES)


@dataclass
class Flight:
    """A sortie and a vehicle that obeys, in steps of 0.25 s; the tests bend what it does."""

    sortie: Sortie = field(default_factory=new_sortie)
    now_s: float = 100.0
    mode: FlightMode = FlightMode.HOLD
    armed: bool = False
    landed: LandedState = LandedState.ON_GROUND
    connected: bool = True
    reached: int | None = None
    armable: bool = True
    deaf: frozenset[ActionKind] = frozenset()  # asked, answered OK, nothing happens
    blockers: tuple[Finding, ...] = ()
    differences: tuple[str, ...] = ()
    heard_s: float = 100.0
    log: list[Action] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    def state(self) -> VehicleState:
        return VehicleState(
            "d1",
            connected=self.connected,
            heard_monotonic_s=self.heard_s,
            vehicle_time_s=self.now_s - 50.0,
            mode=self.mode,
            armed=self.armed,
            landed=self.landed,
            armable=self.armable,
            mission_reached=self.reached,
            mission_total=len(REACHES),
        )

    def feed(self, event):
        if not self.phases:
            self.phases.append(self.sortie.phase)
        self.sortie, actions = step(self.sortie, event)
        if self.phases[-1] is not self.sortie.phase:
            self.phases.append(self.sortie.phase)
        for action in actions:
            self.log.append(action)
            self.perform(action)

    def order(self, order: Order):
        self.feed(Ordered(order, self.now_s))

    def perform(self, action: Action):
        kind = action.kind
        if kind is ActionKind.PREFLIGHT:
            self.feed(PreflightEnded(action, self.blockers, self.blockers, self.now_s))
            return
        if kind is ActionKind.UPLOAD:
            self.feed(MissionReadBack(action, self.differences, self.now_s))
            return
        if kind not in self.deaf and self.connected:
            if kind is ActionKind.ARM:
                assert self.landed is LandedState.ON_GROUND
                self.armed = True
            elif kind is ActionKind.DISARM and self.landed is LandedState.ON_GROUND:
                self.armed = False
            elif kind is ActionKind.START and self.armed:
                self.mode = FlightMode.MISSION
            elif kind is ActionKind.HOLD:
                self.mode = FlightMode.HOLD
            elif kind is ActionKind.RETURN:
                self.mode = FlightMode.RETURN
            elif kind is ActionKind.LAND:
                self.mode = FlightMode.LAND
        self.feed(ActionEnded(action, None, self.now_s))

    def pass_time(self, seconds: float = 0.25):
        for _ in range(max(1, round(seconds / 0.25))):
            self.now_s += 0.25
            if self.connected:
                self.heard_s = self.now_s
            self.feed(Observed(self.state(), self.now_s))
            self.feed(Tick(self.now_s))

    def fly(self):
        """Leave the ground if the mission runs, then reach one item more; come down when returning or landing."""
        if self.armed and self.mode is FlightMode.MISSION:
            if self.landed is LandedState.ON_GROUND:
                self.landed = LandedState.TAKING_OFF
            else:
                self.landed = LandedState.IN_AIR
                self.reached = 0 if self.reached is None else self.reached + 1
                if self.reached >= LAST_WAYPOINT_ITEM:
                    self.mode = FlightMode.RETURN
        elif self.armed and self.mode in ENDING:
            if self.landed is LandedState.LANDING:
                self.landed, self.armed = LandedState.ON_GROUND, False
            else:
                self.landed = LandedState.LANDING
        self.pass_time()

    def fly_until(self, phase: Phase, most: int = 60):
        for _ in range(most):
            if self.sortie.phase is phase:
                return
            self.fly()
        raise AssertionError(f"still {self.sortie.phase}, not {phase}: {self.sortie}")

    def count(self, kind: ActionKind) -> int:
        return sum(1 for action in self.log if action.kind is kind)


def airborne() -> Flight:
    flight = Flight()
    flight.pass_time()
    flight.order(Order.START)
    flight.fly_until(Phase.FLYING)
    flight.fly()
    assert flight.sortie.phase is Phase.FLYING
    return flight


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
    flight.order(Order.ABANDON)
    assert flight.sortie.phase is Phase.FAILED


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


# --- any sequence of events ------------------------------------------------------------------------------------------

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

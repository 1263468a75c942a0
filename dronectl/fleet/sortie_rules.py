# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sortie machine's pure rules: what may be asked, what confirms it, which phase a state shows, how it ended.

`sortie.py` holds the transitions and calls these; nothing here emits an action.
"""

from __future__ import annotations

from dataclasses import replace

from dronectl.fleet.link import FlightMode, LandedState, VehicleState
from dronectl.fleet.sortie_types import BEFORE_ARMING, ActionKind, Order, Phase, Request, Sortie
from dronectl.fleet.state import ENDING, STICKS, alive, must_stand, on_ground_disarmed
from missions.model import Outcome, OutcomeKind

MODE_OF = {
    ActionKind.START: FlightMode.MISSION,
    ActionKind.HOLD: FlightMode.HOLD,
    ActionKind.RETURN: FlightMode.RETURN,
    ActionKind.LAND: FlightMode.LAND,
}
MISSION = (FlightMode.MISSION, FlightMode.TAKEOFF)


def refusal(sortie: Sortie, order: Order) -> str | None:
    """Why an order cannot be taken now; None if it can. Abort can always be taken until the sortie has ended."""
    phase, state = sortie.phase, sortie.state
    if sortie.ended:
        return "the sortie has ended"
    if order is Order.ABORT:
        return None
    if order is Order.ABANDON:
        if state is not None and state.connected:
            return "the vehicle is heard: hold, return or land it instead"
        return None if phase is Phase.LOST_LINK else "only a sortie whose link is lost can be abandoned"
    if order in (Order.PREPARE, Order.START):
        if phase not in BEFORE_ARMING:
            return "the sortie is already under way"
        if order is Order.PREPARE and phase is not Phase.PLANNED:
            return "the sortie is already being prepared"
        return None if sortie.may_arm else "this sortie was adopted and never arms"
    if phase is Phase.LOST_LINK and order in (Order.HOLD, Order.RESUME):
        return "there is no link to the vehicle"
    if order is not Order.RESUME:
        return None
    if sortie.aborted:
        return "the sortie was aborted"
    if sortie.hands_off:
        return "a person holds the sticks"
    if not sortie.known:
        return "the mission aboard is not known to be this sortie's"
    if phase not in (Phase.PAUSED, Phase.RETURNING, Phase.LANDING):
        return "there is nothing to resume"
    if state is None or state.in_air is not True or state.armed is not True:
        return "the vehicle is not known to be in the air"
    if sortie.waypoints_reached >= sortie.waypoints_total:
        return "every waypoint has been reached"
    return None


def may_arm_now(sortie: Sortie, now_s: float) -> bool:
    """Only a vehicle heard just now, disarmed, on the ground, armable, that has not flown in this sortie."""
    state = sortie.state
    return (
        sortie.may_arm
        and sortie.known
        and not sortie.aborted
        and not sortie.flown
        and state is not None
        and alive(state, now_s)
        and on_ground_disarmed(state)
        and state.armable
    )


def may_start_now(sortie: Sortie, now_s: float) -> bool:
    """Mission mode may be asked of an armed vehicle that carries this sortie's mission."""
    state = sortie.state
    return (
        sortie.known
        and not sortie.aborted
        and not sortie.hands_off
        and state is not None
        and alive(state, now_s)
        and state.armed is True
    )


def confirmed(request: Request, state: VehicleState) -> bool:
    """Whether the vehicle's state shows what was asked for."""
    kind = request.action.kind
    if kind is ActionKind.ARM:
        return state.armed is True
    if kind is ActionKind.DISARM:
        return state.armed is False
    if kind is ActionKind.START:
        # After an earlier landing the mode may still read MISSION: only a state newer than the request counts.
        newer = state.heard_monotonic_s is not None and state.heard_monotonic_s > request.issued_s
        return newer and state.mode in MISSION and state.armed is True
    if kind in (ActionKind.RETURN, ActionKind.LAND) and on_ground_disarmed(state):
        return True
    return state.mode is MODE_OF.get(kind)


def gone_elsewhere(request: Request, state: VehicleState) -> bool:
    """Whether the vehicle, since the request, took a mode that is not the wanted one and must not be overruled."""
    kind, mode = request.action.kind, state.mode
    if mode is request.mode_at_issue:
        return False
    if kind is ActionKind.DISARM:
        return mode in STICKS
    if mode is FlightMode.HOLD and kind is ActionKind.START and state.in_air is True:
        return True
    return must_stand(mode, MODE_OF.get(kind))


def takes_the_sticks(sortie: Sortie, state: VehicleState) -> bool:
    """A manual mode that this sortie did not find already when it asked for something."""
    if state.mode not in STICKS:
        return False
    return sortie.hands_off or sortie.request is None or sortie.request.mode_at_issue is not state.mode


def phase_shown(sortie: Sortie, state: VehicleState) -> Phase:
    """The phase of an armed vehicle whose land detector speaks."""
    if not state.in_air:
        if sortie.flown:
            return Phase.LANDING
        return Phase.TAKING_OFF if state.mode in MISSION else Phase.ARMING
    if state.mode in MISSION:
        climbing = state.mission_current == 0 and sortie.reached_item is None and sortie.known  # item 0 is the take-off
        return Phase.TAKING_OFF if climbing or state.landed is LandedState.TAKING_OFF else Phase.FLYING
    if state.mode is FlightMode.LAND or state.landed is LandedState.LANDING:
        return Phase.LANDING
    if state.mode is FlightMode.RETURN:
        return Phase.RETURNING
    if state.mode is FlightMode.UNKNOWN and sortie.phase is not Phase.LOST_LINK:
        return sortie.phase
    return Phase.PAUSED


def with_progress(sortie: Sortie, state: VehicleState) -> Sortie:
    """Raise the highest item reached; what an earlier flight left behind does not count until it has changed.

    In an adopted flight what was reached before is not told again, but the item being flown to is: missions are flown
    in order, so that everything before it has been reached.
    """
    reached, total = state.mission_reached, len(sortie.waypoint_of_item)
    if not sortie.may_arm and state.mission_current:
        reached = max(state.mission_current - 1, -1 if reached is None else reached)
    if reached is None or not sortie.flown or not sortie.known or state.mission_total not in (None, total):
        return sortie
    if sortie.stale_reached is not None:
        if reached == sortie.stale_reached:
            return sortie
        sortie = replace(sortie, stale_reached=None)
    if sortie.reached_item is None or reached > sortie.reached_item:
        return replace(sortie, reached_item=reached)
    return sortie


def with_failsafe(sortie: Sortie, state: VehicleState) -> Sortie:
    """Name what the vehicle did by itself. The end of the mission (return, then land) is no failsafe."""
    mode = state.mode
    if mode is sortie.intent and sortie.failsafe is None:  # nearly always: no need to count waypoints
        return sortie
    done = sortie.waypoints_reached >= sortie.waypoints_total
    mission_over = done and mode in ENDING and sortie.intent is FlightMode.MISSION
    expected = (
        mode is sortie.intent
        or mode not in (FlightMode.HOLD, *ENDING)
        or mission_over
        or (mode is FlightMode.LAND and sortie.intent is FlightMode.RETURN)
        or not sortie.known
    )
    if not expected and sortie.failsafe is None:
        text = f" ({state.last_text})" if state.last_text else ""
        words = f"the vehicle went to {mode} without an order{text}"
        return replace(sortie, failsafe=words, autopilot_said=state.last_text or None)
    if sortie.failsafe is not None and mission_over:
        return replace(sortie, failsafe=None)  # the last progress came in after the mode
    return sortie


def outcome_of(sortie: Sortie, note: str) -> Outcome:
    """How the flight ended, by the waypoints that were reached."""
    total, reached = sortie.waypoints_total, sortie.waypoints_reached
    if sortie.flown and reached >= total:
        kind = OutcomeKind.COMPLETED
    elif sortie.aborted:
        kind = OutcomeKind.ABORTED
    elif sortie.flown and reached > 0:
        kind = OutcomeKind.PARTIAL
    else:
        kind = OutcomeKind.FAILED
    return Outcome(kind, note or "flown as planned", reached, total)


def _unexplained(sortie: Sortie) -> str:
    """On the ground before its last waypoint: neither an order nor a mode says why."""
    request = sortie.request
    if request is None or request.action.kind is not ActionKind.START:
        return "on the ground before its last waypoint, and nothing says why"
    why = f" ({request.failure})" if request.failure else ""
    return f"it was in the air for a moment only: its start was not confirmed{why}"


def landing_note(sortie: Sortie) -> str:
    """Why the flight was not simply flown as planned; empty if it was."""
    reasons = [sortie.failsafe] if sortie.failsafe else []
    if sortie.aborted:
        reasons.append("aborted by order")
    elif sortie.waypoints_reached < sortie.waypoints_total:
        if sortie.intent in ENDING:
            reasons.append(f"ended early by order: {sortie.intent}")
        elif not reasons:
            reasons.append(_unexplained(sortie))
    if not sortie.may_arm:
        reasons.append("the service was restarted during the flight")
    if not sortie.known:
        reasons.append("observed only: the mission aboard was not recognised as this sortie's")
    return "; ".join(reasons)

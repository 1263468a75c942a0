# SPDX-License-Identifier: AGPL-3.0-or-later
r"""The pure state machine of one flight: `step(sortie, event) -> (sortie, actions)`.

    planned -> preflight -> uploading -> ready -> arming -> taking_off -> flying -> returning -> landing -> landed
       \-----------\------------\----------\---------\-> failed (never flew)  <-> paused
    armed phases <-> lost_link

Before arming the machine leads: each step waits for a read-back. From arming on the vehicle leads: the phase follows
its mode, armed and landed state, whatever any call returned. Every wish (a `Request`) lasts until the state shows it;
it is repeated a few times, each time only after a state newer than the last try. What keeps people safe:

- ARM is asked only of a vehicle heard just now, disarmed, on the ground, that has not flown in this sortie.
- START has two sources: the launch chain after ARM, and a person's RESUME. Link loss, a failsafe or a person's hands
  on the sticks drop the request, so nothing goes on by itself.
- An abort drops every ordinary action, and its wish to return outlives a lost link.
"""

from __future__ import annotations

from dataclasses import replace

from dronectl.fleet.link import FlightMode, VehicleState
from dronectl.fleet.sortie_launch import (
    Step,
    act,
    action_ended,
    ask,
    end,
    enter,
    launch,
    preflight_ended,
    prepare,
    read_back,
)
from dronectl.fleet.sortie_rules import (
    MISSION,
    MODE_OF,
    confirmed,
    gone_elsewhere,
    landing_note,
    may_arm_now,
    may_start_now,
    phase_shown,
    refusal,
    takes_the_sticks,
    with_failsafe,
    with_progress,
)
from dronectl.fleet.sortie_types import (
    BEFORE_ARMING,
    ActionEnded,
    ActionKind,
    Event,
    MissionReadBack,
    Observed,
    Order,
    Ordered,
    Phase,
    PreflightEnded,
    Recognised,
    Request,
    Sortie,
    Tick,
)
from dronectl.fleet.state import ENDING, alive, on_ground_disarmed

CALL_LASTS_S = 16.0  # longer than any of the link's calls that a request can stand for
MAX_ATTEMPTS = 4
MAX_SAFE_ATTEMPTS = 10  # of hold, return and land
MAX_LAUNCHES = 3  # armings of one sortie that a disarming before take-off may use up
SETTLE_S = 10.0  # within it an order is repeated if a call that was already under way undid it
GROUND_LINK_LOSS_S = 10.0
READY_STALE_S = 120.0  # an older preflight is done again before arming
TAKE_OFF_VEHICLE_S = 60.0
DISARMED_ALOFT_S = 30.0
ARM_WAIT_S = 30.0  # for a vehicle that is not armable just now

_SAFE = (ActionKind.HOLD, ActionKind.RETURN, ActionKind.LAND)
_ORDERED_ACTION = {
    Order.HOLD: ActionKind.HOLD,
    Order.RESUME: ActionKind.START,
    Order.RETURN: ActionKind.RETURN,
    Order.LAND: ActionKind.LAND,
    Order.ABORT: ActionKind.RETURN,
}


def step(sortie: Sortie, event: Event) -> Step:
    """The sortie after one event, and what is to be done now. An ended sortie never changes."""
    if sortie.ended:
        return sortie, ()
    match event:
        case Observed(state, now_s):
            return _observed(sortie, state, now_s)
        case Tick(now_s):
            return _ticked(sortie, now_s)
        case Ordered(order, now_s, reason):
            return (sortie, ()) if refusal(sortie, order) else _ordered(sortie, order, now_s, reason)
        case ActionEnded(action, failure, now_s):
            return action_ended(sortie, action, failure, now_s)
        case PreflightEnded(action, findings, blockers, now_s):
            return preflight_ended(replace(sortie, findings=findings), action, bool(blockers), now_s)
        case MissionReadBack(action, differences, now_s):
            return read_back(sortie, action, differences, now_s)
        case Recognised(known, note, _):
            sortie = replace(sortie, known=known, note=note)
            return (sortie if sortie.state is None else with_progress(sortie, sortie.state)), ()


def adopted(sortie: Sortie, now_s: float) -> Sortie:
    """A sortie that the journal left open, after a restart. It is observed and obeys orders; it never arms.

    `sortie` comes with the journal's phase. One that had not begun to arm is closed: nothing of it can be in the air.
    """
    if sortie.phase in BEFORE_ARMING:
        return end(sortie, Phase.FAILED, "the service ended before take-off", now_s)[0]
    lost = replace(sortie, lost_from=sortie.phase, may_arm=False, known=False, note="adopted after a restart")
    return enter(lost, Phase.LOST_LINK, now_s)


# --- requests


def _repeat_or_give_up(sortie: Sortie, request: Request, state: VehicleState, now_s: float) -> Step:
    """A request is due, and nothing in the state shows it yet."""
    if not request.returned and now_s - request.issued_s < CALL_LASTS_S:
        return sortie, ()  # the call itself is still under way
    if state.heard_monotonic_s is None or state.heard_monotonic_s <= request.issued_s:
        return sortie, ()  # look again first: a time-out does not mean that it was not done
    kind = request.action.kind
    if request.attempts < (MAX_SAFE_ATTEMPTS if kind in _SAFE else MAX_ATTEMPTS) and not request.last:
        if kind is ActionKind.ARM and not may_arm_now(sortie, now_s):
            if now_s - sortie.since_s < ARM_WAIT_S:
                return sortie, ()
        elif kind is not ActionKind.START or may_start_now(sortie, now_s):
            return ask(sortie, kind, now_s, attempts=request.attempts + 1)
    why = f"{kind} was not confirmed by the vehicle's state" + (f" ({request.failure})" if request.failure else "")
    sortie = replace(sortie, request=None, note=why)
    if kind is ActionKind.ARM:
        return end(sortie, Phase.FAILED, why, now_s)
    if kind is ActionKind.START and not sortie.flown and state.in_air is False:
        return ask(sortie, ActionKind.DISARM, now_s)
    return sortie, ()


# --- orders


def _ordered(sortie: Sortie, order: Order, now_s: float, reason: str) -> Step:
    if order is Order.ABANDON:
        why = f": {reason}" if reason else ""
        return end(sortie, Phase.FAILED, f"given up, the vehicle was not heard of again{why}", now_s)
    if order in (Order.PREPARE, Order.START):
        sortie = replace(sortie, start_wanted=order is Order.START)
        stale = sortie.phase is Phase.READY and now_s - sortie.since_s > READY_STALE_S
        if sortie.phase is Phase.PLANNED or stale:
            return prepare(sortie, now_s)
        return sortie, ()
    if sortie.phase in BEFORE_ARMING:  # hold, return and land mean the same there: do not go
        return end(replace(sortie, aborted=True), Phase.FAILED, f"{order} ordered before take-off", now_s)
    sortie = replace(sortie, failsafe=None, ordered_s=now_s, aborted=sortie.aborted or order is Order.ABORT)
    sortie, cancel = act(replace(sortie, request=None), ActionKind.CANCEL)
    state = sortie.state
    on_ground = state is not None and state.in_air is False
    if not sortie.flown and (sortie.phase is Phase.ARMING or (sortie.phase is Phase.TAKING_OFF and on_ground)):
        sortie, wishes = ask(replace(sortie, aborted=True), ActionKind.DISARM, now_s)
        return sortie, (cancel, *wishes)
    if order is Order.ABORT and state is not None and state.mode in ENDING and alive(state, now_s):
        return replace(sortie, intent=state.mode), (cancel,)  # it is coming down already
    sortie, wishes = ask(sortie, _ORDERED_ACTION[order], now_s, last=sortie.hands_off)
    return sortie, (cancel, *wishes)


# --- what the vehicle shows


def _observed(sortie: Sortie, state: VehicleState, now_s: float) -> Step:
    if not alive(state, now_s):
        return _not_alive(replace(sortie, state=state), now_s)
    sortie = replace(sortie, state=state, alive_s=now_s)
    if sortie.phase is Phase.PLANNED:
        return sortie, ()
    if sortie.phase in BEFORE_ARMING:
        if state.armed is True or state.in_air is True:
            return end(sortie, Phase.FAILED, "the vehicle is armed, but not by this sortie", now_s)
        return launch(sortie, now_s) if sortie.phase is Phase.READY and sortie.start_wanted else (sortie, ())
    return _follow(sortie, state, now_s)


def _not_alive(sortie: Sortie, now_s: float) -> Step:
    if sortie.phase in BEFORE_ARMING:
        if sortie.phase is Phase.PLANNED or sortie.alive_s is None or now_s - sortie.alive_s <= GROUND_LINK_LOSS_S:
            return sortie, ()
        return end(sortie, Phase.FAILED, "the link was lost before take-off", now_s)
    if sortie.phase is Phase.LOST_LINK:
        return sortie, ()
    request = sortie.request
    keep = request is not None and request.action.kind in (ActionKind.RETURN, ActionKind.LAND, ActionKind.DISARM)
    lost = replace(sortie, lost_from=sortie.phase, request=request if keep else None, start_wanted=False)
    lost, cancel = act(enter(lost, Phase.LOST_LINK, now_s), ActionKind.CANCEL)
    return lost, (cancel,)


def _follow(sortie: Sortie, state: VehicleState, now_s: float) -> Step:
    """Armed, or meant to be: the phase is what the vehicle shows."""
    if state.armed is True and state.in_air is True and not sortie.flown:
        sortie = replace(sortie, flown=True)
    sortie = with_progress(sortie, state)
    if state.armed is None or state.in_air is None:
        return sortie, ()
    if state.armed is False:
        return _disarmed(sortie, state, now_s)
    if sortie.disarmed_s is not None:
        sortie = replace(sortie, disarmed_s=None)
    if takes_the_sticks(sortie, state) and not sortie.hands_off:
        sortie = replace(sortie, hands_off=True, request=None, note="a person holds the sticks: observed only")
    elif sortie.hands_off and not takes_the_sticks(sortie, state):
        sortie = replace(sortie, hands_off=False, note="")
    sortie = enter(sortie, phase_shown(sortie, state), now_s)
    sortie, actions = _settle(sortie, state, now_s)
    if sortie.request is None and state.in_air:
        sortie = with_failsafe(sortie, state)
    return sortie, actions


def _settle(sortie: Sortie, state: VehicleState, now_s: float) -> Step:
    """Close the open request if the state shows it, drop it if the vehicle went elsewhere."""
    request = sortie.request
    if request is None:
        return _see_through(sortie, state, now_s)
    kind = request.action.kind
    if kind is ActionKind.DISARM and state.in_air:  # too late to stop on the ground: bring it back
        return ask(sortie, ActionKind.RETURN, now_s, last=sortie.hands_off)
    if confirmed(request, state):
        sortie = replace(sortie, request=None, note="")
        if kind is ActionKind.ARM and not sortie.flown and may_start_now(sortie, now_s):
            return ask(sortie, ActionKind.START, now_s)
        return sortie, ()
    if gone_elsewhere(request, state):
        return replace(sortie, request=None, note=f"the vehicle went to {state.mode} instead of {kind}"), ()
    return sortie, ()


def _see_through(sortie: Sortie, state: VehicleState, now_s: float) -> Step:
    """A call that was under way when an order came may undo it a moment later: order it again, for a short while."""
    if sortie.hands_off or state.in_air is not True or state.mode not in MISSION:
        return sortie, ()
    if sortie.aborted and sortie.intent not in ENDING:
        return ask(sortie, ActionKind.RETURN, now_s)  # an abort on the ground that came too late
    if sortie.intent in (FlightMode.HOLD, *ENDING) and now_s - sortie.ordered_s <= SETTLE_S:
        kind = next(kind for kind, mode in MODE_OF.items() if mode is sortie.intent)
        return ask(sortie, kind, now_s)
    return sortie, ()


def _disarmed(sortie: Sortie, state: VehicleState, now_s: float) -> Step:
    if state.in_air:
        return (sortie, ()) if sortie.disarmed_s is not None else (replace(sortie, disarmed_s=now_s), ())
    if sortie.flown:
        return end(sortie, Phase.LANDED, landing_note(sortie), now_s)
    request = sortie.request
    if sortie.aborted:
        # An ARM that was under way may still take effect: wait until the disarming has been asked for long enough.
        if request is not None and request.action.kind is ActionKind.DISARM and now_s < request.due_s:
            return sortie, ()
        return end(sortie, Phase.FAILED, "aborted before take-off", now_s)
    if sortie.phase is Phase.LOST_LINK:
        return _down_after_silence(sortie, state, now_s)
    if sortie.phase is Phase.ARMING and (request is None or request.action.kind is ActionKind.ARM):
        if request is None and sortie.start_wanted and sortie.launches == 0 and may_arm_now(sortie, now_s):
            return ask(sortie, ActionKind.ARM, now_s)
        if request is not None or (sortie.start_wanted and sortie.launches == 0):
            return sortie, ()
    starting = request is not None and request.action.kind is ActionKind.START
    if starting and sortie.launches < MAX_LAUNCHES and may_arm_now(sortie, now_s):
        return ask(enter(sortie, Phase.ARMING, now_s), ActionKind.ARM, now_s)
    return end(sortie, Phase.FAILED, sortie.note or "the vehicle disarmed before take-off", now_s)


def _down_after_silence(sortie: Sortie, state: VehicleState, now_s: float) -> Step:
    """Found on the ground, never seen in the air: it flew only if START had been sent and progress says so."""
    if sortie.intent is FlightMode.MISSION:
        flew = with_progress(replace(sortie, flown=True), state)
        if flew.reached_item is not None:
            return end(flew, Phase.LANDED, "flown without a link; " + (landing_note(flew) or "landed"), now_s)
        return end(sortie, Phase.FAILED, "the link was lost during take-off; nothing says that it flew", now_s)
    return end(sortie, Phase.FAILED, "the link was lost before take-off", now_s)


# --- time


def _ticked(sortie: Sortie, now_s: float) -> Step:
    state = sortie.state
    if state is None or not alive(state, now_s):
        return _not_alive(sortie, now_s)
    if sortie.phase in BEFORE_ARMING:
        return _observed(sortie, state, now_s)
    sortie, actions = _follow(sortie, state, now_s)
    if actions or sortie.ended:
        return sortie, actions
    request = sortie.request
    if request is not None:
        return _repeat_or_give_up(sortie, request, state, now_s) if now_s >= request.due_s else (sortie, ())
    if sortie.disarmed_s is not None and now_s - sortie.disarmed_s > DISARMED_ALOFT_S:
        return end(sortie, Phase.FAILED, "disarmed, but the land detector never said on ground", now_s)
    if sortie.phase is Phase.ARMING and now_s - sortie.since_s > ARM_WAIT_S:
        if on_ground_disarmed(state):
            return end(sortie, Phase.FAILED, sortie.note or "the vehicle did not become armable", now_s)
        return ask(replace(sortie, since_s=now_s), ActionKind.DISARM, now_s)
    if sortie.phase is Phase.TAKING_OFF and state.in_air is False and _waited_vehicle_s(sortie) > TAKE_OFF_VEHICLE_S:
        return ask(replace(sortie, note="it did not leave the ground"), ActionKind.DISARM, now_s)
    return sortie, ()


def _waited_vehicle_s(sortie: Sortie) -> float:
    """How long the phase has lasted on the vehicle's clock; 0 while that is unknown."""
    now_s = sortie.state.vehicle_time_s if sortie.state is not None else None
    return 0.0 if now_s is None or sortie.since_vehicle_s is None else now_s - sortie.since_vehicle_s

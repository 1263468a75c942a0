# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sortie machine's building bricks (ask, enter, end) and its way from planned to the first arming.

Pure, like `sortie.py`, which calls it. Before arming the machine leads, and each step waits for a read-back: checks,
upload, mission compared, ready.
"""

from __future__ import annotations

from dataclasses import replace

from dronectl.fleet.link import FlightMode
from dronectl.fleet.sortie_rules import MODE_OF, may_arm_now, outcome_of
from dronectl.fleet.sortie_types import Action, ActionKind, Phase, Request, Sortie
from missions.model import Finding, Severity

CONFIRM_S = 5.0  # how long a wish may take to show in the state before it is repeated
REPEAT_AFTER_FAILURE_S = 1.0
MAX_UPLOADS = 3

Step = tuple[Sortie, tuple[Action, ...]]


def act(sortie: Sortie, kind: ActionKind) -> tuple[Sortie, Action]:
    action = Action(kind, sortie.actions + 1)
    return replace(sortie, actions=action.number), action


def ask(sortie: Sortie, kind: ActionKind, now_s: float, *, attempts: int = 1, last: bool = False) -> Step:
    """Emit an action and remember what state would confirm it."""
    sortie, action = act(sortie, kind)
    mode = sortie.state.mode if sortie.state is not None else FlightMode.UNKNOWN
    sortie = replace(sortie, request=Request(action, attempts, now_s, now_s + CONFIRM_S, mode, last))
    if kind in MODE_OF:
        sortie = replace(sortie, intent=MODE_OF[kind])
    if kind is ActionKind.ARM and attempts == 1:
        sortie = replace(sortie, launches=sortie.launches + 1)
    return sortie, (action,)


def enter(sortie: Sortie, phase: Phase, now_s: float) -> Sortie:
    if phase is sortie.phase:
        return sortie
    vehicle_s = sortie.state.vehicle_time_s if sortie.state is not None else None
    return replace(sortie, phase=phase, since_s=now_s, since_vehicle_s=vehicle_s)


def end(sortie: Sortie, phase: Phase, note: str, now_s: float) -> Step:
    """Close the sortie; ordinary actions that still wait are dropped."""
    sortie = replace(enter(sortie, phase, now_s), request=None, outcome=outcome_of(sortie, note), note=note)
    sortie, cancel = act(sortie, ActionKind.CANCEL)
    return sortie, (cancel,)


def prepare(sortie: Sortie, now_s: float) -> Step:
    sortie, action = act(replace(enter(sortie, Phase.PREFLIGHT, now_s), uploads=0), ActionKind.PREFLIGHT)
    return sortie, (action,)


def launch(sortie: Sortie, now_s: float) -> Step:
    """From ready to arming; a vehicle that is not armable this moment is waited for."""
    left_over = sortie.state.mission_reached if sortie.state is not None else None
    sortie = replace(enter(sortie, Phase.ARMING, now_s), stale_reached=left_over)
    return ask(sortie, ActionKind.ARM, now_s) if may_arm_now(sortie, now_s) else (sortie, ())


def action_ended(sortie: Sortie, action: Action, failure: str | None, now_s: float) -> Step:
    """Success confirms nothing; failure brings the next look at the state forward."""
    request = sortie.request
    if request is not None and request.action == action:
        if failure is None:
            return replace(sortie, request=replace(request, returned=True)), ()
        due = min(request.due_s, now_s + REPEAT_AFTER_FAILURE_S)
        return replace(sortie, request=replace(request, due_s=due, returned=True, failure=failure)), ()
    if failure is not None and action.number == sortie.actions:
        if action.kind is ActionKind.PREFLIGHT and sortie.phase is Phase.PREFLIGHT:
            return end(sortie, Phase.FAILED, f"the preflight could not be done: {failure}", now_s)
        if action.kind is ActionKind.UPLOAD and sortie.phase is Phase.UPLOADING:
            return _upload(sortie, failure, now_s)
    return sortie, ()


def preflight_ended(sortie: Sortie, action: Action, blocked: bool, now_s: float) -> Step:
    if sortie.phase is not Phase.PREFLIGHT or action.number != sortie.actions:
        return sortie, ()
    if blocked:
        return end(sortie, Phase.FAILED, "the preflight found what forbids this flight", now_s)
    return _upload(enter(sortie, Phase.UPLOADING, now_s), "", now_s)


def _upload(sortie: Sortie, why_again: str, now_s: float) -> Step:
    if sortie.uploads >= MAX_UPLOADS:
        finding = Finding("mission-read-back", Severity.BLOCKER, f"the mission aboard is not the plan: {why_again}")
        sortie = replace(sortie, findings=(*sortie.findings, finding))
        return end(sortie, Phase.FAILED, f"the mission could not be uploaded: {why_again}", now_s)
    sortie, upload = act(replace(sortie, note=why_again, uploads=sortie.uploads + 1), ActionKind.UPLOAD)
    return sortie, (upload,)


def read_back(sortie: Sortie, action: Action, differences: tuple[str, ...], now_s: float) -> Step:
    if sortie.phase is not Phase.UPLOADING or action.number != sortie.actions:
        return sortie, ()
    if differences:
        return _upload(sortie, f"the read-back differs: {differences[0]}", now_s)
    return replace(enter(sortie, Phase.READY, now_s), note=""), ()

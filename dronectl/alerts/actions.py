# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the dispatch system may do with an alert, as a pure state machine.

    new ----acknowledge----> acknowledged --accept--> accepted --dispatch--> dispatched --arrive--> arrived
     |                          ^   ^                    |                       |                    |
     |                          |   +--- decline, transfer (from any open state) +--------------------+
     +-- resolve (needs an outcome), false_alarm: from any open state -> the end; also the end: expired

An alert has one owner at a time: who has accepted it. Others cannot dispatch, and take it over only by transfer. A
final state never changes. Deciding is for people: nothing here is done by a machine, `by` says who did it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dronectl.alerts.model import AlertRecord
from dronectl.bus.messages import Action, ActionKind, AlertState

_OWNED = frozenset({AlertState.ACCEPTED, AlertState.DISPATCHED, AlertState.ARRIVED})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an action was not taken."""

    reason: str


def apply(alert: AlertRecord, action: Action) -> AlertRecord | Refusal:
    """The alert after the action (sequence, phase and times are the service's), or why it is refused."""
    if alert.state.final:
        return Refusal(f"the alert has ended: {alert.state}")
    return _STEPS[action.action](alert, action)


def _acknowledge(alert: AlertRecord, _action: Action) -> AlertRecord | Refusal:
    return replace(alert, state=AlertState.ACKNOWLEDGED) if alert.state is AlertState.NEW else alert


def _accept(alert: AlertRecord, action: Action) -> AlertRecord | Refusal:
    if alert.owner is not None and alert.owner != action.by:
        return Refusal(f"it is with {alert.owner}, who can transfer it")
    if alert.state in _OWNED:
        return alert
    return replace(alert, state=AlertState.ACCEPTED, owner=action.by)


def _decline(alert: AlertRecord, action: Action) -> AlertRecord | Refusal:
    if alert.owner is not None and alert.owner != action.by:
        return Refusal(f"it is with {alert.owner}")
    declined = alert.declined_by
    for who in (action.by, action.responder_id):
        if who is not None and who not in declined:
            declined = (*declined, who)
    return replace(alert, state=AlertState.ACKNOWLEDGED, owner=None, responder_id=None, declined_by=declined)


def _transfer(alert: AlertRecord, action: Action) -> AlertRecord | Refusal:
    if action.to is None:
        return Refusal("a transfer needs somebody to transfer to")
    if alert.owner is not None and alert.owner != action.by:
        return Refusal(f"it is with {alert.owner}")
    return replace(alert, state=AlertState.ACKNOWLEDGED, owner=action.to, responder_id=None)


def _dispatch(alert: AlertRecord, action: Action) -> AlertRecord | Refusal:
    if action.responder_id is None:
        return Refusal("a dispatch needs a responder")
    if alert.state not in _OWNED:
        return Refusal("it must be accepted first")
    if alert.owner != action.by:
        return Refusal(f"it is with {alert.owner}")
    return replace(alert, state=AlertState.DISPATCHED, responder_id=action.responder_id)


def _arrive(alert: AlertRecord, _action: Action) -> AlertRecord | Refusal:
    if alert.state is AlertState.ARRIVED:
        return alert
    if alert.state is not AlertState.DISPATCHED:
        return Refusal("nobody was dispatched")
    return replace(alert, state=AlertState.ARRIVED)


def _resolve(alert: AlertRecord, action: Action) -> AlertRecord | Refusal:
    if action.outcome is None or not action.outcome.strip():
        return Refusal("it cannot be closed without an outcome")
    return replace(alert, state=AlertState.RESOLVED, outcome=action.outcome)


def _false_alarm(alert: AlertRecord, action: Action) -> AlertRecord | Refusal:
    return replace(alert, state=AlertState.FALSE_ALARM, outcome=action.outcome or action.note)


_STEPS = {
    ActionKind.ACKNOWLEDGE: _acknowledge,
    ActionKind.ACCEPT: _accept,
    ActionKind.DECLINE: _decline,
    ActionKind.TRANSFER: _transfer,
    ActionKind.DISPATCH: _dispatch,
    ActionKind.ARRIVE: _arrive,
    ActionKind.RESOLVE: _resolve,
    ActionKind.FALSE_ALARM: _false_alarm,
}

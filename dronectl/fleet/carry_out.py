# SPDX-License-Identifier: AGPL-3.0-or-later
"""Carries one logged command out on one vehicle, and waits until the vehicle's state shows it.

Commands come from `fleet.py`. A vehicle with a sortie gets it as an order to the sortie machine, which repeats it as
needed; without a sortie the link is called here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dronectl.clock import Clock
from dronectl.fleet.commands import Command, CommandKind, CommandResult, shows
from dronectl.fleet.link import LinkError, VehicleState
from dronectl.fleet.sortie_rules import refusal
from dronectl.fleet.sortie_types import Order, Sortie
from dronectl.fleet.state import alive, on_ground_disarmed
from dronectl.fleet.vehicle import Vehicle

_DIRECT_TRIES: Final = 3
_NOT_SHOWN: Final = "not confirmed by the vehicle's state in time"
_ORDERS: Final = {
    CommandKind.HOLD: Order.HOLD,
    CommandKind.RETURN: Order.RETURN,
    CommandKind.LAND: Order.LAND,
    CommandKind.RESUME: Order.RESUME,
    CommandKind.ABORT: Order.ABORT,
}


@dataclass(frozen=True, slots=True)
class _Run:
    """One command under way."""

    command: Command
    vehicle: Vehicle
    clock: Clock
    deadline_s: float

    def result(self, ok: bool, confirmed: bool, detail: str) -> CommandResult:
        command = self.command
        state = self.vehicle.link.state()
        return CommandResult(command.command_id, command.vehicle_id, command.kind, ok, confirmed, detail, state)

    def left_s(self) -> float:
        return max(0.1, self.deadline_s - self.clock.monotonic_s())


async def carry_out(command: Command, vehicle: Vehicle, clock: Clock, timeout_s: float) -> CommandResult:
    """Order, then wait for the state at most `timeout_s`. Never raises for what the vehicle or its link does."""
    now_s = clock.monotonic_s()
    run = _Run(command, vehicle, clock, now_s + timeout_s)
    if now_s >= command.valid_until_s:
        return run.result(False, False, "the command had expired before it could be sent")

    def newer(state: VehicleState) -> bool:
        return state.connected and state.heard_monotonic_s is not None and state.heard_monotonic_s > now_s

    sortie = vehicle.sortie
    if sortie is not None:
        return await _order(run, sortie, newer)
    return await _call(run, newer)


async def _order(run: _Run, sortie: Sortie, newer: Callable[[VehicleState], bool]) -> CommandResult:
    kind, vehicle = run.command.kind, run.vehicle
    if kind is CommandKind.DISARM:
        return run.result(False, False, "a sortie is under way: abort it instead")
    why_not = refusal(sortie, _ORDERS[kind])
    if why_not is not None:
        return run.result(False, False, why_not)
    faults = vehicle.faults
    vehicle.order(_ORDERS[kind])
    if vehicle.faults > faults and vehicle.sortie is None:
        return await _call(run, newer)  # the machine failed on this very order and let the sortie go

    def shown(state: VehicleState) -> bool:
        called_off = vehicle.sortie is None and on_ground_disarmed(state)
        return newer(state) and (called_off or shows(kind, state))

    state = await vehicle.wait_state(shown, run.left_s())
    if state is not None:
        return run.result(True, True, "" if shows(kind, state) else "called off before take-off")
    request = vehicle.sortie.request if vehicle.sortie is not None else None
    failure = request.failure if request is not None else None
    return run.result(failure is None, False, failure or _NOT_SHOWN)


async def _call(run: _Run, newer: Callable[[VehicleState], bool]) -> CommandResult:
    """Without a sortie: call the link, look at the state, and try again before giving up."""
    kind, link, clock = run.command.kind, run.vehicle.link, run.clock
    if kind is CommandKind.RESUME:
        return run.result(False, False, "there is no sortie to resume")
    state = link.state()
    if kind is not CommandKind.HOLD and alive(state, clock.monotonic_s()) and on_ground_disarmed(state):
        return run.result(True, True, "it stands on the ground, disarmed: nothing to do")
    calls = {
        CommandKind.HOLD: link.hold,
        CommandKind.RETURN: link.return_to_launch,
        CommandKind.ABORT: link.return_to_launch,
        CommandKind.LAND: link.land,
        CommandKind.DISARM: link.disarm,
    }
    failure = ""
    for tries_left in range(_DIRECT_TRIES, 0, -1):
        try:
            await calls[kind]()
            failure = ""
        except LinkError as error:
            failure = f"{error.failure}: {error}"
        if await run.vehicle.wait_state(lambda s: newer(s) and shows(kind, s), run.left_s() / tries_left) is not None:
            return run.result(True, True, "")
        if clock.monotonic_s() >= min(run.deadline_s, run.command.valid_until_s):
            break
    return run.result(not failure, False, failure or _NOT_SHOWN)

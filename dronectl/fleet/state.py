# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pure questions about vehicle states: how old, whether the link lives, what changed that the flight logic minds.

States come from the link workers (via `pool.py`); the answers go to the sortie machine, the preflight and the wire.
"""

from __future__ import annotations

from dataclasses import replace

from dronectl.fleet.link import FlightMode, LandedState, VehicleState

LOST_AFTER_S = 5.0

FlightKey = tuple[bool, FlightMode, bool | None, LandedState, int | None, int | None, bool]


def age_s(state: VehicleState, now_s: float) -> float | None:
    """Monotonic seconds since the vehicle was heard; None when it never was."""
    if state.heard_monotonic_s is None:
        return None
    return max(0.0, now_s - state.heard_monotonic_s)


def alive(state: VehicleState, now_s: float, lost_after_s: float = LOST_AFTER_S) -> bool:
    """Connected, and heard lately: a connected flag alone may come from a worker that hangs."""
    age = age_s(state, now_s)
    return state.connected and age is not None and age <= lost_after_s


def on_ground_disarmed(state: VehicleState) -> bool:
    """Landed, as PX4 means it: the mode may still read MISSION and the progress may be anything."""
    return state.armed is False and state.landed is LandedState.ON_GROUND


STICKS = (FlightMode.MANUAL, FlightMode.OFFBOARD)
ENDING = (FlightMode.RETURN, FlightMode.LAND)


def must_stand(mode: FlightMode, wanted: FlightMode | None) -> bool:
    """Whether a mode that a failsafe or a person took since `wanted` was asked for outranks asking again."""
    if mode in ENDING:
        return wanted not in ENDING or (mode is FlightMode.LAND and wanted is FlightMode.RETURN)
    return mode in STICKS


def flight_key(state: VehicleState) -> FlightKey:
    """The part of a state that can move a sortie; while it is the same there is nothing to decide."""
    return (
        state.connected,
        state.mode,
        state.armed,
        state.landed,
        state.mission_reached,
        state.mission_current,
        state.armable,
    )


def reduce(previous: VehicleState | None, message: VehicleState) -> VehicleState:
    """The newer of two states, keeping what a fresh connection has not learned yet.

    A restarted worker knows nothing of a vehicle until its messages come: home and identity of the same
    vehicle stay true meanwhile. What changes in flight (mode, armed, landed, position) is never carried over.
    """
    if previous is None or previous.vehicle_id != message.vehicle_id:
        return message
    if (
        previous.heard_monotonic_s is not None
        and message.heard_monotonic_s is not None
        and message.heard_monotonic_s < previous.heard_monotonic_s
    ):
        return previous
    if message.home_latitude_deg is not None or previous.home_latitude_deg is None:
        return message
    return replace(
        message,
        home_latitude_deg=previous.home_latitude_deg,
        home_longitude_deg=previous.home_longitude_deg,
        home_amsl_m=previous.home_amsl_m,
        hardware_uid=message.hardware_uid or previous.hardware_uid,
        heard_monotonic_s=message.heard_monotonic_s or previous.heard_monotonic_s,
    )

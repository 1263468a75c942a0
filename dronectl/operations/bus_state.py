# SPDX-License-Identifier: AGPL-3.0-or-later
"""Vehicle states and sorties as the messages that go out over MQTT. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dronectl.bus.messages import DroneState, Telemetry
from dronectl.fleet.link import VehicleState
from dronectl.fleet.progress_watch import Notice
from dronectl.fleet.sortie_types import Sortie


def health_of(state: VehicleState, notices: Sequence[Notice] = ()) -> list[str]:
    """What is wrong with a vehicle and its flight, in words that stay the same while it lasts; empty: nothing known."""
    if not state.connected:
        return ["link lost"]
    checks = ((state.position_ok, "no global position"), (state.home_ok, "no home position"))
    return [*(words for fine, words in checks if not fine), *(notice.words for notice in notices)]


def drone_state(
    state: VehicleState,
    sortie: Sortie | None,
    mission_id: str | None,
    dock_id: str,
    notices: Sequence[Notice] = (),
) -> DroneState:
    """What changes seldom. The battery is rounded to 5 % so that it does not change every second."""
    battery = state.battery_fraction
    return DroneState(
        drone_id=state.vehicle_id,
        connected=state.connected,
        mode=str(state.mode),
        armed=state.armed,
        landed=str(state.landed),
        sortie=None if sortie is None else str(sortie.phase),
        mission_id=mission_id,
        mission_item=state.mission_current,
        mission_items=state.mission_total,
        health=health_of(state, notices),
        battery_percent=None if battery is None else max(0, min(100, 5 * round(20 * battery))),
        dock_id=dock_id,
    )


def telemetry(state: VehicleState) -> Telemetry:
    """Position, attitude and battery as they are."""
    return Telemetry(
        drone_id=state.vehicle_id,
        vehicle_time_s=state.vehicle_time_s,
        latitude_deg=state.latitude_deg,
        longitude_deg=state.longitude_deg,
        amsl_m=state.amsl_m,
        height_above_home_m=state.height_above_home_m,
        velocity_north_m_s=state.velocity_north_m_s,
        velocity_east_m_s=state.velocity_east_m_s,
        velocity_down_m_s=state.velocity_down_m_s,
        roll_deg=state.roll_deg,
        pitch_deg=state.pitch_deg,
        yaw_deg=state.yaw_deg,
        battery_fraction=state.battery_fraction,
    )

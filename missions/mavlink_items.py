# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flight plans and fences as MAVLink mission items: the one translation that upload, read-back and `.plan` share.

Items are those of MISSION_ITEM_INT (MAVLink common.xml). Comparison allows for what an autopilot may change on the
way: float32 rounding, and the acceptance radius that PX4 fills in for a fly-through NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from missions.geo import Altitude, Datum, GeoPoint
from missions.model import FlightPlan, Geofence

FRAME_GLOBAL = 0  # altitude above mean sea level
FRAME_MISSION = 2  # the item has no place
FRAME_GLOBAL_RELATIVE_ALT = 3  # altitude above home
NAV_WAYPOINT = 16
NAV_RETURN_TO_LAUNCH = 20
NAV_TAKEOFF = 22
DO_JUMP = 177
DO_CHANGE_SPEED = 178
DO_MOUNT_CONTROL = 205
DO_SET_CAM_TRIGG_DIST = 206
IMAGE_START_CAPTURE = 2000
NAV_FENCE_POLYGON_VERTEX_INCLUSION = 5001
NAV_FENCE_POLYGON_VERTEX_EXCLUSION = 5002
MISSION_TYPE_MISSION = 0
MISSION_TYPE_FENCE = 1
_MOUNT_MODE_MAVLINK_TARGETING = 2
_NAN = math.nan


@dataclass(frozen=True, slots=True)
class MissionItem:
    """One MISSION_ITEM_INT. x and y are degrees x 1e7 for items with a place, else 0; NaN means "unchanged"."""

    seq: int
    frame: int
    command: int
    param1: float
    param2: float
    param3: float
    param4: float
    x: int
    y: int
    z: float
    current: int = 0
    autocontinue: int = 1
    mission_type: int = MISSION_TYPE_MISSION


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """Mission items of a plan, and for each item the index of the waypoint that it reaches (None: no waypoint)."""

    items: tuple[MissionItem, ...]
    waypoint_of_item: tuple[int | None, ...]


def _e7(degrees: float) -> int:
    return round(degrees * 1e7)


def _place(point: GeoPoint) -> tuple[int, int]:
    return _e7(point.latitude_deg), _e7(point.longitude_deg)


def _frame_and_z(altitude: Altitude) -> tuple[int, float]:
    if altitude.datum is Datum.HOME:
        return FRAME_GLOBAL_RELATIVE_ALT, altitude.value_m
    if altitude.datum is Datum.AMSL:
        return FRAME_GLOBAL, altitude.value_m
    raise ValueError(
        f"a mission item takes an altitude above home or mean sea level, not {altitude.datum}; "
        "convert with the terrain first"
    )


def compile_plan(plan: FlightPlan) -> CompiledPlan:
    """Take-off, cruise speed, the waypoints (with gimbal, speed and camera changes), then return to launch.

    A plan with commands of its own gets these, unaltered. Raises ValueError when its waypoints no longer fit them, and
    for altitudes that a mission item cannot hold.
    """
    if plan.commands:
        return _as_drawn(plan)
    items: list[MissionItem] = []
    reaches: list[int | None] = []

    def add(frame: int, command: int, params: tuple[float, float, float, float], x: int, y: int, z: float) -> None:
        items.append(MissionItem(len(items), frame, command, *params, x, y, z, current=int(not items)))

    x, y = _place(plan.home)
    add(FRAME_GLOBAL_RELATIVE_ALT, NAV_TAKEOFF, (0.0, 0.0, 0.0, _NAN), x, y, plan.takeoff_height_m)
    reaches.append(None)
    add(FRAME_MISSION, DO_CHANGE_SPEED, (1.0, plan.cruise_speed_m_s, -1.0, 0.0), 0, 0, 0.0)
    reaches.append(None)
    gimbal: float | None = None
    speed = plan.cruise_speed_m_s
    for index, waypoint in enumerate(plan.waypoints):
        if waypoint.speed_m_s is not None and waypoint.speed_m_s != speed:
            speed = waypoint.speed_m_s
            add(FRAME_MISSION, DO_CHANGE_SPEED, (1.0, speed, -1.0, 0.0), 0, 0, 0.0)
            reaches.append(None)
        if waypoint.gimbal_pitch_deg is not None and waypoint.gimbal_pitch_deg != gimbal:
            gimbal = waypoint.gimbal_pitch_deg
            # z carries the mount mode and param1 the pitch (MAV_CMD_DO_MOUNT_CONTROL).
            add(FRAME_MISSION, DO_MOUNT_CONTROL, (gimbal, 0.0, 0.0, 0.0), 0, 0, float(_MOUNT_MODE_MAVLINK_TARGETING))
            reaches.append(None)
        frame, z = _frame_and_z(waypoint.altitude)
        x, y = _place(waypoint.position)
        yaw = _NAN if waypoint.yaw_deg is None else waypoint.yaw_deg
        add(frame, NAV_WAYPOINT, (waypoint.hold_s, waypoint.acceptance_radius_m, 0.0, yaw), x, y, z)
        reaches.append(index)
        if waypoint.trigger_m is not None:
            # No exposure limit; the first picture is taken at once, so that none is missing where a line begins.
            first = 1.0 if waypoint.trigger_m > 0.0 else 0.0
            add(FRAME_MISSION, DO_SET_CAM_TRIGG_DIST, (waypoint.trigger_m, 0.0, first, 0.0), 0, 0, 0.0)
            reaches.append(None)
        if waypoint.photo:
            add(FRAME_MISSION, IMAGE_START_CAPTURE, (0.0, 0.0, 1.0, 0.0), 0, 0, 0.0)  # all cameras, one picture
            reaches.append(None)
    add(FRAME_MISSION, NAV_RETURN_TO_LAUNCH, (0.0, 0.0, 0.0, 0.0), 0, 0, 0.0)
    reaches.append(None)
    return CompiledPlan(tuple(items), tuple(reaches))


def _as_drawn(plan: FlightPlan) -> CompiledPlan:
    items = []
    for seq, command in enumerate(plan.commands):
        if command.waypoint is not None and command.command == NAV_WAYPOINT:
            # Whoever moves waypoints (a detour, another layer) must not fly the commands that were drawn before.
            waypoint = plan.waypoints[command.waypoint]
            x, y = _place(waypoint.position)
            frame, z = _frame_and_z(waypoint.altitude)
            moved = max(abs(x - command.x), abs(y - command.y)) > 1 or abs(z - command.z) > 1e-3
            if moved or not _same_frame(frame, command.frame):
                raise ValueError(f"waypoint {command.waypoint + 1} is not where item {seq + 1} of the drawn plan is")
        params = [_NAN if value is None else value for value in command.params]
        items.append(
            MissionItem(
                seq,
                command.frame,
                command.command,
                params[0],
                params[1],
                params[2],
                params[3],
                command.x,
                command.y,
                command.z,
                current=int(seq == 0),
                autocontinue=int(command.autocontinue),
            )
        )
    return CompiledPlan(tuple(items), tuple(command.waypoint for command in plan.commands))


def compile_fence(fence: Geofence) -> tuple[MissionItem, ...]:
    """Fence rings as polygon vertex items; param1 is the ring's vertex count."""
    items: list[MissionItem] = []
    rings = [(NAV_FENCE_POLYGON_VERTEX_INCLUSION, ring) for ring in fence.inclusion]
    rings += [(NAV_FENCE_POLYGON_VERTEX_EXCLUSION, ring) for ring in fence.exclusion]
    for command, ring in rings:
        for point in ring:
            x, y = _place(point)
            items.append(
                MissionItem(
                    len(items),
                    FRAME_GLOBAL,
                    command,
                    float(len(ring)),
                    0.0,
                    0.0,
                    0.0,
                    x,
                    y,
                    0.0,
                    mission_type=MISSION_TYPE_FENCE,
                )
            )
    return tuple(items)


def _same(sent: float, got: float) -> bool:
    if math.isnan(sent):
        return math.isnan(got) or got == 0.0
    if math.isnan(got):
        return False
    return abs(sent - got) <= 1e-3 + 1e-6 * abs(sent)


def differences(sent: tuple[MissionItem, ...], got: tuple[MissionItem, ...]) -> list[str]:
    """What differs between what was uploaded and what was read back; empty means equal.

    Only what matters in flight is compared: order, frame, command, place, altitude, parameters.
    """
    if len(sent) != len(got):
        return [f"{len(sent)} items were sent and {len(got)} came back"]
    found: list[str] = []
    for ours, theirs in zip(sent, got, strict=True):
        where = f"item {ours.seq}"
        if ours.command != theirs.command:
            found.append(f"{where}: command {ours.command} came back as {theirs.command}")
            continue
        if ours.frame != theirs.frame and not _same_frame(ours.frame, theirs.frame):
            found.append(f"{where}: frame {ours.frame} came back as {theirs.frame}")
        if abs(ours.x - theirs.x) > 1 or abs(ours.y - theirs.y) > 1:
            found.append(f"{where}: place {(ours.x, ours.y)} came back as {(theirs.x, theirs.y)}")
        if not _same(ours.z, theirs.z):
            found.append(f"{where}: altitude {ours.z} came back as {theirs.z}")
        for number in (1, 2, 3, 4):
            a, b = getattr(ours, f"param{number}"), getattr(theirs, f"param{number}")
            if not _same(a, b):
                found.append(f"{where}: parameter {number} {a} came back as {b}")
    return found


def _same_frame(sent: int, got: int) -> bool:
    """The INT variants (5, 6) name the same frames as 0 and 3."""
    plain = {5: FRAME_GLOBAL, 6: FRAME_GLOBAL_RELATIVE_ALT}
    return plain.get(sent, sent) == plain.get(got, got)

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Waypoints of patrols: what is done at one place is done at one waypoint, and cameras look where they are told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from missions.energy import path_length_m
from missions.model import Aim, Waypoint

DOWN_DEG = -90.0
_SAME_PLACE_M = 1.0


def aimed(waypoint: Waypoint, aim: Aim | None) -> Waypoint:
    """The waypoint with the vehicle's heading and the gimbal's pitch of an aim."""
    return waypoint if aim is None else replace(waypoint, yaw_deg=aim.yaw_deg, gimbal_pitch_deg=aim.pitch_deg)


def merged_waypoints(waypoints: Sequence[Waypoint]) -> tuple[Waypoint, ...]:
    """Join consecutive waypoints at one place (a point at the end of a line): an autopilot cannot tell them apart.

    Two that look in different directions stay two.
    """
    out: list[Waypoint] = []
    for waypoint in waypoints:
        last = out[-1] if out else None
        if (
            last is None
            or path_length_m([last.position, waypoint.position]) >= _SAME_PLACE_M
            or _differ(last, waypoint)
        ):
            out.append(waypoint)
            continue
        out[-1] = replace(
            waypoint,
            hold_s=last.hold_s + waypoint.hold_s,
            serves=last.serves + waypoint.serves,
            yaw_deg=last.yaw_deg if waypoint.yaw_deg is None else waypoint.yaw_deg,
            gimbal_pitch_deg=last.gimbal_pitch_deg if waypoint.gimbal_pitch_deg is None else waypoint.gimbal_pitch_deg,
        )
    return tuple(out)


def _differ(one: Waypoint, two: Waypoint) -> bool:
    aims = [(w.yaw_deg, w.gimbal_pitch_deg) for w in (one, two) if w.gimbal_pitch_deg is not None]
    return len(aims) == 2 and aims[0] != aims[1]


def looking_down_between(waypoints: Sequence[Waypoint]) -> tuple[Waypoint, ...]:
    """Where any waypoint aims the camera, it looks straight down on the ways to all others: nothing is left aside.

    A plan that aims nowhere says nothing about the gimbal.
    """
    if all(w.gimbal_pitch_deg is None for w in waypoints):
        return tuple(waypoints)
    return tuple(w if w.gimbal_pitch_deg is not None else replace(w, gimbal_pitch_deg=DOWN_DEG) for w in waypoints)

# SPDX-License-Identifier: AGPL-3.0-or-later
"""A route as plain waypoints, for formats that know no mission commands: what each one holds, and what is lost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from missions.formats.flight_file import (
    DO_CHANGE_SPEED,
    DO_GIMBAL_MANAGER_PITCHYAW,
    DO_MOUNT_CONTROL,
    DO_SET_CAM_TRIGG_DIST,
    IMAGE_START_CAPTURE,
    NAV_DELAY,
    NAV_LAND,
    NAV_LOITER_TIME,
    NAV_RETURN_TO_LAUNCH,
    NAV_SPLINE_WAYPOINT,
    NAV_TAKEOFF,
    NAV_WAYPOINT,
    Loss,
    Route,
    Step,
)
from missions.geo import Altitude, GeoPoint, distance_m

_SAME_PLACE_M = 5.0
_DO_DIGICAM_CONTROL = 203


@dataclass(frozen=True, slots=True)
class PlainWaypoint:
    """A place with what is done there. Speed and gimbal angle are those set since the waypoint before (None: as it was).

    trigger_m: from here on a picture every so many metres, 0 ends them; None: as it was.
    """

    position: GeoPoint
    altitude: Altitude | None
    hold_s: float = 0.0
    yaw_deg: float | None = None
    speed_m_s: float | None = None
    gimbal_pitch_deg: float | None = None
    photo: bool = False
    trigger_m: float | None = None


@dataclass(frozen=True, slots=True)
class PlainRoute:
    """Waypoints in order; how it ends; what a waypoint cannot hold."""

    waypoints: tuple[PlainWaypoint, ...]
    returns: bool
    lands: bool
    losses: tuple[Loss, ...]


def plain_route(route: Route, what: str) -> PlainRoute:
    """The waypoints of a route; `what` names the format in the losses."""
    out: list[PlainWaypoint] = []
    losses: list[Loss] = []
    speed: float | None = None
    gimbal: float | None = None
    radii = False
    ended = ""

    def lose(index: int, step: Step, message: str) -> None:
        losses.append(Loss(step.place or f"step {index + 1}", message))

    for index, step in enumerate(route.steps):
        first, second, third, fourth = step.params
        if ended:
            lose(index, step, f"a {step.name} after the {ended} is not written")
        elif step.command == NAV_RETURN_TO_LAUNCH:
            ended = step.name
        elif step.command == DO_CHANGE_SPEED and first in {None, 0.0, 1.0} and second is not None and second > 0.0:
            speed = second
        elif step.command in _GIMBAL and first is not None and not second and (not third or _is_rate(step)):
            gimbal = first
        elif step.command == NAV_DELAY and out and (first or 0.0) > 0.0:
            out[-1] = replace(out[-1], hold_s=out[-1].hold_s + (first or 0.0))
        elif out and (step.command == _DO_DIGICAM_CONTROL or (step.command == IMAGE_START_CAPTURE and third == 1.0)):
            out[-1] = replace(out[-1], photo=True)
        elif out and step.command == DO_SET_CAM_TRIGG_DIST and first is not None and first >= 0.0:
            out[-1] = replace(out[-1], trigger_m=first)
        elif step.command == NAV_TAKEOFF and (
            step.position is None
            or (route.home is not None and distance_m(route.home.position, step.position) <= _SAME_PLACE_M)
        ):
            continue  # where every flight begins
        elif step.position is not None and step.command in _PLACES:
            at = PlainWaypoint(step.position, step.altitude, 0.0, fourth, speed, gimbal)
            speed = gimbal = None
            if step.command in {NAV_WAYPOINT, NAV_LOITER_TIME}:
                at = replace(at, hold_s=first or 0.0)
            if step.command == NAV_WAYPOINT:
                radii = radii or bool(second)
            if step.command == NAV_SPLINE_WAYPOINT:
                lose(index, step, f"{what} has no splines: it is written as a waypoint")
            if third and step.command in {NAV_WAYPOINT, NAV_LOITER_TIME}:
                lose(index, step, f"{what} has no radius to pass or circle at; it is flown to")
            if step.command == NAV_LAND:
                ended = step.name
                if out:  # flown to at the height that the vehicle has; the landing's own is that of the ground
                    at = replace(at, altitude=out[-1].altitude)
            out.append(at)
        else:
            lose(index, step, f"a {step.name} has no place in {what}")
    if radii:
        losses.append(Loss(route.name, f"acceptance radii have no place in {what}"))
    if speed is not None or gimbal is not None:
        losses.append(Loss(route.name, f"a speed or gimbal angle after the last waypoint has no place in {what}"))
    returns, lands = ended == "return to launch", ended == "landing"
    return PlainRoute(tuple(out), returns, lands, tuple(losses))


def _is_rate(step: Step) -> bool:
    """Whether the third parameter is a pitch rate (of no matter to where it points) and not a yaw angle."""
    return step.command == DO_GIMBAL_MANAGER_PITCHYAW


_GIMBAL = frozenset({DO_MOUNT_CONTROL, DO_GIMBAL_MANAGER_PITCHYAW})
_PLACES = frozenset({NAV_WAYPOINT, NAV_SPLINE_WAYPOINT, NAV_LOITER_TIME, NAV_LAND, NAV_TAKEOFF})

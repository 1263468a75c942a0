# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plans drawn in another ground station, flown by their own items: surveys, corridors, loiters, jumps, camera commands.

The items go aboard as they stand in the file, after the flight that they make (`feasibility_steps`) has become the
plan's waypoints, which every check looks at. Only commands that PX4 stores and flies, and that the checks understand,
are let through; every other one is named. Two things are made explicit: a speed change after the take-off where the
plan sets none before its first waypoint (the vehicle's own setting is not what was checked), and a take-off without a
place takes place at home.
"""

from __future__ import annotations

from typing import Final

from missions.errors import PlanError
from missions.feasibility_steps import Starter, fly_steps
from missions.formats.flight_file import (
    DO_CHANGE_SPEED,
    DO_GIMBAL_MANAGER_PITCHYAW,
    DO_JUMP,
    DO_MOUNT_CONTROL,
    DO_SET_CAM_TRIGG_DIST,
    IMAGE_START_CAPTURE,
    NAV_DELAY,
    NAV_LOITER_TIME,
    NAV_RETURN_TO_LAUNCH,
    NAV_TAKEOFF,
    NAV_WAYPOINT,
    FlightFile,
    Route,
    Step,
)
from missions.formats.json_reading import Node
from missions.formats.qgc_file import FRAME_MISSION, FRAME_OF_DATUM, read_qgc
from missions.geo import Datum, GeoPoint
from missions.model import Command, FlightPlan, Geofence, Severity

_FLOWN_TO: Final = frozenset({NAV_TAKEOFF, NAV_WAYPOINT, NAV_LOITER_TIME})
_LOOK: Final = frozenset({195, 197, 201})  # the camera at a place, or at none
_CAMERA: Final = frozenset(
    {203, DO_MOUNT_CONTROL, DO_SET_CAM_TRIGG_DIST, 214, 530, 531, 532, DO_GIMBAL_MANAGER_PITCHYAW, 1001}
    | {IMAGE_START_CAPTURE, 2001, 2003, 2500, 2501}
)
FLYABLE: Final = _FLOWN_TO | _LOOK | _CAMERA | frozenset({NAV_RETURN_TO_LAUNCH, NAV_DELAY, DO_JUMP, DO_CHANGE_SPEED})

_SIMPLE: Final = frozenset({NAV_TAKEOFF, NAV_WAYPOINT, NAV_RETURN_TO_LAUNCH, DO_CHANGE_SPEED, DO_MOUNT_CONTROL})
_OURS: Final = _SIMPLE | {DO_SET_CAM_TRIGG_DIST, IMAGE_START_CAPTURE}


def is_drawn(mission: Node, ours: Node | None) -> bool:
    """Whether a plan holds more than waypoints can say, so that its own items are flown."""
    if ours is not None and ours.find("drawn") is not None:
        return ours.get("drawn").flag()
    known = _SIMPLE if ours is None else _OURS
    nodes = mission.get("items").items()
    if any(n.get("type").text() != "SimpleItem" or n.get("command").whole() not in known for n in nodes):
        return True
    # Of a waypoint's settings only those before it can be said, and of the gimbal's angles only the pitch.
    settings = {DO_CHANGE_SPEED, DO_MOUNT_CONTROL}
    last = [n.get("command").whole() for n in nodes[-2:]]
    if ours is None and len(nodes) > 3 and last[0] in settings and last[-1] == NAV_RETURN_TO_LAUNCH:
        return True
    gimbals = [n.get("params").items() for n in nodes if n.get("command").whole() == DO_MOUNT_CONTROL]
    return ours is None and any(p.value for params in gimbals for p in params[1:3])


def drawn_plan(text: str, source: str, fence: Geofence, starter: Starter) -> FlightPlan:
    """The plan that the items of a `.plan` make. Raises PlanError with a line for everything that cannot be flown."""
    file = read_qgc(text, source=source)
    route = file.routes[0]
    problems = _problems(file, route)
    if problems:
        raise PlanError("\n".join(f"{source}: {problem}" for problem in problems))
    steps = _with_speed(route, starter.cruise_speed_m_s)
    flight = fly_steps(Route(route.name, steps), fence, starter)
    found = [f.message for f in flight.findings if f.severity is not Severity.INFO]
    if found:
        raise PlanError("\n".join(f"{source}: {message}" for message in found))
    last = {step: waypoint for waypoint, step in enumerate(flight.step_of)}
    commands = tuple(_command(step, last.get(index), starter.home) for index, step in enumerate(steps))
    return FlightPlan(
        vehicle_id=flight.plan.vehicle_id,
        mission=flight.plan.mission,
        home=flight.plan.home,
        home_amsl_m=flight.plan.home_amsl_m,
        takeoff_height_m=flight.plan.takeoff_height_m,
        waypoints=flight.plan.waypoints,
        fence=fence,
        return_height_m=flight.plan.return_height_m,
        cruise_speed_m_s=flight.plan.cruise_speed_m_s,
        commands=commands,
    )


def _problems(file: FlightFile, route: Route) -> list[str]:
    found = [str(loss) for loss in file.losses]
    steps = route.steps
    if not steps or steps[0].command != NAV_TAKEOFF:
        found.append("mission.items: does not begin with a take-off (command 22); add one")
    if not any(step.command == NAV_RETURN_TO_LAUNCH for step in steps):
        found.append("mission.items: does not end with a return to launch (command 20); add one")
    for number, step in enumerate(steps, 1):
        wrong = _wrong(step)
        if wrong is None and step.command == NAV_TAKEOFF and number > 1:
            wrong = "is a second take-off; a plan has one, at its beginning"
        if wrong is None and step.command == NAV_RETURN_TO_LAUNCH and number < len(steps):
            wrong = "is followed by more items; remove them or move them before the return"
        if wrong is not None:
            found.append(f"{step.place or 'mission.items'}: item {number} ({step.name}) {wrong}")
    return found


def _wrong(step: Step) -> str | None:
    """Why a step cannot be flown; None when it can."""
    first, second, third = (value or 0.0 for value in step.params[:3])
    whole = all(value == int(value) for value in step.rest[:2])
    if step.command not in FLYABLE:
        return f"is command {step.command}, which is not supported; remove it or fly it by hand"
    if step.altitude is not None and step.altitude.datum not in {Datum.HOME, Datum.AMSL}:
        return "has an altitude above terrain, which is not supported; convert it to above mean sea level or home"
    if step.command in _FLOWN_TO and step.altitude is None:
        return "has no altitude; its frame must be 3 (above home) or 0 (above mean sea level)"
    if step.command in _FLOWN_TO - {NAV_TAKEOFF} and step.position is None:
        return "has no place; set its latitude and longitude"
    if step.command == NAV_WAYPOINT and third:
        return "has a radius to pass by, which is not supported; set it to 0"
    if step.command in {NAV_WAYPOINT, NAV_LOITER_TIME} and (
        first < 0.0 or (step.command == NAV_WAYPOINT and second < 0)
    ):
        return "has a negative time or radius; correct it"
    if step.command == NAV_DELAY and first < 0.0:
        return "waits for a time of day, which is not supported; give it seconds"
    if step.command == DO_CHANGE_SPEED and (first not in {0.0, 1.0} or second <= 0.0 or third not in {0.0, -1.0}):
        return "must set a speed above 0 (not of climb or descent) and no throttle"
    if step.command == DO_JUMP and (first != int(first) or second != int(second)):
        return "must go to a whole item, a whole number of times"
    if step.command == DO_SET_CAM_TRIGG_DIST and first < 0.0:
        return "has a negative distance; 0 ends the pictures"
    return None if whole else "has a fraction where a whole number belongs (its fifth or sixth parameter)"


def _with_speed(route: Route, speed_m_s: float) -> tuple[Step, ...]:
    """The steps with a speed change after the take-off, where none comes before the first place."""
    for step in route.steps[1:]:
        if step.command == DO_CHANGE_SPEED:
            return route.steps
        if step.command in _FLOWN_TO:
            break
    added = Step(DO_CHANGE_SPEED, (1.0, speed_m_s, -1.0, 0.0))
    moved = [_jump_moved(step) for step in route.steps]
    return (moved[0], added, *moved[1:])


def _jump_moved(step: Step) -> Step:
    target = step.params[0]
    if step.command != DO_JUMP or target is None or target < 1.0:
        return step
    return Step(step.command, (target + 1.0, *step.params[1:]), rest=step.rest, place=step.place)


def _command(step: Step, waypoint: int | None, home: GeoPoint) -> Command:
    x, y, z = round(step.rest[0]), round(step.rest[1]), step.rest[2]
    frame = FRAME_MISSION
    params = step.params
    if step.altitude is not None:
        frame, z = FRAME_OF_DATUM[step.altitude.datum], step.altitude.value_m
        place = home if step.position is None and step.command == NAV_TAKEOFF else step.position
        x, y = (0, 0) if place is None else (round(place.latitude_deg * 1e7), round(place.longitude_deg * 1e7))
    if step.command == NAV_TAKEOFF:
        params = (0.0, *params[1:])  # a climb angle is for wings
    return Command(step.command, frame, params, x, y, z, step.autocontinue, waypoint)

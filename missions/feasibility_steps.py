# SPDX-License-Identifier: AGPL-3.0-or-later
"""A route of mission commands as the flight that it makes: for checking, not for flying.

Jumps are followed with their counts (a loop inside a loop is flown again in each round of the outer one, the longest
reading), loiters become circles of waypoints, holds become holds. What no rule can judge (an unknown command, a
loiter or loop without end, a fence switched off) becomes a finding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import shapely
from shapely.geometry import Point

from missions.fences import circle_ring, fence_shape
from missions.formats.flight_file import (
    DO_CHANGE_SPEED,
    DO_JUMP,
    NAV_DELAY,
    NAV_LAND,
    NAV_LOITER_TIME,
    NAV_LOITER_TO_ALT,
    NAV_LOITER_TURNS,
    NAV_LOITER_UNLIM,
    NAV_RETURN_TO_LAUNCH,
    NAV_SPLINE_WAYPOINT,
    NAV_TAKEOFF,
    NAV_WAYPOINT,
    FlightFile,
    RallyPoint,
    Route,
    Step,
)
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame, bearing_deg, destination, distance_m
from missions.model import Finding, FlightPlan, Geofence, Mission, Severity, Waypoint
from missions.plan_legs import said

MAX_WAYPOINTS: Final = 10_000
_MAX_STEPS_DONE = 200_000
_SAME_PLACE_M = 5.0
_APART_M = 1.0
_PAD_M = 30.0
_SIDES = 24
_SHORTEST_SIDE_M = 1.5
_HOVER_RADIUS_M = 2.0
_DEFAULT_RADIUS_M = 80.0  # PX4's NAV_LOITER_RAD
_MAX_RADIUS_M = 20_000.0
_OVER_GROUND = frozenset({0.0, 1.0})  # speed changes of these kinds; the others set climb and descent
_DO_FENCE_ENABLE = 207
_HARMLESS = frozenset(  # they move cameras, gimbals, servos or the nose, not the vehicle
    {112, 114, 115, 181, 182, 183, 184, 189, 195, 196, 197, 200, 201, 202, 203, 204, 205, 206, 211, 214}
    | {530, 531, 532, 534, 1000, 1001, 2000, 2001, 2003, 2500, 2501}
)


@dataclass(frozen=True, slots=True)
class Starter:
    """Who flies a route, from where, and what the route itself does not say."""

    vehicle_id: str
    mission: Mission
    home: GeoPoint
    home_amsl_m: float
    return_height_m: float
    cruise_speed_m_s: float
    radius_m: float = 3.0


@dataclass(frozen=True, slots=True)
class Flight:
    """A route as a plan. For each of its waypoints the step (index) that it comes from, and what messages call it."""

    plan: FlightPlan
    step_of: tuple[int, ...]
    names: tuple[str, ...]
    findings: tuple[Finding, ...]  # their `item` is a step


def fence_of(file: FlightFile) -> Geofence:
    """The fence of a file, circles as rings on the safe side."""
    rings = [(r.inclusion, r.corners) for r in file.rings]
    rings += [(c.inclusion, circle_ring(c.centre, c.radius_m, inclusion=c.inclusion)) for c in file.circles]
    return Geofence(
        tuple(corners for inclusion, corners in rings if inclusion),
        tuple(corners for inclusion, corners in rings if not inclusion),
        file.max_altitude,
    )


def fly_steps(route: Route, fence: Geofence, starter: Starter) -> Flight:
    """The flight that a route makes. Every placed step needs an altitude."""
    walk = _Walk(route, starter)
    walk.run()
    plan = FlightPlan(
        vehicle_id=starter.vehicle_id,
        mission=starter.mission,
        home=starter.home,
        home_amsl_m=starter.home_amsl_m,
        takeoff_height_m=walk.takeoff_height(),
        waypoints=tuple(walk.waypoints),
        fence=fence,
        return_height_m=starter.return_height_m,
        cruise_speed_m_s=starter.cruise_speed_m_s,
    )
    return Flight(plan, tuple(walk.step_of), tuple(walk.names), tuple(dict.fromkeys(walk.findings)))


@dataclass(slots=True)
class _Walk:
    route: Route
    starter: Starter
    waypoints: list[Waypoint] = field(default_factory=list)
    step_of: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    left: dict[int, int] = field(default_factory=dict)  # rounds that a jump still has
    takeoff_m: float | None = None
    speed_m_s: float | None = None
    ended: bool = False

    def run(self) -> None:
        at = done = 0
        steps = self.route.steps
        while at < len(steps) and not self.ended:
            done += 1
            before, at = at, self._step(at, steps[at])
            if done > _MAX_STEPS_DONE or len(self.waypoints) > MAX_WAYPOINTS:
                why = f"loops and circles make more than {MAX_WAYPOINTS:,} waypoints; lower their counts"
                self._say("too-long", Severity.BLOCKER, before, f"is where {why}")
                return
        if self.ended:
            for index in range(at, len(steps)):
                if steps[index].position is not None and index not in self.step_of:
                    self._say("after-the-end", Severity.WARNING, index, "comes after the return or landing; not flown")
        else:
            why = "the mission does not end with a return or a landing: the vehicle stays where it is; add a return"
            self.findings.append(Finding("no-return", Severity.WARNING, why, len(steps) - 1 if steps else None))

    def takeoff_height(self) -> float:
        if self.takeoff_m is not None:
            return self.takeoff_m
        if not self.waypoints:
            return 0.0
        altitude = self.waypoints[0].altitude
        if altitude.datum is Datum.AMSL:
            return altitude.value_m - self.starter.home_amsl_m
        return altitude.value_m

    def _say(self, code: str, severity: Severity, index: int, what: str) -> None:
        step = self.route.steps[index]
        message = f"item {index + 1} ({step.name}) {what}"
        self.findings.append(Finding(code, severity, message, index, step.position))

    def _step(self, at: int, step: Step) -> int:
        command, first, second = step.command, step.params[0] or 0.0, step.params[1] or 0.0
        if command == DO_JUMP:
            return self._jump(at, int(first), int(second))
        if command == NAV_RETURN_TO_LAUNCH:
            self.ended = True
        elif command == NAV_TAKEOFF:
            self._takeoff(at, step)
        elif command in {NAV_WAYPOINT, NAV_SPLINE_WAYPOINT}:
            if command == NAV_SPLINE_WAYPOINT:
                self._say("spline", Severity.WARNING, at, "is flown as a curve; only the straight leg is checked")
            self._add(at, step, hold_s=first)
        elif command in {NAV_LOITER_UNLIM, NAV_LOITER_TURNS, NAV_LOITER_TIME, NAV_LOITER_TO_ALT}:
            self._loiter(at, step)
        elif command == NAV_LAND:
            self._land(at, step)
        elif command == NAV_DELAY:
            self._delay(at, step)
        elif command == DO_CHANGE_SPEED:
            if first in _OVER_GROUND and second > 0.0:
                self.speed_m_s = second
        elif command == _DO_FENCE_ENABLE:
            if first != 1.0:
                self._say("fence-off", Severity.BLOCKER, at, "switches the fence off; remove it")
        elif command not in _HARMLESS:
            self._say("unsupported-item", Severity.BLOCKER, at, "cannot be checked; remove it or fly it by hand")
        if not step.autocontinue and not self.ended:
            what = "does not go on by itself (autocontinue is off): the vehicle waits there until its battery is empty"
            self._say("stops-here", Severity.BLOCKER, at, f"{what}; switch it on")
        return at + 1

    def _jump(self, at: int, target: int, rounds: int) -> int:
        if not 0 <= target < len(self.route.steps):
            self._say("jump-target", Severity.BLOCKER, at, f"goes to item {target + 1}, which there is not")
            return at + 1
        if rounds < 0:
            self._say("jump-endless", Severity.BLOCKER, at, "repeats without end; give it a count")
            rounds = 1
        left = self.left.get(at, rounds)
        if left <= 0:
            self.left.pop(at, None)
            return at + 1
        self.left[at] = left - 1
        return target

    def _at(self) -> tuple[GeoPoint, Altitude]:
        """Where the vehicle is before a step."""
        if self.waypoints:
            return self.waypoints[-1].position, self.waypoints[-1].altitude
        return self.starter.home, Altitude(self.takeoff_m or 0.0, Datum.HOME)

    def _add(self, index: int, step: Step, *, hold_s: float = 0.0, position: GeoPoint | None = None) -> None:
        here, height = self._at()
        altitude = step.altitude if step.altitude is not None else height
        place = position or step.position or here
        yaw, circled = step.params[3], " (loiter circle)" if position is not None else ""
        early = step.params[1] if step.command in {NAV_WAYPOINT, NAV_SPLINE_WAYPOINT} else None
        radius = early if early is not None and early > 0.0 else self.starter.radius_m
        self.waypoints.append(
            Waypoint(place, altitude, self.speed_m_s, max(0.0, hold_s), radius, None if circled else yaw)
        )
        self.step_of.append(index)
        self.names.append(f"item {index + 1}{circled}")
        self.speed_m_s = None

    def _delay(self, index: int, step: Step) -> None:
        seconds = step.params[0] or 0.0
        if seconds < 0.0:
            self._say("waits-for-a-time", Severity.BLOCKER, index, "waits for a time of day; give it seconds")
        elif seconds and self.waypoints:
            self.waypoints[-1] = replace(self.waypoints[-1], hold_s=self.waypoints[-1].hold_s + seconds)
        elif seconds:  # over the pad
            self._add(index, replace(step, params=(seconds, None, None, None)), hold_s=seconds)

    def _takeoff(self, index: int, step: Step) -> None:
        altitude = step.altitude or Altitude(0.0, Datum.HOME)
        height = altitude.value_m - (self.starter.home_amsl_m if altitude.datum is Datum.AMSL else 0.0)
        if self.takeoff_m is None and not self.waypoints:
            self.takeoff_m = height
            if step.position is not None and distance_m(self.starter.home, step.position) > _SAME_PLACE_M:
                self._add(index, step)  # PX4 climbs on the spot and then flies there
            return
        self._say("second-take-off", Severity.WARNING, index, "is a take-off in the air; checked as a waypoint")
        self._add(index, step)

    def _land(self, index: int, step: Step) -> None:
        here, height = self._at()
        place = step.position or here
        away = distance_m(place, self.starter.home)
        if away > _PAD_M:
            what = f"lands {said(away)} from home; the way there is checked, the descent and the ground there are not"
            self._say("lands-away", Severity.WARNING, index, what)
        if distance_m(here, place) > _APART_M:  # flown to at the height that the vehicle has: it does not climb first
            self._add(index, replace(step, position=place, altitude=height))
        self.ended = True

    def _loiter(self, index: int, step: Step) -> None:
        command, first = step.command, step.params[0] or 0.0
        given = step.params[1] if command == NAV_LOITER_TO_ALT else step.params[2]
        radius = abs(given or 0.0)
        if not radius and command in {NAV_LOITER_TURNS, NAV_LOITER_TO_ALT}:
            radius = _DEFAULT_RADIUS_M
            what = f"says no radius: the autopilot's own is flown; checked with PX4's {radius:.0f} m"
            self._say("loiter-radius", Severity.WARNING, index, what)
        if command == NAV_LOITER_UNLIM:
            self._say("loiter-endless", Severity.BLOCKER, index, "never ends; use a loiter by time or turns")
        if radius > _MAX_RADIUS_M:
            what = f"has a radius of {said(radius)}, more than {said(_MAX_RADIUS_M)}; correct it"
            self._say("loiter-radius", Severity.BLOCKER, index, what)
            radius = 0.0
        hold_s = first if command == NAV_LOITER_TIME else 0.0
        before, height = self._at()
        # Only on the circle does PX4 change to another height.
        levels = [step] if command != NAV_LOITER_TO_ALT else [replace(step, altitude=height), step]
        if levels[0].altitude == step.altitude:
            levels = [step]
        if radius < _HOVER_RADIUS_M:
            for level in levels:
                self._add(index, level, hold_s=hold_s)
            return
        rounds = max(1, math.ceil(first)) if command == NAV_LOITER_TURNS else 1
        centre = step.position or before
        sides = max(8, min(_SIDES, int(2.0 * math.pi * radius / _SHORTEST_SIDE_M)))
        reach = radius / math.cos(math.pi / sides)  # the sides lie outside the circle
        start = bearing_deg(centre, before) if distance_m(centre, before) > 1.0 else 0.0
        ring = [destination(centre, start + 360.0 * i / sides, reach) for i in range(sides)]
        self._add(index, levels[0], position=ring[0])
        for level in levels * min(rounds, MAX_WAYPOINTS // sides + 1):
            for place in (*ring[1:], ring[0]):
                self._add(index, level, position=place)
        if hold_s:
            self.waypoints[-1] = replace(self.waypoints[-1], hold_s=hold_s)


def check_rally(rally: Sequence[RallyPoint], plan: FlightPlan) -> list[Finding]:
    """Rally points inside the fence, outside keep-outs: a vehicle may be sent there from anywhere."""
    if not rally or not plan.fence.inclusion:
        return []
    shape = fence_shape(plan.fence, LocalFrame(plan.home))
    findings = []
    for number, point in enumerate(rally, 1):
        at = Point(shape.frame.to_enu(point.position))
        if not shape.inside.covers(at) or any(shapely.intersects(k, at) for k in shape.keep_outs):
            message = f"rally point {number} lies outside the fence or in a keep-out; move it"
            findings.append(Finding("rally-outside-fence", Severity.BLOCKER, message, None, point.position))
    return findings

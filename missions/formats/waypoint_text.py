# SPDX-License-Identifier: AGPL-3.0-or-later
"""MAVLink waypoint text, "QGC WPL 110": one mission item a line, twelve fields between tabs.

index, current, frame, command, four parameters, latitude, longitude, altitude, autocontinue. In version 110 line 0 is
the home position (command 16, frame 0), and jumps count from there; version 120 has no home, and its jumps count items
from 0. Some tools write 110 without a home: a line 0 that is anything else but a waypoint above mean sea level is
taken as the first item.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NoReturn

from missions.errors import PlanError
from missions.formats.flight_file import (
    DO_JUMP,
    NAV_WAYPOINT,
    FlightFile,
    Home,
    Loss,
    Route,
    Step,
    Written,
    losses_of_fence,
    losses_of_orders,
    losses_of_places,
    one_route,
    refuse_swapped,
)
from missions.formats.qgc_file import DATUM_OF_FRAME, FRAME_MISSION, FRAME_OF_DATUM, MAX_STEPS
from missions.geo import Altitude, Datum, GeoError, GeoPoint

_FIELDS = 12
_WHAT = "a waypoint file"


def read_waypoint_text(text: str, *, source: str) -> FlightFile:
    """Read waypoint text. Raises PlanError naming the line."""
    lines = text.splitlines()
    head = lines[0].split() if lines else []
    if head not in (["QGC", "WPL", "110"], ["QGC", "WPL", "120"]):
        raise PlanError(f'{source}: line 1: is no waypoint file: it begins with "QGC WPL 110"')
    steps: list[Step] = []
    home: Home | None = None
    offset = 0
    for number, line in enumerate(lines[1:], 2):
        if not line.strip() or line.startswith("#"):
            continue
        read = _Line(source, number, line)
        if read.whole(0, "index") != len(steps) + offset:
            read.fail(f"index {read.fields[0]} is out of order; {len(steps) + offset} comes here")
        first = not steps and not offset
        if first and head[2] == "110" and read.whole(2, "frame") == 0 and read.whole(3, "command") == NAV_WAYPOINT:
            home, offset = Home(read.point(), read.number(10, "altitude")), 1
            continue
        if len(steps) >= MAX_STEPS:
            read.fail(f"is item {MAX_STEPS + 1}; no plan is that long")
        steps.append(read.step())
    file = FlightFile((Route("mission", _linked(steps, offset, source), home),))
    refuse_swapped(file, None, source)
    return file


def _linked(steps: list[Step], offset: int, source: str) -> tuple[Step, ...]:
    out = []
    for step in steps:
        target = step.params[0]
        if step.command != DO_JUMP or target is None:
            out.append(step)
            continue
        index = int(target) - offset
        if not 0 <= index < len(steps):
            raise PlanError(f"{source}: {step.place}: jumps to item {int(target)}, which there is not")
        out.append(replace(step, params=(float(index), *step.params[1:])))
    return tuple(out)


class _Line:
    def __init__(self, source: str, number: int, line: str) -> None:
        self.source, self.line = source, number
        self.fields = line.split()
        if len(self.fields) != _FIELDS:
            self.fail(f"has {len(self.fields)} fields, not {_FIELDS}")

    def fail(self, message: str) -> NoReturn:
        raise PlanError(f"{self.source}: line {self.line}: {message}")

    def _float(self, field: int, what: str) -> float:
        try:
            return float(self.fields[field])
        except ValueError:
            self.fail(f"{what} must be a number, not {self.fields[field][:30]!r}")

    def number(self, field: int, what: str) -> float:
        value = self._float(field, what)
        if not math.isfinite(value):
            self.fail(f"{what} must be a finite number")
        return value

    def whole(self, field: int, what: str) -> int:
        value = self.number(field, what)
        if value != int(value):
            self.fail(f"{what} must be a whole number, not {self.fields[field]}")
        return int(value)

    def param(self, number: int) -> float | None:
        value = self._float(3 + number, f"parameter {number}")
        if math.isinf(value):
            self.fail(f"parameter {number} must not be infinite")
        return None if math.isnan(value) else value

    def point(self) -> GeoPoint:
        try:
            return GeoPoint(self.number(8, "latitude"), self.number(9, "longitude"))
        except GeoError as error:
            self.fail(str(error))

    def step(self) -> Step:
        params = (self.param(1), self.param(2), self.param(3), self.param(4))
        goes_on = self.whole(11, "autocontinue") != 0
        step = Step(self.whole(3, "command"), params, autocontinue=goes_on, place=f"line {self.line}")
        frame = self.whole(2, "frame")
        if frame == FRAME_MISSION:
            rest = self.number(8, "x"), self.number(9, "y"), self.number(10, "z")
            return replace(step, rest=rest)
        if frame not in DATUM_OF_FRAME:
            self.fail(f"altitude frame {frame} is unknown; use 3 (above home) or 0 (above mean sea level)")
        altitude = Altitude(self.number(10, "altitude"), DATUM_OF_FRAME[frame])
        here = self.number(8, "latitude") == 0.0 == self.number(9, "longitude")
        return replace(step, position=None if here else self.point(), altitude=altitude)


def write_waypoint_text(file: FlightFile) -> Written:
    """The first route. Raises PlanError for a file without one."""
    route, losses = one_route(file, _WHAT)
    losses += [*losses_of_fence(file, _WHAT), *losses_of_places(file, _WHAT), *losses_of_orders(route, _WHAT)]
    if route.cruise_speed_m_s is not None:
        losses.append(Loss(route.name, f"the cruise speed of {route.cruise_speed_m_s:g} m/s has no place in {_WHAT}"))
    home = route.home
    if home is None or home.amsl_m is None:
        place = home.position if home else next((s.position for s in route.steps if s.position is not None), None)
        if place is None:
            raise PlanError(f"route {route.name}: holds no place at all, so that there is nothing to write")
        home = Home(place, 0.0)
        losses.append(Loss(route.name, f"{_WHAT} begins with a home and its height: set to the first place at 0 m"))
    lines = ["QGC WPL 110"]
    lines.append(_row(0, 0, NAV_WAYPOINT, (0.0, 0.0, 0.0, 0.0), _degrees(home.position), home.amsl_m or 0.0, True))
    for index, step in enumerate(route.steps):
        params = step.params
        if step.command == DO_JUMP and params[0] is not None:
            params = (params[0] + 1, *params[1:])
        frame, z = FRAME_MISSION, step.rest[2]
        xy = _number(step.rest[0]), _number(step.rest[1])
        if step.position is not None or step.altitude is not None:
            altitude = step.altitude or Altitude(0.0, Datum.HOME)
            xy = ("0", "0") if step.position is None else _degrees(step.position)
            frame, z = FRAME_OF_DATUM.get(altitude.datum, 3), altitude.value_m
            if step.altitude is None or altitude.datum not in FRAME_OF_DATUM:
                why = "has no altitude" if step.altitude is None else "has an altitude above the ellipsoid"
                losses.append(Loss(step.place or f"step {index + 1}", f"{why}: it is written as 0 m above home"))
                z = 0.0
        lines.append(_row(index + 1, frame, step.command, params, xy, z, step.autocontinue))
    return Written(("\n".join(lines) + "\n").encode(), tuple(losses))


def _number(value: float | None) -> str:
    return "nan" if value is None else f"{value!r}" if value != int(value) else str(int(value))


def _degrees(point: GeoPoint) -> tuple[str, str]:
    return repr(point.latitude_deg), repr(point.longitude_deg)


def _row(
    index: int,
    frame: int,
    command: int,
    params: tuple[float | None, ...],
    xy: tuple[str, str],
    z: float,
    autocontinue: bool,
) -> str:
    numbers = [_number(p) for p in params]
    return "\t".join(
        [str(index), str(int(index == 0)), str(frame), str(command), *numbers, *xy, _number(z), str(int(autocontinue))]
    )

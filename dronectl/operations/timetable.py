# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a site, a timetable file and a day to flights, and from them to JSON and CSV.

Everything that decides is in `missions.revisit`; here calendars become hours of one day, and the site's items, docks,
schools and limits are put to it.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import Point, Polygon

from dronectl.errors import BadInputError
from dronectl.operations.planning import energy_of, finding_document, refuse_wind
from dronectl.operations.timetable_file import TimetableModel, hours_s, joined
from dronectl.operations.timetable_plans import DayPlanner, layer_height_m
from dronectl.site import Drone, Site
from dronectl.yaml_lines import LineFinder, load_yaml
from missions.energy import Performance, PlanEnergy, path_length_m, plan_energy
from missions.errors import PlanningError
from missions.feasibility import blockers
from missions.fences import fence_margin_m, fence_shape
from missions.geo import GeoPoint
from missions.model import Budget, Finding, FlightPlan
from missions.revisit.day import Craft, DayTask, Timetable, Urgent, Visit, Watch
from missions.revisit.reasons import clock
from missions.revisit.timetable import plan_day
from missions.revisit.ways import Closed, Place, Ways
from missions.terrain import height_at

_SLACK_M = 1.0
# Turns and climbs that a timetable does not count, and its plans do: kept free before the next flight, and in wind in
# the battery.
_RECKONING_S = 25.0


@dataclass(frozen=True, slots=True, eq=False)
class SiteDay:
    """A day's timetable with what it was made from; intervals in the task have the weights counted in."""

    site: Site
    day: date
    task: DayTask
    found: Timetable
    weights: dict[str, float]
    closed: tuple[Closed, ...]
    plans: tuple[FlightPlan, ...]  # of found.flights, in their order, as the next two
    energies: tuple[PlanEnergy, ...]
    findings: tuple[tuple[Finding, ...], ...]
    wind_m_s: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing forbids any of the flights."""
        return not any(blockers(f) for f in self.findings)


def read_timetable_file(site: Site, file: Path | None) -> tuple[TimetableModel, Path | None, LineFinder | None]:
    """The named file, else timetable.yaml beside the site file, else the defaults."""
    beside = site.file.parent / "timetable.yaml"
    chosen = file or (beside if beside.is_file() else None)
    if chosen is None:
        return TimetableModel(schema_version=1), None, None
    model, lines = load_yaml(chosen, TimetableModel)
    _check(site, model, lines)
    return model, chosen, lines


def _check(site: Site, model: TimetableModel, lines: LineFinder) -> None:
    """Every name in the file is one of the site's, or one of the file's calendars."""
    points, schools = {p.place_id for p in site.points}, {s.line_id for s in site.schools}
    items = points | {x.line_id for x in site.lines}
    findings: list[str] = []

    def known(path: tuple[int | str, ...], what: str, name: str | None, names: set[str]) -> None:
        if name is not None and name not in names:
            findings.append(lines.say(path, f"there is no {what} {name!r}; there are: {', '.join(sorted(names))}"))

    calendars = set(model.calendars)
    for name, item in model.items.items():
        known(("items", name), "must-patrol item", name, items)
        known(("items", name, "calendar"), "calendar", item.calendar, calendars)
    for index, watch in enumerate(model.watches):
        known(("watches", index, "point"), "must-patrol point", watch.point, points)
        known(("watches", index, "calendar"), "calendar", watch.calendar, calendars)
    for index, closed in enumerate(model.closed):
        known(("closed", index, "school"), "school", closed.school, schools)
        known(("closed", index, "calendar"), "calendar", closed.calendar, calendars)
    if findings:
        raise BadInputError("\n".join(findings))


def read_weights(file: Path, site: Site) -> dict[str, float]:
    """Weights of items from a heat.json, or any JSON object with `weights`. Raises BadInputError."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{file}: cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise BadInputError(f"{file}:{error.lineno}: is no JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; a tower of brackets
        raise BadInputError(f"{file}: is no JSON: {error}") from error
    weights = document.get("weights") if isinstance(document, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise BadInputError(f"{file}: weights: is missing or empty; give the heat.json of `dronectl plan heat`")
    items = {p.place_id for p in site.points} | {x.line_id for x in site.lines}
    for name, value in weights.items():
        if name not in items:
            raise BadInputError(f"{file}: weights: there is no item {name!r} at site {site.site_id}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.05 <= value <= 20.0:
            raise BadInputError(f"{file}: weights: {name} is {value!r}; a weight is a number from 0.05 to 20")
    return {name: float(value) for name, value in weights.items()}


def day_at_site(
    site: Site,
    model: TimetableModel,
    day: date,
    budget: Budget,
    *,
    weights: dict[str, float] | None = None,
    urgent: Sequence[tuple[float, GeoPoint, float]] = (),
    drone_ids: Sequence[str] | None = None,
    wind_m_s: float = 0.0,
) -> SiteDay:
    """Plan a day. urgent: (seconds of the day, place, seconds to stay). Raises BadInputError.

    wind_m_s: of the whole day, against every leg.
    """
    refuse_wind(site, wind_m_s)
    drones = site.drones if drone_ids is None else tuple(site.drone(d) for d in dict.fromkeys(drone_ids))
    task = _task(site, model, day, drones, weights or {}, wind_m_s)
    orders = tuple(
        Urgent(f"urgent-{i}", at, _inside(site, task, place, i), stay) for i, (at, place, stay) in enumerate(urgent, 1)
    )
    try:
        planner = DayPlanner(site, drones, wind_m_s)
        found = plan_day(task, budget, orders, settle=planner.settle)
        first_s = min((f.depart_s for f in found.flights), default=0.0)
        plans = tuple(planner.plan_of(f).at_start(round(f.depart_s - first_s, 1)) for f in found.flights)
    except PlanningError as error:
        raise BadInputError(f"{day.isoformat()}: {error}") from error
    energies = tuple(energy_of(site, plan, wind_m_s=wind_m_s) for plan in plans)
    findings = planner.findings(found.flights, plans, energies, 60.0 * model.swap_min)
    return SiteDay(site, day, task, found, weights or {}, task.ways.closed, plans, energies, findings, wind_m_s)


def _inside(site: Site, task: DayTask, place: GeoPoint, number: int) -> Place:
    east, north = site.frame.to_enu(place)
    away = float(shapely.distance(task.ways.area, Point(east, north)))
    if away > 0.0:
        raise BadInputError(
            f"urgent mission {number} at {place.latitude_deg:.6f}, {place.longitude_deg:.6f} lies {away:.0f} m outside "
            "where legs may go (the fence less position error and braking way); move it"
        )
    return east, north


def _task(
    site: Site,
    model: TimetableModel,
    day: date,
    drones: Sequence[Drone],
    weights: dict[str, float],
    wind_m_s: float,
) -> DayTask:
    speed, limits = site.limits.cruise_speed_m_s, site.limits
    performance = Performance(limits, wind_m_s)
    margin = fence_margin_m(speed, limits) + _SLACK_M
    shape = fence_shape(site.fence, site.frame)
    room = shape.inside.buffer(-margin, join_style="mitre")
    for ring in shape.keep_outs:
        room = room.difference(ring.buffer(margin, join_style="mitre", mitre_limit=1.5))
    # Near a pad the drone is slow: there only the position error counts, as it does for the feasibility rules.
    near = shape.allowed(limits.position_error_m)
    pads = [site.frame.to_enu(d.pad) for d in drones]
    area = shapely.union_all([room, *(Point(p).buffer(margin - 2 * _SLACK_M).intersection(near) for p in pads)])
    places = [*pads]
    visits: list[Visit] = []
    service = _services(site, performance, speed)
    patrol = hours_s(model.hours)
    number: dict[str, int] = {}
    one_way = {x.line_id for x in site.lines if x.one_way}
    for point in site.points:
        number[point.place_id] = len(places)
        places.append(site.frame.to_enu(point.position))
    shown: list[tuple[str, tuple[Place, ...]]] = [(p.place_id, (site.frame.to_enu(p.position),)) for p in site.points]
    shown += [(x.line_id, tuple(site.frame.to_enu(q) for q in x.path)) for x in site.lines]
    for item_id, path in shown:
        item = model.items.get(item_id)
        interval = model.interval_of(item_id)
        if interval is None:
            continue
        windows = model.calendars[item.calendar].windows(day) if item and item.calendar else (patrol,)
        windows = tuple((max(a, patrol[0]), min(b, patrol[1])) for a, b in windows if a < patrol[1] and b > patrol[0])
        if item_id in number:
            entry = leave = number[item_id]
        else:
            entry, leave = len(places), len(places) + 1
            places += [path[0], path[-1]]
        seconds = 60.0 * interval / weights.get(item_id, 1.0)
        if windows:
            visits.append(Visit(item_id, entry, leave, path, service[item_id], seconds, windows, item_id in one_way))
    watched: dict[str, list[tuple[float, float]]] = {}
    for w in model.watches:
        watched.setdefault(w.point, []).extend(model.calendars[w.calendar].windows(day))
    watches = [Watch(point, number[point], joined(hours)) for point, hours in watched.items() if hours]
    closed = tuple(_closed(site, model, day, margin))
    ways = Ways(area, np.asarray(places), performance, speed, closed)
    craft = tuple(_craft(site, d, i, performance) for i, d in enumerate(drones))
    swap_s = 60.0 * model.swap_min + _RECKONING_S
    return DayTask(ways, tuple(visits), tuple(watches), craft, swap_s, patrol, model.overlap_s)


def _services(site: Site, performance: Performance, speed: float) -> dict[str, float]:
    """Seconds of each item's service: stop and dwell at a point, the flight along a line with its bends."""
    stop_s = performance.corner_s(speed, 180.0)
    out = {p.place_id: p.dwell_s + stop_s if p.dwell_s > 0 else 0.0 for p in site.points}
    for line in site.lines:
        corners = [site.frame.to_enu(p) for p in line.path]
        bends = sum(
            performance.corner_s(speed, _turn_deg(a, b, c))
            for a, b, c in zip(corners, corners[1:], corners[2:], strict=False)
        )
        out[line.line_id] = path_length_m(line.path) / performance.ground_speed_m_s(speed) + bends
    return out


def _turn_deg(a: Place, b: Place, c: Place) -> float:
    before, after = math.atan2(b[1] - a[1], b[0] - a[0]), math.atan2(c[1] - b[1], c[0] - b[0])
    return abs(math.degrees((after - before + math.pi) % (2.0 * math.pi) - math.pi))


def _closed(site: Site, model: TimetableModel, day: date, margin: float) -> list[Closed]:
    rings = {s.line_id: s for s in site.schools}
    out = []
    for entry in model.closed:
        windows = model.calendars[entry.calendar].windows(day)
        keep = margin if entry.margin_m is None else entry.margin_m
        area = Polygon([site.frame.to_enu(p) for p in rings[entry.school].path]).buffer(keep)
        if windows:
            out.append(Closed(entry.school, area, windows))
    return out


def _craft(site: Site, drone: Drone, number: int, performance: Performance) -> Craft:
    """A drone and what its battery gives: all of it less the reserve, the climb paid, at cruise power."""
    limits = site.limits
    height = layer_height_m(site, number)
    home = drone.pad
    empty = FlightPlan(
        drone.drone_id, site.new_mission("timetable"), home, height_at(site.terrain, home), height, (), site.fence,
        drone.return_height_m, limits.cruise_speed_m_s,
    )  # fmt: skip
    fixed = plan_energy(empty, limits, wind_m_s=performance.wind_m_s)
    takeoff = fixed.time_s - performance.landing(height)[0]
    # The autopilot comes home at its return height: it climbs to it, stops above the pad, and lands from there.
    top = max(height, drone.return_height_m)
    climb_s, climb_power_s = performance.climb(top - height)
    landing = climb_s + performance.corner_s(limits.cruise_speed_m_s, 180.0) + performance.landing(top)[0]
    usable = limits.endurance_s * (1.0 - limits.reserve_fraction) - fixed.battery_fraction_used * limits.endurance_s
    usable -= landing - performance.landing(height)[0] + climb_power_s - climb_s
    flying = usable / performance.level_power(performance.ground_speed_m_s(limits.cruise_speed_m_s))
    if performance.wind_m_s > 0.0:  # then batteries are what ends flights
        flying -= _RECKONING_S
    if flying <= 0.0:
        raise BadInputError(f"{site.file}: limits: the battery is spent by take-off and landing; check endurance_s")
    return Craft(drone.drone_id, number, takeoff + flying + landing, takeoff, landing)


def timetable_document(made: SiteDay) -> dict[str, Any]:
    """Everything about a day as JSON; times are local, hh:mm:ss."""
    found, frame = made.found, made.site.frame

    def degrees(path: Sequence[Place]) -> list[list[float]]:
        return [[round(float(v), 7) for v in row] for row in frame.to_geo_array(np.asarray(path))]

    wanted = {v.item_id: v for v in made.task.visits}
    return {
        "schema_version": 1,
        "kind": "timetable",
        "site_id": made.site.site_id,
        "day": made.day.isoformat(),
        "timezone": made.site.model.timezone,
        "hours": [clock(t) for t in made.task.hours],
        "wind_m_s": made.wind_m_s,
        "swap_s": made.task.swap_s,
        "worst_ratio": round(found.worst_ratio, 4),
        "worst_ratio_bound": round(found.bound, 4),
        "all_kept": not found.misses,
        "clean": made.clean,
        "weights": made.weights,
        "closed": [{"school": c.name, "hours": [[clock(a), clock(b)] for a, b in c.windows]} for c in made.closed],
        "items": [
            {
                "item": k.item_id,
                "interval_s": round(wanted[k.item_id].interval_s, 1),
                "windows": [[clock(a), clock(b)] for a, b in wanted[k.item_id].windows],
                "visits": [clock(t) for t in k.arrivals_s],
                "longest_without_s": round(k.worst_s, 1),
                "ratio": round(k.ratio, 4),
            }
            for k in found.kept
        ],
        "flights": [
            {
                "number": number,
                "drone": f.vehicle_id,
                "kind": f.kind,
                "takeoff": clock(f.depart_s),
                "landed": clock(f.landed_s),
                "seconds": round(f.landed_s - f.depart_s, 1),
                "stops": [
                    {"kind": s.kind, "item": s.item_id, "arrive": clock(s.arrive_s), "leave": clock(s.leave_s)}
                    for s in f.stops
                ],
                "given_up": list(f.dropped),
                "findings": [finding_document(x) for x in made.findings[number - 1]],
                "legs": [{"from": clock(m.start_s), "to": clock(m.end_s), "path": degrees(m.path_m)} for m in f.moves],
            }
            for number, f in enumerate(found.flights, 1)
        ],
        "not_kept": [
            {
                "item": m.item_id,
                "what": "visit" if m.item_id in wanted and m.wanted_s > 0.0 else "presence",
                "from": clock(m.from_s),
                "to": clock(m.to_s),
                "wanted_s": round(m.wanted_s, 1),
                "why": m.why,
            }
            for m in found.misses
        ],
        "tries": found.tried,
    }


def timetable_csv(made: SiteDay) -> str:
    """One row per stop, in the order of take-offs; UTF-8 with a mark, so that spreadsheets read it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["flight", "drone", "kind", "takeoff", "item", "what", "arrive", "leave", "landed"])
    for number, f in enumerate(made.found.flights, 1):
        for s in f.stops:
            writer.writerow(
                [number, f.vehicle_id, f.kind, clock(f.depart_s), s.item_id, s.kind, clock(s.arrive_s),
                 clock(s.leave_s), clock(f.landed_s)]
            )  # fmt: skip
    return "\ufeff" + out.getvalue()

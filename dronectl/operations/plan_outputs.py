# SPDX-License-Identifier: AGPL-3.0-or-later
"""What every planner writes: a `.plan` per flight, all routes as GeoJSON, KML and one page, and numbers under common names.

A planner hands over its flights, what it made small (or great) and the bound that it holds that against; names of
files and keys are then the same for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dronectl.errors import BadInputError
from dronectl.plain_text import minutes
from dronectl.report.routes_page import PageFlight, PageText, Tile, render_routes
from dronectl.site import Site
from missions.energy import PlanEnergy
from missions.formats.flight_file import FlightFile, NamedPlace, Ring, Route
from missions.formats.geojson import write_geojson
from missions.formats.kml import write_kml
from missions.formats.qgc_file import read_qgc
from missions.formats.qgc_plan import write_plan
from missions.model import Finding, FlightPlan

Kind = Literal["patrol", "cover", "map", "search", "timetable", "separate", "circuits"]
Unit = Literal["s", "share", "of_interval", "m"]

_KINDS: Mapping[Kind, tuple[str, str]] = {
    "patrol": ("巡逻航线", "Patrol"),
    "cover": ("区域覆盖航线", "Area coverage"),
    "map": ("测绘航线", "Mapping"),
    "search": ("搜索航线", "Search"),
    "timetable": ("一日班表航线", "Timetable of a day"),
    "separate": ("间隔调配后的航线", "Separated flights"),
    "circuits": ("常态巡逻航线", "Standing patrol"),
}


@dataclass(frozen=True, slots=True)
class PlannedFlight:
    """One flight of a result. name: its file's, without the ending; start: when, in words; shares from 0 to 1."""

    name: str
    plan: FlightPlan
    energy: PlanEnergy
    findings: tuple[Finding, ...] = ()
    start: str | None = None
    coverage: float | None = None
    pos: float | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a planner made small, and what nobody could beat; both in `unit`.

    For a search these are the probabilities of not finding, so that less is better everywhere; its `ratio` is then
    that of the probabilities of success. what_zh and what_en name the cost, proof says where the bound comes from.
    """

    cost: float
    lower_bound: float
    ratio: float
    unit: Unit
    what_zh: str
    what_en: str
    proof_zh: str
    proof_en: str


@dataclass(frozen=True, slots=True)
class PlannedFlights:
    """Everything that one run of a planner came to. `shown` is the site as its map is drawn; None: as it is."""

    kind: Kind
    site: Site
    flights: tuple[PlannedFlight, ...]
    goal: Goal
    coverage: float | None = None
    pos: float | None = None
    note: str = ""
    shown: Site | None = None


def common_keys(found: PlannedFlights) -> dict[str, Any]:
    """What every summary says of the whole; a planner without coverage or POS has null there."""
    goal = found.goal
    return {
        "planner": found.kind,
        "cost": round(goal.cost, 5),
        "cost_unit": goal.unit,
        "cost_of": goal.what_en,
        "lower_bound": round(goal.lower_bound, 5),
        "ratio": round(goal.ratio, 4),
        "coverage": None if found.coverage is None else round(found.coverage, 6),
        "pos": None if found.pos is None else round(found.pos, 5),
    }


def flight_keys(flight: PlannedFlight) -> dict[str, Any]:
    """What every summary says of each flight."""
    return {
        "file": f"{flight.name}.plan",
        "vehicle_id": flight.plan.vehicle_id,
        "start_after_s": flight.plan.start_after_s,
        "time_s": round(flight.energy.time_s, 1),
        "distance_m": round(flight.energy.length_m, 1),
        "battery_at_landing": round(flight.energy.landing_fraction, 4),
        "coverage": None if flight.coverage is None else round(flight.coverage, 6),
        "pos": None if flight.pos is None else round(flight.pos, 5),
    }


def with_common_keys(document: Mapping[str, Any], found: PlannedFlights) -> dict[str, Any]:
    """A planner's own summary with the common keys; its `flights` are in the order of the flights."""
    return {
        **document,
        **common_keys(found),
        "flights": [
            {**own, **flight_keys(flight)} for own, flight in zip(document["flights"], found.flights, strict=True)
        ],
    }


def common_files(found: PlannedFlights) -> dict[str, str]:
    """Names and texts: NAME.plan of every flight, routes.geojson, routes.kml, routes.html.

    Raises BadInputError where two flights would have one file.
    """
    names = [f.name for f in found.flights]
    if len(set(names)) != len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise BadInputError(
            f"two flights would both be written to {twice}.plan; plan for drones with names of their own"
        )
    files = {f"{f.name}.plan": write_plan(f.plan) for f in found.flights}
    files["routes.geojson"] = _geojson(found)
    files["routes.kml"] = _kml(found)
    files["routes.html"] = _page(found)
    return files


def _flight_file(found: PlannedFlights, routes: Sequence[Route]) -> FlightFile:
    """All routes with the site's fence, docks and places; each plan's own fence is in its .plan."""
    site = found.shown or found.site
    rings = [Ring(r, inclusion=True, name="fence") for r in site.fence.inclusion]
    rings += [Ring(r, inclusion=False, name="keep-out") for r in site.fence.exclusion]
    places = [NamedPlace(d.name or d.place_id, d.position, properties=(("kind", "dock"),)) for d in site.docks]
    places += [NamedPlace(p.name or p.place_id, p.position, properties=(("kind", "point"),)) for p in site.points]
    return FlightFile(tuple(routes), tuple(rings), places=tuple(places))


def _routes(found: PlannedFlights) -> list[Route]:
    """Routes as a reader of the .plan files sees them: nothing is drawn that is not flown."""
    return [
        replace(read_qgc(write_plan(f.plan), source=f"{f.name}.plan").routes[0], name=f.name) for f in found.flights
    ]


def _geojson(found: PlannedFlights) -> str:
    document = json.loads(write_geojson(_flight_file(found, _routes(found))).data)
    lines = [f for f in document["features"] if f["properties"].get("kind") == "route"]
    for feature, flight in zip(lines, found.flights, strict=True):
        feature["properties"] |= flight_keys(flight)
        if flight.start is not None:
            feature["properties"]["start"] = flight.start
        feature["properties"] |= dict(flight.properties)
    document["summary"] = common_keys(found)
    return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _kml(found: PlannedFlights) -> str:
    named = [
        replace(
            route,
            name=f"{f.name}: {'' if f.start is None else f'{f.start}, '}{minutes(f.energy.time_s)}, "
            f"{f.energy.length_m / 1000:.2f} km, {max(0.0, f.energy.landing_fraction):.0%}",
        )
        for route, f in zip(_routes(found), found.flights, strict=True)
    ]
    zh, en = _KINDS[found.kind]
    title = f"{found.site.model.name.get('zh', found.site.site_id)} {zh} {en}"
    return write_kml(_flight_file(found, named), title=title).data.decode()


def _page(found: PlannedFlights) -> str:
    goal, flights = found.goal, found.flights
    if found.pos is None:
        tiles = [
            Tile(_said(goal.cost, goal.unit), goal.what_zh, goal.what_en),
            Tile(_said(goal.lower_bound, goal.unit), "理论下界", "lower bound: nobody can do better"),
            Tile(f"{goal.ratio:.2f}", "与下界之比", "ratio to the bound"),
        ]
    else:  # a reader thinks of finding, not of missing
        tiles = [
            Tile(f"{found.pos:.1%}", "发现概率", "probability of success (POS)"),
            Tile(f"{1.0 - goal.lower_bound:.1%}", "发现概率上界", "upper bound: nobody can do better"),
            Tile(f"{goal.ratio:.2f}", "与上界之比", "ratio to the bound"),
        ]
    tiles += [
        Tile(str(len(flights)), "架次", "flights"),
        Tile(f"{sum(f.energy.length_m for f in flights) / 1000:.1f} km", "总航程", "distance in all"),
    ]
    if flights:
        least = min(f.energy.landing_fraction for f in flights)
        tiles.append(Tile(f"{max(0.0, least):.0%}", "最低落地电量", "least battery at landing"))
    if found.coverage is not None:
        tiles.append(Tile(f"{found.coverage:.1%}", "覆盖率", "of the area seen"))
    zh, en = _KINDS[found.kind]
    text = PageText(zh, en, found.note, tuple(tiles), goal.proof_zh, goal.proof_en)
    rows = [PageFlight(f.name, f.plan, f.energy, f.findings, f.start, f.coverage, f.pos) for f in flights]
    return render_routes(found.site, found.shown or found.site, rows, text)


def _said(value: float, unit: Unit) -> str:
    if unit == "s":
        return minutes(value)
    if unit == "m":
        return f"{value / 1000:.2f} km"
    return f"{value:.1%}" if unit == "share" else f"{value:.2f}"

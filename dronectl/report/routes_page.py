# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flights that were planned together as one HTML file that needs nothing beside it, in Chinese and English."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dronectl.plain_text import minutes
from dronectl.report.map_style import colour_of
from dronectl.report.plan_picture import site_map_svg
from dronectl.site import Site
from missions.energy import PlanEnergy
from missions.model import Finding, FlightPlan, Severity

_WORDS = {Severity.BLOCKER: "禁飞 blocks", Severity.WARNING: "警告 warns", Severity.INFO: "提示 note"}


@dataclass(frozen=True, slots=True)
class PageFlight:
    """One row: a flight with its numbers; shares are from 0 to 1, `start` is in words."""

    name: str
    plan: FlightPlan
    energy: PlanEnergy
    findings: tuple[Finding, ...]
    start: str | None
    coverage: float | None
    pos: float | None


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure with what it is, in both languages."""

    figure: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class PageText:
    """What kind of plan it is, the figures above the map, and what the bound below the table means."""

    kind_zh: str
    kind_en: str
    note: str
    tiles: tuple[Tile, ...]
    goal_zh: str
    goal_en: str


def render_routes(site: Site, shown: Site, flights: Sequence[PageFlight], text: PageText) -> str:
    """The page. `shown` is the site as its map is to be drawn (a drawn area instead of the patrol's items, say)."""
    plans = [f.plan for f in flights]
    names = {d.drone_id: d.name for d in site.drones}
    page = {
        "site_zh": site.model.name.get("zh", site.site_id),
        "site_en": site.model.name.get("en", site.site_id),
        "status": site.model.status.value,
        "kind_zh": text.kind_zh,
        "kind_en": text.kind_en,
        "note": text.note,
        "tiles": text.tiles,
        "goal_zh": text.goal_zh,
        "goal_en": text.goal_en,
        "with_start": any(f.start is not None for f in flights),
        "with_coverage": any(f.coverage is not None for f in flights),
        "with_pos": any(f.pos is not None for f in flights),
        "rows": [
            {
                "name": f.name,
                "drone": names.get(f.plan.vehicle_id, f.plan.vehicle_id),
                "colour": colour_of(f.plan.vehicle_id, plans),
                "start": f.start,
                "time": minutes(f.energy.time_s),
                "distance": f"{f.energy.length_m / 1000:.2f} km",
                "battery": f"{max(0.0, f.energy.landing_fraction):.0%}",
                "coverage": None if f.coverage is None else f"{f.coverage:.1%}",
                "pos": None if f.pos is None else f"{f.pos:.1%}",
                "return_height": f"{f.plan.return_height_m:.0f} m",
                "serves": ", ".join(dict.fromkeys(item for w in f.plan.waypoints for item in w.serves)),
                "findings": [_finding(x) for x in f.findings],
            }
            for f in flights
        ],
    }
    environment = Environment(
        loader=PackageLoader("dronectl.report", "templates"), autoescape=True, undefined=StrictUndefined
    )
    drawn = site_map_svg(shown, plans, listed=False)
    return environment.get_template("routes.html.j2").render(
        p=page,
        map=Markup(drawn),  # noqa: S704  # made by our own plan_picture, which escapes names
    )


def _finding(finding: Finding) -> dict[str, str | None]:
    at = finding.position
    return {
        "severity": finding.severity.value,
        "word": _WORDS[finding.severity],
        "message": finding.message,
        "code": finding.code,
        "place": None if at is None else f"{at.latitude_deg:.5f}, {at.longitude_deg:.5f}",
    }

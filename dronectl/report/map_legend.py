# SPDX-License-Identifier: AGPL-3.0-or-later
"""The panel beside a map: whose site, which drone flies what in how long, and what the symbols mean."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from dronectl.plain_text import minutes
from dronectl.report.map_style import MarkerStyle, colour_of, symbol
from dronectl.site import Site
from missions.energy import PlanEnergy
from missions.model import FlightPlan

_LINE_PX = 17.0
_WRAP = 44
_SYMBOL_PX = 22.0
DRAWN_AREA: Final = "drawn area"  # the line id of a ring that is an area to cover; no site's line can be called so

_CHINESE = {
    "dock": "机场",
    "must-patrol point": "必巡点",
    "must-patrol line": "必巡线",
    "area to cover": "覆盖区域",
    "geofence": "电子围栏",
    "keep-out": "禁飞区",
    "school": "学校",
    "fixed camera": "固定摄像机",
    "responder post": "处置力量",
    "planned": "计划航线",
    "return": "返航",
    "flown": "实飞航线",
    "true alert": "真实警报",
    "alert, unscored": "未评分警报",
    "duplicate alert": "重复警报",
    "false alarm": "误报",
    "missed": "漏报",
}


def legend(
    site: Site,
    plans: Sequence[FlightPlan],
    energies: Sequence[PlanEnergy],
    *,
    x: float,
    height: float,
    tracks: bool,
    markers: bool,
) -> str:
    """Return the panel as SVG at x, as high as the map. energies: of the plans, in their order.

    Symbols are below each other, in both languages, where there is room for that; else in two columns, in English.
    """
    panel = _Panel(x)
    panel.text(site.model.name.get("zh", site.site_id), "title", 24.0)
    if "en" in site.model.name:
        panel.text(site.model.name["en"], "head", 20.0)
    panel.text(f"status: {site.model.status.value}", "soft", 17.0)
    panel.y += 8.0
    for plan, energy in zip(plans, energies, strict=True):
        _flight(panel, site, plan, energy, plans)
    panel.y += 4.0
    ground = wrapped(f"ground: {site.terrain.source}")
    _symbols(panel, site, tracks=tracks, markers=markers, low_y=height - 14.0 - 15.0 * len(ground))
    panel.parts.append(
        "".join(
            f'<text class="soft" x="{x:.0f}" y="{height - 14 - 15 * i:.0f}">{escape(line)}</text>'
            for i, line in enumerate(reversed(ground))
        )
    )
    return "".join(panel.parts)


class _Panel:
    """Lines written one below the other."""

    def __init__(self, x: float) -> None:
        self.x, self.y = x, 14.0
        self.parts: list[str] = []

    def text(self, words: str, kind: str, step: float = _LINE_PX, indent: float = 0.0) -> None:
        self.y += step
        self.parts.append(f'<text class="{kind}" x="{self.x + indent:.0f}" y="{self.y:.0f}">{escape(words)}</text>')


def _flight(panel: _Panel, site: Site, plan: FlightPlan, energy: PlanEnergy, plans: Sequence[FlightPlan]) -> None:
    panel.y += 8.0
    colour = colour_of(plan.vehicle_id, plans)
    panel.parts.append(f'<rect x="{panel.x:.0f}" y="{panel.y + 5:.0f}" width="22" height="13" rx="3" fill="{colour}"/>')
    names = {d.drone_id: d.name for d in site.drones}
    panel.text(names.get(plan.vehicle_id, plan.vehicle_id), "head", _LINE_PX, 30.0)
    panel.text(
        f"{minutes(energy.time_s)}, {energy.length_m / 1000:.2f} km, lands with {max(0.0, energy.landing_fraction):.0%}",
        "figure",
        indent=30.0,
    )
    for line in wrapped(", ".join(item for w in plan.waypoints for item in w.serves), _WRAP - 4):
        panel.text(line, "soft", 15.0, 30.0)


def _symbols(panel: _Panel, site: Site, *, tracks: bool, markers: bool, low_y: float) -> None:
    """low_y: where the panel's last words begin."""
    entries = [("dock", "dock")]
    entries += [("point", "must-patrol point")] if site.points else []
    rings = [line.line_id == DRAWN_AREA for line in site.lines]
    entries += [("must-line", "must-patrol line")] if not all(rings) else []
    entries += [("must-line", "area to cover")] if any(rings) else []
    entries += [("fence", "geofence"), ("keepout", "keep-out")]
    entries += [("school", "school")] if site.schools else []
    entries += [("camera", "fixed camera")] if site.fixed_cameras else []
    entries += [("post", "responder post")] if site.responders else []
    entries += [("track", "flown"), ("plan-thin", "planned")] if tracks else [("plan", "planned"), ("return", "return")]
    if markers:
        entries += [
            (MarkerStyle.TRUE.value, "true alert"),
            (MarkerStyle.UNSCORED.value, "alert, unscored"),
            (MarkerStyle.DUPLICATE.value, "duplicate alert"),
            (MarkerStyle.FALSE.value, "false alarm"),
            (MarkerStyle.MISSED.value, "missed"),
        ]
    panel.y += 10.0
    bilingual = panel.y + _SYMBOL_PX * len(entries) + (8.0 + _LINE_PX if markers else 0.0) < low_y
    for index, (kind, words) in enumerate(entries):
        column = 0 if bilingual else index % 2
        if column == 0:
            panel.y += _SYMBOL_PX
        x = panel.x + 150.0 * column
        panel.parts.append(_swatch(kind, x + 11.0, panel.y))
        both = f"{_CHINESE[words]} {words}" if bilingual and words in _CHINESE else words
        panel.parts.append(f'<text x="{x + 30:.0f}" y="{panel.y + 4:.0f}">{escape(both)}</text>')

    if markers:
        panel.y += 8.0
        panel.text("ellipses: 95 % of a position's error", "soft")


def _swatch(kind: str, x: float, y: float) -> str:
    if kind in {"must-line", "plan", "return", "track", "plan-thin", "fence"}:
        style = "" if kind in {"must-line", "fence"} else ' style="stroke:#374151"'
        return f'<path class="{kind}"{style} d="M{x - 11:.0f},{y:.0f}h22"/>'
    if kind in {"keepout", "school"}:
        return f'<rect class="{kind}" x="{x - 10:.0f}" y="{y - 7:.0f}" width="20" height="14"/>'
    return symbol(kind, x, y)


def wrapped(words: str, width: int = _WRAP) -> list[str]:
    """Words in lines of at most `width` characters (a longer word has a line of its own)."""
    lines: list[str] = []
    for word in words.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines

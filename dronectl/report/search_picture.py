# SPDX-License-Identifier: AGPL-3.0-or-later
"""A search as a map (SVG): where the person may be, as a tint over the ground, and who flies where."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np

from dronectl.operations.flying_on import aloft_change_text
from dronectl.operations.line_features import LineFeature
from dronectl.operations.searching import SiteSearch
from dronectl.plain_text import minutes
from dronectl.report.hillshade import png_bytes
from dronectl.report.map_legend import wrapped
from dronectl.report.map_style import STYLE, colour_of
from dronectl.report.plan_picture import _DEFINITIONS, _everything, _Sheet
from dronectl.site import Site
from missions.geo import GeoPoint, LocalFrame
from missions.search.probability import ProbabilityMap

_PANEL_PX = 330.0
_DARKEST = np.array([126.0, 20.0, 110.0])  # of the probability's tint; white is none
_STEPS = 260.0
_LINE_STYLE = {
    "road": "fill:none;stroke:#57534e;stroke-width:2.4;stroke-opacity:.8",
    "track": "fill:none;stroke:#78716c;stroke-width:1.6;stroke-dasharray:6 3",
    "stream": "fill:none;stroke:#0284c7;stroke-width:1.8;stroke-opacity:.8",
    "edge": "fill:none;stroke:#4d7c0f;stroke-width:1.4;stroke-dasharray:2 3",
}
_LINE_NAME = {
    "road": "道路 road",
    "track": "小路 track or path",
    "stream": "溪流 stream",
    "edge": "边界 edge (wall, power line)",
}


def search_map_svg(site: Site, found: SiteSearch, lines: Sequence[LineFeature] = ()) -> str:
    """Draw the map: probability, lines on the ground, fence, tracks, the place last seen, and the figures beside it."""
    plans = [f.plan for f in found.plan.flights]
    sheet = _Sheet(site.frame, [*_everything(site, plans, (), ()), found.at])
    sheet.ground(site)
    url = _tint_png_url(found.chart, sheet.frame, sheet.box_m)
    sheet.parts.append(
        f'<image x="0" y="0" width="{sheet.width:.0f}" height="{sheet.height:.0f}" preserveAspectRatio="none" '
        f'style="mix-blend-mode:multiply" opacity="0.85" href="{url}"/>'
    )
    for feature in lines:
        near = [p for p in feature.points if _on(sheet, p)]
        if near:
            sheet.line("ground-line", feature.points, _LINE_STYLE[feature.kind])
    sheet.fence(site)
    for plan in plans:
        colour = colour_of(plan.vehicle_id, plans)
        way = [plan.home, *(w.position for w in plan.waypoints)]
        sheet.line("plan-casing", way, "stroke-width:3.6")  # d3's colour is near the darkest tint
        sheet.line("plan", way, f"stroke:{colour};stroke-width:1.8")
        sheet.line("return-thin", [way[-1], plan.home], f"stroke:{colour}")
        for waypoint in plan.waypoints:
            if waypoint.hold_s > 0.0:
                sheet.parts.append(hold_mark(*sheet.px(waypoint.position), waypoint.hold_s, colour))
    sheet.parts.append(last_seen_mark(*sheet.px(found.at)))
    sheet.furniture()
    name = escape(site.model.name.get("en", site.site_id), quote=True)
    panel, low = _panel(site, found, sheet.width + 20.0, lines)
    high = max(sheet.height, low + 16.0)  # much to doubt makes a long panel
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {sheet.width + _PANEL_PX:.0f} {high:.0f}" '
        f'class="dm" role="img" aria-label="Search, {name}"><style>{STYLE}</style>{_DEFINITIONS}'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<svg width="{sheet.width:.0f}" height="{sheet.height:.0f}">{"".join(sheet.parts)}</svg>'
        f"{panel}</svg>\n"
    )


def last_seen_mark(x: float, y: float) -> str:
    """The cross on the place last seen."""
    return (
        f'<g transform="translate({x:.1f},{y:.1f})"><path d="M-11,0H11M0,-11V11" stroke="#fff" stroke-width="6"/>'
        '<path d="M-11,0H11M0,-11V11" stroke="#111827" stroke-width="2.6"/>'
        '<circle r="6" fill="none" stroke="#111827" stroke-width="2"/></g>'
    )


def hold_mark(x: float, y: float, seconds: float, colour: str) -> str:
    """A ring where a drone hovers, with the seconds that it does so."""
    return (
        f'<circle class="hold-mark" cx="{x:.1f}" cy="{y:.1f}" r="6" fill="#fff" fill-opacity="0.7" stroke="{colour}" stroke-width="2.4"/>'
        f'<text class="soft" x="{x + 9:.1f}" y="{y + 4:.1f}">{seconds:.0f} s</text>'
    )


def _tint_strip() -> str:
    """The tint from none to the most, in five steps, to be put at x, y."""
    steps = [255.0 * (1.0 - share) + _DARKEST * share for share in np.linspace(0.1, 1.0, 5)]
    return "".join(
        f'<rect x="{4.4 * i:.1f}" y="-6" width="4.5" height="12" fill="rgb({r:.0f},{g:.0f},{b:.0f})"/>'
        for i, (r, g, b) in enumerate(steps)
    )


_MARKS: Final = {
    "seen": '<g transform="translate({x:.0f},{y:.0f})"><g transform="scale(.75)">'
    + last_seen_mark(14.0, 0.0)
    + "</g></g>",
    "tint": '<g transform="translate({x:.0f},{y:.0f})">' + _tint_strip() + "</g>",
}


def _panel(site: Site, found: SiteSearch, x: float, ground: Sequence[LineFeature]) -> tuple[str, float]:
    """The words beside the map, and how far down they go, in pixels."""
    plan = found.plan
    plans = [f.plan for f in plan.flights]
    lines: list[tuple[str, str, float]] = [
        ("搜索 Search", "title", 26.0),
        *_names(site),
        (f"状态 status: {site.model.status.value}", "soft", 17.0),
        (f"发现概率 {plan.pos:.1%}，以现有电池不超过 {plan.bound:.1%}", "figure", 24.0),
        (f"finds {plan.pos:.1%}; no search with these batteries finds more than {plan.bound:.1%}", "figure", 17.0),
        (f"采用 kept: {plan.pattern}; 扫视宽度 sweep width {found.sweep_width_m:.0f} m", "figure", 17.0),
    ]
    lines += [
        ("最后目击位置 where the person was last seen", "seen", 20.0),
        ("越深越可能 the darker, the more probable per area", "tint", 20.0),
    ]
    lines += [(_LINE_NAME[kind], kind, 17.0) for kind in sorted({f.kind for f in ground})]
    parts, at = [], 14.0
    for words, kind, step in lines:
        for number, line in enumerate(wrapped(words)):
            at += 15.0 if number else step
            if kind in _MARKS:
                mark = _MARKS[kind].format(x=x, y=at - 4.0)
                parts.append(f'{mark}<text class="soft" x="{x + 30:.0f}" y="{at:.0f}">{escape(line)}</text>')
                continue
            if kind in _LINE_STYLE:
                parts.append(
                    f'<path class="ground-line" d="M{x:.0f},{at - 4:.0f}h22" style="{_LINE_STYLE[kind]}"/>'
                    f'<text class="soft" x="{x + 30:.0f}" y="{at:.0f}">{escape(line)}</text>'
                )
                continue
            parts.append(f'<text class="{kind}" x="{x:.0f}" y="{at:.0f}">{escape(line)}</text>')
    for flight in plan.flights:
        at += 30.0
        colour = colour_of(flight.plan.vehicle_id, plans)
        parts.append(f'<rect x="{x:.0f}" y="{at - 11:.0f}" width="22" height="13" rx="3" fill="{colour}"/>')
        parts.append(f'<text class="head" x="{x + 30:.0f}" y="{at:.0f}">{escape(flight.plan.vehicle_id)}</text>')
        at += 16.0
        said = (
            f"{minutes(flight.energy.time_s)}, {flight.energy.length_m / 1000:.2f} km, "
            f"lands with {max(0.0, flight.energy.landing_fraction):.0%}"
        )
        parts.append(f'<text class="figure" x="{x + 30:.0f}" y="{at:.0f}">{said}</text>')
        changed = [aloft_change_text(c) for c in plan.changes if c.vehicle_id == flight.plan.vehicle_id]
        for line in (part for words in changed for part in wrapped(words)):
            at += 15.0
            parts.append(f'<text class="soft" x="{x + 30:.0f}" y="{at:.0f}">{escape(line)}</text>')
    at += 14.0
    for doubt in (f"source: {found.chart.source}", *found.doubts):
        at += 6.0
        for line in wrapped(doubt, 50):
            at += 14.0
            parts.append(f'<text class="soft" x="{x:.0f}" y="{at:.0f}">{escape(line)}</text>')
    return "".join(parts), at


def _names(site: Site) -> list[tuple[str, str, float]]:
    """The site's names, Chinese first, as in the legends of the other maps."""
    named = [site.model.name[language] for language in ("zh", "en") if language in site.model.name]
    return [(name, "head", 20.0) for name in named or [site.site_id]]


def _on(sheet: _Sheet, point: GeoPoint) -> bool:
    x, y = sheet.px(point)
    return 0.0 <= x <= sheet.width and 0.0 <= y <= sheet.height


def _tint_png_url(chart: ProbabilityMap, frame: LocalFrame, box_m: tuple[float, float, float, float]) -> str:
    """A picture of the map's density in a frame's box, north up: the square root, so that slopes show."""
    west, south, east, north = box_m
    step = (east - west) / _STEPS
    x, y = np.meshgrid(np.arange(west, east, step), np.arange(north, south, -step))
    geo = frame.to_geo_array(np.stack([x.ravel(), y.ravel()], axis=1))
    own = chart.frame.to_enu_array(geo[:, 0], geo[:, 1])
    column = np.floor((own[:, 0] - chart.west_m) / chart.cell_m).astype(np.int64)
    row = np.floor((own[:, 1] - chart.south_m) / chart.cell_m).astype(np.int64)
    rows, columns = chart.p.shape
    on = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    density = np.zeros(len(own))
    density[on] = chart.p[row[on], column[on]]
    share = np.sqrt(density / max(float(density.max()), 1e-300)).reshape(x.shape)[..., None]
    image = np.asarray(255.0 * (1.0 - share) + _DARKEST * share, dtype=np.uint8)
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")

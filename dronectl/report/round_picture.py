# SPDX-License-Identifier: AGPL-3.0-or-later
"""One round of a standing patrol as SVG: a bar per flight on each drone's row, a mark per visit on each item's row.

What runs over the end of the round is drawn at its beginning, since the round comes again.
"""

from __future__ import annotations

from html import escape
from itertools import pairwise

from dronectl.operations.circuits import STRATEGIES, SiteCircuits
from dronectl.plain_text import minutes
from dronectl.report.map_style import FONT, colours_of

_WIDE, _LEFT, _RIGHT, _ROW, _TOP = 1280.0, 170.0, 250.0, 30.0, 96.0
_TICKS_S = (30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0)
_MOST_TICKS = 14


def round_svg(made: SiteCircuits) -> str:
    """Draw one period: who is in the air when, and when each item is visited; its longest gap is shaded."""
    best, site = made.found.best, made.site
    period, scale = best.period_s, (_WIDE - _LEFT - _RIGHT) / best.period_s
    names = {p.place_id: p.name or p.place_id for p in site.points} | {
        x.line_id: x.name or x.line_id for x in site.lines
    }
    drones = list(dict.fromkeys(p.vehicle_id for p in best.plans))
    colour = colours_of(drones)
    parts: list[str] = []

    def bar(start_s: float, end_s: float, y: float, height: float, style: str, title: str) -> None:
        """A span that may run over the end of the round."""
        whole = [(start_s, min(end_s, period)), (0.0, end_s - period)] if end_s > period else [(start_s, end_s)]
        for a, b in whole:
            parts.append(
                f'<rect x="{_LEFT + a * scale:.1f}" y="{y:.1f}" width="{max((b - a) * scale, 0.8):.1f}" '
                f'height="{height:.1f}" {style}><title>{escape(title)}</title></rect>'
            )

    rows = len(drones) + len(made.found.items)
    step = next((t for t in _TICKS_S if period / t <= _MOST_TICKS), _TICKS_S[-1])
    for k in range(int(period / step) + 1):
        x = _LEFT + k * step * scale
        parts.append(
            f'<path d="M{x:.1f},{_TOP - 8}V{_TOP + _ROW * rows:.1f}" stroke="#d1d5db" stroke-width=".8"/>'
            f'<text x="{x:.1f}" y="{_TOP - 14}" text-anchor="middle" fill="#6b7280">{minutes(k * step)}</text>'
        )
    for row, drone in enumerate(drones):
        y = _TOP + _ROW * row
        parts.append(_name(drone, y, bold=True))
        air_s = 0.0
        for name, plan, energy in zip(made.names, best.plans, made.energies, strict=True):
            if plan.vehicle_id == drone:
                start_s = plan.start_after_s % period
                style = f'fill="{colour[drone]}" rx="2"'
                bar(start_s, start_s + energy.time_s, y + 4, 20, style, f"{name}: {minutes(energy.time_s)}")
                air_s += energy.time_s
        parts.append(_right(f"{air_s / period:.0%} of the time in the air", y, "#374151"))
    arrivals: dict[str, list[tuple[float, str]]] = {item: [] for item in made.found.items}
    for plan, energy in zip(best.plans, made.energies, strict=True):
        for waypoint, arrival_s in zip(plan.waypoints, energy.arrival_s, strict=True):
            for item in waypoint.serves:
                arrivals[item].append(((plan.start_after_s + arrival_s) % period, plan.vehicle_id))
    for row, (item, wanted_s, idle_s) in enumerate(
        zip(made.found.items, made.found.intervals_s, best.idleness_s, strict=True), len(drones)
    ):
        y, came = _TOP + _ROW * row, sorted(arrivals[item])
        parts.append(_name(names[item], y))
        gaps = [*pairwise(t for t, _ in came), (came[-1][0], came[0][0] + period)]
        start_s, end_s = max(gaps, key=lambda g: g[1] - g[0])
        bar(start_s, end_s, y + 10, 10, 'fill="#e5e7eb"', f"longest without a visit: {minutes(idle_s)}")
        for at_s, drone in came:
            x = _LEFT + at_s * scale
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y + 15:.1f}" r="6" fill="{colour[drone]}"><title>{escape(drone)}, '
                f"{minutes(at_s)}</title></circle>"
            )
        said = f"{minutes(idle_s)} of {minutes(wanted_s)}"
        parts.append(_right(said, y, "#b91c1c" if idle_s > wanted_s else "#14532d"))
    zh, en = STRATEGIES[best.strategy]
    title = f"{site.model.name.get('zh', site.site_id)} 常态巡逻 / {site.model.name.get('en', site.site_id)}: standing patrol"
    head = (
        f"{zh} / {en}. 每 {minutes(period)} 重复 / again every {minutes(period)}. "
        "右: 最长无人巡查时间与要求间隔 / right: longest without a visit, of its interval; shaded: where that is."
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE:.0f} {_TOP + _ROW * rows + 20:.0f}" role="img" '
        f'aria-label="Standing patrol" font-family="{escape(FONT, quote=True)}" font-size="12" fill="#1f2937">'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="20" y="28" font-size="19" font-weight="700">'
        f'{escape(title)}</text><text x="20" y="50" fill="#6b7280">{escape(head)}</text>{"".join(parts)}</svg>\n'
    )


def _name(name: str, y: float, *, bold: bool = False) -> str:
    weight = ' font-weight="700"' if bold else ""
    return f'<text x="{_LEFT - 12:.0f}" y="{y + 19:.1f}" text-anchor="end"{weight}>{escape(name)}</text>'


def _right(words: str, y: float, colour: str) -> str:
    return f'<text x="{_WIDE - _RIGHT + 14:.0f}" y="{y + 19:.1f}" fill="{colour}">{escape(words)}</text>'

# SPDX-License-Identifier: AGPL-3.0-or-later
"""A day's timetable as SVG: a bar per flight on each drone's row, a mark per visit on each item's row, misses in red."""

from __future__ import annotations

from html import escape

from dronectl.operations.timetable import SiteDay
from dronectl.report.map_style import DRONE_COLOURS, FONT
from missions.revisit.reasons import clock
from missions.revisit.ways import Window

_WIDE, _LEFT, _RIGHT, _ROW, _TOP = 1280.0, 150.0, 80.0, 30.0, 78.0
_LINE = 18.0
_MISSES_SHOWN = 30


def gantt_svg(made: SiteDay) -> str:
    """Draw the day between its first and last flight or hour."""
    found, task = made.found, made.task
    start = min([task.hours[0], *(f.depart_s for f in found.flights)])
    end = max([task.hours[1], *(f.landed_s for f in found.flights)])
    scale = (_WIDE - _LEFT - _RIGHT) / max(end - start, 1.0)
    names = {p.place_id: p.name or p.place_id for p in made.site.points}
    names |= {x.line_id: x.name or x.line_id for x in made.site.lines}
    colour = {c.vehicle_id: DRONE_COLOURS[i % len(DRONE_COLOURS)] for i, c in enumerate(task.craft)}
    parts: list[str] = []

    def x(at: float) -> float:
        return _LEFT + (at - start) * scale

    def bar(span: Window, y: float, height: float, style: str, title: str = "") -> None:
        a, b = x(max(span[0], start)), x(min(span[1], end))
        said = f"<title>{escape(title)}</title>" if title else ""
        parts.append(
            f'<rect x="{a:.1f}" y="{y:.1f}" width="{max(b - a, 0.8):.1f}" height="{height:.1f}" {style}>{said}</rect>'
        )

    y = _TOP
    items = [k.item_id for k in found.kept]
    watched = list(dict.fromkeys(w.item_id for w in task.watches)) + [u.mission_id for u in found.urgent]
    bottom = _TOP + _ROW * (len(task.craft) + len(items) + len(watched)) + 26.0
    for area in made.closed:
        for window in area.windows:
            bar(window, _TOP - 6, bottom - _TOP - 20, 'fill="#f59e0b" fill-opacity=".10"', f"{area.name} closed")
    hour = 3600.0 * -(-start // 3600.0)
    while hour <= end:
        parts.append(
            f'<path d="M{x(hour):.1f},{_TOP - 8}V{bottom - 26}" stroke="#d1d5db" stroke-width=".8"/>'
            f'<text x="{x(hour):.1f}" y="{_TOP - 12}" text-anchor="middle" fill="#6b7280">{clock(hour)[:5]}</text>'
        )
        hour += 3600.0
    for craft in task.craft:
        parts.append(_name(craft.vehicle_id, y, bold=True))
        for number, f in enumerate(found.flights, 1):
            if f.vehicle_id == craft.vehicle_id:
                edge = {"urgent": "#b91c1c", "watch": "#111827"}.get(f.kind, "none")
                style = f'fill="{colour[craft.vehicle_id]}" rx="2" stroke="{edge}" stroke-width="2"'
                said = f"flight {number}, {f.kind}, {clock(f.depart_s)} to {clock(f.landed_s)}: "
                bar((f.depart_s, f.landed_s), y + 4, 20, style, said + ", ".join(s.item_id for s in f.stops))
        y += _ROW
    for item_id in items:
        visit = next(v for v in task.visits if v.item_id == item_id)
        kept = next(k for k in found.kept if k.item_id == item_id)
        parts.append(_name(names.get(item_id, item_id), y))
        parts.append(
            f'<text x="{_WIDE - _RIGHT + 8:.1f}" y="{y + 19:.1f}" fill="{"#b91c1c" if kept.ratio > 1 else "#14532d"}">'
            f"{kept.ratio:.0%}</text>"
        )
        for window in visit.windows:
            bar(window, y + 6, 16, 'fill="#e5e7eb"')
        y += _ROW
    for item_id in watched:
        watch_name = f"{names[item_id]} (watch)" if item_id in names else item_id
        parts.append(_name(watch_name, y))
        for window in (w for watch in task.watches if watch.item_id == item_id for w in watch.windows):
            bar(window, y + 6, 16, 'fill="#e5e7eb"')
        y += _ROW
    # A watched point may also be an item of its own: they have a row each.
    first = _TOP + _ROW * len(task.craft)
    rows = {(True, item): first + _ROW * i for i, item in enumerate(items)}
    rows |= {(False, item): first + _ROW * (len(items) + i) for i, item in enumerate(watched)}
    for miss in found.misses:
        row = rows.get((miss.wanted_s > 0.0, miss.item_id), rows.get((False, miss.item_id)))
        if row is not None:
            bar((miss.from_s, miss.to_s), row + 6, 16, 'fill="#dc2626" fill-opacity=".28"', miss.why)
    for f in found.flights:
        for s in f.stops:
            row = rows.get((s.kind == "visit", s.item_id))
            if row is not None:
                style = f'fill="{colour[f.vehicle_id]}"'
                bar((s.arrive_s, max(s.leave_s, s.arrive_s + 2.0 / scale)), row + 6, 16, style, clock(s.arrive_s))
    words = [f"{clock(m.from_s)} to {clock(m.to_s)}  {names.get(m.item_id, m.item_id)}: {m.why}" for m in found.misses]
    shown = words[:_MISSES_SHOWN]
    if len(words) > len(shown):
        shown.append(f"and {len(words) - len(shown)} more in timetable.json")
    head = f"Not kept ({len(words)})" if words else "Everything is kept."
    parts.append(f'<text x="20" y="{bottom:.1f}" font-weight="700">{head}</text>')
    for i, line in enumerate(shown, 1):
        parts.append(f'<text x="20" y="{bottom + _LINE * i:.1f}">{escape(line)}</text>')
    height = bottom + _LINE * (len(shown) + 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE:.0f} {height:.0f}" role="img" '
        f'aria-label="Timetable" font-family="{escape(FONT, quote=True)}" font-size="12" fill="#1f2937">'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="20" y="28" font-size="19" font-weight="700">Timetable of '
        f"{escape(made.site.model.name.get('en', made.site.site_id))}, {made.day:%A} {made.day.isoformat()}</text>"
        f'<text x="20" y="47" fill="#6b7280">{len(found.flights)} flights; the longest time without a visit is '
        f"{found.worst_ratio:.0%} of its interval; shaded: schools "
        f"closed to overflight; right: longest time over interval</text>{''.join(parts)}</svg>\n"
    )


def _name(name: str, y: float, *, bold: bool = False) -> str:
    weight = ' font-weight="700"' if bold else ""
    return f'<text x="{_LEFT - 8:.0f}" y="{y + 19:.1f}" text-anchor="end"{weight}>{escape(name)}</text>'

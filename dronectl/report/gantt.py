# SPDX-License-Identifier: AGPL-3.0-or-later
"""A day's timetable as SVG: a bar per flight on each drone's row, a mark per visit on each item's row, misses in red."""

from __future__ import annotations

from html import escape

from dronectl.operations.timetable import SiteDay
from dronectl.report.map_style import FONT, colours_of
from missions.revisit.reasons import clock
from missions.revisit.ways import Window

_WIDE, _LEFT, _RIGHT, _ROW, _TOP = 1280.0, 190.0, 80.0, 30.0, 95.0
_LINE = 18.0
_MISSES_SHOWN = 30
_WEEKDAYS = ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日")


def gantt_svg(made: SiteDay) -> str:
    """Draw the day between its first and last flight or hour."""
    chart = _Chart(made)
    chart.closed_areas()
    chart.hours()
    chart.drones()
    chart.items()
    chart.watches()
    chart.misses()
    chart.visits()
    height = chart.words()
    found = made.found
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE:.0f} {height:.0f}" role="img" '
        f'aria-label="Timetable" font-family="{escape(FONT, quote=True)}" font-size="12" fill="#1f2937">'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="20" y="28" font-size="19" font-weight="700">巡飞时刻表 Timetable: '
        f"{escape(_site_name(made))}, {_WEEKDAYS[made.day.weekday()]} {made.day:%A} {made.day.isoformat()}</text>"
        f'<text x="20" y="47" fill="#6b7280">{len(found.flights)} 个架次；最长无巡查时间为规定间隔的 '
        f"{found.worst_ratio:.0%}；浅橙：学校禁飞时段；灰：应巡时段；红：未做到；右列：最长间隔与规定之比</text>"
        f'<text x="20" y="64" fill="#6b7280">{len(found.flights)} flights; the longest time without a visit is '
        f"{found.worst_ratio:.0%} of its interval; orange: schools closed to overflight; grey: hours to be kept; "
        f"red: not kept; right: longest time over interval</text>{''.join(chart.parts)}</svg>\n"
    )


class _Chart:
    """The rows of a day: its drones, then its items, then what is watched. Later parts are drawn over earlier ones."""

    def __init__(self, made: SiteDay) -> None:
        self.parts: list[str] = []
        self._made, self._found, self._task = made, made.found, made.task
        found, task = made.found, made.task
        self._start = min([task.hours[0], *(f.depart_s for f in found.flights)])
        self._end = max([task.hours[1], *(f.landed_s for f in found.flights)])
        self._scale = (_WIDE - _LEFT - _RIGHT) / max(self._end - self._start, 1.0)
        self._names = {p.place_id: p.name or p.place_id for p in made.site.points}
        self._names |= {x.line_id: x.name or x.line_id for x in made.site.lines}
        self._colour = colours_of(c.vehicle_id for c in task.craft)
        items = [k.item_id for k in found.kept]
        self._watched = list(dict.fromkeys(w.item_id for w in task.watches)) + [u.mission_id for u in found.urgent]
        self._items_y = _TOP + _ROW * len(task.craft)
        self._watches_y = self._items_y + _ROW * len(items)
        # A watched point may also be an item of its own: they have a row each.
        self._item_rows = {item: self._items_y + _ROW * i for i, item in enumerate(items)}
        self._watch_rows = {item: self._watches_y + _ROW * i for i, item in enumerate(self._watched)}
        self._bottom = self._watches_y + _ROW * len(self._watched) + 26.0

    def _x(self, at: float) -> float:
        return _LEFT + (at - self._start) * self._scale

    def _bar(self, span: Window, y: float, height: float, style: str, title: str = "") -> None:
        a, b = self._x(max(span[0], self._start)), self._x(min(span[1], self._end))
        said = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(
            f'<rect x="{a:.1f}" y="{y:.1f}" width="{max(b - a, 0.8):.1f}" height="{height:.1f}" {style}>{said}</rect>'
        )

    def closed_areas(self) -> None:
        for area in self._made.closed:
            for window in area.windows:
                style, height = 'fill="#f59e0b" fill-opacity=".10"', self._bottom - _TOP - 20
                self._bar(window, _TOP - 6, height, style, f"{area.name} closed")

    def hours(self) -> None:
        hour = 3600.0 * -(-self._start // 3600.0)
        while hour <= self._end:
            x = self._x(hour)
            self.parts.append(
                f'<path d="M{x:.1f},{_TOP - 8}V{self._bottom - 26}" stroke="#d1d5db" stroke-width=".8"/>'
                f'<text x="{x:.1f}" y="{_TOP - 12}" text-anchor="middle" fill="#6b7280">{clock(hour)[:5]}</text>'
            )
            hour += 3600.0

    def drones(self) -> None:
        for row, craft in enumerate(self._task.craft):
            y = _TOP + _ROW * row
            self.parts.append(_name(craft.vehicle_id, y, bold=True))
            for number, f in enumerate(self._found.flights, 1):
                if f.vehicle_id == craft.vehicle_id:
                    edge = {"urgent": "#b91c1c", "watch": "#111827"}.get(f.kind, "none")
                    style = f'fill="{self._colour[craft.vehicle_id]}" rx="2" stroke="{edge}" stroke-width="2"'
                    said = f"flight {number}, {f.kind}, {clock(f.depart_s)} to {clock(f.landed_s)}: "
                    self._bar((f.depart_s, f.landed_s), y + 4, 20, style, said + ", ".join(s.item_id for s in f.stops))

    def items(self) -> None:
        for row, kept in enumerate(self._found.kept):
            y = self._items_y + _ROW * row
            visit = next(v for v in self._task.visits if v.item_id == kept.item_id)
            self.parts.append(_name(self._names.get(kept.item_id, kept.item_id), y))
            self.parts.append(
                f'<text x="{_WIDE - _RIGHT + 8:.1f}" y="{y + 19:.1f}" fill="{"#b91c1c" if kept.ratio > 1 else "#14532d"}">'
                f"{kept.ratio:.0%}</text>"
            )
            for window in visit.windows:
                self._bar(window, y + 6, 16, 'fill="#e5e7eb"')

    def watches(self) -> None:
        for row, item_id in enumerate(self._watched):
            y = self._watches_y + _ROW * row
            watch_name = f"{self._names[item_id]} (值守 watch)" if item_id in self._names else item_id
            self.parts.append(_name(watch_name, y))
            for window in (w for watch in self._task.watches if watch.item_id == item_id for w in watch.windows):
                self._bar(window, y + 6, 16, 'fill="#e5e7eb"')

    def misses(self) -> None:
        for miss in self._found.misses:
            of_watch = self._watch_rows.get(miss.item_id)
            row = self._item_rows.get(miss.item_id, of_watch) if miss.wanted_s > 0.0 else of_watch
            if row is not None:
                self._bar((miss.from_s, miss.to_s), row + 6, 16, 'fill="#dc2626" fill-opacity=".28"', miss.why)

    def visits(self) -> None:
        for f in self._found.flights:
            for s in f.stops:
                row = (self._item_rows if s.kind == "visit" else self._watch_rows).get(s.item_id)
                if row is not None:
                    style = f'fill="{self._colour[f.vehicle_id]}"'
                    span = s.arrive_s, max(s.leave_s, s.arrive_s + 2.0 / self._scale)
                    self._bar(span, row + 6, 16, style, clock(s.arrive_s))

    def words(self) -> float:
        """What is not kept, in words below the rows; returns where they end."""
        misses = self._found.misses
        words = [
            f"{clock(m.from_s)} to {clock(m.to_s)}  {self._names.get(m.item_id, m.item_id)}: {m.why}" for m in misses
        ]
        shown = words[:_MISSES_SHOWN]
        if len(words) > len(shown):
            shown.append(f"另有 {len(words) - len(shown)} 条 more in timetable.json")
        head = f"未做到 Not kept ({len(words)})" if words else "全部做到 Everything is kept."
        self.parts.append(f'<text x="20" y="{self._bottom:.1f}" font-weight="700">{head}</text>')
        for i, line in enumerate(shown, 1):
            self.parts.append(f'<text x="20" y="{self._bottom + _LINE * i:.1f}">{escape(line)}</text>')
        return self._bottom + _LINE * (len(shown) + 1)


def _site_name(made: SiteDay) -> str:
    names = made.site.model.name
    return " ".join(names[language] for language in ("zh", "en") if language in names) or made.site.site_id


def _name(name: str, y: float, *, bold: bool = False) -> str:
    weight = ' font-weight="700"' if bold else ""
    return f'<text x="{_LEFT - 8:.0f}" y="{y + 19:.1f}" text-anchor="end"{weight}>{escape(name)}</text>'

# SPDX-License-Identifier: AGPL-3.0-or-later
"""A heat map as SVG: cells in shades, the fence, weighted items, hot spots as rings, and what was found in words."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
import shapely
from shapely.geometry import LineString, Point
from shapely.geometry.base import BaseGeometry

from dronectl.operations.heat import SiteHeat
from dronectl.report.map_style import FONT, HALO
from dronectl.site import Site
from missions.geo import FloatArray, GeoPoint

_MAP_PX, _PANEL_PX, _TOP_PX, _PAD_PX = 760.0, 390.0, 58.0, 20.0
# White over orange to dark red: light to dark also in grey print, and told apart without colour.
_RAMP = np.asarray([(255, 255, 255), (254, 224, 182), (253, 174, 97), (227, 91, 46), (140, 20, 30)], dtype=np.float64)
_MOST_RELATIVE = 4.0
_LINE_PX = 19.0
_CASE: Final = 'r="1.7" fill="#111827" fill-opacity=".55"'
_LINE: Final = 'fill="none" stroke="#1d4ed8" stroke-width="3" stroke-opacity=".8"'
_POINT: Final = 'r="5" fill="#fff" stroke="#1d4ed8" stroke-width="2.5"'
_FENCE: Final = 'fill="none" stroke="#14532d" stroke-width="2" stroke-dasharray="9 4 2 4"'
_RING: Final = 'fill="none" stroke="#7f1d1d" stroke-width="3"'


def heat_svg(site: Site, found: SiteHeat) -> str:
    """Draw the map; the scale is density over the area's mean, its darkest shade four times that and more."""
    grid = found.heat.grid
    rows, columns = grid.inside.shape
    wide, high = columns * grid.cell_m, rows * grid.cell_m
    px = (_MAP_PX - 2 * _PAD_PX) / max(wide, high)
    parts: list[str] = []

    def at(east: float, north: float) -> tuple[float, float]:
        return _PAD_PX + (east - grid.west_m) * px, _TOP_PX + (grid.south_m + high - north) * px

    def place(point: GeoPoint) -> tuple[float, float]:
        return at(*grid.frame.to_enu(point))

    relative = found.heat.per_km2 / found.heat.mean_per_km2
    parts.append(
        f'<image x="{_PAD_PX:.1f}" y="{_TOP_PX:.1f}" width="{wide * px:.1f}" height="{high * px:.1f}" '
        f'preserveAspectRatio="none" style="image-rendering:pixelated" href="{_png(relative, grid.inside)}"/>'
    )
    labels = _Labels()
    for ring in _rings(found.area):
        edge = [at(float(e), float(n)) for e, n in ring]
        labels.keep_off([*edge, edge[0]])
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in (at(float(e), float(n)) for e, n in ring))
        parts.append(f'<path d="M{path}Z" {_FENCE}/>')
    for x, y in (at(float(e), float(n)) for e, n in found.heat.places_m):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" {_CASE}/>')
    weight = {w.item_id: w for w in found.weights}
    if weight:
        for line in site.lines:
            path = "L".join(f"{x:.1f},{y:.1f}" for x, y in map(place, line.path))
            drawn = [place(p) for p in line.path]
            parts.append(f'<path d="M{path}" {_LINE}/>')
            labels.keep_off(drawn)
            labels.wanted(drawn[len(drawn) // 2], line.name or line.line_id, weight[line.line_id].weight)
        for point in site.points:
            x, y = place(point.position)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" {_POINT}/>')
            labels.keep_off([(x, y)])
            labels.wanted((x, y), point.name or point.place_id, weight[point.place_id].weight)
    for number, spot in enumerate(found.warnings.hot_spots, 1):
        x, y = at(spot.east_m, spot.north_m)
        dash = "" if spot.test == "concentrated" else ' stroke-dasharray="6 4"'
        radius = max(8.0, spot.radius_m * px)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="none" stroke="#fff" stroke-width="6"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" {_RING}{dash}/>'
            f'<text x="{x:.1f}" y="{y - radius - 5:.1f}" text-anchor="middle" font-weight="700" {HALO}>{number}</text>'
        )
        labels.keep_off([(x, y - radius - 9.0)])
        labels.keep_off(
            [(x + radius * math.cos(k * math.pi / 16), y + radius * math.sin(k * math.pi / 16)) for k in range(33)]
        )
    parts += labels.drawn()
    height = max(_TOP_PX + high * px + _PAD_PX, _TOP_PX + _LINE_PX * (14 + len(_words(found))))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_MAP_PX + _PANEL_PX:.0f} {height:.0f}" role="img" '
        f'aria-label="Heat map" font-family="{escape(FONT, quote=True)}" font-size="12" fill="#1f2937">'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="{_PAD_PX:.0f}" y="30" font-size="19" font-weight="700">案件热力图 Heat map: '
        f"{escape(_site_name(site))}, {found.heat.as_of.isoformat()}</text>"
        f'<text x="{_PAD_PX:.0f}" y="48" fill="#6b7280">{len(found.heat.cases)} 起案件 cases, 核宽 kernel '
        f"{found.heat.bandwidth_m:.0f} m, 半衰期 half-life {found.heat.half_life_days:g} 天 days</text>"
        f"{''.join(parts)}{_panel(found)}</svg>\n"
    )


class _Labels:
    """Names beside what they are of: each at the first of some places around it that is off lines, marks and other names."""

    _PLACES: Final = ((8, -8), (8, 18), (-8, -8), (-8, 18), (8, -26), (8, 36), (-8, -26), (-8, 36), (8, -44), (8, 54))

    def __init__(self) -> None:
        self._taken: list[BaseGeometry] = []
        self._wanted: list[tuple[tuple[float, float], str]] = []

    def keep_off(self, path: Sequence[tuple[float, float]]) -> None:
        """A line, or the one point of a mark, in pixels."""
        self._taken.append((LineString(path) if len(path) > 1 else Point(path[0])).buffer(5.0))

    def wanted(self, at: tuple[float, float], name: str, weight: float) -> None:
        """Name what is there, once all lines are known."""
        self._wanted.append((at, f"{name} × {weight:.2f}"))

    def drawn(self) -> list[str]:
        """The names as SVG."""
        parts = []
        for (x, y), words in self._wanted:
            wide = sum(12.5 if ord(c) > 0x2E80 else 6.8 for c in words)
            choices = []
            for order, (right, down) in enumerate(self._PLACES):
                left = x + right if right > 0 else x + right - wide
                choices.append((order, left, y + down, shapely.box(left, y + down - 11.0, left + wide, y + down + 3.0)))
            sheet = shapely.box(0.0, _TOP_PX, _MAP_PX, 1e6)
            _, left, base, box = min(choices, key=lambda c: (self._hidden(c[3]) + c[3].difference(sheet).area, c[0]))
            self._taken.append(box)
            parts.append(f'<text x="{left:.1f}" y="{base:.1f}" {HALO}>{escape(words)}</text>')
        return parts

    def _hidden(self, box: BaseGeometry) -> float:
        """Square pixels of a name over what it should keep off."""
        return float(sum(box.intersection(taken).area for taken in self._taken))


def _site_name(site: Site) -> str:
    names = site.model.name
    return " ".join(names[language] for language in ("zh", "en") if language in names) or site.site_id


def _key(out: list[str], x: float, y: float, weighted: bool) -> float:
    """What the marks of the map mean, in two languages; returns where the key ends."""
    marks = [(f'<circle cx="11" cy="0" {_CASE}/>', "案件 a case")]
    if weighted:
        marks += [(f'<path d="M0,0h22" {_LINE}/>', "必巡线及权重 must-patrol line × its weight")]
        marks += [(f'<circle cx="11" cy="0" {_POINT}/>', "必巡点及权重 must-patrol point × its weight")]
    marks += [(f'<path d="M0,0h22" {_FENCE}/>', "分析范围 edge of the area")]
    marks += [(f'<circle cx="11" cy="0" r="7" {_RING}/>', "热点（集中） hot spot: concentrated")]
    marks += [(f'<circle cx="11" cy="0" r="7" {_RING} stroke-dasharray="6 4"/>', "热点（上升） hot spot: rising")]
    for mark, words in marks:
        out.append(f'<g transform="translate({x:.0f},{y:.0f})">{mark}</g>')
        out.append(f'<text x="{x + 32:.0f}" y="{y + 4:.0f}">{words}</text>')
        y += _LINE_PX
    return y


def _rings(area: BaseGeometry) -> list[FloatArray]:
    return [np.asarray(p.exterior.coords)[:-1] for p in shapely.get_parts(area) if hasattr(p, "exterior")]


def _words(found: SiteHeat) -> list[str]:
    """The panel's lines about warnings, scores and weights."""
    warned, score = found.warnings, found.score
    month = f"{found.month[0]:04d}-{found.month[1]:02d}"
    lines = [f"# 热点 Hot spots in {month} ({warned.month_cases} 起 cases)"]
    lines += [
        f"{number}  {s.test}: {s.cases} cases, {s.expected:.1f} expected, {s.radius_m:.0f} m, p = {s.p:.3f}"
        for number, s in enumerate(warned.hot_spots, 1)
    ] or ["无显著热点 none that stands the test"]
    lines.append(f"At most {found.options.alpha:.0%} of even months raise a warning.")
    lines.append(f"# 预测检验 Foretelling {len(score.months)} months, hottest {score.ours.area_share:.0%} of the area")
    if score.months:
        lines += [
            f"{s.name}: hits {s.hit_rate:.0%}, accuracy index {s.accuracy_index:.2f}"
            for s in (score.ours, score.last_month, score.uniform)
        ]
    else:
        lines.append("one month of cases cannot be scored")
    if found.weights:
        lines.append("# 权重 Weights: sqrt(density / mean), held within limits")
        lines += [
            f"{w.name}: {w.weight:.2f} from {w.relative:.2f} ({w.cases_near} cases within {w.near_m:.0f} m)"
            for w in sorted(found.weights, key=lambda w: -w.weight)
        ]
    lines.append(f"{len(found.read.rejects)} rows were rejected; heat.json lists them.")
    return lines


def _panel(found: SiteHeat) -> str:
    x, y = _MAP_PX + 10.0, _TOP_PX
    out = [f'<text x="{x}" y="{y + 4}" font-weight="700">密度与均值之比 Density over the mean</text>']
    for step in range(9):
        value = step * _MOST_RELATIVE / 8
        red, green, blue = _shade(np.asarray([[value]]))[0, 0]
        out.append(
            f'<rect x="{x + step * 34}" y="{y + 12}" width="34" height="14" fill="rgb({red},{green},{blue})" '
            f'stroke="#9ca3af" stroke-width=".5"/><text x="{x + step * 34 + 17}" y="{y + 40}" text-anchor="middle" '
            f'font-size="10.5">{value:g}{"+" if step == 8 else ""}</text>'
        )
    y = _key(out, x, y + 58.0, bool(found.weights)) + 8.0
    for line in _words(found):
        head = line.startswith("# ")
        y += 8.0 if head else 0.0
        style = ' font-weight="700" font-size="13"' if head else ""
        out.append(f'<text x="{x}" y="{y:.0f}"{style}>{escape(line.removeprefix("# "))}</text>')
        y += _LINE_PX
    return "".join(out)


def _shade(relative: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """(rows, columns, 3) colours."""
    place = np.clip(relative / _MOST_RELATIVE, 0.0, 1.0) * (len(_RAMP) - 1)
    low = np.minimum(place.astype(np.int64), len(_RAMP) - 2)
    part = (place - low)[..., None]
    return np.asarray(np.rint(_RAMP[low] * (1.0 - part) + _RAMP[low + 1] * part), dtype=np.uint8)


def _png(relative: FloatArray, inside: FloatArray) -> str:
    """The cells as a PNG of one pixel each, clear outside, as a data URL (RFC 2083, colour type 6)."""
    alpha = np.where(inside > 0.0, 255, 0).astype(np.uint8)[..., None]
    pixels = np.concatenate([_shade(relative), alpha], axis=2)[::-1]
    rows, columns = inside.shape
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"

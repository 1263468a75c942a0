# SPDX-License-Identifier: AGPL-3.0-or-later
"""A heat map as SVG: cells in shades, the fence, weighted items, hot spots as rings, and what was found in words."""

from __future__ import annotations

import base64
import struct
import zlib
from html import escape

import numpy as np
import shapely
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
    for ring in _rings(found.area):
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in (at(float(e), float(n)) for e, n in ring))
        parts.append(f'<path d="M{path}Z" fill="none" stroke="#14532d" stroke-width="2" stroke-dasharray="9 4 2 4"/>')
    for x, y in (at(float(e), float(n)) for e, n in found.heat.places_m):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.7" fill="#111827" fill-opacity=".55"/>')
    weight = {w.item_id: w for w in found.weights}
    if weight:
        for line in site.lines:
            path = "L".join(f"{x:.1f},{y:.1f}" for x, y in map(place, line.path))
            parts.append(f'<path d="M{path}" fill="none" stroke="#1d4ed8" stroke-width="3" stroke-opacity=".8"/>')
            x, y = place(line.path[len(line.path) // 2])
            parts.append(_label((x, y + 24.0), line.name or line.line_id, weight[line.line_id].weight))
        for point in site.points:
            x, y = place(point.position)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#fff" stroke="#1d4ed8" stroke-width="2.5"/>')
            parts.append(_label((x, y), point.name or point.place_id, weight[point.place_id].weight))
    for number, spot in enumerate(found.warnings.hot_spots, 1):
        x, y = at(spot.east_m, spot.north_m)
        dash = "" if spot.test == "concentrated" else ' stroke-dasharray="6 4"'
        radius = max(8.0, spot.radius_m * px)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="none" stroke="#fff" stroke-width="6"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="none" stroke="#7f1d1d" stroke-width="3"{dash}/>'
            f'<text x="{x:.1f}" y="{y - radius - 5:.1f}" text-anchor="middle" font-weight="700" {HALO}>{number}</text>'
        )
    height = max(_TOP_PX + high * px + _PAD_PX, _TOP_PX + _LINE_PX * (17 + len(_words(found))))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_MAP_PX + _PANEL_PX:.0f} {height:.0f}" role="img" '
        f'aria-label="Heat map" font-family="{escape(FONT, quote=True)}" font-size="12" fill="#1f2937">'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="{_PAD_PX:.0f}" y="30" font-size="19" font-weight="700">Heat map of '
        f"{escape(site.model.name.get('en', site.site_id))}, {found.heat.as_of.isoformat()}</text>"
        f'<text x="{_PAD_PX:.0f}" y="48" fill="#6b7280">{len(found.heat.cases)} cases, kernel '
        f"{found.heat.bandwidth_m:.0f} m, half-life {found.heat.half_life_days:g} days</text>"
        f"{''.join(parts)}{_panel(found)}</svg>\n"
    )


def _label(at: tuple[float, float], name: str, weight: float) -> str:
    return f'<text x="{at[0] + 8:.1f}" y="{at[1] - 6:.1f}" {HALO}>{escape(name)} × {weight:.2f}</text>'


def _rings(area: BaseGeometry) -> list[FloatArray]:
    return [np.asarray(p.exterior.coords)[:-1] for p in shapely.get_parts(area) if hasattr(p, "exterior")]


def _words(found: SiteHeat) -> list[str]:
    """The panel's lines about warnings, scores and weights."""
    warned, score = found.warnings, found.score
    month = f"{found.month[0]:04d}-{found.month[1]:02d}"
    lines = [f"# Hot spots in {month} ({warned.month_cases} cases)"]
    lines += [
        f"{number}  {s.test}: {s.cases} cases, {s.expected:.1f} expected, {s.radius_m:.0f} m, p = {s.p:.3f}"
        for number, s in enumerate(warned.hot_spots, 1)
    ] or ["none that stands the test"]
    lines.append(f"At most {found.options.alpha:.0%} of even months raise a warning.")
    lines.append(f"# Foretelling {len(score.months)} months, hottest {score.ours.area_share:.0%} of the area")
    if score.months:
        lines += [
            f"{s.name}: hits {s.hit_rate:.0%}, accuracy index {s.accuracy_index:.2f}"
            for s in (score.ours, score.last_month, score.uniform)
        ]
    else:
        lines.append("one month of cases cannot be scored")
    if found.weights:
        lines.append("# Weights: sqrt(density / mean), held within limits")
        lines += [
            f"{w.name}: {w.weight:.2f} from {w.relative:.2f} ({w.cases_near} cases within {w.near_m:.0f} m)"
            for w in sorted(found.weights, key=lambda w: -w.weight)
        ]
    lines.append(f"{len(found.read.rejects)} rows were rejected; heat.json lists them.")
    return lines


def _panel(found: SiteHeat) -> str:
    x, y = _MAP_PX + 10.0, _TOP_PX
    out = [f'<text x="{x}" y="{y + 4}" font-weight="700">Density over the mean</text>']
    for step in range(9):
        value = step * _MOST_RELATIVE / 8
        red, green, blue = _shade(np.asarray([[value]]))[0, 0]
        out.append(
            f'<rect x="{x + step * 34}" y="{y + 12}" width="34" height="14" fill="rgb({red},{green},{blue})" '
            f'stroke="#9ca3af" stroke-width=".5"/><text x="{x + step * 34 + 17}" y="{y + 40}" text-anchor="middle" '
            f'font-size="10.5">{value:g}{"+" if step == 8 else ""}</text>'
        )
    y += 64.0
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

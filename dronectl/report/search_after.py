# SPDX-License-Identifier: AGPL-3.0-or-later
"""A search after its flights as a map (SVG): what is left, what was really seen, who flew where, what was found."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from dronectl.report.map_style import STYLE, colour_of
from dronectl.report.plan_picture import _DEFINITIONS, Marker, Track, _everything, _Sheet
from dronectl.report.search_picture import _tint_png_url, last_seen_mark
from dronectl.site import Site
from missions.geo import GeoPoint, LocalFrame
from missions.model import FlightPlan
from missions.search.probability import ProbabilityMap

_TEETH_M = 8.0


def search_after_svg(
    site: Site,
    chart: ProbabilityMap,
    at: GeoPoint,
    seen: BaseGeometry,
    plans: Sequence[FlightPlan],
    tracks: Sequence[Track],
    markers: Sequence[Marker],
) -> str:
    """Draw the map. chart: what is left; seen: ground under cameras, metres of the chart's frame; at: last seen."""
    sheet = _Sheet(site.frame, [*_everything(site, plans, tracks, markers), at])
    sheet.ground(site)
    url = _tint_png_url(chart, sheet.frame, sheet.box_m)
    sheet.parts.append(
        f'<image x="0" y="0" width="{sheet.width:.0f}" height="{sheet.height:.0f}" preserveAspectRatio="none" '
        f'style="mix-blend-mode:multiply" opacity="0.85" href="{url}"/>'
    )
    sheet.parts.append(
        f'<path d="{_outline(sheet, seen, chart.frame)}" fill="#fff" fill-opacity=".16" fill-rule="evenodd" '
        'stroke="#fff" stroke-width="1.4"/>'
    )
    sheet.fence(site)
    for track in tracks:
        sheet.line("plan-casing", track.points, "stroke-width:3.4")
        sheet.line("track", track.points, f"stroke:{colour_of(track.vehicle_id, plans)};stroke-width:1.6")
    sheet.parts.append(last_seen_mark(*sheet.px(at)))
    for marker in markers:
        sheet.marker(marker)
    sheet.furniture()
    name = escape(site.model.name.get("en", site.site_id), quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {sheet.width:.0f} {sheet.height:.0f}" class="dm" '
        f'role="img" aria-label="Search after its flights, {name}"><style>{STYLE}</style>{_DEFINITIONS}'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(sheet.parts)}</svg>\n'
    )


def _outline(sheet: _Sheet, ground: BaseGeometry, frame: LocalFrame) -> str:
    # Strips from fix to fix leave teeth on their edges, which the eye would take for something.
    smooth = ground.buffer(_TEETH_M).buffer(-_TEETH_M).simplify(1.0)
    parts = shapely.get_parts(smooth) if isinstance(smooth, Polygon | MultiPolygon) else []
    rings = [ring for part in parts for ring in (part.exterior, *part.interiors)]
    paths = []
    for ring in rings:
        points = (sheet.px(frame.to_geo(east, north)) for east, north in ring.coords)
        paths.append("M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) + "Z")
    return "".join(paths)

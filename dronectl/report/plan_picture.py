# SPDX-License-Identifier: AGPL-3.0-or-later
"""A site's map as SVG: ground, fence, keep-outs, places, plans, and, for reports, flown tracks and alert markers.

The SVG stands alone (a file) or inside an HTML page; all names in it are escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise

from dronectl.report.hillshade import relief_png_url
from dronectl.report.map_legend import DRAWN_AREA, legend
from dronectl.report.map_style import HALO, STYLE, MarkerStyle, colour_of, symbol
from dronectl.site import NamedLine, Site
from missions.coverage.area import CoverArea
from missions.energy import PlanEnergy, plan_energy
from missions.geo import GeoPoint, LocalFrame
from missions.model import FlightPlan

_MAP_WIDTH_PX = 860.0
_LEGEND_WIDTH_PX = 330.0
_MIN_HEIGHT_PX, _MAX_HEIGHT_PX = 620.0, 1100.0
_PADDING = 0.06
_CHARACTER_PX = 6.6
_LABEL_PX = 12.0
_OBSTACLE_EVERY_PX = 8.0  # names keep off lines as far as they can


@dataclass(frozen=True, slots=True)
class Track:
    """Where a vehicle really flew."""

    vehicle_id: str
    points: tuple[GeoPoint, ...]


@dataclass(frozen=True, slots=True)
class Marker:
    """A located thing: an alert with its 95 % ellipse, or something that was missed.

    ellipse: (semi-major m, semi-minor m, azimuth of the major axis in degrees clockwise from north).
    """

    position: GeoPoint
    label: str
    style: MarkerStyle
    ellipse: tuple[float, float, float] | None = None


def with_area(site: Site, area: CoverArea) -> Site:
    """The site as the picture of a drawn area shows it: the area's rings instead of the patrol's points and lines."""
    frame = area.frame
    rings = [ring for part in getattr(area.shape, "geoms", [area.shape]) for ring in (part.exterior, *part.interiors)]
    lines = tuple(NamedLine(DRAWN_AREA, " ", tuple(frame.to_geo(*p[:2]) for p in ring.coords)) for ring in rings)
    return replace(site, points=(), lines=lines)


def site_map_svg(
    site: Site,
    plans: Sequence[FlightPlan],
    tracks: Sequence[Track] = (),
    markers: Sequence[Marker] = (),
    *,
    listed: bool = True,
    energies: Sequence[PlanEnergy] | None = None,
) -> str:
    """Draw the map. With tracks, plans turn thin and dashed, so that the flown way stands out.

    Every plan is a group of its own with its index in data-flight. listed: whether the legend names
    each. energies: of the plans in the wind that they were planned for,
    for the legend; without them those of a calm day.
    """
    sheet = _Sheet(site.frame, _everything(site, plans, tracks, markers))
    sheet.ground(site)
    sheet.fence(site)
    for school in site.schools:
        sheet.polygon("school", school.path)
    for line in site.lines:
        sheet.line("must-line", line.path)
    for index, plan in enumerate(plans):
        sheet.parts.append(f'<g data-flight="{index}">')
        sheet.plan(plan, plans, flown=bool(tracks))
        sheet.parts.append("</g>")
    for track in tracks:
        sheet.line("track", track.points, f"stroke:{colour_of(track.vehicle_id, plans)}")
    sheet.places(site)
    for marker in markers:
        sheet.marker(marker)
    sheet.furniture()
    named = plans if listed else ()
    if energies is None:
        energies = [plan_energy(p, site.limits) for p in named]
    panel = legend(
        site,
        named,
        energies if listed else (),
        x=sheet.width + 20.0,
        height=sheet.height,
        tracks=bool(tracks),
        markers=bool(markers),
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {sheet.width + _LEGEND_WIDTH_PX:.0f} {sheet.height:.0f}" '
        f'class="dm" role="img" aria-label="{escape(site.model.name.get("en", site.site_id), quote=True)}">'
        f"<style>{STYLE}</style>{_DEFINITIONS}"
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<svg width="{sheet.width:.0f}" height="{sheet.height:.0f}">{"".join(sheet.parts)}</svg>{panel}</svg>\n'
    )


_DEFINITIONS = (
    '<defs><pattern id="dm-hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="8" height="8" fill="#dc2626" fill-opacity="0.16"/>'
    '<line x1="0" y1="0" x2="0" y2="8" stroke="#dc2626" stroke-width="2" stroke-opacity="0.75"/></pattern></defs>'
)


def _everything(
    site: Site, plans: Sequence[FlightPlan], tracks: Sequence[Track], markers: Sequence[Marker]
) -> list[GeoPoint]:
    points = [p for ring in site.fence.inclusion for p in ring]
    points += [d.position for d in site.docks]
    points += [p for school in site.schools for p in school.path]
    points += [p.position for p in (*site.points, *site.fixed_cameras, *site.responders)]
    points += [w.position for plan in plans for w in plan.waypoints]
    points += [p for track in tracks for p in track.points]
    return points + [m.position for m in markers]


class _Sheet:
    """The map being drawn: metres of the site's frame to pixels, and the labels placed so far."""

    def __init__(self, frame: LocalFrame, points: list[GeoPoint]) -> None:
        self.frame = frame
        places = [frame.to_enu(p) for p in points]
        west, east = min(p[0] for p in places), max(p[0] for p in places)
        south, north = min(p[1] for p in places), max(p[1] for p in places)
        pad = _PADDING * max(east - west, north - south, 100.0)
        west, east, south, north = west - pad, east + pad, south - pad, north + pad
        self.width = _MAP_WIDTH_PX
        ratio = (north - south) / (east - west)
        self.height = min(max(ratio * self.width, _MIN_HEIGHT_PX), _MAX_HEIGHT_PX)
        self.px_per_m = min(self.width / (east - west), self.height / (north - south))
        half_east, half_north = self.width / self.px_per_m / 2.0, self.height / self.px_per_m / 2.0
        middle = (east + west) / 2.0, (north + south) / 2.0
        self.box_m = (middle[0] - half_east, middle[1] - half_north, middle[0] + half_east, middle[1] + half_north)
        self.parts: list[str] = []
        self.taken: list[tuple[float, float, float, float]] = []

    def px(self, point: GeoPoint) -> tuple[float, float]:
        east, north = self.frame.to_enu(point)
        return (east - self.box_m[0]) * self.px_per_m, (self.box_m[3] - north) * self.px_per_m

    def _path(self, points: Sequence[GeoPoint], *, closed: bool = False) -> str:
        body = "L".join(f"{x:.1f},{y:.1f}" for x, y in map(self.px, points))
        return f"M{body}{'Z' if closed else ''}"

    def ground(self, site: Site) -> None:
        step = max((self.box_m[2] - self.box_m[0]) / 170.0, 1.0)
        url = relief_png_url(site.terrain, self.frame, self.box_m, step)
        self.parts.append(
            f'<image x="0" y="0" width="{self.width:.0f}" height="{self.height:.0f}" preserveAspectRatio="none" '
            f'href="{url}"/>'
        )

    def fence(self, site: Site) -> None:
        """Outside is veiled; keep-outs are hatched."""
        rings = "".join(self._path(ring, closed=True) for ring in site.fence.inclusion)
        frame = f"M0,0H{self.width:.0f}V{self.height:.0f}H0Z"
        self.parts.append(f'<path class="veil" fill-rule="evenodd" d="{frame}{rings}"/>')
        self.parts.append(f'<path class="fence" d="{rings}"/>')
        for ring in site.fence.exclusion:
            self.polygon("keepout", ring)

    def polygon(self, kind: str, ring: Sequence[GeoPoint]) -> None:
        self.parts.append(f'<path class="{kind}" d="{self._path(ring, closed=True)}"/>')

    def line(self, kind: str, points: Sequence[GeoPoint], style: str = "") -> None:
        if len(points) > 1:
            self.parts.append(f'<path class="{kind}" style="{style}" d="{self._path(points)}"/>')
            for start, end in pairwise(map(self.px, points)):
                steps = max(1, int(math.dist(start, end) / _OBSTACLE_EVERY_PX))
                for i in range(steps + 1):
                    x, y = (a + (b - a) * i / steps for a, b in zip(start, end, strict=True))
                    self.taken.append((x - 1, y - 1, x + 1, y + 1))

    def plan(self, plan: FlightPlan, plans: Sequence[FlightPlan], *, flown: bool) -> None:
        """The way out and round as a line with arrows, the return dashed."""
        colour = colour_of(plan.vehicle_id, plans)
        way = [plan.home, *(w.position for w in plan.waypoints)]
        if not flown:
            self.line("plan-casing", way)
        self.line("plan-thin" if flown else "plan", way, f"stroke:{colour}")
        self.line("return-thin" if flown else "return", [way[-1], plan.home], f"stroke:{colour}")
        if flown:
            return
        for start, end in pairwise(way):
            self._arrow(self.px(start), self.px(end), colour)
        for waypoint in plan.waypoints:
            x, y = self.px(waypoint.position)
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>')

    def _arrow(self, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
        length = math.dist(start, end)
        if length < 40.0:
            return
        x, y = (start[0] + end[0]) / 2.0, (start[1] + end[1]) / 2.0
        turn = math.degrees(math.atan2(end[1] - start[1], end[0] - start[0]))
        self.parts.append(
            f'<path d="M-6,-5L7,0L-6,5L-3,0Z" fill="{colour}" stroke="#fff" stroke-width="1" '
            f'transform="translate({x:.1f},{y:.1f}) rotate({turn:.0f})"/>'
        )

    def places(self, site: Site) -> None:
        """Symbols first, then their names, so that no name hides a symbol."""
        names: list[tuple[GeoPoint, str, str]] = []
        for kind, entries in (
            ("dock", site.docks),
            ("camera", site.fixed_cameras),
            ("post", site.responders),
            ("point", site.points),
        ):
            for place in entries:
                x, y = self.px(place.position)
                self.parts.append(symbol(kind, x, y))
                self.taken.append((x - 9, y - 9, x + 9, y + 9))
                if kind in {"dock", "point"}:
                    names.append((place.position, place.name or place.place_id, kind))
        names += [(line.path[len(line.path) // 2], line.name or line.line_id, "line") for line in site.lines]
        for position, name, kind in sorted(names, key=lambda n: n[2]):
            self._label(position, name, kind)

    def marker(self, marker: Marker) -> None:
        x, y = self.px(marker.position)
        if marker.ellipse is not None:
            major, minor, azimuth = marker.ellipse
            self.parts.append(
                f'<ellipse class="ellipse" rx="{max(2.0, major * self.px_per_m):.1f}" '
                f'ry="{max(2.0, minor * self.px_per_m):.1f}" '
                f'transform="translate({x:.1f},{y:.1f}) rotate({azimuth - 90.0:.0f})"/>'
            )
        self.parts.append(symbol(marker.style.value, x, y, escape(marker.label)))

    def _label(self, position: GeoPoint, name: str, kind: str) -> None:
        """Write a name where it covers nothing yet: right, left, above, below, or else right all the same."""
        x, y = self.px(position)
        width = sum(_LABEL_PX if ord(c) > 0x2E80 else _CHARACTER_PX for c in name)
        spots = [
            (x + 11, y + 4, "start", x + 11),
            (x - 11, y + 4, "end", x - 11 - width),
            (x, y - 13, "middle", x - width / 2),
            (x, y + 22, "middle", x - width / 2),
            (x + 10, y - 10, "start", x + 10),
            (x + 10, y + 18, "start", x + 10),
            (x - 10, y - 10, "end", x - 10 - width),
            (x - 10, y + 18, "end", x - 10 - width),
        ]
        boxes = [(left, at_y - _LABEL_PX, left + width, at_y + 3) for _, at_y, _, left in spots]
        free = [
            not any(_overlap(box, other) for other in self.taken) and box[0] > 4 and box[2] < self.width - 4
            for box in boxes
        ]
        best = free.index(True) if any(free) else min(range(len(boxes)), key=lambda i: self._covered(boxes[i]))
        (at_x, at_y, anchor, _), box = spots[best], boxes[best]
        self.taken.append(box)
        self.parts.append(
            f'<text class="name {kind}" x="{at_x:.1f}" y="{at_y:.1f}" text-anchor="{anchor}" {HALO}>{escape(name)}</text>'
        )

    def _covered(self, box: tuple[float, float, float, float]) -> int:
        outside = 1000 if box[0] <= 4 or box[2] >= self.width - 4 else 0
        return outside + sum(_overlap(box, other) for other in self.taken)

    def furniture(self) -> None:
        """Scale bar and north arrow."""
        length_m = _round_length(0.22 * self.width / self.px_per_m)
        length = length_m * self.px_per_m
        x, y = 24.0, self.height - 26.0
        said = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
        self.parts.append(
            f'<g class="scale"><rect x="{x - 10:.0f}" y="{y - 24:.0f}" width="{length + 20:.0f}" height="38" rx="5"/>'
            f'<path d="M{x:.0f},{y - 4:.1f}v6h{length:.1f}v-6M{x + length / 2:.1f},{y - 1:.1f}v3"/>'
            f'<text x="{x + length / 2:.1f}" y="{y - 9:.0f}" text-anchor="middle">{said}</text></g>'
        )
        self.parts.append(
            f'<g class="north" transform="translate({self.width - 34:.0f},42)"><circle r="22"/>'
            '<path d="M0,-15L7,10L0,5L-7,10Z"/><text y="-24" text-anchor="middle">N</text></g>'
        )


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _round_length(metres: float) -> float:
    """The greatest of 1, 2 or 5 times a power of ten that fits."""
    power = 10.0 ** math.floor(math.log10(metres))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= metres)

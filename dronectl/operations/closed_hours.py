# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which schools no leg may cross at a time of a day, as a timetable file says, for planners of single flights."""

from __future__ import annotations

from datetime import date

from shapely.geometry import Polygon

from dronectl.errors import BadInputError
from dronectl.operations.timetable_file import TimetableModel
from dronectl.site import Site
from missions.fences import fence_margin_m
from missions.geo import GeoPoint

GeoRing = tuple[GeoPoint, ...]
_SLACK_M = 1.0  # that planners add to a fence's margin


def closed_rings(site: Site, model: TimetableModel, day: date, start_s: float, end_s: float) -> dict[str, GeoRing]:
    """Schools that are closed to legs at any time between two seconds of the day, as rings with their extra margin.

    Raises BadInputError where the timetable closes nothing on any day: then nobody knows the hours.
    """
    if not model.closed:
        raise BadInputError(
            "no hours of schools are known: list them under `closed` in the timetable file, and name it with --file"
        )
    usual = fence_margin_m(site.limits.cruise_speed_m_s, site.limits) + _SLACK_M
    rings: dict[str, GeoRing] = {}
    for entry in model.closed:
        if not any(a < end_s and start_s < b for a, b in model.calendars[entry.calendar].windows(day)):
            continue
        ring = next(s.path for s in site.schools if s.line_id == entry.school)
        wider = 0.0 if entry.margin_m is None else max(0.0, entry.margin_m - usual)
        if wider > 0.0:
            grown = Polygon([site.frame.to_enu(p) for p in ring]).buffer(wider, join_style="mitre", mitre_limit=1.5)
            ring = tuple(site.frame.to_geo(x, y) for x, y in grown.exterior.coords[:-1])
        rings[entry.school] = ring
    return rings

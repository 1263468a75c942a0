# SPDX-License-Identifier: AGPL-3.0-or-later
"""Located detections and tracks as GeoJSON (RFC 7946): one Point each, with its 95 % ellipse as numbers and as a ring.

WGS 84, longitude first. A Point, because a geometry collection is shown by few programs; the ellipse's outline is the
property `ellipse_95` (a Polygon, cut at the antimeridian as clause 3.1.9 asks).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Final

from shapely import affinity
from shapely.geometry import Polygon, box, mapping

from missions.geo import GeoPoint, LocalFrame, wrap_degrees
from vision.examine_lines import Line
from vision.review_things import Thing

_CORNERS: Final = 48
_DIGITS: Final = 7


def feature(thing: Thing) -> Line | None:
    """One feature; None for a thing without place."""
    place = thing.place
    if place is None:
        return None
    latitude, longitude = place["latitude_deg"], place["longitude_deg"]
    coordinates = [longitude, latitude] if place["amsl_m"] is None else [longitude, latitude, place["amsl_m"]]
    properties = {
        k: v
        for k, v in asdict(thing).items()
        if k not in ("place", "no_place", "thing_id", "is_track", "box_px", "frame_px")
    }
    ellipse = place["ellipse_95"]
    return {
        "type": "Feature",
        "id": thing.thing_id,
        "geometry": {"type": "Point", "coordinates": coordinates},
        "properties": {
            "of": "track" if thing.is_track else "detection",
            **{k: v for k, v in properties.items() if v is not None},
            "semi_major_m": ellipse["semi_major_m"],
            "semi_minor_m": ellipse["semi_minor_m"],
            "azimuth_deg": ellipse["azimuth_deg"],
            "ellipse_95": outline(latitude, longitude, ellipse),
        },
    }


def outline(latitude_deg: float, longitude_deg: float, ellipse: Line) -> dict[str, Any]:
    """The ellipse's outline as a GeoJSON geometry; counter-clockwise, two parts where it crosses the antimeridian."""
    frame = LocalFrame(GeoPoint(latitude_deg, longitude_deg))
    turn = math.radians(ellipse["azimuth_deg"])
    ring = []
    for i in range(_CORNERS):
        angle = -2 * math.pi * i / _CORNERS  # azimuths run clockwise
        along, across = ellipse["semi_major_m"] * math.cos(angle), ellipse["semi_minor_m"] * math.sin(angle)
        east = along * math.sin(turn) + across * math.cos(turn)
        north = along * math.cos(turn) - across * math.sin(turn)
        point = frame.to_geo(east, north)
        ring.append((longitude_deg + wrap_degrees(point.longitude_deg - longitude_deg), point.latitude_deg))
    whole = Polygon(ring)
    west, _, east_edge, _ = whole.bounds
    if west >= -180.0 and east_edge <= 180.0:
        return _rounded(mapping(whole))
    side = 360.0 if west < -180.0 else -360.0
    here = whole.intersection(box(-180.0, -90.0, 180.0, 90.0))
    there = affinity.translate(whole, side).intersection(box(-180.0, -90.0, 180.0, 90.0))
    parts = [part for part in (here, there) if part.area > 0]
    if len(parts) == 1:
        return _rounded(mapping(parts[0]))
    return {"type": "MultiPolygon", "coordinates": [_rounded(mapping(_ccw(part)))["coordinates"] for part in parts]}


def _ccw(part: Any) -> Any:
    return part if part.exterior.is_ccw else part.reverse()


def _rounded(geometry: Any) -> dict[str, Any]:
    rings = [[[round(x, _DIGITS), round(y, _DIGITS)] for x, y, *_ in ring] for ring in geometry["coordinates"]]
    return {"type": "Polygon", "coordinates": rings}


def features(found: Iterable[Thing]) -> Iterator[Line]:
    """Features of all things that have a place."""
    for thing in found:
        made = feature(thing)
        if made is not None:
            yield made

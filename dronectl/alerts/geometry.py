# SPDX-License-Identifier: AGPL-3.0-or-later
"""Doubt as an ellipse, areas that contain a place, and who is nearest. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from dronectl.alerts.model import SIGMAS_95, Responder, Zone
from dronectl.bus.messages import Ellipse, ResponderOffer
from missions.geo import GeoPoint, LocalFrame, distance_m
from vision.sighting import GroundEllipse


def point_of(place: GroundEllipse) -> GeoPoint:
    """The position without its doubt."""
    return GeoPoint(place.latitude_deg, place.longitude_deg)


def frame_near(place: GroundEllipse | GeoPoint) -> LocalFrame:
    """A metric frame whose origin is within some kilometres (scale off by under 1e-6); few of them, as they are dear."""
    return LocalFrame(GeoPoint(round(place.latitude_deg, 1), round(place.longitude_deg, 1)))


def ellipse_95(place: GroundEllipse) -> Ellipse:
    """The 95 % ellipse of the east-north error: semi-axes by the eigenvalues of the covariance.

    The azimuth is that of the major axis, clockwise from north, in [0, 180).
    """
    ee, en, nn = place.cov_ee_m2, place.cov_en_m2, place.cov_nn_m2
    middle, half = (ee + nn) / 2.0, math.hypot((ee - nn) / 2.0, en)
    azimuth = (90.0 - math.degrees(0.5 * math.atan2(2.0 * en, ee - nn))) % 180.0
    return Ellipse(
        semi_major_m=SIGMAS_95 * math.sqrt(max(0.0, middle + half)),
        semi_minor_m=SIGMAS_95 * math.sqrt(max(0.0, middle - half)),
        azimuth_deg=azimuth if azimuth < 180.0 else 0.0,
    )


def inside_95(place: GroundEllipse, point: GeoPoint) -> bool:
    """Whether a point lies in the 95 % ellipse of a place."""
    frame = frame_near(place)
    (east_1, north_1), (east_0, north_0) = frame.to_enu(point), frame.to_enu(point_of(place))
    east, north = east_1 - east_0, north_1 - north_0
    ee, en, nn = place.cov_ee_m2, place.cov_en_m2, place.cov_nn_m2
    determinant = ee * nn - en * en
    if determinant <= 0.0:
        return math.hypot(east, north) == 0.0
    squared = (nn * east * east - 2.0 * en * east * north + ee * north * north) / determinant
    return squared <= SIGMAS_95**2


def contains(ring: Sequence[GeoPoint], point: GeoPoint) -> bool:
    """Whether a ring (open, not self-crossing) contains a point; even-odd rule in the plane around the point."""
    frame = frame_near(point)
    east, north = frame.to_enu(point)
    corners = [(x - east, y - north) for x, y in map(frame.to_enu, ring)]
    inside = False
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y1 > 0.0) != (y2 > 0.0) and x1 + (x2 - x1) * (0.0 - y1) / (y2 - y1) > 0.0:
            inside = not inside
    return inside


def zones_at(zones: Iterable[Zone], place: GroundEllipse | None) -> tuple[Zone, ...]:
    """The zones that contain a place."""
    if place is None:
        return ()
    point = point_of(place)
    return tuple(zone for zone in zones if contains(zone.ring, point))


def nearest(
    responders: Iterable[Responder], place: GroundEllipse | None, without: Iterable[str] = (), limit: int = 3
) -> list[ResponderOffer]:
    """The nearest responders first, by geodesic distance; those who declined are left out."""
    if place is None:
        return []
    here, gone = point_of(place), set(without)
    offers = [
        ResponderOffer(
            responder_id=r.responder_id,
            name=r.name,
            distance_m=round(distance_m(here, GeoPoint(r.latitude_deg, r.longitude_deg)), 1),
        )
        for r in responders
        if r.responder_id not in gone
    ]
    return sorted(offers, key=lambda offer: (offer.distance_m, offer.responder_id))[:limit]

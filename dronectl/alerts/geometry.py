# SPDX-License-Identifier: AGPL-3.0-or-later
"""Doubt as an ellipse, areas that contain a place, and who is nearest. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dronectl.alerts.model import Responder, Zone
from dronectl.bus.messages import Ellipse, ResponderOffer
from missions.geo import GeoPoint, LocalFrame, distance_m
from vision.ellipse import CHI2_2DOF_95, covariance, ellipse95, mahalanobis2
from vision.sighting import GroundEllipse


def point_of(place: GroundEllipse) -> GeoPoint:
    """The position without its doubt."""
    return GeoPoint(place.latitude_deg, place.longitude_deg)


def frame_near(place: GroundEllipse | GeoPoint) -> LocalFrame:
    """A metric frame whose origin is within some kilometres (scale off by under 1e-6); few of them, as they are dear."""
    return LocalFrame(GeoPoint(round(place.latitude_deg, 1), round(place.longitude_deg, 1)))


def ellipse_95(place: GroundEllipse) -> Ellipse:
    """The 95 % ellipse of the east-north error; azimuth of the major axis, clockwise from north, in [0, 180)."""
    e = ellipse95(place)
    return Ellipse(
        semi_major_m=e.semi_major_m,
        semi_minor_m=e.semi_minor_m,
        azimuth_deg=e.azimuth_deg if e.azimuth_deg < 180.0 else 0.0,  # a tiny negative angle rounds up to 180
    )


def inside_95(place: GroundEllipse, point: GeoPoint) -> bool:
    """Whether a point lies in the 95 % ellipse of a place."""
    frame = frame_near(place)
    (east_1, north_1), (east_0, north_0) = frame.to_enu(point), frame.to_enu(point_of(place))
    offset, cov = np.array([east_1 - east_0, north_1 - north_0]), covariance(place)
    if float(np.linalg.det(cov)) <= 0.0:
        return not offset.any()
    return mahalanobis2(offset, cov) <= CHI2_2DOF_95


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

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Things of a scene and alerts about them, as the tests of the scores want them."""

from dronectl.report.score import AlertRecord
from dronectl.report.truth import TrueEntity, TrueLook
from missions.geo import GeoPoint

HERE = GeoPoint(29.74, 107.27)


def look(place: GeoPoint, n: int, **changes) -> TrueLook:
    values = {
        "camera_id": "d1-thermal",
        "vehicle_id": "d1",
        "sequence": n,
        "exposure_s": float(n),
        "latitude_deg": place.latitude_deg,
        "longitude_deg": place.longitude_deg,
        "width_px": 20.0,
        "height_px": 6.0,
        "visible_fraction": 1.0,
        "contrast_c": 6.0,
    }
    return TrueLook(**{**values, **changes})


def entity(name: str, place: GeoPoint, kind: str = "person", looks: int = 5, **changes) -> TrueEntity:
    seen = tuple(look(place, n, **changes) for n in range(looks))
    return TrueEntity(name, kind, "lying", 0.0, place.latitude_deg, place.longitude_deg, seen)


def alert(name: str, place: GeoPoint | None, kind: str = "person", **changes) -> AlertRecord:
    values = {
        "alert_id": name,
        "kind": kind,
        "level": "yellow",
        "latitude_deg": None if place is None else place.latitude_deg,
        "longitude_deg": None if place is None else place.longitude_deg,
        "semi_major_m": 8.0,
        "semi_minor_m": 5.0,
        "azimuth_deg": 0.0,
        "last_exposure_s": None,
        "acknowledged": True,
    }
    return AlertRecord(**{**values, **changes})

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether two tracks show one thing, and where it is by all of them: geometry and its doubt, nothing else. Pure.

The gate is the Mahalanobis distance of the two places against the sum of their covariances (chi-square with two
degrees of freedom). The error that all looks of one flight share cancels between tracks of one vehicle, and does not
shrink with more looks when places are united.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from dronectl.alerts.geometry import frame_near, point_of
from vision.sighting import GroundEllipse, Kind, Sighting

GATE: Final = -2.0 * math.log(0.01)  # 99 %
MODEL_ERROR_M2: Final = 0.25  # a thing has an extent; never divide by nothing
_METRES_PER_DEGREE_MIN: Final = 110_500.0  # of latitude, at the equator
_ALIKE: Final = (frozenset({Kind.FIRE, Kind.HOT_SPOT}),)


def alike(a: Kind, b: Kind) -> bool:
    """Whether two kinds may be two opinions on one thing."""
    return a is b or any({a, b} <= group for group in _ALIKE)


def seen_apart(a: Sighting, b: Sighting) -> bool:
    """Whether one camera showed both at the same time: then they are two things."""
    return (
        a.camera_id == b.camera_id
        and a.track_id != b.track_id
        and a.first_exposure_s <= b.last_exposure_s
        and b.first_exposure_s <= a.last_exposure_s
    )


def far_apart(a: GroundEllipse, b: GroundEllipse) -> bool:
    """Whether two places are out of any gate, by degrees of latitude alone: cheap, and never wrong about near ones."""
    reach_m = 4.0 * (math.sqrt(a.cov_ee_m2 + a.cov_nn_m2) + math.sqrt(b.cov_ee_m2 + b.cov_nn_m2)) + 10.0
    return abs(a.latitude_deg - b.latitude_deg) * _METRES_PER_DEGREE_MIN > reach_m


def same_thing(sighting: Sighting, known: Sequence[Sighting], there: GroundEllipse | None) -> float | None:
    """The squared Mahalanobis distance to the thing that `known` shows at `there`; None when it is another one."""
    if sighting.place is None or there is None or far_apart(sighting.place, there):
        return None
    if not any(alike(sighting.kind, other.kind) for other in known):
        return None
    if any(seen_apart(sighting, other) for other in known):
        return None
    placed = [other for other in known if other.place is not None]
    one_flight = sighting.vehicle_id is not None and all(s.vehicle_id == sighting.vehicle_id for s in placed)
    a, b = _covariance(sighting.place, residual=one_flight), _covariance(there, residual=one_flight)
    ee, en, nn = a[0] + b[0] + MODEL_ERROR_M2, a[1] + b[1], a[2] + b[2] + MODEL_ERROR_M2
    frame = frame_near(there)
    east_1, north_1 = frame.to_enu(point_of(sighting.place))
    east_2, north_2 = frame.to_enu(point_of(there))
    east, north = east_1 - east_2, north_1 - north_2
    squared = (nn * east * east - 2.0 * en * east * north + ee * north * north) / (ee * nn - en * en)
    return squared if squared <= GATE else None


def fuse(sightings: Sequence[Sighting]) -> GroundEllipse | None:
    """The place by all sightings: weighted by information within a flight, then over flights; None without places."""
    flights: dict[str, list[GroundEllipse]] = {}
    for sighting in sightings:
        if sighting.place is not None:
            flights.setdefault(sighting.vehicle_id or sighting.camera_id, []).append(sighting.place)
    if not flights:
        return None
    return _unite([_unite(places, residual=True) for places in flights.values()], residual=False)


def _covariance(place: GroundEllipse, *, residual: bool) -> tuple[float, float, float]:
    if not residual:
        return place.cov_ee_m2, place.cov_en_m2, place.cov_nn_m2
    return (
        max(0.0, place.cov_ee_m2 - place.common_cov_ee_m2),
        place.cov_en_m2 - place.common_cov_en_m2,
        max(0.0, place.cov_nn_m2 - place.common_cov_nn_m2),
    )


def _unite(places: Sequence[GroundEllipse], *, residual: bool) -> GroundEllipse:
    """Inverse-covariance weighting; with `residual` the part that all share is left out and added once at the end."""
    if len(places) == 1:
        return places[0]
    frame = frame_near(places[0])
    sum_ee = sum_en = sum_nn = sum_e = sum_n = amsl = weight_sum = 0.0
    for place in places:
        ee, en, nn = _covariance(place, residual=residual)
        ee, nn = ee + MODEL_ERROR_M2, nn + MODEL_ERROR_M2
        limit = math.sqrt(ee * nn) * 0.999
        en = max(-limit, min(limit, en))
        determinant = ee * nn - en * en
        i_ee, i_en, i_nn = nn / determinant, -en / determinant, ee / determinant
        east, north = frame.to_enu(point_of(place))
        sum_ee, sum_en, sum_nn = sum_ee + i_ee, sum_en + i_en, sum_nn + i_nn
        sum_e += i_ee * east + i_en * north
        sum_n += i_en * east + i_nn * north
        amsl += place.amsl_m * (i_ee + i_nn)
        weight_sum += i_ee + i_nn
    determinant = sum_ee * sum_nn - sum_en * sum_en
    ee, en, nn = sum_nn / determinant, -sum_en / determinant, sum_ee / determinant
    point = frame.to_geo(ee * sum_e + en * sum_n, en * sum_e + nn * sum_n)
    first, count = places[0], len(places)
    common_ee = sum(p.common_cov_ee_m2 for p in places) / count
    common_en = sum(p.common_cov_en_m2 for p in places) / count
    common_nn = sum(p.common_cov_nn_m2 for p in places) / count
    if residual:
        ee, en, nn = ee + common_ee, en + common_en, nn + common_nn
    else:
        common_ee, common_en, common_nn = 0.0, 0.0, 0.0
    return replace(
        first,
        latitude_deg=point.latitude_deg,
        longitude_deg=point.longitude_deg,
        amsl_m=amsl / weight_sum,
        cov_ee_m2=ee,
        cov_en_m2=en,
        cov_nn_m2=nn,
        common_cov_ee_m2=common_ee,
        common_cov_en_m2=common_en,
        common_cov_nn_m2=common_nn,
    )

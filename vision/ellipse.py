# SPDX-License-Identifier: AGPL-3.0-or-later
"""Covariances of places on the ground: the 95 % ellipse, and adding places up. Pure; the service imports it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray, GeoPoint, LocalFrame, bearing_deg, distance_m
from vision.sighting import GroundEllipse

CHI2_2DOF_95: Final = 5.991464547107979  # -2 ln(0.05)


@dataclass(frozen=True, slots=True)
class Ellipse95:
    """The smallest ellipse that holds the true place with 95 % probability. Azimuth of the major axis, 0 to 180."""

    semi_major_m: float
    semi_minor_m: float
    azimuth_deg: float


def covariance(place: GroundEllipse) -> NDArray[np.float64]:
    """The (2, 2) east-north covariance in m^2."""
    return np.array([[place.cov_ee_m2, place.cov_en_m2], [place.cov_en_m2, place.cov_nn_m2]])


def common_covariance(place: GroundEllipse) -> NDArray[np.float64]:
    """The (2, 2) part of the covariance that all looks of one flight share."""
    return np.array(
        [[place.common_cov_ee_m2, place.common_cov_en_m2], [place.common_cov_en_m2, place.common_cov_nn_m2]]
    )


def ellipse95(place: GroundEllipse) -> Ellipse95:
    """The 95 % ellipse of a place, from the eigenvectors of its covariance."""
    values, vectors = np.linalg.eigh(covariance(place))
    minor, major = (math.sqrt(max(0.0, float(v)) * CHI2_2DOF_95) for v in values)
    east, north = vectors[:, 1]
    return Ellipse95(major, minor, math.degrees(math.atan2(east, north)) % 180.0)


def inside95(place: GroundEllipse, truth: GeoPoint) -> bool:
    """Whether a true place lies inside the 95 % ellipse."""
    found = GeoPoint(place.latitude_deg, place.longitude_deg)
    distance, bearing = distance_m(found, truth), math.radians(bearing_deg(found, truth))
    offset = distance * np.array([math.sin(bearing), math.cos(bearing)])
    return mahalanobis2(offset, covariance(place)) <= CHI2_2DOF_95


def mahalanobis2(offset: FloatArray, cov: FloatArray) -> float:
    """Squared Mahalanobis distance of an east-north offset."""
    return float(offset @ np.linalg.solve(cov, offset))


def with_covariance(place: GroundEllipse, cov: FloatArray, common: FloatArray) -> GroundEllipse:
    """The same place with other covariances."""
    return replace(
        place,
        cov_ee_m2=float(cov[0, 0]),
        cov_en_m2=float((cov[0, 1] + cov[1, 0]) / 2),
        cov_nn_m2=float(cov[1, 1]),
        common_cov_ee_m2=float(common[0, 0]),
        common_cov_en_m2=float((common[0, 1] + common[1, 0]) / 2),
        common_cov_nn_m2=float(common[1, 1]),
    )


def ground_ellipse(
    frame: LocalFrame, east_north_m: FloatArray, amsl_m: float, cov: FloatArray, common: FloatArray
) -> GroundEllipse:
    """A place in `frame` with its covariances as what sightings carry."""
    point = frame.to_geo(float(east_north_m[0]), float(east_north_m[1]))
    bare = GroundEllipse(point.latitude_deg, point.longitude_deg, amsl_m, 0, 0, 0, 0, 0, 0)
    return with_covariance(bare, cov, common)


def weighted_mean(places: Sequence[FloatArray], covariances: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Best linear estimate of one place from independent ones: (mean, covariance), weights are inverse covariances."""
    information = [np.linalg.inv(c) for c in covariances]
    total = np.linalg.inv(np.sum(information, axis=0))
    mean = total @ np.sum([w @ p for w, p in zip(information, places, strict=True)], axis=0)
    return np.asarray(mean, dtype=np.float64), np.asarray(total, dtype=np.float64)

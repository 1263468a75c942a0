# SPDX-License-Identifier: AGPL-3.0-or-later
"""Geodesy against pyproj.Geod (Karney's geodesics), on both hemispheres and across the antimeridian."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from missions.geo import (
    Altitude,
    Datum,
    GeoError,
    GeoPoint,
    LocalFrame,
    bearing_deg,
    destination,
    distance_m,
    from_gcj02,
    to_gcj02,
    wrap_degrees,
    wrap_longitude_deg,
)

GEOD = Geod(ellps="WGS84")
# Origins seldom repeat in use; a grid of them keeps the tests from building a projection per example.
ORIGINS = [
    GeoPoint(lat, lon)
    for lat in (-74.5, -33.9, 0.0, 29.74, 47.4, 78.2)
    for lon in (-179.9999, -70.6, 0.0, 107.27, 179.9999)
]
origins = st.sampled_from(ORIGINS)
bearings = st.floats(0.0, 360.0)
ranges = st.floats(0.01, 50_000.0)


def _inv(a: GeoPoint, b: GeoPoint) -> tuple[float, float]:
    azimuth, _, length = GEOD.inv(a.longitude_deg, a.latitude_deg, b.longitude_deg, b.latitude_deg)
    return float(azimuth) % 360.0, float(length)


@given(origins, bearings, ranges)
def test_distance_and_bearing_from_the_origin_are_exact(origin, bearing, distance):
    lon, lat, _ = GEOD.fwd(origin.longitude_deg, origin.latitude_deg, bearing, distance)
    point = GeoPoint(lat, lon)
    east, north = LocalFrame(origin).to_enu(point)
    assert math.hypot(east, north) == pytest.approx(distance, abs=1e-3)
    assert distance_m(origin, point) == pytest.approx(distance, abs=1e-3)
    if distance > 1.0:
        turn = wrap_degrees(math.degrees(math.atan2(east, north)) - bearing)
        assert abs(math.radians(turn)) * distance < 1e-2
        assert abs(wrap_degrees(bearing_deg(origin, point) - bearing)) < 1e-2


@given(origins, bearings, bearings, st.floats(0.0, 10_000.0), st.floats(0.0, 10_000.0))
def test_scale_error_away_from_the_origin_is_as_documented(origin, bearing_a, bearing_b, away_a, away_b):
    frame = LocalFrame(origin)
    a, b = destination(origin, bearing_a, away_a), destination(origin, bearing_b, away_b)
    _, length = _inv(a, b)
    (ax, ay), (bx, by) = frame.to_enu(a), frame.to_enu(b)
    assert math.hypot(ax - bx, ay - by) == pytest.approx(length, rel=1e-6, abs=1e-3)


@given(origins, st.floats(-50_000, 50_000), st.floats(-50_000, 50_000))
def test_frame_round_trip_is_below_a_millimetre(origin, east, north):
    frame = LocalFrame(origin)
    point = frame.to_geo(east, north)
    assert -180.0 <= point.longitude_deg < 180.0
    back = frame.to_enu(point)
    assert math.hypot(back[0] - east, back[1] - north) < 1e-3
    array = frame.to_enu_array([point.latitude_deg], [point.longitude_deg])
    assert np.allclose(array[0], back, atol=1e-6)
    assert np.allclose(frame.to_geo_array([[east, north]])[0][0], point.latitude_deg, atol=1e-12)


def test_neighbours_across_the_antimeridian_are_near():
    west, east = GeoPoint(-17.0, 179.9999), GeoPoint(-17.0, -179.9999)
    assert distance_m(west, east) == pytest.approx(21.3, abs=0.1)
    assert LocalFrame(west).to_enu(east)[0] == pytest.approx(21.3, abs=0.1)


@given(origins, bearings, ranges)
def test_destination_inverts_distance_and_bearing(origin, bearing, distance):
    end = destination(origin, bearing, distance)
    azimuth, length = _inv(origin, end)
    assert length == pytest.approx(distance, abs=1e-3)
    assert distance < 1.0 or abs(math.radians(wrap_degrees(azimuth - bearing))) * distance < 1e-2


@given(st.floats(-360.0, 360.0))
def test_longitudes_stay_on_their_meridian(longitude):
    wrapped = wrap_longitude_deg(longitude)
    assert -180.0 <= wrapped < 180.0
    assert math.isclose((wrapped - longitude) / 360.0, round((wrapped - longitude) / 360.0), abs_tol=1e-9)
    assert wrap_longitude_deg(wrapped) == wrapped


@pytest.mark.parametrize(
    ("latitude", "longitude", "hint"),
    [
        (107.27, 29.74, "swapped"),
        (math.nan, 0.0, "finite"),
        (0.0, math.inf, "finite"),
        (89.0, 0.0, "pole"),
        (91.0, 120.0, "outside"),
        (0.0, 361.0, "outside"),
    ],
)
def test_bad_coordinates_are_refused_with_the_reason(latitude, longitude, hint):
    with pytest.raises(GeoError, match=hint):
        GeoPoint(latitude, longitude)


def test_an_altitude_is_finite():
    with pytest.raises(GeoError):
        Altitude(math.nan, Datum.AMSL)


def test_gcj02_is_half_a_kilometre_off_at_lidu():
    point = GeoPoint(29.74, 107.27)
    latitude, longitude = to_gcj02(point)
    azimuth, _, offset = GEOD.inv(point.longitude_deg, point.latitude_deg, longitude, latitude)
    assert offset == pytest.approx(515.0, abs=15.0)
    assert 90.0 < azimuth % 360.0 < 180.0  # to the south-east, as everywhere in China's middle


@given(st.floats(18.0, 53.0), st.floats(74.0, 134.0))
def test_gcj02_round_trip(latitude, longitude):
    point = GeoPoint(latitude, longitude)
    assert distance_m(from_gcj02(*to_gcj02(point)), point) < 1e-3

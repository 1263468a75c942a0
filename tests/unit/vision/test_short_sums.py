# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is computed the short way is what the long way gives: looks as one large system, level ground as any ground."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from missions.geo import GeoPoint, LocalFrame
from missions.model import Camera, Modality
from missions.terrain import FlatTerrain, GridTerrain
from vision.frame import CameraPose
from vision.geolocate import GroundFix, Locator
from vision.motion import Look, Motion, estimate, velocity
from vision.thermal import elongation

ORIGIN = GeoPoint(29.7, 107.3)
FRAME = LocalFrame(ORIGIN)
CAMERA = Camera("c", Modality.THERMAL, 640, 512, 758.0, 748.0, 322.5, 250.5, (-0.21, 0.06, 0.0011, -0.0007, 0.01))
LEVEL = GridTerrain(FRAME, -2500.0, -2500.0, 50.0, np.full((101, 101), 250.0, np.float32), "level", 2.0)
EXTRA = np.eye(2) * 0.3**2
STILL_CHI2 = -2.0 * math.log(0.005)  # chi-square with two degrees of freedom


def _looks(rng: np.random.Generator, number: int, moving: bool) -> list[Look]:
    """Looks within a kilometre, each of its own quality, moved together by six common errors."""
    times = np.sort(rng.uniform(0.0, rng.choice([0.3, 6.0, 60.0]), number))
    start, pace, common = rng.normal(0, 800, 2), rng.normal(0, 2, 2) * moving, rng.normal(0, 1, 6)
    looks = []
    for time_s in times:
        root, slopes = rng.normal(0, 0.5, (2, 2)), rng.normal(0, 2.0, (2, 6))
        place = start + pace * time_s + slopes @ common + root @ rng.normal(0, 1, 2) + rng.normal(0, 0.3, 2)
        looks.append(Look(float(time_s), GroundFix(place, 250.0, root @ root.T, slopes, 60.0, 0.08)))
    return looks


def _solved(looks: list[Look], powers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """One system of all looks: parameters, their covariance, common slopes, chi-square with the common errors."""
    times = [look.time_s - looks[-1].time_s for look in looks]
    design = np.vstack([np.hstack([np.eye(2) * t**power for power in range(powers)]) for t in times])
    places = np.concatenate([look.fix.east_north_m for look in looks])
    slopes = np.vstack([look.fix.common_slopes for look in looks])
    noise = np.zeros((len(places), len(places)))
    for i, look in enumerate(looks):
        noise[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = look.fix.look_cov + EXTRA
    root = np.linalg.inv(np.linalg.cholesky(noise))
    gain = np.linalg.pinv(root @ design) @ root
    left = places - design @ (gain @ places)
    chi2 = float(left @ np.linalg.solve(noise + slopes @ slopes.T, left))
    return gain @ places, gain @ noise @ gain.T, gain @ slopes, chi2


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.booleans())
@settings(max_examples=200, deadline=None)
def test_looks_added_up_one_by_one_give_what_one_system_of_all_gives(seed: int, number: int, moving: bool) -> None:
    looks = _looks(np.random.default_rng(seed), number, moving)
    span = looks[-1].time_s - looks[0].time_s
    motion, drift = estimate(looks), velocity(looks)
    place, cov, common, chi2 = _solved(looks, 1)
    if number >= 2 and span >= 0.5:
        line, line_cov, line_common, line_chi2 = _solved(looks, 2)
        doubt = line_cov[2:, 2:] + line_common[2:] @ line_common[2:].T
        assert drift is not None
        assert (drift.east_m_s, drift.north_m_s) == pytest.approx(tuple(line[2:]), rel=1e-6, abs=1e-6)
        said = (drift.cov_ee_m2_s2, drift.cov_en_m2_s2, drift.cov_nn_m2_s2)
        assert said == pytest.approx((doubt[0, 0], doubt[0, 1], doubt[1, 1]), rel=1e-6, abs=1e-9)
        speed = float(np.hypot(*line[2:]))
        edges = (chi2 - STILL_CHI2, chi2 - line_chi2 - STILL_CHI2, speed - 0.5, speed - 8.0)
        assume(min(map(abs, edges)) > 1e-6)  # at the edge between two answers rounding may choose
        walks = number >= 3 and edges[0] > 0 and edges[1] > 0 and edges[2] > 0 > edges[3]
    else:
        assert drift is None
        walks = False
    assert (motion.velocity is not None) is walks
    if walks:
        place, cov, common = line[:2], line_cov[:2, :2], line_common[:2]
        assert motion.velocity == pytest.approx(line[2:], rel=1e-6, abs=1e-6)
        assert motion.velocity_cov == pytest.approx(doubt, rel=1e-6, abs=1e-9)
    assert motion.place == pytest.approx(place, abs=1e-6)
    assert motion.look_cov == pytest.approx(cov, rel=1e-6, abs=1e-9)
    assert motion.common_slopes == pytest.approx(common, rel=1e-6, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.booleans(), st.floats(0.0, 20.0))
@settings(max_examples=100, deadline=None)
def test_the_gate_is_the_mahalanobis_distance_between_what_is_expected_and_a_look(
    seed: int, walks: bool, later_s: float
) -> None:
    rng = np.random.default_rng(seed)
    known, new = _looks(rng, 1, moving=False)[0].fix, _looks(rng, 1, moving=False)[0].fix
    pace, pace_cov = rng.normal(0, 1, 2), np.diag(rng.uniform(0.1, 1.0, 2)) + 0.05
    motion = Motion(
        10.0, new.east_north_m + rng.normal(0, 2, 2), known.look_cov, known.common_slopes,
        pace if walks else None, pace_cov if walks else None,
    )  # fmt: skip
    after = min(later_s, 3.0)
    offset = new.east_north_m - motion.place - pace * after * walks
    drift = known.common_slopes - new.common_slopes
    cov = known.look_cov + new.look_cov + EXTRA + np.eye(2) * (0.9 * after) ** 2 + drift @ drift.T
    cov = cov + pace_cov * after**2 * walks
    found = motion.gate_distance2(Look(10.0 + later_s, new), 0.9, 3.0)
    assert found == pytest.approx(float(offset @ np.linalg.inv(cov) @ offset), rel=1e-6, abs=1e-9)


@given(
    st.floats(2.0, 120.0), st.floats(-180.0, 180.0), st.floats(-90.0, 5.0), st.floats(-5.0, 5.0),
    st.floats(0.0, 639.0), st.floats(0.0, 511.0),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_place_on_level_ground_is_where_a_march_over_it_ends(
    height: float, yaw: float, pitch: float, roll: float, u: float, v: float
) -> None:
    pose = CameraPose(
        ORIGIN.latitude_deg, ORIGIN.longitude_deg, 250.0 + height, height, yaw, pitch, roll, 6.0, 5.0, 0.0
    )
    level, marched = Locator(FlatTerrain(250.0, vertical_error_m=2.0), ORIGIN), Locator(LEVEL)
    one, other = level.locate(CAMERA, pose, u, v, 2.0), marched.locate(CAMERA, pose, u, v, 2.0)
    assume(one is None or one.range_m < 1499.0)  # where nobody looks any more
    assert (one is None) is (other is None)
    gsd, marched_gsd = level.gsd_m(CAMERA, pose), marched.gsd_m(CAMERA, pose)
    if gsd is not None and marched_gsd is not None:
        assert gsd == pytest.approx(marched_gsd, abs=0.011 / 740.0)  # it ends within a centimetre
    if one is None or other is None:
        return
    assert one.east_north_m == pytest.approx(other.east_north_m, abs=1e-3)
    assert one.range_m == pytest.approx(other.range_m, abs=1e-3)
    if one.range_m < 20.0 * height:  # at a grazing ray the march's own steps are seen in its slopes
        assert one.look_cov == pytest.approx(other.look_cov, rel=1e-3, abs=1e-6)
        assert one.common_slopes == pytest.approx(other.common_slopes, rel=1e-3, abs=1e-4)


def test_a_ray_that_does_not_sink_meets_no_level_ground() -> None:
    locator = Locator(FlatTerrain(250.0), ORIGIN)
    for pitch in (0.0, 3.0, 90.0):
        pose = CameraPose(ORIGIN.latitude_deg, ORIGIN.longitude_deg, 310.0, 60.0, 0.0, pitch, 0.0)
        assert locator.locate(CAMERA, pose, CAMERA.cx_px, CAMERA.cy_px) is None
        assert locator.gsd_m(CAMERA, pose) is None
    under = CameraPose(ORIGIN.latitude_deg, ORIGIN.longitude_deg, 249.0, -1.0, 0.0, -90.0, 0.0)
    assert locator.gsd_m(CAMERA, under) is None


@given(st.floats(2.0, 30.0), st.floats(1.0, 12.0), st.floats(0.0, 180.0), st.integers(0, 4000))
@settings(max_examples=100, deadline=None)
def test_elongation_is_that_of_the_eigenvalues_wherever_the_pixels_lie(
    long: float, wide: float, angle: float, left: int
) -> None:
    canvas = np.zeros((100, 100), np.uint8)
    cv2.ellipse(canvas, (50, 50), (round(long), round(wide)), angle, 0, 360, 1, cv2.FILLED)
    y, x = np.nonzero(canvas)
    low, high = np.linalg.eigvalsh(np.cov(np.array([x, y]), bias=True) + np.eye(2) / 12.0)
    assert elongation(x + left, y + left) == pytest.approx(math.sqrt(high / low), rel=1e-9)

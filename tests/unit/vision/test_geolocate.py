# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.geo import GeoPoint, LocalFrame
from missions.model import Camera, Modality
from missions.terrain import FlatTerrain, GridTerrain
from vision.camera_model import angles_ned, camera_to_enu, distort, project, rotation_ned, undistort
from vision.ellipse import CHI2_2DOF_95, ellipse95, ground_ellipse, inside95, mahalanobis2, weighted_mean
from vision.frame import CameraPose
from vision.geolocate import GroundFix, Locator
from vision.motion import Look, estimate
from vision.motion import velocity as velocity_of

ORIGIN = GeoPoint(29.7, 107.3)
CAMERA = Camera("c", Modality.THERMAL, 640, 512, 758.0, 748.0, 322.5, 250.5, (-0.21, 0.06, 0.0011, -0.0007, 0.01))
IDEAL = replace(CAMERA, distortion=(0.0, 0.0, 0.0, 0.0, 0.0))
FRAME = LocalFrame(ORIGIN)
FLAT = FlatTerrain(250.0, vertical_error_m=2.0)


def pose(yaw: float = 30.0, pitch: float = -90.0, roll: float = 0.0, height: float = 60.0) -> CameraPose:
    return CameraPose(
        ORIGIN.latitude_deg, ORIGIN.longitude_deg, 250.0 + height, height, yaw, pitch, roll, 6.0, 5.0, 0.0
    )


def turn(axis: str, degrees: float) -> np.ndarray:
    """Elementary rotations by cv2.Rodrigues: shares nothing with vision.camera_model."""
    vector = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}[axis]
    return cv2.Rodrigues(np.array(vector, float) * math.radians(degrees))[0]


def oracle_pixel(camera: Camera, p: CameraPose, ned_offset: np.ndarray) -> np.ndarray:
    """Pixel of a point by OpenCV, from its offset from the camera in north-east-down."""
    body = (turn("z", p.yaw_deg) @ turn("y", p.pitch_deg) @ turn("x", p.roll_deg)).T @ ned_offset
    in_camera = np.array([body[1], body[2], body[0]])
    intrinsics = np.array([[camera.fx_px, 0, camera.cx_px], [0, camera.fy_px, camera.cy_px], [0, 0, 1.0]])
    pixel, _ = cv2.projectPoints(
        in_camera.reshape(1, 1, 3), np.zeros(3), np.zeros(3), intrinsics, np.array(camera.distortion)
    )
    return pixel.ravel()


@given(
    st.floats(-180, 180), st.floats(-90, -40), st.floats(-10, 10), st.floats(0, 639), st.floats(0, 511), st.booleans()
)
@settings(max_examples=150, deadline=None)
def test_places_project_back_to_their_pixels_by_opencv(
    yaw: float, pitch: float, roll: float, u: float, v: float, lens: bool
) -> None:
    camera = CAMERA if lens else IDEAL
    p = pose(yaw, pitch, roll)
    locator = Locator(FLAT, ORIGIN)
    fix = locator.locate(camera, p, u, v)
    assert fix is not None
    assert fix.amsl_m == pytest.approx(250.0, abs=1e-3)
    offset = np.array([fix.east_north_m[1], fix.east_north_m[0], p.amsl_m - fix.amsl_m])
    assert np.allclose(oracle_pixel(camera, p, offset), (u, v), atol=1e-3)
    assert fix.range_m == pytest.approx(float(np.linalg.norm(offset)), rel=1e-6)
    back = locator.pixel_of(camera, p, fix.east_north_m, fix.amsl_m)
    assert back is not None
    assert back == pytest.approx((u, v), abs=1e-3)


@given(st.floats(-180, 180), st.floats(-89.9, 89.9), st.floats(-179, 179))
def test_angles_and_back(yaw: float, pitch: float, roll: float) -> None:
    rotation = rotation_ned(yaw, pitch, roll)
    assert np.allclose(rotation_ned(*angles_ned(rotation)), rotation, atol=1e-9)
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_angles_straight_down_keep_the_heading() -> None:
    rotation = rotation_ned(77.0, -90.0, 0.0)
    assert np.allclose(rotation_ned(*angles_ned(rotation)), rotation, atol=1e-7)


def test_undistortion_is_opencvs() -> None:
    rng = np.random.default_rng(2)
    pixels = rng.uniform((0, 0), (639, 511), (200, 2))
    intrinsics = np.array([[CAMERA.fx_px, 0, CAMERA.cx_px], [0, CAMERA.fy_px, CAMERA.cy_px], [0, 0, 1.0]])
    x, y = undistort(CAMERA, pixels[:, 0], pixels[:, 1])
    xd, yd = distort(CAMERA, x, y)
    assert np.allclose(xd * CAMERA.fx_px + CAMERA.cx_px, pixels[:, 0], atol=1e-6)
    assert np.allclose(yd * CAMERA.fy_px + CAMERA.cy_px, pixels[:, 1], atol=1e-6)
    # OpenCV stops after five iterations, hence the tolerance
    expected = cv2.undistortPoints(pixels.reshape(-1, 1, 2), intrinsics, np.array(CAMERA.distortion)).reshape(-1, 2)
    assert np.allclose(np.stack([x, y], -1), expected, atol=2e-4)


def test_what_is_behind_or_far_outside_has_no_pixel() -> None:
    down = camera_to_enu(0, -90, 0)
    assert project(CAMERA, down, np.array([0.0, 0.0, 50.0])) is None
    assert project(CAMERA, down, np.array([500.0, 0.0, -50.0])) is None
    assert project(CAMERA, down, np.array([0.0, 0.0, -50.0])) == pytest.approx((CAMERA.cx_px, CAMERA.cy_px))


def hills() -> GridTerrain:
    east, north = np.meshgrid(np.arange(-600.0, 601.0, 10.0), np.arange(-600.0, 601.0, 10.0))
    heights = 250 + 25 * np.sin(east / 90) * np.cos(north / 70) + 0.05 * east
    return GridTerrain(LocalFrame(ORIGIN), -600.0, -600.0, 10.0, heights.astype(np.float32), "waves", 2.0)


@pytest.mark.parametrize("pitch", [-90.0, -60.0, -35.0])
def test_a_ray_ends_on_the_first_ground_it_meets(pitch: float) -> None:
    terrain = hills()
    locator = Locator(terrain)
    rng = np.random.default_rng(4)
    for _ in range(25):
        p = pose(float(rng.uniform(-180, 180)), pitch, 0.0, 110.0)
        u, v = rng.uniform(0, 639), rng.uniform(0, 511)
        fix = locator.locate(IDEAL, p, u, v)
        assert fix is not None
        ground = terrain.height_at_enu(*fix.east_north_m)
        assert fix.amsl_m == pytest.approx(float(ground), abs=0.05)
        start = locator.camera_place(p)
        end = np.array([*fix.east_north_m, fix.amsl_m])
        for f in np.linspace(0.01, 0.98, 60):
            point = start + f * (end - start)
            assert point[2] > float(terrain.height_at_enu(point[0], point[1])) - 0.05
        offset = np.array([end[1] - start[1], end[0] - start[0], start[2] - end[2]])
        assert np.allclose(oracle_pixel(IDEAL, p, offset), (u, v), atol=0.05)


def test_no_ground_no_place() -> None:
    locator = Locator(hills())
    assert locator.locate(IDEAL, pose(pitch=-1.0, height=110), 320, 10) is None  # above the horizon
    assert locator.locate(IDEAL, replace(pose(height=110), latitude_deg=29.75), 320, 256) is None  # off the map
    assert locator.locate(IDEAL, pose(height=-40), 320, 256) is None  # under the ground
    assert locator.height_above_ground_m(replace(pose(), latitude_deg=31.0)) is None
    with pytest.raises(ValueError, match="no frame"):
        _ = Locator(FLAT).frame


def test_gsd_is_height_over_focal_length() -> None:
    assert Locator(FLAT, ORIGIN).gsd_m(replace(IDEAL, fy_px=758.0), pose()) == pytest.approx(60 / 758, rel=1e-3)


def draw(p: CameraPose, rng: np.random.Generator, common: dict[str, np.ndarray | float]) -> CameraPose:
    """What telemetry says when the truth is p: common errors once per flight, the others anew."""
    at = FRAME.to_enu(GeoPoint(p.latitude_deg, p.longitude_deg))
    clock = float(common["clock"])
    east = common["east"] + rng.normal(0, p.horizontal_sigma_m) + p.velocity_east_m_s * clock
    north = common["north"] + rng.normal(0, p.horizontal_sigma_m) + p.velocity_north_m_s * clock
    told = FRAME.to_geo(at[0] + float(east), at[1] + float(north))
    s = p.attitude_sigma_deg
    return replace(
        p,
        latitude_deg=told.latitude_deg,
        longitude_deg=told.longitude_deg,
        amsl_m=p.amsl_m + float(common["up"]),
        yaw_deg=p.yaw_deg + float(common["yaw"]) + rng.normal(0, s),
        pitch_deg=p.pitch_deg + float(common["pitch"]) + rng.normal(0, s),
        roll_deg=p.roll_deg + float(common["roll"]) + rng.normal(0, s),
    )


@pytest.mark.parametrize("pitch", [-90.0, -55.0])
@pytest.mark.parametrize("looks", [1, 5])
def test_the_95_percent_ellipse_holds_the_truth_as_often_as_it_says(pitch: float, looks: int) -> None:
    rng = np.random.default_rng(17)
    locator = Locator(FLAT, ORIGIN)
    inside = still = 0
    trials = 160
    for _ in range(trials):
        yaw = float(rng.uniform(-180, 180))
        base = pose(yaw, pitch)
        heading = math.radians(yaw)
        velocity = np.array([math.sin(heading), math.cos(heading)]) * 8.0
        common = {
            "east": rng.normal(0, base.horizontal_common_sigma_m),
            "north": rng.normal(0, base.horizontal_common_sigma_m),
            "up": rng.normal(0, math.hypot(base.vertical_common_sigma_m, FLAT.vertical_error_m)),
            "yaw": rng.normal(0, base.yaw_common_sigma_deg),
            "pitch": rng.normal(0, base.tilt_common_sigma_deg),
            "roll": rng.normal(0, base.tilt_common_sigma_deg),
            "clock": rng.normal(0, base.clock_common_sigma_s),
        }
        first = locator.locate(IDEAL, base, rng.uniform(80, 560), rng.uniform(60, 160))
        assert first is not None
        truth = first.east_north_m
        seen = []
        for k in range(looks):
            at = locator.frame.to_geo(*(velocity * k * 0.8))
            true_pose = replace(
                base,
                latitude_deg=at.latitude_deg,
                longitude_deg=at.longitude_deg,
                velocity_north_m_s=velocity[1],
                velocity_east_m_s=velocity[0],
            )
            start = locator.camera_place(true_pose)
            pixel = oracle_pixel(
                IDEAL, true_pose, np.array([truth[1] - start[1], truth[0] - start[0], start[2] - 250.0])
            )
            pixel = pixel + rng.normal(0, 2.0, 2)
            fix = locator.locate(IDEAL, draw(true_pose, rng, common), float(pixel[0]), float(pixel[1]), 2.0)
            assert fix is not None
            seen.append(Look(float(k), fix))
        motion = estimate(seen)
        place = ground_ellipse(
            locator.frame, motion.place, 250.0, motion.look_cov + motion.common_cov, motion.common_cov
        )
        inside += inside95(place, locator.frame.to_geo(*truth))
        drift = velocity_of(seen)
        if drift is not None:  # of a thing that stands still
            cov = np.array([[drift.cov_ee_m2_s2, drift.cov_en_m2_s2], [drift.cov_en_m2_s2, drift.cov_nn_m2_s2]])
            still += mahalanobis2(np.array([drift.east_m_s, drift.north_m_s]), cov) <= CHI2_2DOF_95
    assert 0.90 <= inside / trials <= 0.985
    assert still >= (0.9 * trials if looks > 1 else 0)


def test_more_looks_shrink_only_what_is_drawn_anew() -> None:
    fix = Locator(FLAT, ORIGIN).locate(IDEAL, pose(), 330.0, 250.0)
    assert fix is not None
    one, many = estimate([Look(0.0, fix)]), estimate([Look(0.2 * k, fix) for k in range(16)])
    assert np.allclose(many.look_cov, one.look_cov / 16)
    assert np.allclose(many.common_cov, one.common_cov)
    total = many.look_cov + many.common_cov
    assert np.all(np.linalg.eigvalsh(total - many.common_cov) >= -1e-12)


def test_a_walker_is_seen_to_walk_and_a_sleeper_to_lie() -> None:
    locator = Locator(FLAT, ORIGIN)
    rng = np.random.default_rng(8)
    for speed in (0.0, 1.4):
        looks = []
        for k in range(8):
            fix = locator.locate(IDEAL, pose(0.0), 320.0, 250.0)
            assert fix is not None
            moved = fix.east_north_m + np.array([speed * k, 0.0]) + rng.normal(0, 0.3, 2)
            looks.append(Look(float(k), replace(fix, east_north_m=moved)))
        motion = estimate(looks)
        if speed:
            assert motion.speed == pytest.approx(1.4, abs=0.4)
            assert motion.velocity is not None
            assert motion.velocity[0] > 0.9
        else:
            assert motion.velocity is None


@given(st.integers(0, 10_000), st.integers(2, 12), st.floats(-8.0, 8.0), st.floats(-8.0, 8.0))
def test_a_velocity_is_the_slope_of_the_straight_line_and_its_doubt_that_of_the_slope(
    seed: int, looks: int, east_m_s: float, north_m_s: float
) -> None:
    """Against numpy.polyfit, for looks of even quality whose common errors move all places alike."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 1.5, looks))
    places = np.outer(times, [east_m_s, north_m_s]) + rng.normal(0, 0.4, (looks, 2))
    fixes = [GroundFix(p, 250.0, np.eye(2) * 0.07, np.eye(2) * 2.0, 60.0, 0.08) for p in places]
    found = velocity_of([Look(float(t), f) for t, f in zip(times, fixes, strict=True)])
    assert found is not None
    slope = np.polyfit(times, places, 1)[0]
    assert (found.east_m_s, found.north_m_s) == pytest.approx(tuple(slope), abs=1e-6)
    variance = (0.07 + 0.3**2) / float(np.sum((times - times.mean()) ** 2))
    assert (found.cov_ee_m2_s2, found.cov_nn_m2_s2) == pytest.approx((variance, variance), rel=1e-6)
    assert found.cov_en_m2_s2 == pytest.approx(0.0, abs=1e-9)


def test_one_look_or_looks_within_a_moment_have_no_velocity() -> None:
    fix = Locator(FLAT, ORIGIN).locate(IDEAL, pose(), 330.0, 250.0)
    assert fix is not None
    assert velocity_of([Look(0.0, fix)]) is None
    assert velocity_of([Look(0.0, fix), Look(0.2, fix), Look(0.4, fix)]) is None
    assert velocity_of([]) is None


def test_ellipse_axes_and_azimuth() -> None:
    angle = math.radians(30)  # clockwise from north
    axis = np.array([math.sin(angle), math.cos(angle)])
    cov = 9.0 * np.outer(axis, axis) + 1.0 * (np.eye(2) - np.outer(axis, axis))
    place = ground_ellipse(LocalFrame(ORIGIN), np.zeros(2), 0.0, cov, np.zeros((2, 2)))
    ellipse = ellipse95(place)
    assert ellipse.semi_major_m == pytest.approx(3 * math.sqrt(CHI2_2DOF_95))
    assert ellipse.semi_minor_m == pytest.approx(math.sqrt(CHI2_2DOF_95))
    assert ellipse.azimuth_deg == pytest.approx(30.0)
    assert math.exp(-CHI2_2DOF_95 / 2) == pytest.approx(0.05)


def test_weighted_mean_of_two_places() -> None:
    mean, cov = weighted_mean([np.array([0.0, 0.0]), np.array([4.0, 0.0])], [np.eye(2), np.eye(2) * 3.0])
    assert mean == pytest.approx([1.0, 0.0])
    assert np.allclose(cov, np.eye(2) * 0.75)
    assert mahalanobis2(np.array([2.0, 0.0]), np.eye(2) * 4.0) == pytest.approx(1.0)


def test_five_looks_tell_a_walker_from_a_sleeper() -> None:
    """Noise as the looks state it; a sleeper is called moving as rarely as promised, a walker nearly always found."""
    locator, rng = Locator(FLAT, ORIGIN), np.random.default_rng(21)
    fix = locator.locate(IDEAL, pose(0.0), 320.0, 250.0)
    assert fix is not None
    root = np.linalg.cholesky(fix.look_cov)
    moving = {0.0: 0, 1.2: 0}
    trials = 300
    for speed in moving:
        for _ in range(trials):
            looks = []
            for k in range(5):
                place = (
                    fix.east_north_m + np.array([speed * k, 0.0]) + root @ rng.normal(size=2) + rng.normal(0, 0.3, 2)
                )
                looks.append(Look(float(k), replace(fix, east_north_m=place)))
            moving[speed] += estimate(looks).speed is not None
    assert moving[0.0] <= 0.02 * trials
    assert moving[1.2] >= 0.9 * trials

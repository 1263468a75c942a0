# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from missions.geo import GeoPoint, LocalFrame, wrap_degrees
from missions.model import Camera, Modality
from vision.camera_model import rotation_ned
from vision.pose import KEEP_S, PoseBuffer, camera_pose
from vision.pose_types import BodyPose

AT = BodyPose(10.0, 29.7, 107.3, 300.0, 50.0, 8.0, 2.0, -1.0, 1.0, -3.0, 90.0)
CAMERA = Camera("c", Modality.THERMAL, 640, 512, 758.0, 758.0, 319.5, 255.5)


def moved(seconds: float, yaw: float = 90.0) -> BodyPose:
    place = LocalFrame(GeoPoint(29.7, 107.3)).to_geo(2.0 * seconds, 8.0 * seconds)
    return replace(
        AT,
        vehicle_time_s=10.0 + seconds,
        latitude_deg=place.latitude_deg,
        longitude_deg=place.longitude_deg,
        amsl_m=300.0 + seconds,
        yaw_deg=yaw,
    )


def filled(*seconds: float) -> PoseBuffer:
    buffer = PoseBuffer()
    for s in seconds:
        buffer.add(moved(s))
    return buffer


@given(st.floats(0, 0.4))
def test_between_samples_it_lies_on_the_line(seconds: float) -> None:
    found = filled(0.0, 0.4).at(10.0 + seconds)
    assert found is not None
    east, north = LocalFrame(GeoPoint(29.7, 107.3)).to_enu(GeoPoint(found.latitude_deg, found.longitude_deg))
    assert (east, north) == pytest.approx((2 * seconds, 8 * seconds), abs=1e-3)
    assert found.amsl_m == pytest.approx(300 + seconds)


@given(st.floats(-179, 179), st.floats(-170, 170), st.floats(0, 1))
def test_headings_turn_the_short_way(start: float, change: float, fraction: float) -> None:
    buffer = PoseBuffer()
    buffer.add(moved(0.0, start))
    buffer.add(moved(0.5, wrap_degrees(start + change)))
    found = buffer.at(10.0 + 0.5 * fraction)
    assert found is not None
    assert abs(wrap_degrees(found.yaw_deg - (start + change * fraction))) < 1e-6


def test_gaps_are_not_bridged_and_little_is_guessed() -> None:
    buffer = filled(0.0, 0.5, 1.2)
    assert buffer.at(10.3) is not None
    assert buffer.at(10.9) is None  # 0.7 s between samples
    assert buffer.at(9.9) is None  # before the first
    ahead = buffer.at(11.35)
    assert ahead is not None
    east, north = LocalFrame(GeoPoint(29.7, 107.3)).to_enu(GeoPoint(ahead.latitude_deg, ahead.longitude_deg))
    assert (east, north) == pytest.approx((2 * 1.35, 8 * 1.35), abs=0.02)
    assert ahead.amsl_m == pytest.approx(301.35)
    assert buffer.at(11.5) is None
    assert not buffer.covers(11.3)
    assert buffer.covers(11.2)
    assert PoseBuffer().at(1.0) is None


@given(st.permutations([0.0, 0.1, 0.2, 0.3, 0.4, 0.5]))
def test_late_samples_are_sorted_in(order: list[float]) -> None:
    found = filled(*order, 0.3).at(10.25)
    assert found is not None
    assert found.amsl_m == pytest.approx(300.25)


def test_it_stays_bounded_and_a_reboot_starts_anew() -> None:
    rng = random.Random(1)
    buffer = PoseBuffer()
    for k in range(4_000):
        buffer.add(moved(k * 0.05 + rng.uniform(0, 0.01)))
    assert len(buffer) <= KEEP_S / 0.05 + 2
    fast = filled(*(k * 0.001 for k in range(10_000)))
    assert len(fast) <= 3000
    buffer.add(replace(AT, vehicle_time_s=1.0))
    assert len(buffer) == 1
    assert buffer.reboots == 1


def test_a_stabilised_mount_ignores_the_bodys_tilt_and_a_fixed_one_does_not() -> None:
    held = camera_pose(replace(CAMERA, mount_yaw_deg=10.0, mount_pitch_deg=-60.0), AT)
    assert (held.yaw_deg, held.pitch_deg, held.roll_deg) == pytest.approx((100.0, -60.0, 0.0))
    fixed = camera_pose(
        replace(CAMERA, stabilised=False, mount_pitch_deg=-60.0), replace(AT, roll_deg=0.0, pitch_deg=-5.0)
    )
    assert (fixed.yaw_deg, fixed.pitch_deg) == pytest.approx((90.0, -65.0))
    down = camera_pose(replace(CAMERA, stabilised=False), AT)
    expected = rotation_ned(90.0, -3.0, 1.0) @ rotation_ned(0.0, -90.0, 0.0)
    assert rotation_ned(down.yaw_deg, down.pitch_deg, down.roll_deg) == pytest.approx(expected, abs=1e-9)
    assert held.velocity_north_m_s == 8.0

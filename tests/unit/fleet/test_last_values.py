# SPDX-License-Identifier: AGPL-3.0-or-later
"""Freshness, mission progress, and poses paired by the vehicle's clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronectl.fleet.last_values import (
    Attitude,
    Freshness,
    GlobalPosition,
    MissionCurrent,
    MissionItemReached,
    MissionProgress,
    PosePairer,
    decode_attitude,
    decode_position,
    is_autopilots,
    known,
    known_fraction,
    known_place,
)
from missions.geo import GeoPoint, LocalFrame

ORIGIN = GeoPoint(29.7, 107.4)


def test_only_a_new_message_time_proves_that_something_came() -> None:
    freshness = Freshness()
    assert not freshness.fresh(0.0)
    assert not freshness.message_time(0, 1.0)  # nothing yet
    assert freshness.heard_monotonic_s is None
    freshness.message_time(5_000_000, 2.0)
    freshness.message_time(5_000_000, 9.0)  # the same message, looked at again
    assert freshness.heard_monotonic_s == 2.0
    assert freshness.vehicle_time_s == 5.0
    assert freshness.fresh(4.9)
    assert not freshness.fresh(5.1)


def test_a_clock_that_jumps_back_is_a_reboot_and_jitter_is_not() -> None:
    freshness = Freshness()
    assert not freshness.message_time(60_000_000, 1.0)
    assert not freshness.message_time(59_900_000, 2.0)
    assert freshness.message_time(3_000_000, 3.0)
    assert freshness.vehicle_time_s == 3.0


@given(st.lists(st.integers(0, 50), min_size=1))
def test_reached_is_the_highest_since_the_restart(sequence: list[int]) -> None:
    progress = MissionProgress()
    for seq in sequence:
        progress.on_reached(MissionItemReached(seq))
    assert progress.reached == max(sequence)
    progress.restart()
    assert progress.reached is None


def test_no_mission_has_no_total() -> None:
    progress = MissionProgress()
    progress.on_current(MissionCurrent(0, 65535))
    assert (progress.current, progress.total) == (0, None)
    progress.on_current(MissionCurrent(3, 9))
    assert (progress.current, progress.total) == (3, 9)


def _position(time_s: float) -> GlobalPosition:
    """A vehicle that speeds up eastwards by 3 m/s2 and climbs at 2 m/s, as GLOBAL_POSITION_INT tells it."""
    point = LocalFrame(ORIGIN).to_geo(0.5 * 3.0 * time_s**2, 0.0)
    up_m = 2.0 * time_s
    lat, lon = round(point.latitude_deg * 1e7), round(point.longitude_deg * 1e7)
    mm = round(up_m * 1e3)
    return GlobalPosition(round(time_s * 1e3), lat, lon, 250_000 + mm, mm, 0, round(300.0 * time_s), -200)


@given(
    phase_ms=st.integers(0, 99),
    start_ms=st.integers(0, 2_000),
    batch=st.integers(1, 7),
)
def test_a_sample_is_where_the_vehicle_was_at_the_attitudes_moment(phase_ms: int, start_ms: int, batch: int) -> None:
    pairer = PosePairer("d1")
    messages: list[tuple[int, bool]] = []
    for n in range(40):
        messages.append((start_ms + 100 * n, True))
        messages.append((start_ms + 100 * n + phase_ms, False))
    messages.sort(key=lambda entry: entry[0])
    samples = []
    for index, (ms, is_position) in enumerate(messages):
        if is_position:
            pairer.position(_position(ms / 1e3))
        else:
            pairer.attitude(Attitude(ms, 0.1, -0.1, math.pi / 2))
        if index % batch == 0:
            samples += pairer.take()
    samples += pairer.take()
    times = [sample.vehicle_time_s for sample in samples]
    assert len(times) == 40
    assert times == sorted(times)
    frame = LocalFrame(ORIGIN)
    for sample in samples:
        east_m, north_m = frame.to_enu(GeoPoint(sample.latitude_deg, sample.longitude_deg))
        # 100 ms ahead at most, when a batch ends on an attitude: half of 3 m/s2 times that squared, and rounding.
        assert east_m == pytest.approx(1.5 * sample.vehicle_time_s**2, abs=0.05)
        assert north_m == pytest.approx(0.0, abs=0.05)
        assert sample.amsl_m == pytest.approx(250.0 + 2.0 * sample.vehicle_time_s, abs=0.01)
        assert sample.yaw_deg == pytest.approx(90.0)


def test_equal_stamps_are_taken_as_they_are_whatever_comes_first() -> None:
    pairer = PosePairer("d1")
    pairer.position(_position(1.0))
    pairer.attitude(Attitude(1100, 0.0, 0.0, 0.0))
    pairer.position(_position(1.1))
    (sample,) = pairer.take()
    assert sample.longitude_deg == _position(1.1).lon / 1e7


def test_an_attitude_without_a_position_near_it_is_dropped_and_one_too_early_waits() -> None:
    pairer = PosePairer("d1")
    pairer.position(_position(5.0))
    pairer.attitude(Attitude(1000, 0.0, 0.0, 0.0))
    pairer.attitude(Attitude(6000, 0.0, 0.0, 0.0))
    assert pairer.take() == []
    pairer.position(_position(6.0))
    assert [sample.vehicle_time_s for sample in pairer.take()] == [6.0]


def test_a_reboot_forgets_the_past() -> None:
    pairer = PosePairer("d1")
    pairer.position(_position(50.0))
    pairer.attitude(Attitude(50_400, 0.0, 0.0, 0.0))
    pairer.position(_position(1.0))
    pairer.attitude(Attitude(1000, 0.0, 0.0, 0.0))
    assert [sample.vehicle_time_s for sample in pairer.take()] == [1.0]


def test_reads_what_the_library_writes() -> None:
    position = decode_position(
        '{"message_id":33,"message_name":"GLOBAL_POSITION_INT","alt":300000,"hdg":9000,"lat":297000000,'
        '"lon":1073000000,"relative_alt":50000,"time_boot_ms":1750,"vx":100,"vy":0,"vz":-5}'
    )
    assert (position.time_boot_ms, position.lat, position.vz) == (1750, 297_000_000, -5)
    attitude = decode_attitude('{"message_id":30,"pitch":0.05,"roll":0.1,"time_boot_ms":1750,"yaw":1.0,"yawspeed":0}')
    assert (attitude.roll, attitude.yaw) == (0.1, 1.0)


# What a vehicle that does not know sends, as the library hands it on: NaN and infinity as null; INT32_MAX as it is.
BLIND = '{"message_id":30,"message_name":"ATTITUDE","pitch":null,"pitchspeed":0.0,"roll":null,"rollspeed":null,"time_boot_ms":5000,"yaw":0.1,"yawspeed":0.0}'


def test_an_attitude_that_is_no_number_gives_no_pose_and_no_error() -> None:
    pairer = PosePairer("d1")
    pairer.position(_position(5.0))
    pairer.attitude(decode_attitude(BLIND))
    pairer.attitude(Attitude(5000, math.inf, 0.0, 0.0))
    pairer.attitude(Attitude(5000, 0.0, 0.0, 0.0))
    assert [sample.roll_deg for sample in pairer.take()] == [0.0]


@pytest.mark.parametrize(("lat", "lon"), [(2**31 - 1, 0), (0, 2**31 - 1), (-910_000_000, 0), (0, 1_800_000_001)])
def test_a_position_that_is_not_on_earth_gives_no_pose(lat: int, lon: int) -> None:
    pairer = PosePairer("d1")
    pairer.position(GlobalPosition(5000, lat, lon, 0, 0, 0, 0, 0))
    pairer.attitude(Attitude(5000, 0.0, 0.0, 0.0))
    assert pairer.take() == []


@given(st.floats(), st.floats())
def test_a_place_is_on_earth_or_not_known(latitude_deg: float, longitude_deg: float) -> None:
    place = known_place(latitude_deg, longitude_deg)
    on_earth = abs(latitude_deg) <= 90.0 and abs(longitude_deg) <= 180.0  # false for NaN
    assert place == ((latitude_deg, longitude_deg) if on_earth else (None, None))


@given(st.floats())
def test_what_is_no_number_is_not_known(value: float) -> None:
    assert known(value) == (value if math.isfinite(value) else None)


@pytest.mark.parametrize(
    ("percent", "fraction"), [(-1.0, None), (0.0, 0.0), (87.0, 0.87), (100.0, 1.0), (127.0, None), (math.nan, None)]
)
def test_a_battery_that_is_not_told_is_not_an_empty_one(percent: float, fraction: float | None) -> None:
    assert known_fraction(percent) == fraction


def test_only_an_autopilots_heartbeat_says_that_it_lives() -> None:
    """A companion computer or a gimbal under the same system id goes on when the autopilot is silent."""
    heartbeat = (
        '{"message_id":0,"message_name":"HEARTBEAT","autopilot":%d,"base_mode":81,"custom_mode":50593792,'
        '"mavlink_version":3,"system_status":4,"type":%d}'
    )
    assert is_autopilots(heartbeat % (12, 2))
    assert not is_autopilots(heartbeat % (8, 18))

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flights in virtual time: what a ground station sees of one simulated PX4."""

from __future__ import annotations

import math

import pytest
from pymavlink.dialects.v20 import common as mavlink
from sim_pilot import (
    ACCEPTED,
    DENIED,
    FORCE,
    REJECTED,
    WINDY,
    Pilot,
    fly_up,
    patrol,
    place,
)

from sim.autopilot_core import Mode


def test_a_patrol_from_boot_to_landing():
    pilot = Pilot(wind=WINDY)
    assert pilot.arm() == REJECTED  # not before position and home are there
    pilot.ready()
    assert 4.0 <= pilot.core.now_s <= 5.2
    assert pilot.upload(patrol()) == 0
    assert pilot.arm() == ACCEPTED
    assert pilot.mode("mission") == ACCEPTED
    pilot.until(lambda: not pilot.core.landed)
    pilot.until(lambda: not pilot.core.armed)
    assert pilot.reached() == [0, 1, 2, 3, 4, 5, 6]
    modes = [message.custom_mode for message in pilot.said("HEARTBEAT")]
    in_order = [mode for i, mode in enumerate(modes) if i == 0 or modes[i - 1] != mode]
    assert in_order == [Mode.HOLD, Mode.MISSION, Mode.RETURN, Mode.HOLD]
    landed = [message.landed_state for message in pilot.said("EXTENDED_SYS_STATE")]
    assert [s for i, s in enumerate(landed) if i == 0 or landed[i - 1] != s] == [1, 3, 2, 4, 1]
    assert math.hypot(*pilot.offset_m()) < 5.0
    assert pilot.vehicle.on_ground
    assert not pilot.vehicle.crashed
    assert pilot.autopilot.pose().gimbal_pitch_deg == -60.0


def test_waypoints_are_flown_through_and_legs_are_kept():
    """True position within 4 m of each leg's line in wind, and within the acceptance radius (plus bias) of each place."""
    pilot = Pilot(wind=WINDY).ready()
    pilot.upload(patrol(back=False))
    pilot.arm()
    pilot.mode("mission")
    track = []
    while pilot.reached()[-1:] != [5]:
        pilot.run(0.2)
        track.append((*pilot.offset_m(), pilot.vehicle.height_above_home_m))
        assert len(track) < 2000
    for north, east, height in ((80, 0, 30), (80, 80, 30), (0, 80, 25)):
        nearest = min(math.hypot(n - north, e - east) for n, e, h in track if abs(h - height) < 4)
        assert nearest < 3.0 + 3.5
    first_leg = [(n, e) for n, e, h in track if h > 16.0 and 5 < n < 70 and e < 20]
    assert max(abs(e) for _, e in first_leg) < 4.0


def test_hold_time_at_a_waypoint():
    pilot = Pilot(exact=True).ready()
    pilot.upload(patrol(back=False))
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: pilot.reached()[-1:] == [5])
    times = [t for t, message in zip(pilot.times, pilot.messages, strict=True) if message.get_type() == "ATTITUDE"]
    assert times  # telemetry went on while it waited
    reached_at = pilot.core.now_s
    near = next(
        t
        for t, m in zip(pilot.times, pilot.messages, strict=True)
        if m.get_type() == "GLOBAL_POSITION_INT"
        and math.hypot((m.lat - place(0, 80)["x"]) * 0.0111, (m.lon - place(0, 80)["y"]) * 0.00968) < 3.0
    )
    assert 3.8 <= reached_at - near <= 6.0


def test_a_mission_without_take_off_that_lands():
    pilot = Pilot().ready()
    pilot.upload([{"command": 16, **place(30, 0), "z": 12.0}, {"command": 21, **place(30, 20), "z": 0.0}])
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: not pilot.core.landed)
    while pilot.vehicle.height_above_home_m < 10.5:
        pilot.run(0.1)
        assert math.hypot(*pilot.offset_m()) < 3.0, "straight up first"
    pilot.until(lambda: not pilot.core.armed)
    assert pilot.offset_m() == pytest.approx((30.0, 20.0), abs=5.0)
    assert pilot.reached() == [0, 1]
    landed = [message.landed_state for message in pilot.said("EXTENDED_SYS_STATE")]
    assert [s for i, s in enumerate(landed) if i == 0 or landed[i - 1] != s] == [1, 3, 2, 4, 1]
    assert pilot.core.mode is Mode.MISSION, "as PX4: after landing the mode still reads mission"


def test_a_mission_that_ends_in_the_air_holds_there():
    pilot = Pilot().ready()
    pilot.upload(patrol(back=False))
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: pilot.core.mode is Mode.HOLD)
    assert pilot.reached()[-1] == 5
    pilot.run(5.0)
    assert pilot.offset_m() == pytest.approx((0.0, 80.0), abs=4.0)
    assert pilot.mode("mission") == ACCEPTED, "OK is not done"
    pilot.run(1.0)
    assert pilot.core.mode is Mode.HOLD
    pilot.mode("land")
    pilot.until(lambda: not pilot.core.armed)


def test_items_that_act_at_once_count_but_do_not_flicker():
    pilot = Pilot().ready()
    pilot.upload(patrol())
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: not pilot.core.armed)
    current = [message.seq for message in pilot.said("MISSION_CURRENT")]
    assert [c for i, c in enumerate(current) if i == 0 or current[i - 1] != c] == [0, 2, 4, 5, 6]


def test_commands_that_say_ok_and_do_nothing():
    pilot = Pilot().ready()
    assert pilot.mode("mission") == ACCEPTED  # disarmed, no mission
    assert pilot.command(22) == ACCEPTED  # take-off while disarmed
    pilot.run(20.0)
    assert pilot.core.landed
    assert not pilot.core.armed


def test_finished_mission_starts_again_only_after_set_current():
    pilot = Pilot().ready()
    pilot.upload(patrol())
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: not pilot.core.armed)
    assert pilot.arm() == ACCEPTED
    assert pilot.mode("mission") == ACCEPTED
    pilot.run(8.0)
    assert pilot.core.landed, "nothing flies"
    pilot.say(mavlink.MAVLink_mission_set_current_message(7, 1, 0))
    pilot.until(lambda: not pilot.core.landed, 20.0)


def test_disarms_by_itself_on_the_ground():
    pilot = Pilot().ready()
    pilot.arm()
    start = pilot.core.now_s
    pilot.until(lambda: not pilot.core.armed)
    assert pilot.core.now_s - start == pytest.approx(10.0, abs=0.3)


def test_disarming_in_the_air_needs_force_and_then_it_falls():
    pilot = fly_up(Pilot())
    assert pilot.disarm() == REJECTED
    assert pilot.core.armed
    assert pilot.command(400, 0.0, FORCE) == ACCEPTED
    assert not pilot.core.armed
    pilot.until(lambda: pilot.vehicle.on_ground, 10.0)
    assert pilot.vehicle.crashed
    pilot.run(5.0)
    assert pilot.arm() == REJECTED


def test_arm_in_the_air_changes_nothing():
    pilot = fly_up(Pilot())
    assert pilot.arm() == ACCEPTED
    assert pilot.core.mode is Mode.HOLD


def test_mission_start_arms():
    pilot = Pilot().ready()
    assert pilot.command(300, 0.0, 0.0) == DENIED
    pilot.upload(patrol())
    assert pilot.command(300, 0.0, 0.0) == ACCEPTED
    assert pilot.core.armed
    pilot.until(lambda: not pilot.core.landed, 20.0)


def test_pause_and_resume_goes_on_with_the_same_item():
    pilot = Pilot().ready()
    pilot.upload(patrol())
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: pilot.autopilot.mission.current == 4)
    pilot.mode("hold")
    pilot.run(6.0)
    before = pilot.offset_m()
    pilot.run(10.0)
    assert math.dist(before, pilot.offset_m()) < 2.0
    assert pilot.autopilot.mission.current == 4
    pilot.mode("mission")
    pilot.until(lambda: pilot.reached()[-1] == 4)
    pilot.run(3.0)
    speed = math.hypot(pilot.vehicle.velocity_north_m_s, pilot.vehicle.velocity_east_m_s)
    assert speed > 5.5, "the speed that was set before the pause holds"


def test_upload_in_flight_resets_progress():
    pilot = Pilot().ready()
    pilot.upload(patrol())
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: pilot.autopilot.mission.current == 4)
    pilot.messages.clear()
    pilot.upload(patrol(back=False))
    told = [(message.seq, message.total) for message in pilot.said("MISSION_CURRENT")]
    assert (0, 6) in told
    assert pilot.autopilot.mission.current < 4


def test_cleared_mission_in_flight_holds():
    pilot = Pilot().ready()
    pilot.upload(patrol())
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: pilot.autopilot.mission.current == 2)
    pilot.say(mavlink.MAVLink_mission_clear_all_message(7, 1, 0))
    pilot.run(1.0)
    assert pilot.core.mode is Mode.HOLD
    assert not pilot.core.landed

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flights in virtual time: what a ground station sees of one simulated PX4."""

from __future__ import annotations

import math

import pytest
from pymavlink.dialects.v20 import common as mavlink
from sim_pilot import FORCE, HOME, NAN, Pilot, patrol, place, square

from missions.terrain import FlatTerrain
from sim.autopilot_core import Mode
from sim.config import WindConfig

ACCEPTED, REJECTED, DENIED, UNSUPPORTED = 0, 1, 2, 3
WINDY = WindConfig(speed_m_s=4.0, from_deg=220.0, gust_m_s=1.5)


def fly_up(pilot: Pilot, height_m: float = 20.0) -> Pilot:
    pilot.ready()
    assert pilot.arm() == ACCEPTED
    assert pilot.command(22, NAN, NAN, NAN, NAN, NAN, NAN, 250.0 + height_m) == ACCEPTED
    pilot.until(lambda: pilot.core.mode is Mode.HOLD and not pilot.core.landed)
    return pilot


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


def test_mission_outside_the_fence_uploads_but_does_not_start():
    pilot = Pilot().ready()
    assert pilot.upload(square(50.0), 1) == 0
    assert pilot.upload(patrol()) == 0
    assert "Geofence violation for waypoint 3" in pilot.texts
    assert pilot.arm() == ACCEPTED
    assert pilot.mode("mission") == REJECTED
    assert pilot.core.mode is Mode.HOLD
    assert pilot.upload(square(200.0), 1) == 0
    assert pilot.mode("mission") == ACCEPTED


def test_legs_are_not_checked_against_the_fence():
    """A keep-out between two waypoints: PX4 accepts it; the fence acts when the vehicle is there."""
    pilot = Pilot().ready()
    hole = [
        {"command": 5002, "frame": 0, "p1": 4.0, "p4": 0.0, **place(80 + n * 10, 40 + e * 10)}
        for n, e in ((1, 1), (1, -1), (-1, -1), (-1, 1))
    ]
    assert pilot.upload(square(200.0) + hole, 1) == 0
    assert pilot.upload(patrol()) == 0
    pilot.arm()
    assert pilot.mode("mission") == ACCEPTED
    pilot.until(lambda: pilot.core.mode is Mode.HOLD, 120.0)
    north, east = pilot.offset_m()
    assert abs(north - 80) < 12
    assert 28 < east < 45


@pytest.mark.parametrize(("action", "mode"), [(2, Mode.HOLD), (3, Mode.RETURN), (5, Mode.LAND)])
def test_fence_breach(action: int, mode: Mode):
    pilot = Pilot().ready()
    pilot.set_param("GF_ACTION", action)
    pilot.upload(square(60.0), 1)
    fly_up(pilot, 20.0)
    goal = place(40.0, 0.0)
    # Inside: it goes there. The wind of a manual flight is played by moving the vehicle.
    pilot.say(mavlink.MAVLink_command_int_message(7, 1, 5, 192, 0, 0, -1.0, 1.0, 0.0, NAN, goal["x"], goal["y"], 270.0))
    pilot.run(15.0)
    assert pilot.offset_m()[0] == pytest.approx(40.0, abs=3.5)
    pilot.vehicle.latitude_deg += 30.0 / 111_000.0
    pilot.run(1.0)
    assert pilot.core.failsafe
    pilot.until(lambda: pilot.core.mode is mode, 8.0)


def test_reposition_outside_the_fence_says_ok_and_holds():
    pilot = Pilot().ready()
    pilot.upload(square(60.0), 1)
    fly_up(pilot, 20.0)
    far = place(300.0, 0.0)
    pilot.say(mavlink.MAVLink_command_int_message(7, 1, 5, 192, 0, 0, -1.0, 1.0, 0.0, NAN, far["x"], far["y"], 270.0))
    assert pilot.last("COMMAND_ACK").result == ACCEPTED
    pilot.run(20.0)
    assert math.hypot(*pilot.offset_m()) < 5.0
    assert pilot.core.mode is Mode.HOLD


def test_lost_link_holds_five_seconds_then_returns_and_stays_so():
    pilot = Pilot().ready()
    pilot.set_param("NAV_DLL_ACT", 2)
    pilot.set_param("COM_DL_LOSS_T", 15)
    pilot.upload([*patrol(back=False), {"command": 16, **place(400, 400), "z": 40.0}])
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: pilot.autopilot.mission.current == 4)
    pilot.beating = False
    lost = pilot.core.now_s
    pilot.until(lambda: pilot.core.mode is Mode.HOLD)
    assert pilot.core.now_s - lost == pytest.approx(15.0, abs=1.5)
    held = pilot.core.now_s
    pilot.until(lambda: pilot.core.mode is Mode.RETURN)
    assert pilot.core.now_s - held == pytest.approx(5.0, abs=0.5)
    pilot.beating = True
    pilot.run(10.0)
    assert pilot.core.mode is Mode.RETURN
    pilot.until(lambda: not pilot.core.armed)
    assert math.hypot(*pilot.offset_m()) < 5.0


def test_lost_link_without_an_action_flies_on():
    pilot = Pilot().ready()
    pilot.upload(patrol())
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: pilot.autopilot.mission.current == 2)
    pilot.beating = False
    pilot.until(lambda: not pilot.core.armed)
    assert pilot.reached()[-1] == 6


def test_user_takes_over_from_a_failsafe():
    pilot = fly_up(Pilot())
    pilot.set_param("NAV_DLL_ACT", 2)
    pilot.beating = False
    pilot.until(lambda: pilot.core.mode is Mode.RETURN)
    pilot.mode("hold")
    pilot.run(8.0)
    assert pilot.core.mode is Mode.HOLD, "the same cause does not act twice"


def test_low_battery_returns_then_lands():
    pilot = Pilot().ready()
    pilot.set_param("COM_LOW_BAT_ACT", 3)
    pilot.upload([{"command": 22, **place(0, 0), "z": 20.0}, {"command": 16, **place(600, 0), "z": 40.0}])
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: pilot.offset_m()[0] > 300.0)
    pilot.vehicle.battery.fraction = 0.14
    pilot.run(1.0)
    assert pilot.core.mode is Mode.MISSION, "a warning is only said"
    assert any("Low battery" in text for text in pilot.texts)
    pilot.vehicle.battery.fraction = 0.065
    pilot.run(1.0)
    assert pilot.core.mode is Mode.HOLD
    pilot.until(lambda: pilot.core.mode is Mode.RETURN, 6.0)
    pilot.vehicle.battery.fraction = 0.04
    pilot.until(lambda: pilot.core.mode is Mode.LAND, 2.0)
    pilot.until(lambda: not pilot.core.armed, 120.0)


def test_supply_circuit_breaker_switches_the_battery_failsafe_off():
    pilot = Pilot().ready()
    pilot.set_param("COM_LOW_BAT_ACT", 3)
    pilot.set_param("CBRK_SUPPLY_CHK", 894281)
    fly_up(pilot)
    pilot.vehicle.battery.fraction = 0.03
    pilot.run(8.0)
    assert pilot.core.mode is Mode.HOLD


def test_low_battery_keeps_it_on_the_ground():
    pilot = Pilot()
    pilot.vehicle.battery.fraction = 0.1
    pilot.ready()
    assert pilot.arm() == REJECTED


@pytest.mark.parametrize(("distance_m", "height_m"), [(5.0, 10.0), (20.0, 20.0), (150.0, 30.0)])
def test_return_height_is_lower_inside_the_cone(distance_m: float, height_m: float):
    pilot = Pilot(exact=True).ready()
    fly_up(pilot, 5.0)
    goal = place(distance_m, 0.0)
    pilot.say(mavlink.MAVLink_command_int_message(7, 1, 5, 192, 0, 0, -1.0, 1.0, 0.0, NAN, goal["x"], goal["y"], 255.0))
    pilot.run(distance_m / 3.0 + 10.0)
    pilot.mode("return")
    highest = 0.0
    while not pilot.core.landed:
        pilot.run(0.5)
        highest = max(highest, pilot.vehicle.height_above_home_m)
    assert highest == pytest.approx(height_m, abs=2.0)


def test_lands_on_ground_that_is_higher_than_home():
    class Step:
        source, resolution_m, vertical_error_m = "a step", 1.0, 0.0

        def height_amsl_m(self, latitude_deg, longitude_deg):
            return FlatTerrain(262.0 if float(latitude_deg) > HOME.latitude_deg + 3e-4 else 250.0).height_amsl_m(
                latitude_deg, longitude_deg
            )

    pilot = fly_up(Pilot(terrain=Step()), 25.0)
    goal = place(80.0, 0.0)
    pilot.say(mavlink.MAVLink_command_int_message(7, 1, 5, 192, 0, 0, -1.0, 1.0, 0.0, NAN, goal["x"], goal["y"], 275.0))
    pilot.run(25.0)
    pilot.mode("land")
    pilot.until(lambda: not pilot.core.armed, 90.0)
    assert pilot.vehicle.amsl_m == 262.0
    assert not pilot.vehicle.crashed


def test_lost_satellites_land_it():
    pilot = fly_up(Pilot())
    pilot.set_param("SIM_GPS_USED", 0)
    lost = pilot.core.now_s
    pilot.until(lambda: pilot.core.mode is Mode.LAND, 20.0)
    assert pilot.core.now_s - lost == pytest.approx(4.5, abs=1.0)
    pilot.until(lambda: not pilot.core.armed, 60.0)
    assert pilot.arm() == REJECTED
    pilot.run(1.5)
    assert not pilot.last("SYS_STATUS").onboard_control_sensors_health & 0x20
    pilot.set_param("SIM_GPS_USED", 10)
    pilot.run(1.0)
    assert pilot.arm() == ACCEPTED


def test_flies_into_a_hill_that_nobody_told_it_of():
    class Hill:
        source, resolution_m, vertical_error_m = "a wall of 60 m", 1.0, 0.0

        def height_amsl_m(self, latitude_deg, longitude_deg):
            return FlatTerrain(310.0 if float(latitude_deg) > HOME.latitude_deg + 4e-4 else 250.0).height_amsl_m(
                latitude_deg, longitude_deg
            )

    pilot = Pilot(terrain=Hill()).ready()
    pilot.upload(patrol())
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: not pilot.core.armed, 60.0)
    assert pilot.vehicle.crashed
    assert "Crash detected" in pilot.texts
    pilot.run(5.0)
    assert pilot.arm() == REJECTED
    assert pilot.vehicle.on_ground


def test_default_streams_and_set_message_interval():
    pilot = Pilot().ready()
    pilot.messages.clear()
    pilot.run(20.0)
    assert 45 <= len(pilot.messages) / 20.0 <= 62
    assert pilot.command(511, 33.0, 500_000.0) == ACCEPTED
    assert pilot.command(511, 30.0, -1.0) == ACCEPTED
    assert pilot.command(511, 147.0, 1_000_000.0 / 3.0) == ACCEPTED
    assert pilot.command(511, 9999.0, 1000.0) != ACCEPTED
    pilot.messages.clear()
    pilot.run(30.0)
    assert len(pilot.said("GLOBAL_POSITION_INT")) == pytest.approx(60, abs=1)
    assert pilot.said("ATTITUDE") == []
    assert len(pilot.said("BATTERY_STATUS")) == pytest.approx(90, abs=2)
    pilot.command(510, 33.0)
    assert pilot.last("MESSAGE_INTERVAL").interval_us == 500_000
    pilot.command(511, 33.0, 0.0)
    pilot.messages.clear()
    pilot.run(10.0)
    assert len(pilot.said("GLOBAL_POSITION_INT")) == pytest.approx(100, abs=2)


def test_telemetry_is_near_the_truth_but_not_the_truth():
    """Bias and noise: never exact, a metre or so off."""
    errors = []
    for seed in range(12):
        pilot = fly_up(Pilot(seed=str(seed)))
        pilot.run(1.0)
        message = pilot.last("GLOBAL_POSITION_INT")
        north = (message.lat / 1e7 - pilot.vehicle.latitude_deg) * 111_000.0
        east = (message.lon / 1e7 - pilot.vehicle.longitude_deg) * 96_700.0
        errors.append(math.hypot(north, east))
    assert all(error > 1e-3 for error in errors)
    assert 0.4 < sorted(errors)[6] < 2.5
    assert max(errors) < 6.0


def test_identity():
    pilot = Pilot(system_id=9).ready()
    assert pilot.command(512, 148.0) == ACCEPTED
    version = pilot.last("AUTOPILOT_VERSION")
    assert version.flight_sw_version >> 24 == 1
    assert version.flight_sw_version >> 16 & 0xFF == 16
    assert any(version.uid2)
    assert all(message.get_srcSystem() == 9 for message in pilot.messages)
    other = Pilot(system_id=10).ready()
    other.command(512, 148.0)
    assert other.last("AUTOPILOT_VERSION").uid2 != version.uid2


def test_messages_for_others_are_left_alone():
    pilot = Pilot(system_id=9).ready()
    before = len(pilot.said("COMMAND_ACK"))
    pilot.say(mavlink.MAVLink_command_long_message(8, 1, 400, 0, 1.0, *[NAN] * 6))
    pilot.say(mavlink.MAVLink_command_long_message(9, 154, 400, 0, 1.0, *[NAN] * 6))
    assert len(pilot.said("COMMAND_ACK")) == before
    assert not pilot.core.armed


def test_same_seed_same_flight():
    def track(seed: str) -> list[tuple[float, float]]:
        pilot = fly_up(Pilot(seed=seed, wind=WINDY))
        pilot.run(30.0)
        return [(m.lat, m.lon) for m in pilot.said("GLOBAL_POSITION_INT")]

    assert track("a") == track("a")
    assert track("a") != track("b")

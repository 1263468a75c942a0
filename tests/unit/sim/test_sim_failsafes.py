# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fence, failsafes and the ground in virtual time: what a simulated PX4 does when things go wrong."""

from __future__ import annotations

import math

import pytest
from pymavlink.dialects.v20 import common as mavlink
from sim_pilot import (
    ACCEPTED,
    HOME,
    NAN,
    REJECTED,
    Pilot,
    fly_up,
    patrol,
    place,
    square,
)

from missions.terrain import FlatTerrain
from sim.autopilot_core import Mode


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

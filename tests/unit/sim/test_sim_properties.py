# SPDX-License-Identifier: AGPL-3.0-or-later
"""Properties of vehicle and autopilot over arbitrary commands, winds and seeds."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymavlink.dialects.v20 import common as mavlink
from sim_pilot import HOME, NAN, Pilot, patrol

from missions.geo import GeoPoint, distance_m
from missions.terrain import FlatTerrain
from sim.config import WindConfig
from sim.noise import Noise, OrnsteinUhlenbeck
from sim.params import Parameters
from sim.vehicle import Battery, Demand, Vehicle, degree_lengths_m

ORDERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["arm", "disarm", "takeoff", "start", "hold", "mission", "return", "land", "takeoff mode", "go"]
        ),
        st.floats(0.2, 12.0),
    ),
    min_size=3,
    max_size=14,
)


def _order(pilot: Pilot, what: str) -> None:
    if what == "arm":
        pilot.arm()
    elif what == "disarm":
        pilot.disarm()
    elif what == "takeoff":
        pilot.command(22)
    elif what == "takeoff mode":
        pilot.mode("takeoff")
    elif what == "start":
        pilot.command(300, 0.0, 0.0)
    elif what == "go":
        pilot.command(192, -1.0, 1.0, 0.0, NAN, HOME.latitude_deg + 5e-4, HOME.longitude_deg, 265.0)
    else:
        pilot.mode(what)


@settings(max_examples=25, deadline=None)
@given(ORDERS, st.booleans(), st.integers(0, 1000))
def test_no_unforced_command_disarms_in_the_air(orders: list[tuple[str, float]], with_mission: bool, seed: int):
    pilot = Pilot(seed=str(seed), wind=WindConfig(speed_m_s=5.0, from_deg=100.0, gust_m_s=2.0)).ready()
    if with_mission:
        pilot.upload(patrol())
    charge = pilot.vehicle.battery.fraction
    was_flying = False
    for what, seconds in orders:
        _order(pilot, what)
        end = pilot.core.now_s + seconds
        while pilot.core.now_s < end:
            pilot.run(0.1)
            if was_flying:
                assert pilot.core.armed or pilot.vehicle.on_ground
            was_flying = not pilot.vehicle.on_ground
            assert pilot.vehicle.battery.fraction <= charge
            charge = pilot.vehicle.battery.fraction
            speed = math.hypot(pilot.vehicle.velocity_north_m_s, pilot.vehicle.velocity_east_m_s)
            assert speed < 12.0 + 2.5  # the limit, and gusts
            assert -3.6 < pilot.vehicle.velocity_down_m_s < 2.1
            assert abs(pilot.vehicle.roll_rad) < 0.8
            assert abs(pilot.vehicle.pitch_rad) < 0.8
            assert pilot.vehicle.amsl_m >= pilot.vehicle.ground_amsl_m
    assert not pilot.vehicle.crashed
    # Whatever went before: land brings it down, and it disarms by itself.
    pilot.mode("land")
    pilot.until(lambda: not pilot.core.armed, 120.0)
    assert pilot.vehicle.on_ground


@settings(max_examples=8, deadline=None)
@given(st.floats(0.0, 359.0), st.floats(0.0, 8.0), st.integers(0, 1000))
def test_return_comes_home_in_any_wind(wind_from: float, wind: float, seed: int):
    pilot = Pilot(seed=str(seed), wind=WindConfig(speed_m_s=wind, from_deg=wind_from, gust_m_s=0.3 * wind)).ready()
    pilot.upload(patrol())
    pilot.arm()
    pilot.mode("mission")
    pilot.until(lambda: pilot.autopilot.mission.current == 4)
    pilot.mode("return")
    pilot.until(lambda: not pilot.core.armed, 200.0)
    assert math.hypot(*pilot.offset_m()) < 7.0


@given(st.floats(-80.0, 80.0), st.floats(-179.9, 179.9), st.floats(0.0, 359.0))
@settings(max_examples=25, deadline=None)
def test_motion_is_true_on_the_ellipsoid(lat: float, lon: float, course: float):
    """A minute at 10 m/s moves by what the geodesic says, anywhere, also across the antimeridian."""
    vehicle = Vehicle(GeoPoint(lat, lon), FlatTerrain(0.0), WindConfig(), "x", Battery(1.0, 3600.0))
    demand = Demand(
        thrust=True,
        velocity_north_m_s=10.0 * math.cos(math.radians(course)),
        velocity_east_m_s=10.0 * math.sin(math.radians(course)),
        velocity_down_m_s=-1.0,
    )
    for _ in range(600):
        vehicle.step(0.1, demand)
    moved = distance_m(GeoPoint(lat, lon), GeoPoint(vehicle.latitude_deg, vehicle.longitude_deg))
    assert moved == pytest.approx(vehicle.distance_flown_m, rel=2e-4)
    assert -180.0 <= vehicle.longitude_deg < 180.0


def test_degree_lengths_against_the_series():
    """Snyder 1987, p. 25: lengths of a degree on the WGS 84 ellipsoid."""
    for lat in (-60.0, 0.0, 29.7, 75.0):
        a, e2, sin = 6378137.0, 0.00669437999014, math.sin(math.radians(lat))
        north = math.radians(1.0) * a * (1 - e2) / (1 - e2 * sin * sin) ** 1.5
        east = math.radians(1.0) * a * math.cos(math.radians(lat)) / math.sqrt(1 - e2 * sin * sin)
        assert degree_lengths_m(lat) == pytest.approx((north, east), rel=1e-6)


def test_hover_takes_the_endurance_and_then_it_falls():
    vehicle = Vehicle(HOME, FlatTerrain(0.0), WindConfig(), "x", Battery(1.0, 300.0))
    for _ in range(200):
        vehicle.step(0.1, Demand(thrust=True, velocity_down_m_s=-1.0))
    start = vehicle.time_s
    while vehicle.battery.fraction > 0.0:
        vehicle.step(0.1, Demand(thrust=True))
    assert 260.0 < vehicle.time_s - start + 20.0 * 1.08 < 305.0
    while not vehicle.on_ground:
        vehicle.step(0.1, Demand(thrust=True))
    assert vehicle.crashed


def test_wandering_values_have_their_spread_and_memory():
    walk = OrnsteinUhlenbeck(Noise("x"), 2.0, 5.0)
    values = [walk.step(0.5) for _ in range(40_000)]
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    lagged = sum((a - mean) * (b - mean) for a, b in zip(values, values[10:], strict=False)) / len(values) / variance
    assert mean == pytest.approx(0.0, abs=0.3)
    assert math.sqrt(variance) == pytest.approx(2.0, rel=0.1)
    assert lagged == pytest.approx(math.exp(-1.0), abs=0.08)


ODD = st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 3.0, 1e-30, -1e-30, 255.0, 1e6, 1e9, -1e9, 3.4e38, -3.4e38, NAN, math.inf, -math.inf]
)
ODD_COMMANDS = st.sampled_from(
    [16, 17, 20, 21, 22, 82, 176, 178, 179, 185, 192, 205, 300, 400, 410, 420, 510, 511, 512, 520]
)
ODD_ORDERS = st.lists(
    st.one_of(
        st.tuples(st.just("command"), ODD_COMMANDS, st.lists(ODD, min_size=7, max_size=7)),
        st.tuples(st.just("parameter"), st.sampled_from([p.name for p in Parameters().all()]), ODD),
        st.tuples(st.just("item"), st.sampled_from([16, 17, 19, 21, 22, 93, 112, 177, 178, 205]), st.lists(ODD, min_size=5, max_size=5)),
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(ODD_ORDERS, st.sampled_from(["hold", "mission", "return", "land"]))
@example([("parameter", "MPC_ACC_HOR", 0.0)], "hold")
@example([("parameter", "MPC_ACC_HOR", -1.0)], "return")
@example([("parameter", "RTL_RETURN_ALT", NAN)], "return")
@example([("command", 179, [0.0, 0.0, 0.0, 0.0, 29.7, 107.3, 1e9])], "hold")
@example([("command", 511, [30.0, 3.4e38, *[0.0] * 5]), ("command", 510, [30.0, *[0.0] * 6])], "hold")
def test_no_number_that_somebody_sends_ends_a_vehicle(orders, mode: str):
    """All vehicles share a process: what ends one ends them all."""
    pilot = Pilot(seed="odd").ready()
    pilot.upload(patrol())
    pilot.command(300, 0.0, 0.0)
    pilot.run(9.0)
    assert not pilot.core.landed
    for what, which, values in orders:
        if what == "command":
            pilot.command(which, *values)
        elif what == "parameter":
            kind = pilot.autopilot.params.get(which).wire_type
            whole = max(-(2**31), min(2**31 - 1, int(values))) if math.isfinite(values) else 0
            raw = struct.pack("<i", whole) if kind == 6 else struct.pack("<f", values)
            pilot.say(mavlink.MAVLink_param_set_message(7, 1, which.encode(), struct.unpack("<f", raw)[0], kind))
        else:
            one = dict(
                zip(("p1", "p2", "p3", "p4", "z"), values, strict=True), command=which, x=297_000_000, y=1_073_000_000
            )
            pilot.upload([one, one, *patrol()])
        pilot.run(0.5)
    pilot.mode(mode)
    pilot.run(20.0)
    state = pilot.vehicle
    assert all(map(math.isfinite, (state.latitude_deg, state.longitude_deg, state.amsl_m, state.battery.fraction)))

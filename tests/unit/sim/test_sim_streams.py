# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a simulated PX4 says of itself, to whom, and the same again with the same seed."""

from __future__ import annotations

import math

import pytest
from pymavlink.dialects.v20 import common as mavlink
from sim_pilot import (
    ACCEPTED,
    NAN,
    WINDY,
    Pilot,
    fly_up,
)


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

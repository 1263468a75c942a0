# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ages, liveness, and what survives a restarted worker."""

from __future__ import annotations

from dataclasses import replace

from desk_vehicle import healthy
from hypothesis import given
from hypothesis import strategies as st

from dronectl.fleet.link import FlightMode, LandedState, VehicleState
from dronectl.fleet.state import LOST_AFTER_S, age_s, alive, flight_key, on_ground_disarmed, reduce


@given(st.floats(0.0, 1e6), st.floats(0.0, 100.0), st.booleans())
def test_alive_is_connected_and_heard_lately(heard_s, later_s, connected):
    state = VehicleState("d1", connected=connected, heard_monotonic_s=heard_s)
    age = age_s(state, heard_s + later_s)
    assert age is not None
    assert abs(age - later_s) < 1e-6 * (1 + heard_s)
    assert alive(state, heard_s + later_s) == (connected and age <= LOST_AFTER_S)


def test_never_heard_is_not_alive():
    state = VehicleState("d1", connected=True)
    assert age_s(state, 5.0) is None
    assert not alive(state, 5.0)


def test_a_fresh_worker_keeps_the_home_and_nothing_that_changes_in_flight():
    before = replace(healthy(), mode=FlightMode.MISSION, armed=True, landed=LandedState.IN_AIR, hardware_uid="ab")
    fresh = VehicleState("d1", connected=True)
    merged = reduce(before, fresh)
    assert (merged.home_latitude_deg, merged.hardware_uid) == (before.home_latitude_deg, "ab")
    assert (merged.mode, merged.armed, merged.landed) == (FlightMode.UNKNOWN, None, LandedState.UNKNOWN)
    assert merged.latitude_deg is None


def test_older_and_foreign_states():
    new = healthy()
    assert reduce(new, replace(new, heard_monotonic_s=new.heard_monotonic_s - 1.0, armed=True)) is new
    other = VehicleState("d2")
    assert reduce(new, other) is other
    assert reduce(None, new) is new


def test_the_key_changes_with_what_moves_a_sortie_and_with_nothing_else():
    state = healthy()
    assert flight_key(state) == flight_key(replace(state, latitude_deg=1.0, battery_fraction=0.1, yaw_deg=3.0))
    for change in ({"mode": FlightMode.LAND}, {"armed": True}, {"connected": False}, {"mission_reached": 3}):
        assert flight_key(state) != flight_key(replace(state, **change))
    assert on_ground_disarmed(state)
    assert not on_ground_disarmed(replace(state, armed=None))

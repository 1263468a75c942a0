# SPDX-License-Identifier: AGPL-3.0-or-later
"""Preflight findings and failsafes on a vehicle in memory."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from desk_vehicle import HOME, DeskVehicle, healthy, plan

import dronectl.fleet.preflight as preflight_module
from dronectl.clock import SystemClock
from dronectl.fleet.failsafe import FailsafePolicy, apply_failsafes, parameters_for, same_value
from dronectl.fleet.link import LandedState, LinkFailure
from dronectl.fleet.preflight import OVERRIDABLE, Override, Preflight, blockers_of, check_vehicle, run_preflight
from missions.geo import destination
from missions.mavlink_items import compile_fence
from missions.model import Finding, Severity, VehicleLimits, Waypoint
from missions.terrain import FlatTerrain

PREFLIGHT = Preflight(VehicleLimits(), FailsafePolicy(), FlatTerrain(250.0), SystemClock())


def codes(findings) -> set[str]:
    return {f.code for f in findings}


async def test_a_healthy_vehicle_passes_and_carries_fence_and_failsafes():
    vehicle = DeskVehicle()
    assert codes(await run_preflight(vehicle, plan(), PREFLIGHT)) == set()
    assert vehicle.fence == compile_fence(plan().fence)
    assert vehicle.params == {
        "NAV_DLL_ACT": 2,
        "COM_DL_LOSS_T": 15,
        "GF_ACTION": 3,
        "RTL_RETURN_ALT": 50.0,
        "COM_LOW_BAT_ACT": 3,
        "BAT_LOW_THR": 0.25,
        "BAT_CRIT_THR": 0.15,
        "BAT_EMERGEN_THR": 0.08,
        "GF_MAX_VER_DIST": 103.0,
    }
    assert all(isinstance(vehicle.params[name], int) for name in ("NAV_DLL_ACT", "COM_DL_LOSS_T", "GF_ACTION"))
    vehicle.calls.clear()
    await run_preflight(vehicle, plan(), PREFLIGHT)
    assert not [call for call in vehicle.calls if call.startswith("set ")]  # what reads back right is not set again


async def test_of_two_inclusion_rings_the_vehicle_gets_what_they_have_in_common():
    vehicle, own = DeskVehicle(), plan().fence
    wider = tuple(destination(HOME, 45.0 + 90.0 * i, 9000.0) for i in range(4))
    both = replace(plan(), fence=replace(own, inclusion=(wider, *own.inclusion)))
    assert codes(await run_preflight(vehicle, both, PREFLIGHT)) == set()
    corners = {(item.x, item.y) for item in compile_fence(own) if item.command == 5001}
    held = [item for item in vehicle.fence if item.command == 5001]
    assert len(held) == len(corners) == held[0].param1
    assert all(any(abs(h.x - x) + abs(h.y - y) <= 4 for x, y in corners) for h in held)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"connected": False}, "link-stale"),
        ({"heard_monotonic_s": None}, "link-stale"),
        ({"armed": True}, "not-on-ground"),
        ({"armed": None}, "not-on-ground"),
        ({"landed": LandedState.IN_AIR}, "not-on-ground"),
        ({"landed": LandedState.UNKNOWN}, "not-on-ground"),
        ({"position_ok": False}, "no-position"),
        ({"latitude_deg": None}, "no-position"),
        ({"home_ok": False}, "no-home"),
        ({"home_amsl_m": None}, "no-home"),
        ({"home_latitude_deg": 89.0}, "no-home"),
        ({"armable": False}, "not-armable"),
        ({"battery_fraction": None}, "battery-unknown"),
        ({"home_amsl_m": 270.0}, "home-height-differs"),
        ({"home_latitude_deg": destination(HOME, 0.0, 50.0).latitude_deg}, "home-differs"),
        ({"latitude_deg": destination(HOME, 0.0, 50.0).latitude_deg}, "position-differs"),
        ({"latitude_deg": 89.9}, "no-position"),
        ({"amsl_m": 280.0}, "position-height-differs"),
        ({"amsl_m": 220.0}, "position-height-differs"),
    ],
)
def test_what_the_vehicle_says_blocks(changes, code):
    state = replace(healthy(), **changes)
    findings = check_vehicle(state, plan(), time.monotonic())
    assert codes(findings) == {code}
    assert blockers_of(findings)


def moved(metres: float, prefix: str = ""):
    place = destination(HOME, 90.0, metres)
    return {f"{prefix}latitude_deg": place.latitude_deg, f"{prefix}longitude_deg": place.longitude_deg}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (moved(25.0), set()),
        ({"amsl_m": 262.0}, set()),
        ({"amsl_m": None}, set()),
        (moved(200.0) | moved(200.0, "home_"), {"home-differs"}),  # it stands at its home: one fact, said once
        (moved(200.0) | moved(60.0, "home_"), {"home-differs", "position-differs"}),
        ({"amsl_m": 275.0, "home_amsl_m": 275.0}, {"home-height-differs"}),
        (moved(200.0) | {"amsl_m": 300.0}, {"position-differs"}),  # another place may be higher
    ],
)
def test_where_the_vehicle_stands_is_held_against_home(changes, expected):
    assert codes(check_vehicle(replace(healthy(), **changes), plan(), time.monotonic())) == expected


async def test_the_plan_is_checked_with_the_battery_that_is_aboard():
    vehicle = DeskVehicle()
    vehicle.become(battery_fraction=0.3)
    assert "battery" in codes(await run_preflight(vehicle, plan(), PREFLIGHT))
    far = replace(plan(), waypoints=(Waypoint(destination(HOME, 0.0, 50_000.0), plan().waypoints[0].altitude),))
    assert {"first-waypoint-too-far", "waypoint-outside-fence"} <= codes(
        await run_preflight(DeskVehicle(), far, PREFLIGHT)
    )


async def test_what_is_wrong_with_a_plan_is_named_though_nobody_answers():
    silent = DeskVehicle()
    silent.broken["wait_connected"] = LinkFailure.TIMEOUT
    far = replace(plan(), waypoints=(Waypoint(destination(HOME, 0.0, 50_000.0), plan().waypoints[0].altitude),))
    assert codes(await run_preflight(silent, plan(), PREFLIGHT)) == {"link-stale"}
    assert {"link-stale", "waypoint-outside-fence"} <= codes(await run_preflight(silent, far, PREFLIGHT))
    assert silent.calls == ["wait_connected", "wait_connected"]


@pytest.mark.parametrize("name", ["NAV_DLL_ACT", "RTL_RETURN_ALT", "BAT_CRIT_THR"])
async def test_a_parameter_that_is_not_as_wanted_blocks_and_cannot_be_overridden(name):
    forgetful = DeskVehicle()
    forgetful.forgetful.add(name)
    refusing = DeskVehicle()
    refusing.broken[f"set {name}"] = LinkFailure.DENIED
    silent = DeskVehicle()
    silent.broken[f"get {name}"] = LinkFailure.TIMEOUT
    for vehicle in (forgetful, refusing, silent):
        findings = await run_preflight(vehicle, plan(), PREFLIGHT)
        assert codes(findings) == {"failsafe-parameter"}
        assert name in findings[0].message
    assert "failsafe-parameter" not in OVERRIDABLE


async def test_a_fence_that_reads_back_otherwise_blocks():
    vehicle = DeskVehicle()
    vehicle.broken["upload_fence"] = LinkFailure.TIMEOUT
    assert codes(await run_preflight(vehicle, plan(), PREFLIGHT)) == {"fence-not-uploaded"}

    class Moved(DeskVehicle):
        async def download_fence(self):
            return (replace(self.fence[0], x=self.fence[0].x + 500), *self.fence[1:])

    assert codes(await run_preflight(Moved(), plan(), PREFLIGHT)) == {"fence-read-back"}


async def test_nothing_is_set_on_a_vehicle_in_the_air():
    vehicle = DeskVehicle()
    vehicle.become(armed=True, landed=LandedState.IN_AIR)
    assert "not-on-ground" in codes(await run_preflight(vehicle, plan(), PREFLIGHT))
    assert vehicle.calls == ["wait_connected"]


async def test_a_vehicle_that_is_just_waking_up_is_waited_for(monkeypatch):
    monkeypatch.setattr(preflight_module, "_POLL_S", 0.01)

    class Waking(DeskVehicle):
        looks = 0

        def state(self):
            self.looks += 1
            if self.looks > 5:
                self.now = replace(self.now, armable=True, position_ok=True)
            return super().state()

    vehicle = Waking()
    vehicle.become(armable=False, position_ok=False)
    assert codes(await run_preflight(vehicle, plan(), PREFLIGHT)) == set()


def test_an_override_names_what_it_covers_and_why():
    battery = Finding("battery", Severity.BLOCKER, "low")
    fence = Finding("fence-read-back", Severity.BLOCKER, "differs")
    override = Override(frozenset({"battery"}), "chief", "a person is in the water")
    assert blockers_of([battery, fence], override) == (fence,)
    assert blockers_of([battery], None) == (battery,)
    for code in ("fence-read-back", "failsafe-parameter", "not-armable", "leg-outside-fence", "below-terrain", "new"):
        with pytest.raises(ValueError, match=code):
            Override(frozenset({code}), "chief", "why")
    with pytest.raises(ValueError, match="why"):
        Override(frozenset({"battery"}), "chief", " ")


async def test_float32_rounding_is_no_difference():
    assert same_value(0.15, 0.15000000596046448)
    assert not same_value(0.15, 0.16)
    assert not same_value(0.15, float("nan"))
    vehicle = DeskVehicle()
    wanted = parameters_for(FailsafePolicy(), plan(), VehicleLimits())
    vehicle.params.update(wanted)
    vehicle.params["BAT_CRIT_THR"] = 0.15000000596046448
    assert await apply_failsafes(vehicle, wanted) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"link_loss_s": 2},
        {"fence_action": 0},
        {"battery_low": 0.1},
        {"battery_emergency": 0.0},
    ],
)
def test_a_policy_without_sense_is_refused(bad):
    with pytest.raises(ValueError):
        FailsafePolicy(**bad)


def test_a_critical_level_that_cannot_bring_it_home_is_named():
    weak = Preflight(
        VehicleLimits(endurance_s=600.0),
        FailsafePolicy(battery_critical=0.1),
        FlatTerrain(250.0),
        SystemClock(),
    )
    found = preflight_module.check_failsafe_levels(plan(reach_m=300.0), weak)
    assert [(f.code, f.severity) for f in found] == [("battery-critical-too-low", Severity.WARNING)]
    assert preflight_module.check_failsafe_levels(plan(reach_m=30.0), PREFLIGHT) == []

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The checks before a flight, as named findings: the vehicle's state, the plan, failsafes and fence aboard.

States come from the link, the rules on plans from `missions.feasibility`; the findings go to the sortie machine, the
API and the journal. A blocker forbids the flight. A person may override some of them, by name and with a reason;
never those that say that the vehicle does not carry what was checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dronectl.clock import Clock
from dronectl.fleet.failsafe import FailsafePolicy, apply_failsafes, parameters_for
from dronectl.fleet.link import LinkError, VehicleLink, VehicleState
from dronectl.fleet.state import age_s, alive, on_ground_disarmed
from missions.energy import DatumError, plan_energy
from missions.feasibility import check_plan
from missions.fences import as_one_ring
from missions.geo import GeoError, GeoPoint, distance_m
from missions.mavlink_items import compile_fence, differences
from missions.model import Finding, FlightPlan, Severity, VehicleLimits
from missions.terrain import Terrain

HOME_MAX_M = 30.0
HOME_MAX_HEIGHT_M = 15.0
CONNECT_TIMEOUT_S = 15.0
SETTLE_TIMEOUT_S = 20.0  # for position, home and arming checks of a vehicle that has just been switched on
_POLL_S = 0.2

# Everything else can never be overridden, codes of later rules included.
OVERRIDABLE = frozenset(
    {
        "battery",
        "clearance-high",
        "clearance-low",
        "first-waypoint-too-far",
        "home-differs",
        "position-differs",
        "speed-limit",
        "wind-above-limit",
    }
)
_PASSING = frozenset({"link-stale", "no-position", "no-home", "not-armable", "battery-unknown"})


@dataclass(frozen=True, slots=True)
class Override:
    """A person's decision to fly in spite of named findings. It is logged with the flight."""

    codes: frozenset[str]
    actor: str
    reason: str

    def __post_init__(self) -> None:
        never = sorted(self.codes - OVERRIDABLE)
        if never:
            raise ValueError(f"these findings cannot be overridden: {', '.join(never)}")
        if not self.codes or not self.actor.strip() or not self.reason.strip():
            raise ValueError("an override names the findings, who decides, and why")


@dataclass(frozen=True, slots=True)
class Preflight:
    """What every preflight of a site has in common."""

    limits: VehicleLimits
    failsafe: FailsafePolicy
    terrain: Terrain
    clock: Clock
    wind_m_s: float = 0.0


def blockers_of(findings: Sequence[Finding], override: Override | None = None) -> tuple[Finding, ...]:
    """The findings that forbid the flight, without those that the override names."""
    spared = override.codes if override is not None else frozenset()
    return tuple(f for f in findings if f.severity is Severity.BLOCKER and f.code not in spared)


def check_vehicle(state: VehicleState, plan: FlightPlan, now_s: float) -> list[Finding]:
    """The vehicle as it stands: heard, on the ground, knows where it is and where home is, may be armed."""
    found: list[Finding] = []

    def block(code: str, message: str, position: GeoPoint | None = None) -> None:
        found.append(Finding(code, Severity.BLOCKER, message, None, position))

    if not alive(state, now_s):
        age = age_s(state, now_s)
        heard = "was never heard" if age is None else f"was last heard {age:.0f} s ago"
        block("link-stale", f"{state.vehicle_id} {heard}; check its power and its link")
        return found
    if not on_ground_disarmed(state):
        armed = {True: "armed", False: "disarmed", None: "armed or not is unknown"}[state.armed]
        block(
            "not-on-ground",
            f"{state.vehicle_id} is not known to stand on the ground disarmed ({state.landed}, {armed})",
        )
    position = _place(state.latitude_deg, state.longitude_deg) if state.position_ok else None
    if position is None:
        block("no-position", f"{state.vehicle_id} has no global position yet; wait for its position estimate")
    home = _place(state.home_latitude_deg, state.home_longitude_deg) if state.home_ok else None
    if home is None or state.home_amsl_m is None:
        block("no-home", f"{state.vehicle_id} has no home position yet")
    else:
        found += _check_home(plan, home, state.home_amsl_m)
        if position is not None:
            found += _check_position(state, plan, position, home, state.home_amsl_m)
    if not state.armable:
        said = f"; it says: {state.last_text}" if state.last_text else ""
        block("not-armable", f"{state.vehicle_id} does not pass its own checks for arming{said}")
    if state.battery_fraction is None:
        block("battery-unknown", f"{state.vehicle_id} does not report its battery")
    return found


def _place(latitude_deg: float | None, longitude_deg: float | None) -> GeoPoint | None:
    """None for what the vehicle does not know, or what is no place to fly at."""
    if latitude_deg is None or longitude_deg is None:
        return None
    try:
        return GeoPoint(latitude_deg, longitude_deg)
    except GeoError:
        return None


def _check_home(plan: FlightPlan, home: GeoPoint, home_amsl_m: float) -> list[Finding]:
    away = distance_m(home, plan.home)
    if away > HOME_MAX_M:
        message = (
            f"the vehicle's home is {away:.0f} m from the plan's (at most {HOME_MAX_M:.0f} m); "
            "plan from where it stands"
        )
        return [Finding("home-differs", Severity.BLOCKER, message, None, home)]
    higher = home_amsl_m - plan.home_amsl_m
    if abs(higher) <= HOME_MAX_HEIGHT_M:
        return []
    message = (
        f"the vehicle's home is {higher:+.0f} m from the plan's height (at most {HOME_MAX_HEIGHT_M:.0f} m): every "
        "height above home would be off by that"
    )
    return [Finding("home-height-differs", Severity.BLOCKER, message, None, home)]


def _check_position(
    state: VehicleState, plan: FlightPlan, position: GeoPoint, home: GeoPoint, home_amsl_m: float
) -> list[Finding]:
    """Where it stands against where the plan takes off: PX4 takes its home anew where it arms.

    One that stands at its home says nothing new: what is wrong with that place is named by the findings on the home.
    """
    away = distance_m(position, plan.home)
    from_home = distance_m(position, home)
    if away > HOME_MAX_M and from_home > HOME_MAX_M:
        message = (
            f"{state.vehicle_id} says that it stands {away:.0f} m from the plan's home and {from_home:.0f} m from its own "
            f"(at most {HOME_MAX_M:.0f} m), and it comes home to where it arms; wait for its position to settle, or plan "
            "from where it stands"
        )
        return [Finding("position-differs", Severity.BLOCKER, message, None, position)]
    if state.amsl_m is None or from_home > HOME_MAX_M:
        return []
    higher, above_home = state.amsl_m - plan.home_amsl_m, state.amsl_m - home_amsl_m
    if abs(higher) <= HOME_MAX_HEIGHT_M or abs(above_home) <= HOME_MAX_HEIGHT_M:
        return []
    message = (
        f"{state.vehicle_id} stands at its home on the ground and says that it is {above_home:+.0f} m from its height "
        f"(at most {HOME_MAX_HEIGHT_M:.0f} m): its heights cannot be trusted; wait for them to settle, or restart it"
    )
    return [Finding("position-height-differs", Severity.BLOCKER, message, None, position)]


def check_failsafe_levels(plan: FlightPlan, preflight: Preflight) -> list[Finding]:
    """The battery level that sends the vehicle home should still bring it there from the farthest waypoint."""
    try:
        energy = plan_energy(plan, preflight.limits, wind_m_s=preflight.wind_m_s)
    except DatumError:
        return []  # the rule on datums has named it already
    needed = energy.return_fraction_worst + preflight.failsafe.battery_emergency
    if preflight.failsafe.battery_critical >= needed:
        return []
    message = (
        f"coming home from waypoint {(energy.worst_item or 0) + 1} takes the battery from {needed:.0%} to the "
        f"emergency level, and the vehicle turns home at {preflight.failsafe.battery_critical:.0%}; raise the critical "
        "level or shorten the plan"
    )
    return [Finding("battery-critical-too-low", Severity.WARNING, message, energy.worst_item)]


async def upload_fence(link: VehicleLink, plan: FlightPlan) -> list[Finding]:
    """Upload the plan's fence and compare what the vehicle then holds."""
    items = compile_fence(as_one_ring(plan.fence, plan.home))
    try:
        await link.upload_fence(items)
        held = await link.download_fence()
    except LinkError as error:
        message = f"the fence could not be uploaded and read back: {error}"
        return [Finding("fence-not-uploaded", Severity.BLOCKER, message)]
    differing = differences(items, held)
    if not differing:
        return []
    message = f"the fence aboard is not the one that was sent: {differing[0]}"
    return [Finding("fence-read-back", Severity.BLOCKER, message)]


async def _check_plan(plan: FlightPlan, preflight: Preflight, battery_fraction: float) -> list[Finding]:
    """In a thread: geometry over terrain takes tens of milliseconds, and the loop sends hold and return."""
    limits, terrain, wind_m_s = preflight.limits, preflight.terrain, preflight.wind_m_s
    return await asyncio.to_thread(
        check_plan, plan, limits, terrain, battery_fraction=battery_fraction, wind_m_s=wind_m_s
    )


async def run_preflight(link: VehicleLink, plan: FlightPlan, preflight: Preflight) -> list[Finding]:
    """Every check but the mission's read-back, which follows its upload. Parameters and fence are set on the ground only.

    A vehicle that has just been switched on gets a short while to find its position and to become armable. Of one that
    is not heard the plan alone is checked, as from a full battery.
    """
    try:
        await link.wait_connected(CONNECT_TIMEOUT_S)
    except LinkError as error:
        unheard = Finding("link-stale", Severity.BLOCKER, f"{link.vehicle_id} cannot be reached: {error}")
        return [unheard, *await _check_plan(plan, preflight, 1.0)]
    clock = preflight.clock
    deadline_s = clock.monotonic_s() + SETTLE_TIMEOUT_S
    while True:
        state = link.state()
        findings = check_vehicle(state, plan, clock.monotonic_s())
        passing = any(f.code in _PASSING for f in findings) and all(
            f.code in _PASSING for f in findings if f.severity is Severity.BLOCKER
        )
        if not passing or clock.monotonic_s() >= deadline_s:
            break
        await asyncio.sleep(_POLL_S)
    battery = state.battery_fraction if state.battery_fraction is not None else 1.0  # named already
    findings += await _check_plan(plan, preflight, battery)
    findings += check_failsafe_levels(plan, preflight)
    if any(f.code in ("link-stale", "not-on-ground") for f in findings):
        return findings
    try:
        wanted = parameters_for(preflight.failsafe, plan, preflight.limits)
    except DatumError as error:
        return [*findings, Finding("altitude-datum", Severity.BLOCKER, f"the fence's ceiling: {error}")]
    findings += await apply_failsafes(link, wanted)
    findings += await upload_fence(link, plan)
    return findings

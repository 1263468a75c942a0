# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the autopilot is told to do on its own, set and read back before every arming.

The policy comes from the site file, the plan adds what is its own (return height, ceiling); the result goes to the
vehicle as parameters. A parameter that cannot be set, or reads back otherwise, refuses the flight: from take-off on
these values are what protects people when nobody can reach the vehicle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dronectl.fleet.link import LinkError, VehicleLink
from missions.energy import height_above_home_m
from missions.model import Finding, FlightPlan, Severity, VehicleLimits

FAILSAFE_FINDING = "failsafe-parameter"

# PX4 parameter reference, 1.15 and 1.16.
LINK_LOSS_RETURN = 2  # NAV_DLL_ACT: 0 nothing, 1 hold, 2 return, 3 land
FENCE_HOLD, FENCE_RETURN = 2, 3  # GF_ACTION: 0 nothing, 1 warn, 2 hold, 3 return, 4 terminate, 5 land
BATTERY_RETURN_THEN_LAND = 3  # COM_LOW_BAT_ACT: 0 warn, 2 land when critical, 3 return when critical, then land


@dataclass(frozen=True, slots=True)
class FailsafePolicy:
    """A site's choice. Fractions are of a full battery.

    A breach of the fence means return: a vehicle outside its airspace has to come back without waiting for a person
    or for the link. Hold would keep it outside until its battery is low.
    """

    link_loss_s: int = 15
    fence_action: int = FENCE_RETURN
    battery_low: float = 0.25
    battery_critical: float = 0.15
    battery_emergency: float = 0.08

    def __post_init__(self) -> None:
        if not 5 <= self.link_loss_s <= 300:
            raise ValueError(f"a lost link must act after 5 to 300 s, not {self.link_loss_s}")
        if self.fence_action not in (FENCE_HOLD, FENCE_RETURN):
            raise ValueError(f"a fence breach must hold (2) or return (3), not {self.fence_action}")
        if not 0.0 < self.battery_emergency < self.battery_critical < self.battery_low < 1.0:
            raise ValueError(
                "battery levels must rise from emergency to critical to low, within 0 and 1, not "
                f"{self.battery_emergency}, {self.battery_critical}, {self.battery_low}"
            )


def parameters_for(policy: FailsafePolicy, plan: FlightPlan, limits: VehicleLimits) -> dict[str, int | float]:
    """Name to value; int for INT32 parameters and float for REAL32 ones, as PX4 has them."""
    wanted: dict[str, int | float] = {
        "NAV_DLL_ACT": LINK_LOSS_RETURN,
        "COM_DL_LOSS_T": policy.link_loss_s,
        "GF_ACTION": policy.fence_action,
        "RTL_RETURN_ALT": float(plan.return_height_m),
        "COM_LOW_BAT_ACT": BATTERY_RETURN_THEN_LAND,
        "BAT_LOW_THR": policy.battery_low,
        "BAT_CRIT_THR": policy.battery_critical,
        "BAT_EMERGEN_THR": policy.battery_emergency,
    }
    if plan.fence.max_altitude is not None:
        # The polygons go up without a ceiling. The position error is added so that flying at the ceiling is no breach.
        ceiling = height_above_home_m(plan.fence.max_altitude, plan.home_amsl_m)
        wanted["GF_MAX_VER_DIST"] = float(math.ceil(ceiling + limits.position_error_m))
    return wanted


def same_value(wanted: float, got: float) -> bool:
    """Equal as far as a float32 on the way allows."""
    return math.isfinite(got) and abs(wanted - got) <= 1e-6 + 1e-6 * abs(wanted)


async def apply_failsafes(link: VehicleLink, wanted: dict[str, int | float]) -> list[Finding]:
    """Set what differs and read all of it back; one finding for each parameter that is not as wanted."""
    findings = []
    for name, value in wanted.items():
        try:
            got = await link.get_param(name)
            if not same_value(value, got):
                await link.set_param(name, value)
                got = await link.get_param(name)
        except LinkError as error:
            message = f"{name} could not be set to {value:g}: {error}; the vehicle must not fly without it"
            findings.append(Finding(FAILSAFE_FINDING, Severity.BLOCKER, message))
            continue
        if not same_value(value, got):
            message = f"{name} was set to {value:g} and reads back as {got:g}; the vehicle must not fly like this"
            findings.append(Finding(FAILSAFE_FINDING, Severity.BLOCKER, message))
    return findings

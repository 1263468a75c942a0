# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where to go: the navigator of each mode turns the believed position into a demand on the airframe at each step.

Hold, take-off, land and return are here; the mission is in `autopilot_mission.py` and uses the same steering.
"""

from __future__ import annotations

import math
from enum import Enum, auto

from sim import mavlink_messages as m
from sim.autopilot_core import Astray, Core, Mode, Spot, offset_m
from sim.fence import Fence
from sim.mission import TYPE_RALLY, MissionServer

_SPOOL_UP_S = 1.0
_POSITION_GAIN_1_S = 0.8
_ALTITUDE_GAIN_1_S = 1.0


def still(core: Core) -> None:
    """On the ground: motors idle when armed."""
    demand = core.demand
    demand.thrust = False
    demand.spinning = core.armed


def steer(
    core: Core,
    north_m_s: float,
    east_m_s: float,
    down_m_s: float,
    yaw_rad: float | None,
) -> None:
    """Fly at a velocity within the limits of the parameters."""
    demand = core.demand
    limits = core.limits
    demand.thrust = True
    demand.spinning = True
    most = limits.speed_m_s
    speed = math.hypot(north_m_s, east_m_s)
    if speed > most:
        north_m_s *= most / speed
        east_m_s *= most / speed
    demand.velocity_north_m_s = north_m_s
    demand.velocity_east_m_s = east_m_s
    demand.velocity_down_m_s = max(-limits.climb_m_s, min(limits.sink_m_s, down_m_s))
    demand.acceleration_m_s2 = limits.acceleration_m_s2
    demand.yaw_rate_rad_s = limits.yaw_rate_rad_s
    if yaw_rad is not None:
        demand.yaw_rad = yaw_rad


def altitude_rate(core: Core, amsl_m: float) -> float:
    """Rate down (m/s) that brings the vehicle to an altitude."""
    return _ALTITUDE_GAIN_1_S * (core.estimate.amsl_m - amsl_m)


def go_to(core: Core, spot: Spot, speed_m_s: float, *, pass_m_s: float = 0.0) -> float:
    """Straight to a spot, braking in time; returns the horizontal distance left in metres.

    pass_m_s: speed wanted at the spot, for corners that are flown through.
    """
    north, east = offset_m(core, spot.latitude_deg, spot.longitude_deg)
    distance = math.hypot(north, east)
    brake = 0.5 * core.limits.acceleration_m_s2
    speed = min(
        speed_m_s, math.sqrt(pass_m_s * pass_m_s + 2.0 * brake * distance), max(pass_m_s, _POSITION_GAIN_1_S * distance)
    )
    climb = core.estimate.amsl_m - spot.amsl_m
    down = altitude_rate(core, spot.amsl_m)
    if distance > 1.0:
        # A straight line in space: the vertical limit slows the horizontal speed, not the other way round.
        limit = core.limits.climb_m_s if climb < 0.0 else core.limits.sink_m_s
        if abs(climb) > 1.0:
            speed = min(speed, max(0.5, limit * distance / abs(climb)))
            down = math.copysign(min(limit, abs(climb) * max(speed, 0.5) / distance, abs(down) + 0.5), climb)
        unit_north, unit_east = north / distance, east / distance
    else:
        unit_north, unit_east = north, east
        speed = _POSITION_GAIN_1_S
    yaw = spot.yaw_rad
    if yaw is None and distance > 2.0:
        yaw = math.atan2(east, north)
    steer(core, unit_north * speed, unit_east * speed, down, yaw)
    return distance


def go_on_astray(core: Core, astray: Astray) -> None:
    """Straight on at the height it has, wherever it should be."""
    north, east = astray.speed_m_s * math.cos(astray.course_rad), astray.speed_m_s * math.sin(astray.course_rad)
    steer(core, north, east, 0.0, None)


def stopping_spot(core: Core) -> Spot:
    """Where the vehicle comes to rest when it brakes now."""
    estimate = core.estimate
    speed = math.hypot(estimate.velocity_north_m_s, estimate.velocity_east_m_s)
    here = core.here()
    if core.landed or speed < 0.3:
        return here
    north, east = offset_m(core, here.latitude_deg + 0.001, here.longitude_deg + 0.001)
    way = speed / core.limits.acceleration_m_s2 * 0.7
    return Spot(
        here.latitude_deg + estimate.velocity_north_m_s * way * 0.001 / north,
        here.longitude_deg + estimate.velocity_east_m_s * way * 0.001 / east,
        here.amsl_m,
    )


class _Phase(Enum):
    CLIMB = auto()
    RETURN = auto()
    DESCEND = auto()
    WAIT = auto()
    LAND = auto()


class Navigator:
    """Hold, take-off, land and return. `start` when a mode begins, then `step` at each step."""

    def __init__(self, core: Core, missions: MissionServer) -> None:
        self._core = core
        self._missions = missions
        self.fence = Fence()
        self._spot = core.here()
        self._phase = _Phase.CLIMB
        self._since_s = 0.0

    def start(self) -> None:
        core = self._core
        if core.mode is Mode.HOLD:
            self._spot = core.hold_spot or stopping_spot(core)
            core.hold_spot = None
        elif core.mode is Mode.TAKEOFF:
            here = core.here()
            default = (core.home.amsl_m if core.home else here.amsl_m) + core.params.real("MIS_TAKEOFF_ALT")
            amsl = default if core.takeoff_amsl_m is None else core.takeoff_amsl_m
            core.takeoff_amsl_m = None
            self._spot = Spot(here.latitude_deg, here.longitude_deg, max(amsl, here.amsl_m) if core.landed else amsl)
        elif core.mode is Mode.LAND:
            if not core.landed:
                core.say(m.Severity.INFO, "Landing at current position")
            self._spot = stopping_spot(core)
        elif core.mode is Mode.RETURN:
            self._begin_return()

    def step(self) -> None:
        core = self._core
        mode = core.mode
        if not core.armed:
            still(core)
        elif mode is Mode.TAKEOFF:
            core.taking_off = True
            if climb_out(core, self._spot):
                core.hold_spot = self._spot
                core.enter(Mode.HOLD)
        elif core.landed and core.vehicle.on_ground:
            still(core)
        elif mode is Mode.LAND:
            core.landing = True
            touch_down(core, self._spot)
        elif mode is Mode.RETURN:
            self._return()
        else:
            go_to(core, self._spot, core.params.real("MPC_XY_CRUISE"))

    def _begin_return(self) -> None:
        """Choose where to return to and how high (RTL_TYPE 0: home or the nearest rally point)."""
        core = self._core
        home = core.home or core.here()
        goals = [home]
        goals += [
            Spot(item.x / 1e7, item.y / 1e7, item.z if item.frame in (0, 5) else home.amsl_m + item.z)
            for item in self._missions.plans[TYPE_RALLY]
        ]
        goal = min(goals, key=lambda spot: math.hypot(*offset_m(core, spot.latitude_deg, spot.longitude_deg)))
        distance = math.hypot(*offset_m(core, goal.latitude_deg, goal.longitude_deg))
        amsl = max(core.estimate.amsl_m, goal.amsl_m + return_height_m(core, distance))
        self._spot = Spot(goal.latitude_deg, goal.longitude_deg, amsl)
        self._goal_amsl_m = goal.amsl_m
        self._climb_spot = stopping_spot(core)
        self._phase = _Phase.CLIMB
        if core.armed and not core.landed:
            core.say(
                m.Severity.INFO,
                f"RTL: start return at {amsl:.0f} m ({amsl - goal.amsl_m:.0f} m above destination)",
            )

    def _return(self) -> None:
        core = self._core
        params = core.params
        spot = self._spot
        core.landing = self._phase in (_Phase.DESCEND, _Phase.WAIT, _Phase.LAND)
        if self._phase is _Phase.CLIMB:
            climb = self._climb_spot
            go_to(core, Spot(climb.latitude_deg, climb.longitude_deg, spot.amsl_m), params.real("MPC_XY_CRUISE"))
            if core.estimate.amsl_m >= spot.amsl_m - params.real("NAV_MC_ALT_RAD"):
                self._phase = _Phase.RETURN
        elif self._phase is _Phase.RETURN:
            if go_to(core, spot, params.real("MPC_XY_CRUISE")) < params.real("NAV_ACC_RAD"):
                self._phase = _Phase.DESCEND
                core.say(m.Severity.INFO, "RTL: land at destination")
        elif self._phase is _Phase.DESCEND:
            low = self._goal_amsl_m + params.real("RTL_DESCEND_ALT")
            go_to(core, Spot(spot.latitude_deg, spot.longitude_deg, min(low, spot.amsl_m)), 2.0)
            if core.estimate.amsl_m <= low + params.real("NAV_MC_ALT_RAD"):
                self._phase = _Phase.WAIT
                self._since_s = core.now_s
        elif self._phase is _Phase.WAIT:
            go_to(core, Spot(spot.latitude_deg, spot.longitude_deg, core.estimate.amsl_m), 2.0)
            delay = params.real("RTL_LAND_DELAY")
            if delay >= 0.0 and core.now_s - self._since_s >= delay:  # negative: wait for ever
                self._phase = _Phase.LAND
        else:
            touch_down(core, spot)


def return_height_m(core: Core, distance_m: float) -> float:
    """Least height above the destination to return at: lower inside the cone of RTL_CONE_ANG around it."""
    params = core.params
    full = params.real("RTL_RETURN_ALT")
    low = min(full, params.real("RTL_DESCEND_ALT"))
    if distance_m <= params.real("RTL_MIN_DIST"):
        return low
    half_angle = params.integer("RTL_CONE_ANG")
    if half_angle <= 0:
        return full
    if half_angle >= 90:
        return low
    return max(low, min(full, distance_m / math.tan(math.radians(half_angle))))


def climb_out(core: Core, spot: Spot) -> bool:
    """Straight up from the ground or the air; True when the altitude is reached."""
    if core.vehicle.on_ground and core.now_s - core.armed_at_s < _SPOOL_UP_S:
        still(core)
        return False
    params = core.params
    left = spot.amsl_m - core.estimate.amsl_m
    slow = params.real("MPC_TKO_SPEED")
    north, east = offset_m(core, spot.latitude_deg, spot.longitude_deg)
    up = max(-slow, min(slow, left))
    if core.vehicle.on_ground:
        up = slow
    steer(core, _POSITION_GAIN_1_S * north, _POSITION_GAIN_1_S * east, -up, spot.yaw_rad)
    return not core.vehicle.on_ground and left <= params.real("NAV_MC_ALT_RAD")


def touch_down(core: Core, spot: Spot) -> None:
    """Descend to the ground over a spot: slower below MPC_LAND_ALT1, at MPC_LAND_SPEED below MPC_LAND_ALT2."""
    if core.vehicle.on_ground:
        still(core)
        return
    params = core.params
    fast, slow = params.real("MPC_Z_V_AUTO_DN"), params.real("MPC_LAND_SPEED")
    high, low = params.real("MPC_LAND_ALT1"), params.real("MPC_LAND_ALT2")
    share = max(0.0, min(1.0, (core.height_m - low) / max(0.1, high - low)))
    north, east = offset_m(core, spot.latitude_deg, spot.longitude_deg)
    pull = _POSITION_GAIN_1_S
    steer(
        core,
        max(-3.0, min(3.0, pull * north)),
        max(-3.0, min(3.0, pull * east)),
        slow + share * max(0.0, fast - slow),
        spot.yaw_rad,
    )

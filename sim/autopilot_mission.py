# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flying a stored mission: items in, demands and progress (MISSION_CURRENT, MISSION_ITEM_REACHED) out.

One item is current. Items with a place are flown to; the others act at once and count as reached, as in PX4.
"""

from __future__ import annotations

import math

from sim import mavlink_messages as m
from sim.autopilot_core import Core, Mode, Spot, finite, offset_m
from sim.autopilot_navigator import climb_out, go_on_astray, go_to, still, stopping_spot, touch_down
from sim.fence import Fence
from sim.mavlink_messages import Cmd, MissionItem
from sim.mission import PLACES, TYPE_FENCE, TYPE_MISSION, MissionServer
from sim.vehicle import degree_lengths_m

_FLOWN_TO = frozenset({Cmd.NAV_WAYPOINT, Cmd.NAV_LOITER_UNLIM, Cmd.NAV_LOITER_TIME})
_TAKES_TIME = _FLOWN_TO | {Cmd.NAV_TAKEOFF, Cmd.NAV_LAND, Cmd.NAV_DELAY, Cmd.CONDITION_DELAY}
_LINE_GAIN_1_S = 0.5
_RELATIVE_FRAMES = frozenset({3, 6})


class MissionFlight:
    """Progress through the mission of one vehicle."""

    def __init__(self, core: Core, missions: MissionServer) -> None:
        self._core = core
        self._missions = missions
        self.current = 0
        self.reached: int | None = None
        self.finished = False
        self.fence = Fence()
        self._waiting_since_s: float | None = None
        self._leg_start: Spot | None = None
        self._resting: Spot | None = None
        self._jumps: dict[int, int] = {}
        self._takeoff: Spot | None = None

    @property
    def items(self) -> tuple[MissionItem, ...]:
        return self._missions.plans[TYPE_MISSION]

    # Plans that changed -----------------------------------------------------------------------------------------

    def plan_changed(self, mission_type: int) -> None:
        """A mission or fence was stored or cleared: start at item 0, check waypoints against the fence."""
        if mission_type == TYPE_FENCE:
            self._take_fence()
        if mission_type == TYPE_MISSION:
            self._reset_to(0)
            self.tell_current()
        if mission_type in (TYPE_MISSION, TYPE_FENCE):
            self._check()

    def _take_fence(self) -> None:
        """PX4 does not put a fence into force in flight that the vehicle is outside of."""
        core = self._core
        fence = Fence(self._missions.plans[TYPE_FENCE])
        here = core.here()
        if not core.landed and not fence.allows(here.latitude_deg, here.longitude_deg):
            core.say(m.Severity.CRITICAL, "Geofence invalid, doesn't contain current vehicle position")
            fence = Fence()
        self.fence = fence

    def _check(self) -> None:
        """PX4 looks at the waypoints only, not at the legs between them."""
        core = self._core
        core.mission_valid = bool(self.items)
        if not self.fence:
            return
        for item in self.items:
            if item.command in PLACES and (item.x or item.y) and not self.fence.allows(item.x / 1e7, item.y / 1e7):
                core.mission_valid = False
                core.say(m.Severity.CRITICAL, f"Geofence violation for waypoint {item.seq + 1}")
                break

    def set_current(self, seq: int) -> bool:
        """Go on with an item; False when there is no such item."""
        if not 0 <= seq < len(self.items):
            return False
        self._reset_to(seq)
        self.tell_current()
        return True

    def _reset_to(self, seq: int) -> None:
        self.current = seq
        self.reached = None
        self.finished = False
        self._waiting_since_s = None
        self._leg_start = None
        self._resting = None
        self._takeoff = None
        self._jumps.clear()

    def tell_current(self) -> None:
        """MISSION_CURRENT, with the optional fields: total, and state (1 none, 2 not started, 3 active ...)."""
        core = self._core
        total = len(self.items)
        if not total:
            state = 1
        elif self.finished:
            state = 5
        elif core.mode is Mode.MISSION and core.armed:
            state = 3
        else:
            state = 2 if self.current == 0 else 4
        mode = 1 if core.mode is Mode.MISSION else 2
        core.send(m.MISSION_CURRENT, self.current, total or 65535, state, mode)

    def tell_reached(self) -> None:
        """MISSION_ITEM_REACHED; PX4 repeats the last one each second."""
        if self.reached is not None:
            self._core.send(m.MISSION_ITEM_REACHED, self.reached)

    # Flight -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """MISSION mode begins, perhaps again after a pause: fly on to the current item from here."""
        self._waiting_since_s = None
        self._leg_start = None
        self._resting = None
        self._takeoff = None
        core = self._core
        core.cruise_m_s = None
        if core.armed and self.items and not self.finished:
            core.say(m.Severity.INFO, "Executing Mission")
        # A speed or camera angle that was set before the pause holds again.
        for item in self.items[: self.current]:
            if item.command in (Cmd.DO_CHANGE_SPEED, Cmd.DO_MOUNT_CONTROL, Cmd.DO_GIMBAL_MANAGER_PITCHYAW):
                self._act(item)

    def step(self) -> None:
        core = self._core
        if not core.armed:
            still(core)
            return
        if (self.finished or not self.items) and not core.landed:
            core.say(m.Severity.CRITICAL, "No valid mission available, loitering")
            core.enter(Mode.HOLD)
            return
        if self.finished or not self.items:
            still(core)
            return
        told = self.current
        for _ in range(len(self.items)):  # items that act at once are done in one go, with one MISSION_CURRENT
            item = self.items[self.current]
            if not self._do(item):
                break
            self._reached(item)
            if self.finished or item.command == Cmd.DO_JUMP or self.items[self.current].command in _TAKES_TIME:
                break
        if told != self.current or self.finished:
            self.tell_current()

    def _reached(self, item: MissionItem) -> None:
        self.reached = item.seq
        self.tell_reached()
        self._waiting_since_s = None
        self._takeoff = None
        nearby = item.command in _FLOWN_TO
        self._leg_start = self._spot(item) if nearby else self._leg_start
        following = self.current + 1
        if item.command == Cmd.DO_JUMP:
            following = self._jump(item)
        if following < len(self.items):
            self.current = following
        else:
            self._finish(self._spot(item) if nearby else None)

    def _finish(self, spot: Spot | None) -> None:
        """In the air PX4 goes over to HOLD; a mission that ends with a landing stays in its mode."""
        core = self._core
        self.finished = True
        if core.landed:
            return
        core.say(m.Severity.INFO, "Mission finished, loitering")
        core.mode_after_disarm = Mode.HOLD
        if core.mode is Mode.MISSION:
            core.hold_spot = spot
            core.enter(Mode.HOLD)

    def _jump(self, item: MissionItem) -> int:
        """DO_JUMP: param1 is the item, param2 how often (negative: for ever)."""
        target, times = int(finite(item.param1, -1)), int(finite(item.param2, 0))
        done = self._jumps.get(item.seq, 0)
        if not 0 <= target < len(self.items) or (times >= 0 and done >= times):
            return item.seq + 1
        self._jumps[item.seq] = done + 1
        return target

    def _do(self, item: MissionItem) -> bool:
        """One step towards an item; True when it is done."""
        core = self._core
        command = item.command
        if command == Cmd.NAV_TAKEOFF:
            return self._take_off(item)
        if command in _FLOWN_TO or command == Cmd.NAV_LAND:
            landing = command == Cmd.NAV_LAND and self._resting is not None
            if not landing and (self._takeoff is not None or (core.vehicle.on_ground and core.landed)):
                self._climb_first(item)
                return False
            return self._land_at(item) if command == Cmd.NAV_LAND else self._fly_to(item)
        if command == Cmd.NAV_RETURN_TO_LAUNCH:
            core.enter(Mode.RETURN)
            return True
        if command in (Cmd.NAV_DELAY, Cmd.CONDITION_DELAY):
            return self._rest(finite(item.param1, 0.0))
        self._act(item)
        return True

    def _spot(self, item: MissionItem) -> Spot:
        core = self._core
        base = core.home.amsl_m if core.home is not None and item.frame in _RELATIVE_FRAMES else 0.0
        yaw = math.radians(item.param4) if math.isfinite(item.param4) else None
        return Spot(item.x / 1e7, item.y / 1e7, base + item.z, yaw)

    def _take_off(self, item: MissionItem) -> bool:
        """Climb where it stands; in the air a vehicle that is high enough is done at once."""
        core = self._core
        if self._takeoff is None:
            here = core.here()
            amsl = self._spot(item).amsl_m
            self._takeoff = Spot(here.latitude_deg, here.longitude_deg, amsl if core.landed else max(amsl, here.amsl_m))
        done = climb_out(core, self._takeoff)
        core.taking_off = not done
        return done

    def _climb_first(self, item: MissionItem) -> None:
        """A mission without a take-off item: straight up to the first place's height, at least MIS_TAKEOFF_ALT."""
        core = self._core
        if self._takeoff is None:
            here = core.here()
            least = here.amsl_m + core.params.real("MIS_TAKEOFF_ALT")
            wanted = self._spot(item).amsl_m if item.command != Cmd.NAV_LAND else least
            self._takeoff = Spot(here.latitude_deg, here.longitude_deg, max(least, wanted))
        core.taking_off = True
        if climb_out(core, self._takeoff):
            self._takeoff = None

    def _fly_to(self, item: MissionItem) -> bool:
        core = self._core
        if core.astray is not None:
            go_on_astray(core, core.astray)
            return False
        params = core.params
        spot = self._spot(item)
        speed = core.cruise_m_s or params.real("MPC_XY_CRUISE")
        radius = item.param2 if math.isfinite(item.param2) and item.param2 > 0.1 else params.real("NAV_ACC_RAD")
        hold_s = finite(item.param1, 0.0) if item.command != Cmd.NAV_LOITER_UNLIM else math.inf
        corner = 0.0 if hold_s > 0.0 else self._corner_speed(spot, radius, speed)
        distance = go_to(core, spot, speed, pass_m_s=corner)
        self._pull_to_line(spot, distance)
        there = distance <= radius and abs(core.estimate.amsl_m - spot.amsl_m) <= max(
            params.real("NAV_MC_ALT_RAD"), 0.25 * radius
        )
        if self._waiting_since_s is None:
            if not there:
                return False
            self._waiting_since_s = core.now_s
        return core.now_s - self._waiting_since_s >= hold_s

    def _pull_to_line(self, spot: Spot, distance_m: float) -> None:
        """Add a velocity across the leg that brings the vehicle back onto it."""
        core = self._core
        if self._leg_start is None:
            self._leg_start = core.here()
        start = self._leg_start
        if distance_m < 5.0:
            return
        per_lat, per_lon = degree_lengths_m(core.estimate.latitude_deg)
        leg_north = (spot.latitude_deg - start.latitude_deg) * per_lat
        leg_east = (spot.longitude_deg - start.longitude_deg) * per_lon
        length = math.hypot(leg_north, leg_east)
        if length < 1.0:
            return
        back_north, back_east = offset_m(core, start.latitude_deg, start.longitude_deg)
        # Across the leg, from the vehicle to the line; positive to the right of the leg.
        across = (leg_north * back_east - leg_east * back_north) / length
        demand = core.demand
        most = 0.5 * max(1.0, math.hypot(demand.velocity_north_m_s, demand.velocity_east_m_s))
        pull = max(-most, min(most, _LINE_GAIN_1_S * across))
        demand.velocity_north_m_s -= pull * leg_east / length
        demand.velocity_east_m_s += pull * leg_north / length

    def _corner_speed(self, spot: Spot, radius_m: float, speed_m_s: float) -> float:
        """Speed at which the turn into the next leg fits inside the acceptance radius at MPC_ACC_HOR."""
        core = self._core
        following = next((one for one in self.items[self.current + 1 :] if one.command in _FLOWN_TO), None)
        if following is None or self._leg_start is None:
            return 0.0
        per_lat, per_lon = degree_lengths_m(spot.latitude_deg)
        start = self._leg_start
        in_north = (spot.latitude_deg - start.latitude_deg) * per_lat
        in_east = (spot.longitude_deg - start.longitude_deg) * per_lon
        out_north = (following.x / 1e7 - spot.latitude_deg) * per_lat
        out_east = (following.y / 1e7 - spot.longitude_deg) * per_lon
        lengths = math.hypot(in_north, in_east) * math.hypot(out_north, out_east)
        if lengths < 1.0:
            return 0.0
        cosine = max(-1.0, min(1.0, (in_north * out_north + in_east * out_east) / lengths))
        tangent = math.tan(0.5 * math.acos(cosine))
        acceleration = core.limits.acceleration_m_s2
        return min(speed_m_s, math.sqrt(acceleration * radius_m / max(tangent, 1e-3)))

    def _rest(self, seconds: float) -> bool:
        core = self._core
        if core.vehicle.on_ground and core.landed:
            still(core)
        else:
            if self._resting is None:
                self._resting = stopping_spot(core)
            go_to(core, self._resting, 2.0)
        if self._waiting_since_s is None:
            self._waiting_since_s = core.now_s
        if core.now_s - self._waiting_since_s < seconds:
            return False
        self._resting = None
        return True

    def _land_at(self, item: MissionItem) -> bool:
        core = self._core
        spot = self._spot(item) if item.x or item.y else core.here()
        if self._resting is None:
            high = Spot(spot.latitude_deg, spot.longitude_deg, core.estimate.amsl_m)
            if go_to(core, high, core.cruise_m_s or core.params.real("MPC_XY_CRUISE")) > core.params.real(
                "NAV_ACC_RAD"
            ):
                return False
            self._resting = Spot(spot.latitude_deg, spot.longitude_deg, core.estimate.amsl_m)
        core.landing = True
        touch_down(core, self._resting)
        return core.landed and core.vehicle.on_ground

    def _act(self, item: MissionItem) -> None:
        """Items without a place; camera items are done also when there is no camera."""
        core = self._core
        if item.command == Cmd.DO_CHANGE_SPEED:
            if math.isfinite(item.param2) and item.param2 > 0.0:
                core.cruise_m_s = item.param2
        elif item.command in (Cmd.DO_MOUNT_CONTROL, Cmd.DO_GIMBAL_MANAGER_PITCHYAW) and math.isfinite(item.param1):
            core.gimbal_pitch_deg = item.param1

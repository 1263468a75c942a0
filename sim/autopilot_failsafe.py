# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the autopilot does by itself: lost link, low battery, broken fence. State in, mode changes out.

As PX4 1.16: a cause asks for an action, the strongest counts; before returning or landing the vehicle holds for
COM_FAIL_ACT_T. The action stays after the cause is gone, until the user changes the mode; then the same cause does
not act again before it has gone and come back.
"""

from __future__ import annotations

import math
from enum import IntEnum

from sim import mavlink_messages as m
from sim.autopilot_core import Core, Mode, offset_m
from sim.autopilot_mission import MissionFlight
from sim.params import CIRCUIT_BREAKER_SUPPLY_CHECK

_EVERY_S = 0.2  # PX4 looks at 10 Hz; half of that is soon enough and costs half


class Action(IntEnum):
    """Ordered by strength."""

    NONE = 0
    WARN = 1
    HOLD = 2
    RETURN = 3
    LAND = 4
    TERMINATE = 5


_MODES = {Action.HOLD: Mode.HOLD, Action.RETURN: Mode.RETURN, Action.LAND: Mode.LAND}
_LINK_ACTIONS = {1: Action.HOLD, 2: Action.RETURN, 3: Action.LAND, 5: Action.TERMINATE, 6: Action.TERMINATE}
_FENCE_ACTIONS = {
    1: Action.WARN,
    2: Action.HOLD,
    3: Action.RETURN,
    4: Action.TERMINATE,
    5: Action.LAND,
}
_BATTERY_TEXTS = {
    1: (m.Severity.WARNING, "Low battery level, return advised"),
    2: (m.Severity.CRITICAL, "Critical battery level"),
    3: (m.Severity.EMERGENCY, "Dangerous battery level"),
}


class Failsafes:
    """Watches one vehicle."""

    def __init__(self, core: Core, mission: MissionFlight) -> None:
        self._core = core
        self._mission = mission
        self._acted: dict[str, Action] = {}  # causes already answered, until they go away
        self._pending: tuple[Action, float] | None = None  # after the hold, and when
        self._active = Action.NONE
        self._next_s = 0.0

    def step(self) -> None:
        core = self._core
        if core.now_s < self._next_s and not core.user_took_over:
            return
        self._next_s = core.now_s + _EVERY_S - 1e-6
        self._satellites()
        self._battery_warning()
        if core.user_took_over:
            core.user_took_over = False
            self._pending = None
            self._active = Action.NONE
            core.failsafe = False
        if not core.armed:
            self._acted.clear()
            self._pending = None
            self._active = Action.NONE
            core.failsafe = False
            return
        if core.landed:
            return
        causes = {
            "position": Action.NONE if core.ready else Action.LAND,
            "link": self._link(),
            "battery": self._battery(),
            "fence": self._fence(),
        }
        for cause, action in causes.items():
            before = self._acted.get(cause, Action.NONE)
            if action is Action.NONE:
                self._acted.pop(cause, None)
            elif action > before:
                self._acted[cause] = action
                self._answer(cause, action)
        if self._pending is not None and core.now_s >= self._pending[1]:
            action, self._pending = self._pending[0], None
            core.enter(_MODES[action])

    def _answer(self, cause: str, action: Action) -> None:
        core = self._core
        if action is Action.WARN:
            core.say(m.Severity.WARNING, f"Failsafe warning: {cause}")
            return
        if action <= self._active:
            return
        escalation = self._active > Action.HOLD
        self._active = action
        core.failsafe = True
        if action is Action.TERMINATE:
            core.say(m.Severity.EMERGENCY, f"Failsafe activated: flight terminated ({cause})")
            core.disarm(forced=True, why="flight termination")
            return
        core.say(m.Severity.CRITICAL, f"Failsafe activated: {_MODES[action].name.capitalize()} ({cause})")
        delay_s = core.params.real("COM_FAIL_ACT_T")
        if action is Action.HOLD or escalation or delay_s <= 0.0 or not core.ready:
            self._pending = None
            core.enter(_MODES[action])
            return
        # Time for the user to take over. A vehicle that already does what is asked just goes on.
        if core.mode is _MODES[action]:
            return
        self._pending = (action, core.now_s + delay_s)
        core.enter(Mode.HOLD)

    def _satellites(self) -> None:
        """SIM_GPS_USED, as in PX4's own simulation: fewer than 4 satellites give no position."""
        core = self._core
        if core.params.integer("SIM_GPS_USED") >= 4:
            core.gps_lost_s = None
        elif core.gps_lost_s is None:
            core.gps_lost_s = core.now_s

    def _link(self) -> Action:
        core = self._core
        if core.ground_station_here():
            return Action.NONE
        action = _LINK_ACTIONS.get(core.params.integer("NAV_DLL_ACT"), Action.NONE)
        excepted = core.params.integer("COM_DLL_EXCEPT")
        if (core.mode is Mode.MISSION and excepted & 1) or (
            core.mode is Mode.HOLD and excepted & 2 and not core.failsafe
        ):
            return Action.NONE
        return action

    def _battery_warning(self) -> None:
        core = self._core
        params = core.params
        fraction = core.vehicle.battery.fraction
        if params.integer("CBRK_SUPPLY_CHK") == CIRCUIT_BREAKER_SUPPLY_CHECK:
            core.battery_warning = 0
            return
        if fraction < params.real("BAT_EMERGEN_THR"):
            warning = 3
        elif fraction < params.real("BAT_CRIT_THR"):
            warning = 2
        else:
            warning = int(fraction < params.real("BAT_LOW_THR"))
        if warning > core.battery_warning and core.armed:
            severity, text = _BATTERY_TEXTS[warning]
            core.say(severity, text)
        core.battery_warning = warning

    def _battery(self) -> Action:
        """COM_LOW_BAT_ACT: 0 warn, 2 land when critical, 3 return when critical and land in an emergency."""
        core = self._core
        what = core.params.integer("COM_LOW_BAT_ACT")
        if core.battery_warning >= 2 and what == 2:
            return Action.LAND
        if what == 3 and core.battery_warning >= 2:
            return Action.LAND if core.battery_warning == 3 else Action.RETURN
        return Action.NONE

    def _fence(self) -> Action:
        core = self._core
        params = core.params
        action = _FENCE_ACTIONS.get(params.integer("GF_ACTION"), Action.NONE)
        if action is Action.NONE:
            return action
        estimate = core.estimate
        fence = self._mission.fence
        broken = bool(fence) and not fence.allows(estimate.latitude_deg, estimate.longitude_deg)
        high, far = params.real("GF_MAX_VER_DIST"), params.real("GF_MAX_HOR_DIST")
        if core.home is not None:
            broken = broken or 0.0 < high < core.height_m
            if far > 0.0:
                broken = broken or far < math.hypot(*offset_m(core, core.home.latitude_deg, core.home.longitude_deg))
        return action if broken else Action.NONE

# SPDX-License-Identifier: AGPL-3.0-or-later
"""A sortie and the small vehicle model that its tests fly."""

from __future__ import annotations

from dataclasses import dataclass, field

from dronectl.fleet.link import FlightMode, LandedState, VehicleState
from dronectl.fleet.sortie import step
from dronectl.fleet.sortie_types import (
    Action,
    ActionEnded,
    ActionKind,
    MissionReadBack,
    Observed,
    Order,
    Ordered,
    Phase,
    PreflightEnded,
    Sortie,
    Tick,
)
from dronectl.fleet.state import ENDING
from missions.model import Finding, Severity

REACHES = (None, None, 0, 1, None, 2, None)  # take-off, speed, two waypoints, gimbal, a waypoint, return
LAST_WAYPOINT_ITEM = 5
BLOCKER = Finding("no-home", Severity.BLOCKER, "no home")


def new_sortie() -> Sortie:
    return Sortie("s1", "d1", REACHES)


@dataclass
class Flight:
    """A sortie and a vehicle that obeys, in steps of 0.25 s; the tests bend what it does."""

    sortie: Sortie = field(default_factory=new_sortie)
    now_s: float = 100.0
    mode: FlightMode = FlightMode.HOLD
    armed: bool = False
    landed: LandedState = LandedState.ON_GROUND
    connected: bool = True
    reached: int | None = None
    armable: bool = True
    deaf: frozenset[ActionKind] = frozenset()  # asked, answered OK, nothing happens
    blockers: tuple[Finding, ...] = ()
    differences: tuple[str, ...] = ()
    heard_s: float = 100.0
    log: list[Action] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    def state(self) -> VehicleState:
        return VehicleState(
            "d1",
            connected=self.connected,
            heard_monotonic_s=self.heard_s,
            vehicle_time_s=self.now_s - 50.0,
            mode=self.mode,
            armed=self.armed,
            landed=self.landed,
            armable=self.armable,
            mission_reached=self.reached,
            mission_total=len(REACHES),
        )

    def feed(self, event):
        if not self.phases:
            self.phases.append(self.sortie.phase)
        self.sortie, actions = step(self.sortie, event)
        if self.phases[-1] is not self.sortie.phase:
            self.phases.append(self.sortie.phase)
        for action in actions:
            self.log.append(action)
            self.perform(action)

    def order(self, order: Order):
        self.feed(Ordered(order, self.now_s))

    def perform(self, action: Action):
        kind = action.kind
        if kind is ActionKind.PREFLIGHT:
            self.feed(PreflightEnded(action, self.blockers, self.blockers, self.now_s))
            return
        if kind is ActionKind.UPLOAD:
            self.feed(MissionReadBack(action, self.differences, self.now_s))
            return
        if kind not in self.deaf and self.connected:
            if kind is ActionKind.ARM:
                assert self.landed is LandedState.ON_GROUND
                self.armed = True
            elif kind is ActionKind.DISARM and self.landed is LandedState.ON_GROUND:
                self.armed = False
            elif kind is ActionKind.START and self.armed:
                self.mode = FlightMode.MISSION
            elif kind is ActionKind.HOLD:
                self.mode = FlightMode.HOLD
            elif kind is ActionKind.RETURN:
                self.mode = FlightMode.RETURN
            elif kind is ActionKind.LAND:
                self.mode = FlightMode.LAND
        self.feed(ActionEnded(action, None, self.now_s))

    def pass_time(self, seconds: float = 0.25):
        for _ in range(max(1, round(seconds / 0.25))):
            self.now_s += 0.25
            if self.connected:
                self.heard_s = self.now_s
            self.feed(Observed(self.state(), self.now_s))
            self.feed(Tick(self.now_s))

    def fly(self):
        """Leave the ground if the mission runs, then reach one item more; come down when returning or landing."""
        if self.armed and self.mode is FlightMode.MISSION:
            if self.landed is LandedState.ON_GROUND:
                self.landed = LandedState.TAKING_OFF
            else:
                self.landed = LandedState.IN_AIR
                self.reached = 0 if self.reached is None else self.reached + 1
                if self.reached >= LAST_WAYPOINT_ITEM:
                    self.mode = FlightMode.RETURN
        elif self.armed and self.mode in ENDING:
            if self.landed is LandedState.LANDING:
                self.landed, self.armed = LandedState.ON_GROUND, False
            else:
                self.landed = LandedState.LANDING
        self.pass_time()

    def fly_until(self, phase: Phase, most: int = 60):
        for _ in range(most):
            if self.sortie.phase is phase:
                return
            self.fly()
        raise AssertionError(f"still {self.sortie.phase}, not {phase}: {self.sortie}")

    def count(self, kind: ActionKind) -> int:
        return sum(1 for action in self.log if action.kind is kind)


def airborne() -> Flight:
    flight = Flight()
    flight.pass_time()
    flight.order(Order.START)
    flight.fly_until(Phase.FLYING)
    flight.fly()
    assert flight.sortie.phase is Phase.FLYING
    return flight

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The words of the sortie machine: phases, orders, events that go in, actions that come out, and its whole state.

Events come from the executor (`vehicle.py`): what the vehicle reports, what a person orders, what an action led to,
and the passing of time. Actions go back to it. Nothing here does anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dronectl.fleet.link import FlightMode, VehicleState
from missions.model import Finding, Outcome


class Phase(StrEnum):
    """Where a flight stands."""

    PLANNED = "planned"
    PREFLIGHT = "preflight"
    UPLOADING = "uploading"
    READY = "ready"
    ARMING = "arming"
    TAKING_OFF = "taking_off"
    FLYING = "flying"
    PAUSED = "paused"
    RETURNING = "returning"
    LANDING = "landing"
    LANDED = "landed"
    FAILED = "failed"
    LOST_LINK = "lost_link"


BEFORE_ARMING = frozenset({Phase.PLANNED, Phase.PREFLIGHT, Phase.UPLOADING, Phase.READY})
ENDED = frozenset({Phase.LANDED, Phase.FAILED})


class Order(StrEnum):
    """What a person may order."""

    PREPARE = "prepare"  # preflight and upload, then wait on the ground
    START = "start"  # the same, then arm and fly
    HOLD = "hold"
    RESUME = "resume"
    RETURN = "return"
    LAND = "land"
    ABORT = "abort"
    ABANDON = "abandon"  # close a sortie whose vehicle is not heard of any more


class ActionKind(StrEnum):
    """What the machine asks its executor to do."""

    PREFLIGHT = "preflight"
    UPLOAD = "upload"  # mission upload, then read-back
    CANCEL = "cancel"  # drop every ordinary action that waits or runs
    ARM = "arm"
    START = "start"  # mission mode: the take-off as well as going on after a pause
    HOLD = "hold"
    RETURN = "return"
    LAND = "land"
    DISARM = "disarm"


URGENT = frozenset({ActionKind.CANCEL, ActionKind.HOLD, ActionKind.RETURN, ActionKind.LAND})


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do; `number` rises by one per action of a sortie, results carry it back."""

    kind: ActionKind
    number: int


@dataclass(frozen=True, slots=True)
class Observed:
    """A vehicle state came in. `now_s` is monotonic, as in every event."""

    state: VehicleState
    now_s: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""

    now_s: float


@dataclass(frozen=True, slots=True)
class Ordered:
    """A person ordered something."""

    order: Order
    now_s: float
    reason: str = ""  # in the outcome of a sortie that is given up


@dataclass(frozen=True, slots=True)
class ActionEnded:
    """An action's call returned. No failure is no proof: only the vehicle's state confirms."""

    action: Action
    failure: str | None
    now_s: float


@dataclass(frozen=True, slots=True)
class PreflightEnded:
    """The checks ran; `blockers` are the findings that forbid this flight, overridden ones already taken out."""

    action: Action
    findings: tuple[Finding, ...]
    blockers: tuple[Finding, ...]
    now_s: float


@dataclass(frozen=True, slots=True)
class MissionReadBack:
    """What the vehicle holds was read back; no difference means that it holds this plan."""

    action: Action
    differences: tuple[str, ...]
    now_s: float


@dataclass(frozen=True, slots=True)
class Recognised:
    """After an adoption: whether the mission aboard is this sortie's, by the hash of its read-back."""

    known: bool
    note: str
    now_s: float


Event = Observed | Tick | Ordered | ActionEnded | PreflightEnded | MissionReadBack | Recognised


@dataclass(frozen=True, slots=True)
class Request:
    """The one thing that the machine is trying to bring about, until the vehicle's state shows it."""

    action: Action
    attempts: int
    issued_s: float
    due_s: float  # when to look again and perhaps repeat
    mode_at_issue: FlightMode
    last: bool = False  # not to be repeated
    returned: bool = False  # the call has ended
    failure: str | None = None  # what it said


@dataclass(frozen=True, slots=True)
class Sortie:
    """One flight of one vehicle: the machine's whole state."""

    sortie_id: str
    vehicle_id: str
    waypoint_of_item: tuple[int | None, ...]
    phase: Phase = Phase.PLANNED
    since_s: float = 0.0  # monotonic, of the phase
    since_vehicle_s: float | None = None  # the same moment on the vehicle's clock
    state: VehicleState | None = None  # last heard
    alive_s: float | None = None  # monotonic, when the link was last alive
    disarmed_s: float | None = None  # monotonic, since when disarmed without being on the ground
    request: Request | None = None
    actions: int = 0  # how many were emitted
    uploads: int = 0
    launches: int = 0
    start_wanted: bool = False
    may_arm: bool = True  # never again after an adoption
    known: bool = True  # the mission aboard is proven to be this sortie's
    flown: bool = False  # was seen in the air
    aborted: bool = False
    hands_off: bool = False  # a person holds the sticks
    intent: FlightMode = FlightMode.UNKNOWN  # the mode that was last ordered
    ordered_s: float = 0.0  # monotonic, of that order
    failsafe: str | None = None  # what the vehicle did by itself; cleared by a person's order
    autopilot_said: str | None = None  # its own words for that, if it had any; part of `failsafe`
    reached_item: int | None = None
    stale_reached: int | None = None  # progress left over from an earlier flight
    lost_from: Phase | None = None
    findings: tuple[Finding, ...] = ()
    note: str = ""
    outcome: Outcome | None = None

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def waypoints_total(self) -> int:
        return sum(1 for waypoint in self.waypoint_of_item if waypoint is not None)

    @property
    def waypoints_reached(self) -> int:
        """How many waypoints lie at or before the highest item that was reported reached."""
        if self.reached_item is None:
            return 0
        return sum(1 for waypoint in self.waypoint_of_item[: self.reached_item + 1] if waypoint is not None)

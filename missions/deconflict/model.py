# SPDX-License-Identifier: AGPL-3.0-or-later
"""The words of deconfliction: flights with starts, what was found, what was changed and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from missions.deconflict.segments import Minima
from missions.deconflict.trajectory import Trajectory
from missions.geo import GeoPoint
from missions.model import Finding, FlightPlan
from missions.terrain import Terrain


@dataclass(frozen=True, slots=True)
class Flight:
    """A plan that starts start_s after a common zero. Higher priority is changed less: 0 is ordinary."""

    plan: FlightPlan
    start_s: float = 0.0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """What a resolution may do.

    max_delay_s: the latest a start may be put off. max_shift_m: the farthest that a plan's heights may be moved, in
    steps of the vertical minimum (0: never). max_hold_s: the longest added hold (0: none). sidesteps: whether legs may
    be led round a place. return_layers: whether return heights are laid apart for the case that the site is lost.
    slack_s: by how much any two flights may run early or late against each other and still keep apart.
    """

    minima: Minima = field(default_factory=Minima)
    max_delay_s: float = 600.0
    max_shift_m: float = 20.0
    max_hold_s: float = 120.0
    sidesteps: bool = True
    return_layers: bool = True
    slack_s: float = 0.0
    wind_m_s: float = 0.0
    terrain: Terrain | None = None


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two vehicles nearer than the minima, from start_s on; the distances and place are of the nearest moment."""

    first: str
    second: str
    start_s: float
    end_s: float
    time_s: float
    lateral_m: float
    vertical_m: float
    position: GeoPoint
    amsl_m: float


class ChangeKind(StrEnum):
    """How a flight was changed."""

    DELAY = "delay"
    LAYER = "layer"
    HOLD = "hold"
    SIDESTEP = "sidestep"
    RETURN_LAYER = "return-layer"
    SHORTER = "shorter"  # the end of its way is left out
    HOME = "home"  # all of it is


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one flight: seconds for a delay, a hold or a shorter flight, metres for the others.

    item: the waypoint (index in the changed plan) of a hold or sidestep. because: the meeting that the unchanged
    flight would have had, or within the slack could have had; None for what is there for the day the site is lost, and
    where several together are the reason.
    """

    vehicle_id: str
    kind: ChangeKind
    amount: float
    item: int | None
    because: Meeting | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """Flights that keep apart, in the order of the input, and how they came to it.

    meetings: the conflicts before. findings: pairs that no layers separate on their returns when the site is lost.
    makespan_s is from the first start to the last touch-down.
    """

    flights: tuple[Flight, ...]
    trajectories: tuple[Trajectory, ...]
    meetings: tuple[Meeting, ...]
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]
    makespan_before_s: float
    makespan_s: float

    @property
    def inflation(self) -> float:
        """How much later the last touch-down is, as a share of the makespan before."""
        return self.makespan_s / self.makespan_before_s - 1.0 if self.makespan_before_s > 0 else 0.0

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where each vehicle was in the air, in its newest sortie: about one place per second of its own clock.

Of vehicles that carry cameras every pose is asked, however late or bunched it comes, so that a track is as close when
time runs faster or the machine is busy as it is otherwise. Of others there are only the states, which a worker takes
twice a second of the machine's time.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Final

from dronectl.fleet.link import PoseSample, VehicleState

SPACING_S: Final = 1.0
# Places of a track. A longer one keeps every second place, and then takes half as many; odd, so that first and last stay.
_MOST: Final = 3601
_VALUES: Final = 4


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the air; vehicle_time_s is the vehicle's own clock, seconds since its boot."""

    vehicle_time_s: float
    latitude_deg: float
    longitude_deg: float
    amsl_m: float


@dataclass(slots=True)
class _Track:
    sortie_id: str
    spacing_s: float = SPACING_S
    due_s: float = 0.0
    values: array[float] = field(default_factory=lambda: array("d"))  # flat: 32 bytes a place

    def thin(self) -> None:
        kept = array("d")
        for at in range(0, len(self.values), 2 * _VALUES):
            kept.extend(self.values[at : at + _VALUES])
        self.values, self.spacing_s = kept, 2.0 * self.spacing_s


class Tracks:
    """One track per vehicle; a new sortie begins a new one."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}

    def add(self, sortie_id: str, at: PoseSample | VehicleState) -> None:
        """Where a vehicle was on this sortie; left out if unknown, older than the last place or too soon after it."""
        track = self._tracks.get(at.vehicle_id)
        if track is None or track.sortie_id != sortie_id:
            track = self._tracks[at.vehicle_id] = _Track(sortie_id)
        time_s = at.vehicle_time_s
        if time_s is None or time_s < track.due_s:
            return
        if at.latitude_deg is None or at.longitude_deg is None or at.amsl_m is None:
            return
        track.values.extend((time_s, at.latitude_deg, at.longitude_deg, at.amsl_m))
        if len(track.values) >= _MOST * _VALUES:
            track.thin()
        track.due_s = time_s + track.spacing_s

    def of(self, vehicle_id: str, sortie_id: str, after_s: float = 0.0) -> list[Place]:
        """The places later than after_s (vehicle clock), oldest first; none when it is not the vehicle's newest sortie."""
        track = self._tracks.get(vehicle_id)
        if track is None or track.sortie_id != sortie_id:
            return []
        values = track.values
        first = len(values)
        while first > 0 and values[first - _VALUES] > after_s:
            first -= _VALUES
        return [Place(*values[at : at + _VALUES]) for at in range(first, len(values), _VALUES)]

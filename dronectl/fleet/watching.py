# SPDX-License-Identifier: AGPL-3.0-or-later
"""Keeps the watch on the progress of every flight of the fleet and says what it finds: log, journal, published notices.

Looks once a second at the state that has come in anyway. It holds no way to command a vehicle: what is to be done
about a notice a person decides (ADR 10).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

from dronectl.clock import Clock
from dronectl.fleet.flight_way import Way, way_of
from dronectl.fleet.journal import SortieJournal
from dronectl.fleet.link import FlightMode, VehicleState
from dronectl.fleet.progress_watch import Notice, NoticeKind, Seen, Watch, advice, look
from dronectl.fleet.sortie_types import Phase, Sortie
from dronectl.streams import Latest
from missions.mavlink_items import MissionItem
from missions.model import FlightPlan

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
NOTICE_STEP: Final = "notice"  # of the journal
NOTICE_OVER_STEP: Final = "notice_over"
_TOLD_KEPT: Final = 50  # of one flight


class Watched(Protocol):
    """All that the watch gets of a vehicle: nothing with which it could order anything."""

    @property
    def vehicle_id(self) -> str: ...

    @property
    def sortie(self) -> Sortie | None: ...

    @property
    def plan(self) -> FlightPlan | None: ...

    @property
    def items(self) -> tuple[MissionItem, ...]: ...

    def fault(self, doing: str, error: Exception) -> object:
        """Log and count an error of ours."""


@dataclass(frozen=True, slots=True)
class Told:
    """A notice in the story of a flight. notice: as it was told first; at the end how long it was, and how far at most."""

    notice: Notice
    began: datetime
    ended: datetime | None = None
    end_note: str = ""


@dataclass(slots=True)
class _Flight:
    """One flight that is, or was, watched. begun_s: the phase during which the clocks run."""

    sortie_id: str
    way: Way
    begun_s: float | None = None
    watch: Watch = field(default_factory=Watch)
    worst: dict[NoticeKind, Notice] = field(default_factory=dict)  # of the notices that stand
    failed: bool = False  # an error of ours: it is not watched any more


def seen_of(sortie: Sortie, state: VehicleState) -> Seen | None:
    """What is held against the way; None where a flight is not to be watched.

    Taking off, pausing, returning and landing are meant, without a link nothing is known, and whose mission is not
    known or who is flown by hand has no way of ours.
    """
    where = state.latitude_deg, state.longitude_deg
    if (
        sortie.phase is not Phase.FLYING
        or sortie.hands_off
        or not sortie.known
        or state.mode is not FlightMode.MISSION
        or state.mission_total not in (None, len(sortie.waypoint_of_item))
        or state.mission_current is None
        or state.vehicle_time_s is None
        or where[0] is None
        or where[1] is None
    ):
        return None
    amsl_m, height_m = state.amsl_m, state.height_above_home_m
    home_amsl_m = None if amsl_m is None or height_m is None else amsl_m - height_m
    return Seen(state.vehicle_time_s, state.mission_current, where[0], where[1], amsl_m, home_amsl_m)


class Watching:
    """The watches of one fleet. `notices` is what is wrong now, by vehicle; vehicles without any are not in it."""

    def __init__(self, journal: SortieJournal, clock: Clock) -> None:
        self.notices: Latest[Mapping[str, tuple[Notice, ...]]] = Latest({})
        self.counted: Counter[NoticeKind] = Counter()  # told since the service started
        self._journal = journal
        self._clock = clock
        self._flights: dict[str, _Flight] = {}  # by vehicle
        self._told: Latest[Mapping[str, tuple[Told, ...]]] = Latest({})  # by sortie

    @property
    def version(self) -> int:
        """Changes when a notice comes or goes."""
        return self._told.version

    def told(self, sortie_id: str) -> tuple[Told, ...]:
        """The notices of a sortie since the service started, oldest first."""
        return self._told.value.get(sortie_id, ())

    def forget(self, sortie_id: str) -> None:
        """The sortie is shown no more."""
        if sortie_id in self._told.value:
            self._told.set({name: told for name, told in self._told.value.items() if name != sortie_id})

    async def run(self, vehicles: Mapping[str, Watched], state_of: Callable[[str], VehicleState]) -> None:
        """Look at every vehicle once a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            for vehicle_id, vehicle in vehicles.items():
                try:
                    self._look(vehicle, state_of(vehicle_id))
                except Exception as error:  # noqa: BLE001  # as in vehicle.py: it costs this flight its watch, nobody else
                    vehicle.fault("watching its progress; this flight is not watched any more", error)
                    self._flights[vehicle_id].failed = True
                    self._show(vehicle_id, ())

    def _look(self, vehicle: Watched, state: VehicleState) -> None:
        sortie, flight = vehicle.sortie, self._flights.get(vehicle.vehicle_id)
        if sortie is None:
            if flight is not None:
                self._over(vehicle, flight, None, "the flight has ended")
                del self._flights[vehicle.vehicle_id]
            return
        if flight is None or flight.sortie_id != sortie.sortie_id:
            flight = self._flights[vehicle.vehicle_id] = _Flight(sortie.sortie_id, ())
            flight.way = way_of(vehicle.items, sortie.waypoint_of_item)
        if flight.failed:
            return
        seen = seen_of(sortie, state)
        if seen is None:
            flight.begun_s = None
            self._over(vehicle, flight, sortie, f"it is {sortie.phase} now".replace("_", " "))
            return
        if flight.begun_s != sortie.since_s:
            flight.begun_s, flight.watch = sortie.since_s, Watch()
        self._take(vehicle, flight, sortie, look(flight.watch, flight.way, seen))

    def _over(self, vehicle: Watched, flight: _Flight, sortie: Sortie | None, why: str) -> None:
        if flight.watch.notices:
            self._take(vehicle, flight, sortie, Watch(), why)
        flight.watch = Watch()

    def _take(self, vehicle: Watched, flight: _Flight, sortie: Sortie | None, watch: Watch, why: str = "") -> None:
        """Publish the notices that stand, and tell which came and which went."""
        before = {notice.kind: notice for notice in flight.watch.notices}
        now = {notice.kind: notice for notice in watch.notices}
        flight.watch = watch
        if not before and not now:
            return
        self._show(vehicle.vehicle_id, watch.notices)
        for kind, notice in now.items():
            flight.worst[kind] = _worse(flight.worst.get(kind, notice), notice)
            if kind not in before:
                self._tell(vehicle, flight, sortie, notice)
        for kind in before.keys() - now.keys():
            self._tell_over(vehicle, flight, sortie, flight.worst.pop(kind), why or "by itself")

    def _show(self, vehicle_id: str, notices: tuple[Notice, ...]) -> None:
        others = {name: told for name, told in self.notices.value.items() if name != vehicle_id}
        self.notices.set({**others, vehicle_id: notices} if notices else others)

    def _tell(self, vehicle: Watched, flight: _Flight, sortie: Sortie | None, notice: Notice) -> None:
        self.counted[notice.kind] += 1
        log.warning("%s: %s; %s", vehicle.vehicle_id, notice.text, advice(vehicle.vehicle_id))
        told = (*self.told(flight.sortie_id), Told(notice, self._clock.utc()))
        self._set_told(flight, told[-_TOLD_KEPT:])
        self._write(vehicle, sortie, NOTICE_STEP, {"kind": str(notice.kind), "text": notice.text})

    def _tell_over(self, vehicle: Watched, flight: _Flight, sortie: Sortie | None, worst: Notice, why: str) -> None:
        log.warning("%s: over (%s): %s", vehicle.vehicle_id, why, worst.text)
        over = [t.ended is None and t.notice.kind is worst.kind for t in self.told(flight.sortie_id)]
        self._set_told(
            flight,
            tuple(
                replace(t, notice=worst, ended=self._clock.utc(), end_note=why) if ends else t
                for t, ends in zip(self.told(flight.sortie_id), over, strict=True)
            ),
        )
        self._write(vehicle, sortie, NOTICE_OVER_STEP, {"kind": str(worst.kind), "text": worst.text, "why": why})

    def _set_told(self, flight: _Flight, told: tuple[Told, ...]) -> None:
        self._told.set({**self._told.value, flight.sortie_id: told})

    def _write(self, vehicle: Watched, sortie: Sortie | None, step: str, detail: dict[str, str]) -> None:
        """In the journal, unless the sortie has ended: its last row stays its last."""
        if sortie is not None and vehicle.plan is not None:
            self._journal.put(sortie, step, mission_id=vehicle.plan.mission.mission_id, detail=detail)


def _worse(before: Notice, now: Notice) -> Notice:
    farthest = None if before.metres is None or now.metres is None else max(before.metres, now.metres)
    return replace(now, metres=farthest)

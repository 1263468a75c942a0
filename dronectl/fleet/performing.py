# SPDX-License-Identifier: AGPL-3.0-or-later
"""Performs what the machine of a vehicle's sorties asks for: through the link, the journal first.

Ordinary actions (preflight, upload, arm, start, disarm) run one at a time and wait for their journal row; hold, return
and land run at once, beside them. Each ends as an event for the machine, also when it fails.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from dronectl.clock import Clock
from dronectl.fleet.journal import SortieJournal
from dronectl.fleet.link import LinkError, VehicleLink
from dronectl.fleet.preflight import Override, Preflight, blockers_of, run_preflight
from dronectl.fleet.sortie_types import (
    URGENT,
    Action,
    ActionEnded,
    ActionKind,
    Event,
    MissionReadBack,
    PreflightEnded,
    Sortie,
)
from dronectl.fleet.stored_sorties import items_hash
from dronectl.store import StoreError
from missions.mavlink_items import MissionItem, differences
from missions.model import FlightPlan

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a sortie is to fly: its plan, the items of it that go aboard, and what a person has overridden."""

    plan: FlightPlan
    items: tuple[MissionItem, ...]
    override: Override | None


class Performer:
    """The actions of one vehicle's sorties, which are carried out for the `assignment` of the newest one.

    `sortie` tells the newest sortie as it is now, `feed` takes what an action came to, `fault` logs an error of ours
    and returns its words.
    """

    def __init__(
        self,
        link: VehicleLink,
        preflight: Preflight,
        journal: SortieJournal,
        clock: Clock,
        spawn: Spawn,
        sortie: Callable[[], Sortie | None],
        feed: Callable[[Event], None],
        fault: Callable[[str, Exception], str],
    ) -> None:
        self.assignment: Assignment | None = None
        self._link = link
        self._preflight = preflight
        self._journal = journal
        self._clock = clock
        self._spawn = spawn
        self._sortie = sortie
        self._feed = feed
        self._fault = fault
        self._ordinary: deque[Action] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._running: Action | None = None

    def perform(self, action: Action) -> None:
        """Do it, or queue it. What comes of it is fed to the machine later; CANCEL ends what is queued and runs."""
        if action.kind is ActionKind.CANCEL:
            self._cancel_ordinary()
        elif action.kind in URGENT:
            self._spawn(self._do(action), f"{action.kind} {self._link.vehicle_id}")
        else:
            self._ordinary.append(action)
            if self._runner is None or self._runner.done():
                self._runner = self._spawn(self._run_ordinary(), f"sortie {self._link.vehicle_id}")

    def _cancel_ordinary(self) -> None:
        self._ordinary.clear()
        if self._runner is None or self._runner.done() or self._runner is asyncio.current_task():
            return
        uploading = self._running is not None and self._running.kind is ActionKind.UPLOAD
        self._runner.cancel()
        self._runner = self._running = None
        if uploading:
            self._spawn(self._cancel_upload(), f"cancel upload {self._link.vehicle_id}")

    async def _cancel_upload(self) -> None:
        try:
            await self._link.cancel_upload()
        except LinkError:
            pass  # the upload's own time-out ends it as well
        except Exception as error:  # noqa: BLE001  # as in _do
            self._fault("cancelling an upload", error)

    async def _run_ordinary(self) -> None:
        while self._ordinary:
            self._running = self._ordinary.popleft()
            await self._do(self._running)
            self._running = None

    async def _do(self, action: Action) -> None:
        """Journal and perform one action, and tell the machine that the call is over."""
        sortie, assignment = self._sortie(), self.assignment
        if sortie is None or assignment is None:
            return
        failure: str | None = None
        try:
            if action.kind not in URGENT:
                await self._write(sortie, str(action.kind), assignment.plan)
            event = await self._act(action, sortie, assignment)
        except LinkError as error:
            event, failure = None, f"{error.failure}: {error}"
        except StoreError as error:
            event, failure = None, f"the journal cannot be written: {error}"
        except Exception as error:  # noqa: BLE001  # else it would end the service with all flights of the fleet
            event, failure = None, f"an error in the service: {self._fault(str(action.kind), error)}"
        newest = self._sortie()
        if newest is not None and newest.sortie_id == sortie.sortie_id:
            self._feed(event or ActionEnded(action, failure, self._clock.monotonic_s()))

    async def _write(self, sortie: Sortie, name: str, plan: FlightPlan, readback_hash: str | None = None) -> None:
        newest = self._sortie()
        if newest is not None and newest.ended:
            return  # its last row is written
        written = self._journal.put(
            sortie, name, mission_id=plan.mission.mission_id, readback_hash=readback_hash, wait=True
        )
        if written is not None:
            await written

    async def _act(self, action: Action, sortie: Sortie, assignment: Assignment) -> Event | None:
        link = self._link
        match action.kind:
            case ActionKind.PREFLIGHT:
                findings = tuple(await run_preflight(link, assignment.plan, self._preflight))
                blockers = blockers_of(findings, assignment.override)
                return PreflightEnded(action, findings, blockers, self._clock.monotonic_s())
            case ActionKind.UPLOAD:
                await link.upload_mission(assignment.items)
                held = await link.download_mission()
                found = tuple(differences(assignment.items, held))
                if not found:
                    await self._write(sortie, "read_back", assignment.plan, items_hash(held))
                return MissionReadBack(action, found, self._clock.monotonic_s())
            case ActionKind.ARM:
                await link.arm()
            case ActionKind.START:
                await link.start_mission()
            case ActionKind.DISARM:
                await link.disarm()
            case ActionKind.HOLD:
                await link.hold()
            case ActionKind.RETURN:
                await link.return_to_launch()
            case ActionKind.LAND:
                await link.land()
            case ActionKind.CANCEL:
                self._cancel_ordinary()
        return None

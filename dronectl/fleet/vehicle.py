# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flies the sorties of one vehicle: feeds the pure machine and has done what it asks for (`performing.py`).

States and orders come from `fleet.py`; every phase goes to the journal. Ending or killing this process commands nothing.

A programming error in what is done for one vehicle stays with that vehicle: it is logged with its traceback and counted
in `faults`, its action fails like one that the link refused, and the other vehicles and the service go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from dronectl.clock import Clock
from dronectl.errors import words_of
from dronectl.fleet.journal import ENDED_STEP, SortieJournal
from dronectl.fleet.link import LinkError, VehicleLink, VehicleState
from dronectl.fleet.performing import Assignment, Performer, Spawn
from dronectl.fleet.preflight import Override, Preflight, run_preflight
from dronectl.fleet.sortie import adopted, step
from dronectl.fleet.sortie_launch import Step, end
from dronectl.fleet.sortie_types import (
    Action,
    ActionKind,
    Event,
    Observed,
    Order,
    Ordered,
    Phase,
    Recognised,
    Sortie,
    Tick,
)
from dronectl.fleet.state import FlightKey, alive, flight_key
from dronectl.fleet.stored_sorties import OpenSortie, items_hash
from missions.mavlink_items import MissionItem, compile_plan
from missions.model import FlightPlan, Outcome, OutcomeKind

log = logging.getLogger(__name__)

_QUIET_S: Final = 1.0  # how often a state that says nothing new is fed all the same
_ADOPT_CONNECT_S: Final = 60.0
_ADOPT_RETRY_S: Final = 3.0
_ADOPT_TRIES: Final = 20

_STEADY: Final = frozenset({Phase.FLYING, Phase.PAUSED, Phase.RETURNING, Phase.LANDING})


class VehicleBusyError(Exception):
    """The vehicle already has a sortie, or is being checked for one."""


class Vehicle:
    """One vehicle of the fleet. All methods belong to the event loop's thread."""

    def __init__(
        self,
        link: VehicleLink,
        preflight: Preflight,
        journal: SortieJournal,
        clock: Clock,
        spawn: Spawn,
        on_sortie: Callable[[Sortie], None],
    ) -> None:
        self.link = link
        self.faults = 0  # errors of ours in what was done for this vehicle
        self._preflight = preflight
        self._journal = journal
        self._clock = clock
        self._spawn = spawn
        self._on_sortie = on_sortie
        self._sortie: Sortie | None = None
        self._performer = Performer(
            link, preflight, journal, clock, spawn, lambda: self._sortie, self._feed, self.fault
        )
        self._reserved = False
        self._key: FlightKey | None = None
        self._fed_s = 0.0
        self._watchers: list[tuple[Callable[[VehicleState], bool], asyncio.Future[VehicleState]]] = []

    @property
    def vehicle_id(self) -> str:
        return self.link.vehicle_id

    @property
    def sortie(self) -> Sortie | None:
        """The sortie under way; None when there is none."""
        return self._sortie if self._sortie is not None and not self._sortie.ended else None

    @property
    def plan(self) -> FlightPlan | None:
        """The plan of the newest sortie."""
        return None if self._performer.assignment is None else self._performer.assignment.plan

    @property
    def items(self) -> tuple[MissionItem, ...]:
        """The mission items of that plan, as they go aboard."""
        return () if self._performer.assignment is None else self._performer.assignment.items

    # --- what comes in

    def observe(self, state: VehicleState) -> None:
        """A state came in. One that says nothing new to the machine is passed on once a second."""
        if self._watchers:
            self._tell_watchers(state)
        if self._sortie is None or self._sortie.ended:
            return
        now_s = self._clock.monotonic_s()
        key = flight_key(state)
        if key == self._key and now_s - self._fed_s < _QUIET_S:
            return
        self._key, self._fed_s = key, now_s
        self._feed(Observed(state, now_s))

    def tick(self) -> None:
        """Time passed. In steady flight with a live link no timer runs, and the machine need not be asked."""
        sortie = self._sortie
        if sortie is None or sortie.ended:
            return
        now_s = self._clock.monotonic_s()
        steady = sortie.phase in _STEADY and sortie.request is None and sortie.disarmed_s is None
        if steady and sortie.state is not None and alive(sortie.state, now_s):
            return
        self._feed(Tick(now_s))

    def order(self, order: Order, reason: str = "") -> None:
        """A person ordered something of the sortie under way; check `refusal` first."""
        if self._sortie is not None:
            self._feed(Ordered(order, self._clock.monotonic_s(), reason))

    async def begin(
        self, sortie: Sortie, plan: FlightPlan, *, actor: str, reason: str, override: Override | None
    ) -> None:
        """Journal a new sortie and start it. Raises VehicleBusyError and StoreError."""
        with self._reservation():
            compiled = compile_plan(plan)
            sortie = replace(sortie, waypoint_of_item=compiled.waypoint_of_item)
            await self._journal.open(sortie, plan, actor=actor, reason=reason, override=override)
            self._performer.assignment = Assignment(plan, compiled.items, override)
            self._sortie, self._key = replace(sortie, state=self.link.state()), None
        self._on_sortie(self._sortie)
        self.order(Order.START)

    async def check(self, plan: FlightPlan) -> list[Any]:
        """Run the preflight without a sortie. Raises VehicleBusyError while there is one."""
        with self._reservation():
            return list(await run_preflight(self.link, plan, self._preflight))

    def adopt(self, record: OpenSortie) -> None:
        """Go on observing a sortie that a service that died has left open; one that cannot be taken over is left out."""
        try:
            self._take_over(record)
        except Exception as error:  # noqa: BLE001  # else no service of this site could start any more
            self._sortie = self._performer.assignment = None
            self.fault(f"adopting sortie {record.sortie_id}: it is seen and obeys, but without this sortie", error)

    def _take_over(self, record: OpenSortie) -> None:
        compiled = compile_plan(record.plan)
        sortie = Sortie(
            record.sortie_id,
            record.vehicle_id,
            compiled.waypoint_of_item,
            phase=record.phase,
            flown=record.flown,
            aborted=record.aborted,
            intent=record.intent,
            reached_item=record.reached_item,
        )
        self._performer.assignment, self._key = Assignment(record.plan, compiled.items, None), None
        self._sortie = adopted(sortie, self._clock.monotonic_s())
        self._journal_phase(self._sortie, f"adopted from {record.phase}")
        self._on_sortie(self._sortie)
        if not self._sortie.ended:
            self._spawn(self._recognise(record), f"recognise {self.vehicle_id}")

    async def wait_state(self, wanted: Callable[[VehicleState], bool], timeout_s: float) -> VehicleState | None:
        """The first state for which `wanted` holds, the present one included; None when the time is over."""
        state = self.link.state()
        if wanted(state):
            return state
        future: asyncio.Future[VehicleState] = asyncio.get_running_loop().create_future()
        watcher = (wanted, future)
        self._watchers.append(watcher)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return None
        finally:
            self._watchers.remove(watcher)

    # --- the machine

    def _feed(self, event: Event) -> None:
        before = self._sortie
        if before is None:
            return
        after, actions = self._step(before, event)
        self._sortie = after
        if _shown(after) != _shown(before):
            if after.phase is not before.phase or after.reached_item != before.reached_item:
                self._journal_phase(after)
            self._on_sortie(after)
        for action in actions:
            self._performer.perform(action)

    def _step(self, before: Sortie, event: Event) -> Step:
        """A machine that fails cannot lead a flight: the sortie ends here, and the vehicle is left to what it does.

        It still obeys hold, return and land, which without a sortie go straight to its link.
        """
        try:
            return step(before, event)
        except Exception as error:  # noqa: BLE001  # whatever it is, the other vehicles fly on
            name = self.fault(f"sortie {before.sortie_id} in {before.phase} at {type(event).__name__}", error)
            note = f"given up after an error in the service ({name}; see its log); it was ordered nothing"
            return _given_up(before, note, self._clock.monotonic_s())

    def fault(self, doing: str, error: Exception) -> str:
        """Log and count an error of ours; its name and words."""
        self.faults += 1
        log.error("%s: an error in %s", self.vehicle_id, doing, exc_info=error)
        return words_of(error)

    def _journal_phase(self, sortie: Sortie, detail: str | None = None) -> None:
        if self.plan is not None:
            name = ENDED_STEP if sortie.ended else str(sortie.phase)
            self._journal.put(
                sortie,
                name,
                mission_id=self.plan.mission.mission_id,
                detail=None if detail is None else {"note": detail},
            )

    # --- after a restart

    async def _recognise(self, record: OpenSortie) -> None:
        """Read the mission aboard and compare it with what the journal says was read back before take-off."""
        note = "the mission aboard could not be read"
        known = False
        for _ in range(_ADOPT_TRIES):
            try:
                await self.link.wait_connected(_ADOPT_CONNECT_S)
                held = await self.link.download_mission()
                known = record.readback_hash is not None and items_hash(held) == record.readback_hash
            except LinkError as error:
                note = f"the mission aboard could not be read: {error}"
                await asyncio.sleep(_ADOPT_RETRY_S)
                continue
            except Exception as error:  # noqa: BLE001  # as in the performer
                note = f"observed only: an error in the service: {self.fault('recognising its mission', error)}"
                break
            note = "" if known else "the mission aboard is not the one that this sortie uploaded: observed only"
            break
        if self._sortie is not None and self._sortie.sortie_id == record.sortie_id:
            self._feed(Recognised(known, note, self._clock.monotonic_s()))

    # --- helpers

    @contextlib.contextmanager
    def _reservation(self) -> Any:
        if self._reserved or self.sortie is not None:
            what = f"flies sortie {self.sortie.sortie_id}" if self.sortie is not None else "is being checked"
            raise VehicleBusyError(f"{self.vehicle_id} {what}")
        self._reserved = True
        try:
            yield
        finally:
            self._reserved = False

    def _tell_watchers(self, state: VehicleState) -> None:
        for wanted, future in self._watchers:
            try:
                if not future.done() and wanted(state):
                    future.set_result(state)
            except Exception as error:  # noqa: BLE001  # whoever waits is told; the fleet's states go on
                future.set_exception(error)


def _given_up(sortie: Sortie, note: str, now_s: float) -> Step:
    """The end of a sortie on which the machine has failed; without its help, if that fails, too."""
    try:
        return end(sortie, Phase.FAILED, note, now_s)
    except Exception:  # noqa: BLE001  # logged is the first one
        outcome = Outcome(OutcomeKind.FAILED, note, 0, 0)
        bare = replace(sortie, phase=Phase.FAILED, request=None, reached_item=None, note=note, outcome=outcome)
        return bare, (Action(ActionKind.CANCEL, 0),)


def _shown(sortie: Sortie) -> tuple[Any, ...]:
    """What others see of a sortie; a change of it is published."""
    return (
        sortie.phase,
        sortie.reached_item,
        sortie.note,
        sortie.failsafe,
        sortie.hands_off,
        sortie.aborted,
        sortie.known,
        sortie.findings,
        sortie.outcome,
    )

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The fleet of a site: link workers, vehicles, sorties, commands and their log, put together.

States come in batches from the link pool and go to the published `states` and to each vehicle's executor; commands
and flights come from the API. Starting adopts what the journal left open. Stopping, or dying, commands nothing:
vehicles go on and have their verified failsafes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from dronectl.clock import Clock
from dronectl.errors import words_of
from dronectl.fleet.carry_out import carry_out
from dronectl.fleet.commands import CommandKind, CommandLog, CommandResult, new_command
from dronectl.fleet.doors import DoorCount, Doors
from dronectl.fleet.failsafe import FailsafePolicy
from dronectl.fleet.journal import SortieJournal
from dronectl.fleet.link import PoseSample, VehicleAddress, VehicleState
from dronectl.fleet.order_log import OrderLog
from dronectl.fleet.pool import LinkPool
from dronectl.fleet.preflight import Override, Preflight
from dronectl.fleet.sortie_rules import refusal
from dronectl.fleet.sortie_types import Order, Sortie
from dronectl.fleet.state import reduce
from dronectl.fleet.stored_sorties import plan_hash
from dronectl.fleet.tracks import Place, Tracks
from dronectl.fleet.vehicle import Vehicle, VehicleBusyError
from dronectl.fleet.watching import Watching
from dronectl.store import Store, StoreError
from dronectl.streams import Latest
from dronectl.supervise import ChildReport
from missions.model import Finding, FlightPlan, Mission, Severity, VehicleLimits
from missions.terrain import Terrain

TICK_S: Final = 0.25
PUBLISH_S: Final = 0.1
CONFIRM_TIMEOUT_S: Final = 10.0
EXPIRES_IN_S: Final = 30.0
_ENDED_KEPT: Final = 256  # ended sorties that stay in `sorties`


class UnknownVehicleError(Exception):
    """There is no such vehicle at this site; the message names those that there are."""


class FlightRefusedError(Exception):
    """A flight that cannot be begun or given up; the message says why: the vehicle is busy, or it is heard."""


class Fleet:
    """All vehicles of one site. `run` must be running before anything is commanded or flown."""

    def __init__(
        self,
        site_id: str,
        addresses: Sequence[VehicleAddress],
        limits: VehicleLimits,
        failsafe: FailsafePolicy,
        terrain: Terrain,
        store: Store,
        clock: Clock,
        *,
        on_poses: Callable[[Sequence[PoseSample]], None],
        wind_m_s: float = 0.0,
    ) -> None:
        """ValueError if a vehicle id, a system id or a connection is there twice."""
        self.site_id = site_id
        self.states: Latest[Mapping[str, VehicleState]] = Latest(
            {address.vehicle_id: VehicleState(address.vehicle_id) for address in addresses}
        )
        self.sorties: Latest[Mapping[str, Sortie]] = Latest({})  # by sortie id, oldest first
        self.children: Latest[Mapping[str, ChildReport]] = Latest({})
        self.started = asyncio.Event()  # open sorties are adopted; flights and commands are taken
        self._clock = clock
        self._merged = dict(self.states.value)
        self._beginning: dict[str, FlightPlan] = {}  # by vehicle: flights being logged, not yet sorties
        self._missions: dict[str, Mission] = {}  # by sortie id, as long as the sortie is in `sorties`
        self._publishing: asyncio.TimerHandle | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._orders = OrderLog(CommandLog(store, clock))
        self._journal = SortieJournal(store, clock)
        self.watching = Watching(self._journal, clock)
        self._doors = Doors(addresses)
        self._tracks = Tracks()
        self._streaming = {address.vehicle_id for address in addresses if address.pose_stream}
        self._hand_poses = on_poses
        self._pool = LinkPool(
            addresses,
            on_states=self._on_states,
            on_poses=self._on_poses,
            on_report=self._on_report,
            on_doors=lambda more: self._doors.take(more, clock.monotonic_s()),
        )
        preflight = Preflight(limits, failsafe, terrain, clock, wind_m_s)
        self._vehicles = {
            address.vehicle_id: Vehicle(
                self._pool.link(address.vehicle_id), preflight, self._journal, clock, self._spawn, self._on_sortie
            )
            for address in addresses
        }

    async def run(self) -> None:
        """Until cancelled. Raises StoreError at the start; BudgetSpentError, in a group, when a worker fails too often."""
        left_open = await self._journal.open_sorties()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._journal.run(), name="flight journal")
                for record in left_open:
                    if record.vehicle_id in self._vehicles:
                        self._vehicles[record.vehicle_id].adopt(record)
                self.started.set()
                tasks.create_task(self._pool.run(), name="link pool")
                tasks.create_task(self._tick(), name="sortie timers")
                watch = self.watching.run(self._vehicles, lambda vehicle_id: self._merged[vehicle_id])
                tasks.create_task(watch, name="watch on progress")
        finally:
            self.started.clear()
            self._tasks = None
            await self._orders.finish()
            if self._publishing is not None:
                self._publish()

    # --- commands

    async def command(
        self,
        kind: CommandKind,
        vehicle_id: str,
        *,
        actor: str,
        reason: str,
        timeout_s: float = CONFIRM_TIMEOUT_S,
        expires_in_s: float = EXPIRES_IN_S,
    ) -> CommandResult:
        """Order one vehicle and wait until its state shows it, at most `timeout_s`.

        Raises UnknownVehicleError, ValueError for FLY (use `fly`), and StoreError for what cannot be logged: that is
        not sent, but for hold, return, land and abort.
        """
        results = await self.command_all(
            kind, actor=actor, reason=reason, vehicle_ids=(vehicle_id,), timeout_s=timeout_s, expires_in_s=expires_in_s
        )
        return results[0]

    async def command_all(
        self,
        kind: CommandKind,
        *,
        actor: str,
        reason: str,
        vehicle_ids: Sequence[str] | None = None,
        timeout_s: float = CONFIRM_TIMEOUT_S,
        expires_in_s: float = EXPIRES_IN_S,
    ) -> list[CommandResult]:
        """The same for many vehicles (all, unless named) at once; one result each, in their order."""
        if kind is CommandKind.FLY:
            raise ValueError("a flight needs a plan: use fly()")
        vehicles = [self._vehicle(name) for name in (self._vehicles if vehicle_ids is None else vehicle_ids)]
        commands = [
            new_command(kind, v.vehicle_id, actor=actor, reason=reason, clock=self._clock, expires_in_s=expires_in_s)
            for v in vehicles
        ]
        issuing = await self._orders.issue(commands)
        results = await asyncio.gather(
            *(carry_out(c, v, self._clock, timeout_s) for c, v in zip(commands, vehicles, strict=True))
        )
        unlogged = await self._orders.close(issuing, list(zip(commands, results, strict=True)))
        if not unlogged:
            return results
        return [replace(r, detail="; ".join(words for words in (r.detail, unlogged) if words)) for r in results]

    # --- flights

    async def preflight(self, plan: FlightPlan) -> list[Finding]:
        """Every check on the vehicle that is to fly the plan; sets its failsafes and fence while it is on the ground."""
        vehicle = self._vehicle(plan.vehicle_id)
        try:
            return await vehicle.check(plan)
        except VehicleBusyError as error:
            return [Finding("vehicle-busy", Severity.BLOCKER, str(error))]

    async def fly(self, plan: FlightPlan, *, actor: str, reason: str, override: Override | None = None) -> str:
        """Begin a flight: journalled, then preflight, upload, arming and take-off go on by themselves.

        Returns the sortie id; follow it in `sorties`, or `wait`. Raises UnknownVehicleError, FlightRefusedError and
        StoreError.
        """
        vehicle = self._vehicle(plan.vehicle_id)
        if self._tasks is None:
            raise FlightRefusedError("the fleet is not running")
        if vehicle.sortie is not None:
            raise FlightRefusedError(f"{plan.vehicle_id} already flies sortie {vehicle.sortie.sortie_id}")
        if plan.vehicle_id in self._beginning:
            raise FlightRefusedError(f"a flight of {plan.vehicle_id} is being ordered by somebody else")
        # Before the first await: whoever orders the next flight compares it with this one.
        self._beginning[plan.vehicle_id] = plan
        try:
            return await self._begin(vehicle, plan, actor=actor, reason=reason, override=override)
        finally:
            del self._beginning[plan.vehicle_id]

    async def _begin(
        self, vehicle: Vehicle, plan: FlightPlan, *, actor: str, reason: str, override: Override | None
    ) -> str:
        try:
            hashed = plan_hash(plan)
        except ValueError as error:
            raise FlightRefusedError(f"the plan cannot be stored: {error}") from error
        sortie = Sortie(str(uuid.uuid4()), plan.vehicle_id, (), since_s=self._clock.monotonic_s())
        command = new_command(
            CommandKind.FLY,
            plan.vehicle_id,
            actor=actor,
            reason=reason,
            clock=self._clock,
            expires_in_s=EXPIRES_IN_S,
        )
        issuing = await self._orders.issue([command], {"sortie_id": sortie.sortie_id, "plan_hash": hashed})
        ok, detail = False, "it was cancelled before the sortie stood"
        try:
            await vehicle.begin(sortie, plan, actor=actor, reason=reason, override=override)
            ok, detail = True, f"sortie {sortie.sortie_id}"
        except (VehicleBusyError, ValueError) as error:
            detail = str(error)
            raise FlightRefusedError(detail) from error
        except Exception as error:
            detail = str(error) if isinstance(error, StoreError) else words_of(error)
            raise
        finally:
            state = self._merged[plan.vehicle_id]
            taken = CommandResult(command.command_id, plan.vehicle_id, CommandKind.FLY, ok, False, detail, state)
            await self._orders.close(issuing, [(command, taken)])
        return sortie.sortie_id

    async def wait(self, sortie_id: str) -> Sortie:
        """Until the sortie has landed or failed; KeyError for one that is not (or no longer) in `sorties`."""
        async for sorties in self.sorties.changes():
            sortie = sorties[sortie_id]
            if sortie.ended:
                return sortie
        raise KeyError(sortie_id)

    async def abandon(self, sortie_id: str, *, actor: str, reason: str) -> Sortie:
        """Close a sortie whose vehicle is not heard of any more; it is logged first, and nothing is sent to the vehicle.

        Raises KeyError for a sortie that is not in `sorties`, FlightRefusedError (the vehicle is heard, or the sortie
        has ended) and StoreError.
        """
        vehicle = self._vehicle(self.sorties.value[sortie_id].vehicle_id)
        self._must_be_silent(vehicle, sortie_id)
        await self._journal.abandoned(sortie_id, vehicle.vehicle_id, actor=actor, reason=reason)
        self._must_be_silent(vehicle, sortie_id)  # it may have come back meanwhile
        vehicle.order(Order.ABANDON, reason)
        return self.sorties.value[sortie_id]

    @staticmethod
    def _must_be_silent(vehicle: Vehicle, sortie_id: str) -> None:
        sortie = vehicle.sortie
        if sortie is None or sortie.sortie_id != sortie_id:
            raise FlightRefusedError(f"sortie {sortie_id} has ended")
        why_not = refusal(replace(sortie, state=vehicle.link.state()), Order.ABANDON)
        if why_not is not None:
            raise FlightRefusedError(f"sortie {sortie_id} of {vehicle.vehicle_id} is not given up: {why_not}")

    def sortie_of(self, vehicle_id: str) -> Sortie | None:
        """The sortie that a vehicle has under way."""
        return self._vehicle(vehicle_id).sortie

    def plan_under_way(self, vehicle_id: str) -> FlightPlan | None:
        """What a vehicle flies now, or is just being ordered to fly; None when it has nothing to do."""
        vehicle = self._vehicle(vehicle_id)
        return self._beginning.get(vehicle_id) if vehicle.sortie is None else vehicle.plan

    def mission_of(self, sortie_id: str) -> Mission | None:
        """What a sortie in `sorties` is flown for."""
        return self._missions.get(sortie_id)

    def mission_id_of_vehicle(self, vehicle_id: str | None) -> str | None:
        """The mission of the newest sortie of a vehicle, also after it has landed: its last sightings belong to it."""
        plan = self._vehicles[vehicle_id].plan if vehicle_id in self._vehicles else None
        return None if plan is None else plan.mission.mission_id

    def track(self, sortie_id: str, after_s: float = 0.0) -> list[Place]:
        """Where a sortie's vehicle was in the air, later than after_s of its clock; empty once it flies its next sortie.

        Raises KeyError for a sortie that is not in `sorties`.
        """
        return self._tracks.of(self.sorties.value[sortie_id].vehicle_id, sortie_id, after_s)

    def doors(self) -> Mapping[str, DoorCount]:
        """What was refused or lost at each vehicle's door since the service started."""
        return self._doors.all()

    def faults(self) -> Mapping[str, int]:
        """By vehicle: errors of ours in what was done for it, since the service started; the log has their tracebacks."""
        return {name: vehicle.faults for name, vehicle in self._vehicles.items()}

    @property
    def worker_pids(self) -> Mapping[str, int]:
        """The process of each link worker that is up."""
        return self._pool.worker_pids

    # --- inside

    def _vehicle(self, vehicle_id: str) -> Vehicle:
        try:
            return self._vehicles[vehicle_id]
        except KeyError:
            known = ", ".join(self._vehicles)
            raise UnknownVehicleError(f"there is no vehicle {vehicle_id!r} here; there are: {known}") from None

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        if self._tasks is None:
            coroutine.close()
            raise RuntimeError("the fleet is not running")
        return self._tasks.create_task(coroutine, name=name)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._doors.tick(self._clock.monotonic_s())
            for vehicle in self._vehicles.values():
                vehicle.tick()

    def _on_states(self, batch: Sequence[VehicleState]) -> None:
        for message in batch:
            self._merged[message.vehicle_id] = reduce(self._merged.get(message.vehicle_id), message)
        if self._publishing is None:
            self._publishing = asyncio.get_running_loop().call_later(PUBLISH_S, self._publish)
        for message in batch:
            self._vehicles[message.vehicle_id].observe(self._merged[message.vehicle_id])
            if message.vehicle_id not in self._streaming:
                self._keep_place(self._merged[message.vehicle_id])

    def _on_poses(self, samples: Sequence[PoseSample]) -> None:
        for sample in samples:
            self._keep_place(sample)
        self._hand_poses(samples)

    def _keep_place(self, at: VehicleState | PoseSample) -> None:
        sortie = self._vehicles[at.vehicle_id].sortie
        if sortie is not None and self._merged[at.vehicle_id].in_air:
            self._tracks.add(sortie.sortie_id, at)

    def _publish(self) -> None:
        if self._publishing is not None:
            self._publishing.cancel()
            self._publishing = None
        self.states.set(dict(self._merged))

    def _on_sortie(self, sortie: Sortie) -> None:
        if self._publishing is not None:
            self._publish()  # nobody shall see a phase before the state that it comes from
        sorties = dict(self.sorties.value)
        sorties[sortie.sortie_id] = sortie
        plan = self._vehicles[sortie.vehicle_id].plan
        if plan is not None:
            self._missions.setdefault(sortie.sortie_id, plan.mission)
        ended = [name for name, kept in sorties.items() if kept.ended]
        for name in ended[: max(0, len(ended) - _ENDED_KEPT)]:
            del sorties[name]
            self._missions.pop(name, None)
            self.watching.forget(name)
        self.sorties.set(sorties)

    def _on_report(self, report: ChildReport) -> None:
        self.children.set({**self.children.value, report.name: report})

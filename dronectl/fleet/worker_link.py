# SPDX-License-Identifier: AGPL-3.0-or-later
"""WorkerLink: the VehicleLink of one vehicle inside a link worker. Knows no MAVSDK: `native.py` says what it needs of it.

The shard hands in a vehicle when it is discovered; `keep` proves its identity, sets its message intervals, and does
that again after a lost link or a reboot. Who it is stands in `identity.py`, what it says in `hearing.py`; requests go
through the vehicle's lane. A TIMEOUT is never taken for a "no": where a command may move the vehicle, its state is
read before anything is sent again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from dronectl.fleet.hearing import Hearing
from dronectl.fleet.identity import Identity
from dronectl.fleet.lanes import CallThreads, Lane, Turn
from dronectl.fleet.link import (
    FlightMode,
    LandedState,
    LinkError,
    LinkFailure,
    PoseSample,
    VehicleAddress,
    VehicleState,
)
from dronectl.fleet.native import Native
from dronectl.fleet.params import Params
from dronectl.fleet.state import must_stand
from dronectl.fleet.transfers import Transfers
from dronectl.fleet.vehicle_setup import SetUp
from missions.mavlink_items import MISSION_TYPE_FENCE, MISSION_TYPE_MISSION, MissionItem

log = logging.getLogger(__name__)

_DO_SET_MODE: Final = 176
_ARM_DISARM: Final = 400
_PX4_AUTO_LOITER: Final = (1.0, 4.0, 3.0)  # MAV_MODE_FLAG_CUSTOM_MODE_ENABLED, main mode, sub mode
_PX4_AUTO_RETURN: Final = (1.0, 4.0, 5.0)
_PX4_AUTO_LAND: Final = (1.0, 4.0, 6.0)
_MODES_TO_LEAVE: Final = frozenset({FlightMode.MISSION, FlightMode.RETURN, FlightMode.LAND})
_STRANGER_GRACE_S: Final = 2.5
_INTERVALS_RETRY_S: Final = 1.0
_MOST_INTERVALS_RETRY_S: Final = 5.0
_CONFIRM_S: Final = 3.0
_URGENT_CONFIRM_S: Final = 0.5
_WAIT_STEP_S: Final = 0.05


class WorkerLink:
    """One vehicle; see VehicleLink. `wake` is called from any thread when its state should be looked at soon."""

    def __init__(
        self,
        address: VehicleAddress,
        position_hz: float,
        threads: CallThreads,
        wake: Callable[[], None],
    ) -> None:
        self._address = address
        self._threads = threads
        self._wake = wake
        self._lane = Lane(address.vehicle_id, threads)
        self._transfers = Transfers(self._lane, threads)
        self._params = Params(address.vehicle_id, self._lane)
        self._messages = SetUp(self._lane, threads, position_hz, lambda: self.state().vehicle_time_s)
        self._native: Native | None = None  # set once its identity is proven
        self._found: asyncio.Future[Native] = asyncio.get_running_loop().create_future()
        self._connection_error: str | None = "its connection has not been opened yet"
        self._opened_s: float | None = None
        self._strangers: frozenset[int] = frozenset()
        self._identity = Identity(address, threads)
        self._set_up = asyncio.Event()
        self._needs_intervals = asyncio.Event()
        self._hearing = Hearing(address, self._identity, wake, self._needs_intervals.set, self._came_back)
        self._unheard = VehicleState(address.vehicle_id)

    @property
    def vehicle_id(self) -> str:
        return self._address.vehicle_id

    @property
    def address(self) -> VehicleAddress:
        return self._address

    @property
    def closed_for_now(self) -> bool:
        """Its connection could not be opened."""
        return self._connection_error is not None

    # ------------------------------------------------------------------ coming and going

    def opened(self, error: str | None) -> None:
        """The connection is open, or why it is not."""
        if error is not None and error != self._connection_error:
            log.error("%s: %s: %s", self.vehicle_id, self._address.connection, error)
        self._connection_error = error
        self._opened_s = time.monotonic() if error is None else None

    def discovered(self, native: Native) -> None:
        """The library has heard the vehicle's system id."""
        self._found.set_result(native)

    def strangers(self, system_ids: frozenset[int]) -> None:
        """System ids that nobody has configured were heard while this vehicle is missing. Logged once per set of them."""
        if system_ids and system_ids != self._strangers:
            log.warning("%s", self._wrong_id(system_ids))
        self._strangers = system_ids

    def _wrong_id(self, heard: frozenset[int]) -> str:
        return (
            f"{self.vehicle_id}: system id {self._address.system_id} was not heard on {self._address.connection}; heard "
            f"was {', '.join(str(number) for number in sorted(heard))}, which no drone of the site file has as system_id"
        )

    async def keep(self) -> None:
        """Set the vehicle up when it appears, and again after it was lost or rebooted. Until cancelled."""
        native = await self._found
        await self._identity.prove(native)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads.ordinary, self._hearing.listen, native)
        self._native = native
        self._wake()
        failures, again = 0, False
        while True:
            self._needs_intervals.clear()
            if again:  # it was away: what answers now may be another aircraft with the same system id
                await self._identity.prove(native)
            again = True
            try:
                await self._messages.run(native)
            except LinkError as error:
                failures += 1
                if failures == 1:
                    log.warning("%s: message intervals cannot be set yet: %s", self.vehicle_id, error)
                await asyncio.sleep(min(_INTERVALS_RETRY_S * failures, _MOST_INTERVALS_RETRY_S))
                continue
            if failures:
                log.info("%s: message intervals are set after %d tries", self.vehicle_id, failures + 1)
                failures = 0
            self._set_up.set()
            await self._needs_intervals.wait()
            self._set_up.clear()

    async def wait_connected(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not (self._set_up.is_set() and self.state().connected):
            if self._identity.refusal is not None:
                raise self._identity.refusal
            now_s = time.monotonic()
            opened_long_ago = self._opened_s is not None and now_s - self._opened_s > _STRANGER_GRACE_S
            if self._strangers and opened_long_ago and not self._found.done():
                raise LinkError(LinkFailure.WRONG_VEHICLE, self._wrong_id(self._strangers))
            if now_s >= deadline_s:
                reason = self._connection_error or f"nothing was heard of system id {self._address.system_id}"
                if self._found.done():
                    reason = "it was heard, but could not be set up"
                raise LinkError(
                    LinkFailure.DISCONNECTED,
                    f"{self.vehicle_id} on {self._address.connection}: {reason} within {timeout_s:.0f} s",
                )
            await asyncio.sleep(_WAIT_STEP_S)

    # ------------------------------------------------------------------ what is known

    def state(self) -> VehicleState:
        """Read the last values now: some ten quick calls."""
        if self._native is None:
            return self._unheard
        return self._hearing.state(self._native)

    def take_poses(self) -> list[PoseSample]:
        """The pose samples that have come together since the last call."""
        return self._hearing.take_poses()

    def _came_back(self) -> None:
        if self._set_up.is_set():
            self._needs_intervals.set()

    async def _confirm(self, true_of: Callable[[VehicleState], bool], within_s: float) -> bool:
        """Whether the state comes to say so, from a vehicle that is heard."""
        deadline_s = time.monotonic() + within_s
        while not (true_of(state := self.state()) and state.connected):
            if time.monotonic() >= deadline_s:
                return False
            await asyncio.sleep(_WAIT_STEP_S)
        return True

    # ------------------------------------------------------------------ requests

    def _ready(self) -> Native:
        if self._identity.refusal is not None:
            raise self._identity.refusal
        if self._native is None:
            raise LinkError(LinkFailure.DISCONNECTED, f"{self.vehicle_id} has not been heard yet")
        return self._native

    async def _urgent_mode(self, call: Callable[[], object], mode: FlightMode, at_once: Callable[[], object]) -> None:
        """A mode change that nothing delays. After a TIMEOUT the state is read, and it is tried once more.

        Not if somebody has asked for something newer meanwhile, or a failsafe or a pilot's sticks have come first.
        """
        before = self.state().mode
        work = asyncio.ensure_future(self._lane.urgent(call, at_once))
        await asyncio.sleep(0)  # it has begun, and counts
        commands = self._lane.commands
        try:
            await work
        except LinkError as error:
            if error.failure is not LinkFailure.TIMEOUT:
                raise
            if await self._confirm(lambda state: state.mode is mode, _URGENT_CONFIRM_S):
                return
            now = self.state().mode
            if self._lane.commands != commands or (now is not before and must_stand(now, mode)):
                raise
            await self._lane.urgent(call, at_once)

    async def hold(self) -> None:
        native = self._ready()
        await self._urgent_mode(
            native.hold, FlightMode.HOLD, lambda: native.command_at_once(_DO_SET_MODE, *_PX4_AUTO_LOITER)
        )

    async def return_to_launch(self) -> None:
        native = self._ready()
        await self._urgent_mode(
            native.return_to_launch,
            FlightMode.RETURN,
            lambda: native.command_at_once(_DO_SET_MODE, *_PX4_AUTO_RETURN),
        )

    async def land(self) -> None:
        native = self._ready()
        await self._urgent_mode(
            native.land, FlightMode.LAND, lambda: native.command_at_once(_DO_SET_MODE, *_PX4_AUTO_LAND)
        )

    def _require_on_ground(self, what: str) -> VehicleState:
        state = self.state()
        if not state.connected:
            raise LinkError(LinkFailure.DISCONNECTED, f"{self.vehicle_id}: {what} needs a live link")
        if state.landed is not LandedState.ON_GROUND:
            raise LinkError(
                LinkFailure.REFUSED_UNSAFE,
                f"{self.vehicle_id}: {what} is refused unless it stands on the ground (it says: {state.landed})",
            )
        return state

    async def arm(self) -> None:
        native = self._ready()

        async def steps(turn: Turn) -> None:
            state = self._require_on_ground("arming")
            if state.armed:
                return
            if state.mode in _MODES_TO_LEAVE:  # armed in such a mode it would fly off at once
                await turn.call(native.hold, commands=True)
                if not await self._confirm(lambda now: now.mode not in _MODES_TO_LEAVE, _CONFIRM_S):
                    raise LinkError(
                        LinkFailure.DENIED, f"{self.vehicle_id} does not leave mode {state.mode}: not armed"
                    )
                self._require_on_ground("arming")
            try:
                await turn.call(lambda: native.command(_ARM_DISARM, 1.0), commands=True)
            except LinkError as error:
                armed = error.failure is LinkFailure.TIMEOUT and await self._confirm(
                    lambda now: now.armed is True, _CONFIRM_S
                )
                if not armed:
                    raise

        await self._lane.ordinary(steps)

    async def disarm(self) -> None:
        native = self._ready()

        async def steps(turn: Turn) -> None:
            if self._require_on_ground("disarming").armed:
                await turn.call(lambda: native.command(_ARM_DISARM, 0.0))

        await self._lane.ordinary(steps)

    async def start_mission(self) -> None:
        native = self._ready()

        async def steps(turn: Turn) -> None:
            before = self.state().mode
            try:
                await turn.call(native.start_mission, commands=True)
            except LinkError as error:
                if error.failure is not LinkFailure.TIMEOUT:
                    raise
                if before is not FlightMode.MISSION and await self._confirm(
                    lambda now: now.mode is FlightMode.MISSION, _CONFIRM_S
                ):
                    return
                state = self.state()
                if not state.connected or state.mode is not before:
                    raise  # a failsafe or a pilot has taken it elsewhere: nothing resumes by itself
                if state.armed is not True:
                    raise  # one that was kept waiting disarms itself: PX4 would say OK and stand in MISSION mode
                await turn.call(native.start_mission, commands=True)

        await self._lane.ordinary(steps)

    async def upload_mission(self, items: Sequence[MissionItem]) -> None:
        await self._upload("mission", items, MISSION_TYPE_MISSION)
        self._hearing.restart_progress()

    async def upload_fence(self, items: Sequence[MissionItem]) -> None:
        await self._upload("fence", items, MISSION_TYPE_FENCE)

    async def _upload(self, what: str, items: Sequence[MissionItem], mission_type: int) -> None:
        native = self._ready()
        if not items:
            raise LinkError(LinkFailure.ERROR, f"{self.vehicle_id}: an empty {what} is not uploaded")
        await self._transfers.upload(native, items, mission_type)

    async def cancel_upload(self) -> None:
        self._ready()
        self._lane.abort_transfer()

    async def download_mission(self) -> tuple[MissionItem, ...]:
        return await self._transfers.download(self._ready(), MISSION_TYPE_MISSION)

    async def download_fence(self) -> tuple[MissionItem, ...]:
        return await self._transfers.download(self._ready(), MISSION_TYPE_FENCE)

    async def get_param(self, name: str) -> float:
        return await self._params.get(self._ready(), name)

    async def set_param(self, name: str, value: float) -> None:
        await self._params.set(self._ready(), name, value)

    async def close(self) -> None:
        """Nothing to release before the process ends: the library must not be taken down piece by piece."""

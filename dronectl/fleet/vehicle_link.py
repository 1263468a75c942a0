# SPDX-License-Identifier: AGPL-3.0-or-later
"""MavsdkLink: the VehicleLink of one vehicle inside a link worker. Knows no MAVSDK: `native.py` says what it needs of it.

The shard hands in a vehicle when it is discovered; `keep` proves its identity, sets its message intervals, and does
that again after a lost link or a reboot. State is read from the library's last values when asked for; requests go
through the vehicle's lane. A TIMEOUT is never taken for a "no": where a command may move the vehicle, its state is
read before anything is sent again.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from dronectl.fleet.lanes import CallThreads, Lane, Turn
from dronectl.fleet.last_values import (
    Freshness,
    MissionProgress,
    PosePairer,
    SlowValues,
    decode_attitude,
    decode_mission_current,
    decode_mission_reached,
    decode_position,
    is_autopilots,
    known_text,
    vehicle_state,
)
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
from dronectl.fleet.transfers import Transfers
from dronectl.fleet.vehicle_setup import SetUp
from missions.mavlink_items import MISSION_TYPE_FENCE, MISSION_TYPE_MISSION, MissionItem

log = logging.getLogger(__name__)

T = TypeVar("T")
_DO_SET_MODE: Final = 176
_ARM_DISARM: Final = 400
_PX4_AUTO_LOITER: Final = (1.0, 4.0, 3.0)  # MAV_MODE_FLAG_CUSTOM_MODE_ENABLED, main mode, sub mode
_PX4_AUTO_RETURN: Final = (1.0, 4.0, 5.0)
_PX4_AUTO_LAND: Final = (1.0, 4.0, 6.0)
_MODES_TO_LEAVE: Final = frozenset({FlightMode.MISSION, FlightMode.RETURN, FlightMode.LAND})
_STRANGER_GRACE_S: Final = 2.5
_SLOW_VALUES_EVERY_S: Final = 0.4  # battery, health and home come once a second
_RETRY_S: Final = 1.0
_MOST_RETRY_S: Final = 5.0
_UID_TRIES: Final = 10
_UID_RETRY_S: Final = 0.1
_CONFIRM_S: Final = 3.0
_URGENT_CONFIRM_S: Final = 0.5
_WAIT_STEP_S: Final = 0.05
_RAW_POSES_KEPT: Final = 512


class MavsdkLink:
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
        self._refusal: LinkError | None = None
        self._set_up = asyncio.Event()
        self._needs_intervals = asyncio.Event()
        self._freshness = Freshness()
        self._progress = MissionProgress()
        self._pairer = PosePairer(address.vehicle_id)
        self._raw_poses: deque[tuple[str, bytes]] = deque(maxlen=_RAW_POSES_KEPT)  # full: the oldest go
        self._heartbeat = b""  # the newest of the autopilot, and of its progress, as they came
        self._current_item = b""
        self._was_connected = False
        self._hardware_uid: str | None = None
        self._last_text: str | None = None
        self._last = VehicleState(address.vehicle_id)
        self._slow: SlowValues | None = None
        self._slow_read_s = 0.0

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
        """System ids that nobody has configured were heard while this vehicle is missing."""
        self._strangers = system_ids

    async def keep(self) -> None:
        """Set the vehicle up when it appears, and again after it was lost or rebooted. Until cancelled."""
        native = await self._found
        await self._prove_identity(native)
        await self._off_loop(lambda: self._subscribe(native))
        self._native = native
        self._wake()
        failures, again = 0, False
        while True:
            self._needs_intervals.clear()
            if again:  # it was away: what answers now may be another aircraft with the same system id
                await self._prove_identity(native)
            again = True
            try:
                await self._messages.run(native)
            except LinkError as error:
                failures += 1
                if failures == 1:
                    log.warning("%s: message intervals cannot be set yet: %s", self.vehicle_id, error)
                await asyncio.sleep(min(_RETRY_S * failures, _MOST_RETRY_S))
                continue
            if failures:
                log.info("%s: message intervals are set after %d tries", self.vehicle_id, failures + 1)
                failures = 0
            self._set_up.set()
            await self._needs_intervals.wait()
            self._set_up.clear()

    async def _off_loop(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads.ordinary, call)

    async def _prove_identity(self, native: Native) -> None:
        """Return when the hardware uid is known and the configured one; never while it is another's."""
        wanted = None if self._address.hardware_uid is None else self._address.hardware_uid.lower()
        for attempt in itertools.count(1):
            try:
                uid = await self._off_loop(native.hardware_uid)
            except LinkError:  # AUTOPILOT_VERSION has not come yet
                if wanted is None and attempt == _UID_TRIES:
                    return
                await asyncio.sleep(_UID_RETRY_S)
                continue
            if self._hardware_uid not in {None, uid}:
                log.warning("%s: hardware uid %s answers, before it was %s", self.vehicle_id, uid, self._hardware_uid)
            self._hardware_uid = uid
            if wanted in {None, uid}:
                self._refusal = None
                return
            if self._refusal is None:
                self._refusal = LinkError(
                    LinkFailure.WRONG_VEHICLE,
                    f"{self.vehicle_id}: hardware uid {uid} answers as system {self._address.system_id} on "
                    f"{self._address.connection}, not the configured {wanted}",
                )
                log.error("%s", self._refusal)
            await asyncio.sleep(_RETRY_S)

    def _subscribe(self, native: Native) -> None:
        """The few callbacks. They run on a thread of the library, and only store."""

        def on_heartbeat(_name: str, fields: bytes) -> None:
            changed = fields != self._heartbeat
            if changed and not is_autopilots(fields):
                return
            self._freshness.heard(time.monotonic())
            if changed:  # mode or arming
                self._heartbeat = fields
                self._wake()

        def on_current(_name: str, fields: bytes) -> None:
            if fields != self._current_item:
                self._current_item = fields
                self._progress.on_current(decode_mission_current(fields))

        def on_reached(_name: str, fields: bytes) -> None:
            self._progress.on_reached(decode_mission_reached(fields))
            self._wake()

        def on_text(text: str) -> None:
            self._last_text = known_text(text)
            self._wake()

        native.subscribe("HEARTBEAT", on_heartbeat)
        native.subscribe("MISSION_CURRENT", on_current)
        native.subscribe("MISSION_ITEM_REACHED", on_reached)
        native.subscribe_texts(on_text)
        if self._address.pose_stream:
            for name in ("GLOBAL_POSITION_INT", "ATTITUDE"):
                native.subscribe(name, lambda name, fields: self._raw_poses.append((name, fields)))

    async def wait_connected(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not (self._set_up.is_set() and self.state().connected):
            if self._refusal is not None:
                raise self._refusal
            now_s = time.monotonic()
            opened_long_ago = self._opened_s is not None and now_s - self._opened_s > _STRANGER_GRACE_S
            if self._strangers and opened_long_ago and not self._found.done():
                heard = ", ".join(str(number) for number in sorted(self._strangers))
                raise LinkError(
                    LinkFailure.WRONG_VEHICLE,
                    f"{self.vehicle_id}: system id {self._address.system_id} was not heard on "
                    f"{self._address.connection}, but {heard}, which nobody has configured",
                )
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
        native = self._native
        if native is None:
            return self._last
        now_s = time.monotonic()
        fast = native.fast_values()
        if self._freshness.message_time(fast.timestamp_us, now_s):
            log.warning("%s: its clock went back: it was rebooted", self.vehicle_id)
            self._progress = MissionProgress()
            self._current_item = b""  # it counts again, also unchanged
            self._needs_intervals.set()
        connected = native.is_connected() and self._freshness.fresh(now_s)
        if self._refusal is not None:  # another aircraft: what it says is nothing that is known of this one
            self._was_connected = connected
            self._last = replace(self._last, connected=False)
            return self._last
        if connected and not self._was_connected and self._set_up.is_set():
            self._needs_intervals.set()
        self._was_connected = connected
        if self._slow is None or now_s - self._slow_read_s >= _SLOW_VALUES_EVERY_S:
            self._slow_read_s = now_s
            self._slow = native.slow_values()
        self._last = vehicle_state(
            self._address, connected, self._freshness, fast, self._slow, self._progress, self._hardware_uid,
            self._last_text,
        )  # fmt: skip
        return self._last

    def take_poses(self) -> list[PoseSample]:
        """The pose samples that have come together since the last call."""
        if self._refusal is not None:
            self._raw_poses.clear()  # another aircraft's
        while self._raw_poses:
            name, fields = self._raw_poses.popleft()
            if name == "ATTITUDE":
                self._pairer.attitude(decode_attitude(fields))
            else:
                self._pairer.position(decode_position(fields))
        return self._pairer.take()

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
        if self._refusal is not None:
            raise self._refusal
        if self._native is None:
            raise LinkError(LinkFailure.DISCONNECTED, f"{self.vehicle_id} has not been heard yet")
        return self._native

    async def _urgent_mode(self, call: Callable[[], object], mode: FlightMode, at_once: Callable[[], object]) -> None:
        """A mode change that nothing delays. After a TIMEOUT the state is read, and it is tried once more."""
        work = asyncio.ensure_future(self._lane.urgent(call, at_once))
        await asyncio.sleep(0)  # it has begun, and counts
        commands = self._lane.commands
        try:
            await work
        except LinkError as error:
            if error.failure is not LinkFailure.TIMEOUT:
                raise
            done = await self._confirm(lambda state: state.mode is mode, _URGENT_CONFIRM_S)
            if not done and self._lane.commands == commands:  # else somebody has asked for something newer
                await self._lane.urgent(call, at_once)
            elif not done:
                raise

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
                await turn.call(native.start_mission, commands=True)

        await self._lane.ordinary(steps)

    async def set_current_item(self, sequence: int) -> None:
        native = self._ready()

        async def steps(turn: Turn) -> None:
            await turn.call(lambda: native.set_current_item(sequence), commands=True)
            self._progress.restart()

        await self._lane.ordinary(steps)

    async def upload_mission(self, items: Sequence[MissionItem]) -> None:
        await self._upload("mission", items, MISSION_TYPE_MISSION)
        self._progress.restart()

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

    async def clear_mission(self) -> None:
        native = self._ready()
        await self._lane.ordinary(lambda turn: turn.call(native.clear_mission))
        self._progress.restart()

    async def get_param(self, name: str) -> float:
        return await self._params.get(self._ready(), name)

    async def set_param(self, name: str, value: float) -> None:
        await self._params.set(self._ready(), name, value)

    async def close(self) -> None:
        """Nothing to release before the process ends: the library must not be taken down piece by piece."""

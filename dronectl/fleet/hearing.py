# SPDX-License-Identifier: AGPL-3.0-or-later
"""What one vehicle says: its few messages as they come, the library's last values when its state is asked for.

Freshness comes from the times of messages, never from when they are read. What another aircraft says under the
vehicle's system id changes nothing of what is known of it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from dronectl.fleet.identity import Identity
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
from dronectl.fleet.link import PoseSample, VehicleAddress, VehicleState
from dronectl.fleet.native import Native

log = logging.getLogger(__name__)

_SLOW_VALUES_EVERY_S: Final = 0.4  # battery, health and home come once a second
_RAW_POSES_KEPT: Final = 512


class Hearing:
    """One vehicle's messages and state. `wake` is called from any thread when its state should be looked at soon.

    `rebooted` and `came_back` are called while the state is read: when its clock went back, and when it is connected
    again after it was not.
    """

    def __init__(
        self,
        address: VehicleAddress,
        identity: Identity,
        wake: Callable[[], None],
        rebooted: Callable[[], None],
        came_back: Callable[[], None],
    ) -> None:
        self._address = address
        self._identity = identity
        self._wake = wake
        self._rebooted = rebooted
        self._came_back = came_back
        self._freshness = Freshness()
        self._progress = MissionProgress()
        self._pairer = PosePairer(address.vehicle_id)
        self._raw_poses: deque[tuple[str, bytes]] = deque(maxlen=_RAW_POSES_KEPT)  # full: the oldest go
        self._heartbeat = b""  # the newest of the autopilot, and of its progress, as they came
        self._current_item = b""
        self._was_connected = False
        self._last_text: str | None = None
        self._last = VehicleState(address.vehicle_id)
        self._slow: SlowValues | None = None
        self._slow_read_s = 0.0

    def listen(self, native: Native) -> None:
        """Ask for the few callbacks; blocks. They run on a thread of the library, and only store."""

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

    def state(self, native: Native) -> VehicleState:
        """Read the last values now: some ten quick calls."""
        now_s = time.monotonic()
        fast = native.fast_values()
        if self._freshness.message_time(fast.timestamp_us, now_s):
            log.warning("%s: its clock went back: it was rebooted", self._address.vehicle_id)
            self._progress = MissionProgress()
            self._current_item = b""  # it counts again, also unchanged
            self._rebooted()
        connected = native.is_connected() and self._freshness.fresh(now_s)
        if self._identity.refusal is not None:  # another aircraft: what it says is nothing that is known of this one
            self._was_connected = connected
            self._last = replace(self._last, connected=False)
            return self._last
        if connected and not self._was_connected:
            self._came_back()
        self._was_connected = connected
        if self._slow is None or now_s - self._slow_read_s >= _SLOW_VALUES_EVERY_S:
            self._slow_read_s = now_s
            self._slow = native.slow_values()
        self._last = vehicle_state(
            self._address, connected, self._freshness, fast, self._slow, self._progress, self._identity.hardware_uid,
            self._last_text,
        )  # fmt: skip
        return self._last

    def take_poses(self) -> list[PoseSample]:
        """The pose samples that have come together since the last call."""
        if self._identity.refusal is not None:
            self._raw_poses.clear()  # another aircraft's
        while self._raw_poses:
            name, fields = self._raw_poses.popleft()
            if name == "ATTITUDE":
                self._pairer.attitude(decode_attitude(fields))
            else:
                self._pairer.position(decode_position(fields))
        return self._pairer.take()

    def restart_progress(self) -> None:
        """What was reached counts no more: another mission is aboard, or it goes on from another item."""
        self._progress.restart()

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Stored missions, fences and rally points, and the MAVLink mission protocol that brings and fetches them.

MISSION_* messages come in through `handle`, answers go out through the `send` callable, and the autopilot hears of
each change through `changed`. An upload lives in a staging list until its last item: a transfer that is cancelled
or dies leaves what was stored before. Lost items are requested again. One transfer at a time, and a download lasts
until the client's last acknowledgement or its silence of five seconds: what comes meanwhile is refused, as PX4 does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from sim import mavlink_messages as m
from sim.mavlink import MessageSpec
from sim.mavlink_messages import Cmd, MissionItem, MissionResult

TYPE_MISSION, TYPE_FENCE, TYPE_RALLY, TYPE_ALL = 0, 1, 2, 255
_MOST = {TYPE_MISSION: 2000, TYPE_FENCE: 500, TYPE_RALLY: 100}
_RETRY_S = 0.25
_GIVE_UP_S = 5.0
_FRAMES_WITH_PLACE = {0: 5, 3: 6, 5: 5, 6: 6}  # how PX4 gives them back in the INT protocol
_FRAME_MISSION = 2

PLACES = frozenset(
    {
        Cmd.NAV_WAYPOINT,
        Cmd.NAV_LOITER_UNLIM,
        Cmd.NAV_LOITER_TIME,
        Cmd.NAV_LAND,
        Cmd.NAV_TAKEOFF,
        Cmd.DO_SET_ROI_LOCATION,
        Cmd.DO_SET_ROI,
        Cmd.DO_LAND_START,
    }
)
_MISSION_COMMANDS = PLACES | {
    Cmd.NAV_RETURN_TO_LAUNCH,
    Cmd.NAV_DELAY,
    Cmd.CONDITION_DELAY,
    Cmd.DO_JUMP,
    Cmd.DO_CHANGE_SPEED,
    Cmd.DO_SET_SERVO,
    Cmd.DO_SET_ACTUATOR,
    Cmd.DO_SET_ROI_NONE,
    Cmd.DO_CONTROL_VIDEO,
    Cmd.DO_DIGICAM_CONTROL,
    Cmd.DO_MOUNT_CONFIGURE,
    Cmd.DO_MOUNT_CONTROL,
    Cmd.DO_SET_CAM_TRIGG_DIST,
    Cmd.DO_TRIGGER_CONTROL,
    Cmd.SET_CAMERA_MODE,
    Cmd.SET_CAMERA_ZOOM,
    Cmd.SET_CAMERA_FOCUS,
    Cmd.DO_GIMBAL_MANAGER_PITCHYAW,
    Cmd.DO_GIMBAL_MANAGER_CONFIGURE,
    Cmd.IMAGE_START_CAPTURE,
    Cmd.IMAGE_STOP_CAPTURE,
    Cmd.VIDEO_START_CAPTURE,
    Cmd.VIDEO_STOP_CAPTURE,
}
_FENCE_COMMANDS = frozenset(
    {
        Cmd.FENCE_RETURN_POINT,
        Cmd.FENCE_POLYGON_INCLUSION,
        Cmd.FENCE_POLYGON_EXCLUSION,
        Cmd.FENCE_CIRCLE_INCLUSION,
        Cmd.FENCE_CIRCLE_EXCLUSION,
    }
)


def check_item(item: MissionItem) -> MissionResult:
    """What PX4 says to one item of an upload."""
    if item.mission_type == TYPE_MISSION:
        if item.command not in _MISSION_COMMANDS:
            return MissionResult.UNSUPPORTED
        if item.command in PLACES and item.frame not in _FRAMES_WITH_PLACE:
            return MissionResult.UNSUPPORTED_FRAME
        if item.frame != _FRAME_MISSION and item.frame not in _FRAMES_WITH_PLACE:
            return MissionResult.UNSUPPORTED_FRAME
    elif item.command not in (_FENCE_COMMANDS if item.mission_type == TYPE_FENCE else (Cmd.RALLY_POINT,)):
        return MissionResult.UNSUPPORTED
    has_place = item.mission_type != TYPE_MISSION or item.command in PLACES
    if has_place and not (abs(item.x) <= 900_000_000 and abs(item.y) <= 1_800_000_000 and math.isfinite(item.z)):
        return MissionResult.INVALID
    return MissionResult.ACCEPTED


def check_fence(items: list[MissionItem]) -> bool:
    """Whether polygon vertices come in whole rings of at least 3, each saying the same count."""
    at = 0
    while at < len(items):
        item = items[at]
        if item.command in (Cmd.FENCE_POLYGON_INCLUSION, Cmd.FENCE_POLYGON_EXCLUSION):
            count = int(item.param1) if math.isfinite(item.param1) else 0
            ring = items[at : at + count]
            if count < 3 or len(ring) != count:
                return False
            if any(point.command != item.command or point.param1 != item.param1 for point in ring):
                return False
            at += count
        else:
            at += 1
    return True


@dataclass(slots=True)
class _Upload:
    """A client that brings a plan."""

    partner: tuple[int, int]
    mission_type: int
    count: int
    last_heard_s: float
    last_request_s: float
    items: list[MissionItem] = field(default_factory=list)


@dataclass(slots=True)
class _Download:
    """A client that fetches a plan; `given` items have been sent, each at least once."""

    partner: tuple[int, int]
    mission_type: int
    count: int
    last_heard_s: float
    given: int = 0


class MissionServer:
    """The three stored plans of one vehicle and the transfers that change them."""

    def __init__(
        self,
        send: Callable[..., None],
        changed: Callable[[int], None],
        say: Callable[[m.Severity, str], None],
        *,
        patience: float = 1.0,
    ) -> None:
        """patience: factor on the retry times; simulated time that runs fast must not outrun the client."""
        self._send = send
        self._changed = changed
        self._say = say
        self._retry_s = _RETRY_S * max(1.0, patience)
        self._give_up_s = _GIVE_UP_S * max(1.0, patience)
        self._upload: _Upload | None = None
        self._download: _Download | None = None
        self._finished: tuple[tuple[int, int], int, int] | None = None
        self._now_s = 0.0
        self.plans: dict[int, tuple[MissionItem, ...]] = {TYPE_MISSION: (), TYPE_FENCE: (), TYPE_RALLY: ()}

    @property
    def uploading(self) -> bool:
        return self._upload is not None

    def handle(self, spec: MessageSpec, values: tuple[int, ...] | MissionItem, partner: tuple[int, int]) -> None:
        """One MISSION_* message (fields in wire order) from `partner` (system id, component id)."""
        if isinstance(values, MissionItem):
            self._item(values, partner)
        elif spec is m.MISSION_COUNT:
            self._count(int(values[0]), values[3], partner)
        elif spec is m.MISSION_REQUEST_LIST:
            self._list(values[2], partner)
        elif spec is m.MISSION_REQUEST_INT or spec is m.MISSION_REQUEST:
            self._give(int(values[0]), values[3], partner)
        elif spec is m.MISSION_CLEAR_ALL:
            self._clear(values[2], partner)
        elif spec is m.MISSION_ACK:
            upload, download = self._upload, self._download
            if upload and upload.partner == partner and values[2] != MissionResult.ACCEPTED:
                self._upload = None  # the client gave up; what was stored before stays
            if download and (download.partner, download.mission_type) == (partner, values[3]):
                self._download = None

    def step(self, now_s: float) -> None:
        """Ask again for an item that did not come, and give up on a client that is silent."""
        self._now_s = now_s
        if self._download is not None and now_s - self._download.last_heard_s > self._give_up_s:
            self._download = None
            self._say(m.Severity.CRITICAL, "Operation timeout")
        upload = self._upload
        if upload is None:
            return
        if now_s - upload.last_heard_s > self._give_up_s:
            self._upload = None
            self._say(m.Severity.CRITICAL, "Operation timeout")
            self._ack(upload.partner, MissionResult.OPERATION_CANCELLED, upload.mission_type)
        elif now_s - upload.last_request_s >= self._retry_s:
            self._request(upload)

    def _ack(self, partner: tuple[int, int], result: MissionResult, mission_type: int) -> None:
        self._send(m.MISSION_ACK, *partner, int(result), mission_type)

    def _request(self, upload: _Upload) -> None:
        upload.last_request_s = self._now_s
        self._send(m.MISSION_REQUEST_INT, len(upload.items), *upload.partner, upload.mission_type)

    def _count(self, count: int, mission_type: int, partner: tuple[int, int]) -> None:
        if mission_type not in self.plans:
            self._ack(partner, MissionResult.UNSUPPORTED, mission_type)
            return
        if self._download is not None:
            self._say(m.Severity.CRITICAL, "WPM: IGN MISSION_COUNT: Busy")
            self._ack(partner, MissionResult.ERROR, mission_type)
            return
        if self._upload is not None and (self._upload.partner != partner or self._upload.items):
            if self._upload.partner == partner:
                self._say(m.Severity.CRITICAL, "WPM: REJ. CMD: Busy")
            self._ack(partner, MissionResult.ERROR, mission_type)
            return
        if count > _MOST[mission_type]:
            self._ack(partner, MissionResult.NO_SPACE, mission_type)
            return
        self._finished = None
        if count == 0:
            self._upload = None
            self._store(mission_type, ())
            self._ack(partner, MissionResult.ACCEPTED, mission_type)
            return
        self._upload = _Upload(partner, mission_type, count, self._now_s, self._now_s)
        self._request(self._upload)

    def _item(self, item: MissionItem, partner: tuple[int, int]) -> None:
        upload = self._upload
        if upload is None:
            # The final acknowledgement was lost and the client sent the last item once more.
            if self._finished == (partner, item.mission_type, item.seq + 1):
                self._ack(partner, MissionResult.ACCEPTED, item.mission_type)
            return
        if upload.partner != partner or upload.mission_type != item.mission_type:
            return
        upload.last_heard_s = self._now_s
        if item.seq != len(upload.items):
            return  # a duplicate, or one that overtook; the retry asks again for what is missing
        verdict = check_item(item)
        if verdict is not MissionResult.ACCEPTED:
            self._upload = None
            self._ack(partner, verdict, item.mission_type)
            return
        upload.items.append(item)
        if len(upload.items) < upload.count:
            self._request(upload)
            return
        self._upload = None
        if item.mission_type == TYPE_FENCE and not check_fence(upload.items):
            self._say(m.Severity.CRITICAL, "Geofence: wrong vertex count")
            self._ack(partner, MissionResult.INVALID, item.mission_type)
            return
        self._finished = (partner, item.mission_type, upload.count)
        self._store(item.mission_type, tuple(upload.items))
        self._ack(partner, MissionResult.ACCEPTED, item.mission_type)

    def _store(self, mission_type: int, items: tuple[MissionItem, ...]) -> None:
        self.plans[mission_type] = items
        self._changed(mission_type)

    def _clear(self, mission_type: int, partner: tuple[int, int]) -> None:
        if mission_type != TYPE_ALL and mission_type not in self.plans:
            self._ack(partner, MissionResult.UNSUPPORTED, mission_type)
            return
        if self._upload is not None or self._download is not None:
            self._say(m.Severity.CRITICAL, "WPM: IGN CLEAR CMD: Busy")
            return
        for one in self.plans if mission_type == TYPE_ALL else (mission_type,):
            self._store(one, ())
        self._ack(partner, MissionResult.ACCEPTED, mission_type)

    def _list(self, mission_type: int, partner: tuple[int, int]) -> None:
        if mission_type not in self.plans:
            self._ack(partner, MissionResult.UNSUPPORTED, mission_type)
            return
        download = self._download
        all_given = download is not None and download.given == download.count
        same = download is not None and (download.partner, download.mission_type) == (partner, mission_type)
        if self._upload is not None or not (download is None or all_given or same):
            self._say(m.Severity.INFO, "Mission download request ignored, already active")
            return
        count = len(self.plans[mission_type])
        self._download = _Download(partner, mission_type, count, self._now_s)
        self._send(m.MISSION_COUNT, count, *partner, mission_type)

    def _give(self, seq: int, mission_type: int, partner: tuple[int, int]) -> None:
        download = self._download
        if download is None:
            if self._upload is not None:
                self._say(m.Severity.CRITICAL, "WPM: REJ. CMD: Busy")
            return
        if download.partner != partner:
            self._say(m.Severity.CRITICAL, "WPM: REJ. CMD: partner id mismatch")
            return
        if download.mission_type != mission_type:
            return
        download.last_heard_s = self._now_s
        plan = self.plans[mission_type]
        in_turn = seq in (download.given, download.given - 1)  # the next one, or the last again
        if not in_turn or seq >= len(plan):
            self._download = None
            self._ack(partner, MissionResult.ERROR, mission_type)
            self._say(m.Severity.CRITICAL, "WPM: REJ. CMD: Req. WP was unexpected")
            return
        download.given = seq + 1
        item = plan[seq]
        frame = _FRAMES_WITH_PLACE.get(item.frame, item.frame)
        self._send(
            m.MISSION_ITEM_INT,
            *item._replace(target_system=partner[0], target_component=partner[1], frame=frame, current=int(seq == 0)),
        )

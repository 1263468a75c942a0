# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the service and a link worker say to each other (msgpack over dronectl.ipc).

    service --Configure, Request, Cancel-->  worker
    service <--Ready, States, Poses, DoorCounts, Reply-- worker

States and poses are the link's own dataclasses: msgspec writes and checks them. NaN in mission items survives.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dronectl.fleet.link import LinkFailure, PoseSample, VehicleAddress, VehicleState
from missions.mavlink_items import MissionItem


class Rates(msgspec.Struct, frozen=True):
    """How often vehicles tell their position, and how often a worker looks at them.

    The first two are asked of the vehicles and count in their time; the others are per second of the machine's time.
    """

    position_hz: float = 4.0  # position and attitude messages
    pose_stream_position_hz: float = 10.0  # of vehicles that carry cameras
    tick_hz: float = 2.0  # no oftener than a vehicle is due: waking up costs more than to look at one
    pose_tick_hz: float = 10.0  # of a worker that has vehicles with cameras
    docked_hz: float = 2.0
    flying_hz: float = 2.0  # what changes a flight (mode, arming, progress, a text) is looked at when it comes
    pose_stream_hz: float = 10.0  # for armed vehicles that carry cameras


class Verb(StrEnum):
    """The requests of a VehicleLink."""

    WAIT_CONNECTED = "wait_connected"
    HOLD = "hold"
    RETURN = "return"
    LAND = "land"
    ARM = "arm"
    DISARM = "disarm"
    START_MISSION = "start_mission"
    UPLOAD_MISSION = "upload_mission"
    CANCEL_UPLOAD = "cancel_upload"
    DOWNLOAD_MISSION = "download_mission"
    UPLOAD_FENCE = "upload_fence"
    DOWNLOAD_FENCE = "download_fence"
    GET_PARAM = "get_param"
    SET_PARAM = "set_param"


# The longest that a request may take in the worker, its wait for a turn included.
TIMEOUT_S: dict[Verb, float] = {
    Verb.HOLD: 6.0,
    Verb.RETURN: 6.0,
    Verb.LAND: 6.0,
    Verb.ARM: 15.0,
    Verb.DISARM: 10.0,
    Verb.START_MISSION: 10.0,
    Verb.UPLOAD_MISSION: 120.0,
    Verb.CANCEL_UPLOAD: 5.0,
    Verb.DOWNLOAD_MISSION: 120.0,
    Verb.UPLOAD_FENCE: 60.0,
    Verb.DOWNLOAD_FENCE: 60.0,
    Verb.GET_PARAM: 20.0,
    Verb.SET_PARAM: 30.0,
}


class Configure(msgspec.Struct, tag="configure", frozen=True):
    """The worker's first message: its shard of the fleet."""

    addresses: tuple[VehicleAddress, ...]
    rates: Rates = Rates()


class Request(msgspec.Struct, tag="request", frozen=True, omit_defaults=True):
    """One call on one vehicle's link; only the fields of its verb are used."""

    request_id: int
    vehicle_id: str
    verb: Verb
    timeout_s: float | None = None  # WAIT_CONNECTED
    items: tuple[MissionItem, ...] | None = None  # uploads
    name: str | None = None  # parameters
    value: int | float | None = None  # SET_PARAM: int for INT32, float for REAL32


class Cancel(msgspec.Struct, tag="cancel", frozen=True):
    """The caller does not wait for this request any more."""

    request_id: int


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The worker has opened its connections."""

    mavsdk_version: str


class States(msgspec.Struct, tag="states", frozen=True):
    """The vehicles that were due in this tick."""

    states: tuple[VehicleState, ...]


class Poses(msgspec.Struct, tag="poses", frozen=True):
    """New pose samples, oldest first per vehicle."""

    samples: tuple[PoseSample, ...]


class DoorCounts(msgspec.Struct, tag="doors", frozen=True):
    """Datagrams refused or lost at the doors that have news, since this worker opened them; None: not counted."""

    refused_or_lost: dict[str, int | None]


class Reply(msgspec.Struct, tag="reply", frozen=True, omit_defaults=True):
    """The end of a request, with the vehicle's state at that moment."""

    request_id: int
    failure: LinkFailure | None = None
    message: str = ""
    value: int | float | None = None
    items: tuple[MissionItem, ...] | None = None
    state: VehicleState | None = None


ToWorker = Configure | Request | Cancel
FromWorker = Ready | States | Poses | DoorCounts | Reply

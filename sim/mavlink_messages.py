# SPDX-License-Identifier: AGPL-3.0-or-later
"""The MAVLink messages and numbers that a simulated PX4 uses (common.xml). Pure data.

Layouts are in wire order: fields sorted by size, extensions behind. The tests compare each with pymavlink.
The value of a parameter is taken as four bytes, because it may be an integer in a float's place.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from sim.mavlink import MessageSpec

# Sent by a vehicle.
HEARTBEAT = MessageSpec("HEARTBEAT", 0, 50, "<IBBBBB")
SYS_STATUS = MessageSpec("SYS_STATUS", 1, 124, "<IIIHHhHHHHHHbIII")
SYSTEM_TIME = MessageSpec("SYSTEM_TIME", 2, 137, "<QI")
PING = MessageSpec("PING", 4, 237, "<QIBB")
PARAM_VALUE = MessageSpec("PARAM_VALUE", 22, 220, "<4sHH16sB")
GPS_RAW_INT = MessageSpec("GPS_RAW_INT", 24, 24, "<QiiiHHHHBBiIIIIH")
ATTITUDE = MessageSpec("ATTITUDE", 30, 39, "<Iffffff")
ATTITUDE_QUATERNION = MessageSpec("ATTITUDE_QUATERNION", 31, 246, "<Ifffffff4f")
LOCAL_POSITION_NED = MessageSpec("LOCAL_POSITION_NED", 32, 185, "<Iffffff")
GLOBAL_POSITION_INT = MessageSpec("GLOBAL_POSITION_INT", 33, 104, "<IiiiihhhH")
MISSION_CURRENT = MessageSpec("MISSION_CURRENT", 42, 28, "<HHBB")
MISSION_COUNT = MessageSpec("MISSION_COUNT", 44, 221, "<HBBB")
MISSION_ITEM_REACHED = MessageSpec("MISSION_ITEM_REACHED", 46, 11, "<H")
MISSION_ACK = MessageSpec("MISSION_ACK", 47, 153, "<BBBB")
GPS_GLOBAL_ORIGIN = MessageSpec("GPS_GLOBAL_ORIGIN", 49, 39, "<iiiQ")
MISSION_REQUEST_INT = MessageSpec("MISSION_REQUEST_INT", 51, 196, "<HBBB")
MISSION_ITEM_INT = MessageSpec("MISSION_ITEM_INT", 73, 38, "<ffffiifHHBBBBBB")
VFR_HUD = MessageSpec("VFR_HUD", 74, 20, "<ffffhH")
COMMAND_ACK = MessageSpec("COMMAND_ACK", 77, 143, "<HBBiBB")
FILE_TRANSFER_PROTOCOL = MessageSpec("FILE_TRANSFER_PROTOCOL", 110, 84, "<BBB251s")
TIMESYNC = MessageSpec("TIMESYNC", 111, 34, "<qq")
ALTITUDE = MessageSpec("ALTITUDE", 141, 47, "<Qffffff")
BATTERY_STATUS = MessageSpec("BATTERY_STATUS", 147, 154, "<iih10HhBBBbiB4HBI")
AUTOPILOT_VERSION = MessageSpec("AUTOPILOT_VERSION", 148, 178, "<QQIIIIHH8s8s8s18s")
HOME_POSITION = MessageSpec("HOME_POSITION", 242, 104, "<iiifff4ffffQ")
MESSAGE_INTERVAL = MessageSpec("MESSAGE_INTERVAL", 244, 95, "<iH")
EXTENDED_SYS_STATE = MessageSpec("EXTENDED_SYS_STATE", 245, 130, "<BB")
STATUSTEXT = MessageSpec("STATUSTEXT", 253, 83, "<B50sHB")

# Sent by a ground station.
SET_MODE = MessageSpec("SET_MODE", 11, 89, "<IBB")
PARAM_REQUEST_READ = MessageSpec("PARAM_REQUEST_READ", 20, 214, "<hBB16s")
PARAM_REQUEST_LIST = MessageSpec("PARAM_REQUEST_LIST", 21, 159, "<BB")
PARAM_SET = MessageSpec("PARAM_SET", 23, 168, "<4sBB16sB")
MISSION_REQUEST = MessageSpec("MISSION_REQUEST", 40, 230, "<HBBB")
MISSION_SET_CURRENT = MessageSpec("MISSION_SET_CURRENT", 41, 28, "<HBB")
MISSION_REQUEST_LIST = MessageSpec("MISSION_REQUEST_LIST", 43, 132, "<BBB")
MISSION_CLEAR_ALL = MessageSpec("MISSION_CLEAR_ALL", 45, 232, "<BBB")
COMMAND_INT = MessageSpec("COMMAND_INT", 75, 158, "<ffffiifHBBBBB")
COMMAND_LONG = MessageSpec("COMMAND_LONG", 76, 152, "<fffffffHBBB")

OUTGOING: tuple[MessageSpec, ...] = (
    HEARTBEAT,
    SYS_STATUS,
    SYSTEM_TIME,
    PING,
    PARAM_VALUE,
    GPS_RAW_INT,
    ATTITUDE,
    ATTITUDE_QUATERNION,
    LOCAL_POSITION_NED,
    GLOBAL_POSITION_INT,
    MISSION_CURRENT,
    MISSION_COUNT,
    MISSION_ITEM_REACHED,
    MISSION_ACK,
    GPS_GLOBAL_ORIGIN,
    MISSION_REQUEST_INT,
    MISSION_ITEM_INT,
    VFR_HUD,
    COMMAND_ACK,
    FILE_TRANSFER_PROTOCOL,
    TIMESYNC,
    ALTITUDE,
    BATTERY_STATUS,
    AUTOPILOT_VERSION,
    HOME_POSITION,
    MESSAGE_INTERVAL,
    EXTENDED_SYS_STATE,
    STATUSTEXT,
)

INCOMING: dict[int, MessageSpec] = {
    spec.message_id: spec
    for spec in (
        HEARTBEAT,
        PING,
        SET_MODE,
        PARAM_REQUEST_READ,
        PARAM_REQUEST_LIST,
        PARAM_SET,
        MISSION_REQUEST,
        MISSION_SET_CURRENT,
        MISSION_REQUEST_LIST,
        MISSION_COUNT,
        MISSION_CLEAR_ALL,
        MISSION_ACK,
        MISSION_REQUEST_INT,
        MISSION_ITEM_INT,
        COMMAND_INT,
        COMMAND_LONG,
        TIMESYNC,
        FILE_TRANSFER_PROTOCOL,
    )
}

# Where (target_system, target_component) lie among the fields of an incoming message; absent: it is for everybody.
TARGET_FIELDS: dict[int, tuple[int, int | None]] = {
    PING.message_id: (2, 3),
    SET_MODE.message_id: (1, None),
    PARAM_REQUEST_READ.message_id: (1, 2),
    PARAM_REQUEST_LIST.message_id: (0, 1),
    PARAM_SET.message_id: (1, 2),
    MISSION_REQUEST.message_id: (1, 2),
    MISSION_SET_CURRENT.message_id: (1, 2),
    MISSION_REQUEST_LIST.message_id: (0, 1),
    MISSION_COUNT.message_id: (1, 2),
    MISSION_CLEAR_ALL.message_id: (0, 1),
    MISSION_ACK.message_id: (0, 1),
    MISSION_REQUEST_INT.message_id: (1, 2),
    MISSION_ITEM_INT.message_id: (9, 10),
    COMMAND_INT.message_id: (8, 9),
    COMMAND_LONG.message_id: (8, 9),
    FILE_TRANSFER_PROTOCOL.message_id: (1, 2),
}


class MissionItem(NamedTuple):
    """MISSION_ITEM_INT in wire order."""

    param1: float
    param2: float
    param3: float
    param4: float
    x: int
    y: int
    z: float
    seq: int
    command: int
    target_system: int
    target_component: int
    frame: int
    current: int
    autocontinue: int
    mission_type: int


class Command(NamedTuple):
    """A COMMAND_LONG or COMMAND_INT: for the latter x and y are set and param5, param6 are degrees."""

    command: int
    param1: float
    param2: float
    param3: float
    param4: float
    param5: float
    param6: float
    param7: float
    frame: int | None = None


class Result(IntEnum):
    """MAV_RESULT."""

    ACCEPTED = 0
    TEMPORARILY_REJECTED = 1
    DENIED = 2
    UNSUPPORTED = 3
    FAILED = 4
    UNSUPPORTED_FRAME = 9


class MissionResult(IntEnum):
    """MAV_MISSION_RESULT."""

    ACCEPTED = 0
    ERROR = 1
    UNSUPPORTED_FRAME = 2
    UNSUPPORTED = 3
    NO_SPACE = 4
    INVALID = 5
    INVALID_PARAM1 = 6
    INVALID_SEQUENCE = 13
    DENIED = 14
    OPERATION_CANCELLED = 15


class Cmd(IntEnum):
    """MAV_CMD, as far as it is understood here."""

    NAV_WAYPOINT = 16
    NAV_LOITER_UNLIM = 17
    NAV_LOITER_TIME = 19
    NAV_RETURN_TO_LAUNCH = 20
    NAV_LAND = 21
    NAV_TAKEOFF = 22
    NAV_DELAY = 93
    CONDITION_DELAY = 112
    DO_SET_MODE = 176
    DO_JUMP = 177
    DO_CHANGE_SPEED = 178
    DO_SET_HOME = 179
    DO_SET_SERVO = 183
    DO_FLIGHTTERMINATION = 185
    DO_SET_ACTUATOR = 187
    DO_LAND_START = 189
    DO_REPOSITION = 192
    DO_SET_ROI_LOCATION = 195
    DO_SET_ROI_NONE = 197
    DO_CONTROL_VIDEO = 200
    DO_SET_ROI = 201
    DO_DIGICAM_CONTROL = 203
    DO_MOUNT_CONFIGURE = 204
    DO_MOUNT_CONTROL = 205
    DO_SET_CAM_TRIGG_DIST = 206
    DO_SET_MISSION_CURRENT = 224
    PREFLIGHT_STORAGE = 245
    PREFLIGHT_REBOOT_SHUTDOWN = 246
    MISSION_START = 300
    COMPONENT_ARM_DISARM = 400
    RUN_PREARM_CHECKS = 401
    GET_HOME_POSITION = 410
    GET_MESSAGE_INTERVAL = 510
    SET_MESSAGE_INTERVAL = 511
    REQUEST_MESSAGE = 512
    REQUEST_PROTOCOL_VERSION = 519
    REQUEST_AUTOPILOT_CAPABILITIES = 520
    SET_CAMERA_MODE = 530
    SET_CAMERA_ZOOM = 531
    SET_CAMERA_FOCUS = 532
    DO_GIMBAL_MANAGER_PITCHYAW = 1000
    DO_GIMBAL_MANAGER_CONFIGURE = 1001
    IMAGE_START_CAPTURE = 2000
    IMAGE_STOP_CAPTURE = 2001
    DO_TRIGGER_CONTROL = 2003
    VIDEO_START_CAPTURE = 2500
    VIDEO_STOP_CAPTURE = 2501
    FENCE_RETURN_POINT = 5000
    FENCE_POLYGON_INCLUSION = 5001
    FENCE_POLYGON_EXCLUSION = 5002
    FENCE_CIRCLE_INCLUSION = 5003
    FENCE_CIRCLE_EXCLUSION = 5004
    RALLY_POINT = 5100


class Severity(IntEnum):
    """MAV_SEVERITY."""

    EMERGENCY = 0
    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6

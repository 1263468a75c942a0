# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which MAVLink messages a vehicle shall send, and how often: at most 60 a second, of about 400 that PX4 sends unasked.

The link first sends what quiets the loudest, without waiting: a fleet that all talks at once would drown the answers.
Then it sets the wanted ones, listens, and switches off what else it hears, until the sum fits. Rates count in the
vehicle's own time. Numbers and names: MAVLink common.xml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_MESSAGES_PER_S: Final = 60.0
LISTEN_S: Final = 0.7  # what comes less often than this may stay: the loud ones are what counts
SWITCH_OFF: Final = -1.0


def interval_us(rate_hz: float) -> float:
    """The parameter of MAV_CMD_SET_MESSAGE_INTERVAL."""
    return -1.0 if rate_hz == SWITCH_OFF else 1e6 / rate_hz


@dataclass(frozen=True, slots=True)
class Wanted:
    """A message that the link lives on."""

    name: str
    message_id: int
    rate_hz: float


def wanted(position_hz: float) -> tuple[Wanted, ...]:
    """The messages of a vehicle; position and attitude at the given rate."""
    return (
        Wanted("GLOBAL_POSITION_INT", 33, position_hz),
        Wanted("ATTITUDE", 30, position_hz),
        Wanted("EXTENDED_SYS_STATE", 245, 2.0),
        Wanted("SYS_STATUS", 1, 1.0),
        Wanted("BATTERY_STATUS", 147, 1.0),
        Wanted("HOME_POSITION", 242, 0.5),
    )


# PX4 sends these at 10 to 100 Hz on an onboard link: switched off unheard, before anything else.
LOUDEST: Final = ("ATTITUDE_QUATERNION", "HIGHRES_IMU", "LOCAL_POSITION_NED", "ODOMETRY", "VFR_HUD", "ALTITUDE")

# Answers, or once in a while, or without an interval of their own: never switched off.
_LEAVE: Final = frozenset({
    "HEARTBEAT", "MISSION_CURRENT", "MISSION_ITEM_REACHED", "MISSION_ACK", "MISSION_COUNT", "MISSION_ITEM_INT",
    "MISSION_REQUEST", "MISSION_REQUEST_INT", "COMMAND_ACK", "STATUSTEXT", "PARAM_VALUE", "PARAM_EXT_VALUE",
    "AUTOPILOT_VERSION", "EVENT", "CURRENT_EVENT_SEQUENCE", "MESSAGE_INTERVAL", "FILE_TRANSFER_PROTOCOL",
})  # fmt: skip

_IDS: Final[Mapping[str, int]] = {
    "SYSTEM_TIME": 2, "PING": 4, "LINK_NODE_STATUS": 8, "GPS_RAW_INT": 24, "GPS_STATUS": 25, "SCALED_IMU": 26,
    "RAW_IMU": 27, "RAW_PRESSURE": 28, "SCALED_PRESSURE": 29, "ATTITUDE_QUATERNION": 31, "LOCAL_POSITION_NED": 32,
    "RC_CHANNELS_RAW": 35, "SERVO_OUTPUT_RAW": 36, "GPS_GLOBAL_ORIGIN": 49, "NAV_CONTROLLER_OUTPUT": 62,
    "RC_CHANNELS": 65, "MANUAL_CONTROL": 69, "VFR_HUD": 74, "ATTITUDE_TARGET": 83, "POSITION_TARGET_LOCAL_NED": 85,
    "POSITION_TARGET_GLOBAL_INT": 87, "HIL_ACTUATOR_CONTROLS": 93, "OPTICAL_FLOW": 100, "HIGHRES_IMU": 105,
    "OPTICAL_FLOW_RAD": 106, "TIMESYNC": 111, "CAMERA_TRIGGER": 112, "HIL_STATE_QUATERNION": 115, "SCALED_IMU2": 116,
    "GPS2_RAW": 124, "POWER_STATUS": 125, "SCALED_IMU3": 129, "DISTANCE_SENSOR": 132, "SCALED_PRESSURE2": 137,
    "ACTUATOR_CONTROL_TARGET": 140, "ALTITUDE": 141, "CONTROL_SYSTEM_STATE": 146, "ESTIMATOR_STATUS": 230,
    "WIND_COV": 231, "GPS_INPUT": 232, "VIBRATION": 241, "ADSB_VEHICLE": 246, "COLLISION": 247, "DEBUG_VECT": 250,
    "NAMED_VALUE_FLOAT": 251, "NAMED_VALUE_INT": 252, "DEBUG": 254, "CAMERA_IMAGE_CAPTURED": 263,
    "FLIGHT_INFORMATION": 264, "MOUNT_ORIENTATION": 265, "CAMERA_FOV_STATUS": 271, "GIMBAL_MANAGER_STATUS": 281,
    "GIMBAL_DEVICE_SET_ATTITUDE": 284, "GIMBAL_DEVICE_ATTITUDE_STATUS": 285,
    "AUTOPILOT_STATE_FOR_GIMBAL_DEVICE": 286, "ESC_INFO": 290, "ESC_STATUS": 291, "AIRSPEED": 295, "ODOMETRY": 331,
    "TRAJECTORY_REPRESENTATION_WAYPOINTS": 332, "UTM_GLOBAL_POSITION": 340, "ORBIT_EXECUTION_STATUS": 360,
    "SMART_BATTERY_INFO": 370, "BATTERY_INFO": 372, "GENERATOR_STATUS": 373, "ACTUATOR_OUTPUT_STATUS": 375,
    "TIME_ESTIMATE_TO_TARGET": 380, "RAW_RPM": 339, "HYGROMETER_SENSOR": 12920, "OPEN_DRONE_ID_LOCATION": 12901,
    "OPEN_DRONE_ID_SYSTEM": 12904, "UAVCAN_NODE_STATUS": 310, "CURRENT_MODE": 436, "AVAILABLE_MODES_MONITOR": 437,
    "GNSS_INTEGRITY": 441, "GPS_RTK": 127,
}  # fmt: skip


def first_aid(position_hz: float) -> tuple[tuple[int, float], ...]:
    """(message id, rate in Hz or SWITCH_OFF) that take away most of the flood; sent without waiting for answers."""
    loudest = tuple((_IDS[name], SWITCH_OFF) for name in LOUDEST)
    return loudest + tuple((message.message_id, message.rate_hz) for message in wanted(position_hz)[:2])


@dataclass(frozen=True, slots=True)
class Excess:
    """What a listening found: messages to switch off (name, id), names that have no id here, and the sum."""

    switch_off: tuple[tuple[str, int], ...]
    unknown: tuple[str, ...]
    messages_per_s: float


_KEEP: Final = _LEAVE | {message.name for message in wanted(1.0)}


def excess(heard: Mapping[str, int], seconds: float) -> Excess:
    """Judge the counts of a listening of `seconds`."""
    loud = sorted(name for name in heard if name not in _KEEP)
    return Excess(
        switch_off=tuple((name, _IDS[name]) for name in loud if name in _IDS),
        unknown=tuple(name for name in loud if name not in _IDS),
        messages_per_s=sum(heard.values()) / seconds,
    )

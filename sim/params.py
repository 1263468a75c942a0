# SPDX-License-Identifier: AGPL-3.0-or-later
"""The parameters of a simulated PX4: names, types and defaults of PX4 1.16, as far as a ground station asks for them.

Values go over the wire bytewise: an INT32 lies in the four bytes of PARAM_VALUE's float (MAVLink parameter
protocol, "bytewise encoding"). Pure: set and read here, sent by the autopilot.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

TYPE_INT32 = 6
TYPE_REAL32 = 9
CIRCUIT_BREAKER_SUPPLY_CHECK = 894281

# int: INT32, float: REAL32. Multicopter defaults (rc.mc_defaults), no RC and no ground station required, as in SITL.
_DEFAULTS: dict[str, int | float] = {
    "BAT1_CAPACITY": -1.0,
    "BAT1_N_CELLS": 4,
    "BAT1_V_CHARGED": 4.05,
    "BAT1_V_EMPTY": 3.6,
    "BAT_CRIT_THR": 0.07,
    "BAT_EMERGEN_THR": 0.05,
    "BAT_LOW_THR": 0.15,
    "CAL_ACC0_ID": 1310988,
    "CAL_GYRO0_ID": 1310988,
    "CAL_MAG0_ID": 197388,
    "CBRK_FLIGHTTERM": 121212,
    "CBRK_SUPPLY_CHK": 0,
    "CBRK_USB_CHK": 197848,
    "COM_ARM_WO_GPS": 1,
    "COM_DISARM_LAND": 2.0,
    "COM_DISARM_PRFLT": 10.0,
    "COM_DLL_EXCEPT": 0,
    "COM_DL_LOSS_T": 10,
    "COM_FAIL_ACT_T": 5.0,
    "COM_FLT_TIME_MAX": -1,
    "COM_HOME_EN": 1,
    "COM_LOW_BAT_ACT": 0,
    "COM_OBL_RC_ACT": 0,
    "COM_RCL_EXCEPT": 0,
    "COM_RC_IN_MODE": 1,
    "COM_RC_LOSS_T": 0.5,
    "COM_TAKEOFF_ACT": 0,
    "COM_WIND_MAX": -1.0,
    "GF_ACTION": 2,
    "GF_MAX_HOR_DIST": 0.0,
    "GF_MAX_VER_DIST": 0.0,
    "GF_PREDICT": 0,
    "GF_SOURCE": 0,
    "LNDMC_ALT_MAX": -1.0,
    "MAV_COMP_ID": 1,
    "MAV_SYS_ID": 1,
    "MAV_TYPE": 2,
    "MIS_DIST_1WP": 10000.0,
    "MIS_TAKEOFF_ALT": 2.5,
    "MIS_TKO_LAND_REQ": 0,
    "MPC_ACC_DOWN_MAX": 3.0,
    "MPC_ACC_HOR": 3.0,
    "MPC_ACC_HOR_MAX": 5.0,
    "MPC_ACC_UP_MAX": 4.0,
    "MPC_JERK_AUTO": 4.0,
    "MPC_LAND_ALT1": 10.0,
    "MPC_LAND_ALT2": 5.0,
    "MPC_LAND_SPEED": 0.7,
    "MPC_THR_HOVER": 0.5,
    "MPC_TILTMAX_AIR": 45.0,
    "MPC_TKO_SPEED": 1.5,
    "MPC_XY_CRUISE": 5.0,
    "MPC_XY_VEL_MAX": 12.0,
    "MPC_YAWRAUTO_MAX": 60.0,
    "MPC_YAW_MODE": 0,
    "MPC_Z_VEL_MAX_DN": 1.5,
    "MPC_Z_VEL_MAX_UP": 3.0,
    "MPC_Z_V_AUTO_DN": 1.5,
    "MPC_Z_V_AUTO_UP": 3.0,
    "NAV_ACC_RAD": 2.0,
    "NAV_DLL_ACT": 0,
    "NAV_LOITER_RAD": 80.0,
    "NAV_MC_ALT_RAD": 0.8,
    "NAV_RCL_ACT": 2,
    "RTL_CONE_ANG": 45,
    "RTL_DESCEND_ALT": 10.0,
    "RTL_LAND_DELAY": 0.0,
    "RTL_MIN_DIST": 10.0,
    "RTL_RETURN_ALT": 30.0,
    "RTL_TYPE": 0,
    "SDLOG_MODE": 0,
    "SIM_GPS_USED": 10,
    "SYS_AUTOSTART": 10040,
    "SYS_HITL": 0,
}


class UnknownParameterError(KeyError):
    """A name or index that this autopilot does not have."""


class ParameterTypeError(ValueError):
    """A value of the other type than the parameter's, which PX4 refuses, too; or none: NaN and infinities."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as it is sent: its place in the sorted list, type and value."""

    name: str
    index: int
    value: int | float

    @property
    def wire_type(self) -> int:
        return TYPE_INT32 if isinstance(self.value, int) else TYPE_REAL32

    @property
    def wire_value(self) -> bytes:
        """The four bytes that carry the value."""
        return struct.pack("<i", self.value) if isinstance(self.value, int) else struct.pack("<f", self.value)


class Parameters:
    """The set of one vehicle. Names are fixed; values change by `set`."""

    def __init__(self, overrides: dict[str, int | float] | None = None) -> None:
        self._values = dict(_DEFAULTS)
        self._values.update(overrides or {})
        self._names = sorted(self._values)
        self._index = {name: index for index, name in enumerate(self._names)}
        self.version = 0  # rises with each change, so that callers may cache

    def __len__(self) -> int:
        return len(self._names)

    def integer(self, name: str) -> int:
        return int(self._values[name])

    def real(self, name: str) -> float:
        return float(self._values[name])

    def get(self, name: str) -> Parameter:
        """By name. Raises UnknownParameterError."""
        if name not in self._values:
            raise UnknownParameterError(name)
        return Parameter(name, self._index[name], self._values[name])

    def at(self, index: int) -> Parameter:
        """By place in the list. Raises UnknownParameterError."""
        if not 0 <= index < len(self._names):
            raise UnknownParameterError(index)
        return self.get(self._names[index])

    def all(self) -> Iterator[Parameter]:
        return (self.get(name) for name in self._names)

    def set_wire(self, name: str, wire_type: int, raw: bytes) -> Parameter:
        """Set from the four bytes of PARAM_SET's float. Raises UnknownParameterError, ParameterTypeError."""
        old = self.get(name)
        if wire_type != old.wire_type:
            raise ParameterTypeError(f"{name} is of type {old.wire_type}, not {wire_type}")
        value = struct.unpack("<i" if wire_type == TYPE_INT32 else "<f", raw)[0]
        if not math.isfinite(value):
            raise ParameterTypeError(f"{name} takes a number")
        self._values[name] = value
        self.version += 1
        return self.get(name)

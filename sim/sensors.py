# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a vehicle believes: true state in, the position and attitude that it reports and navigates by out.

Errors are those of a small GNSS/INS: a position bias that wanders over minutes (about 1 m), a constant yaw bias
(about 1.5 degrees), and small noise. Everything is drawn from the vehicle's seed.
"""

from __future__ import annotations

import math

from sim.noise import Noise, OrnsteinUhlenbeck
from sim.vehicle import Vehicle, degree_lengths_m

_BIAS_TAU_S = 900.0
_BIAS_EVERY_S = 1.0  # it wanders over minutes: no need to move it at each step


class Estimate:
    """The reported state; the same units and frames as `Vehicle`."""

    __slots__ = (
        "_bias_east",
        "_bias_north",
        "_bias_since_s",
        "_bias_up",
        "_noise",
        "_yaw_bias_rad",
        "amsl_m",
        "latitude_deg",
        "longitude_deg",
        "pitch_rad",
        "roll_rad",
        "velocity_down_m_s",
        "velocity_east_m_s",
        "velocity_north_m_s",
        "yaw_rad",
        "yaw_rate_rad_s",
    )

    def __init__(self, seed: str, vehicle: Vehicle, *, exact: bool = False) -> None:
        """exact: no error at all, for tests that look at the control law alone."""
        self._noise = None if exact else Noise(f"{seed}/sensors")
        draws = Noise(f"{seed}/biases")
        scale = 0.0 if exact else 1.0
        self._bias_north = OrnsteinUhlenbeck(draws, 0.8 * scale, _BIAS_TAU_S)
        self._bias_east = OrnsteinUhlenbeck(draws, 0.8 * scale, _BIAS_TAU_S)
        self._bias_up = OrnsteinUhlenbeck(draws, 0.8 * scale, _BIAS_TAU_S)
        self._yaw_bias_rad = math.radians(1.5) * draws.draw() * scale
        self._bias_since_s = 0.0
        self.yaw_rad = vehicle.yaw_rad
        self.yaw_rate_rad_s = 0.0
        self.update(vehicle, 0.1)

    def update(self, vehicle: Vehicle, dt_s: float) -> None:
        """Take in the true state after a step of dt_s."""
        per_lat, per_lon = degree_lengths_m(vehicle.latitude_deg)
        self._bias_since_s += dt_s
        if self._bias_since_s >= _BIAS_EVERY_S:
            self._bias_since_s = 0.0
            for bias in (self._bias_north, self._bias_east, self._bias_up):
                bias.step(_BIAS_EVERY_S)
        north, east, up = self._bias_north.value, self._bias_east.value, self._bias_up.value
        yaw = vehicle.yaw_rad + self._yaw_bias_rad
        if self._noise is None:
            self.velocity_north_m_s = vehicle.velocity_north_m_s
            self.velocity_east_m_s = vehicle.velocity_east_m_s
            self.velocity_down_m_s = vehicle.velocity_down_m_s
            self.roll_rad = vehicle.roll_rad
            self.pitch_rad = vehicle.pitch_rad
        else:
            draw = self._noise.draw
            north += 0.05 * draw()
            east += 0.05 * draw()
            up += 0.05 * draw()
            self.velocity_north_m_s = vehicle.velocity_north_m_s + 0.03 * draw()
            self.velocity_east_m_s = vehicle.velocity_east_m_s + 0.03 * draw()
            self.velocity_down_m_s = vehicle.velocity_down_m_s + 0.03 * draw()
            self.roll_rad = vehicle.roll_rad + 0.004 * draw()
            self.pitch_rad = vehicle.pitch_rad + 0.004 * draw()
            yaw += 0.004 * draw()
        self.latitude_deg = vehicle.latitude_deg + north / per_lat
        self.longitude_deg = vehicle.longitude_deg + east / per_lon
        self.amsl_m = vehicle.amsl_m + up
        turned = (yaw - self.yaw_rad + math.pi) % (2.0 * math.pi) - math.pi
        self.yaw_rate_rad_s = turned / dt_s
        self.yaw_rad = yaw % (2.0 * math.pi)

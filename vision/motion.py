# SPDX-License-Identifier: AGPL-3.0-or-later
"""Several looks at one thing become one place: standing still if that explains them, else walking straight on.

Weighted least squares over the looks. What is drawn anew at every look shrinks with their number; common errors are
carried through the same weights with their signs, so that they never shrink unless the geometry cancels them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import chdtri

from missions.geo import FloatArray
from vision.geolocate import GroundFix
from vision.sighting import GroundVelocity

_STILL_PROBABILITY: Final = 0.005  # a thing that stands still is called moving this rarely
# What walking must explain beyond standing still: two more parameters, so chi-square with two degrees of freedom (Wilks).
_GAIN: Final = float(chdtri(2, _STILL_PROBABILITY))
_MIN_LOOKS_MOVING: Final = 3
_MIN_SPAN_S: Final = 0.5  # looks closer in time than this say nothing about motion
_MIN_SPEED_M_S: Final = 0.5  # slower cannot be told from a wrong height above ground within a few looks
_MAX_SPEED_M_S: Final = 8.0
_IDENTITY: Final = np.eye(2)
_EXTRA_COV: Final = _IDENTITY * 0.3**2  # centre of a box against centre of a thing, in m^2


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One look's time on the vehicle's clock and place."""

    time_s: float
    fix: GroundFix


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Where a thing is at `time_s` and how it moves.

    look_cov: (2, 2) of the part that shrinks; common_slopes: (2, k) as in GroundFix; velocity is None for a thing
    that stands still; velocity_cov is its (2, 2) covariance.
    """

    time_s: float
    place: FloatArray
    look_cov: FloatArray
    common_slopes: FloatArray
    velocity: FloatArray | None
    velocity_cov: FloatArray | None

    @property
    def common_cov(self) -> FloatArray:
        return self.common_slopes @ self.common_slopes.T

    @property
    def speed(self) -> float | None:
        """Metres per second; None when it stands still."""
        return None if self.velocity is None else float(np.hypot(*self.velocity))

    def gate_distance2(self, look: Look, unknown_speed: float, unknown_s: float = math.inf) -> float:
        """Squared Mahalanobis distance between where it should be now and a new look.

        unknown_speed: one sigma per axis of the speed that a thing may take up, in metres per second. unknown_s: for
        how long doubt grows and a motion is carried on. Beyond it a gate that went on growing would reach the next
        thing, and make one track of two.
        """
        dt = min(look.time_s - self.time_s, unknown_s)
        expected = self.place if self.velocity is None else self.place + self.velocity * dt
        cov = self.look_cov + look.fix.look_cov + _EXTRA_COV + _IDENTITY * (unknown_speed * dt) ** 2
        if self.velocity_cov is not None:
            cov = cov + self.velocity_cov * dt**2
        drift = self.common_slopes - look.fix.common_slopes
        offset = look.fix.east_north_m - expected
        return float(offset @ np.linalg.solve(cov + drift @ drift.T, offset))


def estimate(looks: Sequence[Look]) -> Motion:
    """The place at the last look, from all of them. Raises ValueError without any."""
    if not looks:
        raise ValueError("no looks")
    times, places, noise, slopes = _stacked(looks)
    still = np.tile(_IDENTITY, (len(looks), 1))
    result, chi2 = _fit(still, places, noise, slopes, looks[-1].time_s)
    if len(looks) < _MIN_LOOKS_MOVING or chi2 <= _GAIN or float(np.ptp(times)) < _MIN_SPAN_S:
        return result
    walking, moving_chi2 = _fit(_straight(times), places, noise, slopes, looks[-1].time_s)
    speed = walking.speed
    if speed is None or not _MIN_SPEED_M_S <= speed <= _MAX_SPEED_M_S or chi2 - moving_chi2 <= _GAIN:
        return result
    return walking


def velocity(looks: Sequence[Look]) -> GroundVelocity | None:
    """The straight line's velocity over all looks with its whole doubt, also of what `estimate` says stands still.

    None for fewer than two looks, or looks so near in time that they say nothing.
    """
    if not looks or looks[-1].time_s - looks[0].time_s < _MIN_SPAN_S:
        return None
    times, places, noise, slopes = _stacked(looks)
    line, _ = _fit(_straight(times), places, noise, slopes, looks[-1].time_s)
    if line.velocity is None or line.velocity_cov is None:
        return None
    (east, north), cov = line.velocity, line.velocity_cov
    return GroundVelocity(float(east), float(north), float(cov[0, 0]), float(cov[0, 1]), float(cov[1, 1]))


def _stacked(looks: Sequence[Look]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Times (n,) before the last look, places (2n,), their noise (2n, 2n) and common slopes (2n, k)."""
    times = np.array([look.time_s for look in looks]) - looks[-1].time_s
    places = np.concatenate([look.fix.east_north_m for look in looks])
    slopes = np.concatenate([look.fix.common_slopes for look in looks])
    noise = np.zeros((len(places), len(places)))
    for i, look in enumerate(looks):
        noise[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = look.fix.look_cov + _EXTRA_COV
    return times, places, noise, slopes


def _straight(times: FloatArray) -> FloatArray:
    """The (2n, 4) design of a straight line at an even pace: place at the last look, then velocity."""
    return np.concatenate([np.tile(_IDENTITY, (len(times), 1)), np.kron(times[:, None], _IDENTITY)], axis=1)


def _fit(
    design: FloatArray, places: FloatArray, noise: FloatArray, slopes: FloatArray, time_s: float
) -> tuple[Motion, float]:
    weights = np.linalg.inv(noise)
    gain = np.linalg.solve(design.T @ weights @ design, design.T @ weights)
    parameters = gain @ places
    own = gain @ noise @ gain.T
    common = gain @ slopes
    residual = places - design @ parameters
    chi2 = float(residual @ np.linalg.solve(noise + slopes @ slopes.T, residual))
    moving = len(parameters) == 4
    return (
        Motion(
            time_s,
            parameters[:2],
            own[:2, :2],
            common[:2],
            parameters[2:] if moving else None,
            (own[2:, 2:] + common[2:] @ common[2:].T) if moving else None,
        ),
        chi2,
    )

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

from missions.geo import FloatArray
from vision.geolocate import GroundFix
from vision.sighting import GroundVelocity

_STILL_PROBABILITY: Final = 0.005  # a thing that stands still is called moving this rarely
# What walking must explain beyond standing still: two more parameters, so chi-square with two degrees of freedom (Wilks).
_GAIN: Final = -2.0 * math.log(_STILL_PROBABILITY)
_MIN_LOOKS_MOVING: Final = 3
_MIN_SPAN_S: Final = 0.5  # looks closer in time than this say nothing about motion
_MIN_SPEED_M_S: Final = 0.5  # slower cannot be told from a wrong height above ground within a few looks
_MAX_SPEED_M_S: Final = 8.0
_EXTRA_M: Final = 0.3  # centre of a box against centre of a thing, one sigma per axis
_LINE: Final = np.array([[0, 1], [1, 2]])  # which moment of time stands where in the normal matrix of a straight line
_EXTRA_COV: Final = np.eye(2) * _EXTRA_M**2


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
        east, north = look.fix.east_north_m - self.place
        drift = self.common_slopes - look.fix.common_slopes
        cov = self.look_cov + look.fix.look_cov + drift @ drift.T
        if self.velocity is not None:
            east, north = east - self.velocity[0] * dt, north - self.velocity[1] * dt
        if self.velocity_cov is not None:
            cov += self.velocity_cov * dt**2
        # the inverse of 2 x 2 written out: this is asked for every thing and every track of a frame
        (ee, en), (ne, nn) = cov.tolist()
        more = _EXTRA_M**2 + (unknown_speed * dt) ** 2
        ee, nn = ee + more, nn + more
        return float((nn * east * east - (en + ne) * east * north + ee * north * north) / (ee * nn - en * ne))


def estimate(looks: Sequence[Look]) -> Motion:
    """The place at the last look, from all of them. Raises ValueError without any."""
    if not looks:
        raise ValueError("no looks")
    stack = _stacked(looks)
    result, chi2 = _fit(stack, looks[-1].time_s, straight=False)
    if len(looks) < _MIN_LOOKS_MOVING or chi2 <= _GAIN or _span_s(looks) < _MIN_SPAN_S:
        return result
    walking, moving_chi2 = _fit(stack, looks[-1].time_s, straight=True)
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
    line, _ = _fit(_stacked(looks), looks[-1].time_s, straight=True)
    if line.velocity is None or line.velocity_cov is None:
        return None
    (east, north), cov = line.velocity, line.velocity_cov
    return GroundVelocity(float(east), float(north), float(cov[0, 0]), float(cov[0, 1]), float(cov[1, 1]))


def _span_s(looks: Sequence[Look]) -> float:
    times = [look.time_s for look in looks]
    return max(times) - min(times)


@dataclass(frozen=True, slots=True, eq=False)
class _Stack:
    """n looks: times (n,) before the last one; side by side (n, 2, 1 + k) their places and common slopes.

    weights: (n, 2, 2), the inverse of what is drawn anew at each look; weighted: (n, 2, 1 + k), weights times columns.
    """

    times: FloatArray
    columns: FloatArray
    weights: FloatArray
    weighted: FloatArray


def _stacked(looks: Sequence[Look]) -> _Stack:
    places = np.array([look.fix.east_north_m for look in looks])
    slopes = np.array([look.fix.common_slopes for look in looks])
    columns = np.concatenate([places[:, :, None], slopes], axis=2)
    noise = np.array([look.fix.look_cov for look in looks]) + _EXTRA_COV
    weights = np.asarray(np.linalg.inv(noise), dtype=np.float64)
    times = np.array([look.time_s for look in looks]) - looks[-1].time_s
    return _Stack(times, columns, weights, weights @ columns)


def _fit(stack: _Stack, time_s: float, *, straight: bool) -> tuple[Motion, float]:
    """The place, or the place and velocity of a straight line at an even pace, with the chi-square of what is left.

    Looks are independent but for their common errors, so that sums of 2 x 2 parts do what matrices over all looks would.
    """
    times, columns = stack.times, stack.columns
    if straight:
        # (4, 4) and (4, 1 + k): place at the last look, then velocity
        powers = np.array([np.ones_like(times), times, times * times])
        moments = (powers @ stack.weights.reshape(-1, 4)).reshape(3, 2, 2)
        own = np.linalg.inv(moments[_LINE].transpose(0, 2, 1, 3).reshape(4, 4))
        found = own @ (powers[:2] @ stack.weighted.reshape(len(times), -1)).reshape(4, -1)
        left = columns[:, :, 0] - found[:2, 0] - times[:, None] * found[2:, 0]
    else:
        own = np.linalg.inv(stack.weights.sum(axis=0))
        found = own @ stack.weighted.sum(axis=0)
        left = columns[:, :, 0] - found[:, 0]
    common = found[:, 1:]
    return (
        Motion(
            time_s,
            found[:2, 0],
            own[:2, :2],
            common[:2],
            found[2:, 0] if straight else None,
            (own[2:, 2:] + common[2:] @ common[2:].T) if straight else None,
        ),
        _chi2(left, stack),
    )


def _chi2(left: FloatArray, stack: _Stack) -> float:
    """Of residuals (n, 2): left' (N + S S')^-1 left, by Woodbury's identity: N is made of 2 x 2 blocks, S has k columns."""
    slopes = stack.columns[:, :, 1:].reshape(left.size, -1)
    weighted = stack.weighted[:, :, 1:].reshape(left.size, -1)
    rest = left.ravel()
    own = rest @ (stack.weights @ left[:, :, None]).ravel()
    across = weighted.T @ rest
    return float(own - across @ np.linalg.solve(np.eye(len(across)) + slopes.T @ weighted, across))

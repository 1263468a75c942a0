# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether two looks at the ground can be one thing that stood or walked in between: a likelihood ratio. Pure.

Hypotheses about somebody seen at `a` and again at `b`, each with the weight that the measured velocities give it:
stood all the time; walked all the time, the velocity carried on and slowly forgotten; began or stopped in between.
Their likelihood is held against that of a new thing, of which there are `new_per_m2` on any square metre. So doubt that
grows with time does not open the gate without end: a place that could be anywhere explains no sighting in particular.

A walker's velocity is an Ornstein-Uhlenbeck process (Uhlenbeck and Ornstein 1930): straight on at first, and at walking
pace whatever the time, where a constant velocity with noise would grow without bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from missions.geo import FloatArray

_I2: Final = np.eye(2)
_LOG_2PI: Final = math.log(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class WalkRules:
    """How people and animals go about. Speeds are one sigma per axis."""

    walk_sigma_m_s: float = 0.9  # root mean square speed 1.27 m/s: the pace of people walking
    still_sigma_m_s: float = 0.1
    still_sigma_m: float = 0.5  # somebody who stands shifts, turns round, takes a step
    forget_s: float = 15.0  # for how long somebody walking keeps a direction
    change_s: float = 300.0  # by then half of those who stood or walked have changed
    walkers: float = 0.3  # share of people who walk, before anything was measured
    new_per_m2: float = 1e-4  # things not seen yet: one a hectare


@dataclass(frozen=True, slots=True, eq=False)
class Whereabouts:
    """A place (2,) in east-north metres with its (2, 2) covariance, at a moment, and the velocity if it is known.

    at_s is the moment at which a walker was at the place: for a place that is the mean of looks, the mean of their times.
    """

    at_s: float
    place: FloatArray
    cov: FloatArray
    velocity: FloatArray | None
    velocity_cov: FloatArray | None


def one_walker(a: Whereabouts, b: Whereabouts, rules: WalkRules) -> float:
    """The log of how much likelier one person or animal is at `a` and `b` than two. The order of both is free."""
    if b.at_s < a.at_s:
        a, b = b, a
    dt = b.at_s - a.at_s
    offset, cov = b.place - a.place, a.cov + b.cov
    walking = walks(a, rules)
    stays = rules.change_s / (rules.change_s + dt)  # some stand for a minute, others lie there for hours (Lomax)
    walk = rules.walk_sigma_m_s
    b_still, b_walks = _velocity_density(b, rules.still_sigma_m_s), _velocity_density(b, walk)
    forgotten = math.exp(-dt / rules.forget_s)
    reach = rules.forget_s * (1.0 - forgotten)  # seconds of the old velocity that are walked
    spread = walk**2 * rules.forget_s**2 * (2 * dt / rules.forget_s - 3 + 4 * forgotten - forgotten**2)
    stood = (1.0 - walking) * stays * _density(offset, cov + _I2 * rules.still_sigma_m**2) * b_still
    walked = walking * stays * _walked(a, b, rules, (reach, forgotten, spread))
    # what began or stopped in between walked for a part of the time, nobody knows where to
    anywhere = _density(offset, cov + _I2 * (walk**2 * reach**2 / 3 + spread / 2))
    changed = (1.0 - stays) * anywhere * ((1.0 - walking) * b_walks + walking * b_still)
    new = rules.new_per_m2 * ((1.0 - rules.walkers) * b_still + rules.walkers * b_walks)
    return _log(stood + walked + changed) - _log(new)


def one_still_thing(offset: FloatArray, cov: FloatArray, rules: WalkRules) -> float:
    """The same for what cannot walk: `offset` (2,) between both places, `cov` (2, 2) of it."""
    return _log(_density(offset, cov)) - _log(rules.new_per_m2)


def walks(seen: Whereabouts, rules: WalkRules) -> float:
    """The probability that somebody walks, from the measured velocity."""
    walking = rules.walkers * _velocity_density(seen, rules.walk_sigma_m_s)
    standing = (1.0 - rules.walkers) * _velocity_density(seen, rules.still_sigma_m_s)
    return walking / (walking + standing) if walking + standing > 0.0 else rules.walkers


def _velocity_density(seen: Whereabouts, sigma_m_s: float) -> float:
    """Density of the measured velocity, for somebody whose velocity is drawn with that sigma; 1 if none was measured."""
    if seen.velocity is None or seen.velocity_cov is None:
        return 1.0
    return _density(seen.velocity, seen.velocity_cov + _I2 * sigma_m_s**2)


def _walked(a: Whereabouts, b: Whereabouts, rules: WalkRules, steps: tuple[float, float, float]) -> float:
    """Density of b's place (and velocity, if measured) for somebody who has walked on from a."""
    reach, forgotten, spread = steps
    walk2 = rules.walk_sigma_m_s**2
    mean, cov = np.zeros(2), _I2 * walk2
    if a.velocity is not None and a.velocity_cov is not None:  # what was measured, held against the pace of walking
        gain = cov @ np.linalg.inv(cov + a.velocity_cov)
        mean, cov = gain @ a.velocity, cov - gain @ cov
    offset = b.place - a.place - mean * reach
    place_cov = a.cov + b.cov + cov * reach**2 + _I2 * spread
    if b.velocity is None or b.velocity_cov is None:
        return _density(offset, place_cov)
    noise = walk2 * (1.0 - forgotten**2)
    crossed = cov * reach * forgotten + _I2 * walk2 * rules.forget_s * (1.0 - forgotten) ** 2
    velocity_cov = cov * forgotten**2 + _I2 * noise + b.velocity_cov
    both = np.concatenate([offset, b.velocity - mean * forgotten])
    return _density(both, np.block([[place_cov, crossed], [crossed.T, velocity_cov]]))


def _density(offset: FloatArray, cov: FloatArray) -> float:
    """The normal density of an offset; 0 where it is smaller than floating point knows."""
    sign, log_det = np.linalg.slogdet(cov)
    if sign <= 0:
        return 0.0
    exponent = float(offset @ np.linalg.solve(cov, offset))
    return math.exp(max(-700.0, -0.5 * (exponent + log_det + len(offset) * _LOG_2PI)))


def _log(value: float) -> float:
    return math.log(max(value, 1e-300))

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Seeded Gaussian numbers, cheaply: wind and sensors of every vehicle draw from here at each step.

A table of standard normal numbers is drawn once per vehicle; walking it costs a tenth of a fresh draw. The walk
repeats after thousands of draws, which no test or picture can tell from fresh noise.
"""

from __future__ import annotations

import math
import random

_TABLE = 4093  # a prime, so that walks of few draws per step do not fall into step with the table


class Noise:
    """An endless walk over standard normal numbers of one seed."""

    __slots__ = ("_at", "_table")

    def __init__(self, seed: str) -> None:
        rng = random.Random(seed)
        self._table = [rng.gauss(0.0, 1.0) for _ in range(_TABLE)]
        self._at = 0

    def draw(self) -> float:
        """The next standard normal number."""
        at = self._at
        self._at = at + 1 if at + 1 < _TABLE else 0
        return self._table[at]


class OrnsteinUhlenbeck:
    """A wandering value with mean 0, stationary standard deviation `sigma` and correlation time `tau_s`.

    Exact discretisation: x' = x e^(-dt/tau) + sigma sqrt(1 - e^(-2 dt/tau)) n (Gillespie 1996).
    """

    __slots__ = ("_decay", "_dt", "_kick", "_noise", "sigma", "tau_s", "value")

    def __init__(self, noise: Noise, sigma: float, tau_s: float) -> None:
        self._noise = noise
        self.sigma = sigma
        self.tau_s = tau_s
        self.value = sigma * noise.draw()
        self._dt = 0.0
        self._decay = 1.0
        self._kick = 0.0

    def step(self, dt_s: float) -> float:
        """Advance by dt_s; returns the new value."""
        if self.sigma == 0.0:
            return 0.0
        if dt_s != self._dt:
            self._dt = dt_s
            self._decay = math.exp(-dt_s / self.tau_s)
            self._kick = self.sigma * math.sqrt(1.0 - self._decay * self._decay)
        self.value = self.value * self._decay + self._kick * self._noise.draw()
        return self.value

# SPDX-License-Identifier: AGPL-3.0-or-later
"""A bad radio: decides for each packet whether it is dropped, delayed or doubled. Pure but for its seeded draws.

The runner asks once per packet and direction. A cut link loses everything until it is restored.
"""

from __future__ import annotations

import random

from sim.config import FaultConfig


class Radio:
    """The link of one vehicle, both ways."""

    def __init__(self, vehicle_id: str, config: FaultConfig | None) -> None:
        self._vehicle_id = vehicle_id
        self._config = FaultConfig()
        self._rng = random.Random(0)
        self.cut = False
        self.dropped = 0
        self.set(config)

    def set(self, config: FaultConfig | None) -> None:
        """Other faults from now on; None: none."""
        self._config = config or FaultConfig()
        self._rng = random.Random(f"{self._config.seed}/{self._vehicle_id}")

    @property
    def clear(self) -> bool:
        """Nothing happens to packets: they may go in bulk."""
        config = self._config
        return not self.cut and config.drop == 0.0 and config.duplicate == 0.0 and config.delay_s == 0.0

    def deliveries(self) -> tuple[float, ...]:
        """Delays in real seconds at which one packet arrives: none when it is lost, two when it is doubled.

        A delay varies by half of itself either way, so packets overtake each other.
        """
        config = self._config
        if self.cut or self._rng.random() < config.drop:
            self.dropped += 1
            return ()
        copies = 2 if self._rng.random() < config.duplicate else 1
        return tuple(config.delay_s * self._rng.uniform(0.5, 1.5) for _ in range(copies))

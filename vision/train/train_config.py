# SPDX-License-Identifier: AGPL-3.0-or-later
"""How to train: the settings of a fine-tuning, and what cannot work among them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .augment import AugmentConfig
from .errors import UserError


@dataclass(frozen=True)
class TrainConfig:
    """How to train; exactly one of epochs and minutes is set."""

    epochs: int | None = None
    minutes: float | None = None
    width: int = 640
    height: int = 512
    batch: int = 8
    lr: float = 1e-3
    final_lr: float = 0.02
    calm: float = 0.0  # this share of the schedule, at its end, is augmented less
    weight_decay: float = 5e-4
    warmup_steps: int = 150
    freeze: int = 0  # the first so many layers stay as they were: a fifth less time where time is short
    threads: int = 2
    device: str = "cpu"  # or the number of a GPU, or what else torch calls its devices
    workers: int = 0  # processes that make the pictures; 0: the training's own
    colour: bool = False
    seed: int = 0
    cache_bytes: int = 2 << 30
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def check(self) -> None:
        """Raise a UserError for settings that cannot work."""
        if (self.epochs is None) == (self.minutes is None):
            raise UserError("give either a number of epochs or a number of minutes")
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"epochs must be at least 1 (found {self.epochs})")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UserError(f"minutes must be above 0 (found {self.minutes:g})")
        if not 0 < self.lr <= 1:
            raise UserError(f"--lr must be above 0 and at most 1 (found {self.lr:g})")
        for name, least in (("threads", 1), ("workers", 0), ("seed", 0), ("freeze", 0), ("warmup_steps", 0)):
            if getattr(self, name) < least:
                raise UserError(f"--{name.replace('_', '-')} must be at least {least} (found {getattr(self, name)})")
        if self.width % 32 or self.height % 32 or self.width < 64 or self.height < 64:
            raise UserError(f"width and height must be multiples of 32 (found {self.width}x{self.height})")
        if self.batch < 2:
            raise UserError(f"batch must be at least 2 (found {self.batch})")
        if not 0 <= self.augment.p_cold <= 1:
            raise UserError(f"--cold must be from 0 to 1 (found {self.augment.p_cold:g})")
        if not 0 <= self.augment.p_wild <= 1 - self.augment.p_cold:
            raise UserError(f"--wild must be from 0 to what --cold leaves of 1 (found {self.augment.p_wild:g})")
        if not 0 <= self.calm <= 1:
            raise UserError(f"--calm must be from 0 to 1 (found {self.calm:g})")

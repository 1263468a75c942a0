# SPDX-License-Identifier: AGPL-3.0-or-later
"""Things as one look shows them."""

from __future__ import annotations

from vision.sighting import Kind
from vision.unite import Observation

PERSON = Observation(0, 0, 20, 10, learned_kind=Kind.PERSON, learned_score=0.62, hot_sigma=7.1, detectors=("m", "h"))
WEAK = Observation(0, 0, 20, 10, learned_kind=Kind.PERSON, learned_score=0.2, detectors=("m",))
SPOT = Observation(0, 0, 10, 10, hot_sigma=12.0, detectors=("h",))
FIRE = Observation(0, 0, 30, 30, fire=True, temperature_max_c=400.0, area_px=50, detectors=("f",))

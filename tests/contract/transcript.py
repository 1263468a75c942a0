# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a vehicle went through, without times: the sequence of each part of its state.

Recorded from real PX4 runs (`--px4 PATH --record`) and committed with PX4's version; every run on the simulator is
compared with them. The parts are kept apart, since messages of different kinds overtake each other by chance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dronectl.fleet.link import VehicleState

FOLDER = Path(__file__).parent / "transcripts"
_PARTS: dict[str, Callable[[VehicleState], object]] = {
    "mode": lambda s: s.mode.value,
    "armed": lambda s: s.armed,
    "landed": lambda s: s.landed.value,
    "mission_current": lambda s: s.mission_current,
}


def edges(history: Sequence[VehicleState]) -> dict[str, list[object]]:
    """Each part's values, repetitions left out."""
    found: dict[str, list[object]] = {part: [] for part in _PARTS}
    for state in history:
        if state.connected:
            for part, value_of in _PARTS.items():
                value = value_of(state)
                if not found[part] or found[part][-1] != value:
                    found[part].append(value)
    # Items without a place are reached in the same moment as the one before: only the last is sure to be seen.
    found["last_reached"] = [history[-1].mission_reached]
    return found


# A look at last values can miss what lasts no longer than a moment; it can never see what was not there.
_BRIEF = {"taking_off", "landing"}


def same(seen: list[object], recorded: list[object]) -> bool:
    """The same sequence, but for brief states that were missed."""
    rest = iter(recorded)
    in_order = all(value in rest for value in seen)
    return in_order and _lasting(seen) == _lasting(recorded)


def _lasting(sequence: list[object]) -> list[object]:
    found: list[object] = []
    for value in sequence:
        if value not in _BRIEF and (not found or found[-1] != value):
            found.append(value)
    return found


@dataclass
class Transcript:
    """Compares with what is committed, or records."""

    real: bool
    record: bool

    def check(self, scenario: str, history: Sequence[VehicleState], px4_version: str | None) -> None:
        """On the simulator: the same as every recorded PX4. On PX4: written if asked."""
        seen = edges(history)
        if not self.real:
            recordings = sorted(FOLDER.glob("px4_*.json"))
            assert recordings, f"no transcripts in {FOLDER}"
            for path in recordings:
                for part, recorded in json.loads(path.read_text(encoding="utf-8"))[scenario].items():
                    assert same(seen[part], recorded), f"{scenario}: {part}: {seen[part]}, in {path.name}: {recorded}"
        elif self.record:
            assert px4_version is not None
            path = FOLDER / f"px4_{px4_version}.json"
            document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            document[scenario] = seen
            path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")

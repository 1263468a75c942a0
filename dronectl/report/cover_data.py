# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the report of a coverage says, and what it owes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from dronectl.report.data import FlightSummary, Goal, RunFacts

REQUIRED_SEEN: Final = 0.99  # of what was planned to be seen; telemetry and wind cost a little on the edges


@dataclass(frozen=True, slots=True)
class CoverFlight:
    """One flight: where on the path over the area it begins and ends, and what became of it."""

    number: int
    from_m: float
    to_m: float
    flight: FlightSummary


@dataclass(frozen=True, slots=True)
class CoverReport(RunFacts):
    """Everything in one report of a coverage. Shares are of the area, by the raster judge."""

    passed: bool
    note: str
    goals: tuple[Goal, ...]
    honesty: tuple[tuple[str, str], ...]  # (Chinese, English)
    map_svg: str
    area_m2: float
    seen_planned: float
    seen_flown: float
    seen_width_m: float
    path_m: float
    path_bound_m: float
    time_planned_s: float
    time_bound_s: float
    flights: tuple[CoverFlight, ...]

    def document(self) -> dict[str, Any]:
        """The same for machines, without the map."""
        document = asdict(self)
        del document["map_svg"]
        return {"schema_version": 1, **document}


def cover_goals(
    seen_planned: float, seen_flown: float, *, completed: int, planned: int, all_landed: bool
) -> tuple[Goal, ...]:
    """The conditions of success."""
    return (
        Goal(
            f"实看面积至少为计划的 {REQUIRED_SEEN:.0%}",
            f"at least {REQUIRED_SEEN:.0%} of what was planned to be seen was really seen",
            seen_flown >= REQUIRED_SEEN * seen_planned,
            f"{seen_flown:.2%} of the area, {seen_planned:.2%} planned",
        ),
        Goal("全部架次飞完", "every flight was flown to its end", completed == planned, f"{completed} / {planned}"),
        Goal("全部降落", "everyone landed", all_landed, "yes" if all_landed else "no"),
    )

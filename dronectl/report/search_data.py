# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the report of a search says, before it is turned into HTML or JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dronectl.report.data import AlertSummary, BlindTime, FlightSummary, Goal, RunFacts, ThingSummary
from dronectl.report.score import Score
from dronectl.report.search_score import Result


@dataclass(frozen=True, slots=True)
class FormSummary:
    """The last-seen form."""

    place: str
    latitude_deg: float
    longitude_deg: float
    category: str
    terrain: str
    minutes_ago: float
    source: str
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WaveSummary:
    """One wave: what was planned, and what the flights were worth that were really flown.

    pos, bound: of the plan. swept: probability of success of the footprints flown, until the find if there was one.
    left_outside: believed afterwards to be where no drone can look. pattern: of the plan. Minutes from the first launch.
    """

    number: int
    pattern: str
    pos: float
    bound: float
    swept: float
    left_outside: float
    launched_min: float
    landed_min: float
    flights: tuple[FlightSummary, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """What is believed after all flights, had they found nothing: shares that sum to one.

    seen: on ground that thermal cameras were over; unseen: on the rest within reach; outside: beyond reach. sectors: the
    unseen part by compass sector around the place last seen, the most first.
    """

    seen: float
    unseen: float
    outside: float
    sectors: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class SearchReport(RunFacts):
    """Everything in one report of a search."""

    passed: bool
    note: str
    result: Result
    minutes_to_find: float | None
    form: FormSummary
    waves: tuple[WaveSummary, ...]
    goals: tuple[Goal, ...]
    honesty: tuple[tuple[str, str], ...]  # (Chinese, English)
    before_svg: str
    after_svg: str
    area_seen_m2: float
    probability_seen: float  # of the map before any flight, on ground that thermal cameras were over
    left: Left
    left_words: str
    alerts: tuple[AlertSummary, ...]
    things: tuple[ThingSummary, ...]
    decoys: int
    score: Score
    frames_seen: int
    frames_dropped: int
    blind: tuple[BlindTime, ...]

    def document(self) -> dict[str, Any]:
        """The same for machines, without the maps."""
        document = asdict(self)
        del document["before_svg"], document["after_svg"]
        return {"schema_version": 1, **document}

# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a reviewer looks at, out of the lines of `dronectl detect`: tracks, and detections of single pictures. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vision.examine_lines import Line


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture in which a thing of stills was seen."""

    source: str
    taken_at: str | None
    confidence: float
    crop: str | None


@dataclass(frozen=True, slots=True)
class Thing:
    """One card, one feature. Times are the picture's own (ISO 8601, camera's clock) or seconds of the video."""

    thing_id: str
    is_track: bool
    source: str
    kind: str
    confidence: float
    rule: str
    detectors: tuple[str, ...]
    place: Line | None
    no_place: str | None
    taken_at: str | None = None
    first_s: float | None = None
    last_s: float | None = None
    looks: int | None = None
    chances: int | None = None
    learned_score: float | None = None
    hot_spot_sigma: float | None = None
    contrast_c: float | None = None
    temperature_max_c: float | None = None
    size_m: float | None = None
    speed_m_s: float | None = None
    values: str | None = None  # how far the picture's values are to be trusted
    crop: str | None = None
    context: str | None = None
    experimental: bool | None = None
    sightings: tuple[Seen, ...] | None = None  # of a thing in several stills; source and crop are the best one's


def still_thing(line: Line, detection: Line, number: int) -> Thing:
    """A detection of a still, the n-th of its picture."""
    return Thing(
        thing_id=f"{line['source']}#{number}",
        is_track=False,
        source=line["source"],
        kind=detection["kind"],
        confidence=detection["confidence"],
        rule=detection["rule"],
        detectors=tuple(detection["detectors"]),
        place=detection["place"],
        no_place=None if detection["place"] else line["no_place"] or "no ground is seen there",
        taken_at=line.get("taken_at"),
        values=line.get("values"),
        crop=detection.get("crop"),
        context=line.get("context"),
        experimental=line.get("experimental"),
        **{name: detection[name] for name in _MEASURED},
    )


_MEASURED = ("learned_score", "hot_spot_sigma", "contrast_c", "temperature_max_c", "size_m")


def track_thing(line: Line) -> Thing:
    """A track as its line has it."""
    evidence: list[str] = line["evidence"]

    def picture(role: str) -> str | None:
        return next((name for name in evidence if name.endswith(f"-{role}.jpg")), None)

    more: dict[str, Any] = {
        name: line[name]
        for name in ("first_s", "last_s", "looks", "chances", "temperature_max_c", "size_m", "speed_m_s")
    }
    return Thing(
        thing_id=f"{line['source']}#{line['track_id']}",
        is_track=True,
        source=line["source"],
        kind=line["kind"],
        confidence=line["confidence"],
        rule=line["rule"],
        detectors=tuple(d for d in line["detector"].split("; ") if d),
        place=line["place"],
        no_place=None if line["place"] else "the camera's pose is not known",
        crop=picture("crop"),
        context=picture("context"),
        experimental=line.get("experimental"),
        **more,
    )

# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a reviewer looks at, out of the lines of `dronectl detect`: tracks, and detections of single pictures. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

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
    box_px: tuple[float, ...] | None = None  # left, top, right, bottom in the context picture
    frame_px: tuple[int, int] | None = None  # its width and height
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
        box_px=tuple(detection["box_px"]),
        frame_px=(line["width_px"], line["height_px"]),
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


_MOST_NAMED: Final = 200


@dataclass(slots=True)
class Some:
    """How many there were, and the first of them in words."""

    count: int = 0
    some: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """One more."""
        self.count += 1
        if len(self.some) < _MOST_NAMED:
            self.some.append(text)


@dataclass(slots=True)
class Looked:
    """What a run looked at and what it did not: without it nobody can tell an empty result from one that saw little."""

    stills: int = 0
    frames: int = 0  # of videos and streams
    failed: Some = field(default_factory=Some)
    damaged: Some = field(default_factory=Some)
    gaps: Some = field(default_factory=Some)
    models: dict[str, None] = field(default_factory=dict)
    _moving: set[str] = field(default_factory=set)
    _refused: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, line: Line) -> None:
        """Take one line of a run into account."""
        kind, source = line.get("type"), str(line.get("source"))
        if kind == "error":
            self.failed.add(str(line["message"]))
        elif kind == "gap":
            self.gaps.add(f"{source}: {line['from_s']:.0f}–{line['to_s']:.0f} s: {line['reason']}")
        elif kind == "frame":
            still = line.get("media") == "still"
            refusal = line.get("not_looked_at")
            if refusal is not None:
                self._refused["" if still else source, str(refusal)] += 1
            elif still:
                self.stills += 1
            else:
                self.frames += 1
                self._moving.add(source)
            if line.get("damaged") is not None:
                self.damaged.add(f"{source}: {line['damaged']}")
            if line.get("model") is not None:
                self.models.setdefault(str(line["model"]))

    def facts(self) -> dict[str, Any]:
        """The same as the page takes it."""
        refused = Some(self._refused.total())
        for (source, why), count in self._refused.most_common(_MOST_NAMED):
            refused.some.append(f"{count} × {f'{source}: ' if source else ''}{why}")
        lists = {"failed": self.failed, "damaged": self.damaged, "refused": refused, "gaps": self.gaps}
        return {
            "stills": self.stills,
            "frames": self.frames,
            "moving": len(self._moving),
            "models": list(self.models),
            **{name: {"count": value.count, "some": value.some} for name, value in lists.items()},
        }

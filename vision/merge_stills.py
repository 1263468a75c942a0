# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cards and features out of the lines of `dronectl detect`: one thing in several overlapping stills is one. Pure.

Places inside a Mahalanobis gate are united. Frames of videos give nothing: what is in them is in their tracks, and a
track counts once, as its last line has it.

Two detections of one picture are two things. Pictures of one folder and camera are one flight: their shared errors
cancel between them. Detections without a place stay alone, as does whatever has nothing near it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePath
from typing import Final

from missions.geo import GeoPoint, LocalFrame
from missions.model import Modality
from vision.examine_lines import Line, place_line, place_of
from vision.merge import Incident, Merger, MergeRules
from vision.review_things import Seen, Thing, still_thing, track_thing
from vision.sighting import Kind, Phase, Sighting

#: A day's stills: who lies somewhere is the same in the afternoon. Two boxes of one picture are two things, as it says.
RULES: Final = MergeRules(memory_s=12 * 3600.0, within=0.0)
_CELL_M: Final = RULES.max_still_m + RULES.max_walk_m  # nothing farther apart is ever united


@dataclass(frozen=True, slots=True)
class Placed:
    """A thing of a still with what the gate needs. number: of its picture, in order of the lines."""

    thing: Thing
    place: Line
    number: int
    camera: str | None
    pixels: str
    amsl_known: bool


def things(lines: Iterable[Line]) -> Iterator[Thing]:
    """Things of stills that cannot be united, then those with a place, then tracks as they stood last."""
    tracks: dict[tuple[str, str], Line] = {}
    placed: list[Placed] = []
    for number, line in enumerate(lines):
        if line.get("type") == "track":
            tracks[str(line["source"]), str(line["track_id"])] = line
        elif line.get("type") == "frame" and line.get("media") == "still":
            for index, detection in enumerate(line["detections"], 1):
                thing, place = still_thing(line, detection, index), detection["place"]
                if place is None or "covariance_m2" not in place:  # lines of an earlier version lack it
                    yield thing
                else:
                    known = place["amsl_m"] is not None
                    placed.append(Placed(thing, place, number, line.get("camera"), line["pixels"], known))
    yield from merge(placed)
    for line in tracks.values():
        yield track_thing(line)


def merge(found: Iterable[Placed]) -> Iterator[Thing]:
    """Things in order of their first sighting; those seen in several pictures carry all sightings."""
    members = list(found)
    if not members:
        return
    frame = LocalFrame(GeoPoint(members[0].place["latitude_deg"], members[0].place["longitude_deg"]))
    merged: list[tuple[int, Thing]] = []
    for group in _neighbours(frame, members):
        merged += _group(frame, group)
    yield from (thing for _, thing in sorted(merged, key=lambda pair: pair[0]))


def _neighbours(frame: LocalFrame, members: list[Placed]) -> list[list[Placed]]:
    """Groups so far apart that nothing of one can belong to another: connected cells of a grid."""
    cells: dict[tuple[int, int], list[Placed]] = {}
    for member in members:
        east, north = frame.to_enu(GeoPoint(member.place["latitude_deg"], member.place["longitude_deg"]))
        cells.setdefault((math.floor(east / _CELL_M), math.floor(north / _CELL_M)), []).append(member)
    groups = []
    while cells:
        start = next(iter(cells))
        todo, group = [start], cells.pop(start)
        while todo:
            x, y = todo.pop()
            for near in [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if near in cells:
                    group += cells.pop(near)
                    todo.append(near)
        groups.append(group)
    return groups


def _group(frame: LocalFrame, members: list[Placed]) -> Iterator[tuple[int, Thing]]:
    if len(members) == 1:
        yield members[0].number, members[0].thing
        return
    merger = Merger(frame, RULES)
    by_id = {m.thing.thing_id: m for m in members}
    # what is surest comes first within a picture, so that it gets the incident nearest to it
    for member in sorted(members, key=lambda m: (_time_s(m), m.number, -m.thing.confidence)):
        merger.add(_sighting(member), _time_s(member))
    for incident in merger.incidents:
        seen = [by_id[track] for track in incident.members]
        yield min(m.number for m in seen), _one(incident, seen)


def _time_s(member: Placed) -> float:
    """Seconds by the camera's clock; without one, pictures count as taken one after the other."""
    try:
        return datetime.fromisoformat(member.thing.taken_at or "").timestamp()
    except ValueError:
        return 2.0 * member.number


def _sighting(member: Placed) -> Sighting:
    thing = member.thing
    flight = f"{PurePath(thing.source).parent}/{member.camera}"
    return Sighting(
        track_id=thing.thing_id,
        sequence=0,
        phase=Phase.END,
        kind=Kind(thing.kind),
        confidence=thing.confidence,
        modality=Modality.RGB if member.pixels == "bgr8" else Modality.THERMAL,
        camera_id=flight,
        vehicle_id=flight,
        place=place_of(member.place),
        # a picture's number stands for its time: only what one picture shows was there at once
        first_exposure_s=float(member.number),
        last_exposure_s=member.number + 0.5,
        confirmed_exposure_monotonic_s=None,
        looks=1,
        chances=1,
        rule=thing.rule,
        temperature_max_c=thing.temperature_max_c,
        size_m=thing.size_m,
        speed_m_s=None,
        detector="; ".join(thing.detectors),
        evidence=(),
    )


def _one(incident: Incident, seen: list[Placed]) -> Thing:
    best = max(seen, key=lambda m: (m.thing.kind == incident.kind.value, m.thing.confidence, -m.number))
    if len(seen) == 1:
        return best.thing
    return replace(
        best.thing,
        kind=incident.kind.value,
        confidence=round(incident.confidence, 3),
        place=place_line(incident.place, amsl_known=best.amsl_known),
        looks=len(seen),
        sightings=tuple(
            Seen(m.thing.source, m.thing.taken_at, m.thing.confidence, m.thing.crop)
            for m in sorted(seen, key=lambda m: m.number)
        ),
    )

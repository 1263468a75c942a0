# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sightings become incidents: which thing a sighting belongs to, and what is known of the thing. Pure.

Association is geometric and within one mission; nobody is recognised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from dronectl.alerts.association import fuse, same_thing
from dronectl.alerts.model import Facts, Incident, Note
from vision.sighting import Evidence, Sighting

MAX_SIGHTINGS: Final = 16
MAX_TRACK_IDS: Final = 256
MAX_EVIDENCE: Final = 8
MAX_NOTES: Final = 50


def find(sighting: Sighting, mission_id: str | None, incidents: Iterable[Incident]) -> Incident | None:
    """The incident nearest through the gate, for a track that belongs to none yet."""
    nearest: tuple[float, Incident] | None = None
    for incident in incidents:
        if incident.mission_id != mission_id:
            continue
        distance = same_thing(sighting, incident.sightings, incident.place)
        if distance is not None and (nearest is None or distance < nearest[0]):
            nearest = distance, incident
    return None if nearest is None else nearest[1]


def opened(sighting: Sighting, incident_id: str, mission_id: str | None, now: datetime, observed: datetime) -> Incident:
    """A new incident with its first sighting."""
    return Incident(
        incident_id=incident_id,
        mission_id=mission_id,
        kind=sighting.kind,
        sightings=(sighting,),
        place=fuse((sighting,)),
        opened_at=now,
        updated_at=now,
        observed_at=observed,
        track_ids=(sighting.track_id,),
        timeline=(Note(now, f"seen by {_seer(sighting)}"),),
    )


def extended(incident: Incident, sighting: Sighting, now: datetime) -> Incident:
    """The incident with the newest word of a track; an older word than the one that it has changes nothing."""
    known = {old.track_id: old for old in incident.sightings}
    before = known.pop(sighting.track_id, None)
    if before is not None and before.sequence >= sighting.sequence:
        return incident
    sightings = (*known.values(), sighting)
    if len(sightings) > MAX_SIGHTINGS:  # the weakest goes; its track stays known
        weakest = min(sightings[:-1], key=lambda s: (s.place is not None, s.confidence, s.looks))
        sightings = tuple(s for s in sightings if s is not weakest)
    track_ids, timeline = incident.track_ids, incident.timeline
    if sighting.track_id not in track_ids:
        track_ids = (*track_ids, sighting.track_id)[-MAX_TRACK_IDS:]
        timeline = add_note(timeline, Note(now, f"seen again by {_seer(sighting)}"))
    return replace(
        incident,
        kind=_best(sightings).kind,
        sightings=sightings,
        place=fuse(sightings),
        updated_at=now,
        track_ids=track_ids,
        timeline=timeline,
    )


def add_note(timeline: tuple[Note, ...], note: Note) -> tuple[Note, ...]:
    """The story with one more line; its first line stays, the oldest of the others go."""
    notes = (*timeline, note)
    return notes if len(notes) <= MAX_NOTES else (notes[0], *notes[len(notes) - MAX_NOTES + 1 :])


def facts(incident: Incident) -> Facts:
    """What an alert tells of the incident as it stands."""
    sightings = incident.sightings
    best = _best(sightings)
    evidence: dict[str, Evidence] = {}
    for sighting in sorted(sightings, key=lambda s: s.confidence, reverse=True):
        for item in sighting.evidence:
            evidence.setdefault(item.sha256, item)
    return Facts(
        kind=incident.kind,
        place=incident.place,
        evidence=tuple(evidence.values())[:MAX_EVIDENCE],
        confidence=min(1.0, max(0.0, best.confidence)),
        looks=sum(s.looks for s in sightings),
        chances=sum(s.chances for s in sightings),
        tracks=len(incident.track_ids),
        confirmed_by=best.rule,
        detectors=_distinct(s.detector for s in sightings),
        modalities=_distinct(str(s.modality) for s in sightings),
        cameras=_distinct(s.camera_id for s in sightings),
        vehicles=_distinct(s.vehicle_id for s in sightings if s.vehicle_id is not None),
        temperature_max_c=max(
            (s.temperature_max_c for s in sightings if s.temperature_max_c is not None), default=None
        ),
        size_m=best.size_m,
        speed_m_s=best.speed_m_s,
    )


def _best(sightings: Sequence[Sighting]) -> Sighting:
    return max(sightings, key=lambda s: (s.confidence, s.looks))


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


def _seer(sighting: Sighting) -> str:
    return sighting.camera_id if sighting.vehicle_id is None else f"{sighting.camera_id} of {sighting.vehicle_id}"

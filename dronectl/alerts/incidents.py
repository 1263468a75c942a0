# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sightings become incidents: which thing a sighting belongs to (vision.merge says it), and what is known of the thing.

Merging is geometric and within one mission; nobody is recognised. No clock and no I/O: the caller gives the times.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime
from typing import Final

from dronectl.alerts.geometry import frame_near
from dronectl.alerts.model import Facts, Incident, Note
from dronectl.alerts.pace import Pace
from missions.geo import MAX_ABS_LATITUDE_DEG, GeoPoint
from vision import merge
from vision.sighting import Evidence, GroundVelocity, Sighting

MAX_MEMBERS: Final = 32
MAX_EVIDENCE: Final = 8
MAX_NOTES: Final = 50
MAX_MISSIONS: Final = 16
MAX_MERGED: Final = 2000
_SHA256: Final = re.compile("[0-9a-f]{64}")
_ANYWHERE: Final = GeoPoint(0.0, 0.0)


class Mergers:
    """One merger for each of the newest missions, with as many incidents as may still grow."""

    def __init__(self) -> None:
        self._mergers: dict[str | None, merge.Merger] = {}
        self._pace: Pace | None = None
        self._placed: set[str | None] = set()
        self._first = 1  # number of a new merger's first incident: a mission that was let go may come back

    def add(
        self, sighting: Sighting, mission_id: str | None, at: datetime, known_incidents: Iterable[Incident] = ()
    ) -> merge.Incident:
        """The mission's incident of a sighting, as it is now. `known_incidents`, newest last, are those that are held.

        A mission whose merger had to give way to others takes its things up again from them: their numbers are taken.
        """
        merger = self._mergers.pop(mission_id, None)
        if merger is None or (mission_id not in self._placed and sighting.place is not None):
            if merger is None:
                mine = (i for i in known_incidents if i.mission_id == mission_id and i.number >= 0)
                known = tuple({i.number: _as_merged(i) for i in mine}.values())
            else:
                known = merger.incidents
            merger = self._new(mission_id, known, sighting)
        self._mergers[mission_id] = merger
        if len(self._mergers) > MAX_MISSIONS:
            oldest = next(iter(self._mergers))
            self._first = max(self._first, self._mergers.pop(oldest).next_number)
            self._placed.discard(oldest)
        if len(merger.incidents) > MAX_MERGED:
            newest = sorted(merger.incidents, key=lambda i: i.last_s)[-MAX_MERGED // 2 :]
            merger.restore(newest)
        if self._pace is None:
            self._pace = Pace(at.timestamp())
        clock = sighting.vehicle_id or sighting.camera_id
        now_s = self._pace.at(clock, sighting.last_exposure_s, at.timestamp())
        return merger.add(sighting, now_s, self._pace.of(clock, sighting.last_exposure_s)).incident

    def restore(self, incidents: Iterable[Incident], now: datetime) -> None:
        """Take up incidents of an earlier run, oldest first."""
        self._pace = Pace(now.timestamp())
        missions: dict[str | None, dict[int, merge.Incident]] = {}
        for incident in incidents:
            if incident.number < 0:  # made by rules, not by the merger
                continue
            missions.setdefault(incident.mission_id, {})[incident.number] = _as_merged(incident)
            self._pace.at_least(max(m.at_s for m in incident.members))
        for mission_id, known in missions.items():
            placed = [m.sighting for i in known.values() for m in i.members.values() if m.sighting.place is not None]
            self._mergers[mission_id] = self._new(mission_id, known.values(), placed[0] if placed else None)

    def _new(self, mission_id: str | None, known: Iterable[merge.Incident], sighting: Sighting | None) -> merge.Merger:
        place = None if sighting is None else sighting.place
        if place is not None:
            self._placed.add(mission_id)
        merger = merge.Merger(frame_near(place or _ANYWHERE), first=self._first)
        merger.restore(known)
        return merger


def _as_merged(incident: Incident) -> merge.Incident:
    """An incident as its merger knew it."""
    return merge.Incident(
        number=incident.number,
        kind=incident.kind,
        confidence=incident.confidence,
        place=incident.place,
        first_s=incident.opened_at.timestamp(),
        last_s=max(m.at_s for m in incident.members),
        members={m.sighting.track_id: m for m in incident.members},
    )


def sound(sighting: Sighting) -> Sighting:
    """The sighting without what cannot be said: a place or figure that is no number, evidence without a true hash.

    Vision does not send such things; but an alert must not be lost because one of its figures is spoilt.
    """
    place = sighting.place
    if place is not None:
        figures = [getattr(place, field.name) for field in fields(place)]
        usable = all(map(math.isfinite, figures)) and place.cov_ee_m2 >= 0.0 <= place.cov_nn_m2
        if not usable or abs(place.latitude_deg) > MAX_ABS_LATITUDE_DEG or abs(place.longitude_deg) > 180.0:
            place = None
    return replace(
        sighting,
        place=place,
        confidence=sighting.confidence if math.isfinite(sighting.confidence) else 0.0,
        temperature_max_c=_finite(sighting.temperature_max_c),
        size_m=_finite(sighting.size_m),
        speed_m_s=_finite(sighting.speed_m_s),
        first_exposure_s=_finite(sighting.first_exposure_s) or 0.0,
        last_exposure_s=_finite(sighting.last_exposure_s) or _finite(sighting.first_exposure_s) or 0.0,
        confirmed_exposure_monotonic_s=_finite(sighting.confirmed_exposure_monotonic_s),
        depression_deg=_finite(sighting.depression_deg),
        again_s=max(0.0, _finite(sighting.again_s) or 0.0),
        velocity=_usable(sighting.velocity),
        evidence=tuple(item for item in sighting.evidence if _SHA256.fullmatch(item.sha256)),
    )


def opened(
    merged: merge.Incident, incident_id: str, mission_id: str | None, sighting: Sighting, now: datetime, seen: datetime
) -> Incident:
    """A new incident; `seen` is when the confirming frame was exposed."""
    return Incident(
        incident_id=incident_id,
        mission_id=mission_id,
        number=merged.number,
        kind=merged.kind,
        confidence=merged.confidence,
        place=merged.place,
        members=_newest(merged),
        tracks=len(merged.members),
        opened_at=now,
        updated_at=now,
        observed_at=seen,
        timeline=(Note(now, f"seen by {_seer(sighting)}"),),
    )


def extended(incident: Incident, merged: merge.Incident, sighting: Sighting, now: datetime, seen: datetime) -> Incident:
    """The incident with what the merger now makes of it.

    `seen` is when the frame was exposed that confirmed what the sighting says. Until the first alert it is what made
    the incident worth one: a warm spot that later proves to be a person was confirmed as a person then.
    """
    timeline, tracks = incident.timeline, max(incident.tracks, len(merged.members))
    if tracks > incident.tracks:
        timeline = add_note(timeline, Note(now, f"seen again by {_seer(sighting)}"))
    return replace(
        incident,
        number=merged.number,
        kind=merged.kind,
        confidence=merged.confidence,
        place=merged.place,
        members=_newest(merged),
        tracks=tracks,
        updated_at=now,
        observed_at=incident.observed_at if incident.alert_ids else seen,
        timeline=timeline,
    )


def add_note(timeline: tuple[Note, ...], note: Note) -> tuple[Note, ...]:
    """The story with one more line; its first line stays, the oldest of the others go."""
    notes = (*timeline, note)
    return notes if len(notes) <= MAX_NOTES else (notes[0], *notes[len(notes) - MAX_NOTES + 1 :])


def facts(incident: Incident) -> Facts:
    """What an alert tells of the incident as it stands."""
    sightings = [m.sighting for m in incident.members]
    telling = [s for s in sightings if s.kind is incident.kind] or sightings
    best = max(telling, key=lambda s: (s.confidence, s.looks))
    evidence: dict[str, Evidence] = {}
    for sighting in sorted(telling, key=lambda s: s.confidence, reverse=True):
        for item in sighting.evidence:
            evidence.setdefault(item.sha256, item)
    return Facts(
        kind=incident.kind,
        place=incident.place,
        evidence=tuple(evidence.values())[:MAX_EVIDENCE],
        confidence=min(1.0, max(0.0, incident.confidence)),
        looks=sum(s.looks for s in sightings),
        chances=sum(s.chances for s in sightings),
        tracks=incident.tracks,
        confirmed_by=best.rule,
        detectors=_distinct(s.detector for s in telling),
        modalities=_distinct(str(s.modality) for s in sightings),
        cameras=_distinct(s.camera_id for s in sightings),
        vehicles=_distinct(s.vehicle_id for s in sightings if s.vehicle_id is not None),
        temperature_max_c=max((s.temperature_max_c for s in telling if s.temperature_max_c is not None), default=None),
        size_m=best.size_m,
        speed_m_s=best.speed_m_s,
        exposure_s=_finite(incident.members[-1].sighting.last_exposure_s) if incident.members else None,
        happenings=incident.happenings,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _usable(velocity: GroundVelocity | None) -> GroundVelocity | None:
    if velocity is None or not all(math.isfinite(getattr(velocity, field.name)) for field in fields(velocity)):
        return None
    ee, en, nn = velocity.cov_ee_m2_s2, velocity.cov_en_m2_s2, velocity.cov_nn_m2_s2
    return velocity if ee > 0.0 < nn and ee * nn > en**2 else None


def _newest(merged: merge.Incident) -> tuple[merge.Member, ...]:
    return tuple(sorted(merged.members.values(), key=lambda m: m.at_s)[-MAX_MEMBERS:])


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


def _seer(sighting: Sighting) -> str:
    return sighting.camera_id if sighting.vehicle_id is None else f"{sighting.camera_id} of {sighting.vehicle_id}"

# SPDX-License-Identifier: AGPL-3.0-or-later
"""One thing seen from several cameras, flights and modalities becomes one incident, by geometry alone. Pure.

A sighting belongs to the incident that explains it best, if the kinds can be one thing and if it is likelier that one
thing was seen twice than that there is another one (`vision.walking`): places with their doubt, and for what can walk the
velocities with theirs. Between sightings of one vehicle the errors that a whole flight shares cancel, so that two people
beside each other stay two; between vehicles the full doubt counts. Two tracks that one camera saw apart in the same
frames are two things. Two tracks that merely lived at the same time need not be: a body that two tracks take turns at is
one.

Nothing about looks, clothes or faces enters: nobody is recognised. The caller gives the times (one clock for all).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np

from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.model import Modality
from vision.ellipse import common_covariance, covariance, ground_ellipse, mahalanobis2, weighted_mean
from vision.sighting import GroundEllipse, Kind, Phase, Sighting
from vision.walking import WalkRules, Whereabouts, one_still_thing, one_walker, walks

_WARM: Final = frozenset({Kind.PERSON, Kind.ANIMAL, Kind.HOT_SPOT})
_RANK: Final = {
    Kind.HOT_SPOT: 0,
    Kind.ANIMAL: 1,
    Kind.VEHICLE: 1,
    Kind.STALL: 1,
    Kind.SMOKE: 1,
    Kind.PERSON: 2,
    Kind.FIRE: 3,
}


@dataclass(frozen=True, slots=True)
class MergeRules:
    """Gates. Lengths in metres on the ground, times in seconds."""

    gate2: float = 9.21  # chi-square, two degrees of freedom, 99 %: two places of one that stands still
    max_still_m: float = 12.0  # never unite still things farther apart, whatever their doubt
    same_flight_sigma_m: float = 1.5  # per axis: mounting and clock errors turn round with the vehicle
    fire_m: float = 15.0  # flames of one fire
    glow_m: float = 6.0  # and what it heats
    within: float = 0.4  # of the smaller size: two tracks of one picture that near are one body seen twice
    max_walk_m: float = 20.0  # and never more, however long ago: two people must not become one
    max_walk_m_s: float = 2.8
    walk: WalkRules = field(default_factory=WalkRules)
    memory_s: float = 1800.0  # an incident not seen for so long takes no more sightings


@dataclass(frozen=True, slots=True)
class Member:
    """The newest word of one track in an incident, and when its newest look was."""

    sighting: Sighting
    at_s: float


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing, as all its tracks together say. `members` by track id, in order of arrival."""

    number: int
    kind: Kind
    confidence: float
    place: GroundEllipse | None
    first_s: float
    last_s: float
    members: Mapping[str, Member]

    @property
    def vehicles(self) -> tuple[str, ...]:
        """Vehicles that saw it, in alphabetical order."""
        return tuple(sorted({m.sighting.vehicle_id for m in self.members.values() if m.sighting.vehicle_id}))

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Kinds of camera that saw it, in alphabetical order."""
        return tuple(sorted({m.sighting.modality for m in self.members.values()}))


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where a sighting went: the incident as it is now, and whether it was opened by this sighting."""

    incident: Incident
    opened: bool


class Merger:
    """Incidents of one site. Feed sightings in order; deterministic, no clock, no I/O."""

    def __init__(self, frame: LocalFrame, rules: MergeRules | None = None, first: int = 1) -> None:
        """first: the number of the first incident that is opened."""
        self._frame = frame
        self._rules = rules or MergeRules()
        self._incidents: dict[int, Incident] = {}
        self._of_track: dict[str, int] = {}
        self._next = first
        # which incidents ever had a place in a cell: nothing of any other cell but its neighbours is within reach
        self._in_cell: dict[tuple[int, int], set[int]] = {}
        self._cell_m = max(self._rules.max_still_m + self._rules.max_walk_m, self._rules.fire_m, self._rules.glow_m)

    @property
    def next_number(self) -> int:
        """The number of the incident that is opened next; none of its incidents ever had it."""
        return self._next

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """All incidents, oldest first."""
        return tuple(self._incidents.values())

    def restore(self, incidents: Iterable[Incident]) -> None:
        """Take up incidents of an earlier run, in place of what is held."""
        self._incidents = {i.number: i for i in incidents}
        self._of_track = {track: i.number for i in self._incidents.values() for track in i.members}
        self._next = max(self._next, max(self._incidents, default=0) + 1)  # a number is never given twice
        self._in_cell = {}
        for incident in self._incidents.values():
            for member in incident.members.values():
                self._keep_place(incident.number, member.sighting.place)

    def add(self, sighting: Sighting, at_s: float, looked_s: float | None = None) -> Assignment:
        """Find or open the incident of a sighting. A track stays with its incident once it has one.

        at_s: now. looked_s: when the sighting's last look was, if that is longer ago: an ended track tells of the past.
        """
        seen = Member(sighting, at_s if looked_s is None else min(looked_s, at_s))
        number = self._of_track.get(sighting.track_id)
        opened = False
        if number is None:
            number = self._likeliest(seen, at_s)
            if number is None:
                number, opened = self._next, True
                self._next += 1
            self._of_track[sighting.track_id] = number
        old = self._incidents.get(number)
        members = dict(old.members) if old is not None else {}
        members[sighting.track_id] = seen
        incident = _summary(self._frame, self._rules, number, members, None if old is None else old.first_s, at_s)
        self._incidents[number] = incident
        self._keep_place(number, sighting.place)
        return Assignment(incident, opened)

    def _cell(self, place: GroundEllipse) -> tuple[int, int]:
        east, north = self._frame.to_enu(GeoPoint(place.latitude_deg, place.longitude_deg))
        return math.floor(east / self._cell_m), math.floor(north / self._cell_m)

    def _keep_place(self, number: int, place: GroundEllipse | None) -> None:
        if place is not None:
            self._in_cell.setdefault(self._cell(place), set()).add(number)

    def _likeliest(self, seen: Member, at_s: float) -> int | None:
        place = seen.sighting.place
        if place is None:
            return None
        x, y = self._cell(place)
        near = {n for i in (-1, 0, 1) for j in (-1, 0, 1) for n in self._in_cell.get((x + i, y + j), ())}
        best: tuple[float, int] | None = None
        for incident in map(self._incidents.__getitem__, sorted(near)):
            if not 0 <= at_s - incident.last_s <= self._rules.memory_s:
                continue
            likelier = log_likelihood_ratio(self._frame, self._rules, incident, seen)
            if likelier is not None and (best is None or likelier > best[0]):
                best = (likelier, incident.number)
        return None if best is None else best[1]


def compatible(a: Kind, b: Kind) -> bool:
    """Whether one thing can have been taken for both. A fire's glow is also a hot spot."""
    if a is b:
        return True
    return {a, b} <= _WARM or {a, b} == {Kind.FIRE, Kind.HOT_SPOT}


def log_likelihood_ratio(frame: LocalFrame, rules: MergeRules, incident: Incident, seen: Member) -> float | None:
    """How much likelier a sighting is the incident's thing than a new one: a logarithm; None where it cannot be, or is not."""
    sighting = seen.sighting
    if not compatible(incident.kind, sighting.kind):
        return None
    best: float | None = None
    for member in incident.members.values():
        other = member.sighting
        burning = Kind.FIRE in {other.kind, sighting.kind}  # one fire can be many flames
        beside = other.camera_id == sighting.camera_id and _at_once(other, sighting)
        if not burning and beside and not _within(frame, rules, other, sighting):
            return None
        likelier = _one_thing(frame, rules, member, seen)
        if likelier is not None and likelier > 0.0 and (best is None or likelier > best):
            best = likelier
    return best


def merge_all(frame: LocalFrame, sightings: Sequence[tuple[Sighting, float]]) -> tuple[Incident, ...]:
    """Incidents of a whole record of (sighting, time), in its order."""
    merger = Merger(frame)
    for sighting, at_s in sightings:
        merger.add(sighting, at_s)
    return merger.incidents


def _one_thing(frame: LocalFrame, rules: MergeRules, member: Member, seen: Member) -> float | None:
    one, other = member.sighting, seen.sighting
    a, b = one.place, other.place
    if a is None or b is None:
        return None
    offset = _east_north(frame, b) - _east_north(frame, a)
    distance = float(np.hypot(*offset))
    kinds = {one.kind, other.kind}
    if Kind.FIRE in kinds:
        reach = rules.fire_m if len(kinds) == 1 else rules.glow_m
        # anywhere within reach alike; the nearest of several fires
        here = -math.log(math.pi * reach**2 * rules.walk.new_per_m2)
        return max(0.0, here) + 1.0 - distance / reach if distance < reach else None
    walker = bool(kinds & {Kind.PERSON, Kind.ANIMAL})
    walked_m = min(rules.max_walk_m, rules.max_walk_m_s * abs(_moment(seen) - _moment(member))) if walker else 0.0
    if distance > rules.max_still_m + walked_m:
        return None
    covs = _doubts(rules, one, other)
    if not walker:
        return one_still_thing(offset, covs[0] + covs[1], rules.walk)
    return one_walker(_whereabouts(member, np.zeros(2), covs[0]), _whereabouts(seen, offset, covs[1]), rules.walk)


def _doubts(rules: MergeRules, one: Sighting, other: Sighting) -> list[FloatArray]:
    """The covariances of two places, as far as what both share does not cancel between them."""
    same_flight = one.vehicle_id is not None and one.vehicle_id == other.vehicle_id
    places = [s.place for s in (one, other) if s.place is not None]
    return [_own(p) + np.eye(2) * rules.same_flight_sigma_m**2 if same_flight else covariance(p) for p in places]


def _same_place(frame: LocalFrame, rules: MergeRules, one: Sighting, other: Sighting) -> bool:
    if one.place is None or other.place is None:
        return False
    a, b = _doubts(rules, one, other)
    offset = _east_north(frame, other.place) - _east_north(frame, one.place)
    return mahalanobis2(offset, a + b) <= rules.gate2


def _rather_walks(rules: MergeRules, member: Member) -> bool:
    """Whether its measured velocity makes a walker of it, for all that its looks could be explained by standing still."""
    if member.sighting.kind not in (Kind.PERSON, Kind.ANIMAL):
        return False
    return walks(_whereabouts(member, np.zeros(2), np.eye(2)), rules.walk) > 0.5


def _whereabouts(member: Member, place: FloatArray, cov: FloatArray) -> Whereabouts:
    v = member.sighting.velocity
    if v is None:
        return Whereabouts(_moment(member), place, cov, None, None)
    doubt = np.array([[v.cov_ee_m2_s2, v.cov_en_m2_s2], [v.cov_en_m2_s2, v.cov_nn_m2_s2]])
    return Whereabouts(_moment(member), place, cov, np.array([v.east_m_s, v.north_m_s]), doubt)


def _moment(member: Member) -> float:
    """When a walker was at the sighting's place: a place for which standing still was taken is the mean of its looks."""
    sighting = member.sighting
    if sighting.speed_m_s:
        return member.at_s
    return member.at_s - max(0.0, sighting.last_exposure_s - sighting.first_exposure_s) / 2


def _at_once(a: Sighting, b: Sighting) -> bool:
    """Whether one camera saw both tracks at the same time: then they are two things."""
    if a.track_id == b.track_id:
        return False
    if a.beside is not None and b.beside is not None:
        return a.track_id in b.beside or b.track_id in a.beside
    return a.first_exposure_s < b.last_exposure_s and b.first_exposure_s < a.last_exposure_s


def _within(frame: LocalFrame, rules: MergeRules, a: Sighting, b: Sighting) -> bool:
    """Whether two tracks of one picture are so near that two bodies would lie in each other.

    The pose and its errors are the same for both: what is between them is measured well.
    """
    if a.place is None or b.place is None or a.size_m is None or b.size_m is None:
        return False
    distance_m = float(np.hypot(*(_east_north(frame, b.place) - _east_north(frame, a.place))))
    return distance_m <= rules.within * min(a.size_m, b.size_m)


def _own(place: GroundEllipse) -> FloatArray:
    return covariance(place) - common_covariance(place)


def _east_north(frame: LocalFrame, place: GroundEllipse) -> FloatArray:
    return np.array(frame.to_enu(GeoPoint(place.latitude_deg, place.longitude_deg)))


def _summary(
    frame: LocalFrame, rules: MergeRules, number: int, members: dict[str, Member], first_s: float | None, at_s: float
) -> Incident:
    top = max(_RANK[m.sighting.kind] for m in members.values())
    speaking = [m.sighting for m in members.values() if _RANK[m.sighting.kind] == top]
    kind = max(speaking, key=lambda s: (s.confidence, s.track_id)).kind
    # tracks of one vehicle look with one model from one height: their best word counts once
    best: dict[tuple[str | None, Modality], float] = {}
    for s in speaking:
        if s.kind is kind:
            key = (s.vehicle_id, s.modality)
            best[key] = max(best.get(key, 0.0), s.confidence)
    doubt = math.prod(1.0 - c for c in best.values())
    return Incident(
        number=number,
        kind=kind,
        confidence=min(0.99, 1.0 - doubt),
        place=_place(frame, rules, list(members.values())),
        first_s=at_s if first_s is None else first_s,
        last_s=at_s,
        members=MappingProxyType(members),
    )


def _place(frame: LocalFrame, rules: MergeRules, members: list[Member]) -> GroundEllipse | None:
    """All places as one: within a flight the shared part stays, flights are independent. Movers count by the newest.

    Of what is not known to move, places that cannot be the newest one are of an earlier stay.
    """
    placed = [m for m in members if m.sighting.place is not None]
    if not placed:
        return None
    newest = max(placed, key=lambda m: (m.at_s, m.sighting.track_id))
    if (newest.sighting.speed_m_s or 0.0) > 0 or _rather_walks(rules, newest):
        return newest.sighting.place
    placed = [m for m in placed if m is newest or _same_place(frame, rules, m.sighting, newest.sighting)]
    flights: dict[str, list[GroundEllipse]] = {}
    for m in placed:
        place = m.sighting.place
        if place is not None:
            flights.setdefault(m.sighting.vehicle_id or m.sighting.camera_id, []).append(place)
    means: list[FloatArray] = []
    covariances: list[FloatArray] = []
    commons: list[FloatArray] = []
    for places in flights.values():
        points = [_east_north(frame, p) for p in places]
        mean, own = weighted_mean(points, [_own(p) + np.eye(2) * 1e-4 for p in places])
        common = np.mean([common_covariance(p) for p in places], axis=0)
        means.append(mean)
        covariances.append(own + common)
        commons.append(common)
    mean, cov = weighted_mean(means, covariances)
    common = commons[0] if len(commons) == 1 else np.zeros((2, 2))
    amsl = placed[-1].sighting.place.amsl_m if placed[-1].sighting.place is not None else 0.0
    return ground_ellipse(frame, mean, amsl, cov, common)


def ended(incident: Incident) -> bool:
    """Whether every track of an incident has ended."""
    return all(m.sighting.phase is Phase.END for m in incident.members.values())

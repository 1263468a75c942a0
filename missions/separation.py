# SPDX-License-Identifier: AGPL-3.0-or-later
"""How near flights come to each other in time and space, and whether that is too near. It measures; it does not resolve.

Motion is that of `missions.deconflict.trajectory`, cut into straight pieces, so distances are exact for it. Plans start
when they say so. Where none says anything, all start at once, and what happens over the pads (60 m around each home) is
no breach: whoever starts such flights staggers take-offs and landings there. Planned starts keep apart there as well.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from missions.deconflict.encounters import Encounter, encounters_with
from missions.deconflict.segments import APART_WITHIN_S, Minima, Segments
from missions.deconflict.trajectory import common_frame, fly, from_first_waypoint, places_m
from missions.geo import FloatArray, LocalFrame
from missions.model import Finding, FlightPlan, Severity, VehicleLimits

MINIMA: Final = Minima()
PAD_RADIUS_M: Final = 60.0
_VERTICAL_WEIGHT = 4.0  # a metre of height separates as four metres of ground do: wash and position error
_FLAT = np.array([1.0, 1.0, _VERTICAL_WEIGHT])


@dataclass(frozen=True, slots=True)
class Separation:
    """The nearest two vehicles come: distances then, and when, in seconds after the common zero of the starts."""

    first: str
    second: str
    horizontal_m: float
    vertical_m: float
    time_s: float


@dataclass(frozen=True, slots=True)
class Breach:
    """Two flights (indices) that come nearer than both distances allow, at the moment when they are nearest.

    now: both are in the air and too near where they are, which no plan can undo; they go apart within until_s.
    """

    first: int
    second: int
    lateral_m: float
    vertical_m: float
    time_s: float
    finding: Finding
    now: bool = False
    until_s: float = 0.0


def least_separation(
    plans: Sequence[FlightPlan],
    limits: VehicleLimits,
    *,
    starts_s: Sequence[float] | None = None,
    wind_m_s: float = 0.0,
) -> Separation | None:
    """The closest encounter of any two vehicles away from their pads, height counted four times; None without any.

    starts_s: seconds after a common zero, one per plan; without them the plans' own.
    """
    if len(plans) < 2:
        return None
    _, cut = _pieces(plans, limits, starts_s, wind_m_s, PAD_RADIUS_M)
    best: tuple[float, Separation] | None = None
    for i, j in combinations(range(len(plans)), 2):
        if plans[i].vehicle_id == plans[j].vehicle_id:
            continue  # one after the other
        found = _nearest(cut[i], cut[j])
        if found is not None and (best is None or found[0] < best[0]):
            score, across, high, when = found
            best = score, Separation(plans[i].vehicle_id, plans[j].vehicle_id, across, high, when)
    return None if best is None else best[1]


def check_separation(
    plans: Sequence[FlightPlan],
    limits: VehicleLimits,
    *,
    starts_s: Sequence[float] | None = None,
    wind_m_s: float = 0.0,
    minima: Minima = MINIMA,
    aloft: Collection[str] = (),
) -> list[Breach]:
    """Every pair of flights of different vehicles, returns included: one breach for each pair that comes too near.

    starts_s: as for `least_separation`. aloft: vehicles that are in the air, at their first waypoints at 0; two of them
    that are too near there, and go apart at once, have a breach for that, and another one if they come near again.
    Raises DatumError as the energy model does.
    """
    if len(plans) < 2:
        return []
    planned = starts_s is not None or bool(aloft) or any(p.start_after_s > 0.0 or p.starts_first for p in plans)
    frame, cut = _pieces(plans, limits, starts_s, wind_m_s, 0.0 if planned else PAD_RADIUS_M, aloft)
    together = "started as planned" if planned else "started together"
    found = []
    for i, j in combinations(range(len(plans)), 2):
        if plans[i].vehicle_id == plans[j].vehicle_id:
            continue
        met = encounters_with(cut[i], cut[j], minima)
        both_aloft = plans[i].vehicle_id in aloft and plans[j].vehicle_id in aloft
        if both_aloft and met and met[0].start_s <= 0.0 and met[0].end_s <= APART_WITHIN_S:
            found.append(_near_now(plans, i, j, met[0], frame, minima))
            met = met[1:]
        if not met:
            continue
        nearest = min(met, key=lambda e: np.hypot(e.lateral_m, 2.0 * e.vertical_m))
        where = frame.to_geo(*nearest.place_m[:2])
        message = (
            f"{plans[i].vehicle_id} and {plans[j].vehicle_id}, {together}, come within {nearest.lateral_m:.0f} m across "
            f"and {nearest.vertical_m:.0f} m in height after {nearest.time_s:.0f} s near {where.latitude_deg:.5f}, "
            f"{where.longitude_deg:.5f}; {minima.lateral_m:.0f} m or {minima.vertical_m:.0f} m are needed: "
            "start one later or fly in layers (`dronectl plan separate` does)"
        )
        finding = Finding("separation", Severity.BLOCKER, message, None, where)
        found.append(Breach(i, j, nearest.lateral_m, nearest.vertical_m, nearest.time_s, finding))
    return found


def _near_now(plans: Sequence[FlightPlan], i: int, j: int, met: Encounter, frame: LocalFrame, minima: Minima) -> Breach:
    where = frame.to_geo(*met.place_m[:2])
    message = (
        f"{plans[i].vehicle_id} and {plans[j].vehicle_id}, both in the air, are too near to each other now: within "
        f"{met.lateral_m:.0f} m across and {met.vertical_m:.0f} m in height near {where.latitude_deg:.5f}, {where.longitude_deg:.5f}; "
        f"{minima.lateral_m:.0f} m or {minima.vertical_m:.0f} m are needed: as planned they are apart after "
        f"{met.end_s:.0f} s, bring them apart by hand before that if you can"
    )
    finding = Finding("separation-now", Severity.WARNING, message, None, where)
    return Breach(i, j, met.lateral_m, met.vertical_m, met.time_s, finding, now=True, until_s=met.end_s)


def _pieces(
    plans: Sequence[FlightPlan],
    limits: VehicleLimits,
    starts_s: Sequence[float] | None,
    wind_m_s: float,
    pad_radius_m: float,
    aloft: Collection[str] = (),
) -> tuple[LocalFrame, list[Segments]]:
    """Each flight's straight pieces outside of the column over its own pad."""
    frame = common_frame(plans)
    cut = []
    for index, plan in enumerate(plans):
        places = places_m(plan, frame)
        flown = fly(plan, limits, places, wind_m_s=wind_m_s)
        start = plan.start_after_s if starts_s is None else starts_s[index]
        if plan.vehicle_id in aloft:
            flown, start = from_first_waypoint(flown), 0.0
        cut.append(_outside(flown.time_s + start, flown.place_m, places[0], index, pad_radius_m))
    return frame, cut


def _outside(time_s: FloatArray, place_m: FloatArray, home: FloatArray, owner: int, radius_m: float) -> Segments:
    """Pieces between knots, cut where they cross the column's edge, without those inside."""
    before, step = place_m[:-1], np.diff(place_m, axis=0)
    apart = before[:, :2] - home
    a = (step[:, :2] ** 2).sum(axis=1)
    b = (apart * step[:, :2]).sum(axis=1)
    root2 = b * b - a * ((apart**2).sum(axis=1) - radius_m**2)
    crosses = (a > 1e-9) & (root2 > 0.0)
    root = np.sqrt(np.where(crosses, root2, 0.0))
    safe = np.where(crosses, a, 1.0)
    shares = [np.clip(np.where(crosses, share, 0.0), 0.0, 1.0) for share in ((-b - root) / safe, (-b + root) / safe)]
    edges = np.stack([np.zeros(len(a)), *shares, np.ones(len(a))], axis=1)
    piece, part = np.nonzero(np.diff(edges, axis=1) > 1e-9)
    low, high = edges[piece, part], edges[piece, part + 1]
    middle = before[piece, :2] + step[piece, :2] * ((low + high) / 2.0)[:, None]
    far = np.hypot(*(middle - home).T) >= radius_m
    piece, low, high = piece[far], low[far], high[far]
    span = np.diff(time_s)
    first, last = before[piece] + step[piece] * low[:, None], before[piece] + step[piece] * high[:, None]
    return Segments(
        time_s[piece] + span[piece] * low,
        time_s[piece] + span[piece] * high,
        first,
        step[piece] / span[piece][:, None],
        np.minimum(first, last),
        np.maximum(first, last),
        np.full(len(piece), owner),
        piece,
    )


def _nearest(one: Segments, two: Segments) -> tuple[float, float, float, float] | None:
    """(weighted distance, across, in height, when) of the moment at which two flights are nearest."""
    begin = np.maximum(one.start_s[:, None], two.start_s[None, :])
    end = np.minimum(one.end_s[:, None], two.end_s[None, :])
    a, b = np.nonzero(end > begin)
    if not a.size:
        return None
    begin, end = begin[a, b], end[a, b]
    velocity = one.velocity_m_s[a] - two.velocity_m_s[b]
    apart = (one.place_m[a] + one.velocity_m_s[a] * (begin - one.start_s[a])[:, None]) - (
        two.place_m[b] + two.velocity_m_s[b] * (begin - two.start_s[b])[:, None]
    )
    weighted, moving = apart * _FLAT, velocity * _FLAT
    speed2 = (moving**2).sum(axis=1)
    closing = -(weighted * moving).sum(axis=1)
    after = np.clip(np.divide(closing, speed2, out=np.zeros_like(closing), where=speed2 > 1e-12), 0.0, end - begin)
    then = apart + velocity * after[:, None]
    score = np.sqrt(((then * _FLAT) ** 2).sum(axis=1))
    k = int(np.argmin(score))
    return float(score[k]), float(np.hypot(*then[k, :2])), abs(float(then[k, 2])), float(begin[k] + after[k])

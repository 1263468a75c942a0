# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plans of a site, put to the resolver and then to the independent judge; and what came of it, for machines.

Everything that decides is in `missions`. Plans are separated inside the site's fence as well as their own; the files
that are written keep their own fence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dronectl.errors import BadInputError
from dronectl.operations.planning import energy_of, finding_document, plan_document
from dronectl.site import Site
from missions.deconflict.bound import makespan_bound_s
from missions.deconflict.model import Change, ChangeKind, Flight, Meeting, Resolution, Rules
from missions.deconflict.resolve import resolve
from missions.deconflict.trajectory import common_frame
from missions.deconflict.volumes import VolumeRules, volumes
from missions.energy import DatumError, PlanEnergy
from missions.errors import PlanningError
from missions.feasibility import blockers, check_plan
from missions.fences import merged
from missions.geo import distance_m
from missions.judge_separation import judge_lost_site, judge_separation
from missions.model import Finding, FlightPlan

_FAR_M = 50_000.0


@dataclass(frozen=True, slots=True)
class Separated:
    """Flights that keep apart, in the order of the input; energies and findings in the same order.

    `was` are the flights as they were given. `lost_site` are pairs that the judge of a lost site finds too near.
    """

    site_id: str
    was: tuple[Flight, ...]
    resolution: Resolution
    energies: tuple[PlanEnergy, ...]
    findings: tuple[tuple[Finding, ...], ...]
    lost_site: tuple[tuple[str, str], ...]
    makespan_bound_s: float  # what no start, layer, hold or step aside can bring the makespan under

    @property
    def plans(self) -> tuple[FlightPlan, ...]:
        """What is to be flown, each with its own fence and its start after the first."""
        flights = self.resolution.flights
        first_s = min((f.start_s for f in flights), default=0.0)
        return tuple(
            replace(now.plan, fence=was.plan.fence).at_start(round(now.start_s - first_s, 1))
            for was, now in zip(self.was, flights, strict=True)
        )

    @property
    def clean(self) -> bool:
        """Whether nothing forbids these flights, and a lost site brings all home apart."""
        return not self.lost_site and not self.resolution.findings and not any(blockers(f) for f in self.findings)


def separate_at_site(
    site: Site,
    plans: Sequence[FlightPlan],
    rules: Rules,
    *,
    starts_s: Mapping[str, float] | None = None,
    priorities: Mapping[str, int] | None = None,
) -> Separated:
    """Separate plans of this site's drones. Raises BadInputError, also for plans that cannot be separated.

    starts_s: when a drone wants to start, in seconds; without it, when its plan says.
    """
    flying = [p.vehicle_id for p in plans]
    for what, named in (("start", starts_s or {}), ("priority", priorities or {})):
        for vehicle_id in named:
            if vehicle_id not in flying:
                raise BadInputError(f"a {what} is given for {vehicle_id}, which none of the plans is for")
    for plan in plans:
        site.drone(plan.vehicle_id)  # refuses drones that the site does not have
        away = distance_m(site.frame.origin, plan.home)
        if away > _FAR_M:
            raise BadInputError(
                f"the home of {plan.vehicle_id}'s plan is {away / 1000:.0f} km from site {site.site_id}; "
                "name its own site with --site"
            )
    was = tuple(
        Flight(p, (starts_s or {}).get(p.vehicle_id, p.start_after_s), (priorities or {}).get(p.vehicle_id, 0))
        for p in plans
    )
    bounded = [
        replace(f, plan=replace(f.plan, fence=merged(site.fence, f.plan.fence, home_amsl_m=f.plan.home_amsl_m)))
        for f in was
    ]
    rules = replace(rules, terrain=site.terrain)
    try:
        found = resolve(bounded, site.limits, rules)
    except (PlanningError, DatumError) as error:
        raise BadInputError(str(error)) from error
    flown, at = [f.plan for f in found.flights], [f.start_s for f in found.flights]
    lateral_m, vertical_m = rules.minima.lateral_m, rules.minima.vertical_m
    breaches = judge_separation(
        flown, at, site.limits, wind_m_s=rules.wind_m_s, lateral_m=lateral_m, vertical_m=vertical_m
    )
    if breaches:  # the judge has the last word: nothing that it objects to is written
        breach = breaches[0]
        raise BadInputError(
            f"{breach.first} and {breach.second} would still come within {breach.lateral_m:.1f} m "
            f"({breach.vertical_m:.1f} m in height) {breach.time_s:.0f} s after the first start; nothing was written"
        )
    lost = (
        judge_lost_site(flown, at, site.limits, wind_m_s=rules.wind_m_s, lateral_m=lateral_m, vertical_m=vertical_m)
        if rules.return_layers
        else []
    )
    return Separated(
        site.site_id,
        was,
        found,
        tuple(energy_of(site, f.plan, wind_m_s=rules.wind_m_s) for f in found.flights),
        tuple(tuple(check_plan(f.plan, site.limits, site.terrain, wind_m_s=rules.wind_m_s)) for f in found.flights),
        tuple((b.first, b.second) for b in lost),
        makespan_bound_s(was, site.limits, rules.wind_m_s),
    )


def change_text(change: Change) -> str:
    """A change in words, with its reason."""
    amount = abs(change.amount)
    number = "" if change.item is None else str(change.item + 1)
    what = {
        ChangeKind.DELAY: f"starts {amount:.1f} s later",
        ChangeKind.LAYER: f"flies {amount:.0f} m {'higher' if change.amount > 0 else 'lower'}",
        ChangeKind.HOLD: f"holds {amount:.1f} s longer at waypoint {number}",
        ChangeKind.SIDESTEP: (
            f"passes {amount:.0f} m to the {'right' if change.amount > 0 else 'left'} by a new waypoint {number}"
        ),
        ChangeKind.RETURN_LAYER: f"returns {amount:.0f} m {'higher' if change.amount > 0 else 'lower'}",
    }[change.kind]
    if change.because is None:
        why = "so that a lost site brings every drone home in a layer of its own"
    else:
        why = f"it would have {meeting_text(change.because, change.vehicle_id)}"
    return f"{change.vehicle_id} {what}: {why}"


def meeting_text(met: Meeting, vehicle_id: str) -> str:
    """Whom a vehicle meets, when and where."""
    other = met.second if met.first == vehicle_id else met.first
    return (
        f"come within {met.lateral_m:.0f} m ({met.vertical_m:.0f} m in height) of {other} {met.time_s:.0f} s after the "
        f"first start near {met.position.latitude_deg:.5f}, {met.position.longitude_deg:.5f}"
    )


def separation_document(found: Separated, rules: Rules) -> dict[str, Any]:
    """summary.json."""
    resolution = found.resolution
    return {
        "schema_version": 1,
        "site_id": found.site_id,
        "minima": {"lateral_m": rules.minima.lateral_m, "vertical_m": rules.minima.vertical_m},
        "slack_s": rules.slack_s,
        "clean": found.clean,
        "conflicts_before": [_meeting_document(m) for m in resolution.meetings],
        "conflicts_after": 0,  # the judge has seen to it, or nothing would be written
        "makespan_before_s": round(resolution.makespan_before_s, 1),
        "makespan_s": round(resolution.makespan_s, 1),
        "inflation": round(resolution.inflation, 4),
        "changes": [
            {
                "vehicle_id": c.vehicle_id,
                "kind": c.kind.value,
                "amount": round(c.amount, 2),
                "waypoint": None if c.item is None else c.item + 1,
                "because": None if c.because is None else _meeting_document(c.because),
                "text": change_text(c),
            }
            for c in resolution.changes
        ],
        "findings": [finding_document(f) for f in resolution.findings],
        "lost_site_pairs_too_near": [list(pair) for pair in found.lost_site],
        "flights": [
            {
                **plan_document(plan, energy, findings),
                "priority": now.priority,
                "start_s": round(now.start_s, 1),
                "start_before_s": round(was.start_s, 1),
                "plan_changed": plan.at_start(0.0) != was.plan.at_start(0.0),
            }
            for was, now, plan, energy, findings in zip(
                found.was, resolution.flights, found.plans, found.energies, found.findings, strict=True
            )
        ],
    }


def volumes_document(found: Separated, zero: datetime, rules: VolumeRules) -> dict[str, Any]:
    """volumes.json: Volume4D objects as in ASTM F3548-21 (A3, UTM API), one list per flight.

    `zero` is the time of the first start's zero, with a time zone.
    """
    frame = common_frame([f.plan for f in found.resolution.flights])
    reference = rules.reference.value
    note = (
        "heights are above the WGS 84 ellipsoid"
        if rules.geoid_m is not None
        else "heights are above mean sea level; F3548 exchanges heights above the WGS 84 ellipsoid: "
        "add the geoid's height (--geoid)"
    )

    def height(value: float) -> dict[str, Any]:
        return {"value": round(value, 2), "reference": reference, "units": "M"}

    def moment(seconds: float) -> dict[str, str]:
        at = (zero + timedelta(seconds=seconds)).astimezone(UTC)
        return {"value": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "format": "RFC3339"}

    return {
        "schema_version": 1,
        "style": "ASTM F3548-21 Volume4D",
        "altitude_reference": reference,
        "altitude_note": note,
        "geoid_m": rules.geoid_m,
        "buffers": {"lateral_m": rules.lateral_m, "vertical_m": rules.vertical_m, "time_s": rules.time_s},
        "operational_intents": [
            {
                "vehicle_id": flight.plan.vehicle_id,
                "priority": flight.priority,
                "volumes": [
                    {
                        "volume": {
                            "outline_polygon": {
                                "vertices": [
                                    {"lat": round(p.latitude_deg, 7), "lng": round(p.longitude_deg, 7)} for p in v.ring
                                ]
                            },
                            "altitude_lower": height(v.lower_m),
                            "altitude_upper": height(v.upper_m),
                        },
                        "time_start": moment(v.start_s),
                        "time_end": moment(v.end_s),
                    }
                    for v in volumes(trajectory, flight.start_s, frame, rules)
                ],
            }
            for flight, trajectory in zip(found.resolution.flights, found.resolution.trajectories, strict=True)
        ],
    }


def _meeting_document(met: Meeting) -> dict[str, Any]:
    return {
        "vehicles": [met.first, met.second],
        "start_s": round(met.start_s, 1),
        "end_s": round(met.end_s, 1),
        "nearest_s": round(met.time_s, 1),
        "lateral_m": round(met.lateral_m, 1),
        "vertical_m": round(met.vertical_m, 1),
        "position": [round(met.position.latitude_deg, 7), round(met.position.longitude_deg, 7)],
        "amsl_m": round(met.amsl_m, 1),
    }

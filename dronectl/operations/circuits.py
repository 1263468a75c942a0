# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a site and its timetable file to a standing patrol: one round of flights that is flown again and again.

Everything that decides is in `missions.circuits`; here the site's items, intervals, docks and limits are put to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dronectl.errors import BadInputError
from dronectl.operations.planning import (
    check_at_site,
    energy_of,
    flight_names,
    plan_document,
    refuse_wind,
    with_meetings,
)
from dronectl.operations.timetable_file import TimetableModel
from dronectl.operations.timetable_plans import layer_height_m
from dronectl.site import Site
from missions.energy import PlanEnergy
from missions.errors import PlanningError
from missions.feasibility import blockers
from missions.geo import GeoPoint
from missions.model import Budget, Finding

if TYPE_CHECKING:
    from missions.circuit_rounds import CircuitPlan, CircuitRound

STRATEGIES: Mapping[str, tuple[str, str]] = {
    "tour": ("全部无人机同一环线, 等间隔", "all drones on one tour, equally spaced"),
    "partition": ("分区, 每机一条环线", "partition: a circuit of its own for every drone"),
    "groups": ("分组, 部分环线由多机共飞", "several circuits, some with several drones"),
    "weighted": ("加权频次, 要紧处多去", "weighted frequency: what is wanted more often several times in a lap"),
}


@dataclass(frozen=True, slots=True)
class SiteCircuits:
    """The best round with energies and findings of its flights in their order. swap_s: from landing to take-off."""

    site: Site
    found: CircuitPlan
    energies: tuple[PlanEnergy, ...]
    findings: tuple[tuple[Finding, ...], ...]
    swap_s: float
    wind_m_s: float
    weights: dict[str, float]
    closed: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return flight_names(self.found.best.plans)

    @property
    def clean(self) -> bool:
        """Whether nothing forbids any of the flights."""
        return not any(blockers(f) for f in self.findings)

    @property
    def kept(self) -> bool:
        """Whether every item is visited within its interval."""
        return self.found.best.worst_ratio <= 1.0


def circuits_at_site(
    site: Site,
    model: TimetableModel,
    budget: Budget,
    *,
    weights: dict[str, float] | None = None,
    drone_ids: Sequence[str] | None = None,
    wind_m_s: float = 0.0,
    closed: Mapping[str, tuple[GeoPoint, ...]] | None = None,
) -> SiteCircuits:
    """Plan a standing patrol of the items that the model gives an interval. Raises BadInputError.

    weights: by which intervals are divided. closed: rings over which no leg goes, by name; keep-outs of the plans.
    """
    # not at the top: the planner brings a compiler, and only this one wants it
    from missions.circuits import plan_circuits
    from missions.patrol import PatrolLine, PatrolPoint, PatrolTask, PatrolVehicle

    drones = site.drones_named(drone_ids)
    refuse_wind(site, wind_m_s)
    wanted = {
        item: model.interval_of(item) for item in [p.place_id for p in site.points] + [x.line_id for x in site.lines]
    }
    intervals = {k: 60.0 * v / (weights or {}).get(k, 1.0) for k, v in wanted.items() if v is not None}
    if not intervals:
        raise BadInputError(
            f"{site.file}: no must-patrol item has an interval: give default_interval_min or items in the timetable file"
        )
    height_m = site.model.patrol.height_m
    task = PatrolTask(
        mission=site.new_mission("circuits"),
        points=tuple(
            PatrolPoint(p.place_id, p.name, p.position, p.dwell_s, p.aim)
            for p in site.points
            if p.place_id in intervals
        ),
        lines=tuple(PatrolLine(x.line_id, x.name, x.path, x.one_way) for x in site.lines if x.line_id in intervals),
        height_m=height_m,
        cruise_speed_m_s=site.limits.cruise_speed_m_s,
    )
    swap_s = 60.0 * model.swap_min
    try:
        found = plan_circuits(
            task,
            [intervals[i] for i in (*(p.item_id for p in task.points), *(x.item_id for x in task.lines))],
            tuple(
                PatrolVehicle(d.drone_id, d.pad, d.return_height_m, layer_height_m(site, i) - height_m)
                for i, d in enumerate(drones)
            ),
            replace(site.fence, exclusion=(*site.fence.exclusion, *(closed or {}).values())),
            site.limits,
            site.terrain,
            budget,
            swap_s=swap_s,
            wind_m_s=wind_m_s,
        )
    except PlanningError as error:
        raise BadInputError("\n".join(f"{site.file}: {line}" for line in str(error).splitlines())) from error
    return SiteCircuits(
        site=site,
        found=found,
        energies=tuple(energy_of(site, plan, wind_m_s=wind_m_s) for plan in found.best.plans),
        findings=_findings(site, found.best, wind_m_s),
        swap_s=swap_s,
        wind_m_s=wind_m_s,
        weights=weights or {},
        closed=tuple(sorted(closed or {})),
    )


def _findings(site: Site, best: CircuitRound, wind_m_s: float) -> tuple[tuple[Finding, ...], ...]:
    """What the checks say of each flight: alone, and beside those of its own and of the next round."""
    alone = [check_at_site(site, plan, wind_m_s=wind_m_s) for plan in best.plans]
    again = [replace(plan, start_after_s=plan.start_after_s + best.period_s) for plan in best.plans]
    names = flight_names(best.plans)
    both = with_meetings(
        site,
        [*best.plans, *again],
        [*alone, *([] for _ in again)],
        [*names, *(f"{name} of the next round" for name in names)],
        wind_m_s=wind_m_s,
    )
    return both[: len(names)]


def why(made: SiteCircuits) -> str:
    """Why the chosen round is the best, in words."""
    best = made.found.best
    worst = max(range(len(best.idleness_s)), key=lambda i: best.idleness_s[i] / made.found.intervals_s[i])
    item = made.found.items[worst]
    others = [r for r in made.found.rounds if r is not best]
    said = (
        f"{STRATEGIES[best.strategy][1]}: {item} waits longest for its interval, "
        f"{best.idleness_s[worst] / 60:.1f} of {made.found.intervals_s[worst] / 60:.0f} min ({best.worst_ratio:.2f})"
    )
    beaten = ", ".join(f"{r.strategy} {r.worst_ratio:.2f}" for r in sorted(others, key=lambda r: r.worst_ratio))
    return f"{said}; the others come to {beaten}" if beaten else said


def circuits_document(made: SiteCircuits) -> dict[str, Any]:
    """Everything for machines: summary.json."""
    found, best = made.found, made.found.best
    flights = flight_names(best.plans)
    drones = list(dict.fromkeys(p.vehicle_id for p in best.plans))
    return {
        "schema_version": 1,
        "kind": "circuits",
        "site_id": made.site.site_id,
        "strategy": best.strategy,
        "why": why(made),
        "period_s": best.period_s,
        "swap_s": made.swap_s,
        "slack_s": best.slack_s,
        "wind_m_s": made.wind_m_s,
        "worst_idleness_s": round(best.worst_s, 1),
        "worst_idleness_bound_s": round(found.bound_s, 1),
        "worst_ratio": round(best.worst_ratio, 4),
        "worst_ratio_bound": round(found.bound, 4),
        "all_kept": made.kept,
        "clean": made.clean,
        "iterations": found.iterations,
        "weights": made.weights,
        "closed": list(made.closed),
        "candidates": [
            {
                "strategy": r.strategy,
                "chosen": r is best,
                "worst_ratio": round(r.worst_ratio, 4),
                "worst_idleness_s": round(r.worst_s, 1),
                "period_s": r.period_s,
                "flights": len(r.plans),
                "slack_s": r.slack_s,
                "circuits": [{"drones": c.drones, "items": [found.items[s] for s in c.stops]} for c in r.circuits],
            }
            for r in found.rounds
        ],
        "failed": [{"strategy": name, "why": said} for name, said in found.failed],
        "items": [
            {
                "item": item,
                "interval_s": round(interval, 1),
                "longest_without_s": round(idle, 1),
                "ratio": round(idle / interval, 4),
                "visits_s": [round(v, 1) for v in visits],
            }
            for item, interval, idle, visits in zip(
                found.items, found.intervals_s, best.idleness_s, best.visits_s, strict=True
            )
        ],
        "drones": [
            {
                "vehicle_id": drone,
                "flights": [name for name, p in zip(flights, best.plans, strict=True) if p.vehicle_id == drone],
                "air_s": round(air := _air_s(made, drone), 1),
                "share_in_air": round(air / best.period_s, 4),
            }
            for drone in drones
        ],
        "flights": [
            plan_document(plan, energy, findings)
            for plan, energy, findings in zip(best.plans, made.energies, made.findings, strict=True)
        ],
    }


def _air_s(made: SiteCircuits, drone: str) -> float:
    plans = made.found.best.plans
    return sum(e.time_s for p, e in zip(plans, made.energies, strict=True) if p.vehicle_id == drone)

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The results of the planners as `plan_outputs` wants them: which flights, at what cost, against which bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dronectl.operations.circuits import STRATEGIES
from dronectl.operations.flying_on import holds_document
from dronectl.operations.plan_outputs import Goal, PlannedFlight, PlannedFlights
from dronectl.operations.start_texts import start_text
from dronectl.operations.timetable_plans import flight_name
from dronectl.plain_text import minutes
from dronectl.site import Site
from missions.revisit.reasons import clock

if TYPE_CHECKING:
    from dronectl.operations.circuits import SiteCircuits
    from dronectl.operations.covering import SiteCover
    from dronectl.operations.mapping import SiteMap
    from dronectl.operations.planning import SitePlan
    from dronectl.operations.searching import SiteSearch
    from dronectl.operations.separating import Separated
    from dronectl.operations.timetable import SiteDay


def patrol_flights(site: Site, found: SitePlan) -> PlannedFlights:
    """Flights of `plan patrol`."""
    flights = tuple(
        PlannedFlight(name, plan, energy, findings, start_text(plan.start_after_s))
        for name, plan, energy, findings in zip(found.names, found.plans, found.energies, found.findings, strict=True)
    )
    several = len({plan.vehicle_id for plan in found.plans}) < len(found.plans)
    goal = Goal(
        found.busiest_s,
        found.bound_s,
        found.ratio,
        "s",
        "最忙无人机的用时 (含换电)" if several else "最长架次时长",
        "time of the busiest drone, battery swaps included" if several else "time of the longest flight",
        "下界: 从机场到最远任务点往返的时间, 以及全部任务的最小生成森林 (含必需的换电) 由各机平分, 取较大者。",
        "Lower bound: the greater of the way to the farthest item and back, and a least spanning forest over all items, "
        "with the battery swaps that it asks for, shared evenly by the drones.",
    )
    return PlannedFlights("patrol", site, flights, goal)


def cover_flights(site: Site, found: SiteCover, shown: Site) -> PlannedFlights:
    """Flights of `plan cover`; `shown` is the site with the drawn area."""
    flights = tuple(
        PlannedFlight(f"{s.vehicle_id}-{s.number}", s.plan, s.energy, findings, start_text(s.plan.start_after_s))
        for s, findings in zip(found.plan.sorties, found.findings, strict=True)
    )
    goal = Goal(
        found.plan.time_s,
        found.plan.bound_s,
        found.plan.ratio,
        "s",
        "全部完成用时",
        "time until all is done",
        "下界: 面积/航带宽 (A/w) 由各机以巡航速度平分, 不计转场与起降; 航迹长度与 A/w 之比见 summary.json 的 path。",
        "Lower bound: area over swath width (A / w) shared evenly by the drones at cruise speed, without transits, take-offs "
        "and landings; path in summary.json holds the path's own ratio to A / w.",
    )
    return PlannedFlights("cover", site, flights, goal, coverage=found.verdict.fraction, shown=shown)


def map_flights(site: Site, found: SiteMap, shown: Site) -> PlannedFlights:
    """Flights of `plan map`; `shown` is the site with the drawn area."""
    flights = tuple(
        PlannedFlight(
            f"{s.vehicle_id}-{s.number}",
            s.plan,
            s.energy,
            findings,
            start_text(s.plan.start_after_s),
            properties={"photos": photos},
        )
        for s, photos, findings in zip(found.plan.sorties, found.photos, found.findings, strict=True)
    )
    goal = Goal(
        found.plan.time_s,
        found.plan.bound_s,
        found.plan.ratio,
        "s",
        "全部完成用时",
        "time until all is done",
        "下界: 各视角的面积/航线间距由各机以巡航速度平分, 不计转场与起降。",
        "Lower bound: area over line spacing of every view, shared evenly by the drones at cruise speed, without transits, "
        "take-offs and landings.",
    )
    return PlannedFlights("map", site, flights, goal, coverage=found.verdict.fraction, shown=shown)


def search_flights(site: Site, found: SiteSearch) -> PlannedFlights:
    """Flights of `plan search`."""
    plan = found.plan
    flights = tuple(
        PlannedFlight(
            f.plan.vehicle_id,
            f.plan,
            f.energy,
            findings,
            start_text(f.plan.start_after_s),
            properties={"holds": holds_document(f.plan), "brought_home": f.plan.vehicle_id in plan.idle},
        )
        for f, findings in zip(plan.flights, found.findings, strict=True)
    )
    goal = Goal(
        1.0 - plan.pos,
        1.0 - plan.bound,
        plan.ratio,
        "share",
        "未发现的概率",
        "probability of not finding",
        "下界: Charnes-Cooper 最优分配, 同样的总航时可任意分割, 不计转场; 比值为发现概率与其上界之比。",
        "Lower bound: the optimal allocation of the same effort, divisible at will and without transits (Charnes and "
        "Cooper); the ratio is that of the probabilities of success.",
    )
    return PlannedFlights("search", site, flights, goal, pos=plan.pos, note=plan.pattern)


def day_flights(made: SiteDay) -> PlannedFlights:
    """Flights of `plan timetable`, in the order of their take-offs."""
    flights = tuple(
        PlannedFlight(
            flight_name(flight),
            plan,
            energy,
            findings,
            start=clock(flight.depart_s),
            properties={"flight_kind": flight.kind},
        )
        for flight, plan, energy, findings in zip(
            made.found.flights, made.plans, made.energies, made.findings, strict=True
        )
    )
    worst, bound = made.found.worst_ratio, made.found.bound
    goal = Goal(
        worst,
        bound,
        worst / bound if bound > 0.0 else 1.0,
        "of_interval",
        "最长无人巡查时间 / 要求间隔",
        "longest time without a visit over its interval",
        "下界见 missions/revisit/day_bound.py 的证明。",
        "Lower bound: proved in missions/revisit/day_bound.py.",
    )
    return PlannedFlights("timetable", made.site, flights, goal, note=made.day.isoformat())


def circuit_flights(made: SiteCircuits) -> PlannedFlights:
    """Flights of one round of `plan circuits`, drone by drone."""
    found, best = made.found, made.found.best
    flights = tuple(
        PlannedFlight(name, plan, energy, findings, start_text(plan.start_after_s))
        for name, plan, energy, findings in zip(made.names, best.plans, made.energies, made.findings, strict=True)
    )
    goal = Goal(
        best.worst_ratio,
        found.bound,
        found.ratio,
        "of_interval",
        "最长无人巡查时间 / 要求间隔",
        "longest time without a visit over its interval",
        "下界: 任意一段与最长间隔等长的时间内各任务点都须到达, 各机航迹构成覆盖全部任务点的森林, 加上停留与必需的换电、起降。",
        "Lower bound: in any stretch of time as long as the longest one without a visit all items are arrived at, so that the "
        "drones' ways hold a forest over all of them; dwells, swaps, take-offs and landings are counted in.",
    )
    zh, en = STRATEGIES[best.strategy]
    note = (
        f"{zh}; 每 {minutes(best.period_s)} 重复一轮 · {en}; again every {minutes(best.period_s)}; no item is without a "
        f"visit for more than {minutes(best.worst_s)} (no patrol can do better than {minutes(found.bound_s)})"
    )
    return PlannedFlights("circuits", made.site, flights, goal, note=note)


def separated_flights(site: Site, found: Separated) -> PlannedFlights:
    """Flights of `plan separate`."""
    resolution = found.resolution
    flights = tuple(
        PlannedFlight(
            plan.vehicle_id,
            plan,
            energy,
            findings,
            start=start_text(plan.start_after_s),
            properties={"start_s": round(flight.start_s, 1), "priority": flight.priority},
        )
        for flight, plan, energy, findings in zip(
            resolution.flights, found.plans, found.energies, found.findings, strict=True
        )
    )
    bound = found.makespan_bound_s
    goal = Goal(
        resolution.makespan_s,
        bound,
        resolution.makespan_s / bound if bound > 0.0 else 1.0,
        "s",
        "末架次落地时刻",
        "from the first start to the last landing",
        "下界: 任一架次从其愿望起飞时刻起, 仅计原航线水平路程与悬停, 不计爬升, 也不能更短。",
        "Lower bound: no flight can be shorter than its ways across the ground and its holds from the start that it "
        "wanted; climbs are not counted.",
    )
    return PlannedFlights("separate", site, flights, goal)

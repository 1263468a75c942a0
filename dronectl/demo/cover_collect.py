# SPDX-License-Identifier: AGPL-3.0-or-later
"""Puts together what the report of a coverage says: plans, flights, and what was really seen by true positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Final

import numpy as np
import shapely

from dronectl.demo.gather import Run, flight_summaries, map_tracks, run_facts
from dronectl.demo.stage import Stage
from dronectl.demo.watch import Flown
from dronectl.operations.covering import SiteCover
from dronectl.report.cover_data import CoverFlight, CoverReport, cover_goals
from dronectl.report.plan_picture import site_map_svg, with_area
from dronectl.report.search_score import SWAP_S
from dronectl.report.truth import TruePosition, read_truth
from dronectl.site import Site
from missions.geo import FloatArray, GeoPoint
from missions.judge_coverage import judge_coverage
from missions.terrain import OutsideTerrainError, height_at

_LEAST_HEIGHT: Final = 0.8  # of the drone's own height above ground: lower, the picture is narrower than reckoned with
_COMPLETED: Final = "completed"


def collect_cover(stage: Stage, found: SiteCover, rounds: Sequence[Flown], run: Run) -> CoverReport:
    """Everything in one CoverReport. Raises BadInputError if the truth file cannot be read."""
    truth = read_truth(stage.truth_file)
    site, area = stage.site, found.area
    width_m = min(found.grid.across_m, found.grid.along_m)
    seen = seen_share(site, found, truth.tracks, width_m)
    flights = tuple(_flight(found, flown, v, number) for number, flown in enumerate(rounds, 1) for v in flown.sorties)
    completed = sum(f.flight.outcome == _COMPLETED for f in flights)
    all_landed = all(s["state"] == "landed" for flown in rounds for s in flown.sorties.values())
    planned = len(found.plan.sorties)
    goals = cover_goals(found.verdict.fraction, seen, completed=completed, planned=planned, all_landed=all_landed)
    shortfalls = [goal.en for goal in goals if not goal.reached]
    mission = found.plan.sorties[0].plan.mission
    tracks = [track for flown in rounds for track in map_tracks(flown)]
    return CoverReport(
        **run_facts(stage, mission, truth, run, f"{stage.site.site_id}-{stage.folder.name}"),
        passed=not shortfalls,
        note="; ".join(shortfalls) if shortfalls else "every condition holds",
        goals=goals,
        honesty=_honesty(stage, run),
        map_svg=site_map_svg(with_area(site, found.area), [s.plan for s in found.plan.sorties], tracks=tracks),
        area_m2=float(area.shape.area),
        seen_planned=found.verdict.fraction,
        seen_flown=seen,
        seen_width_m=width_m,
        path_m=found.plan.sweep.length_m,
        path_bound_m=found.plan.sweep.bound_m,
        time_planned_s=found.plan.time_s,
        time_bound_s=found.plan.bound_s,
        flights=flights,
    )


def seen_share(site: Site, found: SiteCover, tracks: Mapping[str, Sequence[TruePosition]], width_m: float) -> float:
    """Share of the area under the cameras by true positions: the raster judge on what was flown high enough."""
    frame = found.area.frame
    lowest: dict[str, float] = {}
    for sortie in found.plan.sorties:
        lowest.setdefault(sortie.vehicle_id, sortie.plan.takeoff_height_m * _LEAST_HEIGHT)
    paths: list[FloatArray] = []
    for vehicle_id, track in tracks.items():
        piece: list[tuple[float, float]] = []
        for position in [*track, None]:
            if position is not None and _height_m(site, position) >= lowest.get(vehicle_id, np.inf):
                piece.append(frame.to_enu(GeoPoint(position.latitude_deg, position.longitude_deg)))
            elif piece:
                paths.append(np.asarray(piece))
                piece = []
    rings = [
        np.asarray(ring.coords)[:-1, :2]
        for part in shapely.get_parts(found.area.shape)
        for ring in (part.exterior, *part.interiors)
    ]
    return judge_coverage(paths, rings, width_m).fraction


def _height_m(site: Site, position: TruePosition) -> float:
    try:
        return position.amsl_m - height_at(site.terrain, GeoPoint(position.latitude_deg, position.longitude_deg))
    except OutsideTerrainError:
        return -1.0


def _flight(found: SiteCover, flown: Flown, vehicle_id: str, number: int) -> CoverFlight:
    sortie = next(s for s in found.plan.sorties if (s.vehicle_id, s.number) == (vehicle_id, number))
    (summary,) = flight_summaries([sortie.plan], [sortie.energy], flown)
    return CoverFlight(number, sortie.from_m, sortie.to_m, summary)


def _honesty(stage: Stage, run: Run) -> tuple[tuple[str, str], ...]:
    return (
        ("飞行器：按 PX4 行为编写的仿真，没有真机。", "Vehicles: our simulation of PX4's behaviour; no aircraft."),
        (
            "实看面积按真实位置与平地画幅计算，不看画面内容；航迹以外的姿态误差不计。",
            "What was seen is reckoned from true positions and the picture on level ground, not from pictures.",
        ),
        (
            f"换电在仿真中不耗时；计划按每次 {SWAP_S / 60:.0f} 分钟以上计。",
            "Batteries change at once in the simulator; the planned time reckons with hands that take minutes.",
        ),
        (f"地形：{stage.site.terrain.source}。", f"Terrain: {stage.site.terrain.source}."),
        (
            f"时间：{run.started.astimezone(UTC):%Y-%m-%d %H:%M} UTC，速度为实时的 {run.speed:g} 倍。",
            f"Time ran at {run.speed:g} times real time.",
        ),
    )

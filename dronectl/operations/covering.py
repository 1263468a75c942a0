# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a drawn area and a site to flights that cover it: plans, numbers and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from dronectl.errors import BadInputError
from dronectl.operations.area_file import read_area
from dronectl.operations.planning import (
    LAYER_STEP_M,
    MAX_LAYERS,
    check_at_site,
    lowest_above_ground_m,
    plan_document,
    with_meetings,
)
from dronectl.site import Drone, Site
from missions.coverage.area import CoverArea, cover_area
from missions.coverage.camera import PhotoGrid, gsd_for_person_m, gsd_m, height_for_gsd_m, photo_grid, wind_cost
from missions.coverage.flights import CoverPlan, CoverTask, CoverVehicle, plan_cover
from missions.coverage.sorties import Sortie
from missions.coverage.sweep import MetreCost, even_cost
from missions.errors import PlanningError
from missions.feasibility import blockers
from missions.geo import FloatArray
from missions.judge_coverage import CoverageVerdict, judge_coverage
from missions.model import Budget, Camera, Finding, FlightPlan
from missions.terrain_follow import allowed_heights_m

STRAY = 0.1  # of the height: how far heights over ground may stray along passes
_COMPLETE = 0.9995  # cells on the area's edge may fall either way
_LOWER_M = 1.0  # below the planned heights: by as much as heights between samples may be off


@dataclass(frozen=True, slots=True)
class CoverWishes:
    """What the user asks for. One of height, GSD and pixels on a person; without any, the site's patrol height."""

    height_m: float | None = None
    gsd_m: float | None = None
    person_px: float | None = None
    side_overlap: float = 0.2
    camera_id: str | None = None
    corridor_m: float | None = None
    avoid_holes: bool = False
    wind_m_s: float = 0.0
    wind_from_deg: float | None = None


@dataclass(frozen=True, slots=True)
class SiteCover:
    """Flights over an area, with findings in the order of the sorties, and the judge's verdict on them all."""

    site_id: str
    area: CoverArea
    camera_id: str
    grid: PhotoGrid
    gsd_worst_m: float
    plan: CoverPlan
    findings: tuple[tuple[Finding, ...], ...]
    verdict: CoverageVerdict

    @property
    def clean(self) -> bool:
        """Nothing forbids a flight, and everything is seen."""
        return self.verdict.fraction >= _COMPLETE and not any(blockers(found) for found in self.findings)


def plan_site_cover(
    site: Site, file: Path, wishes: CoverWishes, budget: Budget, *, drone_ids: Sequence[str] | None = None
) -> SiteCover:
    """Plan flights of the site's drones, or of those named, that cover the area in a file. Raises BadInputError."""
    drones = site.drones_named(drone_ids)
    camera_type, camera = camera_of(site, [d.drone_id for d in drones], wishes.camera_id)
    rings = read_area(file, site, wishes.corridor_m)
    try:
        area = cover_area(rings)
        top = wished_height_m(site, camera, wishes.height_m, wishes.gsd_m, wishes.person_px)
        heights = layers_m(top, len(drones), site)
        stray = STRAY * min(heights)
        grid = photo_grid(camera, min(heights) - stray, side_overlap=wishes.side_overlap, front_overlap=0.0)
        speed = site.limits.cruise_speed_m_s
        metre_cost = cost_in_wind(speed, wishes.wind_m_s, wishes.wind_from_deg)
        task = CoverTask(
            mission=site.new_mission(f"cover-{file.stem}"),
            area=area,
            width_m=grid.spacing_m,
            cruise_speed_m_s=speed,
            avoid_holes=wishes.avoid_holes,
            tolerance_m=stray,
        )
        found = plan_cover(
            task,
            vehicles_at(drones, heights),
            site.fence,
            site.limits,
            site.terrain,
            budget,
            wind_m_s=wishes.wind_m_s,
            metre_cost=metre_cost,
        )
    except PlanningError as error:
        raise BadInputError("\n".join(f"{file}: {line}" for line in str(error).splitlines())) from error
    findings = findings_of(site, found.sorties, wishes.wind_m_s)
    seen_m = min(grid.across_m, grid.along_m)
    legs, widths = legs_seen(site, area, [s.plan for s in found.sorties], seen_m, min(heights) - stray)
    try:
        verdict = judge_coverage(legs, outlines_of(area), seen_m, widths_m=widths)
    except ValueError as error:
        raise BadInputError(f"{file}: {error} ({seen_m:.0f} m are seen at once); split the area") from error
    return SiteCover(
        site_id=site.site_id,
        area=area,
        camera_id=camera_type,
        grid=grid,
        gsd_worst_m=gsd_m(camera, max(heights) + stray),
        plan=found,
        findings=findings,
        verdict=verdict,
    )


def findings_of(site: Site, sorties: Sequence[Sortie], wind_m_s: float) -> tuple[tuple[Finding, ...], ...]:
    """What the checks say of each flight, alone and among the others."""
    return with_meetings(
        site,
        [s.plan for s in sorties],
        [check_at_site(site, s.plan, wind_m_s=wind_m_s) for s in sorties],
        [f"{s.vehicle_id}-{s.number}" for s in sorties],
        wind_m_s=wind_m_s,
    )


def vehicles_at(drones: Sequence[Drone], heights_m: Sequence[float]) -> tuple[CoverVehicle, ...]:
    """The drones as the planner of areas takes them, each at its own height above ground."""
    return tuple(CoverVehicle(d.drone_id, d.pad, d.return_height_m, h) for d, h in zip(drones, heights_m, strict=True))


def camera_of(site: Site, drone_ids: Sequence[str], wanted: str | None) -> tuple[str, Camera]:
    """The type of camera that all these drones carry, with its optics: the named one, or the first drone's first."""
    carried = {}
    for d in drone_ids:
        drone = site.drone(d)
        every = [*(c for c, _, _ in drone.cameras), *drone.recorders]
        carried[d] = {c.camera_id.removeprefix(f"{d}-"): c for c in every}
    first = carried[drone_ids[0]]
    name = wanted if wanted is not None else next(iter(first), "")
    for drone_id, cameras in carried.items():
        if name not in cameras:
            known = ", ".join(cameras) or "none"
            raise BadInputError(f"drone {drone_id} carries no camera {name!r}; it carries: {known}")
    return name, first[name]


def legs_seen(
    site: Site, area: CoverArea, plans: Sequence[FlightPlan], width_m: float, height_m: float
) -> tuple[list[FloatArray], list[float]]:
    """Every leg between waypoints, (2, 2) in metres of the area's frame, and how wide the ground is seen along it.

    That is width_m from height_m above ground up. Where a leg runs lower at any place, because the fence's top presses
    it down or as a way between passes, it sees less in proportion.
    """
    legs: list[FloatArray] = []
    widths: list[float] = []
    for plan in plans:
        geo = [w.position for w in plan.waypoints]
        places = area.frame.to_enu_array([p.latitude_deg for p in geo], [p.longitude_deg for p in geo])
        for k, low in enumerate(lowest_above_ground_m(site, plan)):
            legs.append(places[k : k + 2])
            widths.append(width_m if low >= height_m - _LOWER_M else width_m * max(0.0, low) / height_m)
    return legs, widths


def outlines_of(area: CoverArea) -> list[FloatArray]:
    """The area's rings, outer ones and holes, as open arrays of (n, 2) for the judges."""
    return [
        np.asarray(ring.coords)[:-1]
        for part in shapely.get_parts(area.shape)
        for ring in (part.exterior, *part.interiors)
    ]


def cost_in_wind(speed_m_s: float, wind_m_s: float, wind_from_deg: float | None) -> MetreCost:
    """What a metre costs by its direction; the same in all while nobody says where the wind blows from."""
    if wind_from_deg is None:
        return even_cost if wind_m_s < speed_m_s else wind_cost(speed_m_s, wind_m_s, 0.0)
    return wind_cost(speed_m_s, wind_m_s, wind_from_deg)


def wished_height_m(
    site: Site, camera: Camera, height_m: float | None, gsd: float | None, person_px: float | None
) -> float:
    """The greatest height that meets the wish even where the ground lets the drone stray upwards, and that is allowed.

    A lower one only shows more than was asked for.
    """
    if height_m is not None:
        return height_m
    if gsd is None and person_px is None:
        return site.model.patrol.height_m
    wanted = min(
        gsd if gsd is not None else math.inf, gsd_for_person_m(person_px) if person_px is not None else math.inf
    )
    _, highest = allowed_heights_m(site.limits, site.terrain)
    return min(height_for_gsd_m(camera, wanted) / (1.0 + STRAY), highest)


def layers_m(top_m: float, count: int, site: Site) -> list[float]:
    """Heights from the asked one down, so that no drone sees less finely than was asked for."""
    heights = [top_m - LAYER_STEP_M * (i % MAX_LAYERS) for i in range(count)]
    lowest, least = min(heights), site.limits.min_height_above_ground_m
    if lowest < least:
        if count == 1:
            raise PlanningError(
                f"{lowest:.0f} m above ground is below the site's {least:.0f} m; choose a greater height, a coarser picture "
                "or a camera with a longer lens"
            )
        raise PlanningError(
            f"the lowest of {count} drones, in layers of {LAYER_STEP_M:.0f} m, would fly {lowest:.0f} m above ground, "
            f"outside the site's {least:.0f} m and more; use fewer drones, a greater height or a coarser picture"
        )
    return heights


def cover_document(found: SiteCover) -> dict[str, Any]:
    """Everything for machines: summary.json."""
    plan, sweep = found.plan, found.plan.sweep
    return {
        "schema_version": 1,
        "site_id": found.site_id,
        "clean": found.clean,
        "area_m2": round(found.area.shape.area, 1),
        "coverage": round(found.verdict.fraction, 6),
        "camera": {
            "id": found.camera_id,
            "pass_spacing_m": round(found.grid.spacing_m, 2),
            "seen_width_m": round(min(found.grid.across_m, found.grid.along_m), 2),
            "gsd_worst_m": round(found.gsd_worst_m, 4),
        },
        "path": {
            "length_m": round(sweep.length_m, 1),
            "bound_m": round(sweep.bound_m, 1),
            "ratio": round(sweep.ratio, 4),
            "direction_deg": round((90.0 - sweep.direction_deg) % 180.0, 1),
            "swaths": sweep.swath_count,
        },
        "slack_s": plan.slack_s,
        "time_s": round(plan.time_s, 1),
        "bound_s": round(plan.bound_s, 1),
        "ratio": round(plan.ratio, 4),
        "flights": [
            {
                "file": f"{s.vehicle_id}-{s.number}.plan",
                "number": s.number,
                "path_from_m": round(s.from_m, 1),
                "path_to_m": round(s.to_m, 1),
                **plan_document(s.plan, s.energy, findings),
            }
            for s, findings in zip(plan.sorties, found.findings, strict=True)
        ],
    }

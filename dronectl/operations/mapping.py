# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a drawn area and a site to flights that photograph it: overlap, ground detail, trigger distances, a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np

from dronectl.errors import BadInputError
from dronectl.operations.area_file import read_area
from dronectl.operations.covering import (
    STRAY,
    camera_of,
    cost_in_wind,
    findings_of,
    layers_m,
    outlines_of,
    vehicles_at,
    wished_height_m,
)
from dronectl.operations.planning import plan_document
from dronectl.site import Drone, Site
from missions.coverage.area import CoverArea, cover_area
from missions.coverage.camera import PERSON_M, PERSON_PX
from missions.coverage.photo_flights import PhotoPlan, plan_photos
from missions.coverage.photo_lines import PhotoView, nadir_view, oblique_view
from missions.coverage.sorties import CoverTask
from missions.energy import height_above_home_m
from missions.errors import PlanningError
from missions.feasibility import blockers
from missions.geo import FloatArray
from missions.judge_photos import FlownPath, PhotoVerdict, judge_photos, photos_of
from missions.model import Budget, Camera, Finding, FlightPlan, Modality
from missions.terrain import OutsideTerrainError

_COMPLETE: Final = 0.995  # cells on the area's edge may fall either way
_CELLS_ACROSS: Final = 16.0  # of a picture
_MAX_CELLS: Final = 200_000
_MAX_CELLS_BOXED: Final = 3_000_000  # in the box around the area, which a slanting corridor hardly fills
_BLUR_PX: Final = 1.0  # more smears the detail that was asked for


class Preset(StrEnum):
    """What the pictures are for."""

    ORTHO = "ortho"  # a map: straight down
    MODEL3D = "model3d"  # a model: straight down, and from four sides
    CARPET = "carpet"  # a person on the ground: 25 px on 0.9 m


@dataclass(frozen=True, slots=True)
class MapWishes:
    """What the user asks for; None: as the preset says. One of height, GSD and pixels on a person."""

    preset: Preset = Preset.ORTHO
    height_m: float | None = None
    gsd_m: float | None = None
    person_px: float | None = None
    front_overlap: float | None = None
    side_overlap: float | None = None
    oblique: bool | None = None
    pitch_deg: float = -60.0
    speed_m_s: float | None = None
    exposure_s: float = 1.0 / 1000.0
    camera_id: str | None = None
    corridor_m: float | None = None
    avoid_holes: bool = False
    wind_m_s: float = 0.0
    wind_from_deg: float | None = None


_OVERLAPS: Final = {Preset.ORTHO: (0.75, 0.7), Preset.MODEL3D: (0.8, 0.7), Preset.CARPET: (0.3, 0.3)}
_OBLIQUE_OVERLAPS: Final = {Preset.ORTHO: (0.6, 0.6), Preset.MODEL3D: (0.7, 0.6), Preset.CARPET: (0.3, 0.55)}


@dataclass(frozen=True, slots=True)
class SiteMap:
    """Flights over an area, with findings in the order of the sorties, the views and the judge's verdict."""

    site_id: str
    area: CoverArea
    camera_id: str
    camera: Camera
    preset: Preset
    height_m: float  # of the highest drone, above ground
    speed_m_s: float
    exposure_s: float
    views: tuple[PhotoView, ...]
    plan: PhotoPlan
    findings: tuple[tuple[Finding, ...], ...]
    photos: tuple[int, ...]  # of each sortie
    verdict: PhotoVerdict
    gsd_stray: float  # the worst ground detail over that of the views, by drones' layers and the ground's relief
    slowed: str  # why the flight is slower than the site's cruise; empty when it is not

    @property
    def needed(self) -> int:
        return self.views[0].needed

    @property
    def clean(self) -> bool:
        """Nothing forbids a flight, and everything is in enough pictures."""
        return self.verdict.fraction >= _COMPLETE and not any(blockers(found) for found in self.findings)


def plan_site_map(
    site: Site, file: Path, wishes: MapWishes, budget: Budget, *, drone_ids: Sequence[str] | None = None
) -> SiteMap:
    """Plan flights of the site's drones, or of those named, that photograph the area in a file. Raises BadInputError."""
    drones = site.drones_named(drone_ids)
    wanted = wishes.camera_id if wishes.camera_id is not None else _finest_colour(drones)
    camera_type, camera = camera_of(site, [d.drone_id for d in drones], wanted)
    rings = read_area(file, site, wishes.corridor_m)
    try:
        area = cover_area(rings)
        oblique = wishes.preset is Preset.MODEL3D if wishes.oblique is None else wishes.oblique
        heights = layers_m(_height_m(site, camera, wishes, oblique=oblique), len(drones), site)
        stray = STRAY * min(heights)
        views = _views(camera, min(heights) - stray, wishes, oblique=oblique)
        speed, slowed = _speed(site, camera, wishes, views, min(heights) - stray)
        task = CoverTask(
            mission=site.new_mission(f"map-{file.stem}"),
            area=area,
            width_m=views[0].spacing_m,
            cruise_speed_m_s=speed,
            avoid_holes=wishes.avoid_holes,
            tolerance_m=stray,
        )
        found = plan_photos(
            task,
            views,
            vehicles_at(drones, heights),
            site.fence,
            site.limits,
            site.terrain,
            budget,
            wind_m_s=wishes.wind_m_s,
            metre_cost=cost_in_wind(speed, wishes.wind_m_s, wishes.wind_from_deg),
        )
        pictures = [photos_of(_flown(area, s.plan)) for s in found.sorties]
        verdict = _judged(site, area, camera, views, np.concatenate(pictures), min(heights))
    except (PlanningError, OutsideTerrainError) as error:
        raise BadInputError("\n".join(f"{file}: {line}" for line in str(error).splitlines())) from error
    return SiteMap(
        site_id=site.site_id,
        area=area,
        camera_id=camera_type,
        camera=camera,
        preset=wishes.preset,
        height_m=max(heights),
        speed_m_s=speed,
        exposure_s=wishes.exposure_s,
        views=tuple(views),
        plan=found,
        findings=findings_of(site, found.sorties, wishes.wind_m_s),
        photos=tuple(len(p) for p in pictures),
        verdict=verdict,
        gsd_stray=(max(heights) + stray) / (min(heights) - stray),
        slowed=slowed,
    )


def _finest_colour(drones: Sequence[Drone]) -> str | None:
    """The colour camera that resolves most, of the first drone: maps are made with it unless somebody names another."""
    first = drones[0]
    colour = [c for c in (*(c for c, _, _ in first.cameras), *first.recorders) if c.modality is Modality.RGB]
    best = max(colour, key=lambda c: c.fx_px, default=None)
    return None if best is None else best.camera_id.removeprefix(f"{first.drone_id}-")


def _height_m(site: Site, camera: Camera, wishes: MapWishes, *, oblique: bool) -> float:
    """The height above ground; with obliques low enough that the middle of their pictures is fine enough as well."""
    person_px = wishes.person_px
    if wishes.preset is Preset.CARPET and wishes.height_m is None and wishes.gsd_m is None and person_px is None:
        person_px = PERSON_PX
    height = wished_height_m(site, camera, wishes.height_m, wishes.gsd_m, person_px)
    if oblique and wishes.height_m is None and (wishes.gsd_m is not None or person_px is not None):
        height *= math.cos(math.radians(90.0 + wishes.pitch_deg))
    return height


def _views(camera: Camera, height_m: float, wishes: MapWishes, *, oblique: bool) -> list[PhotoView]:
    front, side = _OVERLAPS[wishes.preset]
    views = [
        nadir_view(
            camera,
            height_m,
            side_overlap=side if wishes.side_overlap is None else wishes.side_overlap,
            front_overlap=front if wishes.front_overlap is None else wishes.front_overlap,
        )
    ]
    if oblique:
        front, side = _OBLIQUE_OVERLAPS[wishes.preset]
        views.append(oblique_view(camera, height_m, wishes.pitch_deg, side_overlap=side, front_overlap=front))
    return views


def _speed(site: Site, camera: Camera, wishes: MapWishes, views: list[PhotoView], height_m: float) -> tuple[float, str]:
    """The speed at which the camera keeps up and pictures are sharp, and what slows it down. Raises PlanningError."""
    cruise = site.limits.cruise_speed_m_s if wishes.speed_m_s is None else wishes.speed_m_s
    least_m = min(view.trigger_m for view in views)
    by_rate = camera.rate_hz * least_m
    by_blur = _BLUR_PX * height_m / max(camera.fx_px, camera.fy_px) / wishes.exposure_s
    speed = min(cruise, by_rate, by_blur)
    if speed < 1.0:
        why = f"takes a picture every {1.0 / camera.rate_hz:.1f} s" if by_rate < by_blur else "smears otherwise"
        raise PlanningError(
            f"pictures {least_m:.1f} m apart would have to be flown at {speed:.1f} m/s, because the camera {why}; "
            "overlap less in front, fly higher or expose for a shorter time"
        )
    if speed == cruise:
        return cruise, ""
    if wishes.speed_m_s is not None:
        raise PlanningError(f"at {cruise:.1f} m/s the camera does not keep up or smears; at most {speed:.1f} m/s")
    reason = f"a picture every {1.0 / camera.rate_hz:.1f} s" if by_rate <= by_blur else "motion blur"
    return math.floor(speed * 10.0) / 10.0, reason


def _flown(area: CoverArea, plan: FlightPlan) -> FlownPath:
    points = plan.waypoints
    places = area.frame.to_enu_array(
        [w.position.latitude_deg for w in points], [w.position.longitude_deg for w in points]
    )
    heights = [plan.home_amsl_m + height_above_home_m(w.altitude, plan.home_amsl_m) for w in points]
    return FlownPath(
        np.column_stack([places, heights]),
        np.array([math.nan if w.trigger_m is None else w.trigger_m for w in points]),
        np.array([math.nan if w.gimbal_pitch_deg is None else w.gimbal_pitch_deg for w in points]),
    )


def _judged(
    site: Site, area: CoverArea, camera: Camera, views: list[PhotoView], photos: FloatArray, height_m: float
) -> PhotoVerdict:
    across = min(camera.width_px / camera.fx_px, camera.height_px / camera.fy_px) * height_m

    def ground(east_m: FloatArray, north_m: FloatArray) -> FloatArray:
        geo = area.frame.to_geo_array(np.column_stack([east_m, north_m]))
        return site.terrain.height_amsl_m(geo[:, 0], geo[:, 1])

    return judge_photos(
        photos,
        outlines_of(area),
        ground,
        camera.width_px / camera.fx_px / 2.0,
        camera.height_px / camera.fy_px / 2.0,
        min(camera.fx_px, camera.fy_px),
        needed=views[0].needed,
        cell_m=judged_cell_m(area, across),
    )


def judged_cell_m(area: CoverArea, across_m: float) -> float:
    """How large the judge's cells are: a sixteenth of a picture, larger where the area or the box around it asks for it."""
    west, south, east, north = area.shape.bounds
    boxed = (east - west) * (north - south)
    return max(across_m / _CELLS_ACROSS, math.sqrt(area.shape.area / _MAX_CELLS), math.sqrt(boxed / _MAX_CELLS_BOXED))


def view_document(found: SiteMap, view: PhotoView) -> dict[str, Any]:
    """One view's numbers for machines."""
    seconds = view.trigger_m / found.speed_m_s
    worst_m = view.gsd_m * found.gsd_stray
    return {
        "pitch_deg": round(view.pitch_deg, 1),
        "gsd_m": round(view.gsd_m, 4),
        "gsd_worst_m": round(worst_m, 4),
        "person_px": round(PERSON_M / worst_m, 1),
        "spacing_m": round(view.spacing_m, 2),
        "trigger_m": round(view.trigger_m, 2),
        "between_photos_s": round(seconds, 2),
        "camera_needs_s": round(1.0 / found.camera.rate_hz, 2),
        "blur_px": round(found.speed_m_s * found.exposure_s / view.gsd_m, 2),
    }


def map_document(found: SiteMap) -> dict[str, Any]:
    """Everything for machines: summary.json."""
    plan, grid, verdict = found.plan, found.plan.grid, found.verdict
    return {
        "schema_version": 1,
        "site_id": found.site_id,
        "preset": found.preset.value,
        "clean": found.clean,
        "area_m2": round(found.area.shape.area, 1),
        "camera": found.camera_id,
        "height_m": round(found.height_m, 1),
        "speed_m_s": round(found.speed_m_s, 1),
        "slowed_by": found.slowed or None,
        "slack_s": plan.slack_s,
        "photos": sum(found.photos),
        "views": [view_document(found, view) for view in found.views],
        "overlap": {
            "needed": found.needed,
            "fraction": round(verdict.fraction, 6),
            "least": verdict.nadir_least,
            "median": verdict.nadir_median,
            "from_four_sides": round(verdict.sides_fraction, 6) if len(found.views) > 1 else None,
            "gsd_worst_m": round(verdict.gsd_worst_m, 4) if math.isfinite(verdict.gsd_worst_m) else None,
        },
        "path": {
            "length_m": round(grid.length_m, 1),
            "lines_m": round(grid.line_m, 1),
            "bound_m": round(grid.bound_m, 1),
            "ratio": round(plan.ratio, 4),
            "directions_deg": [round((90.0 - d) % 180.0, 1) for d in grid.directions_deg],
            "lines": grid.line_count,
        },
        "time_s": round(plan.time_s, 1),
        "bound_s": round(plan.bound_s, 1),
        "flights": [
            {
                "file": f"{s.vehicle_id}-{s.number}.plan",
                "number": s.number,
                "photos": photos,
                "path_from_m": round(s.from_m, 1),
                "path_to_m": round(s.to_m, 1),
                **plan_document(s.plan, s.energy, findings),
            }
            for s, photos, findings in zip(plan.sorties, found.photos, found.findings, strict=True)
        ],
    }

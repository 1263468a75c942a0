# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a file of past cases to a heat map at a site: density, warnings, weights with reasons, score.

Everything that decides is in `missions.heat`; here a site's fence and must-patrol items are put to it, and what comes
back becomes documents.
"""

from __future__ import annotations

import calendar
import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from shapely.geometry import MultiPoint, Point
from shapely.geometry.base import BaseGeometry

from dronectl.errors import BadInputError
from dronectl.operations.heat_cases import ReadCases, Reject, read_cases, reject_documents
from dronectl.site import Site
from dronectl.site_model import ReferenceSystem
from missions.errors import PlanningError
from missions.fences import fence_shape
from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.heat.density import HeatMap, heat_map
from missions.heat.grid import Case, HeatGrid, heat_grid
from missions.heat.score import Backtest, Score, backtest
from missions.heat.warn import HotSpot, Warnings, hot_spots
from missions.heat.weights import ItemWeight, item_weight, sentence

_SCAN_CELLS = 26.0
_SAMPLE_M = 25.0
_HULL_MARGIN_M = 100.0
_SHOWN_SHARE = 0.5
_LEAST_WIDTH = 0.5  # of a cell: for a narrower kernel the mass at the cells' middles says nothing


@dataclass(frozen=True, slots=True)
class HeatOptions:
    """How a map is made. around_cases: the area is the cases' hull, not the site's fence, and no item is weighted."""

    system: ReferenceSystem
    month: tuple[int, int] | None = None
    cell_m: float = 50.0
    half_life_days: float = 60.0
    bandwidth_m: float | None = None
    alpha: float = 0.05
    draws: int = 999
    seed: int = 1
    around_cases: bool = False


@dataclass(frozen=True, slots=True)
class SiteHeat:
    """A heat map with all that is said about it. month: the one that was tested for hot spots; the map is of its end."""

    site_id: str
    file: Path
    options: HeatOptions
    month: tuple[int, int]
    read: ReadCases
    area: BaseGeometry
    heat: HeatMap
    warnings: Warnings
    weights: tuple[ItemWeight, ...]
    score: Backtest


def heat_at_site(site: Site, file: Path, options: HeatOptions, *, until: date | None = None) -> SiteHeat:
    """Read cases and make the map. Raises BadInputError: an unreadable file, or no case in the area."""
    if options.bandwidth_m is not None and options.bandwidth_m < _LEAST_WIDTH * options.cell_m:
        raise BadInputError(
            f"a kernel of {options.bandwidth_m:g} m falls between the middles of cells of {options.cell_m:g} m; take a "
            f"bandwidth of at least {_LEAST_WIDTH * options.cell_m:g} m, or smaller cells"
        )
    read = read_cases(file, options.system, until=until)
    frame, area = _area(site, read, file, around=options.around_cases)
    read = _inside(read, frame, area)
    if not read.cases:
        raise BadInputError(_nothing_left(file, read))
    month = options.month or max((c.day.year, c.day.month) for c in read.cases)
    as_of = date(*month, calendar.monthrange(*month)[1])
    known = tuple(c for c in read.cases if c.day <= as_of)
    try:
        grid = heat_grid(area, frame, options.cell_m)
        heat = heat_map(known, grid, as_of, half_life_days=options.half_life_days, bandwidth_m=options.bandwidth_m)
        scan = heat_grid(area, frame, max(options.cell_m, math.sqrt(area.envelope.area) / _SCAN_CELLS))
        this = tuple(c for c in known if (c.day.year, c.day.month) == month)
        past = tuple(c for c in known if (c.day.year, c.day.month) != month)
        found = hot_spots(
            scan,
            scan.places_m(this),
            scan.places_m(past),
            seed=options.seed,
            alpha=options.alpha,
            draws=options.draws,
        )
    except PlanningError as error:
        raise BadInputError(f"{file}: {error}") from error
    except ValueError as error:
        raise BadInputError(str(error)) from error
    weights = () if options.around_cases else _weights(site, heat)
    score = backtest(known, grid, half_life_days=options.half_life_days, bandwidth_m=options.bandwidth_m)
    return SiteHeat(site.site_id, file, options, month, read, area, heat, found, weights, score)


def _area(site: Site, read: ReadCases, file: Path, *, around: bool) -> tuple[LocalFrame, BaseGeometry]:
    if not around:
        return site.frame, fence_shape(site.fence, site.frame).inside
    if not read.cases:
        raise BadInputError(_nothing_left(file, read))
    frame = LocalFrame(read.cases[len(read.cases) // 2].position)
    places = [frame.to_enu(c.position) for c in read.cases]
    return frame, MultiPoint(places).convex_hull.buffer(_HULL_MARGIN_M, quad_segs=4)


def _inside(read: ReadCases, frame: LocalFrame, area: BaseGeometry) -> ReadCases:
    """Cases beyond the area become rejects; they say nothing about it."""
    kept: list[Case] = []
    out: list[Reject] = []
    lines = dict(zip((c.case_id for c in read.cases), read.lines, strict=True))
    for case in read.cases:
        away = float(area.distance(Point(frame.to_enu(case.position))))
        if away > 0.0:
            out.append(Reject(lines[case.case_id], f"lies {away:.0f} m outside the area"))
        else:
            kept.append(case)
    rejects = tuple(sorted((*read.rejects, *out), key=lambda r: r.line))
    return ReadCases(tuple(kept), tuple(lines[c.case_id] for c in kept), rejects, read.encoding)


def _nothing_left(file: Path, read: ReadCases) -> str:
    if not read.rejects:
        return f"{file}: holds no case; an empty map would say that nothing ever happens"
    first = read.rejects[0]
    return (
        f"{file}: none of its {len(read.rejects)} cases can be used (the first, in line {first.line}: {first.reason}); "
        "check --reference and --site, or take --around-cases"
    )


def _weights(site: Site, heat: HeatMap) -> tuple[ItemWeight, ...]:
    out = [
        item_weight(heat, p.place_id, p.name or p.place_id, np.asarray([site.frame.to_enu(p.position)]))
        for p in site.points
    ]
    out += [item_weight(heat, x.line_id, x.name or x.line_id, _along(site, x.path)) for x in site.lines]
    return tuple(out)


def _along(site: Site, path: tuple[GeoPoint, ...]) -> FloatArray:
    corners = np.asarray([site.frame.to_enu(p) for p in path])
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    at = np.linspace(0.0, way[-1], max(2, math.ceil(way[-1] / _SAMPLE_M) + 1))
    return np.stack([np.interp(at, way, corners[:, 0]), np.interp(at, way, corners[:, 1])], axis=-1)


def heat_document(found: SiteHeat) -> dict[str, Any]:
    """Everything about a map as JSON. `weights` is what the timetable takes."""
    heat, warned = found.heat, found.warnings
    return {
        "schema_version": 1,
        "kind": "heat",
        "site_id": found.site_id,
        "cases_file": found.file.name,
        "reference_system": found.options.system.value,
        "encoding": found.read.encoding,
        "as_of": heat.as_of.isoformat(),
        "cases": len(heat.cases),
        "rejects": reject_documents(found.read.rejects),
        "area_km2": round(heat.grid.area_m2 / 1e6, 4),
        "bandwidth_m": round(heat.bandwidth_m, 1),
        "bandwidth_chosen": found.options.bandwidth_m is None,
        "half_life_days": heat.half_life_days,
        "mean_per_km2": heat.mean_per_km2,
        "warnings": {
            "month": _month(found.month),
            "cases": warned.month_cases,
            "past_cases": warned.past_cases,
            "false_warning_share_at_most": found.options.alpha,
            "tests": list(warned.tests),
            "level_of_each": warned.level,
            "hot_spots": [_spot_document(found, s) for s in warned.hot_spots],
        },
        "weights": {w.item_id: round(w.weight, 4) for w in found.weights},
        "explained": [_weight_document(w) for w in found.weights],
        "score": {
            "months": [_month(m) for m in found.score.months],
            "area_share": found.score.ours.area_share,
            **{
                key: _score_document(value)
                for key, value in (
                    ("heat_map", found.score.ours),
                    ("last_month", found.score.last_month),
                    ("uniform", found.score.uniform),
                )
            },
        },
    }


def _month(month: tuple[int, int]) -> str:
    return f"{month[0]:04d}-{month[1]:02d}"


def _score_document(score: Score) -> dict[str, Any]:
    low, high = score.interval
    return {
        "hit_rate": round(score.hit_rate, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "accuracy_index": round(score.accuracy_index, 3),
        "cases": score.cases,
    }


def spot_position(found: SiteHeat, spot: HotSpot) -> GeoPoint:
    return found.heat.grid.frame.to_geo(spot.east_m, spot.north_m)


def _spot_document(found: SiteHeat, spot: HotSpot) -> dict[str, Any]:
    at = spot_position(found, spot)
    return {
        "test": spot.test,
        "latitude_deg": round(at.latitude_deg, 6),
        "longitude_deg": round(at.longitude_deg, 6),
        "radius_m": round(spot.radius_m),
        "cases": spot.cases,
        "expected": round(spot.expected, 2),
        "p": round(spot.p, 4),
    }


def _weight_document(item: ItemWeight) -> dict[str, Any]:
    return {
        "item": item.item_id,
        "weight": round(item.weight, 4),
        "why": sentence(item),
        "density_per_km2": item.per_km2,
        "mean_per_km2": item.mean_per_km2,
        "relative": item.relative,
        "held_at": item.limited or None,
        "cases_near": item.cases_near,
        "near_m": round(item.near_m, 1),
        "cases": [
            {
                "id": r.case_id,
                "kind": r.kind,
                "days_ago": r.days_ago,
                "distance_m": round(r.distance_m, 1),
                "recency": round(r.recency, 4),
                "share": round(r.share, 4),
            }
            for r in item.reasons
        ],
        "other_cases": item.others,
        "other_share": round(item.others_share, 4),
    }


def heat_geojson(found: SiteHeat) -> dict[str, Any]:
    """Cells above half of the mean density as polygons, hot spots as circles; WGS 84."""
    heat, grid = found.heat, found.heat.grid
    shown = (heat.per_km2 > _SHOWN_SHARE * heat.mean_per_km2) & (grid.inside > 0.0)
    features: list[dict[str, Any]] = []
    for row, column in np.argwhere(shown):
        west, south = grid.west_m + grid.cell_m * column, grid.south_m + grid.cell_m * row
        ring = [(west, south), (west + grid.cell_m, south), (west + grid.cell_m, south + grid.cell_m)]
        ring += [(west, south + grid.cell_m)]
        value = float(heat.per_km2[row, column])
        what = {"kind": "cell", "per_km2": round(value, 4), "relative": round(value / heat.mean_per_km2, 3)}
        features.append(_feature("Polygon", [_closed(grid, ring)], what))
    for spot in found.warnings.hot_spots:
        turn = np.linspace(0.0, 2.0 * math.pi, 48, endpoint=False)
        ring = [(spot.east_m + spot.radius_m * math.cos(t), spot.north_m + spot.radius_m * math.sin(t)) for t in turn]
        features.append(_feature("Polygon", [_closed(grid, ring)], {"kind": "hot-spot", **_spot_document(found, spot)}))
    return {"type": "FeatureCollection", "features": features}


def _closed(grid: HeatGrid, ring: list[tuple[float, float]]) -> list[list[float]]:
    degrees = grid.frame.to_geo_array(np.asarray([*ring, ring[0]]))
    return [[round(float(lon), 7), round(float(lat), 7)] for lat, lon in degrees]


def _feature(kind: str, coordinates: Any, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}

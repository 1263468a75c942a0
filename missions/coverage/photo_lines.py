# SPDX-License-Identifier: AGPL-3.0-or-later
"""A photo grid over an area as one track: parallel lines with pictures by distance, one set of lines for each view.

Lines and their ends reach so far beyond the area that its edge lies in as many pictures as its middle. An oblique view
looks along the flight: its lines run in two directions across each other, there and back, and so see every place from
four sides; they reach further by what the camera looks ahead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import shapely
from shapely import affinity
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from missions.coverage.camera import PhotoGrid, photo_grid
from missions.coverage.ordering import order_swaths
from missions.coverage.strips import Area, Layout, Swath, cells, intervals, swaths
from missions.coverage.sweep import MetreCost, sweep_directions
from missions.coverage.track import Track
from missions.errors import PlanningError
from missions.geo import FloatArray
from missions.model import Budget, Camera
from missions.routing.visibility import shortest_paths

_FINE = 1000.0  # paths are searched in millimetres, as sweeps are
_SHORTEST_M = 3.0  # a line that an autopilot still flies as such
_FLATTEST_DEG = 75.0  # from straight down, for the far edge of an oblique picture
_MAX_LINES = 600
_EPS = 1e-9


@dataclass(frozen=True, slots=True)
class PhotoView:
    """One way of looking: the grid's distances and how far its lines reach beyond the area, in metres.

    abreast: how many neighbouring lines are to show a place; needed: in how many pictures of this view it is to be;
    ahead_m: how far before the vehicle the camera looks. A negative aside_m keeps the outermost lines inside the area.
    """

    pitch_deg: float
    spacing_m: float
    trigger_m: float
    aside_m: float
    abreast: int
    beyond_m: float
    ahead_m: float
    gsd_m: float
    needed: int


def nadir_view(camera: Camera, height_m: float, *, side_overlap: float, front_overlap: float) -> PhotoView:
    """Straight down. The overlaps say in how many pictures a place is: 75 % both ways make 4 x 4."""
    grid: PhotoGrid = photo_grid(camera, height_m, side_overlap=side_overlap, front_overlap=front_overlap)
    spacing = grid.across_m * (1.0 - side_overlap)
    across, along = _times(grid.across_m, spacing), _times(grid.along_m, grid.trigger_m)
    return PhotoView(
        pitch_deg=-90.0,
        spacing_m=spacing,
        trigger_m=grid.trigger_m,
        aside_m=_aside_m(across, spacing, grid.across_m),
        abreast=across,
        beyond_m=max(0.0, (along - 1) * grid.trigger_m - grid.along_m / 2.0) + grid.trigger_m,
        ahead_m=0.0,
        gsd_m=grid.gsd_m,
        needed=across * along,
    )


def oblique_view(
    camera: Camera, height_m: float, pitch_deg: float, *, side_overlap: float, front_overlap: float
) -> PhotoView:
    """Ahead and down. Only the near half of the picture and as much beyond its middle counts; the far rest is coarse."""
    tilt, half = math.radians(90.0 + pitch_deg), math.atan(camera.height_px / 2.0 / camera.fy_px)
    if not -80.0 <= pitch_deg <= -30.0:
        raise PlanningError(f"an oblique view looks 30 to 80 degrees down, not {-pitch_deg:.0f}")
    if tilt + half > math.radians(_FLATTEST_DEG):
        raise PlanningError(
            f"at {-pitch_deg:.0f} degrees down the far edge of this camera's picture is nearly level; look further down"
        )
    ahead = height_m * math.tan(tilt)
    along = 2.0 * (ahead - height_m * math.tan(tilt - half))
    depth = height_m / math.cos(tilt)
    near_depth = height_m * math.cos(half) / math.cos(tilt - half)
    across = camera.width_px / camera.fx_px * near_depth
    spacing, trigger = across * (1.0 - side_overlap), along * (1.0 - front_overlap)
    times = _times(across, spacing)
    return PhotoView(
        pitch_deg=pitch_deg,
        spacing_m=spacing,
        trigger_m=trigger,
        aside_m=_aside_m(times, spacing, across),
        abreast=times,
        beyond_m=ahead + trigger,
        ahead_m=ahead,
        gsd_m=depth / min(camera.fx_px, camera.fy_px),
        needed=1,
    )


def _aside_m(abreast: int, spacing_m: float, across_m: float) -> float:
    """How far outside the area the outermost line lies, so that so many lines see the very edge."""
    return max(-spacing_m / 2.0, (abreast - 1) * spacing_m - across_m / 2.0)


def _times(footprint_m: float, step_m: float) -> int:
    return max(1, math.floor(footprint_m / step_m + _EPS))


@dataclass(frozen=True, slots=True)
class PhotoTrack:
    """A track over all views' lines.

    bound_m: for each set of lines the area that they pass over, over their spacing, which no parallel lines beat. What
    lies beyond where the vehicle may be has no line, and does not count.
    """

    track: Track
    line_count: int
    line_m: float
    length_m: float
    bound_m: float
    directions_deg: tuple[float, ...]  # counter-clockwise from east, one for each set of lines


def photo_track(
    area: Area,
    views: list[PhotoView],
    room: Polygon,
    budget: Budget,
    metre_cost: MetreCost,
    turn_cost_m: float,
) -> PhotoTrack:
    """Lines for every view in the best direction (obliques also across it), in a short order, joined inside `room`."""
    best = _direction(area, views[0], metre_cost, turn_cost_m)
    sets = [(view, best) for view in views] + [(view, (best + 90.0) % 180.0) for view in views if view.ahead_m > 0.0]
    corners: list[tuple[float, float]] = []
    trigger: list[float] = []
    pitch: list[float] = []
    lines_m, bound_m, count = 0.0, 0.0, 0
    for number, (view, direction) in enumerate(sets):
        budget.progress(0.1 + 0.8 * number / len(sets), "ordering lines")
        lines, layout = _lines(area, view, direction, room)
        count += len(lines)
        lines_m += sum(line.length_m for line in lines)
        bound_m += _passed_over(area, lines, view.spacing_m).area / view.spacing_m
        for leg in _joined(lines, layout, room, corners[-1] if corners else None, budget):
            if corners:
                trigger += [0.0] * (len(leg) - 1)
                pitch += [math.nan] * (len(leg) - 1)
                corners += leg[:-1]
            else:
                corners.append(leg[-2])
            corners.append(leg[-1])
            trigger.append(view.trigger_m)
            pitch.append(view.pitch_deg)
    places = np.asarray(corners)
    return PhotoTrack(
        track=Track(places, np.asarray(trigger), np.asarray(pitch)),
        line_count=count,
        line_m=lines_m,
        length_m=float(np.hypot(*np.diff(places, axis=0).T).sum()),
        bound_m=bound_m,
        directions_deg=tuple(direction for _, direction in sets),
    )


def _layout(area: Area, view: PhotoView, direction_deg: float) -> Layout:
    """Evenly spaced lines from one side's reach beyond the area to the other's."""
    turned = affinity.rotate(area, -direction_deg, origin=(0.0, 0.0))
    _, low, _, high = turned.bounds
    if view.abreast == 1:
        # One line for every place: strips side by side, their lines in the middle.
        count = max(1, math.ceil((high - low) / view.spacing_m - _EPS))
        return Layout(direction_deg, low + (high - low) / count / 2.0, (high - low) / count, count)
    span = max(0.0, high - low + 2.0 * view.aside_m)
    count = max(view.abreast, math.ceil(span / view.spacing_m - _EPS) + 1)
    spacing = span / (count - 1) if span > 0.0 else view.spacing_m
    return Layout(direction_deg, (low + high - (count - 1) * spacing) / 2.0, spacing, count)


def _spans(area: Area, view: PhotoView, layout: Layout) -> list[tuple[int, float, float]]:
    """Along each line: what it must span to show all places that it shows with its neighbours."""
    # A strip is half the spacing to either side; the lines that show a place lie farther away by as many as they are.
    grown = area.buffer((view.abreast - 1) * view.spacing_m / 2.0) if view.abreast > 1 else area
    joined = 2.0 * (view.beyond_m + view.spacing_m)
    return [(n, a - view.beyond_m, b + view.beyond_m) for n, a, b in intervals(grown, layout, joined)]


def _direction(area: Area, view: PhotoView, metre_cost: MetreCost, turn_cost_m: float) -> float:
    def cost(direction: float) -> float:
        spans = _spans(area, view, _layout(area, view, direction))
        flown = sum(b - a for _, a, b in spans) * metre_cost(direction)
        return flown + len(spans) * (view.spacing_m + turn_cost_m)

    return min(sweep_directions(area), key=cost)


def _lines(area: Area, view: PhotoView, direction_deg: float, room: Polygon) -> tuple[list[Swath], Layout]:
    layout = _layout(area, view, direction_deg)
    found = [s for s in swaths(_spans(area, view, layout), layout, room) if s.length_m >= _SHORTEST_M]
    if not found:
        raise PlanningError("no line of pictures fits between the area and the fence; fly lower or widen the fence")
    if len(found) > _MAX_LINES:
        raise PlanningError(
            f"the grid has {len(found)} lines, more than {_MAX_LINES}; fly higher, overlap less or split the area"
        )
    return found, layout


def _passed_over(area: Area, lines: list[Swath], spacing_m: float) -> BaseGeometry:
    """What of an area lies within half a spacing of a line, beside it."""
    flown = shapely.linestrings([(line.start_m, line.end_m) for line in lines])
    strips = shapely.buffer(flown, spacing_m / 2.0, cap_style="flat")
    passed: BaseGeometry = shapely.intersection(area, shapely.union_all(strips))
    return passed


def _joined(
    lines: list[Swath], layout: Layout, room: Polygon, start: tuple[float, float] | None, budget: Budget
) -> list[list[tuple[float, float]]]:
    """For each line in its order: the places from the end of the one before (or `start`), and its own two ends."""
    ends = np.array([p for line in lines for p in (line.start_m, line.end_m)])
    places = ends if start is None else np.vstack([ends, start])
    paths = shortest_paths(affinity.scale(room, _FINE, _FINE, origin=(0.0, 0.0)), places * _FINE)
    if not np.isfinite(paths.length_m).all():
        raise PlanningError("lines of pictures cannot be reached from one another inside the fence; widen the passage")
    between = np.pad(paths.length_m[: len(ends), : len(ends)] / _FINE, ((0, 1), (0, 1)))
    first = [i for cell in cells(lines, layout) for i in cell]
    order = order_swaths(between, first, replace(budget, iterations=min(budget.iterations, 2 * len(lines))))
    if start is not None:
        order = min(
            (order, [(i, not flip) for i, flip in reversed(order)]), key=lambda o: paths.length_m[-1, _entry(o[0])]
        )
    out = []
    before = None if start is None else len(ends)
    for i, flip in order:
        entry, leave = 2 * i + flip, 2 * i + 1 - flip
        way: list[tuple[float, float]] = []
        if before is not None:
            way = [(x / _FINE, y / _FINE) for x, y in paths.between(before, entry)]
        out.append([*way, _place(ends, entry), _place(ends, leave)])
        before = leave
    return out


def _entry(first: tuple[int, bool]) -> int:
    return 2 * first[0] + first[1]


def _place(ends: FloatArray, index: int) -> tuple[float, float]:
    return float(ends[index, 0]), float(ends[index, 1])

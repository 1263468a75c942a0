# SPDX-License-Identifier: AGPL-3.0-or-later
"""From the form of a missing person to the map that is searched: category, time gone by, ground, places ruled out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry import Point, Polygon

from dronectl.errors import BadInputError
from dronectl.operations.last_seen_model import Condition, LastSeenModel, SearchedModel
from dronectl.operations.line_features import LineFeature, read_line_features
from dronectl.site_model import ReferenceSystem
from dronectl.yaml_lines import load_yaml
from missions.errors import PlanningError
from missions.geo import FloatArray, GeoPoint, LocalFrame, from_gcj02
from missions.search.flown import after_detection
from missions.search.ground import GroundModels, Line, on_ground
from missions.search.lost_person import distance_law
from missions.search.probability import ProbabilityMap, from_distances
from missions.terrain import GridTerrain

WALKING_M_S = 1.4
_NEAREST_M = 100.0
_OLD = 70
_CHILDREN = ((3, "child_1_3"), (6, "child_4_6"), (9, "child_7_9"), (12, "child_10_12"))
RULE = (
    "a condition that is named decides; else children up to 12 by their age; else from 70 on the row for dementia, "
    "younger people the row for hikers"
)


@dataclass(frozen=True, slots=True)
class SearchedPlace:
    """A place that others searched without success, as an open ring, and how probably they would have found."""

    name: str
    ring: tuple[GeoPoint, ...]
    pod: float


@dataclass(frozen=True, slots=True)
class LastSeen:
    """What a search begins with. hours_ago: None when unknown; notes: how the rest was chosen, for the reader."""

    at: GeoPoint
    category: str
    terrain: str
    hours_ago: float | None = None
    lines: tuple[LineFeature, ...] = ()
    searched: tuple[SearchedPlace, ...] = ()
    models: GroundModels = field(default_factory=GroundModels)
    notes: tuple[str, ...] = ()


def choose_category(age: int, condition: Condition) -> tuple[str, str]:
    """The row of the distance table for a person, and a sentence that says why (RULE)."""
    if condition is not Condition.NONE:
        return condition.value, f"{condition.value}: the condition decides"
    for oldest, name in _CHILDREN:
        if age <= oldest:
            return name, f"{name}: {age} years old, no condition named"
    if age >= _OLD:
        return "dementia", (
            f"dementia: {age} years old, no condition named; the table has no row for old people, this one is nearest"
        )
    return "hiker", (
        f"hiker: {age} years old, no condition named; the table has no row for other adults, this one is nearest"
    )


def read_last_seen(file: Path, now: datetime) -> LastSeen:
    """Read a form. now: when the search begins, unless the form says it. Raises BadInputError: file, line, field."""
    form, lines = load_yaml(file, LastSeenModel)
    to_point = _reader(form.reference_system)
    begins = form.now or now
    place, seen, notes = to_point(form.place), form.last_seen, []
    traces = [s for s in form.searched if s.found]
    for index, entry in enumerate(form.searched):
        if entry.found and entry.time is not None and not form.last_seen <= entry.time <= begins:
            message = "a trace lies between the time last seen and now; check both"
            raise BadInputError(lines.say(("searched", index, "time"), message))
    if begins <= form.last_seen:
        when = f"{form.last_seen.isoformat()} is not before {begins.isoformat()}, when the search begins"
        raise BadInputError(lines.say(("last_seen",), f"{when}; check the time and its zone"))
    if traces:
        last = max(traces, key=lambda s: s.time or seen)
        if last.position is not None and last.time is not None:
            place, seen = to_point(last.position), last.time
            notes.append(
                f"the search starts from the trace found at {last.name or 'a searched place'}, not from the form's place"
            )
    hours = (begins - seen).total_seconds() / 3600.0
    if form.category is None:
        category, why = choose_category(form.age, form.condition)
        notes.append(f"category {why}. Rule: {RULE}. Another one: category in the form, or --category")
    else:
        category = form.category
        notes.append(f"category {category}: given, not chosen")
    notes.append(f"last seen {max(hours, 0.0):.1f} h before the search begins")
    features: tuple[LineFeature, ...] = ()
    if form.linear_features is not None:
        features = read_line_features((file.parent / form.linear_features).resolve(), form.reference_system)
    places = tuple(_searched(s, to_point) for s in form.searched if not s.found)
    models = GroundModels(walking=form.ground.walking, watershed=form.ground.watershed, lines=form.ground.lines)
    return LastSeen(place, category, form.terrain, max(hours, 0.02), features, places, models, tuple(notes))


class _Reader:
    def __init__(self, system: ReferenceSystem) -> None:
        self._system = system

    def __call__(self, position: tuple[float, float]) -> GeoPoint:
        return from_gcj02(*position) if self._system is ReferenceSystem.GCJ02 else GeoPoint(*position)


def _reader(system: ReferenceSystem) -> _Reader:
    return _Reader(system)


def _searched(entry: SearchedModel, to_point: _Reader) -> SearchedPlace:
    if entry.ring is not None:
        return SearchedPlace(entry.name, tuple(to_point(p) for p in entry.ring), entry.pod)
    assert entry.position is not None and entry.radius_m is not None  # noqa: S101, PT018  # the model made sure
    frame = LocalFrame(to_point(entry.position))
    circle = np.asarray(Point(0.0, 0.0).buffer(entry.radius_m).exterior.coords)[:-1]
    return SearchedPlace(entry.name, tuple(frame.to_geo(float(e), float(n)) for e, n in circle), entry.pod)


def map_of_form(form: LastSeen, terrain: GridTerrain | None = None) -> ProbabilityMap:
    """The map: distances of the table, cut at a walker's reach, changed by the ground and by places already searched.

    terrain: heights of the site; cells beyond it are taken as level. Raises BadInputError.
    """
    frame = LocalFrame(form.at)
    try:
        law = distance_law(form.category, form.terrain)
        if form.hours_ago is None:
            chart = from_distances(law, frame)
        else:
            chart = from_distances(law, frame, reach_m=max(form.hours_ago * 3600.0 * WALKING_M_S, _NEAREST_M))
            pace = f"nobody is taken to have gone faster than {WALKING_M_S} m/s, nor to have been given a lift"
            chart = replace(chart, doubts=(*chart.doubts, pace))
        heights = None if terrain is None else heights_on(chart, terrain)
        lines = [Line(f.kind, _metres(frame, f.points)) for f in form.lines]
        chart = on_ground(chart, heights, lines, replace(form.models, hours=form.hours_ago))
        for place in form.searched:
            chart = _ruled_out(chart, place)
    except PlanningError as error:
        raise BadInputError(str(error)) from error
    return replace(chart, doubts=(*chart.doubts, *form.notes))


def heights_on(chart: ProbabilityMap, terrain: GridTerrain) -> FloatArray:
    """Heights of a map's cells (rows, columns), metres above sea level; NaN beyond the terrain and on its voids."""
    east, north = chart.centres_m()
    x, y = np.meshgrid(east, north)
    own = chart.frame.to_frame_array(np.stack([x.ravel(), y.ravel()], axis=1), terrain.frame)
    column = np.rint((own[:, 0] - terrain.west_m) / terrain.resolution_m).astype(np.int64)
    row = np.rint((own[:, 1] - terrain.south_m) / terrain.resolution_m).astype(np.int64)
    rows, columns = terrain.heights_amsl_m.shape
    on = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    heights = np.full(len(own), np.nan)
    heights[on] = terrain.heights_amsl_m[row[on], column[on]]
    return heights.reshape(chart.p.shape)


def _ruled_out(chart: ProbabilityMap, place: SearchedPlace) -> ProbabilityMap:
    area = Polygon(_metres(chart.frame, place.ring))
    if not area.is_valid:
        raise BadInputError(f"the searched place {place.name!r} has a ring that crosses itself; redraw it")
    shapely.prepare(area)
    x, y = np.meshgrid(*chart.centres_m())
    pod = np.where(shapely.contains_xy(area, x, y), place.pod, 0.0)
    swept = after_detection(chart, pod)
    said = (
        f"{place.name or 'a place'} was searched with a probability of detection of {place.pod:.0%}: as the form says"
    )
    return replace(swept.chart, doubts=(*chart.doubts, said))


def _metres(frame: LocalFrame, points: tuple[GeoPoint, ...]) -> FloatArray:
    return frame.to_enu_array([p.latitude_deg for p in points], [p.longitude_deg for p in points])

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Strategies for flight files: what the round trips of all formats are tried on."""

from __future__ import annotations

import json
import math

from hypothesis import strategies as st

from missions.formats.flight_file import (
    Circle,
    FlightFile,
    Home,
    NamedPlace,
    Orders,
    RallyPoint,
    Ring,
    Route,
    Step,
    Survey,
)
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.model import Authority, Category, Mission

HOME = Home(GeoPoint(29.74, 107.27), 200.0)
FRAME = LocalFrame(HOME.position)
MISSION = Mission("m-1", "patrol", Authority("duty desk", "plan 7"), Category.PATROL)

points = st.builds(GeoPoint, st.floats(29.7, 29.8), st.floats(107.2, 107.3))
anywhere = st.builds(GeoPoint, st.floats(-84.0, 84.0), st.floats(-180.0, 180.0, exclude_max=True)).filter(
    lambda p: (p.latitude_deg, p.longitude_deg) != (0.0, 0.0)
)
numbers = st.floats(-1e6, 1e6)
datums = st.sampled_from([Datum.HOME, Datum.AMSL, Datum.TERRAIN])
altitudes = st.builds(Altitude, st.floats(-400, 9000), datums)
names = st.sampled_from(["north loop", "巡逻 1", 'a "quoted" <name> & more', "back\\slash"])
params = st.tuples(*[st.none() | numbers] * 4)
placed = st.builds(Step, st.sampled_from([16, 17, 18, 19, 21, 22, 31, 82, 195]), params, points, altitudes)
placeless = st.builds(
    Step, st.sampled_from([20, 112, 178, 205, 206, 2000, 40000]), params, rest=st.tuples(numbers, numbers, numbers)
)
here = st.builds(Step, st.sampled_from([22, 19]), params, altitude=altitudes)
stopping = st.builds(Step, st.just(16), params, points, altitudes, autocontinue=st.just(False))


@st.composite
def _steps(draw, least):
    steps = draw(st.lists(placed | placeless | here | stopping, max_size=6))
    steps += draw(st.lists(placed, min_size=least, max_size=least + 2))
    if draw(st.booleans()):
        target = float(draw(st.integers(0, len(steps) - 1)))
        steps.append(Step(177, (target, float(draw(st.integers(1, 9))), 0.0, 0.0)))
    return tuple(steps)


@st.composite
def _surveys(draw, steps):
    if len(steps) < 2 or not draw(st.booleans()):
        return ()
    first = draw(st.integers(0, len(steps) - 2))
    settings = {"type": "ComplexItem", "complexItemType": "survey", "angle": 12, "version": 5}
    settings["TransectStyleComplexItem"] = {"TurnAroundDistance": 10, "version": 1}
    text = json.dumps(settings, ensure_ascii=False, sort_keys=True)
    return (Survey("survey", first, draw(st.integers(1, len(steps) - 1 - first)), text),)


@st.composite
def routes(draw, home=None):
    steps = draw(_steps(2))
    homes = st.just(home) if home else st.none() | st.builds(Home, points, st.none() | st.floats(-400, 6000))
    return Route(
        draw(names),
        steps,
        draw(homes),
        draw(st.none() | st.floats(0.5, 30.0)),
        draw(st.none() | st.builds(Orders, st.sampled_from(["d1", "无人机"]), st.just(MISSION), st.floats(10, 200))),
        draw(_surveys(steps)),
    )


@st.composite
def ring_corners(draw):
    """A star around somewhere: never crosses itself."""
    east, north = draw(st.floats(-2000, 2000)), draw(st.floats(-2000, 2000))
    count = draw(st.integers(3, 9))
    reach = draw(st.lists(st.floats(50, 500), min_size=count, max_size=count))
    turns = [2 * math.pi * i / count for i in range(count)]
    return tuple(
        FRAME.to_geo(east + r * math.cos(t), north + r * math.sin(t)) for r, t in zip(reach, turns, strict=True)
    )


def rings(named=True):
    return st.builds(Ring, ring_corners(), st.booleans(), names if named else st.just(""))


circles = st.builds(Circle, points, st.floats(1.0, 900.0), st.booleans())
scalars = st.none() | st.booleans() | st.floats(-1e6, 1e6) | st.sampled_from(["", "roof", "1", "屋顶"])
properties = st.dictionaries(st.sampled_from(["dock", "kind", "height", "备注"]), scalars, max_size=3).map(
    lambda d: tuple(sorted(d.items()))
)
places = st.builds(NamedPlace, names, points, st.none() | altitudes, properties)
files = st.builds(
    FlightFile,
    st.lists(routes(), max_size=2).map(tuple),
    st.lists(rings(), max_size=2).map(tuple),
    st.lists(circles, max_size=2).map(tuple),
    st.none() | altitudes,
    st.lists(st.builds(RallyPoint, points, altitudes), max_size=2).map(tuple),
    st.lists(places, max_size=2).map(tuple),
)

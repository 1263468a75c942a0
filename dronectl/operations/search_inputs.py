# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a search that goes on is told on the command line: what was flown, which drones are where, new zones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from shapely.geometry import Polygon
from shapely.validation import explain_validity

from dronectl.errors import BadInputError
from dronectl.operations.plan_files import read_file
from dronectl.operations.search_resume import DroneNow
from dronectl.site import Site
from missions.fences import circle_ring
from missions.formats.flight_file import Route
from missions.geo import Datum, GeoError, GeoPoint, LocalFrame, distance_m

_AT_THE_PAD_M = 1.0
_UP_TO = re.compile(r"^(?P<file>.+)@(?P<item>\d+)$")


def read_place(words: str, option: str) -> GeoPoint:
    """LAT,LON in degrees. Raises BadInputError."""
    parts = words.split(",")
    try:
        latitude, longitude = (float(p) for p in parts)
        return GeoPoint(latitude, longitude)
    except GeoError as error:
        raise BadInputError(f"{option} {words}: {error}") from error
    except ValueError:
        raise BadInputError(
            f"{option} {words}: give latitude,longitude in degrees, for example 29.741,107.271"
        ) from None


def read_flown(arguments: Sequence[str]) -> list[tuple[GeoPoint, ...]]:
    """Tracks of `FILE` or `FILE@N`: every route of a file from its home on; @N: as far as the N-th place of its way.

    Raises BadInputError for files without a way and numbers beyond its end.
    """
    tracks = []
    for argument in arguments:
        match = None if Path(argument).exists() else _UP_TO.match(argument)
        file = Path(match["file"] if match else argument)
        routes = [_way(r) for r in read_file(file, heights=Datum.HOME).routes]
        routes = [r for r in routes if len(r) > 1]
        if not routes:
            raise BadInputError(f"{file}: holds no way that could have been flown; give a plan or a recorded track")
        if match is None:
            tracks += routes
            continue
        if len(routes) > 1:
            raise BadInputError(f"{argument}: {file} holds {len(routes)} routes; give one of them alone")
        upto = int(match["item"])
        if not 1 <= upto < len(routes[0]):
            raise BadInputError(f"{argument}: the way has {len(routes[0]) - 1} places after its start, not {upto}")
        tracks.append(routes[0][: upto + 1])
    return tracks


def _way(route: Route) -> tuple[GeoPoint, ...]:
    points = [s.position for s in route.steps if s.position is not None]
    if route.home is not None and route.orders is not None:  # our own plans fly from the pad, looking
        home = route.home.position
        # The take-off stands at the pad too: places are counted from the first one after it.
        if points and distance_m(home, points[0]) < _AT_THE_PAD_M:
            points.pop(0)
        points.insert(0, home)
    return tuple(points)


def read_zones(files: Sequence[Path]) -> tuple[tuple[GeoPoint, ...], ...]:
    """All rings and circles of files that are to be kept out of. Raises BadInputError for crossing rings and none."""
    zones: list[tuple[GeoPoint, ...]] = []
    for file in files:
        found = read_file(file, heights=Datum.HOME)
        here = [r.corners for r in found.rings if not r.inclusion]
        try:
            here += [circle_ring(c.centre, c.radius_m, inclusion=False) for c in found.circles if not c.inclusion]
        except GeoError as error:
            raise BadInputError(f"{file}: {error}") from error
        if not here:
            raise BadInputError(
                f"{file}: holds no zone to keep out of; draw an exclusion polygon (GeoJSON: kind keep-out)"
            )
        for ring in here:
            frame = LocalFrame(ring[0])
            shape = Polygon([frame.to_enu(p) for p in ring])
            if not shape.is_valid:
                raise BadInputError(f"{file}: a zone is no simple ring ({explain_validity(shape)}, metres); redraw it")
        zones += here
    return tuple(zones)


def drones_now(
    site: Site, chosen: Sequence[str] | None, battery: Sequence[str], places: Sequence[str]
) -> list[DroneNow]:
    """Drones that are left, from ID=PERCENT and ID=LAT,LON. Raises BadInputError."""
    ids = [d.drone_id for d in site.drones] if chosen is None else [site.drone(c).drone_id for c in chosen]
    held: dict[str, float] = {}
    for words in battery:
        drone, value = _named(words, "--battery", "d1=55")
        try:
            percent = float(value.rstrip("%"))
        except ValueError:
            raise BadInputError(f"--battery {words}: {value!r} is no number of percent") from None
        if not 0.0 < percent <= 100.0:
            raise BadInputError(f"--battery {words}: a battery holds more than 0 % and at most 100 %")
        held[_known(ids, drone, "--battery", words)] = percent / 100.0
    at = {}
    for words in places:
        drone, value = _named(words, "--from", "d1=29.741,107.271")
        at[_known(ids, drone, "--from", words)] = read_place(value, f"--from {drone}=")
    return [DroneNow(i, held.get(i, 1.0), at.get(i)) for i in dict.fromkeys(ids)]


def _named(words: str, option: str, example: str) -> tuple[str, str]:
    drone, equals, value = words.partition("=")
    if not equals:
        raise BadInputError(f"{option} {words}: name the drone, for example {option} {example}")
    return drone.strip(), value.strip()


def _known(ids: Sequence[str], drone: str, option: str, words: str) -> str:
    if drone not in ids:
        raise BadInputError(f"{option} {words}: {drone!r} is not among the drones of this search: {', '.join(ids)}")
    return drone

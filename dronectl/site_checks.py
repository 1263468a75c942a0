# SPDX-License-Identifier: AGPL-3.0-or-later
"""What may be wrong with a site file beyond its single fields: one line per finding, with file, line and field. Pure."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shapely.geometry import LinearRing, LineString, Point, Polygon
from shapely.validation import explain_validity

from dronectl.site_model import SiteModel
from dronectl.yaml_lines import LineFinder
from missions.geo import GeoPoint, LocalFrame, distance_m
from missions.model import Geofence
from missions.terrain import GridTerrain, OutsideTerrainError, height_at

ToPoint = Callable[[tuple[float, float]], GeoPoint]  # reads a position in the file's reference system

_MAX_EXTENT_M = 50_000.0


def ids_twice(model: SiteModel, lines: LineFinder) -> list[str]:
    """Ids, system ids and connections that are there twice."""
    findings = []
    groups: list[tuple[str, str, list[object]]] = [
        ("drones", "id", [d.id for d in model.drones]),
        ("drones", "system_id", [d.system_id for d in model.drones]),
        ("drones", "connection", [d.connection for d in model.drones]),
        ("docks", "id", [d.id for d in model.docks]),
        ("responders", "id", [r.id for r in model.responders]),
        ("schools", "id", [s.id for s in model.schools]),
        ("areas", "id", [a.id for a in model.areas]),
        ("fixed_cameras", "id", [c.id for c in model.fixed_cameras]),
    ]
    for group, field, values in groups:
        first: dict[object, int] = {}
        for index, value in enumerate(values):
            if value in first:
                message = f"{value!r} is used twice, by entries {first[value] + 1} and {index + 1}; each needs its own"
                findings.append(lines.say((group, index, field), message))
            first.setdefault(value, index)
    items = [("points", i, p.id) for i, p in enumerate(model.patrol.points)]
    items += [("lines", i, p.id) for i, p in enumerate(model.patrol.lines)]
    seen: set[str] = set()
    for group, index, name in items:
        if name in seen:
            findings.append(lines.say(("patrol", group, index, "id"), f"{name!r} is used twice; each needs its own"))
        seen.add(name)
    return findings


def unknown_zone(model: SiteModel, lines: LineFinder) -> list[str]:
    """A time zone that does not exist."""
    try:
        ZoneInfo(model.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        return [lines.say(("timezone",), f"{model.timezone!r} is no time zone; use a name like Asia/Shanghai")]
    return []


def camera_findings(model: SiteModel, lines: LineFinder) -> list[str]:
    """Camera types that are not described, and cameras or addresses of pictures that are there twice."""
    named: list[tuple[tuple[str | int, ...], str]] = []
    for i, drone in enumerate(model.drones):
        named += [(("drones", i, "cameras", j, "type"), mounted.type) for j, mounted in enumerate(drone.cameras)]
    for i, fixed in enumerate(model.fixed_cameras):
        named += [] if fixed.look is None else [(("fixed_cameras", i, "look", "type"), fixed.look.type)]
    mounted_ids = {f"{drone.id}-{mounted.type}" for drone in model.drones for mounted in drone.cameras}
    twice = [
        lines.say(("fixed_cameras", i, "id"), f"{fixed.id!r} is also what a drone's camera is called; give another")
        for i, fixed in enumerate(model.fixed_cameras)
        if fixed.id in mounted_ids
    ]
    known = ", ".join(model.cameras) or "none"
    return (
        twice
        + _mounted_twice(model, lines)
        + [
            lines.say(where, f"there is no camera type {kind!r}; there are: {known}")
            for where, kind in named
            if kind not in model.cameras
        ]
    )


def _mounted_twice(model: SiteModel, lines: LineFinder) -> list[str]:
    """One drone's cameras are told apart by type; one address gives one camera's pictures, whose place is one drone's."""
    findings = []
    at: dict[tuple[str, int], str] = {}
    for i, drone in enumerate(model.drones):
        types: set[str] = set()
        for j, mounted in enumerate(drone.cameras):
            where = ("drones", i, "cameras", j)
            if mounted.type in types:
                message = f"{drone.id} has two cameras of type {mounted.type!r}; describe the second under another name"
                findings.append(lines.say((*where, "type"), message))
            types.add(mounted.type)
            if mounted.port is None:
                continue
            camera, address = f"{drone.id}-{mounted.type}", (mounted.host, mounted.port)
            if address in at:
                message = f"{mounted.host}:{mounted.port} is where pictures of {at[address]} come from; each camera needs its own"
                findings.append(lines.say((*where, "port"), message))
            at.setdefault(address, camera)
    looks: dict[str, str] = {}
    for i, fixed in enumerate(model.fixed_cameras):
        if fixed.look is None:
            continue
        if fixed.look.address in looks:  # not shown: it may hold a password
            message = f"is that of {looks[fixed.look.address]}; each camera needs its own"
            findings.append(lines.say(("fixed_cameras", i, "look", "address"), message))
        looks.setdefault(fixed.look.address, fixed.id)
    return findings


def port_findings(model: SiteModel, lines: LineFinder) -> list[str]:
    """The service's door and its own broker cannot listen at one port. An external broker listens elsewhere."""
    if model.broker.mode != "child" or model.broker.port != model.http.port:
        return []
    own, other = ("broker", "http") if "port" in model.broker.model_fields_set else ("http", "broker")
    return [lines.say((own, "port"), f"{model.http.port} is also {other}.port; broker and HTTP need a port each")]


def area_findings(model: SiteModel, to_point: ToPoint, frame: LocalFrame, lines: LineFinder) -> list[str]:
    """Areas far away, rings that cross themselves, corridors without an outline of their own."""
    findings = []
    for i, area in enumerate(model.areas):
        field = "ring" if area.ring is not None else "path"
        points = [to_point(p) for p in area.ring or area.path or ()]
        far = [(j, distance_m(frame.origin, p)) for j, p in enumerate(points)]
        for j, away in far:
            if away > _MAX_EXTENT_M:
                message = f"is {away / 1000:.0f} km from the first dock; check for swapped or mistyped coordinates"
                findings.append(lines.say(("areas", i, field, j), message))
        if area.ring is not None:
            shape = Polygon([frame.to_enu(p) for p in points])
            if not shape.is_valid:
                findings.append(lines.say(("areas", i, "ring"), f"the ring crosses itself {_crossing(shape, frame)}"))
        elif area.width_m is not None:
            line = LineString([frame.to_enu(p) for p in points])
            outline = line.buffer(area.width_m / 2.0, cap_style="flat", join_style="mitre", mitre_limit=2.0)
            if line.length < area.width_m or outline.geom_type != "Polygon" or outline.interiors:
                message = "the path is shorter than its width, or comes back to itself; draw it as a ring or in parts"
                findings.append(lines.say(("areas", i, "path"), message))
    return findings


def fence_findings(fence: Geofence, frame: LocalFrame, lines: LineFinder) -> list[str]:
    """Rings of the fence far away, or crossing themselves."""
    findings = []
    for kind, rings in (("inclusion", fence.inclusion), ("exclusion", fence.exclusion)):
        for index, ring in enumerate(rings):
            for corner, point in enumerate(ring):
                away = distance_m(frame.origin, point)
                if away > _MAX_EXTENT_M:
                    message = f"is {away / 1000:.0f} km from the first dock; check for swapped or mistyped coordinates"
                    findings.append(lines.say(("geofence", kind, index, corner), message))
            shape = Polygon([frame.to_enu(p) for p in ring])
            if not shape.is_valid or not LinearRing(shape.exterior).is_simple:
                place = _crossing(shape, frame)
                findings.append(lines.say(("geofence", kind, index), f"the ring crosses itself {place}; reorder it"))
    return findings


def _crossing(shape: Polygon, frame: LocalFrame) -> str:
    reason = explain_validity(shape)
    if "[" in reason:
        east, north = (float(v) for v in reason.split("[")[1].rstrip("]").split()[:2])
        point = frame.to_geo(east, north)
        return f"near {point.latitude_deg:.5f}, {point.longitude_deg:.5f}"
    return "or touches itself"


def inside_fence(fence: Geofence, frame: LocalFrame, point: GeoPoint) -> bool:
    """Whether a point lies inside every inclusion ring and outside every exclusion ring."""
    at = Point(frame.to_enu(point))
    inside = all(Polygon([frame.to_enu(p) for p in ring]).covers(at) for ring in fence.inclusion)
    return inside and not any(Polygon([frame.to_enu(p) for p in ring]).intersects(at) for ring in fence.exclusion)


def place_findings(
    model: SiteModel, to_point: ToPoint, fence: Geofence, frame: LocalFrame, terrain: GridTerrain, lines: LineFinder
) -> list[str]:
    """Docks, pads and must-patrol items lie inside the fence; everything lies on the terrain and near the first dock."""
    findings = []
    checked: list[tuple[tuple[int | str, ...], GeoPoint, bool]] = []
    checked += [(("docks", i, "position"), to_point(d.position), True) for i, d in enumerate(model.docks)]
    checked += [(("drones", i, "pad"), to_point(d.pad), True) for i, d in enumerate(model.drones) if d.pad]
    checked += [
        (("patrol", "points", i, "position"), to_point(p.position), True) for i, p in enumerate(model.patrol.points)
    ]
    for i, line in enumerate(model.patrol.lines):
        checked += [(("patrol", "lines", i, "path", j), to_point(p), True) for j, p in enumerate(line.path)]
    for i, school in enumerate(model.schools):
        checked += [(("schools", i, "ring", j), to_point(p), False) for j, p in enumerate(school.ring)]
    for group, entries in (("fixed_cameras", model.fixed_cameras), ("responders", model.responders)):
        checked += [((group, i, "position"), to_point(e.position), False) for i, e in enumerate(entries)]
    for path, point, must_be_inside in checked:
        away = distance_m(frame.origin, point)
        if away > _MAX_EXTENT_M:
            message = f"is {away / 1000:.0f} km from the first dock; check for swapped or mistyped coordinates"
            findings.append(lines.say(path, message))
        elif must_be_inside and not inside_fence(fence, frame, point):
            findings.append(lines.say(path, "lies outside the geofence or in its keep-out; move it or the fence"))
        elif must_be_inside:
            try:
                height_at(terrain, point)
            except OutsideTerrainError as error:
                findings.append(lines.say(path, str(error)))
    return findings

# SPDX-License-Identifier: AGPL-3.0-or-later
"""A site: what a site file says, checked across its fields and turned into domain types.

`load_site` is the only door. It refuses with file, line and field: a self-crossing fence, a dock outside it, a drone
or system id twice, coordinates that look swapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dronectl.errors import BadInputError
from dronectl.site_checks import (
    ToPoint,
    area_findings,
    camera_findings,
    fence_findings,
    ids_twice,
    place_findings,
    port_findings,
    unknown_zone,
)
from dronectl.site_model import AimModel, DroneModel, ReferenceSystem, SiteModel
from dronectl.terrain_io import load_terrain
from dronectl.terrain_raster import RasterOptions, load_raster
from dronectl.yaml_lines import load_yaml
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame, from_gcj02
from missions.model import Aim, Authority, Camera, Geofence, Mission, VehicleLimits
from missions.terrain import GridTerrain
from vision.model_card import COLOUR_MODEL


@dataclass(frozen=True, slots=True)
class Drone:
    """One vehicle of the site. `pad` is where it stands; cameras are (camera, host, port).

    recorders: cameras that keep their pictures on board; plans use them, nobody looks through them in flight.
    """

    drone_id: str
    name: str
    dock_id: str
    pad: GeoPoint
    system_id: int
    hardware_uid: str | None
    connection: str
    whole_packets: bool
    cameras: tuple[tuple[Camera, str, int], ...]
    recorders: tuple[Camera, ...]
    return_height_m: float


@dataclass(frozen=True, slots=True)
class Place:
    """A named position: dock, patrol point, fixed camera, responder. aim: the camera's heading and pitch there."""

    place_id: str
    name: str
    position: GeoPoint
    dwell_s: float = 0.0
    aim: Aim | None = None


@dataclass(frozen=True, slots=True)
class Mast:
    """A fixed camera whose pictures are looked at: where it hangs, and the address that is visited every `every_s`.

    height_m is above the ground; yaw clockwise from north, pitch -90 straight down. The address may hold a password.
    """

    camera: Camera
    position: GeoPoint
    height_m: float
    yaw_deg: float
    pitch_deg: float
    address: str
    every_s: float


@dataclass(frozen=True, slots=True)
class NamedLine:
    """A named polyline or, for schools, a ring. one_way: to be flown from its first point to its last."""

    line_id: str
    name: str
    path: tuple[GeoPoint, ...]
    one_way: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that a site file says. `file` is where it was read; `model` keeps the settings of the edges."""

    file: Path
    model: SiteModel
    site_id: str
    terrain_path: Path
    terrain: GridTerrain
    frame: LocalFrame
    docks: tuple[Place, ...]
    drones: tuple[Drone, ...]
    fence: Geofence
    limits: VehicleLimits
    points: tuple[Place, ...]
    lines: tuple[NamedLine, ...]
    schools: tuple[NamedLine, ...]
    fixed_cameras: tuple[Place, ...]
    masts: tuple[Mast, ...]
    responders: tuple[Place, ...]

    @property
    def colour_model(self) -> Path | None:
        """The model for colour cameras that the file names, relative to it; None: no model looks at them."""
        named = self.model.colour_model
        return COLOUR_MODEL if named == "shipped" else None if named is None else (self.file.parent / named).resolve()

    def to_point(self, position: tuple[float, float]) -> GeoPoint:
        """A position of the file, which may be in another reference system, as WGS 84."""
        return _reader(self.model.reference_system)(position)

    def drone(self, drone_id: str) -> Drone:
        """Return the drone of that id; BadInputError names those that there are."""
        for drone in self.drones:
            if drone.drone_id == drone_id:
                return drone
        known = ", ".join(d.drone_id for d in self.drones)
        raise BadInputError(f"there is no drone {drone_id!r} at site {self.site_id}; there are: {known}")

    def drones_named(self, drone_ids: Sequence[str] | None) -> tuple[Drone, ...]:
        """All drones, or those named, each once. Raises BadInputError for none and for unknown ones."""
        drones = self.drones if drone_ids is None else tuple(self.drone(d) for d in dict.fromkeys(drone_ids))
        if not drones:
            raise BadInputError("name at least one drone")
        return drones

    def new_mission(self, mission_id: str) -> Mission:
        """A routine mission with the site's purpose and authority."""
        m = self.model.mission
        return Mission(mission_id, m.purpose, Authority(m.authority.who, m.authority.ground), m.category)


def load_site(file: Path) -> Site:
    """Read and check a site file. Raises BadInputError with one line per finding."""
    model, lines = load_yaml(file, SiteModel)
    to_point = _reader(model.reference_system)
    docks = tuple(Place(d.id, d.name, to_point(d.position)) for d in model.docks)
    frame = LocalFrame(docks[0].position)
    findings = ids_twice(model, lines) + unknown_zone(model, lines) + camera_findings(model, lines)
    findings += port_findings(model, lines)
    fence = Geofence(
        inclusion=tuple(tuple(to_point(p) for p in ring) for ring in model.geofence.inclusion),
        exclusion=tuple(tuple(to_point(p) for p in ring) for ring in model.geofence.exclusion),
        max_altitude=Altitude(model.geofence.max_height_m, Datum.HOME),
    )
    findings += fence_findings(fence, frame, lines)
    if findings:
        raise BadInputError("\n".join(findings))
    terrain_path, terrain = _terrain(file, model, fence, to_point)
    dock_of = {d.place_id: d for d in docks}
    for index, drone in enumerate(model.drones):
        if drone.dock not in dock_of:
            findings.append(lines.say(("drones", index, "dock"), f"there is no dock {drone.dock!r}"))
    findings += area_findings(model, to_point, frame, lines)
    findings += place_findings(model, to_point, fence, frame, terrain, lines)
    if model.colour_model not in (None, "shipped") and not (file.parent / model.colour_model).is_file():
        findings.append(
            lines.say(("colour_model",), f"no file {model.colour_model!r}; `shipped` is the one that comes along")
        )
    if findings:
        raise BadInputError("\n".join(findings))
    limits = VehicleLimits(cruise_speed_m_s=model.patrol.cruise_speed_m_s, **model.limits.model_dump())
    return Site(
        file=file,
        model=model,
        site_id=model.site_id,
        terrain_path=terrain_path,
        terrain=terrain,
        frame=frame,
        docks=docks,
        drones=tuple(_drone(model, i, d, dock_of, to_point) for i, d in enumerate(model.drones)),
        fence=fence,
        limits=limits,
        points=tuple(Place(p.id, p.name, to_point(p.position), p.dwell_s, _aim(p.camera)) for p in model.patrol.points),
        lines=tuple(
            NamedLine(p.id, p.name, tuple(to_point(x) for x in p.path), p.direction == "forward")
            for p in model.patrol.lines
        ),
        schools=tuple(NamedLine(s.id, s.name, tuple(to_point(x) for x in s.ring)) for s in model.schools),
        fixed_cameras=tuple(Place(c.id, c.name, to_point(c.position)) for c in model.fixed_cameras),
        masts=_masts(model, to_point),
        responders=tuple(Place(r.id, r.name, to_point(r.position)) for r in model.responders),
    )


def _terrain(file: Path, model: SiteModel, fence: Geofence, to_point: ToPoint) -> tuple[Path, GridTerrain]:
    said = model.terrain
    path = (file.parent / (said if isinstance(said, Path) else said.file)).resolve()
    if path.suffix.lower() == ".npz":
        return path, load_terrain(path)
    options = None
    if not isinstance(said, Path):
        options = RasterOptions(said.datum, said.crs, said.vertical_error_m)
    places = [to_point(d.position) for d in model.docks] + [to_point(d.pad) for d in model.drones if d.pad]
    return path, load_raster(path, [*places, *(p for ring in fence.inclusion for p in ring)], options)


def with_height_model(site: Site, file: Path) -> Site:
    """The site with another height model, a grid or a raster. Raises BadInputError."""
    if file.suffix.lower() == ".npz":
        return replace(site, terrain=load_terrain(file), terrain_path=file)
    places = [d.pad for d in site.drones] + [d.position for d in site.docks]
    fence = [p for ring in site.fence.inclusion for p in ring]
    return replace(site, terrain=load_raster(file, [*places, *fence]), terrain_path=file)


def _aim(model: AimModel | None) -> Aim | None:
    return None if model is None else Aim(model.yaw_deg % 360.0, model.pitch_deg)


def _reader(system: ReferenceSystem) -> ToPoint:
    if system is ReferenceSystem.GCJ02:
        return lambda position: from_gcj02(*position)
    return lambda position: GeoPoint(*position)


def _drone(model: SiteModel, index: int, drone: DroneModel, docks: dict[str, Place], to_point: ToPoint) -> Drone:
    cameras: list[tuple[Camera, str, int]] = []
    recorders: list[Camera] = []
    for mounted in drone.cameras:
        kind = model.cameras[mounted.type]
        values = kind.model_dump()
        camera = Camera(camera_id=f"{drone.id}-{mounted.type}", **values)
        if mounted.port is None:
            recorders.append(camera)
        else:
            cameras.append((camera, mounted.host, mounted.port))
    pad = docks[drone.dock].position if drone.pad is None else to_point(drone.pad)
    height = model.failsafe.return_height_m + index * model.failsafe.return_height_step_m
    return Drone(
        drone.id,
        drone.name or drone.id,
        drone.dock,
        pad,
        drone.system_id,
        drone.hardware_uid,
        drone.connection,
        drone.whole_packets,
        tuple(cameras),
        tuple(recorders),
        height,
    )


def _masts(model: SiteModel, to_point: ToPoint) -> tuple[Mast, ...]:
    masts = []
    for fixed in model.fixed_cameras:
        look = fixed.look
        if look is not None:
            camera = Camera(camera_id=fixed.id, **model.cameras[look.type].model_dump())
            at = to_point(fixed.position)
            masts.append(Mast(camera, at, look.height_m, look.yaw_deg, look.pitch_deg, look.address, look.every_s))
    return tuple(masts)

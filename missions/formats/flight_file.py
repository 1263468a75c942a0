# SPDX-License-Identifier: AGPL-3.0-or-later
"""What flight files hold, whatever their format: routes of mission steps, a fence, rally points, named places.

Readers turn a file into a `FlightFile`, writers turn one into a file. Neither drops anything silently: what a format
cannot say becomes a `Loss` with its place and the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from missions.errors import PlanError
from missions.geo import Altitude, Datum, GeoError, GeoPoint, distance_m
from missions.model import Mission

NAV_WAYPOINT: Final = 16
NAV_LOITER_UNLIM: Final = 17
NAV_LOITER_TURNS: Final = 18
NAV_LOITER_TIME: Final = 19
NAV_RETURN_TO_LAUNCH: Final = 20
NAV_LAND: Final = 21
NAV_TAKEOFF: Final = 22
NAV_LOITER_TO_ALT: Final = 31
NAV_SPLINE_WAYPOINT: Final = 82
NAV_DELAY: Final = 93
DO_JUMP: Final = 177
DO_CHANGE_SPEED: Final = 178
DO_MOUNT_CONTROL: Final = 205
DO_SET_CAM_TRIGG_DIST: Final = 206
DO_GIMBAL_MANAGER_PITCHYAW: Final = 1000
IMAGE_START_CAPTURE: Final = 2000

COMMAND_NAMES: Final = {
    NAV_WAYPOINT: "waypoint",
    NAV_LOITER_UNLIM: "endless loiter",
    NAV_LOITER_TURNS: "loiter by turns",
    NAV_LOITER_TIME: "loiter by time",
    NAV_RETURN_TO_LAUNCH: "return to launch",
    NAV_LAND: "landing",
    NAV_TAKEOFF: "take-off",
    NAV_LOITER_TO_ALT: "loiter to altitude",
    NAV_SPLINE_WAYPOINT: "spline waypoint",
    NAV_DELAY: "delay",
    DO_JUMP: "jump",
    DO_CHANGE_SPEED: "speed change",
    189: "landing start",
    195: "look at a place",
    196: "look ahead at the next waypoint",
    197: "look at nothing",
    203: "camera shot",
    DO_MOUNT_CONTROL: "gimbal angle",
    DO_SET_CAM_TRIGG_DIST: "camera trigger distance",
    214: "camera trigger interval",
    530: "camera mode",
    531: "camera zoom",
    532: "camera focus",
    DO_GIMBAL_MANAGER_PITCHYAW: "gimbal angle",
    IMAGE_START_CAPTURE: "photos",
    2001: "photos end",
    2500: "video",
    2501: "video end",
}
_SWAP_FAR_M = 1_000_000.0
_SWAP_NEAR_M = 100_000.0

Params = tuple[float | None, float | None, float | None, float | None]
Scalar = str | float | bool | None


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that is not carried over. `place` is where it stands in its file ("line 7", "mission.items[3]")."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


@dataclass(frozen=True, slots=True)
class Step:
    """One mission command (a number of MAV_CMD) at a place or at none.

    params: the first four parameters, None for "unchanged". A command without a place keeps its last three in `rest`.
    A step with an altitude but no position is done where the vehicle is (a take-off, mostly).
    A jump's first parameter is the index of the step that it goes to, counted from 0.
    """

    command: int
    params: Params = (0.0, 0.0, 0.0, None)
    position: GeoPoint | None = None
    altitude: Altitude | None = None
    rest: tuple[float, float, float] = (0.0, 0.0, 0.0)
    autocontinue: bool = True
    serves: tuple[str, ...] = ()  # ids of the must-patrol items that are done on reaching it
    place: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        return COMMAND_NAMES.get(self.command, f"command {self.command}")


@dataclass(frozen=True, slots=True)
class Home:
    """Where the vehicle starts; the height is None where a file does not say it."""

    position: GeoPoint
    amsl_m: float | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """What our own plans say beyond their items: whose flight it is, what for, how high it comes home, when it starts."""

    vehicle_id: str
    mission: Mission
    return_height_m: float
    start_after_s: float = 0.0
    starts_first: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """A pattern of a ground station over `count` steps from step `first` on; `settings` is its JSON without items."""

    kind: str
    first: int
    count: int
    settings: str


@dataclass(frozen=True, slots=True)
class Route:
    """One flight."""

    name: str
    steps: tuple[Step, ...]
    home: Home | None = None
    cruise_speed_m_s: float | None = None
    orders: Orders | None = None
    surveys: tuple[Survey, ...] = ()
    planner: tuple[tuple[str, float], ...] = ()  # firmwareType, vehicleType, cruiseSpeed of a .plan, where not ours


@dataclass(frozen=True, slots=True)
class Ring:
    """An open ring to stay inside (inclusion) or outside."""

    corners: tuple[GeoPoint, ...]
    inclusion: bool
    name: str = ""


@dataclass(frozen=True, slots=True)
class Circle:
    """A circle to stay inside (inclusion) or outside."""

    centre: GeoPoint
    radius_m: float
    inclusion: bool


@dataclass(frozen=True, slots=True)
class RallyPoint:
    """A place to return to instead of home."""

    position: GeoPoint
    altitude: Altitude


@dataclass(frozen=True, slots=True)
class NamedPlace:
    """A dock, a pad, a point of interest, with whatever its file says of it."""

    name: str
    position: GeoPoint
    altitude: Altitude | None = None
    properties: tuple[tuple[str, Scalar], ...] = ()


@dataclass(frozen=True, slots=True)
class FlightFile:
    """A file's content."""

    routes: tuple[Route, ...] = ()
    rings: tuple[Ring, ...] = ()
    circles: tuple[Circle, ...] = ()
    max_altitude: Altitude | None = None
    rally: tuple[RallyPoint, ...] = ()
    places: tuple[NamedPlace, ...] = ()
    losses: tuple[Loss, ...] = field(default=(), compare=False)  # what the reader could not take over


@dataclass(slots=True)
class Draft:
    """A file's content while it is read."""

    routes: list[Route] = field(default_factory=list)
    rings: list[Ring] = field(default_factory=list)
    circles: list[Circle] = field(default_factory=list)
    max_altitude: Altitude | None = None
    rally: list[RallyPoint] = field(default_factory=list)
    places: list[NamedPlace] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)

    def done(self) -> FlightFile:
        """What was read."""
        return FlightFile(
            tuple(self.routes),
            tuple(self.rings),
            tuple(self.circles),
            self.max_altitude,
            tuple(self.rally),
            tuple(self.places),
            tuple(self.losses),
        )


@dataclass(frozen=True, slots=True)
class Written:
    """A file's bytes, and what it does not say."""

    data: bytes
    losses: tuple[Loss, ...] = ()


def amsl_m(altitude: Altitude | None, home: Home | None) -> float | None:
    """Height above mean sea level, or None where it cannot be told without a terrain or a home."""
    if altitude is None:
        return None
    if altitude.datum is Datum.AMSL:
        return altitude.value_m
    if altitude.datum is Datum.HOME and home is not None and home.amsl_m is not None:
        return home.amsl_m + altitude.value_m
    return None


def refuse_swapped(file: FlightFile, near: GeoPoint | None, source: str) -> None:
    """PlanError for a place that is far from its home (or `near`), and near it with its coordinates swapped."""
    for route in file.routes:
        reference = near if route.home is None else route.home.position
        for step in route.steps:
            if reference is not None and step.position is not None and looks_swapped(step.position, reference):
                raise PlanError(
                    f"{source}: {step.place or route.name}: latitude and longitude look swapped: "
                    "the other way round it is near home"
                )
    others = [(f"ring {n}", c) for n, ring in enumerate(file.rings, 1) for c in ring.corners]
    others += [(f"circle {n}", c.centre) for n, c in enumerate(file.circles, 1)]
    others += [(p.name or "a place", p.position) for p in file.places]
    homes = [r.home.position for r in file.routes if r.home is not None]
    reference = near or (homes[0] if homes else None)
    for what, point in others:
        if reference is not None and looks_swapped(point, reference):
            raise PlanError(
                f"{source}: {what}: latitude and longitude look swapped: the other way round it is near home"
            )


def looks_swapped(point: GeoPoint, reference: GeoPoint) -> bool:
    """Whether a point is over 1,000 km from a reference, and within 100 km with latitude and longitude swapped."""
    if distance_m(reference, point) <= _SWAP_FAR_M:
        return False
    try:
        swapped = GeoPoint(point.longitude_deg, point.latitude_deg)
    except GeoError:
        return False
    return distance_m(reference, swapped) < _SWAP_NEAR_M


def one_route(file: FlightFile, what: str) -> tuple[Route, list[Loss]]:
    """The route that a format for one route gets, and the others as losses. PlanError when there is none."""
    if not file.routes:
        raise PlanError(f"{what} needs a route, and the file holds none")
    left = [Loss(r.name, f"{what} holds one route; write this one by itself") for r in file.routes[1:]]
    return file.routes[0], left


def losses_of_fence(file: FlightFile, what: str) -> Iterator[Loss]:
    """What a format without fence, rally points and places loses."""
    for number, ring in enumerate(file.rings, 1):
        yield Loss(ring.name or f"fence ring {number}", f"{what} has no fence")
    for number, _ in enumerate(file.circles, 1):
        yield Loss(f"fence circle {number}", f"{what} has no fence")
    if file.max_altitude is not None:
        yield Loss("the fence's height limit", f"{what} has no fence")
    yield from losses_of_rally(file, what)


def losses_of_rally(file: FlightFile, what: str) -> Iterator[Loss]:
    for number, _ in enumerate(file.rally, 1):
        yield Loss(f"rally point {number}", f"{what} has no rally points")


def losses_of_places(file: FlightFile, what: str) -> Iterator[Loss]:
    for place in file.places:
        yield Loss(place.name or "a place", f"{what} has no named places")


def losses_of_orders(route: Route, what: str) -> Iterator[Loss]:
    """Vehicle, mission, served items, survey settings."""
    if route.orders is not None:
        yield Loss(route.name, f"vehicle, mission and return height have no place in {what}")
    if any(step.serves for step in route.steps):
        yield Loss(route.name, f"which patrol items a waypoint serves has no place in {what}")
    yield from losses_of_surveys(route, what)


def losses_of_surveys(route: Route, what: str) -> Iterator[Loss]:
    for survey in route.surveys:
        message = f"its {survey.count} items are written, its settings have no place in {what}"
        yield Loss(f"{survey.kind} from step {survey.first + 1} on", message)


def with_heights(file: FlightFile, height: Altitude) -> FlightFile:
    """The same file, with this altitude wherever a placed step has none."""

    def filled(step: Step) -> Step:
        return replace(step, altitude=height) if step.position is not None and step.altitude is None else step

    return replace(file, routes=tuple(replace(r, steps=tuple(map(filled, r.steps))) for r in file.routes))

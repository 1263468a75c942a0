# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flight files against a site: every route of every file becomes a flight, is judged, and held against the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dronectl.errors import BadInputError
from dronectl.operations.plan_files import kind_of, read_file
from dronectl.operations.planning import check_at_site, energy_of, finding_document, plan_document, read_plan_file
from dronectl.site import Site
from missions.energy import PlanEnergy
from missions.errors import PlanError
from missions.feasibility import blockers
from missions.feasibility_steps import Starter, check_rally, fence_of, fly_steps
from missions.fences import merged
from missions.formats.files import FileFormat
from missions.formats.flight_file import (
    DO_CHANGE_SPEED,
    DO_MOUNT_CONTROL,
    NAV_RETURN_TO_LAUNCH,
    NAV_TAKEOFF,
    NAV_WAYPOINT,
    FlightFile,
    Route,
    refuse_swapped,
)
from missions.geo import Altitude, Datum, GeoError, GeoPoint
from missions.model import Finding, FlightPlan, Severity
from missions.separation import Breach, check_separation
from missions.terrain import OutsideTerrainError, height_at

_FLOWN_BY_US = frozenset({NAV_WAYPOINT, NAV_RETURN_TO_LAUNCH, NAV_TAKEOFF, DO_CHANGE_SPEED, DO_MOUNT_CONTROL})


@dataclass(frozen=True, slots=True)
class CheckedFlight:
    """One route of one file. `places` are where its findings stand in the file, in their order.

    Findings on our own plans count waypoints, on others the file's items: `counts` says which.
    """

    file: Path
    route: str
    plan: FlightPlan
    energy: PlanEnergy | None  # None where an altitude cannot be related to home
    findings: tuple[Finding, ...]
    places: tuple[str | None, ...]
    counts: Literal["waypoint", "item"]

    @property
    def clean(self) -> bool:
        return not blockers(self.findings)


@dataclass(frozen=True, slots=True)
class Checked:
    """All flights, and where two of them come too near to each other."""

    flights: tuple[CheckedFlight, ...]
    breaches: tuple[Breach, ...]

    @property
    def clean(self) -> bool:
        return not self.breaches and all(f.clean for f in self.flights)


def check_files(
    site: Site,
    files: Sequence[Path],
    vehicles: Sequence[str] = (),
    *,
    battery_fraction: float = 1.0,
    wind_m_s: float = 0.0,
    heights: Datum | None = None,
    height_m: float | None = None,
) -> Checked:
    """Judge every route of the files. `vehicles`: one for all, or one for each route. Raises BadInputError."""
    found = []
    for file in files:
        content = read_file(file, heights=heights, height_m=height_m)
        found += [(file, content, route) for route in content.routes]
        if not content.routes:
            raise BadInputError(f"{file}: holds no route to check: draw a line, or export the mission")
    if len(vehicles) > 1 and len(vehicles) != len(found):
        raise BadInputError(f"{len(vehicles)} vehicles are named for {len(found)} routes; name one, or one for each")
    flights = []
    for number, (file, content, route) in enumerate(found):
        named = vehicles[number] if len(vehicles) > 1 else next(iter(vehicles), None)
        judge = _Judge(site, file, battery_fraction, wind_m_s)
        flights.append(judge.ours(named) if _is_ours(file, content) else judge.any(content, route, named))
    comparable = [f for f in flights if f.energy is not None]
    breaches = check_separation([f.plan for f in comparable], site.limits, wind_m_s=wind_m_s)
    index = [flights.index(f) for f in comparable]
    return Checked(tuple(flights), tuple(replace(b, first=index[b.first], second=index[b.second]) for b in breaches))


def _is_ours(file: Path, content: FlightFile) -> bool:
    """Whether `dronectl fly` would take it: our own plan, with nothing but what we fly."""
    return (
        kind_of(file) is FileFormat.PLAN
        and content.routes[0].orders is not None
        and all(s.command in _FLOWN_BY_US and s.autocontinue for s in content.routes[0].steps)
        and not (content.losses or content.rally or content.routes[0].surveys)
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    site: Site
    file: Path
    battery_fraction: float
    wind_m_s: float

    def ours(self, vehicle: str | None) -> CheckedFlight:
        """A plan that can be flown by us, judged as before its flight."""
        plan = read_plan_file(self.site, self.file, vehicle)
        findings = self._at_site(plan, None)
        places = tuple(None if f.item is None else f"waypoint {f.item + 1}" for f in findings)
        energy = self._energy(plan, findings)
        return CheckedFlight(self.file, plan.vehicle_id, plan, energy, tuple(findings), places, "waypoint")

    def any(self, content: FlightFile, route: Route, vehicle: str | None) -> CheckedFlight:
        """Any other route: as the flight that its commands make."""
        starter = self._starter(route, vehicle)
        for index, step in enumerate(route.steps):
            if step.position is not None and step.altitude is None:
                where = step.place or f"step {index + 1}"
                raise BadInputError(f"{self.file}: {where}: gives no height; say one above home with --height")
        try:
            refuse_swapped(content, self.site.frame.origin, str(self.file))
        except PlanError as error:
            raise BadInputError(str(error)) from error
        route, lifted = self._above_sea(route)
        try:
            fence = fence_of(content)
        except GeoError as error:
            raise BadInputError(f"{self.file}: {error}") from error
        flight = fly_steps(route, fence, starter)
        if route.orders is not None:
            orders = route.orders
            started = replace(flight.plan, start_after_s=orders.start_after_s, starts_first=orders.starts_first)
            flight = replace(flight, plan=started)
        losses = [Finding("unsupported-item", Severity.BLOCKER, loss.message) for loss in content.losses]
        marked: list[tuple[Finding, str | None]] = []
        marked += zip(losses, (loss.place for loss in content.losses), strict=True)
        marked += [(f, self._place(route, f.item)) for f in (*lifted, *flight.findings)]
        bounded = replace(flight.plan, fence=merged(self.site.fence, fence, home_amsl_m=flight.plan.home_amsl_m))
        marked += [(f, f"rallyPoints.points[{i}]") for i, f in enumerate(check_rally(content.rally, bounded))]
        judged = self._at_site(flight.plan, flight.names)
        for finding in judged:
            number = None if finding.item is None else flight.step_of[finding.item]
            marked.append((replace(finding, item=number), self._place(route, number)))
        once = dict(marked)  # a loop says it in every round
        energy = self._energy(flight.plan, judged)
        return CheckedFlight(self.file, route.name, flight.plan, energy, tuple(once), tuple(once.values()), "item")

    def _above_sea(self, route: Route) -> tuple[Route, list[Finding]]:
        """Heights above terrain as heights above the sea at each place, where the site's terrain knows the ground."""
        steps, lifted = list(route.steps), []
        for index, step in enumerate(steps):
            if step.position is None or step.altitude is None or step.altitude.datum is not Datum.TERRAIN:
                continue
            try:
                ground = height_at(self.site.terrain, step.position)
            except OutsideTerrainError:
                continue  # then the altitude's datum is a finding
            steps[index] = replace(step, altitude=Altitude(ground + step.altitude.value_m, Datum.AMSL))
            lifted.append(index)
        if not lifted:
            return route, []
        message = (
            f"{len(lifted)} heights are above the terrain ({self.site.terrain.source}): between the places the straight "
            "line is checked, and a vehicle that follows the ground flies another"
        )
        return replace(route, steps=tuple(steps)), [
            Finding("height-above-terrain", Severity.WARNING, message, lifted[0])
        ]

    def _at_site(self, plan: FlightPlan, names: Sequence[str] | None) -> list[Finding]:
        return check_at_site(
            self.site, plan, battery_fraction=self.battery_fraction, wind_m_s=self.wind_m_s, names=names
        )

    def _energy(self, plan: FlightPlan, findings: Sequence[Finding]) -> PlanEnergy | None:
        if any(f.code in {"altitude-datum", "empty-plan"} for f in findings):
            return None
        return energy_of(self.site, plan, battery_fraction=self.battery_fraction, wind_m_s=self.wind_m_s)

    def _place(self, route: Route, step: int | None) -> str | None:
        return None if step is None else route.steps[step].place or f"step {step + 1}"

    def _starter(self, route: Route, vehicle: str | None) -> Starter:
        planned = route.orders.vehicle_id if route.orders is not None else None
        who = vehicle or planned
        if who is None:
            raise BadInputError(f"{self.file}: does not say which vehicle it is for; name the vehicle with --vehicle")
        if planned is not None and who != planned:
            raise BadInputError(f"{self.file}: was made for {planned}, not for {who}; plan again for {who}")
        drone = self.site.drone(who)
        home = drone.pad if route.home is None else route.home.position
        height = None if route.home is None else route.home.amsl_m
        return Starter(
            vehicle_id=who,
            mission=self.site.new_mission(self.file.stem) if route.orders is None else route.orders.mission,
            home=home,
            home_amsl_m=self._ground(home) if height is None else height,
            return_height_m=drone.return_height_m,
            cruise_speed_m_s=route.cruise_speed_m_s or self.site.limits.cruise_speed_m_s,
        )

    def _ground(self, home: GeoPoint) -> float:
        try:
            return height_at(self.site.terrain, home)
        except OutsideTerrainError as gone:
            raise BadInputError(f"{self.file}: the home's height is not given, and {gone}") from gone


def flight_document(flight: CheckedFlight) -> dict[str, Any]:
    """One flight for machines; `waypoint` or `item` counts from 1, `place` is where it stands in the file."""
    findings = []
    for finding, place in zip(flight.findings, flight.places, strict=True):
        document = finding_document(finding)
        document[flight.counts] = document.pop("waypoint")
        findings.append({**document, "place": place})
    numbers = {} if flight.energy is None else plan_document(flight.plan, flight.energy, ())
    head = {"plan": str(flight.file), "route": flight.route, "vehicle_id": flight.plan.vehicle_id}
    return {**numbers, **head, "clean": flight.clean, "findings": findings}


def checked_document(checked: Checked) -> dict[str, Any]:
    """All of it for machines. One flight stands at the top, several in a list."""
    if len(checked.flights) == 1:
        return {"schema_version": 1, **flight_document(checked.flights[0])}
    return {
        "schema_version": 1,
        "clean": checked.clean,
        "flights": [flight_document(f) for f in checked.flights],
        "findings": list(_breach_documents(checked)),
    }


def _breach_documents(checked: Checked) -> Iterator[dict[str, Any]]:
    for breach in checked.breaches:
        between = [str(checked.flights[i].file) for i in (breach.first, breach.second)]
        yield {**finding_document(breach.finding), "place": None, "plans": between}

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The one place where the HTTP door asks: what is known, and what is to be done.

Puts fleet, alerts, store and perception together into plain views (`desk_views.py`); decides nothing about flight by
itself except that every plan flies inside the site's own fence and return layer, whatever the file says.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from dronectl import __version__
from dronectl.alerts.service import AlertService
from dronectl.bus.messages import Alert
from dronectl.clock import Clock
from dronectl.errors import BadInputError
from dronectl.fleet.commands import CommandKind
from dronectl.fleet.fleet import Fleet, FlightRefusedError
from dronectl.fleet.link import VehicleState
from dronectl.fleet.preflight import Override
from dronectl.fleet.sortie_types import Sortie
from dronectl.operations.desk_views import alert_view, finding_view, sortie_view, vehicle_view
from dronectl.operations.evidence import note_view
from dronectl.operations.http_counts import HttpCounts
from dronectl.operations.keeping_clear import UnderWay, meetings_under_way
from dronectl.operations.metrics import Standing, render_metrics
from dronectl.operations.planning import shared_return_layer
from dronectl.site import Site
from dronectl.store import Store, StoreError
from dronectl.store.models import MissionRow, OutboxRow
from dronectl.streams import Subscription
from dronectl.supervise import ChildReport, ChildState
from missions.energy import DatumError
from missions.errors import PlanError
from missions.fences import merged
from missions.formats.qgc_read import PlanDefaults, read_plan
from missions.model import FlightPlan
from vision.evidence_index import SHOWN
from vision.gaps import CoverageBook
from vision.pipeline_types import CameraReport

log = logging.getLogger(__name__)

_GAPS_SHOWN: Final = 50


class UnknownIdError(Exception):
    """There is no such vehicle, sortie, alert or picture."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the desk looks."""

    site: Site
    store: Store
    fleet: Fleet
    alerts: AlertService
    clock: Clock
    evidence: Path
    children: Callable[[], Sequence[ChildReport]]
    cameras: Callable[[], Sequence[CameraReport]]
    coverage: CoverageBook
    bus_connected: Callable[[], bool]
    http: HttpCounts
    faults: Callable[[], int]  # errors of ours outside what is done for a vehicle


class Desk:
    """Views and orders."""

    def __init__(self, sources: Sources) -> None:
        self._s = sources
        self._started_s = sources.clock.monotonic_s()
        self._sorties_seen: tuple[tuple[int, int], list[dict[str, Any]]] = ((-1, -1), [])  # versions, and the views

    # --- what is known

    def health(self) -> dict[str, Any]:
        children = list(self._s.children())
        return {
            "ok": all(child.state is ChildState.RUNNING for child in children),
            "site_id": self._s.site.site_id,
            "status": str(self._s.site.model.status),
            "version": __version__,
            "uptime_s": self._s.clock.monotonic_s() - self._started_s,
            **self._doors_health(),
            "children": [asdict(child) for child in children],
        }

    def _doors_health(self) -> dict[str, Any]:
        doors = self._s.fleet.doors()
        counted = [door.refused_or_lost for door in doors.values() if door.refused_or_lost is not None]
        return {
            "refused_or_lost_datagrams": sum(counted) if counted else None,
            "doors_not_counted": [name for name, door in doors.items() if door.refused_or_lost is None],
            "noisy_doors": [name for name, door in doors.items() if door.noisy],
        }

    def coverage_gaps(self) -> list[dict[str, Any]]:
        """From when to when (UTC) which camera did not look, oldest first; `to` is None while it lasts."""
        now_s, now = self._s.clock.monotonic_s(), self._s.clock.utc()

        def utc(at_s: float) -> str:
            return (now - timedelta(seconds=now_s - at_s)).isoformat(timespec="milliseconds")

        return [
            {
                "camera_id": gap.camera_id,
                "from": utc(gap.from_monotonic_s),
                "to": None if gap.to_monotonic_s is None else utc(gap.to_monotonic_s),
                "reason": gap.reason,
            }
            for gap in self._s.coverage.gaps()[-_GAPS_SHOWN:]
        ]

    def metrics(self) -> str:
        fleet, alerts = self._s.fleet, self._s.alerts
        standing = Standing(
            states=fleet.states.value,
            doors=fleet.doors(),
            faults=fleet.faults(),
            notices=fleet.watching.notices.value,
            notices_told=fleet.watching.counted,
            sorties=fleet.sorties.value,
            children=self._s.children(),
            cameras=self._s.cameras(),
            blind_s=self._s.coverage.blind_s(self._s.clock.monotonic_s()),
            alerts=alerts.alerts(),
            bus_connected=self._s.bus_connected(),
            counted={**alerts.counted(), **self._s.http.counted(), "service_faults": self._s.faults()},
        )
        return render_metrics(standing)

    def vehicles(self) -> list[dict[str, Any]]:
        flying = {s.vehicle_id: s for s in self._s.fleet.sorties.value.values()}
        states = self._s.fleet.states.value
        doors = self._s.fleet.doors()
        notices = self._s.fleet.watching.notices.value
        views = []
        for drone_id in (d.drone_id for d in self._s.site.drones):
            state = states.get(drone_id) or VehicleState(drone_id)
            now_s = self._s.clock.monotonic_s()
            views.append(vehicle_view(state, flying.get(drone_id), doors[drone_id], notices.get(drone_id, ()), now_s))
        return views

    def vehicle(self, vehicle_id: str) -> dict[str, Any]:
        for view in self.vehicles():
            if view["vehicle_id"] == vehicle_id:
                return view
        raise UnknownIdError(self._no_vehicle(vehicle_id))

    def sorties(self) -> list[dict[str, Any]]:
        """Every sortie, oldest first. Views are shared by all who ask until a sortie changes: read only."""
        sorties = self._s.fleet.sorties
        versions = sorties.version, self._s.fleet.watching.version
        if self._sorties_seen[0] != versions:
            self._sorties_seen = versions, [self._sortie(s) for s in sorties.value.values()]
        return self._sorties_seen[1]

    def sortie(self, sortie_id: str) -> dict[str, Any]:
        found = self._s.fleet.sorties.value.get(sortie_id)
        if found is None:
            raise UnknownIdError(f"there is no sortie {sortie_id}")
        return self._sortie(found)

    def track(self, sortie_id: str, after_s: float) -> list[dict[str, Any]]:
        """Where a sortie's vehicle was in the air, later than after_s of its clock, about once a second."""
        self.sortie(sortie_id)
        return [asdict(place) for place in self._s.fleet.track(sortie_id, after_s)]

    async def missions(self, limit: int) -> list[dict[str, Any]]:
        return await mission_ledger(self._s.store, limit)

    async def alerts(self, limit: int) -> list[dict[str, Any]]:
        waiting = await self._waiting()
        return [alert_view(alert, alert.alert_id not in waiting) for alert in self._s.alerts.alerts()[:limit]]

    async def alert(self, alert_id: str) -> dict[str, Any]:
        for alert in self._s.alerts.alerts():
            if alert.alert_id == alert_id:
                return alert_view(alert, alert_id not in await self._waiting())
        raise UnknownIdError(f"there is no alert {alert_id}")

    def changed_alert(self, alert: Alert) -> dict[str, Any]:
        """An alert that has just changed: nobody can have acknowledged this message yet."""
        return alert_view(alert, acknowledged=False)

    async def _waiting(self) -> set[str]:
        """Alerts with a message that the dispatch system has not acknowledged."""
        async with self._s.store.reader() as session:
            query = select(OutboxRow.alert_id).where(
                OutboxRow.site_id == self._s.store.site_id, OutboxRow.closed_at.is_(None)
            )
            return set((await session.scalars(query.distinct())).all())

    @contextmanager
    def alert_changes(self) -> Iterator[Subscription[Alert]]:
        with self._s.alerts.changes.subscribe() as subscription:
            yield subscription

    async def evidence(self, name: str, actor: str) -> Path:
        """The file of a picture or clip; nothing else of the evidence folder, such as its index, and never one outside.

        Who looks at it is in the audit log. A log that cannot be written keeps nobody from seeing a fire.
        """
        root = self._s.evidence.resolve()
        try:
            path = (root / name).resolve()
            shown = path.parent == root and path.suffix in SHOWN and not path.name.startswith(".") and path.is_file()
        except (OSError, ValueError):
            shown = False
        if not shown:
            raise UnknownIdError("there is no such evidence")
        try:
            await note_view(self._s.store, path.name, self._s.clock.utc(), actor=actor)
        except StoreError as error:
            log.error("that evidence %s was looked at is not logged: %s", path.name, error)  # noqa: TRY400  # one line
        return path

    # --- what is to be done

    async def command(
        self, kind: str, vehicle_id: str | None, actor: str, reason: str, expires_in_s: float
    ) -> list[dict[str, Any]]:
        order = CommandKind(kind)
        fleet = self._s.fleet
        if vehicle_id is None:
            results = await fleet.command_all(order, actor=actor, reason=reason, expires_in_s=expires_in_s)
        else:
            self.vehicle(vehicle_id)
            results = [await fleet.command(order, vehicle_id, actor=actor, reason=reason, expires_in_s=expires_in_s)]
        return [
            {
                "command_id": r.command_id,
                "vehicle_id": r.vehicle_id,
                "kind": str(r.kind),
                "ok": r.ok,
                "confirmed": r.confirmed,
                "detail": r.detail,
                "connected": r.state is not None and r.state.connected,
            }
            for r in results
        ]

    async def preflight(self, vehicle_id: str, document: dict[str, Any]) -> list[dict[str, Any]]:
        plan = self.read_plan(vehicle_id, document)
        return [finding_view(f) for f in await self._s.fleet.preflight(plan)]

    async def fly(
        self,
        vehicle_id: str,
        document: dict[str, Any],
        actor: str,
        reason: str,
        override_codes: Sequence[str],
        override_reason: str,
    ) -> dict[str, Any]:
        """Hand a flight in. The warnings say which flights under way it would meet: only a person can judge when to start."""
        plan = self.read_plan(vehicle_id, document)
        under_way = self._under_way()
        shared = shared_return_layer(self._s.site, plan, [other.plan for other in under_way])
        if shared is not None:
            raise BadInputError(shared)
        try:
            meetings = await asyncio.to_thread(meetings_under_way, plan, under_way, self._s.site.limits)
        except DatumError:
            meetings = []  # preflight refuses that plan
        try:
            override = Override(frozenset(override_codes), actor, override_reason) if override_codes else None
            sortie_id = await self._s.fleet.fly(plan, actor=actor, reason=reason, override=override)
        except (FlightRefusedError, ValueError) as error:
            raise BadInputError(str(error)) from error
        for meeting in meetings:
            log.warning("sortie %s: %s", sortie_id, meeting.text)
        return {
            "sortie_id": sortie_id,
            "warnings": [meeting.text for meeting in meetings],
            "meetings": [asdict(meeting) for meeting in meetings],
        }

    def _under_way(self) -> list[UnderWay]:
        fleet = self._s.fleet
        plans = {d.drone_id: fleet.plan_under_way(d.drone_id) for d in self._s.site.drones}
        return [UnderWay(plan, fleet.sortie_of(drone)) for drone, plan in plans.items() if plan is not None]

    async def abandon(self, sortie_id: str, actor: str, reason: str) -> dict[str, Any]:
        """Close a sortie whose vehicle is not heard of any more."""
        self.sortie(sortie_id)
        try:
            return self._sortie(await self._s.fleet.abandon(sortie_id, actor=actor, reason=reason))
        except FlightRefusedError as error:
            raise BadInputError(str(error)) from error

    def read_plan(self, vehicle_id: str, document: dict[str, Any]) -> FlightPlan:
        """The plan as this vehicle would fly it here: inside the site's fence too, home at the height it carries (ADR 8)."""
        site = self._s.site
        try:
            drone = site.drone(vehicle_id)
        except BadInputError as error:
            raise UnknownIdError(str(error)) from error
        stamp = f"{self._s.clock.utc():%Y%m%d-%H%M%S}"
        mission = site.new_mission(f"{site.site_id}-{stamp}-{vehicle_id}")
        defaults = PlanDefaults(mission, vehicle_id, drone.return_height_m, site.fence.max_altitude)
        try:
            plan = read_plan(json.dumps(document), source="plan", defaults=defaults)
        except PlanError as error:
            raise BadInputError(str(error)) from error
        if plan.vehicle_id != vehicle_id:
            raise BadInputError(f"the plan is for {plan.vehicle_id}, not {vehicle_id}; plan again for {vehicle_id}")
        return replace(plan, fence=merged(site.fence, plan.fence, home_amsl_m=plan.home_amsl_m))

    def _sortie(self, sortie: Sortie) -> dict[str, Any]:
        fleet = self._s.fleet
        return sortie_view(sortie, fleet.mission_of(sortie.sortie_id), fleet.watching.told(sortie.sortie_id))

    def _no_vehicle(self, vehicle_id: str) -> str:
        known = ", ".join(d.drone_id for d in self._s.site.drones)
        return f"there is no vehicle {vehicle_id}; there are: {known}"


async def mission_ledger(store: Store, limit: int) -> list[dict[str, Any]]:
    """The newest missions with their outcomes."""
    async with store.reader() as session:
        query = select(MissionRow).where(MissionRow.site_id == store.site_id)
        rows = (await session.scalars(query.order_by(MissionRow.created_at.desc()).limit(limit))).all()
        return [
            {
                "mission_id": row.id,
                "purpose": row.purpose,
                "authority_who": row.authority_who,
                "authority_ground": row.authority_ground,
                "category": row.category,
                "created_at": row.created_at,
                "ended_at": row.ended_at,
                "outcome": row.outcome_kind,
                "outcome_note": row.outcome_note,
            }
            for row in rows
        ]

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The composition root: one site's service, from its files to its doors.

Starts the store, the broker (or finds it), the bus, the alerts, the fleet, the vision worker and the HTTP door, in one
TaskGroup. Ending or killing this process commands no aircraft: they follow their verified failsafes, and the next
service adopts them.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from dronectl.alerts.service import AlertService
from dronectl.alerts.site import alert_site
from dronectl.alerts.visits import footprint
from dronectl.api.auth import read_or_make_token
from dronectl.api.door import listening, serve, url_of
from dronectl.bus.broker import BrokerChild
from dronectl.bus.client import Bus
from dronectl.bus.settings import BrokerAccess, BusSettings, access_from, check_broker
from dronectl.clock import Clock, SystemClock
from dronectl.errors import BadInputError, StoreError
from dronectl.fleet.failsafe import FailsafePolicy
from dronectl.fleet.fleet import Fleet
from dronectl.fleet.link import PoseSample
from dronectl.noise import NoiseLog, watch_noise
from dronectl.operations.addresses import addresses
from dronectl.operations.bus_state import drone_state, telemetry
from dronectl.operations.desk import Desk, Sources
from dronectl.operations.evidence import SweepTime, sweep
from dronectl.operations.http_counts import HttpCounts
from dronectl.operations.known_drones import take_leave
from dronectl.paths import StateDir
from dronectl.perception.client import PerceptionClient, PerceptionSettings
from dronectl.perception.masts import mast_feeds
from dronectl.perception.messages import CameraFeed
from dronectl.site import Site
from dronectl.state_watch import announce, stay_findable, watch_store
from dronectl.store import Store
from dronectl.supervise import ChildReport, ChildState, keep_running
from dronectl.terrain_io import grid_file
from missions.geo import GeoError, GeoPoint
from missions.model import Camera
from missions.terrain import OutsideTerrainError, height_at
from vision.errors import EvidenceError
from vision.evidence_index import EvidenceIndex
from vision.gaps import CoverageBook
from vision.sighting import Sighting

log = logging.getLogger(__name__)

_SIGHTINGS_DEPTH = 10_000
_PUBLISH_PERIOD_S = 1.0
_HTTP_NOISE = (
    "HTTP door",
    "requests are turned away that cannot be read, lack the token, or are too large or too many",
    "/metrics counts each kind",
)
_MQTT_NOISE = (
    "MQTT door",
    "messages come that are no acknowledgement or action for an alert of this site",
    "/metrics counts each kind; is the dispatch system set up for this site?",
)
_VISIT_PERIOD_S = 2.0
_SWEEP_PERIOD_S = 3600.0


class Service:
    """One site's service. `run` until cancelled."""

    def __init__(self, site: Site, state: StateDir, clock: Clock | None = None) -> None:
        self._site = site
        self._state = state
        self._clock = clock or SystemClock()
        self._reports: dict[str, ChildReport] = {}
        self._sightings: asyncio.Queue[Sighting] = asyncio.Queue(_SIGHTINGS_DEPTH)
        self._http_counts = HttpCounts()
        self._broker_child: BrokerChild | None = None
        self._perception: PerceptionClient | None = None
        self._poses: dict[str, PoseSample] = {}
        self.sightings_lost = 0
        self.faults: Counter[str] = Counter()  # errors of ours that cost one thing, by what was being done

    async def run(self, on_serving: Callable[[str], None]) -> None:
        """Serve; `on_serving(url)` is called when the HTTP door is open.

        Raises BadInputError (port in use, second service, unreadable database), UnavailableError (external broker
        away at the start), BudgetSpentError.
        """
        with _writable(self._state.root):
            self._state.create()
        with self._only_service(), listening(self._site) as door:
            with _writable(self._state.token):
                token = read_or_make_token(self._state.token)
            async with Store.open(self._state.database, self._site.site_id) as store:
                await self._serve(store, door, token, on_serving)

    async def _serve(self, store: Store, door: socket.socket, token: str, on_serving: Callable[[str], None]) -> None:
        async with asyncio.TaskGroup() as group:
            access = await self._broker(group)
            status = self._site.model.status.value
            bus = Bus(BusSettings(self._site.site_id, status, access, session_id=str(uuid.uuid4())), self._clock)
            for drone_id in await asyncio.to_thread(
                take_leave, self._state.root, [d.drone_id for d in self._site.drones]
            ):
                bus.remove_drone(drone_id)
            alerts = AlertService(store, bus, alert_site(self._site), self._clock)
            fleet = Fleet(
                self._site.site_id,
                addresses(self._site.drones),
                self._site.limits,
                self._failsafe(),
                self._site.terrain,
                store,
                self._clock,
                on_poses=self._take_poses,
            )
            # A height model that came as a raster is handed to the vision worker as a grid.
            grid = await asyncio.to_thread(grid_file, self._site.terrain_path, self._site.terrain, self._state.root)
            self._start_perception(group, grid)
            group.create_task(bus.run(), name="bus")
            group.create_task(alerts.run(), name="alerts")
            group.create_task(fleet.run(), name="fleet")
            group.create_task(self._hand_sightings(alerts, fleet), name="sightings")
            group.create_task(self._publish(bus, fleet), name="publish")
            group.create_task(self._visits(alerts), name="visits")
            group.create_task(self._sweep(store), name="retention")
            group.create_task(watch_store(store, self._note, bus.publish_trouble), name="store")
            desk = Desk(
                Sources(
                    site=self._site,
                    store=store,
                    fleet=fleet,
                    alerts=alerts,
                    clock=self._clock,
                    evidence=self._state.evidence,
                    children=lambda: self._children(fleet, bus),
                    cameras=lambda: self._perception.cameras if self._perception else (),
                    coverage=self._perception.coverage if self._perception else CoverageBook({}, 0.0),
                    bus_connected=lambda: bus.connected,
                    http=self._http_counts,
                    faults=self.faults.total,
                )
            )
            group.create_task(self._http(desk, token, door, on_serving), name="http")
            doors = {
                NoiseLog(*_HTTP_NOISE): lambda: self._http_counts.unwanted,
                NoiseLog(*_MQTT_NOISE): alerts.unwanted,
            }
            group.create_task(watch_noise(doors, self._clock), name="noise")

    # --- parts

    @contextmanager
    def _only_service(self) -> Iterator[None]:
        """Hold the site's lock; a second service on one site would be a second commander."""
        try:
            file = self._state.lock.open("a+")
        except OSError as error:
            raise BadInputError(f"{self._state.lock}: cannot be written: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BadInputError(
                    f"a service already runs for site {self._site.site_id} (it holds {self._state.lock}); end it first"
                ) from None
            yield

    async def _broker(self, group: asyncio.TaskGroup) -> BrokerAccess:
        wanted = self._site.model.broker
        if wanted.mode == "external":
            access = self._external(wanted.url or "", wanted.password_file)
            await check_broker(access)
            return access
        child = BrokerChild(self._state.root / "broker", self._site.site_id, port=wanted.port)
        with _writable(self._state.root / "broker"):
            broker = child.prepare()
        self._broker_child = child
        group.create_task(keep_running("broker", child.run, on_report=self._note), name="broker")
        return broker.service

    def _external(self, url: str, password_file: object) -> BrokerAccess:
        access = access_from(url)
        if password_file is None:
            return access
        path = (self._site.file.parent / str(password_file)).resolve()
        try:
            password = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BadInputError(f"{path}: the broker's password cannot be read: {error.strerror}") from error
        return BrokerAccess(access.host, access.port, access.username, password, access.tls, access.ca_file)

    def _failsafe(self) -> FailsafePolicy:
        f = self._site.model.failsafe
        return FailsafePolicy(
            link_loss_s=f.link_loss_s,
            battery_low=f.battery_low,
            battery_critical=f.battery_critical,
            battery_emergency=f.battery_emergency,
        )

    def _start_perception(self, group: asyncio.TaskGroup, terrain: Path) -> None:
        feeds = [
            CameraFeed(camera, drone.drone_id, host, port)
            for drone in self._site.drones
            for camera, host, port in drone.cameras
        ]
        feeds += mast_feeds(self._site.masts, self._site.terrain)
        if not feeds:
            return
        settings = PerceptionSettings(
            evidence_dir=self._state.evidence,
            terrain_path=terrain,
            colour_model_path=self._site.colour_model,
        )
        self._perception = PerceptionClient(feeds, settings, self._take_sighting)
        group.create_task(self._perception.supervise(), name="perception")

    # --- the data's way

    def _take_poses(self, samples: Sequence[PoseSample]) -> None:
        self._poses.update((sample.vehicle_id, sample) for sample in samples)
        if self._perception is not None:
            self._perception.poses(samples)

    def _take_sighting(self, sighting: Sighting) -> None:
        """Queue a sighting. A full queue means that the store has been stuck for long; the loss is counted and said."""
        try:
            self._sightings.put_nowait(sighting)
        except asyncio.QueueFull:
            self.sightings_lost += 1
            if self.sightings_lost == 1:
                log.error("sightings are lost: the store does not take them")  # noqa: TRY400  # the cause is not this exception

    async def _hand_sightings(self, alerts: AlertService, fleet: Fleet) -> None:
        while True:
            sighting = await self._sightings.get()
            try:
                await alerts.handle(sighting, mission_id=fleet.mission_id_of_vehicle(sighting.vehicle_id))
            except Exception as error:  # noqa: BLE001  # one sighting must not end the service and its flights
                self._fault("taking a sighting", error)

    async def _visits(self, alerts: AlertService) -> None:
        """Tell the event rules which ground was looked at in degrees: hazards there are gone, or still there.

        Fixed cameras say nothing here: their pictures hold no degrees, and what smoulders may not show in them.
        """
        looked: dict[str, int] = {}
        cameras = {c.camera_id: (c, d.drone_id) for d in self._site.drones for c, _, _ in d.cameras}
        while True:
            await asyncio.sleep(_VISIT_PERIOD_S)
            for report in self._perception.cameras if self._perception is not None else ():
                if report.camera_id not in cameras:
                    continue
                before, looked[report.camera_id] = looked.get(report.camera_id), report.looked_at
                camera, drone_id = cameras[report.camera_id]
                pose = self._poses.get(drone_id)
                if not report.in_degrees or pose is None or before is None:
                    continue
                try:
                    ring = self._seen(camera, pose) if report.looked_at > before else None
                    if ring is not None:
                        await alerts.looked(ring)
                except Exception as error:  # noqa: BLE001  # as above
                    self._fault("telling what a camera looked at", error)

    def _seen(self, camera: Camera, pose: PoseSample) -> tuple[tuple[float, float], ...] | None:
        try:
            point = GeoPoint(pose.latitude_deg, pose.longitude_deg)
            height_m = pose.amsl_m - height_at(self._site.terrain, point)
        except (GeoError, OutsideTerrainError):
            return None
        return footprint(camera, *self._site.frame.to_enu(point), height_m, pose.yaw_deg)

    async def _sweep(self, store: Store) -> None:
        """Delete evidence whose time is up, now and every hour; what fails is tried again an hour later."""
        index = EvidenceIndex(self._state.evidence)
        days = {str(tag): value for tag, value in self._site.model.evidence.retention_days.items()}
        time = SweepTime(self._clock)
        while True:
            try:
                if (now := time.now()) is not None:
                    await sweep(index, store, days, now, actor="service:retention")
                else:
                    log.warning("the clock was set far ahead: evidence is deleted by it when it has stood for a day")
            except (StoreError, EvidenceError) as error:
                log.error("expired evidence could not be deleted: %s", error)  # noqa: TRY400  # one line
            await asyncio.sleep(_SWEEP_PERIOD_S)

    async def _publish(self, bus: Bus, fleet: Fleet) -> None:
        docks = {d.drone_id: d.dock_id for d in self._site.drones}
        while True:
            await asyncio.sleep(_PUBLISH_PERIOD_S)
            flying = {s.vehicle_id: s for s in fleet.sorties.value.values()}
            for vehicle_id, state in fleet.states.value.items():
                try:
                    bus.publish_status(
                        vehicle_id, online=state.connected, reason=None if state.connected else "the link is lost"
                    )
                    mission_id = fleet.mission_id_of_vehicle(vehicle_id)
                    notices = fleet.watching.notices.value.get(vehicle_id, ())
                    sortie = flying.get(vehicle_id)
                    bus.publish_state(drone_state(state, sortie, mission_id, docks[vehicle_id], notices))
                    if state.connected:
                        bus.publish_telemetry(telemetry(state))
                except Exception as error:  # noqa: BLE001  # as above
                    self._fault(f"publishing {vehicle_id}", error)

    def _fault(self, doing: str, error: Exception) -> None:
        """Count an error of ours; the first of each kind is logged with its traceback, for some come every second."""
        key = f"{doing} ({type(error).__name__})"
        self.faults[key] += 1
        if self.faults[key] == 1:
            log.error("an error in %s; the service goes on, more of the kind are only counted", doing, exc_info=error)

    def _note(self, report: ChildReport) -> None:
        self._reports[report.name] = report

    def _children(self, fleet: Fleet, bus: Bus) -> list[ChildReport]:
        state = bus.state.value
        bus_state = ChildState.RUNNING if state.connected else ChildState.WAITING
        reports = [*self._reports.values(), *fleet.children.value.values()]
        reports.append(ChildReport("bus", bus_state, max(0, state.connections - 1), state.reason))
        if self._perception is not None:
            p = self._perception
            reports.append(ChildReport("vision worker", p.state, p.restarts, p.reason))
        return reports

    # --- the door

    async def _http(self, desk: Desk, token: str, door: socket.socket, on_serving: Callable[[str], None]) -> None:
        url = url_of(self._site)
        async with self._announced(token, url):
            await serve(desk, token, self._http_counts, door, lambda: on_serving(url))

    @asynccontextmanager
    async def _announced(self, token: str, url: str) -> AsyncIterator[None]:
        """Say in the state folder where the door is, also when it was deleted; taken back on an orderly end."""
        with _writable(self._state.service_file):
            announce(self._state, url)
        child = self._broker_child
        broker_files = child.write_again if child is not None else lambda: False
        watching = asyncio.create_task(stay_findable(self._state, token, url, broker_files), name="findable")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            self._state.service_file.unlink(missing_ok=True)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """A full disk or a read-only folder is named, with the file that wanted to be written."""
    try:
        yield
    except OSError as error:
        raise BadInputError(
            f"{path}: cannot be written: {error.strerror}; make room, or give another --state"
        ) from error

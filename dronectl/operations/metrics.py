# SPDX-License-Identifier: AGPL-3.0-or-later
"""Metrics in Prometheus text format, made anew from what stands whenever somebody asks."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from dronectl.bus.messages import Alert
from dronectl.fleet.doors import DoorCount
from dronectl.fleet.link import VehicleState
from dronectl.fleet.progress_watch import Notice, NoticeKind
from dronectl.fleet.sortie_types import Sortie
from dronectl.supervise import ChildReport, ChildState
from vision.pipeline_types import CameraReport


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands: all that the metrics page is made from. Vehicles, sorties and cameras by their ids."""

    states: Mapping[str, VehicleState]
    doors: Mapping[str, DoorCount]
    faults: Mapping[str, int]
    notices: Mapping[str, Sequence[Notice]]
    notices_told: Mapping[NoticeKind, int]
    sorties: Mapping[str, Sortie]
    children: Sequence[ChildReport]
    cameras: Sequence[CameraReport]
    blind_s: Mapping[str, float]
    alerts: Sequence[Alert]
    bus_connected: bool
    counted: Mapping[str, int]


def render_metrics(standing: Standing) -> str:
    """The metrics page."""
    page = _Page()
    _vehicles(page, standing)
    _flights(page, standing)
    _children(page, standing.children)
    _cameras(page, standing.cameras, standing.blind_s)
    by_level = page.gauge("alerts", "Alerts held in memory", ["level", "state"])
    for (level, state_name), count in Tally((str(a.level), str(a.state)) for a in standing.alerts).items():
        by_level.labels(level, state_name).set(count)
    page.gauge("bus_connected", "1 while the MQTT broker has us").set(standing.bus_connected)
    counts = page.gauge("counted", "Sightings, alerts, answers and messages by what became of them", ["what"])
    for what, count in standing.counted.items():
        counts.labels(what).set(count)
    return page.text()


class _Page:
    """A page in the making; metrics stand on it in the order in which they are made."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

    def gauge(self, name: str, words: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"dronectl_{name}", words, labels, registry=self._registry)

    def counter(self, name: str, words: str, label: str) -> Counter:
        return Counter(f"dronectl_{name}", words, [label], registry=self._registry)

    def text(self) -> str:
        return generate_latest(self._registry).decode()


def _vehicles(page: _Page, standing: Standing) -> None:
    connected = page.gauge("vehicle_connected", "1 while the vehicle is heard", ["vehicle"])
    battery = page.gauge("vehicle_battery_ratio", "Battery, 0 to 1", ["vehicle"])
    for vehicle_id, state in standing.states.items():
        connected.labels(vehicle_id).set(state.connected)
        if state.battery_fraction is not None:
            battery.labels(vehicle_id).set(state.battery_fraction)
    refused = page.counter(
        "door_refused_or_lost_datagrams",
        "Datagrams at a vehicle's door that are no MAVLink, or for which there was no room; absent: not counted",
        "vehicle",
    )
    for vehicle_id, door in standing.doors.items():
        if door.refused_or_lost is not None:
            refused.labels(vehicle_id).inc(door.refused_or_lost)
    errors = page.counter(
        "vehicle_faults",
        "Errors of this program in what was done for a vehicle; the log has their tracebacks",
        "vehicle",
    )
    for vehicle_id, count in standing.faults.items():
        errors.labels(vehicle_id).inc(count)


def _flights(page: _Page, standing: Standing) -> None:
    wrong = page.gauge(
        "vehicle_notice", "1 while a flight is off its way or height, makes no progress or is late", ["vehicle", "kind"]
    )
    for vehicle_id, notices in standing.notices.items():
        for notice in notices:
            wrong.labels(vehicle_id, str(notice.kind)).set(1)
    told = page.counter("flight_notices", "Notices about the progress of flights since the service started", "kind")
    for kind in NoticeKind:
        told.labels(str(kind)).inc(standing.notices_told.get(kind, 0))
    flights = page.gauge("sorties", "Sorties by state", ["state"])
    for phase, count in Tally(str(s.phase) for s in standing.sorties.values()).items():
        flights.labels(phase).set(count)


def _children(page: _Page, children: Sequence[ChildReport]) -> None:
    up = page.gauge("child_up", "1 while a supervised part runs", ["child"])
    restarts = page.gauge("child_restarts", "Restarts since the service started", ["child"])
    for child in children:
        up.labels(child.name).set(child.state is ChildState.RUNNING)
        restarts.labels(child.name).set(child.restarts)


def _cameras(page: _Page, cameras: Sequence[CameraReport], blind_s: Mapping[str, float]) -> None:
    frames = page.gauge("frames", "Frames by what became of them", ["camera", "what"])
    latency = page.gauge("vision_latency_seconds", "Exposure to sighting, over the last frames", ["camera", "quantile"])
    for camera in cameras:
        for what in ("received", "looked_at", "dropped", "no_pose"):
            frames.labels(camera.camera_id, what).set(getattr(camera, what))
        for quantile, value in (("0.5", camera.latency_p50_s), ("0.95", camera.latency_p95_s)):
            if value is not None:
                latency.labels(camera.camera_id, quantile).set(value)
    unseen = page.gauge("picture_unseen_ratio", "Share of the last pictures that was not looked at", ["camera"])
    for camera in cameras:
        if camera.unseen_fraction is not None:
            unseen.labels(camera.camera_id).set(camera.unseen_fraction)
    page.gauge("evidence_lost", "Pictures and clips that could not be written, since the vision process started").set(
        max((c.evidence_lost for c in cameras), default=0)
    )
    page.gauge("clip_frames_dropped", "Frames that are missing in clips, since the vision process started").set(
        max((c.clip_frames_dropped for c in cameras), default=0)
    )
    blind = page.gauge(
        "camera_blind_seconds", "Time in which a camera did not look, since the service started", ["camera"]
    )
    for camera_id, seconds in blind_s.items():
        blind.labels(camera_id).set(seconds)

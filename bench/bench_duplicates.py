# SPDX-License-Identifier: AGPL-3.0-or-later
"""Doubled incidents when three drones fly over the same people: simulator's renderer -> eyes -> incident merging.

`python bench/bench_duplicates.py [--seeds N] [--first K] [--json FILE]`. Three lawn-mower flights over one field, at 60 m,
8 m/s and one frame a second, crossing each other, with biased poses: position, height, heading, gimbal and camera clock
of each flight are off by constants that the pipeline is not told. A sighting counts for the true thing nearest to it when
it was last seen; an incident for the thing that most of its sightings count for. Doubled: every incident of a thing after
its first. Swallowed: a thing whose sightings all went to incidents of another. Mixed up: a track in the incident of a
thing that was at least 4 m farther off than another one when the track was last seen.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from dronectl.alerts.incidents import Mergers
from missions.geo import GeoPoint, LocalFrame
from missions.model import Camera, Modality
from missions.terrain import FlatTerrain
from sim.config import CameraConfig, Place, SceneConfig, SimConfig, TerrainConfig, VehicleConfig
from sim.eyes.gimbal import Mount
from sim.eyes.ground import make_ground
from sim.eyes.render import Renderer
from sim.eyes.world import World, make_world
from sim.ground import load_terrain
from sim.pose import TruePose
from vision.eye import CameraEye
from vision.frame import Frame, PixelKind
from vision.geolocate import Locator
from vision.merge import Incident
from vision.model_card import DEFAULT_MODEL
from vision.pose import camera_pose
from vision.pose_types import BodyPose
from vision.sighting import Kind, Sighting
from vision.thermal import HotSpotDetector
from vision.yolo import YoloDetector, load_yolo

ORIGIN = GeoPoint(29.7, 107.3)
GROUND_M, HEIGHT_M, SPEED_M_S, HALF_M, SPACING_M, TURN_S = 250.0, 60.0, 8.0, 70.0, 34.0, 4
NEAR_M = 9.0
CLEAR_M = 4.0  # so much nearer another thing must be before a track is in the wrong incident: places are off by metres
HEADINGS_DEG = (0.0, 90.0, 180.0)
START = datetime(2026, 1, 1, tzinfo=UTC)
ALERTED = (Kind.PERSON, Kind.FIRE)


@dataclass(frozen=True)
class Flight:
    """One drone's way and what its telemetry gets wrong."""

    vehicle_id: str
    heading_deg: float
    boot_s: float
    clock_s: float
    position_m: tuple[float, float, float]
    yaw_deg: float

    @property
    def seconds(self) -> int:
        lines = math.ceil(2 * HALF_M / SPACING_M)
        return lines * (round(2 * HALF_M / SPEED_M_S) + TURN_S)

    def true_pose(self, at_s: float, frame: LocalFrame) -> TruePose:
        """Lines along `heading_deg` from left to right, there and back; in a turn it hovers over the line's end."""
        leg_s = 2 * HALF_M / SPEED_M_S
        number, into_s = divmod(at_s, round(leg_s) + TURN_S)
        back = int(number) % 2 == 1
        along = -HALF_M + SPEED_M_S * min(into_s, leg_s)
        flying = into_s < leg_s
        across = -HALF_M + SPACING_M * (0.5 + int(number))
        heading = self.heading_deg + (180.0 if back else 0.0)
        h, line = math.radians(heading), math.radians(self.heading_deg)
        east = along * math.sin(h) + across * math.cos(line)
        north = along * math.cos(h) - across * math.sin(line)
        at = frame.to_geo(east, north)
        speed = SPEED_M_S if flying else 0.0
        return TruePose(
            self.vehicle_id, at_s, at.latitude_deg, at.longitude_deg, GROUND_M + HEIGHT_M, HEIGHT_M,
            speed * math.cos(h), speed * math.sin(h), 0.0, 0.0, -3.0 if flying else 0.0, heading % 360.0, None,
        )  # fmt: skip

    def told_pose(self, at_s: float, frame: LocalFrame, rng: np.random.Generator) -> BodyPose:
        """What telemetry says for a frame that the camera's clock puts at at_s."""
        true = self.true_pose(max(0.0, at_s + self.clock_s), frame)
        east, north = frame.to_enu(GeoPoint(true.latitude_deg, true.longitude_deg))
        at = frame.to_geo(
            east + self.position_m[0] + rng.normal(0, 0.2), north + self.position_m[1] + rng.normal(0, 0.2)
        )
        return BodyPose(
            at_s + self.boot_s, at.latitude_deg, at.longitude_deg, true.amsl_m + self.position_m[2], HEIGHT_M,
            true.velocity_north_m_s, true.velocity_east_m_s, 0.0, 0.0, true.pitch_deg, true.yaw_deg + self.yaw_deg,
        )  # fmt: skip


def camera_config(vehicle_id: str) -> CameraConfig:
    return CameraConfig(f"{vehicle_id}-thermal", "thermal", 640, 512, 758.0, 758.0, 319.5, 255.5)


def world_of(seed: int) -> World:
    frame = LocalFrame(ORIGIN)
    side = HALF_M - 8.0
    ring = tuple(
        (p.latitude_deg, p.longitude_deg)
        for p in (frame.to_geo(e * side, n * side) for e, n in ((-1, -1), (1, -1), (1, 1), (-1, 1)))
    )
    place = Place(ORIGIN.latitude_deg, ORIGIN.longitude_deg)
    config = SimConfig(
        1, place, TerrainConfig(flat_amsl_m=GROUND_M, error_sigma_m=1.5),
        (VehicleConfig("d1", 1, place, "127.0.0.1", 9),), seed=seed,
        scene=SceneConfig(ring, people=10, fires=1, parked_vehicles=2, animals=2, rocks=4, trees=12),
    )  # fmt: skip
    return make_world(config, load_terrain(config.terrain))


def flights_of(seed: int) -> list[Flight]:
    rng = np.random.default_rng([seed, 77])
    return [
        Flight(
            f"d{n + 1}", heading, float(rng.uniform(20, 900)),
            float(rng.uniform(0.05, 0.15) * rng.choice([-1, 1])),
            (float(rng.normal(0, 1.5)), float(rng.normal(0, 1.5)), float(rng.normal(0, 2.0))), float(rng.normal(0, 2.0)),
        )
        for n, heading in enumerate(HEADINGS_DEG)
    ]  # fmt: skip


def replay(seed: int, learned: YoloDetector) -> dict[str, Any]:
    """One scene, three flights at the same time."""
    world, rng = world_of(seed), np.random.default_rng([seed, 78])
    look = make_ground(world.ground.half_m, seed, night=world.night)
    flights = flights_of(seed)
    mergers = Mergers()
    incidents: dict[int, Incident] = {}
    owners: dict[int, Counter[str]] = {}
    looks: dict[str, set[tuple[str, int]]] = {}
    away: dict[str, tuple[int, dict[str, float]]] = {}

    def take(sighting: Sighting, flight: Flight, now_s: float) -> None:
        merged = mergers.add(sighting, "m", START + timedelta(seconds=now_s))
        incidents[merged.number] = merged
        distances = distances_m(world, sighting, sighting.last_exposure_s - flight.boot_s)
        owner = nearest(distances)
        if owner is not None:
            owners.setdefault(merged.number, Counter())[owner] += 1
            away[sighting.track_id] = merged.number, distances

    eyes = []
    for number, flight in enumerate(flights):
        c = camera_config(flight.vehicle_id)
        camera = Camera(c.camera_id, Modality.THERMAL, c.width_px, c.height_px, c.fx_px, c.fy_px, c.cx_px, c.cy_px)
        eye = CameraEye(
            camera, flight.vehicle_id, learned, HotSpotDetector(),
            Locator(FlatTerrain(GROUND_M, vertical_error_m=2.0), ORIGIN), None, f"run{seed}",
        )  # fmt: skip
        eyes.append((flight, camera, eye, Mount(c, seed * 1000 + number), Renderer(world, look, number)))
    for second in range(flights[0].seconds):
        for flight, camera, eye, mount, renderer in eyes:
            picture, seen = renderer.thermal(
                mount.view(flight.true_pose(float(second), world.frame), world.frame), second
            )
            for s in seen:
                if s.visible_fraction >= 0.5:
                    looks.setdefault(s.entity.entity_id, set()).add((flight.vehicle_id, second))
            body = flight.told_pose(float(second), world.frame, rng)
            frame = Frame(
                camera.camera_id, flight.vehicle_id, second, body.vehicle_time_s, picture, PixelKind.CELSIUS, camera,
                camera_pose(camera, body),
            )  # fmt: skip
            for sighting in eye.look(frame).sightings:
                take(sighting, flight, float(second))
    for flight, _, eye, _, _ in eyes:
        for sighting in eye.finish():
            take(sighting, flight, float(flights[0].seconds))
    mixed_up = sum(
        distances[owners[number].most_common(1)[0][0]] > min(distances.values()) + CLEAR_M
        for number, distances in away.values()
    )
    return {"seed": seed, "mixed_up": mixed_up, **score(world, incidents, owners, looks)}


def distances_m(world: World, sighting: Sighting, at_s: float) -> dict[str, float]:
    """How far off each thing was; empty for a sighting without a place."""
    if sighting.place is None:
        return {}
    east, north = world.frame.to_enu(GeoPoint(sighting.place.latitude_deg, sighting.place.longitude_deg))
    places = {entity.entity_id: entity.place(at_s) for entity in world.entities}
    return {name: math.hypot(x - east, y - north) for name, (x, y) in places.items()}


def nearest(distances: dict[str, float]) -> str | None:
    best = min(distances, key=distances.__getitem__, default=None)
    return best if best is not None and distances[best] <= NEAR_M else None


def score(
    world: World, incidents: dict[int, Incident], owners: dict[int, Counter[str]], looks: dict[str, set[Any]]
) -> dict[str, Any]:
    kinds = {e.entity_id: e for e in world.entities}
    counts: dict[str, Any] = {"doubles": []}
    for name, wanted in (("alerted", ALERTED), ("all", tuple(Kind))):
        owned: dict[str, list[Incident]] = {}
        nobody = 0
        for number, incident in incidents.items():
            if incident.kind not in wanted:
                continue
            if number in owners:
                owned.setdefault(owners[number].most_common(1)[0][0], []).append(incident)
            else:
                nobody += 1
        total = sum(len(v) for v in owned.values())
        counts[name] = {"incidents": total, "doubled": total - len(owned), "of_nothing": nobody}
        if name == "alerted":
            counts["doubles"] = [
                {
                    "thing": f"{kinds[e].kind} {kinds[e].posture}, {kinds[e].speed_m_s:.1f} m/s",
                    "incidents": [
                        f"{i.number}: {i.kind} {i.confidence:.2f} of {len(i.members)} tracks, {i.first_s:.0f}-{i.last_s:.0f}"
                        for i in v
                    ],
                }
                for e, v in owned.items() if len(v) > 1
            ]  # fmt: skip
    told = {entity for counter in owners.values() for entity in counter}
    first = {counter.most_common(1)[0][0] for counter in owners.values()}
    people = {e.entity_id for e in world.entities if e.kind == "person" and len(looks.get(e.entity_id, ())) >= 3}
    counts["swallowed"] = len((told - first) & people)
    counts["people"], counts["people_told"] = len(people), len(people & told)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    learned = load_yolo(DEFAULT_MODEL, for_tracking=True)
    results = []
    for seed in range(given.first, given.first + given.seeds):
        began = time.process_time()
        results.append(replay(seed, learned))
        print(json.dumps(results[-1] | {"cpu_s": round(time.process_time() - began, 1)}), flush=True)
    summary: dict[str, Any] = {"seeds": len(results), "load_average": os.getloadavg()[0]}
    for name in ("alerted", "all"):
        incidents = sum(r[name]["incidents"] for r in results)
        doubled = sum(r[name]["doubled"] for r in results)
        summary[name] = {"incidents": incidents, "doubled": doubled, "share": doubled / max(1, incidents)}
        print(f"{name}: {doubled} of {incidents} incidents are doubles ({doubled / max(1, incidents):.1%}; goal 5 %)")
    summary["swallowed"] = sum(r["swallowed"] for r in results)
    summary["mixed_up"] = sum(r["mixed_up"] for r in results)
    people = sum(r["people"] for r in results)
    print(
        f"{summary['swallowed']} of {people} people swallowed by others; told {sum(r['people_told'] for r in results)}; "
        f"{summary['mixed_up']} tracks mixed up"
    )
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(summary | {"results": results}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

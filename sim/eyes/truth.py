# SPDX-License-Identifier: AGPL-3.0-or-later
"""The truth file: what the scene holds, what each exposure showed, where the vehicles were. Only a report may read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from sim.config import ConfigError
from sim.eyes.render import Seen
from sim.eyes.world import World
from sim.pose import TruePose

_POSE_PERIOD_S = 1.0


class TruthWriter:
    """Appends JSON lines, each flushed, so that a kill costs at most the line being written."""

    def __init__(self, path: Path | None, world: World) -> None:
        self._world = world
        self._next_pose_s: dict[str, float] = {}
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = path.open("w", encoding="utf-8", buffering=1)
            except OSError as error:
                raise ConfigError(f"{path}: the truth file cannot be written ({error.strerror})") from error
        self._scene()

    def _scene(self) -> None:
        entities = [
            {
                "id": e.entity_id,
                "kind": e.kind,
                "posture": e.posture,
                "cover_fraction": e.cover_fraction,
                "size_m": round(e.size_m, 2),
                "warmth_c": round(e.warmth_c, 1),
                **self._place(e.east_m, e.north_m),
            }
            for e in self._world.entities
        ]
        self._write({"type": "scene", "entities": entities})

    def look(self, camera_id: str, vehicle_id: str, sequence: int, exposure_s: float, seen: list[Seen]) -> None:
        """One exposure that showed something. `exposure_s` is the vehicle's true time, not the camera's stamp."""
        if not seen:
            return
        entities = [
            {
                "id": s.entity.entity_id,
                **self._place(s.east_m, s.north_m),
                "width_px": round(s.width_px, 1),
                "height_px": round(s.height_px, 1),
                "visible_fraction": round(s.visible_fraction, 3),
                "contrast_c": round(s.contrast_c, 2),
            }
            for s in seen
        ]
        self._write(
            {
                "type": "look",
                "camera_id": camera_id,
                "vehicle_id": vehicle_id,
                "sequence": sequence,
                "exposure_s": round(exposure_s, 4),
                "entities": entities,
            }
        )

    def pose(self, pose: TruePose) -> None:
        """At most once a simulated second per vehicle."""
        if pose.time_s < self._next_pose_s.get(pose.vehicle_id, 0.0):
            return
        self._next_pose_s[pose.vehicle_id] = pose.time_s + _POSE_PERIOD_S
        self._write(
            {
                "type": "pose",
                "vehicle_id": pose.vehicle_id,
                "time_s": round(pose.time_s, 3),
                "latitude_deg": pose.latitude_deg,
                "longitude_deg": pose.longitude_deg,
                "amsl_m": round(pose.amsl_m, 2),
                "height_above_home_m": round(pose.height_above_home_m, 2),
                "yaw_deg": round(pose.yaw_deg, 2),
            }
        )

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _place(self, east_m: float, north_m: float) -> dict[str, float]:
        point = self._world.frame.to_geo(east_m, north_m)
        height = self._world.ground.height_at(east_m, north_m)
        return {
            "latitude_deg": point.latitude_deg,
            "longitude_deg": point.longitude_deg,
            "amsl_m": round(height, 2),
        }

    def _write(self, record: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(record, separators=(",", ":")) + "\n")

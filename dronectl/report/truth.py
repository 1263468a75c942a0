# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reads a simulator's truth file. Only the report does: nothing that flies or sees may know what is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dronectl.errors import BadInputError


@dataclass(frozen=True, slots=True)
class TrueLook:
    """A thing in one exposure, as it truly was. Times are on the camera's clock."""

    camera_id: str
    vehicle_id: str
    sequence: int
    exposure_s: float
    latitude_deg: float
    longitude_deg: float
    width_px: float
    height_px: float
    visible_fraction: float
    contrast_c: float


@dataclass(frozen=True, slots=True)
class TrueEntity:
    """A thing of the scene and every look that a camera had at it."""

    entity_id: str
    kind: str
    posture: str
    cover_fraction: float
    latitude_deg: float
    longitude_deg: float
    looks: tuple[TrueLook, ...]


@dataclass(frozen=True, slots=True)
class TruePosition:
    """Where a vehicle truly was."""

    time_s: float
    latitude_deg: float
    longitude_deg: float
    amsl_m: float


@dataclass(frozen=True, slots=True)
class Truth:
    """The whole file."""

    entities: tuple[TrueEntity, ...]
    tracks: Mapping[str, tuple[TruePosition, ...]]


@dataclass(slots=True)
class _Gathered:
    entities: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: dict[str, list[TrueLook]] = field(default_factory=dict)
    tracks: dict[str, list[TruePosition]] = field(default_factory=dict)


def read_truth(path: Path) -> Truth:
    """Read a truth file; a last line cut off by a kill is left out. Raises BadInputError."""
    gathered = _Gathered()
    try:
        text = path.read_text(encoding="utf-8", errors="replace")  # what is damaged is then named with its line
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from error
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            _take(json.loads(line), gathered)
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise BadInputError(f"{path}:{number}: is not a line of a truth file: {error}") from error
    entities = tuple(
        TrueEntity(
            entity_id=key,
            kind=str(raw["kind"]),
            posture=str(raw.get("posture") or ""),
            cover_fraction=float(raw.get("cover_fraction") or 0.0),
            latitude_deg=float(raw["latitude_deg"]),
            longitude_deg=float(raw["longitude_deg"]),
            looks=tuple(gathered.looks.get(key, ())),
        )
        for key, raw in gathered.entities.items()
    )
    return Truth(entities, {key: tuple(track) for key, track in gathered.tracks.items()})


def _take(record: dict[str, Any], gathered: _Gathered) -> None:
    if record["type"] == "scene":
        gathered.entities.update({str(e["id"]): e for e in record["entities"]})
    elif record["type"] == "look":
        for seen in record["entities"]:
            look = TrueLook(
                camera_id=str(record["camera_id"]),
                vehicle_id=str(record["vehicle_id"]),
                sequence=int(record["sequence"]),
                exposure_s=float(record["exposure_s"]),
                latitude_deg=float(seen["latitude_deg"]),
                longitude_deg=float(seen["longitude_deg"]),
                width_px=float(seen["width_px"]),
                height_px=float(seen["height_px"]),
                visible_fraction=float(seen["visible_fraction"]),
                contrast_c=float(seen["contrast_c"]),
            )
            gathered.looks.setdefault(str(seen["id"]), []).append(look)
    elif record["type"] == "pose":
        position = TruePosition(
            float(record["time_s"]),
            float(record["latitude_deg"]),
            float(record["longitude_deg"]),
            float(record["amsl_m"]),
        )
        gathered.tracks.setdefault(str(record["vehicle_id"]), []).append(position)

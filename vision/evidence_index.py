# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which picture shows what, where and when: an SQLite file beside the pictures. No cv2: the service and the CLI read it.

A picture is tagged with what it shows; how long a tag is kept is the site's word, given when sweeping. A row under
legal hold is never expired.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from missions.geo import GeoPoint, distance_m
from vision.errors import EvidenceError

FILE: Final = "index.sqlite"
_BUSY_S: Final = 5.0
_BEING_WRITTEN_S: Final = 3600.0  # a file so young may get its entry yet
_METRES_PER_DEGREE: Final = 110_000.0  # at least, north to south
SHOWN: Final = frozenset({".jpg", ".avi"})  # pictures and clips; what is half written has a name that begins with a dot
_WRITTEN: Final = frozenset({".jpg", ".avi", ".tmp"})  # what is written into an evidence folder, also half
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS pictures (
  path TEXT PRIMARY KEY, sha256 TEXT NOT NULL, role TEXT NOT NULL, tag TEXT NOT NULL, taken_at REAL NOT NULL,
  camera_id TEXT NOT NULL, vehicle_id TEXT, track_id TEXT NOT NULL, latitude_deg REAL, longitude_deg REAL, doubt_m REAL,
  pose TEXT, detector TEXT NOT NULL, hold TEXT
);
CREATE INDEX IF NOT EXISTS by_place ON pictures (latitude_deg, longitude_deg);
CREATE INDEX IF NOT EXISTS by_time ON pictures (taken_at);
"""
_COLUMNS: Final = (
    "path, sha256, role, tag, taken_at, camera_id, vehicle_id, track_id, latitude_deg, longitude_deg, doubt_m, pose, "
    "detector, hold"
)


@dataclass(frozen=True, slots=True)
class Indexed:
    """One picture or clip. `tag` is the kind of thing that it shows; taken_at_s: UTC, seconds since 1970.

    The place is the thing's, with its 95 % doubt (semi-major axis); pose is the camera's at exposure.
    """

    path: str
    sha256: str
    role: str
    tag: str
    taken_at_s: float
    camera_id: str
    vehicle_id: str | None
    track_id: str
    latitude_deg: float | None
    longitude_deg: float | None
    doubt_m: float | None
    pose: Mapping[str, float] | None
    detector: str
    hold: str | None = None


class EvidenceIndex:
    """The index of one evidence folder. Each call opens the file anew: several processes use it, none for long."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, item: Indexed) -> None:
        """Add or replace one picture. Raises EvidenceError."""
        pose = None if item.pose is None else json.dumps(dict(item.pose))
        row = (
            item.path, item.sha256, item.role, item.tag, item.taken_at_s, item.camera_id, item.vehicle_id, item.track_id,
            item.latitude_deg, item.longitude_deg, item.doubt_m, pose, item.detector, item.hold,
        )  # fmt: skip
        with self._open() as db:
            db.execute(f"INSERT OR REPLACE INTO pictures ({_COLUMNS}) VALUES ({','.join('?' * len(row))})", row)  # noqa: S608

    def find(
        self,
        at: GeoPoint | None = None,
        within_m: float = 50.0,
        since_s: float = -math.inf,
        until_s: float = math.inf,
        tags: Sequence[str] = (),
    ) -> list[Indexed]:
        """Pictures of things within a distance of a place and a time, the oldest first.

        A thing whose place is doubtful counts when its 95 % doubt reaches into the circle.
        """
        where, values = ["taken_at >= ?", "taken_at <= ?"], [max(since_s, -1e12), min(until_s, 1e12)]
        if at is not None:
            where.append("latitude_deg BETWEEN ? - doubt_m / ? AND ? + doubt_m / ?")
            reach = within_m / _METRES_PER_DEGREE
            values += [at.latitude_deg - reach, _METRES_PER_DEGREE, at.latitude_deg + reach, _METRES_PER_DEGREE]
        with self._open() as db:
            query = f"SELECT {_COLUMNS} FROM pictures WHERE {' AND '.join(where)} ORDER BY taken_at, path"  # noqa: S608
            found = [_indexed(row) for row in db.execute(query, values)]
        return [i for i in found if (not tags or i.tag in tags) and (at is None or _reaches(i, at, within_m))]

    def hold(self, path: str, reason: str | None) -> bool:
        """Put a picture under legal hold, or (None) release it; False when there is no such picture."""
        with self._open() as db:
            return db.execute("UPDATE pictures SET hold = ? WHERE path = ?", (reason, path)).rowcount > 0

    def expired(self, now_s: float, retention_days: Mapping[str, float]) -> list[Indexed]:
        """Pictures whose time is up, the oldest first. `retention_days` by tag; "default" for the others.

        Among them files without an entry, by when they were written: a process that was killed may leave some.
        """
        default = retention_days["default"]
        known = self.find()
        due = [
            item
            for item in known
            if item.hold is None and now_s - item.taken_at_s > 86400.0 * retention_days.get(item.tag, default)
        ]
        return due + self._strays({item.path for item in known}, now_s - max(_BEING_WRITTEN_S, 86400.0 * default))

    def _strays(self, known: AbstractSet[str], before_s: float) -> list[Indexed]:
        try:
            paths = list(self.folder.iterdir())
        except OSError as error:
            raise EvidenceError(f"{self.folder}: cannot be read ({error.strerror})") from error
        found = []
        for path in paths:
            try:
                written_s = path.stat().st_mtime
                if path.name in known or path.suffix not in _WRITTEN or written_s >= before_s:
                    continue
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError:
                continue  # somebody else was faster, or it is none of ours
            found.append(Indexed(path.name, digest, "", "default", written_s, "", None, "", None, None, None, None, ""))
        return sorted(found, key=lambda item: item.taken_at_s)

    def remove(self, item: Indexed) -> bool:
        """Delete a picture and its row unless it has come under hold meanwhile. Raises EvidenceError."""
        with self._open() as db:
            gone = db.execute("DELETE FROM pictures WHERE path = ? AND hold IS NULL", (item.path,)).rowcount > 0
            held = db.execute("SELECT 1 FROM pictures WHERE path = ?", (item.path,)).fetchone() is not None
            path = self.folder / item.path
            if gone or (not held and path.exists()):
                gone = True
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise EvidenceError(f"{path}: cannot be deleted ({error.strerror})") from error
        return gone

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        path = self.folder / FILE
        try:
            db = sqlite3.connect(path, timeout=_BUSY_S)
            try:
                db.executescript(_SCHEMA)
                with db:
                    yield db
            finally:
                db.close()
        except sqlite3.Error as error:
            raise EvidenceError(f"{path}: {error}") from error


def _indexed(row: tuple[Any, ...]) -> Indexed:
    pose = None if row[11] is None else json.loads(row[11])
    names = [field.name for field in fields(Indexed)]
    return Indexed(**{**dict(zip(names, row, strict=True)), "pose": pose})


def _reaches(item: Indexed, at: GeoPoint, within_m: float) -> bool:
    if item.latitude_deg is None or item.longitude_deg is None:
        return False
    return distance_m(at, GeoPoint(item.latitude_deg, item.longitude_deg)) <= within_m + (item.doubt_m or 0.0)

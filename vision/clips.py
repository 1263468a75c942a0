# SPDX-License-Identifier: AGPL-3.0-or-later
"""Clips: some seconds around the moment in which a thing was confirmed, as Motion JPEG, made in a thread of their own.

The looking thread only hands frames over. They wait in a bounded queue; what does not fit is dropped and counted.
People are blurred, and colour pictures made so small that nobody could be known, before a frame is kept anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.blur import blurred
from vision.errors import EvidenceError
from vision.evidence import About, EvidenceStore, safe_name, unknowable, view, write_whole
from vision.frame import Frame
from vision.motion_jpeg import motion_jpeg
from vision.sighting import Evidence, Sighting
from vision.unite import Observation

log = logging.getLogger(__name__)

BEFORE_S: Final = 4.0
AFTER_S: Final = 4.0
SILENT_S: Final = 60.0  # of our clock: a camera without a frame for so long adds no more to its clips
_KEPT_FRAMES: Final = 40  # per camera, whatever its rate
_MAX_FRAMES: Final = 80  # of one clip
_MAX_WIDTH_PX: Final = 640
_QUEUE: Final = 64
_JPEG_QUALITY: Final = 80
_MAX_OPEN: Final = 32
_REMEMBERED: Final = 1000  # tracks of one camera


@dataclass(slots=True)
class _Clip:
    about: About
    name: str
    camera_id: str
    until_s: float
    heard_s: float = field(default_factory=time.monotonic)  # of our clock: the camera's newest frame
    frames: list[tuple[float, NDArray[np.uint8]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    camera_id: str
    frame: Frame
    people: tuple[Observation, ...]
    gsd_m: float | None


@dataclass(frozen=True, slots=True)
class _Close:
    """Finish all clips, and end."""


class ClipWriter:
    """Makes clips for all cameras of a process. `finished` gives (track id, clip) for what has been written.

    dropped: frames and beginnings of clips for which there was no time, or that could not be encoded.
    """

    def __init__(self, store: EvidenceStore) -> None:
        self._store = store
        self._queue: queue.Queue[_Frame | _Clip | _Close] = queue.Queue(_QUEUE)
        self._done: dict[str, deque[tuple[str, Evidence]]] = {}
        self._recent: dict[str, deque[tuple[float, NDArray[np.uint8]]]] = {}
        self._open: list[_Clip] = []
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)
        self._thread.start()

    def offer(self, camera_id: str, frame: Frame, seen: Sequence[Observation], gsd_m: float | None) -> None:
        """Hand over a frame with everything that was seen in it; never waits."""
        self._put(_Frame(camera_id, frame, tuple(seen), gsd_m))

    def start(self, camera_id: str, name: str, about: About, exposure_s: float) -> None:
        """Begin the clip of a track around a moment of its camera's clock; never waits."""
        self._put(_Clip(about, name, camera_id, exposure_s + AFTER_S))

    def finished(self, camera_id: str) -> list[tuple[str, Evidence]]:
        """Clips of a camera that have been written since the last call."""
        done = self._done.get(camera_id)
        found = []
        while done:
            found.append(done.popleft())
        return found

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is open and end the thread."""
        with contextlib.suppress(queue.Full):
            self._queue.put(_Close(), timeout=timeout_s)
        self._thread.join(timeout_s)

    def _put(self, item: _Frame | _Clip) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1
            if isinstance(item, _Clip):
                self._store.lost += 1

    def _run(self) -> None:
        failing = False
        while True:
            try:
                for clip in [c for c in self._open if time.monotonic() - c.heard_s > SILENT_S]:
                    self._write(clip)
                item = self._queue.get(timeout=SILENT_S if self._open else None)
                if isinstance(item, _Close):
                    break
                self._begin(item) if isinstance(item, _Clip) else self._frame(item)
            except queue.Empty:
                continue
            except Exception as error:  # noqa: BLE001  # one frame that cannot be encoded must not end all clips
                self.dropped += 1
                if not failing:
                    log.error("frames are missing in clips: %s", error)  # noqa: TRY400  # the message holds the cause
                failing = True
        for clip in list(self._open):
            self._write(clip)

    def _begin(self, clip: _Clip) -> None:
        if len(self._open) >= _MAX_OPEN:
            self._store.lost += 1
            return
        recent = self._recent.get(clip.camera_id, ())
        clip.frames = [f for f in recent if f[0] >= clip.until_s - AFTER_S - BEFORE_S]
        self._open.append(clip)

    def _frame(self, item: _Frame) -> None:
        kept = self._recent.setdefault(item.camera_id, deque(maxlen=_KEPT_FRAMES))
        at = item.frame.exposure_s
        if kept and at < kept[-1][0]:
            kept.clear()  # a camera that started anew
        encoded = _encoded(item)
        kept.append((at, encoded))
        while kept[0][0] < at - BEFORE_S - AFTER_S:
            kept.popleft()
        for clip in [c for c in self._open if c.camera_id == item.camera_id]:
            clip.heard_s = time.monotonic()
            if at <= clip.until_s and len(clip.frames) < _MAX_FRAMES:
                clip.frames.append((at, encoded))
            if at >= clip.until_s or len(clip.frames) >= _MAX_FRAMES or at < clip.until_s - 60.0:
                self._write(clip)

    def _write(self, clip: _Clip) -> None:
        self._open.remove(clip)
        if not clip.frames:
            return
        evidence = self._store.keep(
            lambda: write_clip(self._store.folder, f"{safe_name(clip.name)}-clip.avi", clip.frames), clip.about
        )
        if evidence is not None:
            self._done.setdefault(clip.camera_id, deque(maxlen=_MAX_OPEN)).append((clip.about.track_id, evidence))


def _encoded(item: _Frame) -> NDArray[np.uint8]:
    picture = view(blurred(item.frame, item.people))
    if item.frame.may_show_who:
        picture = unknowable(picture, item.gsd_m)
    if picture.shape[1] > _MAX_WIDTH_PX:
        height = round(picture.shape[0] * _MAX_WIDTH_PX / picture.shape[1])
        picture = np.asarray(cv2.resize(picture, (_MAX_WIDTH_PX, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    ok, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not ok:
        raise EvidenceError(f"a frame of {item.camera_id} cannot be encoded as JPEG")
    return np.asarray(encoded, dtype=np.uint8)


def write_clip(folder: Path, name: str, frames: Sequence[tuple[float, Any]]) -> Evidence:
    """Write encoded frames (seconds, JPEG) as Motion JPEG under a final name when complete. Raises EvidenceError."""
    first = np.asarray(cv2.imdecode(frames[0][1], cv2.IMREAD_COLOR))
    width, height = first.shape[1] // 2 * 2, first.shape[0] // 2 * 2
    seconds = frames[-1][0] - frames[0][0]
    rate = min(30.0, max(0.5, (len(frames) - 1) / seconds)) if seconds > 0 else 1.0
    pictures = [_in_size(data, width, height) for _, data in frames]
    data = write_whole(folder, name, motion_jpeg(pictures, width, height, rate))
    return Evidence(name, hashlib.sha256(data).hexdigest(), width, height, "clip")


def _in_size(encoded: NDArray[np.uint8], width: int, height: int) -> bytes:
    """The picture as it is; anew only if it is of another size, as after a camera's was changed, or of an odd one."""
    picture = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    if picture.shape[:2] == (height, width):
        return encoded.tobytes()
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    ok, again = cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not ok:
        raise EvidenceError("a frame cannot be encoded as JPEG in the clip's size")
    return again.tobytes()


class Film:
    """One camera's clips, as its eye uses them: each track is filmed once, when it is confirmed."""

    def __init__(self, writer: ClipWriter, camera_id: str) -> None:
        self._writer, self._camera_id = writer, camera_id
        self._filmed: dict[str, None] = {}
        self._clips: dict[str, Evidence] = {}
        self._ended: dict[str, Sighting] = {}

    def take(self, frame: Frame, seen: Sequence[Observation], gsd_m: float | None) -> None:
        """Hand over a frame that was looked at."""
        self._writer.offer(self._camera_id, frame, seen, gsd_m)

    def begin(self, name: str, about: About, exposure_s: float) -> None:
        """A track is worth a clip; the second time nothing happens."""
        if about.track_id not in self._filmed:
            self._filmed[about.track_id] = None
            _bound(self._filmed)
            self._writer.start(self._camera_id, name, about, exposure_s)

    def of(self, track_id: str) -> tuple[Evidence, ...]:
        """The clip of a track, once it is written."""
        clip = self._clips.get(track_id)
        return () if clip is None else (clip,)

    def ended(self, last: Sighting) -> None:
        """The last word of a track: what is written of it later is told after it."""
        if self._clips.pop(last.track_id, None) is None and last.track_id in self._filmed:
            self._ended[last.track_id] = last
            _bound(self._ended)

    def late(self) -> tuple[Sighting, ...]:
        """What is to be told of tracks that ended before their clips were written."""
        told = []
        for track_id, clip in self._writer.finished(self._camera_id):
            last = self._ended.pop(track_id, None)
            if last is None:
                self._clips[track_id] = clip
                _bound(self._clips)
            else:
                told.append(replace(last, sequence=last.sequence + 1, evidence=(*last.evidence, clip)))
        return tuple(told)


def _bound(memory: dict[str, Any]) -> None:
    """Forget the oldest of many."""
    while len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]

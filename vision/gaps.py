# SPDX-License-Identifier: AGPL-3.0-or-later
"""From when to when which camera did not look: what coverage must not count. Pure; no third-party imports.

A camera attends while its frames are looked at, or are passed over for a reason of the flight (its vehicle stands at the
dock). `Attention` follows that where the looking happens; `CoverageBook` makes gaps of it where the reports arrive, also
over the death of the process that looked. All times are on CLOCK_MONOTONIC, which processes of one machine share.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from vision.pipeline_types import CameraReport

TOLERANCE_S: Final = 5.0  # shorter pauses are no gaps, unless the process itself was away
_KEPT: Final = 200  # closed gaps of each camera; the oldest go, and stay in the sum


def tolerance_s(every_s: float | None, rate_hz: float = 1.0) -> float:
    """What pause is none yet for a camera that is visited every so many seconds; None: that sends at its own rate."""
    return max(TOLERANCE_S, 1.5 / rate_hz if every_s is None else 2.5 * every_s)


@dataclass(frozen=True, slots=True)
class CoverageGap:
    """A time in which one camera looked at nothing. to_monotonic_s is None while it lasts."""

    camera_id: str
    from_monotonic_s: float
    to_monotonic_s: float | None
    reason: str


class Attention:
    """The last run of looks that no pause over the tolerance broke."""

    def __init__(self, tolerance_s: float = TOLERANCE_S) -> None:
        self._tolerance_s = tolerance_s
        self.since_s: float | None = None
        self.last_s: float | None = None

    def attend(self, now_s: float) -> None:
        """A frame has been dealt with."""
        if self.last_s is None or now_s - self.last_s > self._tolerance_s:
            self.since_s = now_s
        self.last_s = now_s


@dataclass(slots=True)
class _Camera:
    attended_s: float
    tolerance_s: float
    closed: deque[CoverageGap]
    open: CoverageGap | None = None
    closed_s: float = 0.0


class CoverageBook:
    """Gaps of all cameras of a site."""

    def __init__(self, tolerances_s: Mapping[str, float], now_s: float) -> None:
        """tolerances_s: by camera, what pause is none yet. Until its first look a camera has a gap from now on."""
        self._cameras = {c: _Camera(now_s, t, deque(maxlen=_KEPT)) for c, t in tolerances_s.items()}
        self._heard_s = now_s
        self.away("its first look is still to come")

    def report(self, reports: Iterable[CameraReport], now_s: float) -> None:
        """Take what the looking process says of its cameras."""
        self._heard_s = now_s
        for report in reports:
            camera = self._cameras.get(report.camera_id)
            if camera is None:
                continue
            since, last = report.attends_since_monotonic_s, report.attended_monotonic_s
            if since is not None and last is not None and last > camera.attended_s:
                if camera.open is not None:
                    self._close(camera, max(since, camera.open.from_monotonic_s))
                elif since - camera.attended_s > camera.tolerance_s:
                    camera.open = CoverageGap(report.camera_id, camera.attended_s, None, report.why_not or "no frames")
                    self._close(camera, since)
                camera.attended_s = last
            if now_s - camera.attended_s > camera.tolerance_s:
                self._open(report.camera_id, camera, report.why_not or "no frames")

    def wait(self, now_s: float) -> None:
        """Time passes: cameras of a process that has said nothing for long are not taken for looked at meanwhile."""
        if now_s - self._heard_s <= TOLERANCE_S:
            return
        for camera_id, camera in self._cameras.items():
            if now_s - camera.attended_s > camera.tolerance_s:
                self._open(camera_id, camera, "the vision worker says nothing")

    def away(self, reason: str) -> None:
        """The process that looks is gone: every camera is blind since its last look that was reported."""
        for camera_id, camera in self._cameras.items():
            self._open(camera_id, camera, reason)

    def gaps(self, camera_id: str | None = None) -> tuple[CoverageGap, ...]:
        """Of one camera or of all, oldest first; open ones too."""
        cameras = self._cameras.values() if camera_id is None else [self._cameras[camera_id]]
        found = [gap for c in cameras for gap in (*c.closed, *([c.open] if c.open is not None else []))]
        return tuple(sorted(found, key=lambda gap: (gap.from_monotonic_s, gap.camera_id)))

    def blind(self) -> tuple[CoverageGap, ...]:
        """Gaps that last."""
        return tuple(gap for gap in self.gaps() if gap.to_monotonic_s is None)

    def blind_s(self, now_s: float) -> dict[str, float]:
        """Seconds of every camera's gaps so far, open ones up to now."""
        return {
            name: c.closed_s + (0.0 if c.open is None else max(0.0, now_s - c.open.from_monotonic_s))
            for name, c in self._cameras.items()
        }

    def looked(self, camera_id: str, from_s: float, to_s: float) -> list[tuple[float, float]]:
        """The parts of a time in which this camera looked: the time without its gaps."""
        parts, at = [], from_s
        for gap in self.gaps(camera_id):
            ends = to_s if gap.to_monotonic_s is None else gap.to_monotonic_s
            if ends <= at or gap.from_monotonic_s >= to_s:
                continue
            if gap.from_monotonic_s > at:
                parts.append((at, gap.from_monotonic_s))
            at = max(at, ends)
        if at < to_s:
            parts.append((at, to_s))
        return parts

    @staticmethod
    def _open(camera_id: str, camera: _Camera, reason: str) -> None:
        if camera.open is None:
            camera.open = CoverageGap(camera_id, camera.attended_s, None, reason)

    @staticmethod
    def _close(camera: _Camera, at_s: float) -> None:
        if camera.open is None:
            return
        if at_s > camera.open.from_monotonic_s:  # else it was the news that came late, and none of the looks
            camera.closed.append(replace(camera.open, to_monotonic_s=at_s))
            camera.closed_s += at_s - camera.open.from_monotonic_s
        camera.open = None

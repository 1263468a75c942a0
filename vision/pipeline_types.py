# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the pipeline reports of itself. No third-party imports: the service reads it too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CameraReport:
    """What one camera's part of the pipeline has done since it started.

    Latencies are over the last frames, None before the first. They begin at the camera's own statement of when it
    exposed, which means something only on one machine's clock.
    """

    camera_id: str
    connected: bool
    last_error: str | None
    received: int
    looked_at: int
    dropped: int
    no_pose: int
    not_looked_at: dict[str, int]
    bad_streams: int
    stalls: int
    dropped_tracks: int
    sightings: int
    evidence_lost: int
    latency_p50_s: float | None
    latency_p95_s: float | None
    stage_p50_s: dict[str, float]
    # Since when its frames are dealt with without a pause, and when last (CLOCK_MONOTONIC); None before the first.
    attends_since_monotonic_s: float | None = None
    attended_monotonic_s: float | None = None
    why_not: str | None = None  # why no frame was dealt with lately
    # Of a camera whose pictures are looked at in tiles: the mean share of the last pictures that was left out, and
    # within how many frames every part of the picture is looked at.
    unseen_fraction: float | None = None
    sweep_frames: int | None = None
    in_degrees: bool = False  # whether its newest look measured heat: else nothing hot can be said to be gone
    clip_frames_dropped: int = 0  # of all cameras of the process, as evidence_lost

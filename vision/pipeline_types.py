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

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sightings as the rules want them: metres in the site's frame, doubt split into what looks share and what they do not."""

from __future__ import annotations

import math

from missions.geo import GeoPoint, LocalFrame
from vision.events.model import TrackState
from vision.sighting import Phase, Sighting


def state_of(
    sighting: Sighting, thing_id: str, at_s: float, frame: LocalFrame, depression_deg: float | None = None
) -> TrackState | None:
    """One state of the thing that a sighting shows; None without a place, or when the sighting only ends its track.

    thing_id: the incident's number rather than the camera's track, so that one thing seen by two cameras stays one.
    at_s: the sighting's time on the clock that all states share (the merger's). The ellipses become circles of the same
    mean square, which is what areas and distances of metres need.
    """
    place = sighting.place
    if place is None or sighting.phase is Phase.END:
        return None
    east, north = frame.to_enu(GeoPoint(place.latitude_deg, place.longitude_deg))
    common = max(0.0, (place.common_cov_ee_m2 + place.common_cov_nn_m2) / 2)
    whole = max(common, (place.cov_ee_m2 + place.cov_nn_m2) / 2)
    return TrackState(
        track_id=thing_id,
        kind=sighting.kind,
        time_s=at_s,
        east_m=east,
        north_m=north,
        sigma_m=math.sqrt(whole - common),
        common_sigma_m=math.sqrt(common),
        confidence=sighting.confidence,
        long_m=sighting.size_m,
        depression_deg=depression_deg,
        temperature_max_c=sighting.temperature_max_c,
        again_s=sighting.again_s,
    )

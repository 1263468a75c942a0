# SPDX-License-Identifier: AGPL-3.0-or-later
"""Areas for the tests of coverage."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import strategies as st
from shapely import affinity
from shapely.geometry import LineString, Polygon


def star(seed, *, corners=9, size=60.0, holes=0, hole_m=6.0):
    """A polygon around the origin whose corners lie at random distances, with holes well inside."""
    rng = np.random.default_rng(seed)
    angles = (np.arange(corners) + rng.uniform(0.0, 0.8, corners)) * 2 * np.pi / corners
    reach = size * rng.uniform(0.55, 1.0, corners)
    outer = Polygon(np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1))
    inner = []
    while len(inner) < holes:
        centre = rng.uniform(-size, size, 2)
        turns = np.sort(rng.uniform(0, 2 * np.pi, 7))
        hole = Polygon(
            centre + hole_m * rng.uniform(0.5, 1.0, (7, 1)) * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        )
        roomy = hole.buffer(2.0)
        if hole.is_valid and hole.area > 1.0 and outer.contains(roomy) and not any(roomy.intersects(h) for h in inner):
            inner.append(hole)
    return outer.difference(shapely.union_all(inner)) if inner else outer


def rings_of(area):
    """Rings as the judge takes them."""
    found = []
    for part in shapely.get_parts(area):
        found += [np.asarray(ring.coords)[:-1] for ring in (part.exterior, *part.interiors)]
    return found


areas = st.builds(
    star,
    st.integers(0, 10_000),
    corners=st.integers(4, 12),
    size=st.sampled_from([12.0, 30.0]),
    holes=st.just(0),
)


def others(seed):
    """(name, area) of shapes that are no stars: spikes, bent corridors, slivers, three wings. All for a width of 3."""
    rng = np.random.default_rng(seed)
    spikes = int(rng.integers(5, 9))
    reach = np.tile([50.0, 50.0 * rng.uniform(0.3, 0.6)], spikes)
    turns = np.arange(2 * spikes) * np.pi / spikes
    yield "spikes", Polygon(np.stack([reach * np.cos(turns), reach * np.sin(turns)], axis=1))
    bends = np.cumsum(rng.uniform(-40.0, 60.0, (int(rng.integers(3, 7)), 2)), axis=0)
    yield "corridor", LineString(bends).buffer(rng.uniform(4.0, 10.0), cap_style="flat", join_style="mitre")
    sliver = shapely.box(0.0, 0.0, rng.uniform(60.0, 150.0), rng.uniform(2.0, 12.0))
    yield "sliver", affinity.rotate(sliver, rng.uniform(0.0, 180.0))
    wings = shapely.union_all([shapely.box(0, 0, 60, 18), shapely.box(0, 0, 15, 50), shapely.box(45, 0, 60, 40)])
    wings = affinity.scale(wings, rng.uniform(0.6, 1.4), rng.uniform(0.6, 1.4))
    yield "wings", affinity.rotate(wings, rng.uniform(0.0, 180.0))

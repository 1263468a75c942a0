# SPDX-License-Identifier: AGPL-3.0-or-later
"""Footprints of discs moved along lines, as polygons and as distances."""

from __future__ import annotations

import math

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon

from missions.geo import FloatArray

ARC = 16  # segments per quarter circle of footprints
OUTER = 1.0 / math.cos(math.pi / (4.0 * ARC))  # makes the polygon of a circle go around it
CAREFUL = 1.0 - 1.25e-3  # of the radius: with it even that polygon stays within the true disc

Shapes = NDArray[np.object_]


def discs_along(points: FloatArray, radius: float) -> Shapes:
    """Return a disc moved along each leg. A buffer of a whole bent line may claim a hundredth too much inside a bend."""
    legs = shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1))
    return np.asarray(shapely.buffer(legs, radius * OUTER, quad_segs=ARC))


def path_length(points: FloatArray) -> float:
    return float(np.hypot(*np.diff(points, axis=0).T).sum())


def edge_samples(holes: list[Polygon], step: float) -> FloatArray:
    """Points along the edges of polygons, corners included, (n, 2)."""
    if not holes:
        return np.zeros((0, 2))
    out: FloatArray = shapely.get_coordinates(shapely.segmentize(np.asarray(holes), step))
    return out


def squared_away(samples: FloatArray, starts: FloatArray, ends: FloatArray) -> FloatArray:
    """Squared distances of samples (n, 2) to m segments (starts and ends (m, 2), or one for all): (m, n)."""
    along = ends - starts
    along_x, along_y = along[:, :1], along[:, 1:]
    off_x, off_y = samples[:, 0] - starts[:, :1], samples[:, 1] - starts[:, 1:]
    size = np.maximum(along_x * along_x + along_y * along_y, 1e-30)
    t = (off_x * along_x + off_y * along_y) / size
    np.minimum(np.maximum(t, 0.0, out=t), 1.0, out=t)
    off_x -= t * along_x
    off_y -= t * along_y
    off_x *= off_x
    off_y *= off_y
    off_x += off_y
    return off_x

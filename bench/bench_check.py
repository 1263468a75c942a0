# SPDX-License-Identifier: AGPL-3.0-or-later
"""What checking a long plan costs: 1,000 items, a fence of 500 corners, five keep-outs, a terrain grid of 30 m.

Two plans are checked: swaths that fly around the keep-outs (few findings), and random zigzags across everything (a
finding on nearly every leg). CPU time of `check_plan` alone is printed, best of three, beside the load average and a
calibration loop; the goal is 0.5 s.
"""

import argparse
import math
import os
import random
import time

import numpy as np

from missions.feasibility import check_plan
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.model import Authority, Category, FlightPlan, Geofence, Mission, VehicleLimits, Waypoint
from missions.terrain import GridTerrain

FRAME = LocalFrame(GeoPoint(29.74, 107.27))
GOAL_S = 0.5


def calibration_s():
    """A fixed loop of plain Python; about 0.05 s on a free core of 2024."""
    start = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    return time.process_time() - start


def ring(east, north, radius, corners, ripple=0.0):
    angles = (2 * math.pi * i / corners for i in range(corners))
    reach = ((a, radius * (1 + ripple * math.sin(9 * a))) for a in angles)
    return tuple(FRAME.to_geo(east + r * math.cos(a), north + r * math.sin(a)) for a, r in reach)


HOLES = ((500.0, 0.0), (-600.0, 300.0), (0.0, 700.0), (-200.0, -700.0), (600.0, 800.0))


def fence(corners):
    return Geofence(
        (ring(0.0, 0.0, 1600.0, corners, 0.08),),
        tuple(ring(e, n, 120.0, 24) for e, n in HOLES),
        Altitude(150.0, Datum.HOME),
    )


def hills():
    axis = np.arange(-2400.0, 2401.0, 30.0)
    x, y = np.meshgrid(axis, axis)
    heights = 200 + 15 * np.sin(x / 400) * np.cos(y / 500)
    elsewhere = LocalFrame(FRAME.to_geo(150.0, -80.0))  # a terrain has a frame of its own
    return GridTerrain(elsewhere, -2400.0, -2400.0, 30.0, heights.astype(np.float32), "synthetic hills", 3.0)


def plan_of(places, corners):
    waypoints = tuple(Waypoint(FRAME.to_geo(*p), Altitude(75.0, Datum.HOME)) for p in places)
    mission = Mission("bench", "figures", Authority("bench", "none"), Category.TRAINING)
    return FlightPlan("d1", mission, FRAME.origin, 200.0, 75.0, waypoints, fence(corners), 75.0, 8.0)


def swaths(count):
    """Parallel passes, bent around the keep-outs."""
    places, rows = [], 40
    for row in range(rows):
        north = -1000.0 + 2000.0 * row / (rows - 1)
        easts = [-1000.0 + 2000.0 * i / (count // rows - 1) for i in range(count // rows)]
        for east in easts if row % 2 == 0 else reversed(easts):
            gaps = [(east - e, north - n) for e, n in HOLES]
            away, hole = min((math.hypot(*g), h) for g, h in zip(gaps, HOLES, strict=True))
            if away < 220.0:
                bearing = math.atan2(north - hole[1], east - hole[0])
                places.append((hole[0] + 220.0 * math.cos(bearing), hole[1] + 220.0 * math.sin(bearing)))
            else:
                places.append((east, north))
    return places


def zigzags(count):
    rng = random.Random(1)
    return [(rng.uniform(-1600, 1600), rng.uniform(-1600, 1600)) for _ in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--corners", type=int, default=500)
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, calibration {calibration_s():.3f} s, goal {GOAL_S} s CPU")
    terrain, limits = hills(), VehicleLimits()
    for name, places in (("swaths", swaths(options.items)), ("zigzags", zigzags(options.items))):
        plan = plan_of(places, options.corners)
        spent = []
        for _ in range(3):
            start = time.process_time()
            findings = check_plan(plan, limits, terrain)
            spent.append(time.process_time() - start)
        print(
            f"{name}: {len(plan.waypoints)} items, {options.corners} corners, {len(HOLES)} holes: "
            f"{len(findings)} findings, {min(spent):.3f} s CPU ({min(spent) / GOAL_S:.2f} of the goal)"
        )


if __name__ == "__main__":
    main()

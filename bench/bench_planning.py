# SPDX-License-Identifier: AGPL-3.0-or-later
"""What planning costs and how good it is: the demonstration patrol, random patrols, checks of long plans.

Quality is the longest flight over its lower bound, so it does not depend on the machine; times do, so the load average
and a calibration loop are printed beside them. CPU time is what is given: this process computes and waits for nothing.
"""

import argparse
import math
import os
import random
import time
from dataclasses import replace

from dronectl.operations.planning import plan_site_patrol
from dronectl.paths import default_site_file
from dronectl.site import load_site
from missions.bounds import longest_flight_bound_s
from missions.feasibility import check_plan
from missions.model import Budget
from missions.routing.minmax import Item, Task, split


def calibration_s():
    """A fixed loop of plain Python; about 0.05 s on a free core of 2024."""
    start = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    return time.process_time() - start


def random_task(points, vehicles, seed):
    rng = random.Random(seed)
    places = [(0.0, 0.0)] * vehicles + [(rng.uniform(-1500, 1500), rng.uniform(-1500, 1500)) for _ in range(points)]
    times = tuple(tuple(math.dist(a, b) / 9.0 for b in places) for a in places)
    items = tuple(Item(vehicles + i, vehicles + i, 6.0) for i in range(points))
    return Task(times, items, tuple(range(vehicles)), (80.0,) * vehicles)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=5000)
    options = parser.parse_args()
    print(
        f"load average {os.getloadavg()[0]:.1f}, calibration {calibration_s():.3f} s, iterations {options.iterations}"
    )
    site = load_site(default_site_file())
    start = time.process_time()
    found = plan_site_patrol(site, Budget(options.iterations))
    print(
        f"demonstration patrol: {len(found.plans)} drones, longest {found.longest_s:.0f} s, ratio {found.ratio:.3f}, "
        f"{time.process_time() - start:.2f} s CPU"
    )
    for points, vehicles in ((20, 3), (50, 5), (200, 10)):
        task = random_task(points, vehicles, seed=1)
        start = time.process_time()
        routes = split(task, Budget(options.iterations))
        print(
            f"{points} points, {vehicles} drones: ratio {routes.longest_s / longest_flight_bound_s(task):.3f}, "
            f"{time.process_time() - start:.2f} s CPU"
        )
    for times in (1, 40):
        plan = replace(found.plans[0], waypoints=found.plans[0].waypoints * times)
        start = time.process_time()
        findings = check_plan(plan, site.limits, site.terrain)
        print(
            f"check of {len(plan.waypoints)} waypoints: {len(findings)} findings, "
            f"{time.process_time() - start:.3f} s CPU"
        )


if __name__ == "__main__":
    main()

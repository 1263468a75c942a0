# SPDX-License-Identifier: AGPL-3.0-or-later
"""How often patrols come by: worst idleness on patrol graphs against its bound, one tour and published partitions.

Graphs are those of $DRONECTL_DATA (planning/patrol_graphs) and generated ones. Every figure is a ratio and is measured by
the judge's simulation, so it does not depend on the machine; CPU seconds are printed beside a calibration loop.
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np

from missions.judge_patrol import simulate_idleness
from missions.model import Budget
from missions.revisit.graph import parse_graph
from missions.revisit.model import RevisitTask
from missions.revisit.plan import plan_revisit


def calibration_s():
    """A fixed loop of plain Python; about 0.05 s on a free core of 2024."""
    start = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    return time.process_time() - start


def worst_of(circuits, time_s):
    n = len(time_s)
    return max(simulate_idleness(circuits, time_s.tolist(), [0.0] * n, n).worst_s)


def published(folder, name, drones, length_m):
    """Worst idleness of the published partition routes, or None where there are none."""
    files = [folder / "MSP" / name / f"{name}_{drones}_{i}" for i in range(drones)]
    if not all(file.is_file() for file in files):
        return None
    routes = [[int(word) for word in file.read_text(encoding="utf-8").split()[1:]] for file in files]
    return worst_of([(route[:-1] if route[0] == route[-1] else route, 1) for route in routes], length_m)


def generated(seed):
    """Sixty places in a plane, even ones or in four clusters, with straight ways between them."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.0, 2000.0, (60, 2))
    if seed % 2:
        places = np.repeat(rng.uniform(0.0, 4000.0, (4, 2)), 15, axis=0) + rng.normal(0.0, 150.0, (60, 2))
    return np.hypot(*(places[:, None] - places[None, :]).transpose(2, 0, 1))


def instances():
    if "DRONECTL_DATA" in os.environ:
        folder = Path(os.environ["DRONECTL_DATA"]) / "planning" / "patrol_graphs"
        for file in sorted(folder.glob("*/*.graph")):
            yield file.stem, parse_graph(file.read_text(encoding="utf-8"), file.name).length_m, folder
    else:
        print("the published graphs are left out: set DRONECTL_DATA")
    for seed in (2, 3):
        yield ("even" if seed % 2 == 0 else "clusters"), generated(seed), None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=4000)
    parser.add_argument("--drones", type=int, default=10, help="from 1 to this many")
    options = parser.parse_args()
    print(
        f"load average {os.getloadavg()[0]:.1f}, calibration {calibration_s():.3f} s, iterations {options.iterations}"
    )
    missed = 0
    for name, length_m, folder in instances():
        n = len(length_m)
        for drones in range(1, options.drones + 1):
            start = time.process_time()
            task = RevisitTask(length_m, np.zeros(n), np.ones(n), drones)
            plan = plan_revisit(task, Budget(options.iterations))
            spent = time.process_time() - start
            worst = worst_of([(c.stops, c.drones) for c in plan.circuits], length_m)
            tried = dict(plan.tried)
            best_other = min(tried.get("tour", math.inf), tried.get("partition", math.inf))
            theirs = None if folder is None else published(folder, name, drones, length_m)
            missed += worst > min(best_other, theirs or math.inf) * (1 + 1e-9)
            beside = "" if theirs is None else f", published partition {theirs / worst:.2f} x"
            print(
                f"{name} {n} places, {drones} drones: {plan.strategy}, {worst / plan.bound:.2f} x bound, tour / k "
                f"{tried['tour'] / worst:.2f} x, partition {tried.get('partition', tried['tour']) / worst:.2f} x"
                f"{beside}; {spent:.1f} s CPU"
            )
    print(f"worse than min(tour / k, best partition): {missed} of all")


if __name__ == "__main__":
    main()

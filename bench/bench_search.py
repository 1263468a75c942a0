# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much searches find of what could be found: the portfolio on real maps of lost persons, and replanning.

Maps: SAREnv's, in `$DRONECTL_DATA`/planning/sarenv; 5 drones, total ways of 30 and 100 km for all of them, a sensor
that finds everything within 33.1 m, a window of 1.8 km around the last known position (the middle of the map). Every
figure is the independent judge's probability of success over the judge's own bound. "Pizza" is the published baseline,
with the same sensor and the same ways. Times are CPU of this process, which computes and waits for nothing.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

from missions.geo import GeoPoint, LocalFrame
from missions.judge_search import judge_disc_bound, judge_pos
from missions.model import Budget
from missions.search.belief import belief_in, disc_sensor
from missions.search.improve import Allowance, Raster
from missions.search.portfolio import SearchTask, candidates
from missions.search.probability import from_array
from missions.search.tracks import length_m

DRONES, RADIUS_M, WINDOW_M, CELL_M = 5, 33.1, 1800.0, 30.0
FREE_GOAL = {30: 0.91, 100: 0.94}
PIZZA_GOAL = {30: 1.15, 100: 1.05}


def window(file):
    """(cells of the window, its mass on a planner's raster)."""
    p = np.load(file)["p"].astype(np.float64)
    p /= p.sum()
    row, column, half = p.shape[0] // 2, p.shape[1] // 2, round(WINDOW_M / CELL_M)
    cells = p[row - half : row + half, column - half : column + half]
    chart = from_array(cells, LocalFrame(GeoPoint(0.0, 0.0)), CELL_M, source=file.name)
    return cells, belief_in(chart, (-WINDOW_M, -WINDOW_M, WINDOW_M, WINDOW_M), RADIUS_M)


def search(file, kilometres, start, budget):
    """One task: prints the portfolio; returns (best over bound, best over Pizza)."""
    cells, belief = window(file)
    raster = Raster(belief.west_m, belief.south_m, belief.cell_m, belief.mass, np.zeros(belief.mass.shape, dtype=bool))
    allowances = tuple(Allowance(kilometres * 1000.0 / DRONES, start) for _ in range(DRONES))
    begun = time.process_time()
    found = candidates(SearchTask(raster, disc_sensor(RADIUS_M), allowances), budget)
    cpu = time.process_time() - begun
    bound = judge_disc_bound(cells, CELL_M, RADIUS_M, kilometres * 1000.0, DRONES)
    judged = {
        c.name: judge_pos(cells, -WINDOW_M, -WINDOW_M, CELL_M, c.tracks, RADIUS_M, disc=True) / bound for c in found
    }
    where = "free start" if start is None else "from a dock in the middle"
    print(f"{file.stem}, {kilometres} km, {where}: {cpu:.1f} s CPU; of the bound:")
    for candidate in found:
        longest = max(length_m(t) for t in candidate.tracks)
        print(f"    {candidate.name:28} {judged[candidate.name]:.3f}   longest {longest / 1000:.2f} km", flush=True)
    assert all(length_m(t) <= kilometres * 1000.0 / DRONES + 1e-6 for c in found for t in c.tracks)
    best = judged[found[0].name]
    return best, best / judged["Pizza"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=3_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--map", action="append", help="heatmap_1, heatmap_2; all without it")
    parser.add_argument("--km", action="append", type=int, choices=[30, 100], help="30, 100; both without it")
    parser.add_argument("--start", choices=["free", "dock"], action="append", help="both without it")
    options = parser.parse_args()
    data = os.environ.get("DRONECTL_DATA")
    if not data:
        sys.exit("set DRONECTL_DATA: the maps of SAREnv are needed")
    files = sorted((Path(data) / "planning" / "sarenv").glob("*.npz"))
    files = [f for f in files if options.map is None or f.stem in options.map]
    print(f"load average {os.getloadavg()[0]:.1f}, iterations {options.iterations}, seed {options.seed}")
    begun = time.process_time()
    search_warm(files[0])
    print(f"first call, with compilation: {time.process_time() - begun:.1f} s CPU")
    missed = []
    for kilometres in options.km or (30, 100):
        for start in options.start or ("free", "dock"):
            results = []
            for file in files:
                place = None if start == "free" else (0.0, 0.0)
                results.append(search(file, kilometres, place, Budget(options.iterations, options.seed)))
            value = min(r[0] if start == "free" else r[1] for r in results)
            goal = (FREE_GOAL if start == "free" else PIZZA_GOAL)[kilometres]
            what = "of the bound" if start == "free" else "x Pizza"
            print(f"== {kilometres} km, {start}: worst map {value:.3f} {what}, goal {goal}")
            if value < goal:
                missed.append(f"{kilometres} km {start}")
    print(f"missed: {', '.join(missed)}" if missed else "all goals reached")


def search_warm(file):
    _, belief = window(file)
    raster = Raster(belief.west_m, belief.south_m, belief.cell_m, belief.mass, np.zeros(belief.mass.shape, dtype=bool))
    candidates(SearchTask(raster, disc_sensor(RADIUS_M), (Allowance(2000.0), Allowance(2000.0))), Budget(100))


if __name__ == "__main__":
    main()

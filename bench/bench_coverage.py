# SPDX-License-Identifier: AGPL-3.0-or-later
"""How short and how complete coverage paths are: path length over A / w, judged by raster, and CPU time.

Areas: those of $DRONECTL_DATA/planning/polygons (tool radius 1, so w = 2) when it is set, and generated ones, some
with 15 forbidden holes. `--others N` adds N seeds of every family of tests/unit/covering/coverage_families.py, a seed
of each in turn, and ends after `--limit-s` with what it has. `--peer PYTHON` runs opencoverage on the areas without holes. Ratios do not depend on the machine; times do, so load and a calibration loop are printed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry import Polygon

from missions.coverage.sweep import sweep_area
from missions.judge_coverage import judge_coverage
from missions.model import Budget

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "unit" / "covering"))
from coverage_families import FAMILIES, FORBIDDEN, WIDTH_M
from coverage_shapes import rings_of, star

GOALS = {"median": 1.13, "p90": 1.25, "forbidden": 1.30, "seconds": 2.0}


def calibration_s():
    start = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    return time.process_time() - start


def real_areas():
    folder = os.environ.get("DRONECTL_DATA")
    if not folder:
        print("$DRONECTL_DATA is not set: generated areas only")
        return
    files = sorted(Path(folder, "planning", "polygons").glob("*.json"), key=lambda f: int(f.name.split(".")[0]))
    for file in files:
        drawn = json.loads(file.read_text(encoding="utf-8"))
        area = Polygon(drawn["original_area"]["exterior"], drawn["original_area"]["interiors"])
        yield f"area {file.name.split('.')[0]}", area, 2.0 * drawn["tool_radius"]


def run(name, area, width_m, iterations, *, forbidden=False):
    start = time.process_time()
    found = sweep_area(area, width_m, Budget(iterations), allowed=area if forbidden else None)
    cpu_s = time.process_time() - start
    holes = [np.asarray(hole.coords)[:-1] for part in shapely.get_parts(area) for hole in part.interiors]
    verdict = judge_coverage([found.corners_m], rings_of(area), width_m, forbidden=holes if forbidden else ())
    good = verdict.fraction == 1.0 and verdict.forbidden_m == 0.0
    print(
        f"{name}: {len(holes)} holes{' forbidden' if forbidden else ''}, ratio {found.ratio:.3f}, "
        f"covered {verdict.fraction:.4%}, {verdict.forbidden_m:.2f} m in holes, {cpu_s:.2f} s CPU",
        flush=True,
    )
    return found.ratio, good, cpu_s


def families(seeds, limit_s, iterations):
    """Every family's figures over its seeds, as far as the time goes; whether all of it was swept."""
    end = time.monotonic() + limit_s
    found = {name: [] for name in FAMILIES}
    for seed in range(2000, 2000 + seeds):
        for name, make in FAMILIES.items():
            if time.monotonic() > end:
                break
            done = run(f"{name} {seed}", make(seed), WIDTH_M, iterations, forbidden=name in FORBIDDEN)
            found[name].append(done)
    if time.monotonic() > end:
        print(f"stopped after {limit_s:.0f} s; a larger --limit-s goes on")
    print(f"{'family':10} {'areas':>5} {'median':>7} {'p90':>6} {'worst':>6} {'CPU median':>11} {'most':>5}  all swept")
    everything = [result for results in found.values() for result in results]
    for name, results in [*found.items(), ("all", everything)]:
        if results:
            ratios, good, seconds = (np.array(values) for values in zip(*results, strict=True))
            print(
                f"{name:10} {len(ratios):5} {np.median(ratios):7.3f} {np.quantile(ratios, 0.9):6.3f} {ratios.max():6.3f} "
                f"{np.median(seconds):9.2f} s {seconds.max():5.2f}  {'yes' if good.all() else 'NO'}"
            )
    return all(good for _, good, _ in everything)


def peer(python, areas):
    """opencoverage beside it, in its own interpreter; it gets a polygon and a swath width and gives a polyline."""
    for name, area, width_m in areas:
        if area.interiors:
            continue
        asked = {"ring": list(area.exterior.coords)[:-1], "width": width_m}
        script = Path(__file__).with_name("peer_opencoverage.py")
        done = subprocess.run(
            [python, str(script)], input=json.dumps(asked), capture_output=True, encoding="utf-8", check=False
        )
        if done.returncode:
            print(f"{name}: opencoverage did not run: {done.stderr.strip().splitlines()[-1]}")
            continue
        answer = json.loads(done.stdout)
        path = np.asarray(answer["path"])
        verdict = judge_coverage([path], rings_of(area), width_m)
        ratio = verdict.length_m / (area.area / width_m)
        print(f"{name}: opencoverage ratio {ratio:.3f}, covered {verdict.fraction:.4%}, {answer['cpu_s']:.2f} s CPU")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--generated", type=int, default=10)
    parser.add_argument("--others", type=int, default=0, metavar="N", help="N seeds of every family of shapes as well")
    parser.add_argument("--limit-s", type=float, default=900.0, help="how long --others may take (default 900)")
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter that has opencoverage")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, calibration {calibration_s():.3f} s")
    made = [(f"generated {seed}", star(seed, size=40.0, holes=seed % 3), 3.0) for seed in range(options.generated)]
    results = [run(name, area, width_m, options.iterations) for name, area, width_m in [*real_areas(), *made]]
    around = [
        run(f"keep-outs {seed}", star(seed, size=50.0, holes=15, hole_m=4.0), 3.0, options.iterations, forbidden=True)
        for seed in range(4, 4 + max(1, options.generated // 3))
    ]
    swept = families(options.others, options.limit_s, options.iterations) if options.others else True
    if options.peer:
        peer(options.peer, real_areas())
    ratios = [r for r, _, _ in results]
    worst = max(r for r, _, _ in around)
    seconds = [s for _, _, s in results]
    complete = swept and all(good for _, good, _ in results + around)
    print(
        f"median {np.median(ratios):.3f} (goal {GOALS['median']}), p90 {np.quantile(ratios, 0.9):.3f} (goal "
        f"{GOALS['p90']}), worst with 15 forbidden holes {worst:.3f} (goal {GOALS['forbidden']}), all covered: {complete}, "
        f"CPU median {np.median(seconds):.2f} s, most {max(seconds):.2f} s (goal {GOALS['seconds']})"
    )
    met = complete and np.median(ratios) <= GOALS["median"] and np.quantile(ratios, 0.9) <= GOALS["p90"]
    return 0 if met and worst <= GOALS["forbidden"] else 1


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: AGPL-3.0-or-later
"""How often patrols come by, and what past cases say about where.

- graphs: worst idleness on patrol graphs against its bound, one tour and published partitions, measured by the judge's
  simulation. Graphs are those of $DRONECTL_DATA (planning/patrol_graphs) and generated ones.
- heat: the share of even months with a false warning, of months with a planted hot spot that is found, and the score
  of maps on months they have not seen: of the cases of $DRONECTL_DATA (planning/incidents; they carry no dates, so they
  are dealt out to six months at random) and of generated ones.

- rounds: standing patrols of the demonstration site (`plan circuits`) with generated points and intervals: the chosen
  way against its bound and the other ways, judged over three rounds for separation and over five for idleness.
- day: the demonstration site's timetable of a school day, worst idleness over interval, misses and CPU.

Every figure is a ratio, so it does not depend on the machine; CPU seconds are printed beside a calibration loop.
"""

import argparse
import math
import os
import struct
import time
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from pyproj import CRS, Transformer
from rounds_judged import again, complaints
from shapely.geometry import MultiPoint, Point, Polygon, box

from dronectl.operations.circuits import circuits_at_site
from dronectl.operations.timetable import day_at_site, read_timetable_file
from dronectl.operations.timetable_file import TimetableModel
from dronectl.paths import default_site_file
from dronectl.site import load_site
from missions.geo import GeoPoint, LocalFrame
from missions.heat.grid import Case, heat_grid
from missions.heat.score import backtest
from missions.heat.warn import hot_spots
from missions.judge_patrol import simulate_idleness
from missions.judge_separation import judge_separation
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


def crimes():
    """(n, 2) metres of the recorded cases, or None: the points of a shapefile, read by its published layout."""
    folder = Path(os.environ.get("DRONECTL_DATA", "")) / "planning" / "incidents"
    if not (folder / "crimes.shp").is_file():
        return None
    raw, places, at = (folder / "crimes.shp").read_bytes(), [], 100
    while at < len(raw):
        (length,) = struct.unpack(">i", raw[at + 4 : at + 8])
        kind, x, y = struct.unpack("<idd", raw[at + 8 : at + 28])
        if kind == 1:
            places.append((x, y))
        at += 8 + 2 * length
    crs = CRS.from_wkt((folder / "crimes.prj").read_text(encoding="utf-8"))
    lon, lat = Transformer.from_crs(crs, 4326, always_xy=True).transform(*np.asarray(places).T)
    frame = LocalFrame(GeoPoint(float(np.median(lat)), float(np.median(lon))))
    return frame.to_enu_array(lat, lon)


def dealt(places, months, rng):
    """Cases with days spread at random over so many months of 2024."""
    frame = LocalFrame(GeoPoint(29.74, 107.27))
    days = [date(2024, 1 + int(m), 1 + int(d)) for m, d in rng.integers((0, 0), (months, 28), (len(places), 2))]
    return frame, tuple(Case(str(i), days[i], frame.to_geo(*map(float, p))) for i, p in enumerate(places))


def show_heat(months):
    rng = np.random.default_rng(1)
    frame = LocalFrame(GeoPoint(29.74, 107.27))
    grid = heat_grid(box(0, 0, 2000, 1600), frame, 125.0)
    false = found = 0
    start = time.process_time()
    for seed in range(months):
        past = rng.uniform((0, 0), (2000, 1600), (rng.integers(0, 300), 2))
        month = rng.uniform((0, 0), (2000, 1600), (rng.integers(3, 60), 2))
        false += bool(hot_spots(grid, month, past, seed=seed, draws=399).hot_spots)
        planted = np.vstack([month, rng.normal(rng.uniform(300, 1300, 2), 60.0, (10, 2))])
        found += bool(hot_spots(grid, planted, past, seed=seed, draws=399).hot_spots)
    print(
        f"{months} even months: {false / months:.1%} with a false warning (goal at most 5 %); ten planted cases within "
        f"60 m: {found / months:.1%} warned of; {time.process_time() - start:.0f} s CPU"
    )
    hot = rng.uniform((200, 200), (1800, 1400), (5, 2))
    mixed = np.vstack(
        [rng.uniform((0, 0), (2000, 1600), (300, 2)), hot[rng.integers(0, 5, 300)] + rng.normal(0, 60, (300, 2))]
    )
    for name, places, count in (("generated", mixed, 12), ("recorded", crimes(), 6)):
        if places is None:
            print("the recorded cases are left out: set DRONECTL_DATA")
            continue
        _, cases = dealt(places, count, rng)
        area = MultiPoint(places).convex_hull.buffer(100.0)
        cell = max(50.0, math.sqrt(area.area) / 60.0)
        tested = backtest(cases, heat_grid(area, frame, cell))
        low, high = tested.ours.interval
        print(
            f"{name}: {len(cases)} cases in {count} months, cells of {cell:.0f} m, hit rate in the hottest 10 %: "
            f"{tested.ours.hit_rate:.1%} ({low:.1%} to {high:.1%}), accuracy index {tested.ours.accuracy_index:.2f}; "
            f"last month {tested.last_month.accuracy_index:.2f}, uniform {tested.uniform.accuracy_index:.2f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=4000)
    parser.add_argument("part", nargs="?", choices=("graphs", "heat", "rounds", "day", "all"), default="all")
    parser.add_argument("--months", type=int, default=400, help="even months to test for false warnings")
    parser.add_argument("--rounds", type=int, default=12, help="standing patrols to plan")
    parser.add_argument("--drones", type=int, default=10, help="from 1 to this many")
    options = parser.parse_args()
    print(
        f"load average {os.getloadavg()[0]:.1f}, calibration {calibration_s():.3f} s, iterations {options.iterations}"
    )
    if options.part in {"graphs", "all"}:
        show_graphs(options)
    if options.part in {"heat", "all"}:
        show_heat(options.months)
    if options.part in {"rounds", "all"}:
        show_rounds(options)
    if options.part in {"day", "all"}:
        show_day()


def show_rounds(options):
    site = load_site(default_site_file())
    ring = Polygon([site.frame.to_enu(p) for p in site.fence.inclusion[0]]).buffer(-40.0)
    for keep_out in site.fence.exclusion:
        ring = ring.difference(Polygon([site.frame.to_enu(p) for p in keep_out]).buffer(40.0))
    start, ratios, better, chosen, said, breaches = time.process_time(), [], [], Counter(), 0, 0
    for seed in range(options.rounds):
        rng = np.random.default_rng(seed)
        places = [p for p in rng.uniform(-900.0, 900.0, (200, 2)) if ring.contains(Point(p))][
            : int(rng.integers(3, 13))
        ]
        points = tuple(
            replace(
                site.points[0], place_id=f"p{i}", name=f"p{i}", position=site.frame.to_geo(*map(float, p)), aim=None
            )
            for i, p in enumerate(places)
        )
        even = rng.random() < 0.5
        items = {p.place_id: {"interval_min": 60.0 if even else float(rng.choice([15, 30, 60, 120]))} for p in points}
        model = TimetableModel.model_validate({"schema_version": 1, "items": items})
        drones = [d.drone_id for d in site.drones[: int(rng.integers(1, 4))]]
        wind = float(rng.choice([0.0, 5.0]))
        shown = replace(site, points=points, lines=())
        made = circuits_at_site(shown, model, Budget(options.iterations, seed), drone_ids=drones, wind_m_s=wind)
        best, found = made.found.best, made.found
        said += len(complaints(found.items, best, made.energies, made.swap_s)) + (not made.clean)
        flown = again(best.plans, best.period_s)
        starts = [p.start_after_s for p in flown]
        breaches += sum(len(judge_separation(flown, starts, site.limits, wind_m_s=w)) for w in {0.0, wind})
        ratios.append(found.ratio)
        plain = min(r.worst_ratio for r in found.rounds if r.strategy in {"tour", "partition"})
        better.append(plain / best.worst_ratio)
        chosen[best.strategy] += 1
    print(
        f"{options.rounds} standing patrols: worst idleness over interval {np.median(ratios):.2f} x its bound (median; most "
        f"{max(ratios):.2f}), the better of one tour and partition {np.median(better):.2f} x that (most {max(better):.2f}); "
        f"chosen: {', '.join(f'{name} {n}' for name, n in chosen.most_common())}; by the judges {breaches} breaches of "
        f"separation, {said} complaints; {time.process_time() - start:.0f} s CPU"
    )


def show_day():
    site = load_site(default_site_file())
    model = read_timetable_file(site, None)[0]
    for drones in (3, 2, 1):
        start = time.process_time()
        ids = [d.drone_id for d in site.drones[:drones]]
        made = day_at_site(site, model, date(2026, 11, 23), Budget(24), drone_ids=ids)
        breaches = judge_separation(made.plans, [p.start_after_s for p in made.plans], site.limits)
        print(
            f"school day, {drones} drones: worst idleness over interval {made.found.worst_ratio:.2f} (bound "
            f"{made.found.bound:.2f}, ratio {made.found.worst_ratio / made.found.bound:.2f}), {len(made.found.flights)} "
            f"flights, {sum(map(bool, made.findings))} with findings, {len(made.found.misses)} misses, "
            f"{len(breaches)} breaches of separation, "
            f"{time.process_time() - start:.1f} s CPU for {made.found.tried} tries"
        )


def show_graphs(options):
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

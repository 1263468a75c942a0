# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tours and min-max routes: how far from the optimum or a lower bound, beside OR-Tools and PyVRP.

Instances: TSPLIB with its optima ($DRONECTL_DATA/planning/tsplib); uniform and clustered points against the bound of
the subtour relaxation (`subtour_bound.py`), which lies some .3 to .8 % under the optimum; min-max instances against
max(2 max d, Held-Karp / drones). Every program gets the same CPU seconds of one thread. First calls are printed apart: `NUMBA_CACHE_DIR=/some/empty/folder` shows what
compiling costs.

Peers run in an interpreter that has them: this one, or `--peers /path/to/python`; one that is absent is said to be.
"""

import argparse
import itertools
import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path

_SCALE = 100  # OR-Tools and PyVRP count in whole numbers
OPTIMA = {"berlin52": 7542, "eil51": 426, "kroA100": 21282, "rat783": 8806, "pr1002": 259045}


def tsplib(name):
    """Coordinates of an instance with Euclidean distances rounded to whole numbers (EUC_2D)."""
    data = os.environ.get("DRONECTL_DATA")
    path = Path(data or "", "planning", "tsplib", f"{name}.tsp")
    if not data or not path.is_file():
        return None
    lines = path.read_text(encoding="ascii").split("NODE_COORD_SECTION")[1].splitlines()
    return [tuple(map(float, line.split()[1:])) for line in lines if len(line.split()) == 3]


def uniform(seed, count=1000, side=10_000.0):
    rng = random.Random(seed)
    return [(rng.uniform(0, side), rng.uniform(0, side)) for _ in range(count)]


def clustered(seed, count=1000, side=10_000.0):
    """Normal clusters, one for a hundred points (as in the DIMACS challenge of 2000)."""
    rng = random.Random(seed)
    centres = [(rng.uniform(0, side), rng.uniform(0, side)) for _ in range(count // 100)]
    spread = side / math.sqrt(count)
    chosen = [rng.choice(centres) for _ in range(count)]
    return [(rng.gauss(x, spread), rng.gauss(y, spread)) for x, y in chosen]


def distances(points, *, whole=False):
    rows = [[math.dist(a, b) for b in points] for a in points]
    return [[float(math.floor(d + 0.5)) for d in row] for row in rows] if whole else rows


def routes_length(rows, routes):
    """Length of each route of stops 1 to n from stop 0 and back."""
    out = []
    for route in routes:
        stops = [0, *route, 0]
        out.append(sum(rows[a][b] for a, b in itertools.pairwise(stops)))
    return out


# The peers: this file run by another interpreter, an instance on its standard input and routes on its output.


def ortools_routes(rows, vehicles, seconds):
    """Guided local search on the arcs (one vehicle), or with a price on the longest route (the span)."""
    from ortools.constraint_solver import pywrapcp, routing_enums_pb2

    whole = [[round(d * _SCALE) for d in row] for row in rows]
    manager = pywrapcp.RoutingIndexManager(len(rows), vehicles, 0)
    model = pywrapcp.RoutingModel(manager)
    transit = model.RegisterTransitMatrix(whole)
    model.SetArcCostEvaluatorOfAllVehicles(transit)
    if vehicles > 1:
        model.AddDimension(transit, 0, sum(map(max, whole)), True, "length")
        model.GetDimensionOrDie("length").SetGlobalSpanCostCoefficient(100)
    parameters = pywrapcp.DefaultRoutingSearchParameters()
    parameters.first_solution_strategy = routing_enums_pb2.FirstSolutionStrategy.PATH_CHEAPEST_ARC
    parameters.local_search_metaheuristic = routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    parameters.time_limit.seconds = math.ceil(60 * seconds)
    end = time.process_time() + seconds
    model.AddSearchMonitor(model.solver().CustomLimit(lambda: time.process_time() > end))
    solution = model.SolveWithParameters(parameters)
    routes = []
    for vehicle in range(vehicles):
        route, at = [], solution.Value(model.NextVar(model.Start(vehicle)))
        while not model.IsEnd(at):
            route.append(manager.IndexToNode(at))
            at = solution.Value(model.NextVar(at))
        routes.append(route)
    return routes


def pyvrp_routes(rows, vehicles, seconds):
    """One tour; or a limit on each route that is halved towards the least one that it can keep (PyVRP 0.14)."""
    import pyvrp

    whole = [[round(d * _SCALE) for d in row] for row in rows]

    def solve(limit, until):
        model = pyvrp.Model()
        spots = [model.add_location(0, 0) for _ in rows]
        model.add_depot(spots[0])
        for spot in spots[1:]:
            model.add_client(spot)
        more = {} if limit is None else {"max_distance": limit}
        model.add_vehicle_type(vehicles, **more)
        for a, row in zip(spots, whole, strict=True):
            for b, d in zip(spots, row, strict=True):
                if a is not b:
                    model.add_edge(a, b, distance=d)
        found = model.solve(stop=lambda _cost: time.process_time() > until, display=False)
        return found.best if found.is_feasible() else None

    def stops(solution):
        return [[visit.idx + 1 for visit in route if visit.is_client()] for route in solution.routes()]

    end = time.process_time() + seconds
    if vehicles == 1:
        return stops(solve(None, end))
    best, low, high = None, 2 * max(whole[0]), 3 * max(2 * max(whole[0]), sum(map(min, whole)))
    for left in range(8, 0, -1):
        now = time.process_time()
        limit = (low + high) // 2
        found = solve(limit, now + (end - now) / left)
        if found is None:
            low = limit
        else:
            best, high = found, max(route.distance() for route in found.routes())
    return stops(best) if best is not None else []


PEERS = {"ortools": ortools_routes, "pyvrp": pyvrp_routes}


def serve(name):
    """What the other interpreter runs."""
    try:
        __import__(name)
    except ImportError:
        return 3
    instance = json.load(sys.stdin)
    start = time.process_time()
    routes = PEERS[name](instance["rows"], instance["vehicles"], instance["seconds"])
    spent = time.process_time() - start
    sys.stdout.write("\n" + json.dumps({"routes": routes, "cpu_s": spent}))
    return 0


def peer(name, python, rows, vehicles, seconds):
    """(routes, CPU seconds), or why there are none."""
    done = subprocess.run(
        [python, __file__, "--serve", name],
        input=json.dumps({"rows": rows, "vehicles": vehicles, "seconds": seconds}),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode == 3:
        return "not installed"
    if done.returncode:
        return "failed: " + done.stderr.strip().splitlines()[-1]
    answer = json.loads(done.stdout.splitlines()[-1])
    if sorted(s for route in answer["routes"] for s in route) != list(range(1, len(rows))):
        return f"no routes in {answer['cpu_s']:.1f} s"
    return answer["routes"], answer["cpu_s"]


def first_calls():
    """CPU seconds of the first calls, which compile or load machine code."""
    from missions.bounds import tour_bound
    from missions.model import Budget
    from missions.routing.compiled import COMPILED
    from missions.routing.minmax import Item, Task, split
    from missions.routing.tour import tour_over_matrix, tour_through_points

    rows = distances(uniform(0, 12))
    task = Task(tuple(map(tuple, rows)), tuple(Item(i, i, 0.0) for i in range(1, 12)), (0, 0), (0.0, 0.0))
    spent = []
    for call in (
        lambda: tour_through_points(uniform(0, 12), Budget(2)),
        lambda: tour_over_matrix(rows, Budget(2)),
        lambda: split(task, Budget(2)),
        lambda: tour_bound(rows),
    ):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    print(
        f"{'compiled with numba' if COMPILED else 'plain Python (numba is absent)'}; first calls, s CPU: "
        f"tour {spent[0]:.2f}, over a matrix {spent[1]:.2f}, min-max {spent[2]:.2f}, bound {spent[3]:.2f}"
    )


def until(seconds):
    """A stop() that says so after so many CPU seconds."""
    end = time.process_time() + seconds
    return lambda: time.process_time() > end


def report(label, reference, ours, cpu_s, iterations, others):
    line = f"{label:26} ours {ours / reference:.4f} ({cpu_s:.2f} s, {iterations} it.)"
    for name, (value, spent) in others.items():
        line += f"; {name} " + (spent if value is None else f"{value / reference:.4f} ({spent:.1f} s)")
    print(line, flush=True)


def tours(seconds, python, names):
    from subtour_bound import subtour_bound

    from missions.model import Budget
    from missions.routing.tour import tour_over_matrix, tour_through_points

    print(f"tours, {seconds:g} s CPU each: length over the optimum (TSPLIB) or over the subtour bound")
    instances = [(name, tsplib(name), OPTIMA[name]) for name in OPTIMA]
    instances += [(f"uniform {seed}", uniform(seed), None) for seed in (1, 2)]
    instances += [(f"clustered {seed}", clustered(seed), None) for seed in range(1, 7)]
    for label, points, optimum in instances:
        if points is None:
            print(f"{label:26} not there: set DRONECTL_DATA")
            continue
        rows = distances(points, whole=optimum is not None)
        start = time.process_time()
        if optimum is None:
            found = tour_through_points(points, Budget(10**9, 1, until(seconds)))
        else:
            found = tour_over_matrix(rows, Budget(10**9, 1, until(seconds)))
        spent = time.process_time() - start
        others = {}
        for name in names:
            answer = peer(name, python, rows, 1, seconds)
            others[name] = (None, answer) if isinstance(answer, str) else (
                sum(routes_length(rows, answer[0])), answer[1]
            )  # fmt: skip
        report(label, optimum or subtour_bound(points), found.length, spent, found.iterations, others)


def min_max(seconds, python, names):
    from missions.bounds import longest_flight_bound_s, tour_bound
    from missions.model import Budget
    from missions.routing.minmax import Item, Task, split

    print(f"min-max, {seconds:g} s CPU each: the longest route over max(2 max d, Held-Karp / drones)")
    for label, points, vehicles in (
        ("200, 10, dock central", [(5000.0, 5000.0), *uniform(1, 200)], 10),
        ("200, 10, dock central 2", [(5000.0, 5000.0), *uniform(2, 200)], 10),
        ("200, 10, dock anywhere", uniform(3, 201), 10),
        ("200, 10, dock in a corner", [(0.0, 0.0), *uniform(4, 200)], 10),
        ("200, 10, clustered", clustered(5, 201), 10),
        ("50, 4, dock central", [(5000.0, 5000.0), *uniform(6, 50)], 4),
        ("200, 3, dock central", [(5000.0, 5000.0), *uniform(7, 200)], 3),
    ):
        rows = distances(points)
        items = tuple(Item(i, i, 0.0) for i in range(1, len(rows)))
        task = Task(tuple(map(tuple, rows)), items, (0,) * vehicles, (0.0,) * vehicles)
        reference = max(2 * max(rows[0]), tour_bound(rows) / vehicles)
        start = time.process_time()
        found = split(task, Budget(10**9, 1, until(seconds)))
        spent = time.process_time() - start
        others = {}
        for name in names:
            answer = peer(name, python, rows, vehicles, seconds)
            others[name] = (None, answer) if isinstance(answer, str) else (
                max(routes_length(rows, answer[0])), answer[1]
            )  # fmt: skip
        sharper = longest_flight_bound_s(task) / reference
        report(label, reference, found.longest_s, spent, found.iterations, others)
        if sharper > 1.001:
            print(f"{'':26} our bound is {sharper:.3f} of that: ratio {found.longest_s / reference / sharper:.4f}")


def calibration_s():
    """A fixed loop of plain Python; about 0.05 s on a free core of 2024."""
    start = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="tours | minmax", help="which; both without a name")
    parser.add_argument("--tour-seconds", type=float, default=1.0)
    parser.add_argument("--minmax-seconds", type=float, default=5.0)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="an interpreter with ortools, pyvrp")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--serve", choices=sorted(PEERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve)
    if unknown := set(options.what) - {"tours", "minmax"}:
        parser.error(f"there is no {min(unknown)!r}; there are tours and minmax")
    names = [] if options.no_peers else sorted(PEERS)
    print(f"load average {os.getloadavg()[0]:.1f}, calibration {calibration_s():.3f} s")
    first_calls()
    if "tours" in options.what or not options.what:
        tours(options.tour_seconds, options.peers, names)
    if "minmax" in options.what or not options.what:
        min_max(options.minmax_seconds, options.peers, names)
    return 0


if __name__ == "__main__":
    sys.exit(main())

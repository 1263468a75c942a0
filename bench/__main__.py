# SPDX-License-Identifier: AGPL-3.0-or-later
"""`python -m bench [NAME ...]`: the benchmarks, one after another, each in a process of its own.

`--list` says what there is. Exit code 1 when one of them does not run to its end; a missed target is only printed.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.children import child, end_by_signals


@dataclass(frozen=True)
class Benchmark:
    shows: str
    arguments: tuple[str, ...]  # a file beside this one, then its arguments


BENCHMARKS = {
    "planning": Benchmark("planning and checks: quality and CPU", ("bench_planning.py", "--iterations", "2000")),
    "door": Benchmark("filters at the vehicles' doors: CPU per packet", ("bench_door.py",)),
    "routing": Benchmark("tours and splits against optima and bounds", ("bench_routing.py",)),
    "coverage": Benchmark("coverage: path over A / w, raster judged", ("bench_coverage.py",)),
    "search": Benchmark("searches over their bound, replanning", ("bench_search.py", "--iterations", "1000000")),
    "separation": Benchmark(
        "separation of random plan sets: breaches and makespan", ("bench_separation.py", "--sets", "500")
    ),
    "sets": Benchmark(
        "flights that planners make together: judged, and what waiting costs", ("bench_sets.py", "--seeds", "4")
    ),
    "check": Benchmark("checks of 1,000-item plans: CPU", ("bench_check.py",)),
    "patrols": Benchmark(
        "idleness, heat and a school day", ("bench_patrols.py", "--iterations", "2000", "--months", "100")
    ),
    "stills": Benchmark(
        "thousands of stills: memory, none lost or doubled under kill -9", ("bench_stills.py", "--stills", "600")
    ),
    "sim": Benchmark("CPU of the simulator with 100 vehicles", ("bench_sim.py", "--seconds", "10")),
    "vision": Benchmark("seeing beyond raw inference", ("bench_vision.py",)),
    "duplicates": Benchmark("incidents doubled over three drones", ("bench_duplicates.py", "--seeds", "2")),
    "cameras": Benchmark(
        "fixed cameras looked at by sampling", ("bench_cameras.py", "--cameras", "60", "--seconds", "30")
    ),
    "cold": Benchmark("single cold thermal pictures: recall, false alarms", ("bench_cold.py", "--frames", "40")),
    "fire": Benchmark("fires and smoke found, roofs and glints not", ("bench_fire.py", "--scenes", "4")),
    "location": Benchmark("places on the ground by Monte Carlo", ("bench_location.py", "--flights", "200")),
    "alerts": Benchmark("no alert lost or doubled under kill -9", ("bench_alerts.py", "--alerts", "500")),
    "fleet-cpu": Benchmark("CPU of the links of 100 vehicles", ("bench_fleet.py", "cpu", "--seconds", "10")),
    "fleet-scale": Benchmark("250 vehicles: discovery, uploads, hold to all", ("bench_fleet.py", "scale")),
    "fleet-hold": Benchmark("hold while 100 upload", ("bench_fleet.py", "hold", "--samples", "100")),
    "service-cpu": Benchmark("CPU of the whole service with 100 vehicles", ("bench_service.py", "cpu")),
    "service-start": Benchmark("time to /health, and memory", ("bench_service.py", "start", "--starts", "3")),
    "service-latency": Benchmark("exposure to the dispatcher's receipt", ("bench_service.py", "latency")),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Run benchmarks and print their figures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all without a name (about a quarter hour)")
    parser.add_argument("--list", action="store_true", help="say what there is, and end")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are: {', '.join(BENCHMARKS)}")
    wanted = options.names or list(BENCHMARKS)
    if options.list:
        for name in wanted:
            print(f"{name:16} {BENCHMARKS[name].shows} (bench/{' '.join(BENCHMARKS[name].arguments)})")
        return 0
    end_by_signals()
    failed = []
    for name in wanted:
        print(f"== {name}: {BENCHMARKS[name].shows}", flush=True)
        script, *arguments = BENCHMARKS[name].arguments
        with child([sys.executable, str(Path(__file__).with_name(script)), *arguments]) as running:
            if running.wait():
                failed.append(name)
    if failed:
        print(f"did not run to the end, or missed its goal: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

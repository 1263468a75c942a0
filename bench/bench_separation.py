# SPDX-License-Identifier: AGPL-3.0-or-later
"""Separation of random plan sets: conflicts before, breaches after by the independent judge, and what it costs in time.

Every set has 10 drones on 2 km x 2 km, five at each of two docks with pads 8 m apart, all ready to start at once, with
patrols of 4 to 10 places at heights that overlap. A set is known by its seed: `--first SEED --sets 1` repeats it.
Quality is a count and a ratio; time is CPU time of this process.
"""

import argparse
import os
import random
import statistics
import time

from missions.deconflict.model import Flight, Rules
from missions.deconflict.resolve import resolve
from missions.errors import PlanningError
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.judge_separation import judge_lost_site, judge_separation
from missions.model import Authority, Category, FlightPlan, Geofence, Mission, VehicleLimits, Waypoint

_SIDE_M = 2000.0
_DRONES = 10
_FRAME = LocalFrame(GeoPoint(29.7, 107.3))
_LIMITS = VehicleLimits()
_MISSION = Mission("bench", "separation benchmark", Authority("bench", "benchmark"), Category.TRAINING)
_FENCE = Geofence(
    (
        tuple(
            _FRAME.to_geo(e * (_SIDE_M / 2 + 100), n * (_SIDE_M / 2 + 100))
            for e, n in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ),
    ),
    max_altitude=Altitude(120.0, Datum.HOME),
)


def plan_set(seed):
    """Ten plans; places are in metres around the middle of the square."""
    rng = random.Random(seed)
    half = _SIDE_M / 2
    docks = [(rng.uniform(-0.8, 0.8) * half, rng.uniform(-0.8, 0.8) * half) for _ in range(2)]
    ground = [rng.uniform(190.0, 210.0) for _ in docks]
    plans = []
    for number in range(_DRONES):
        dock = number % 2
        pad = docks[dock][0] + 8.0 * (number // 2), docks[dock][1]
        height = rng.choice((40.0, 50.0, 60.0))
        places = [(rng.uniform(-half, half), rng.uniform(-half, half)) for _ in range(rng.randint(4, 10))]
        waypoints = tuple(
            Waypoint(_FRAME.to_geo(*p), Altitude(height, Datum.HOME), hold_s=rng.choice((0.0, 0.0, 5.0, 20.0)))
            for p in places
        )
        plans.append(
            FlightPlan(
                f"d{number + 1:02d}",
                _MISSION,
                _FRAME.to_geo(*pad),
                ground[dock],
                height,
                waypoints,
                _FENCE,
                70.0,
                _LIMITS.cruise_speed_m_s,
            )
        )
    return plans


def share(values, fraction):
    return sorted(values)[min(len(values) - 1, int(fraction * len(values)))]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=1, help="seed of the first set")
    parser.add_argument("--max-delay", type=float, default=600.0)
    parser.add_argument("--every", type=int, default=1000, help="print a line every so many sets")
    options = parser.parse_args()
    rules = Rules(max_delay_s=options.max_delay)
    print(f"load average {os.getloadavg()[0]:.1f}, {options.sets} sets from seed {options.first}")
    conflicts, inflations, delays, resolving, judging = [], [], [], 0.0, 0.0
    breached, refused, layered, lost = [], [], 0, []
    for seed in range(options.first, options.first + options.sets):
        plans = plan_set(seed)
        start = time.process_time()
        try:
            found = resolve([Flight(p) for p in plans], _LIMITS, rules)
        except PlanningError as error:
            refused.append(seed)
            print(f"seed {seed}: refused: {error}")
            continue
        resolved = time.process_time()
        flown = [f.plan for f in found.flights], [f.start_s for f in found.flights], _LIMITS
        breaches = judge_separation(*flown)
        judging += time.process_time() - resolved
        resolving += resolved - start
        if breaches:
            breached.append(seed)
            print(f"seed {seed}: {len(breaches)} breaches, the first {breaches[0]}")
        if not found.findings:
            layered += 1
            if judge_lost_site(*flown):
                lost.append(seed)
                print(f"seed {seed}: returns of a lost site too near although every one has a layer")
        conflicts.append(len(found.meetings))
        inflations.append(found.inflation)
        delays += [f.start_s for f in found.flights]
        done = seed - options.first + 1
        if done % options.every == 0:
            print(f"  {done} sets, {len(breached)} breached, {len(refused)} refused", flush=True)
    judged = max(1, len(conflicts))
    print(
        f"conflicts before: median {statistics.median(conflicts):.0f} (least {min(conflicts)}, most {max(conflicts)})\n"
        f"after: {len(breached)} of {judged} sets with a breach by the judge, {len(refused)} refused\n"
        f"makespan inflation: median {statistics.median(inflations):.2%}, mean {statistics.fmean(inflations):.2%}, "
        f"p90 {share(inflations, 0.9):.2%}, p99 {share(inflations, 0.99):.2%}, worst {max(inflations):.2%} "
        f"(seed {options.first + inflations.index(max(inflations)) if not refused else '-'})\n"
        f"delays of starts: median {statistics.median(delays):.0f} s, p90 {share(delays, 0.9):.0f} s, "
        f"most {max(delays):.0f} s\n"
        f"return layers for every drone: {layered} sets, {len(lost)} of them with a clash by the judge of lost sites\n"
        f"CPU per set: {resolving / judged * 1e3:.0f} ms to resolve, {judging / judged * 1e3:.0f} ms to judge; "
        f"{resolving + judging:.0f} s in all"
    )
    good = not (breached or refused or lost) and statistics.median(inflations) <= 0.05
    print("goal (0 breaches, median at least 5 conflicts, median inflation at most 5 %):", end=" ")
    reached = good and statistics.median(conflicts) >= 5
    print("reached" if reached else "MISSED")
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sets of flights by every planner at the demonstration site, held against the independent judges.

    python bench/bench_sets.py --seeds 10

Each seed draws points and lines for a patrol, an area for coverage and for pictures, and a place and a person for a
search; one to three drones of the one dock fly them, in calm and in wind. Judged are separation (with the starts that
the plans say), legs, ground and battery. Printed beside it: how long the last drone waits for its start, and how much
later all are down than if nobody had waited.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from shapely.geometry import Point

from dronectl.errors import BadInputError
from dronectl.operations.covering import CoverWishes, plan_site_cover
from dronectl.operations.last_seen import LastSeen, map_of_form
from dronectl.operations.mapping import MapWishes, Preset, plan_site_map
from dronectl.operations.planning import energy_of, plan_site_patrol
from dronectl.operations.searching import Sensing, plan_site_search
from dronectl.paths import default_site_file
from dronectl.site import load_site
from missions.fences import fence_shape
from missions.judge_separation import judge_separation
from missions.model import Budget
from missions.validate import MustPoint, judge_patrol

_PEOPLE = ("child_4_6", "dementia", "hiker", "despondent")
_NEAR_M = 900.0
_MARGIN_M = 40.0
_SWAP_S = 120.0


def somewhere(site, rng, reach_m=_NEAR_M):
    """A place near the dock, well inside the fence."""
    room = fence_shape(site.fence, site.frame).allowed(_MARGIN_M)
    east, north = site.frame.to_enu(site.drones[0].pad)
    while True:
        way, turn = reach_m * math.sqrt(rng.random()), rng.uniform(0.0, 2.0 * math.pi)
        place = east + way * math.cos(turn), north + way * math.sin(turn)
        if room.contains(Point(place)):
            return site.frame.to_geo(*place)


def area(site, rng, folder):
    """A drawn area of some hectares: a ring of five to nine corners."""
    east, north = site.frame.to_enu(somewhere(site, rng, 600.0))
    turns = np.sort(rng.uniform(0.0, 2.0 * math.pi, int(rng.integers(5, 10))))
    radius = rng.uniform(80.0, 260.0)
    places = [site.frame.to_geo(east + radius * math.cos(t), north + radius * math.sin(t)) for t in turns]
    ring = [[p.longitude_deg, p.latitude_deg] for p in (*places, places[0])]
    file = folder / "area.geojson"
    file.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), encoding="utf-8")
    return file


def patrol(site, rng, seed, drones, wind, _folder):
    points = tuple(
        replace(site.points[0], place_id=f"p{i}", name=f"p{i}", position=somewhere(site, rng), dwell_s=20.0, aim=None)
        for i in range(int(rng.integers(2, 9)))
    )
    shown = replace(site, points=points, lines=())
    plans = plan_site_patrol(shown, Budget(1000, seed=seed), drone_ids=drones, wind_m_s=wind).plans
    return plans, [MustPoint(p.place_id, p.position, p.dwell_s) for p in points]


def search(site, rng, seed, drones, wind, _folder):
    seen = LastSeen(somewhere(site, rng), str(rng.choice(_PEOPLE)), "temperate_flat", 3.0, ())
    found = plan_site_search(
        site, map_of_form(seen), seen.at, Sensing(None), Budget(5000, seed=seed), drone_ids=drones, wind_m_s=wind
    )
    return tuple(f.plan for f in found.plan.flown), []


def cover(site, rng, seed, drones, wind, folder):
    wishes = CoverWishes(wind_m_s=wind)
    found = plan_site_cover(site, area(site, rng, folder), wishes, Budget(20, seed=seed), drone_ids=drones)
    return tuple(s.plan for s in found.plan.sorties), []


def pictures(site, rng, seed, drones, wind, folder):
    wishes = MapWishes(preset=Preset.ORTHO, height_m=70.0, wind_m_s=wind)
    found = plan_site_map(site, area(site, rng, folder), wishes, Budget(20, seed=seed), drone_ids=drones)
    return tuple(s.plan for s in found.plan.sorties), []


PLANNERS = {"patrol": patrol, "search": search, "cover": cover, "map": pictures}


def without_waiting_s(site, plans, wind):
    """When all would be down if every drone flew its flights one after another from the first second on."""
    ready = {}
    for plan in plans:
        before = ready[plan.vehicle_id] + _SWAP_S if plan.vehicle_id in ready else 0.0
        ready[plan.vehicle_id] = before + energy_of(site, plan, wind_m_s=wind).time_s
    return max(ready.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    site = load_site(default_site_file())
    print(f"load average {os.getloadavg()[0]:.1f}, {options.seeds} seeds from {options.first}")
    breaches = complaints = 0
    with tempfile.TemporaryDirectory() as name:
        for planner, make in PLANNERS.items():
            waits, later, flights, refused, sets = [], [], 0, 0, 0
            begun = time.process_time()
            for seed in range(options.first, options.first + options.seeds):
                rng = np.random.default_rng([seed, len(planner)])
                drones = [d.drone_id for d in site.drones[: int(rng.integers(2, 4))]]
                wind = float(rng.choice([0.0, 5.0]))
                try:
                    plans, points = make(site, rng, seed, drones, wind, Path(name))
                except BadInputError as error:
                    refused += 1
                    print(f"  {planner}, seed {seed}: refused: {str(error).splitlines()[0]}")
                    continue
                starts = [p.start_after_s for p in plans]
                found = [b for w in {0.0, wind} for b in judge_separation(plans, starts, site.limits, wind_m_s=w)]
                words = judge_patrol(plans, points, [], site.fence, site.limits, site.terrain)
                for said in (*found, *words):
                    print(f"  {planner}, seed {seed}: {said}")
                breaches, complaints = breaches + len(found), complaints + len(words)
                alone_s = without_waiting_s(site, plans, wind)
                down_s = max(p.start_after_s + energy_of(site, p, wind_m_s=wind).time_s for p in plans)
                firsts = {p.vehicle_id: p.start_after_s for p in reversed(plans)}
                sets, flights = sets + 1, flights + len(plans)
                waits.append(max(firsts.values()))
                later.append(down_s / alone_s - 1.0)
            if not sets:
                continue
            print(
                f"{planner:7} {sets} sets of {flights} flights ({refused} refused): the last drone starts after "
                f"{statistics.median(waits):.0f} s (median; most {max(waits):.0f} s), all are down "
                f"{statistics.median(later):.1%} later than without waiting (most {max(later):.1%}); "
                f"{time.process_time() - begun:.0f} s CPU",
                flush=True,
            )
    print(f"== by the judges: {breaches} breaches of separation, {complaints} complaints about legs, ground, battery")
    return 1 if breaches or complaints else 0


if __name__ == "__main__":
    sys.exit(main())

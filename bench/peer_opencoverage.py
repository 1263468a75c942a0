# SPDX-License-Identifier: AGPL-3.0-or-later
"""opencoverage 0.2 on one polygon: a ring and a swath width on standard input, its path on standard output.

Run by `bench_coverage.py --peer PYTHON`, with an interpreter that has opencoverage installed.
"""

import json
import sys
import time

from opencoverage.geometry.map import SurveyMap
from opencoverage.models import UAV, PinholeCamera
from opencoverage.patterns.optimal_sweep import OptimalSweepPattern
from shapely.geometry import Polygon

asked = json.load(sys.stdin)
start = time.process_time()
pattern = OptimalSweepPattern(
    UAV(), PinholeCamera(0.004, 8.0, 16.0, 12.0), SurveyMap.from_polygon(Polygon(asked["ring"]))
)
# The swath is given, not worked out from a camera: both planners get the same.
pattern.lateral_spacing = pattern.trigger_distance = asked["width"]
pattern.velocity = 1.0
path = [[float(x), float(y)] for x, y in pattern.calculate().path]
json.dump({"path": path, "cpu_s": time.process_time() - start}, sys.stdout)

# SPDX-License-Identifier: AGPL-3.0-or-later
import math

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from dronectl.paths import default_site_file
from dronectl.report.footprints import SECTORS, ground_looked_at, probability_by_sector, probability_in
from dronectl.site import load_site
from missions.geo import LocalFrame, destination
from missions.search.probability import from_array
from missions.terrain import height_at


@pytest.fixture(scope="module")
def site():
    return load_site(default_site_file())


def flown(site, height_m: float, azimuth_deg: float = 60.0, steps: int = 9):
    places = [destination(site.docks[0].position, azimuth_deg, 50.0 * i) for i in range(steps)]
    return [(p.latitude_deg, p.longitude_deg, height_at(site.terrain, p) + height_m) for p in places]


def test_a_straight_flight_sees_its_length_times_the_picture(site):
    ground = ground_looked_at(site, LocalFrame(site.frame.origin), {"d1": flown(site, 60.0)})
    assert ground.area == pytest.approx(400.0 * 60.0 * 640 / 758.0, rel=0.01)


def test_overlap_counts_once_and_low_flight_not_at_all(site):
    frame = LocalFrame(site.frame.origin)
    once = ground_looked_at(site, frame, {"d1": flown(site, 60.0)})
    twice = ground_looked_at(site, frame, {"d1": flown(site, 60.0), "d2": flown(site, 60.0)})
    assert twice.area == pytest.approx(once.area, rel=1e-6)
    assert ground_looked_at(site, frame, {"d1": flown(site, 10.0)}).is_empty
    assert ground_looked_at(site, frame, {}).is_empty


def test_probability_on_a_piece_of_ground(site):
    chart = from_array(np.ones((20, 20)), site.frame, 30.0, source="test")
    assert probability_in(chart, box(-1000, -1000, 1000, 1000)) == pytest.approx(1.0)
    assert probability_in(chart, box(-300, -300, 0, 300)) == pytest.approx(0.5)
    assert probability_in(chart, MultiPolygon()) == 0.0


@pytest.mark.parametrize("k", range(8))
def test_what_is_left_lies_in_its_sector(site, k):
    weights = np.zeros((41, 41))
    weights[20 + round(10 * math.cos(math.radians(45 * k))), 20 + round(10 * math.sin(math.radians(45 * k)))] = 1.0
    chart = from_array(weights, site.frame, 30.0, source="test")
    parts = probability_by_sector(chart, box(-900, -900, 900, 900), (0.0, 0.0))
    assert next(iter(parts)) == SECTORS[k]
    assert parts[SECTORS[k]] == pytest.approx(1.0)
    assert sum(probability_by_sector(chart, MultiPolygon(), (0.0, 0.0)).values()) == 0.0

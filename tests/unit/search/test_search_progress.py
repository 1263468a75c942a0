# SPDX-License-Identifier: AGPL-3.0-or-later
"""Between two waves, at the demonstration site: what was flown changes the map, and the next plans rest on that."""

import dataclasses

import numpy as np
import pytest

from dronectl.errors import BadInputError
from dronectl.operations.last_seen import LastSeen, map_of_form
from dronectl.operations.search_progress import Fix, after_flights, next_flights, out_of_reach, parts_that_looked
from dronectl.operations.searching import Sensing, plan_site_search
from dronectl.paths import default_site_file
from dronectl.site import load_site
from missions.energy import height_above_home_m
from missions.geo import GeoPoint
from missions.judge_search import judge_pod, judge_posterior
from missions.model import Budget
from missions.search.flown import refined

AT = GeoPoint(29.738311, 107.270893)
QUICK = Budget(iterations=300, seed=1)


@pytest.fixture(scope="module")
def site():
    whole = load_site(default_site_file())
    return dataclasses.replace(whole, limits=dataclasses.replace(whole.limits, endurance_s=600.0))


@pytest.fixture(scope="module")
def found(site):
    chart = map_of_form(LastSeen(AT, "dementia", "temperate_flat", 0.2))
    return plan_site_search(site, chart, AT, Sensing(None, 80.0), QUICK)


def as_planned(found) -> list[list[Fix]]:
    """Every flight as if it had been flown to the metre, with the climb from the pad before it."""
    out = []
    for flight in found.plan.flown:
        plan = flight.plan
        pad = Fix(plan.home.latitude_deg, plan.home.longitude_deg, plan.home_amsl_m)
        above = dataclasses.replace(pad, amsl_m=plan.home_amsl_m + plan.takeoff_height_m)
        way = [
            Fix(
                w.position.latitude_deg,
                w.position.longitude_deg,
                plan.home_amsl_m + height_above_home_m(w.altitude, plan.home_amsl_m),
            )
            for w in plan.waypoints
        ]
        out.append([pad, above, *way, pad])
    return out


def test_flights_as_planned_are_worth_what_was_planned(site, found):
    assert after_flights(site, found, as_planned(found)).found == pytest.approx(found.plan.pos, rel=0.05)


def test_the_map_afterwards_is_bayes_by_an_independent_judge(site, found):
    after = after_flights(site, found, as_planned(found)).chart
    before = refined(found.chart, after.cell_m)
    parts = [p for flight in as_planned(found) for p in parts_that_looked(site, found.height_m, flight)]
    tracks = [np.array([before.frame.to_enu(place) for place in part]) for part in parts]
    pod = judge_pod(
        before.p.shape, before.west_m, before.south_m, before.cell_m, tracks, found.sweep_width_m / 2.0, disc=False,
        samples=3,
    )  # fmt: skip
    wanted = judge_posterior(before.p.ravel().tolist(), pod.ravel().tolist())
    # The judge has points of its own, so that cells on the edges of swaths differ; summed up they do not.
    assert np.abs(np.asarray(wanted).reshape(before.p.shape) - after.p).sum() < 0.06
    assert after.p.sum() == pytest.approx(1.0, abs=1e-9)
    assert out_of_reach(found, after) > out_of_reach(found, found.chart)


def test_what_was_flown_too_low_or_off_the_map_does_not_count(site, found):
    low = [[dataclasses.replace(fix, amsl_m=fix.amsl_m - 40.0) for fix in flight] for flight in as_planned(found)]
    far = [[dataclasses.replace(fix, latitude_deg=fix.latitude_deg + 3.0) for fix in flight] for flight in low]
    for fixes in (low, far, [], [[]], [as_planned(found)[0][:1]]):
        assert after_flights(site, found, fixes).found == 0.0


def test_a_dip_in_the_middle_of_a_flight_is_a_gap(site, found):
    flight = as_planned(found)[0]
    k = len(flight) // 2
    flight[k] = dataclasses.replace(flight[k], amsl_m=flight[k].amsl_m - 60.0)
    parts = parts_that_looked(site, found.height_m, flight)
    assert len(parts) == 2
    assert sum(map(len, parts)) == len(flight) - 3  # the dip and both ends on the pad


def test_half_a_flight_of_a_lost_drone_counts_and_the_others_fly_on(site, found):
    fixes = as_planned(found)
    half = [fixes[0][: len(fixes[0]) // 2], *fixes[1:]]
    swept = after_flights(site, found, half)
    assert 0.5 * found.plan.pos < swept.found < found.plan.pos
    left = [f.plan.vehicle_id for f in found.plan.flown[1:]]
    then = next_flights(site, found, swept.chart, left, QUICK)
    assert {f.plan.vehicle_id for f in then.plan.flown} <= set(left)
    assert then.clean
    assert 0.0 < then.plan.pos <= then.plan.bound
    # Better than flying the same again, which is what a plan that knew nothing of the first flights would do.
    assert then.plan.pos > after_flights(site, then, fixes[1:]).found


def test_nobody_left_is_one_clear_line(site, found):
    with pytest.raises(BadInputError, match="at least one drone"):
        next_flights(site, found, found.chart, [], QUICK)

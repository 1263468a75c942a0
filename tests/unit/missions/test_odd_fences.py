# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fences that nobody should draw: of half a world, of nothing, apart from each other; and two heights at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mission_plans import FENCE, FRAME, HOME, LIMITS, make_plan, square
from shapely.geometry import Point, Polygon

from missions.feasibility import check_plan
from missions.fences import as_one_ring, circle_ring, merged
from missions.geo import Altitude, Datum, GeoError, GeoPoint, distance_m
from missions.model import Geofence
from missions.terrain import FlatTerrain

GROUND = FlatTerrain(200.0)
PLAN = make_plan([(0, 200), (100, 200)])


def found(fence, plan=PLAN):
    return [(f.code, f.message) for f in check_plan(replace(plan, fence=fence), LIMITS, GROUND)]


@pytest.mark.parametrize("metres", [9_000_000.0, 15_000_000.0, 18_000_000.0])
def test_a_keep_out_of_half_a_world_is_not_taken_for_the_other_half(metres):
    """Home lies inside each of these circles; the ring of one beyond a quarter of the globe encloses the rest of it."""
    centre = GeoPoint(HOME.latitude_deg, HOME.longitude_deg - 60.0)
    assert distance_m(HOME, centre) < metres
    fence = replace(FENCE, exclusion=(circle_ring(centre, metres, inclusion=False),))
    codes = [code for code, _ in found(fence)]
    assert codes, "a flight inside a keep-out has no finding"


def test_an_inclusion_at_the_other_end_of_the_world_is_not_around_home():
    there = GeoPoint(-HOME.latitude_deg, HOME.longitude_deg - 180.0)
    codes = [code for code, _ in found(Geofence((circle_ring(there, 50_000.0, inclusion=True),)))]
    assert "fence-invalid" in codes


def test_a_circle_of_nothing_has_no_area():
    assert ("fence-invalid", "keep-out ring 1 has no area; redraw it") in found(
        replace(FENCE, exclusion=(circle_ring(FRAME.to_geo(100, 100), 1e-9, inclusion=False),))
    )


def test_rings_apart_from_each_other_are_said_to_be_so():
    apart = Geofence((square(-900, -900, 900, 900), square(2000, 2000, 3000, 3000)))
    messages = [message for code, message in found(apart) if code == "fence-invalid"]
    assert messages == ["the inclusion rings have no area in common, and a flight has to be inside all; redraw them"]
    assert not any("nan" in message for _, message in found(apart))


def test_a_circle_over_a_pole_says_so():
    with pytest.raises(GeoError, match="a fence circle of 6200 km reaches a pole"):
        circle_ring(HOME, 6_200_000.0, inclusion=False)


@pytest.mark.parametrize("datum", [Datum.HOME, Datum.AMSL])
@pytest.mark.parametrize(("first", "second"), [(120.0, 70.0), (70.0, 120.0)])
def test_of_two_fences_the_lower_top_counts(first, second, datum):
    """A plan that carries a lower top than its site's is held to it, whatever the two are measured from."""
    site = replace(FENCE, max_altitude=Altitude(first, Datum.HOME))
    own = Altitude(second + (200.0 if datum is Datum.AMSL else 0.0), datum)
    both = merged(site, replace(FENCE, max_altitude=own), home_amsl_m=200.0)
    flown = replace(make_plan([(0, 200)], height=90.0), fence=both, return_height_m=90.0)
    assert "above-max-height" in [f.code for f in check_plan(flown, LIMITS, GROUND)]
    assert merged(site, Geofence(()), home_amsl_m=200.0).max_altitude == site.max_altitude
    assert merged(Geofence(()), site, home_amsl_m=200.0).max_altitude == site.max_altitude


def test_a_corner_that_is_cut_into_a_keep_out_is_seen():
    """With a large acceptance radius the autopilot turns long before the waypoint."""
    round_it = [(250, -200), (600, -200), (600, 200), (0, 300)]  # the keep-out is the square of 200 m around (400, 0)
    plan = make_plan(round_it)
    assert [code for code, _ in found(FENCE, plan) if code == "leg-in-keep-out"] == []
    early = tuple(replace(w, acceptance_radius_m=340.0) for w in plan.waypoints)
    said = [m for code, m in found(FENCE, replace(plan, waypoints=early)) if code == "leg-in-keep-out"]
    assert any("the corner cut at waypoint 2 (acceptance radius 340 m) goes" in m for m in said)
    held = tuple(replace(w, hold_s=5.0) for w in early)  # a vehicle that has to stay there comes there
    assert [code for code, _ in found(FENCE, replace(plan, waypoints=held)) if code == "leg-in-keep-out"] == []


def holds(fence, east, north):
    """Whether PX4 would hold a place to be inside: of the release that wants all inclusion rings, of the one for any."""
    point = Point(east, north)
    rings = [Polygon([FRAME.to_enu(p) for p in ring]) for ring in fence.inclusion]
    return all(r.contains(point) for r in rings), any(r.contains(point) for r in rings)


def test_the_fence_that_is_uploaded_means_the_same_to_every_release():
    """A site's fence and a plan's own, two rings that overlap: the checks want a flight inside both."""
    site, own = square(-1000, -1000, 1000, 1000), square(-200, -200, 2000, 600)
    both = merged(Geofence((site,), FENCE.exclusion), Geofence((own,)), home_amsl_m=200.0)
    assert holds(both, 1500.0, 0.0) == (False, True)  # in the plan's ring only: an older release would let it pass
    one = as_one_ring(both, HOME)
    assert one.exclusion == both.exclusion
    for east in range(-1250, 2250, 130):
        for north in range(-1250, 1250, 130):
            inside = -200 < east < 1000 and -200 < north < 600
            assert holds(one, east, north) == (inside, inside)


@pytest.mark.parametrize(
    "rings",
    [
        (square(-1000, -1000, 1000, 1000),),
        (square(-1000, -1000, 1000, 1000), square(2000, 0, 3000, 900)),
        (square(-1000, -1000, 1000, 1000), square(100, 100, 900, 900)),  # home is not in both
        (square(-1000, -1000, 1000, 1000), (HOME, FRAME.to_geo(9, 9), FRAME.to_geo(0, 9), FRAME.to_geo(9, 0))),
    ],
    ids=["one", "apart", "home outside", "crossing itself"],
)
def test_a_fence_that_has_no_common_area_round_home_stays_as_it_is(rings):
    assert as_one_ring(Geofence(rings), HOME) == Geofence(rings)

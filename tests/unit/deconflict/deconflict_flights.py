# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flights, fences and strategies that the tests of deconfliction share."""

from __future__ import annotations

from hypothesis import strategies as st

from missions.deconflict.model import Flight
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.model import Authority, Category, FlightPlan, Geofence, Mission, VehicleLimits, Waypoint

FRAME = LocalFrame(GeoPoint(-33.86, 151.2))
MISSION = Mission("m-1", "patrol", Authority("duty desk", "plan 7"), Category.PATROL)
LIMITS = VehicleLimits()


def ring(west, south, east, north):
    return tuple(FRAME.to_geo(*p) for p in ((west, south), (east, south), (east, north), (west, north)))


FENCE = Geofence((ring(-2000, -2000, 2000, 2000),), max_altitude=Altitude(120.0, Datum.HOME))


def plan(name, home, places, *, height=60.0, holds=None, serves=None, amsl=100.0, datum=Datum.HOME, **changes):
    """A plan from (east, north) through places at one height above home."""
    holds, serves = holds or [0.0] * len(places), serves or [()] * len(places)
    value = height if datum is Datum.HOME else amsl + height
    values = {
        "vehicle_id": name,
        "mission": MISSION,
        "home": FRAME.to_geo(*home),
        "home_amsl_m": amsl,
        "takeoff_height_m": height,
        "waypoints": tuple(
            Waypoint(FRAME.to_geo(*p), Altitude(value, datum), hold_s=h, serves=s)
            for p, h, s in zip(places, holds, serves, strict=True)
        ),
        "fence": FENCE,
        "return_height_m": 70.0,
        "cruise_speed_m_s": 8.0,
    }
    return FlightPlan(**{**values, **changes})


places = st.tuples(st.integers(-600, 600), st.integers(-600, 600))


@st.composite
def flight_sets(draw, *, least=2, most=5, top_priority=0):
    """Flights from two docks whose pads are too near each other, over ways that cross."""
    flights = []
    for number in range(draw(st.integers(least, most))):
        dock = draw(st.sampled_from([(-300.0, 0.0), (250.0, 100.0)]))
        count = draw(st.integers(1, 4))
        flights.append(
            Flight(
                plan(
                    f"d{number}",
                    (dock[0], dock[1] + 7.0 * number),
                    draw(st.lists(places, min_size=count, max_size=count, unique=True)),
                    height=draw(st.sampled_from([40.0, 50.0, 55.0, 60.0])),
                    holds=draw(st.lists(st.sampled_from([0.0, 0.0, 15.0, 120.0]), min_size=count, max_size=count)),
                    amsl=draw(st.sampled_from([100.0, 103.3])),
                    datum=draw(st.sampled_from([Datum.HOME, Datum.AMSL])),
                ),
                start_s=draw(st.sampled_from([0.0, 0.0, 12.5, 90.0])),
                priority=draw(st.integers(0, top_priority)),
            )
        )
    return flights

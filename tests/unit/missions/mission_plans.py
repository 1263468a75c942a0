# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plans, fences and strategies that several tests share."""

from __future__ import annotations

from hypothesis import strategies as st

from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.model import Authority, Category, FlightPlan, Geofence, Mission, VehicleLimits, Waypoint

HOME = GeoPoint(29.74, 107.27)
FRAME = LocalFrame(HOME)
MISSION = Mission("m-1", "patrol", Authority("duty desk", "plan 7"), Category.PATROL)
LIMITS = VehicleLimits()
MARGIN_M = LIMITS.position_error_m + LIMITS.cruise_speed_m_s**2 / (2 * LIMITS.acceleration_m_s2)


def square(west, south, east, north, frame=FRAME):
    return tuple(frame.to_geo(*p) for p in ((west, south), (east, south), (east, north), (west, north)))


FENCE = Geofence(
    inclusion=(square(-1000, -1000, 1000, 1000),),
    exclusion=(square(300, -100, 500, 100),),
    max_altitude=Altitude(120.0, Datum.HOME),
)


def make_plan(places, *, height=60.0, fence=FENCE, home=HOME, home_amsl_m=200.0, **changes):
    """A plan through (east, north) places at one height above home."""
    waypoints = tuple(Waypoint(FRAME.to_geo(*p), Altitude(height, Datum.HOME)) for p in places)
    values = {
        "vehicle_id": "d1",
        "mission": MISSION,
        "home": home,
        "home_amsl_m": home_amsl_m,
        "takeoff_height_m": height,
        "waypoints": waypoints,
        "fence": fence,
        "return_height_m": 70.0,
        "cruise_speed_m_s": LIMITS.cruise_speed_m_s,
    }
    return FlightPlan(**{**values, **changes})


near_points = st.builds(GeoPoint, st.floats(29.7, 29.8), st.floats(107.2, 107.3))
altitudes = st.builds(Altitude, st.integers(-400, 9000).map(float), st.sampled_from([Datum.HOME, Datum.AMSL]))
names = st.sampled_from(["d1", "patrol 7", "李渡", 'a "quoted" <name> & more', "\\back\\slash", "évening\u2028line"])
waypoints = st.builds(
    Waypoint,
    near_points,
    altitudes,
    speed_m_s=st.none() | st.sampled_from([0.5, 3.0, 8.0, 12.3]),
    hold_s=st.sampled_from([0.0, 2.5, 600.0]),
    acceptance_radius_m=st.sampled_from([0.0, 3.0, 7.5]),
    yaw_deg=st.none() | st.sampled_from([-180.0, 0.0, 33.3]),
    gimbal_pitch_deg=st.none() | st.sampled_from([-90.0, -45.5, 0.0]),
    trigger_m=st.none() | st.sampled_from([0.0, 7.25, 40.0]),
    photo=st.booleans(),
    serves=st.sampled_from([(), ("market",), ("a", "b")]),
)
rings = st.lists(near_points, min_size=3, max_size=4, unique=True).map(tuple)
fences = st.builds(
    Geofence,
    st.lists(rings, max_size=2).map(tuple),
    st.lists(rings, max_size=2).map(tuple),
    st.none() | altitudes,
)
missions = st.builds(Mission, names, names, st.builds(Authority, names, names), st.sampled_from(list(Category)))
plans = st.builds(
    FlightPlan,
    vehicle_id=names,
    mission=missions,
    home=near_points,
    home_amsl_m=st.floats(-400, 6000),
    takeoff_height_m=st.floats(2.0, 200.0),
    waypoints=st.lists(waypoints, max_size=4).map(tuple),
    fence=fences,
    return_height_m=st.floats(10.0, 200.0),
    cruise_speed_m_s=st.floats(0.5, 20.0),
    start_after_s=st.just(0.0) | st.floats(0.0, 90_000.0),
)

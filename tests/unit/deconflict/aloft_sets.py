# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sets of drones in the air, that the tests of flying on apart share, and what the judge says of them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from missions.deconflict.aloft import Aloft, Shorter
from missions.energy import plan_energy
from missions.judge_separation import judge_separation
from tests.unit.deconflict.deconflict_flights import LIMITS, plan

spots = st.tuples(st.integers(-400, 400), st.integers(-400, 400))


def aloft(flight, *, battery=1.0, shortens=True, comes_home=True):
    """A drone in the air at the first waypoint of a plan, which may be cut off waypoint by waypoint."""

    def shorter(seconds):
        was = plan_energy(flight, LIMITS).time_s
        for count in range(len(flight.waypoints) - 1, 0, -1):
            cut = replace(flight, waypoints=flight.waypoints[:count])
            sooner = was - plan_energy(cut, LIMITS).time_s
            if sooner >= seconds:
                return Shorter(cut, sooner)
        return None

    home = replace(flight, waypoints=flight.waypoints[:1]) if comes_home else None
    more = {"shorter": shorter} if shortens else {}
    return Aloft(flight, battery, home=home, **more)


@st.composite
def aloft_sets(draw, *, least=2, most=10):
    """Drones of two docks in the air, on ways that cross, with full and with nearly used batteries."""
    out = []
    for number in range(draw(st.integers(least, most))):
        dock = draw(st.sampled_from([(-300.0, 0.0), (250.0, 100.0)]))
        count = draw(st.integers(1, 6))
        flight = plan(
            f"d{number}",
            (dock[0], dock[1] + 12.0 * number),
            draw(st.lists(spots, min_size=count, max_size=count, unique=True)),
            height=draw(st.sampled_from([40.0, 46.0, 52.0, 58.0])),
        )
        out.append(aloft(flight, battery=draw(st.sampled_from([1.0, 0.8, 0.6]))))
    return out


@st.composite
def near_sets(draw):
    """Two to four drones that are too near to each other now, or nearly so, and fly about there before they go."""
    out = []
    for number in range(draw(st.integers(2, 4))):
        first, spot = (st.tuples(*[st.integers(-reach, reach)] * 2) for reach in (10, 25))
        flight = plan(
            f"d{number}",
            draw(st.sampled_from([(-300.0, 12.0 * number), (250.0, 12.0 * number), (0.0, 12.0 * number)])),
            [draw(first), *draw(st.lists(st.one_of(spot, spots), max_size=4))],
            height=draw(st.sampled_from([40.0, 46.0, 52.0])),
        )
        out.append(aloft(flight, battery=draw(st.sampled_from([1.0, 0.6]))))
    return out


def met(plans, in_air, *, wind=0.0, late_s=None, leaving_s=0.0):
    """Pairs that the judge finds too near; late_s: by how much each flight is late; leaving_s: as the judge has it."""
    late = [0.0] * len(plans) if late_s is None else late_s
    starts = [p.start_after_s + s for p, s in zip(plans, late, strict=True)]
    found = judge_separation(plans, starts, LIMITS, wind_m_s=wind, aloft=in_air, leaving_s=leaving_s)
    return {(b.first, b.second) for b in found}

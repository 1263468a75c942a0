# SPDX-License-Identifier: AGPL-3.0-or-later
"""The lost person of a scene: placed by the law of distances, inside the ring, outside what is closed."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from missions.geo import GeoPoint, LocalFrame
from missions.search.lost_person import CATEGORIES, distance_law
from missions.terrain import FlatTerrain
from sim.config import ConfigError, LostConfig, Place, SimConfig, parse
from sim.eyes.world import LOST_POSTURES, distance_for, make_world

HERE = GeoPoint(29.74, 107.27)
RING = [[29.735, 107.265], [29.735, 107.275], [29.745, 107.275], [29.745, 107.265]]
CLOSED = [[29.7402, 107.2702], [29.7402, 107.2725], [29.7425, 107.2725], [29.7425, 107.2702]]


def lost_of(category: str, reach_m: float = 900.0, **changes):
    law = distance_law(category, "temperate_flat")
    return {
        "last_seen": {"latitude_deg": HERE.latitude_deg, "longitude_deg": HERE.longitude_deg},
        "distances_m": [1000.0 * km for km in law.knots_km],
        "shares": list(law.shares),
        "reach_m": reach_m,
        "keep_out": [CLOSED],
        **changes,
    }


def config(seed: int, **changes) -> SimConfig:
    vehicle = {
        "vehicle_id": "d1", "system_id": 11, "home": {"latitude_deg": 29.74, "longitude_deg": 107.27},
        "target_host": "127.0.0.1", "target_port": 24999,
    }  # fmt: skip
    document = {
        "schema_version": 1, "seed": seed, "origin": vehicle["home"], "terrain": {"flat_amsl_m": 200.0},
        "vehicles": [vehicle], "scene": {"ring": RING, "rocks": 3, "lost": lost_of("dementia", **changes)},
    }  # fmt: skip
    return parse(json.dumps(document).encode())


@given(category=st.sampled_from(CATEGORIES), share=st.floats(0.0, 1.0, exclude_max=True))
def test_distances_are_those_of_the_law(category, share):
    law = distance_law(category, "temperate_flat")
    lost = LostConfig(
        Place(HERE.latitude_deg, HERE.longitude_deg), tuple(1000.0 * k for k in law.knots_km), law.shares, 1e6
    )
    assert float(law.share_within(distance_for(lost, share))) == pytest.approx(share, abs=1e-9)


def test_people_lie_where_the_law_has_them_inside_the_ring_and_never_where_it_is_closed():
    frame = LocalFrame(HERE)
    low, high = (frame.to_enu(GeoPoint(*CLOSED[i])) for i in (0, 2))
    away, postures = [], set()
    for seed in range(24):
        world = make_world(config(seed), FlatTerrain(200.0))
        person = world.entities[0]
        assert person.entity_id == "lost-1"
        assert [e.kind for e in world.entities[1:]] == ["rock"] * 3
        assert not (low[0] < person.east_m < high[0] and low[1] < person.north_m < high[1])
        assert max(abs(person.east_m), abs(person.north_m)) < 560.0
        away.append(math.hypot(person.east_m, person.north_m))
        postures.add(person.posture)
    assert max(away) <= 900.0
    assert postures == set(LOST_POSTURES)
    # Within 480 m the ring cuts nothing off: there the law holds but for the closed square, in one sector out of many.
    inner = np.sort([a for a in away if a <= 480.0])
    law = distance_law("dementia", "temperate_flat")
    wanted = law.share_within(inner) / float(law.share_within(480.0))
    assert np.abs(wanted - (np.arange(len(inner)) + 0.5) / len(inner)).max() < 0.4


def test_a_person_who_cannot_be_inside_is_refused():
    far = {"latitude_deg": 29.9, "longitude_deg": 107.27}
    with pytest.raises(ValueError, match="hardly ever inside the ring"):
        make_world(config(1, last_seen=far), FlatTerrain(200.0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shares": [0.25, 0.2, 0.75, 0.95, 1.0]}, "shares must rise"),
        ({"shares": [0.25, 0.5]}, "same length"),
        ({"reach_m": 0.0}, "reach_m must be positive"),
        ({"keep_out": [[[29.74, 107.27]]]}, "at least 3 corners"),
    ],
)
def test_a_law_that_is_none_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        config(1, **changes)

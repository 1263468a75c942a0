# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a report says of flights of which some never started."""

import pytest

from dronectl.demo.gather import flight_summaries
from dronectl.demo.watch import Flown
from dronectl.operations.planning import plan_site_patrol
from dronectl.paths import default_site_file
from dronectl.site import load_site
from missions.model import Budget


def test_a_flight_that_was_called_off_before_its_start_is_told_as_not_flown():
    found = plan_site_patrol(load_site(default_site_file()), Budget(iterations=0))
    first, *others = found.plans
    sortie = {
        "sortie_id": "s1",
        "waypoints_reached": 2,
        "waypoints_total": len(first.waypoints),
        "outcome": "aborted",
        "outcome_note": "everyone returns",
    }
    flown = Flown(sorties={first.vehicle_id: sortie}, battery={first.vehicle_id: 0.8, others[0].vehicle_id: 1.0})
    told = flight_summaries(found.plans, found.energies, flown)
    assert [t.outcome for t in told] == ["aborted", *["not flown"] * len(others)]
    assert (told[0].waypoints_reached, told[1].waypoints_reached) == (2, 0)
    assert told[1].waypoints_total == len(others[0].waypoints)
    assert told[1].note == "called off before its start"
    assert told[1].planned_length_m > 0.0
    assert told[1].flown_length_m == pytest.approx(0.0)

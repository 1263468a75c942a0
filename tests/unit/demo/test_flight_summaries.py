# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a report says of flights of which some never started."""

from datetime import UTC, datetime

import pytest

from dronectl.demo.gather import flight_summaries
from dronectl.demo.search_collect import down_again
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
        "notices": [
            {
                "kind": "off-way",
                "text": "off its way towards waypoint 2 by 41 m for 15 s",
                "waypoint": 2,
                "seconds": 15.2,
                "metres": 41.4,
                "began_at": "2026-11-26T20:00:00.000+00:00",
                "ended_at": None,
                "end_note": "",
            }
        ],
    }
    flown = Flown(sorties={first.vehicle_id: sortie}, battery={first.vehicle_id: 0.8, others[0].vehicle_id: 1.0})
    told = flight_summaries(found.plans, found.energies, flown)
    assert [t.outcome for t in told] == ["aborted", *["not flown"] * len(others)]
    assert (told[0].waypoints_reached, told[1].waypoints_reached) == (2, 0)
    assert told[1].waypoints_total == len(others[0].waypoints)
    assert told[1].note == "called off before its start"
    assert [n.zh for n in told[0].notices] == ["偏离航线，飞往航点 2，41 米，15 秒"]
    assert told[0].notices[0].en.startswith("off its way towards waypoint 2 by 41 m for 15 s (")
    assert told[1].notices == ()
    assert told[1].planned_length_m > 0.0
    assert told[1].flown_length_m == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("states", "called_off", "down"),
    [
        (("landed", "landed"), False, True),
        (("landed", "failed"), False, False),
        (("landed", "failed"), True, True),
        (("failed", "failed"), True, False),
    ],
)
def test_who_was_called_back_on_the_ground_need_not_land(states, called_off, down):
    now = datetime.now(UTC)
    sorties = {v: {"state": state} for v, state in zip(("d1", "d2"), states, strict=True)}
    assert down_again(Flown(sorties=sorties, aloft={"d1": (now, now)}, called_off=called_off)) is down

# SPDX-License-Identifier: AGPL-3.0-or-later
"""What `dronectl demo cover` plays and how it is judged, without flying: plans stand in for the true positions."""

from collections import Counter

import pytest

from dronectl.demo.cover_collect import seen_share
from dronectl.demo.cover_stage import WISHES, cover_play, draw_area
from dronectl.demo.stage import set_stage
from dronectl.operations.covering import plan_site_cover
from dronectl.paths import default_site_file
from dronectl.report.cover_data import cover_goals
from dronectl.report.truth import TruePosition
from missions.energy import height_above_home_m
from missions.model import Budget


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    stage = set_stage(tmp_path_factory.mktemp("cover"), default_site_file(), 3, 4.0, None, cover_play())
    area = draw_area(stage, 3)
    return stage, plan_site_cover(stage.site, area, WISHES, Budget(iterations=20, seed=3))


def as_planned(found, sorties, lower_m: float = 0.0) -> dict[str, list[TruePosition]]:
    tracks: dict[str, list[TruePosition]] = {}
    for sortie in sorties:
        plan, track = sortie.plan, tracks.setdefault(sortie.vehicle_id, [])
        track.append(TruePosition(0.0, plan.home.latitude_deg, plan.home.longitude_deg, plan.home_amsl_m))
        for w in plan.waypoints:
            amsl = plan.home_amsl_m + height_above_home_m(w.altitude, plan.home_amsl_m) - lower_m
            track.append(TruePosition(0.0, w.position.latitude_deg, w.position.longitude_deg, amsl))
        track.append(track[0])
    return tracks


def test_every_drone_flies_more_than_once_and_nothing_forbids_it(played):
    _, found = played
    assert found.clean
    assert set(Counter(s.vehicle_id for s in found.plan.sorties).values()) == {2}
    assert len(found.area.shape.interiors) == 1


def test_what_was_flown_is_judged_and_not_what_was_planned(played):
    stage, found = played
    width_m = min(found.grid.across_m, found.grid.along_m)
    whole = seen_share(stage.site, found, as_planned(found, found.plan.sorties), width_m)
    assert whole > 0.995
    without = seen_share(stage.site, found, as_planned(found, found.plan.sorties[1:]), width_m)
    assert 0.6 < without < 0.9
    assert seen_share(stage.site, found, as_planned(found, found.plan.sorties, lower_m=25.0), width_m) == 0.0
    assert seen_share(stage.site, found, {}, width_m) == 0.0


@pytest.mark.parametrize(
    ("seen", "completed", "landed", "reached"),
    [
        (0.995, 4, True, [True, True, True]),
        (0.98, 4, True, [False, True, True]),
        (1.0, 3, True, [True, False, True]),
        (1.0, 4, False, [True, True, False]),
    ],
)
def test_every_condition_can_fail(seen, completed, landed, reached):
    goals = cover_goals(1.0, seen, completed=completed, planned=4, all_landed=landed)
    assert [g.reached for g in goals] == reached

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The story of `dronectl demo search`: the form, the changed site and the scene, before anything flies."""

import json

import pytest
import yaml

from dronectl.demo.search_stage import DECOYS, search_play, story_of
from dronectl.demo.stage import set_stage
from dronectl.operations.last_seen import WALKING_M_S
from dronectl.paths import default_site_file
from dronectl.site import load_site
from missions.geo import distance_m
from sim.config import parse


@pytest.fixture(scope="module")
def site():
    return load_site(default_site_file())


def test_the_place_last_seen_is_near_the_dock_and_changes_with_the_seed(site):
    stories = [story_of(site, seed) for seed in range(30)]
    assert all(distance_m(s.form.at, site.docks[0].position) <= 500.0 for s in stories)
    assert len({s.place for s in stories}) > 1
    assert story_of(site, 5) == story_of(site, 5)


@pytest.mark.parametrize("bare", [False, True])
def test_stage_of_a_search(tmp_path, site, bare):
    """Also of a site file that leaves limits and failsafe to the defaults."""
    source = default_site_file()
    if bare:
        document = yaml.safe_load(source.read_text(encoding="utf-8"))
        del document["limits"], document["failsafe"]
        document["terrain"] = str(source.parent / document["terrain"])
        source = tmp_path / "bare.yaml"
        source.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    (tmp_path / "run").mkdir()
    story = story_of(site, 1)
    stage = set_stage(tmp_path / "run", source, 1, 4.0, None, search_play(story))
    assert stage.site.model.mission.category == "search"
    assert stage.site.limits.endurance_s == story.endurance_s
    assert min(d.return_height_m for d in stage.site.drones) >= 80.0
    scene = parse(stage.sim_document.read_bytes()).scene
    assert scene is not None
    assert scene.lost is not None
    assert scene.lost.reach_m == pytest.approx(story.form.hours_ago * 3600.0 * WALKING_M_S)
    assert (scene.people, scene.fires) == (0, 0)
    assert scene.animals == DECOYS["animals"]
    # Nothing but the law is handed to the simulator, and no place of the person to anybody.
    assert "lost-1" not in json.dumps(json.loads(stage.sim_document.read_text(encoding="utf-8")))

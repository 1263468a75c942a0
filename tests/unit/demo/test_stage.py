# SPDX-License-Identifier: AGPL-3.0-or-later
"""The site that a demonstration is played on: its vehicles' clocks run faster than ours, its ground station's does not."""

import pytest

from dronectl.demo.stage import set_stage
from dronectl.paths import default_site_file
from dronectl.site import load_site


@pytest.mark.parametrize(("speed", "wanted_s"), [(0.5, 15), (1.0, 15), (4.0, 60), (10.0, 150), (50.0, 300)])
def test_a_lost_link_takes_as_long_of_our_time_at_any_speed(tmp_path, speed, wanted_s):
    """A heartbeat a second is what the link gives: at ten times the speed 15 s would be over after one and a half."""
    own = load_site(default_site_file()).model.failsafe
    assert own.link_loss_s == 15
    stage = set_stage(tmp_path, default_site_file(), 1, speed, None)
    assert stage.site.model.failsafe == own.model_copy(update={"link_loss_s": wanted_s})
    assert f"clocks run {speed:g} times as fast" in stage.site.file.read_text(encoding="utf-8")

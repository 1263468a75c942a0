# SPDX-License-Identifier: AGPL-3.0-or-later
"""A drone has one colour, in whichever picture it stands and in whatever order flights are listed."""

import pytest

from dronectl.report.map_style import DRONE_COLOURS, colours_of


@pytest.mark.parametrize("ids", [["d1", "d2", "d3"], ["d3", "d1", "d2"], ["d2"], ["d3", "d2"]])
def test_d2_is_the_same_in_every_picture(ids):
    assert colours_of(ids)["d2"] == DRONE_COLOURS[1]


@pytest.mark.parametrize(
    "ids",
    [["d1", "d9"], ["north-1", "south-1"], ["hawk", "owl"], ["hawk", "d1"], [f"d{i}" for i in range(9)], ["d0", "d8"]],
)
def test_two_in_one_picture_are_told_apart_as_far_as_there_are_colours(ids):
    colours = colours_of(ids)
    assert len(set(colours.values())) == min(len(ids), len(DRONE_COLOURS))
    assert colours == colours_of(reversed(ids))

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plans and fences as mission items, and the comparison with what came back from an autopilot."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mission_plans import FENCE, fences, make_plan, plans

from missions.geo import Altitude, Datum
from missions.mavlink_items import (
    DO_CHANGE_SPEED,
    NAV_RETURN_TO_LAUNCH,
    NAV_TAKEOFF,
    NAV_WAYPOINT,
    compile_fence,
    compile_plan,
    differences,
)


def _through_an_autopilot(items):
    """float32 parameters, and PX4's own acceptance radius for NaN yaw kept as it is."""

    def narrow(value):
        return float(np.float32(value))

    return tuple(
        replace(
            i,
            z=narrow(i.z),
            param1=narrow(i.param1),
            param2=narrow(i.param2),
            param3=narrow(i.param3),
            param4=narrow(i.param4),
        )
        for i in items
    )


@given(plans)
def test_items_begin_with_takeoff_and_end_with_return(plan):
    compiled = compile_plan(plan)
    items = compiled.items
    assert items[0].command == NAV_TAKEOFF
    assert items[0].z == plan.takeoff_height_m
    assert items[1].command == DO_CHANGE_SPEED
    assert items[-1].command == NAV_RETURN_TO_LAUNCH
    assert [i.seq for i in items] == list(range(len(items)))
    assert [i.current for i in items] == [1] + [0] * (len(items) - 1)


@given(plans)
def test_every_waypoint_is_reached_in_order_at_its_place(plan):
    compiled = compile_plan(plan)
    reached = [(w, i) for i, w in zip(compiled.items, compiled.waypoint_of_item, strict=True) if w is not None]
    assert [w for w, _ in reached] == list(range(len(plan.waypoints)))
    speed = plan.cruise_speed_m_s
    position = 0
    for index, item in reached:
        waypoint = plan.waypoints[index]
        assert item.command == NAV_WAYPOINT
        assert abs(item.x - waypoint.position.latitude_deg * 1e7) <= 0.5
        assert abs(item.y - waypoint.position.longitude_deg * 1e7) <= 0.5
        assert (item.frame == 3) == (waypoint.altitude.datum is Datum.HOME)
        assert item.z == waypoint.altitude.value_m
        assert item.param1 == waypoint.hold_s
        # The speed in force on arrival is the last one asked for.
        while compiled.items[position] is not item:
            if compiled.items[position].command == DO_CHANGE_SPEED:
                speed = compiled.items[position].param2
            position += 1
        asked = [w.speed_m_s for w in plan.waypoints[: index + 1] if w.speed_m_s is not None]
        assert speed == (asked[-1] if asked else plan.cruise_speed_m_s)


@given(plans)
def test_what_comes_back_through_float32_counts_as_equal(plan):
    items = compile_plan(plan).items
    assert differences(items, items) == []
    assert differences(items, _through_an_autopilot(items)) == []


@given(fences)
def test_fences_compare_equal_to_themselves_and_name_ring_sizes(fence):
    items = compile_fence(fence)
    assert differences(items, items) == []
    assert len(items) == sum(len(r) for r in (*fence.inclusion, *fence.exclusion))
    assert sorted({int(i.param1) for i in items}) == sorted({len(r) for r in (*fence.inclusion, *fence.exclusion)})


CHANGES = {
    "place": lambda i: replace(i, x=i.x + 20),
    "longitude": lambda i: replace(i, y=i.y - 20),
    "altitude": lambda i: replace(i, z=i.z + 0.5),
    "frame": lambda i: replace(i, frame=0 if i.frame == 3 else 3),
    "command": lambda i: replace(i, command=21),
    "hold": lambda i: replace(i, param1=i.param1 + 1.0),
    "radius": lambda i: replace(i, param2=i.param2 + 1.0),
    "lost number": lambda i: replace(i, param2=math.nan),
}


@pytest.mark.parametrize("change", CHANGES)
@given(data=st.data())
def test_a_changed_item_is_named(change, data):
    items = compile_plan(make_plan([(100, 0), (100, 100), (0, 100)])).items
    index = data.draw(st.sampled_from([i for i, item in enumerate(items) if item.command == NAV_WAYPOINT]))
    changed = list(items)
    changed[index] = CHANGES[change](items[index])
    found = differences(items, tuple(changed))
    assert found
    assert all(f"item {index}" in line for line in found)


def test_a_missing_item_and_swapped_items_are_seen():
    items = compile_plan(make_plan([(100, 0), (0, 100)])).items
    assert "5 items were sent and 4 came back" in differences(items, items[:-1])[0]
    swapped = (*items[:2], items[3], items[2], items[4])
    assert differences(items, swapped)


def test_int_frames_name_the_same_altitudes():
    items = compile_plan(make_plan([(100, 0)])).items
    as_int = tuple(replace(i, frame=6) if i.frame == 3 else i for i in items)
    assert differences(items, as_int) == []


def test_altitudes_above_terrain_cannot_be_uploaded():
    plan = make_plan([(100, 0)])
    low = replace(plan.waypoints[0], altitude=Altitude(50.0, Datum.TERRAIN))
    with pytest.raises(ValueError, match="terrain"):
        compile_plan(replace(plan, waypoints=(low,)))


def test_a_fence_keeps_its_rings_apart():
    items = compile_fence(FENCE)
    assert [i.command for i in items] == [5001] * 4 + [5002] * 4
    assert all(i.mission_type == 1 for i in items)

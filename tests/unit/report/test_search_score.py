# SPDX-License-Identifier: AGPL-3.0-or-later
import dataclasses

import pytest
from truth_cases import HERE, alert, entity

from dronectl.report.score import score
from dronectl.report.search_score import SWAP_S, Result, flight_times, result_of, search_goals
from dronectl.report.truth import TruePosition
from missions.geo import destination


def track(*spans: tuple[float, float], until_s: float = 2000.0) -> list[TruePosition]:
    """On the ground at 300 m, in the air between the given times."""
    out = []
    for t in range(0, int(until_s), 5):
        up = any(a <= t < b for a, b in spans)
        out.append(TruePosition(float(t), HERE.latitude_deg, HERE.longitude_deg, 380.0 if up else 300.2))
    return out


def test_flights_are_of_the_wave_in_which_they_began():
    tracks = {"d1": track((50, 400), (600, 900)), "d2": track((60, 430), (610, 850)), "d3": track()}
    times = flight_times(tracks, [20.0, 595.0])
    assert times.waves == ((50.0, 430.0), (600.0, 900.0))
    assert times.flown_min == pytest.approx((380 + 300) / 60)


def test_flights_of_one_wave_that_do_not_overlap_are_one_wave():
    tracks = {"d1": track((50, 200)), "d2": track((300, 500), (700, 800))}
    assert flight_times(tracks, [20.0, 600.0]).waves == ((50.0, 500.0), (700.0, 800.0))
    assert flight_times(tracks, [20.0, 600.0, 900.0]).waves == ((50.0, 500.0), (700.0, 800.0))


def test_a_change_of_batteries_counts_three_minutes_however_quick_it_was():
    quick = flight_times({"d1": track((50, 400), (410, 900))}, [0.0, 405.0])
    assert quick.minutes_until(200.0) == pytest.approx(150 / 60)
    assert quick.minutes_until(500.0) == pytest.approx((450 + SWAP_S - 10) / 60)
    slow = flight_times({"d1": track((50, 400), (1000, 1400))}, [0.0, 405.0])
    assert slow.minutes_until(1100.0) == pytest.approx(1050 / 60)


def test_a_flight_that_never_ended_and_none_at_all():
    assert flight_times({"d1": track((50, 5000))}, [0.0]).waves == ((50.0, 1995.0),)
    with pytest.raises(ValueError, match="nobody left the ground"):
        flight_times({"d1": track(), "d2": []}, [0.0])


@pytest.mark.parametrize(
    ("changes", "found", "result"),
    [
        ({}, True, Result.FOUND),
        ({}, False, Result.MISSED),
        ({"looks": 1}, False, Result.HIDDEN),
        ({"visible_fraction": 0.3}, False, Result.HIDDEN),
        ({"looks": 0}, False, Result.NOT_THERE),
        ({"camera_id": "d1-rgb"}, False, Result.NOT_THERE),
    ],
)
def test_what_a_search_owes(changes, found, result):
    person = entity("lost-1", HERE, **changes)
    assert result_of(person, found=found) is result


def goals_of(judged, result, minutes, **changes):
    values = {"alerts": 1, "all_landed": True, **changes}
    return {g.en: g.reached for g in search_goals(judged, result, minutes, "30 % is left", **values)}


def test_goals_of_a_find_in_time_and_too_late():
    judged = score([entity("lost-1", HERE)], [alert("a", destination(HERE, 20, 3))])
    assert all(goals_of(judged, Result.FOUND, 12.0).values())
    late = goals_of(judged, Result.FOUND, 31.0)
    assert [name for name, reached in late.items() if not reached] == ["found within 30 minutes of the first launch"]


def test_a_search_that_flew_elsewhere_says_what_is_left_and_one_that_missed_fails():
    nobody = score([entity("lost-1", HERE, looks=0)], [])
    goals = search_goals(nobody, Result.NOT_THERE, None, "30 % is left", alerts=0, all_landed=True)
    assert all(g.reached for g in goals)
    assert "30 % is left" in goals[0].figure
    missed = score([entity("lost-1", HERE)], [])
    assert not search_goals(missed, Result.MISSED, None, "", alerts=0, all_landed=True)[0].reached


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"all_landed": False}, "everyone landed"),
        ({"false": 3}, "at most 2 alarms were false or double"),
        ({"acknowledged": False}, "every alert was acknowledged"),
    ],
)
def test_every_other_condition_can_fail(changes, name):
    wrong = [alert(f"f{i}", destination(HERE, 90.0 * i, 300.0)) for i in range(changes.get("false", 0))]
    right = dataclasses.replace(alert("a", HERE), acknowledged=changes.get("acknowledged", True))
    judged = score([entity("lost-1", HERE)], [right, *wrong])
    goals = goals_of(judged, Result.FOUND, 5.0, all_landed=changes.get("all_landed", True))
    assert [goal for goal, reached in goals.items() if not reached] == [name]

# SPDX-License-Identifier: AGPL-3.0-or-later
"""A day's flights as plans: judged one by one and together, one-way lines, camera directions, priorities, closed schools."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from test_timetable import MONDAY, complaints, rules_of
from test_timetable import flown as flown_day
from typer.testing import CliRunner

from dronectl.cli.common import open_site
from dronectl.cli.main import app
from dronectl.errors import BadInputError
from dronectl.operations.closed_hours import closed_rings
from dronectl.operations.planning import check_at_site, plan_site_patrol, read_plan_file
from dronectl.operations.timetable import day_at_site, read_timetable_file
from dronectl.operations.timetable_file import TimetableModel
from dronectl.operations.timetable_plans import DayPlanner, flight_name
from missions.deconflict.trajectory import common_frame, fly, places_m
from missions.energy import plan_energy
from missions.feasibility import blockers
from missions.judge_patrol import judge_day
from missions.judge_separation import judge_separation
from missions.model import Aim, Budget
from missions.revisit.day import later
from missions.revisit.day_plans import DayRules, kept_apart
from missions.revisit.timetable import day_has_room
from missions.validate import MustLine, MustPoint, judge_patrol

RUNNER = CliRunner()
AIM = Aim(300.0, -35.0)


@pytest.fixture(scope="module")
def site():
    """The demonstration site with the dam to be looked at from one side, and its lines one-way."""
    plain = open_site(None)
    points = tuple(replace(p, aim=AIM, dwell_s=12.0) if p.place_id == "dam" else p for p in plain.points)
    return replace(plain, points=points, lines=tuple(replace(line, one_way=True) for line in plain.lines))


@pytest.fixture(scope="module")
def made(site):
    return day_at_site(site, read_timetable_file(site, None)[0], MONDAY, Budget(2))


def must(site, names):
    points = [
        MustPoint(p.place_id, p.position, p.dwell_s, None if p.aim is None else (p.aim.yaw_deg, p.aim.pitch_deg))
        for p in site.points
        if p.place_id in names
    ]
    return points, [MustLine(x.line_id, x.path, x.one_way) for x in site.lines if x.line_id in names]


def test_every_flight_of_the_day_can_be_flown_as_its_plan(site, made):
    assert made.clean
    assert complaints(site, made) == []
    for flight, plan, energy in zip(made.found.flights, made.plans, made.energies, strict=True):
        served = [i for w in plan.waypoints for i in w.serves]
        assert Counter(served) == Counter(s.item_id for s in flight.stops)
        assert plan.home == site.drone(flight.vehicle_id).pad
        assert plan.mission.mission_id == f"timetable-{flight_name(flight)}"
        assert energy.landing_fraction >= site.limits.reserve_fraction
        assert abs(energy.time_s - (flight.landed_s - flight.depart_s)) < 25.0
        if max(Counter(served).values()) == 1:
            points, lines = must(site, served)
            assert judge_patrol([plan], points, lines, site.fence, site.limits, site.terrain) == []


def meetings(site, flights, plans, wind_m_s=0.0):
    """What the judge of separation says, hour by hour, each flight under a name of its own, as it wants them."""
    found = []
    for hour in range(5, 23):
        near = [
            (replace(p, vehicle_id=flight_name(f)), f.depart_s)
            for f, p in zip(flights, plans, strict=True)
            if f.depart_s < 3600.0 * (hour + 1) and f.landed_s + 60.0 > 3600.0 * hour
        ]
        starts = [s - 3600.0 * hour for _, s in near]
        found += judge_separation([p for p, _ in near], starts, site.limits, wind_m_s=wind_m_s)
    return found


def test_the_judge_of_separation_finds_nothing_in_the_day(site, made):
    assert meetings(site, made.found.flights, made.plans) == []


def test_with_too_few_drones_visits_are_missed_and_nobody_meets(site):
    """The school day of two drones on neighbouring pads: one of them is always wanted somewhere."""
    two = [d.drone_id for d in site.drones[:2]]
    made = day_at_site(site, read_timetable_file(site, None)[0], MONDAY, Budget(6), drone_ids=two)
    assert made.found.misses
    assert made.clean
    assert meetings(site, made.found.flights, made.plans) == []


@pytest.mark.parametrize("room", [True, False])
def test_a_flight_that_would_meet_another_is_put_off_or_else_given_up(site, room):
    """Every drone is to start at the same time, again and again, from neighbouring pads; nothing is closed then."""
    made = day_at_site(site, read_timetable_file(site, None)[0], MONDAY, Budget(1))
    planner = DayPlanner(site, site.drones)
    patrols = [f for f in made.found.flights if f.kind == "patrol"]
    firsts = [[f for f in patrols if f.vehicle_id == d.drone_id][-3:] for d in site.drones]
    crowd = [later(f, 18.0 * 3600.0 + 3600.0 * i - f.depart_s) for own in firsts for i, f in enumerate(own)]
    assert meetings(site, crowd, [planner.plan_of(f) for f in crowd])
    no = lambda *_: False  # noqa: E731
    yes = lambda flights, index, moved: day_has_room(made.task, flights, index, moved)  # noqa: E731
    done = kept_apart(
        crowd, planner.plan_of, site.limits, DayRules(as_good=no, possible=yes if room else no, put_off=lambda *_: None)
    )
    assert done.meeting == 0
    assert meetings(site, done.flights, [planner.plan_of(f) for f in done.flights]) == []
    assert len(done.flights) + len(done.given_up) == len(crowd)
    assert bool(done.given_up) is not room
    for one in site.drones:
        own = sorted((f for f in done.flights if f.vehicle_id == one.drone_id), key=lambda f: f.depart_s)
        assert all(a.landed_s < b.depart_s for a, b in pairwise(own))


def test_starts_that_are_told_in_tenths_bring_no_two_flights_together(site, made):
    """The second starts from the neighbouring pad two hundredths of a second after the first has landed."""
    planner = DayPlanner(site, site.drones)
    own = {
        d.drone_id: [f for f in made.found.flights if f.kind == "patrol" and f.vehicle_id == d.drone_id]
        for d in site.drones
    }
    first, second = (flights[-1] for flights in list(own.values())[1:3])
    first = later(first, 18.0 * 3600.0 + 0.04 - first.depart_s)
    plan = planner.plan_of(first)
    landed_s = first.depart_s + fly(plan, site.limits, places_m(plan, common_frame([plan]))).duration_s
    second = later(second, landed_s + 0.02 - second.depart_s)
    rules = DayRules(lambda *_: True, lambda *_: True, put_off=lambda *_: None)
    done = sorted(kept_apart([first, second], planner.plan_of, site.limits, rules).flights, key=lambda f: f.depart_s)
    off_s = [done[0].depart_s + 0.05, done[1].depart_s - 0.05]
    assert judge_separation([planner.plan_of(f) for f in done], off_s, site.limits) == []


def test_no_flight_is_brought_forward_to_before_the_patrols_hours(made):
    """A flight alone on its day, at an hour when nothing is closed: it has room, but not a second before the hours."""
    flight = next(f for f in made.found.flights if f.kind == "patrol")
    begin = made.task.hours[0]
    first = later(flight, begin + 60.0 - flight.depart_s)
    assert day_has_room(made.task, [first], 0, later(first, -60.0))
    assert not day_has_room(made.task, [first], 0, later(first, -61.0))


def test_the_judges_see_a_line_flown_backwards_and_a_camera_that_looks_elsewhere(site, made):
    day = rules_of(site, made)
    one_way = frozenset(x.line_id for x in site.lines)
    flights = flown_day(made)
    assert judge_day(flights, replace(day, one_way=one_way)) == []
    wrong = {k: (path[::-1], i, w) if k in one_way else (path, i, w) for k, (path, i, w) in day.items.items()}
    assert any("does not fly along" in c for c in judge_day(flights, replace(day, items=wrong, one_way=one_way)))
    found = plan_site_patrol(site, Budget(300))
    points, lines = must(site, {p.place_id for p in site.points} | one_way)
    judged = [site.fence, site.limits, site.terrain]
    assert judge_patrol(found.plans, points, lines, *judged) == []
    back = [replace(x, path=x.path[::-1]) for x in lines]
    assert sum("not followed" in c for c in judge_patrol(found.plans, points, back, *judged)) == len(lines)
    other = [replace(p, aim_deg=(10.0, -35.0)) if p.aim_deg else p for p in points]
    assert any("does not look at dam" in c for c in judge_patrol(found.plans, other, lines, *judged))
    other = [replace(p, aim_deg=(AIM.yaw_deg, -60.0)) if p.aim_deg else p for p in points]
    assert any("does not look at dam" in c for c in judge_patrol(found.plans, other, lines, *judged))
    pitches = [
        w.gimbal_pitch_deg for p in found.plans for w in p.waypoints if any("dam" in q.serves for q in p.waypoints)
    ]
    assert sorted(set(pitches)) == [-90.0, AIM.pitch_deg]  # straight down everywhere else on that flight


def test_a_flight_put_off_keeps_its_shape(made):
    flight = made.found.flights[0]
    moved = later(flight, 10.0)
    assert moved.landed_s - moved.depart_s == pytest.approx(flight.landed_s - flight.depart_s)
    assert [m.path_m for m in moved.moves] == [m.path_m for m in flight.moves]
    assert all(b.arrive_s - a.arrive_s == pytest.approx(10.0) for a, b in zip(flight.stops, moved.stops, strict=True))
    assert later(flight, 0.0) is flight


def test_a_priority_divides_the_default_interval():
    asked = TimetableModel.model_validate(
        {"schema_version": 1, "default_interval_min": 60, "items": {"dam": {"priority": 3}, "ferry": {"priority": 0.5}}}
    )
    assert (asked.interval_of("dam"), asked.interval_of("ferry"), asked.interval_of("market")) == (20.0, 120.0, 60.0)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ("{dam: {}}", "give interval_min"),
        ("{dam: {interval_min: 20, priority: 2}}", "not both"),
        ("{dam: {priority: 0}}", "priority"),
        ("{dam: {priority: 2}}\ndefault_interval_min: null", "a priority divides default_interval_min"),
    ],
)
def test_bad_priorities_are_refused(site, tmp_path, items, said):
    file = tmp_path / "t.yaml"
    file.write_text(f"schema_version: 1\nitems: {items}\n")
    with pytest.raises(BadInputError, match=said):
        read_timetable_file(site, file)


def test_a_patrol_in_school_hours_keeps_off_the_schools(site):
    model = read_timetable_file(site, None)[0]
    closed = closed_rings(site, model, MONDAY, 8.25 * 3600.0, 8.75 * 3600.0)
    assert set(closed) == {"school-east", "school-west"}
    found = plan_site_patrol(site, Budget(300), closed=tuple(closed.values()))
    bounded = replace(site.fence, exclusion=(*site.fence.exclusion, *closed.values()))
    points, lines = must(site, {p.place_id for p in site.points} | {x.line_id for x in site.lines})
    assert judge_patrol(found.plans, points, lines, bounded, site.limits, site.terrain) == []
    assert all(set(closed.values()) <= set(p.fence.exclusion) for p in found.plans)
    assert all(blockers(check_at_site(site, p)) == [] for p in found.plans)
    free = plan_site_patrol(site, Budget(300))
    over = judge_patrol(free.plans, points, lines, bounded, site.limits, site.terrain)
    assert any("keep-out" in c for c in over)  # so the hours do matter here
    assert closed_rings(site, model, date(2026, 11, 22), 8.25 * 3600.0, 8.75 * 3600.0) == {}
    with pytest.raises(BadInputError, match="no hours of schools"):
        closed_rings(site, TimetableModel(schema_version=1), MONDAY, 0.0, 1.0)


def test_the_commands(tmp_path):
    result = RUNNER.invoke(
        app, ["plan", "patrol", "--at", "08:15", "--day", "2026-11-23", "--iterations", "100", "--out", str(tmp_path / "p"),
              "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["closed"] == ["school-east", "school-west"]
    out = tmp_path / "day"
    result = RUNNER.invoke(
        app, ["plan", "timetable", "--day", "2026-11-23", "--iterations", "1", "--out", str(out), "--json"]
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["clean"]
    assert said["planner"] == "timetable"
    shipped = open_site(None)
    for flight in said["flights"]:
        assert read_plan_file(shipped, out / flight["file"]).vehicle_id == flight["drone"]
        assert flight["file"] == f"{flight['drone']}-{flight['takeoff'].replace(':', '')}.plan"
    assert (out / "routes.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--at", "8.15"), "write it as 08:15"), (("--day", "2026-11-23"), "give its time with --at")],
)
def test_bad_times_are_refused(tmp_path, arguments, said):
    result = RUNNER.invoke(app, ["plan", "patrol", *arguments, "--out", str(tmp_path / "p")])
    assert isinstance(result.exception, BadInputError), result.output
    assert said in str(result.exception)


def test_a_windy_day_is_planned_checked_and_said_as_one(site, made):
    """Ways take longer and batteries less: each flight is held against the day's own wind, not against a calm one."""
    wind = 5.0
    windy = day_at_site(site, read_timetable_file(site, None)[0], MONDAY, Budget(1), wind_m_s=wind)
    assert windy.clean
    for flight, plan, energy in zip(windy.found.flights, windy.plans, windy.energies, strict=True):
        assert energy == plan_energy(plan, site.limits, wind_m_s=wind)
        assert blockers(check_at_site(site, plan, wind_m_s=wind)) == []
        assert energy.time_s <= flight.landed_s - flight.depart_s + 25.0  # what is kept free before the next flight
    assert meetings(site, windy.found.flights, windy.plans, wind) == []
    assert windy.task.craft[0].fly_s < made.task.craft[0].fly_s
    assert windy.task.ways.open_travel_s(0, 4) > made.task.ways.open_travel_s(0, 4)
    with pytest.raises(BadInputError, match="above the vehicles' limit"):
        day_at_site(site, read_timetable_file(site, None)[0], MONDAY, Budget(1), wind_m_s=10.5)

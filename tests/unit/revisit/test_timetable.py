# SPDX-License-Identifier: AGPL-3.0-or-later
"""A day's timetable: flown in the mind by the judge; what is not kept is said; urgent missions; files and bad input."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
import typer
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dronectl.cli import plan as plan_cli
from dronectl.cli.common import open_site
from dronectl.errors import BadInputError
from dronectl.operations.timetable import day_at_site, read_timetable_file
from dronectl.operations.timetable_file import CalendarModel, TimetableModel, hours_s
from missions.geo import GeoPoint
from missions.judge_patrol import DayFlight, DayRules, judge_day
from missions.model import Budget
from missions.revisit.day import gaps

APP = typer.Typer()
APP.add_typer(plan_cli.plan_app, name="plan")
RUNNER = CliRunner()
MONDAY, SUNDAY = date(2026, 11, 23), date(2026, 11, 22)
HOUR = 3600.0


@pytest.fixture(scope="module")
def site():
    return open_site(None)


@pytest.fixture(scope="module")
def model(site):
    return read_timetable_file(site, None)[0]


def rules_of(site, made):
    task = made.task
    rings = {s.line_id: tuple(site.frame.to_enu(p) for p in s.path) for s in site.schools}
    return DayRules(
        pads={c.vehicle_id: tuple(task.ways.places_m[c.dock]) for c in task.craft},
        fly_s={c.vehicle_id: c.fly_s for c in task.craft},
        swap_s=task.swap_s,
        speed_m_s=site.limits.cruise_speed_m_s,
        items={v.item_id: (v.path_m, v.interval_s, v.windows) for v in task.visits},
        watches={w.item_id: (tuple(task.ways.places_m[w.place]), w.windows) for w in task.watches},
        closed=tuple((rings[c.name], c.windows) for c in made.closed),
        fence=tuple(site.frame.to_enu(p) for p in site.fence.inclusion[0]),
        said=tuple((m.item_id, m.from_s, m.to_s) for m in made.found.misses),
    )


def flown(made):
    return [
        DayFlight(
            f.vehicle_id,
            f.depart_s,
            f.landed_s,
            tuple((s.kind, s.item_id, s.arrive_s, s.leave_s) for s in f.stops),
            tuple((m.start_s, m.end_s, m.path_m) for m in f.moves),
        )
        for f in made.found.flights
    ]


def complaints(site, made):
    return judge_day(flown(made), rules_of(site, made))


@pytest.fixture(scope="module")
def monday(site, model):
    return day_at_site(site, model, MONDAY, Budget(3))


def test_a_school_day_is_kept_and_stands_before_the_judge(site, monday):
    assert monday.found.misses == ()
    assert complaints(site, monday) == []
    assert {c.name for c in monday.closed} == {"school-east", "school-west"}
    assert monday.found.bound <= monday.found.worst_ratio <= 1.0
    watch = sorted((s.arrive_s, s.leave_s) for f in monday.found.flights for s in f.stops if s.kind == "watch")
    assert watch[0][0] <= 17 * HOUR + 1
    assert watch[-1][1] >= 19 * HOUR - 1
    assert len(watch) > 2
    assert all(b[0] < a[1] for a, b in pairwise(watch))


def test_the_judge_sees_what_is_wrong(site, monday):
    rules, flights = rules_of(site, monday), flown(monday)
    assert any("and nothing says so" in c for c in judge_day(flights[5:], rules))
    short = replace(rules, fly_s=dict.fromkeys(rules.fly_s, 200.0))
    assert any("longer than its battery" in c for c in judge_day(flights, short))
    assert any("before its battery is swapped" in c for c in judge_day(flights, replace(rules, swap_s=9999.0)))
    assert any("m in" in c for c in judge_day(flights, replace(rules, speed_m_s=5.0)))
    whole = ((rules.fence, ((0.0, 86400.0),)),)
    assert any("closed area" in c for c in judge_day(flights, replace(rules, closed=whole)))
    moved = replace(rules, pads={k: (x + 50.0, y) for k, (x, y) in rules.pads.items()})
    assert any("jumps" in c for c in judge_day(flights, moved))
    other = replace(flights[0], stops=(("visit", "dam", 0.0, 1.0),))
    assert any("is not at dam" in c for c in judge_day([other], rules))


def test_the_judge_sees_who_hovers_above_an_area_that_closes_and_opens_meanwhile():
    ring = ((80.0, -20.0), (120.0, -20.0), (120.0, 20.0), (80.0, 20.0))
    pad, place = (0.0, 0.0), (100.0, 0.0)
    rules = DayRules(
        pads={"d1": pad}, fly_s={"d1": 600.0}, swap_s=60.0, speed_m_s=8.0, items={}, watches={"p": (place, ())},
        closed=((ring, ((150.0, 200.0),)),),
        fence=((-50.0, -50.0), (200.0, -50.0), (200.0, 50.0), (-50.0, 50.0)), said=(),
    )  # fmt: skip
    moves = ((20.0, 40.0, (pad, place)), (300.0, 320.0, (place, pad)))
    flight = DayFlight("d1", 0.0, 340.0, (("watch", "p", 40.0, 300.0),), moves)
    assert judge_day([flight], rules) == ["d1 at 0 stays above a closed area from 40 to 300"]
    assert judge_day([flight], replace(rules, closed=((ring, ((310.0, 400.0),)),))) == []


def test_a_free_day_has_no_school_hours(site, model):
    made = day_at_site(site, model, SUNDAY, Budget(1))
    assert made.closed == ()
    assert {k.item_id for k in made.found.kept}.isdisjoint({"school-east", "school-west"})
    assert complaints(site, made) == []


# Shrinking days takes minutes and shows little: the failing day is printed as it is.
@settings(max_examples=6, deadline=None, print_blob=True, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    seed=st.integers(0, 9),
    interval=st.sampled_from([6.0, 15.0, 25.0, 50.0, 300.0]),
    drones=st.integers(1, 3),
    swap=st.sampled_from([0.0, 5.0, 25.0]),
    urgent=st.lists(st.integers(8 * 3600, 11 * 3600), max_size=2),
)
def test_whatever_is_asked_the_judge_finds_nothing_unsaid(site, seed, interval, drones, swap, urgent):
    asked = TimetableModel.model_validate(
        {
            "schema_version": 1,
            "hours": "08:00-11:00",
            "swap_min": swap,
            "default_interval_min": interval,
            "calendars": {"school": {"hours": ["08:30-10:30"]}, "watch": {"hours": ["09:00-10:10"]}},
            "watches": [{"point": "dam", "calendar": "watch"}],
            "closed": [{"school": s, "calendar": "school"} for s in ("school-east", "school-west")],
        }
    )
    orders = [(float(at), site.points[at % len(site.points)].position, 60.0 * (5 + at % 40)) for at in urgent]
    ids = [d.drone_id for d in site.drones[:drones]]
    made = day_at_site(site, asked, MONDAY, Budget(2, seed=seed), urgent=orders, drone_ids=ids)
    assert complaints(site, made) == []
    said = {m.item_id for m in made.found.misses}
    for number, (at, _, stay) in enumerate(orders, 1):
        name = f"urgent-{number}"
        stays = [s for f in made.found.flights for s in f.stops if s.kind == "urgent" and s.item_id == name]
        assert all(s.arrive_s >= at for s in stays)
        if name not in said:
            begin, end = min(s.arrive_s for s in stays), max(s.leave_s for s in stays)
            assert begin <= at + 300.0
            assert end - begin >= stay - 2.0


def test_an_urgent_mission_takes_the_nearest_drone_and_the_patrol_resumes(site, model, monday):
    # A drone is half a minute from the dam, the others are not: the farthest point from the dock.
    dam = next(p.position for p in site.points if p.place_id == "dam")
    stop = next(
        s
        for f in monday.found.flights
        for k, s in enumerate(f.stops)
        if f.kind == "patrol" and f.depart_s > 9 * HOUR and s.item_id == "dam" and 1 <= k < len(f.stops) - 1
    )
    at, place = stop.arrive_s - 25.0, dam
    made = day_at_site(site, model, MONDAY, Budget(3), urgent=[(at, place, 600.0)])
    assert complaints(site, made) == []
    (sent,) = [f for f in made.found.flights if f.kind == "urgent"]
    (stay,) = [s for s in sent.stops if s.kind == "urgent"]
    assert stay.leave_s - stay.arrive_s == pytest.approx(600.0)
    assert at < stay.arrive_s < at + 240.0
    assert sent.depart_s < at
    assert sent.dropped
    before = [f for f in monday.found.flights if f.depart_s < at and f.depart_s != sent.depart_s]
    assert set(before) <= set(made.found.flights)
    for item in sent.dropped:
        later = [s.arrive_s for f in made.found.flights for s in f.stops if s.item_id == item and s.arrive_s > at]
        assert later
    # Too long for one battery: a second drone relieves the first before it leaves.
    long = day_at_site(site, model, MONDAY, Budget(1), urgent=[(at, place, 3000.0)])
    assert complaints(site, long) == []
    stays = sorted((s.arrive_s, s.leave_s) for f in long.found.flights for s in f.stops if s.kind == "urgent")
    assert len(stays) >= 3
    assert all(b[0] < a[1] for a, b in pairwise(stays))
    assert stays[-1][1] - stays[0][0] >= 3000.0 - 1.0


def test_what_cannot_be_kept_is_said_with_the_reason(site):
    asked = {
        "schema_version": 1,
        "hours": "08:00-09:00",
        "default_interval_min": None,
        "calendars": {"all": {"hours": ["08:00-09:00"]}},
        "items": {"dam": {"interval_min": 3}, "school-east": {"interval_min": 30}},
        "closed": [{"school": "school-east", "calendar": "all", "margin_m": 60}],
    }
    made = day_at_site(site, TimetableModel.model_validate(asked), MONDAY, Budget(2), drone_ids=["d1"])
    why = {m.item_id: m.why for m in made.found.misses}
    assert "closed" in why["school-east"]
    assert "d1" in why["dam"] or "edge" in why["dam"]
    assert made.found.worst_ratio > 1.0
    assert complaints(site, made) == []


def test_a_battery_that_does_not_reach_is_said_in_seconds(site, model):
    short = replace(site, limits=replace(site.limits, endurance_s=330.0))
    made = day_at_site(short, model, SUNDAY, Budget(1))
    assert any("more than a battery lasts" in m.why for m in made.found.misses)
    assert complaints(short, made) == []


def test_weights_shorten_intervals(site, model):
    asked = TimetableModel(schema_version=1, hours="08:00-10:00")
    plain = day_at_site(site, asked, SUNDAY, Budget(1))
    heavy = day_at_site(site, asked, SUNDAY, Budget(1), weights={"market": 3.0})
    visits = [{k.item_id: len(k.arrivals_s) for k in d.found.kept}["market"] for d in (plain, heavy)]
    assert visits[1] > visits[0]


def test_same_seed_same_day(site, model):
    assert day_at_site(site, model, SUNDAY, Budget(2)).found == day_at_site(site, model, SUNDAY, Budget(2)).found


def test_gaps_and_calendars():
    assert gaps([5.0, 20.0, 1.0], (2.0, 10.0)) == [(2.0, 5.0), (5.0, 10.0)]
    assert gaps([], (2.0, 10.0)) == [(2.0, 10.0)]
    school = CalendarModel.model_validate(
        {
            "weekdays": ["mon"],
            "hours": ["08:00-09:00", "08:30-10:00", "12:00-24:00"],
            "never": [{"first": "2026-11-23", "last": "2026-11-23"}],
            "also": ["2026-11-21"],
        }
    )
    assert school.windows(date(2026, 11, 16)) == ((8 * HOUR, 10 * HOUR), (12 * HOUR, 24 * HOUR))
    assert school.windows(MONDAY) == ()
    assert school.windows(date(2026, 11, 21)) != ()
    assert school.windows(SUNDAY) == ()
    for wrong in ("8-9", "09:00-08:00", "10:00-24:30"):
        with pytest.raises(ValueError, match=r"hours|end"):
            hours_s(wrong)


def run(*arguments):
    return RUNNER.invoke(APP, ["plan", "timetable", *(str(a) for a in arguments)])


def test_the_command_writes_json_csv_and_a_picture(site, tmp_path):
    weights = tmp_path / "heat.json"
    weights.write_text(json.dumps({"weights": {"market": 1.5}}))
    result = run(
        "--day", "2026-11-23", "--iterations", 1, "--out", tmp_path / "day", "--weights", weights,
        "--urgent", "10:00,29.7401,107.2699,10", "--json",
    )  # fmt: skip
    assert result.exit_code in {0, 1}, result.output
    said = json.loads(result.stdout)
    assert (result.exit_code == 1) is bool(said["not_kept"] or not said["clean"])
    assert said["weights"] == {"market": 1.5}
    assert any(f["kind"] == "urgent" for f in said["flights"])
    on_disk = json.loads((tmp_path / "day" / "timetable.json").read_text(encoding="utf-8"))
    assert on_disk["flights"] == said["flights"]
    text = (tmp_path / "day" / "timetable.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == sum(len(f["stops"]) for f in said["flights"])
    picture = "".join(ET.parse(tmp_path / "day" / "timetable.svg").getroot().itertext())  # noqa: S314  # our own file
    assert all(p.name in picture for p in site.points)
    assert "巡飞时刻表 Timetable: 李渡镇（演示） Lidu township (demonstration), 星期一 Monday 2026-11-23" in picture
    assert "浅橙：学校禁飞时段" in picture
    assert "orange: schools closed to overflight" in picture


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--day", "23.11.2026"), "write it as 2026-11-23"),
        (("--urgent", "25:00,29.74,107.27,5"), "write it as 14:30"),
        (("--urgent", "10:00,29.74,107.27"), "write it as 14:30"),
        (("--urgent", "10:00,107.27,29.74,5"), "swapped"),
        (("--urgent", "10:00,29.74,107.27,0"), "above 0"),
        (("--urgent", "10:00,29.80,107.27,5"), "outside where legs may go"),
        (("--drones", "d9"), "there is no drone 'd9'"),
        (("--drones", ","), "names no drone"),
        (("--weights", "none.json"), "cannot be read"),
        (("--file", "none.yaml"), "none.yaml"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, said):
    result = run(*arguments, "--out", tmp_path / "day", "--iterations", 1)
    assert isinstance(result.exception, BadInputError), result.output
    assert said in str(result.exception)
    assert not (tmp_path / "day").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("{}", "missing or empty"),
        ('{"weights": {"moon": 1}}', "no item 'moon'"),
        ('{"weights": {"market": 0}}', "from 0.05 to 20"),
    ],
)
def test_bad_weights_are_refused(tmp_path, text, said):
    file = tmp_path / "w.json"
    file.write_text(text)
    result = run("--weights", file, "--out", tmp_path / "day")
    assert said in str(result.exception)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hours: 22:00-06:00", ":2: hours"),
        ("items: {moon: {interval_min: 5}}", ":2: items.moon: there is no must-patrol item"),
        ("watches: [{point: market, calendar: never}]", "there is no calendar 'never'"),
        ("closed: [{school: harvard, calendar: x}]", "there is no school 'harvard'"),
        ("colour: red", "colour"),
        (
            "calendars: {a: {hours: ['08:00-09:00'], never: [{first: 2026-02-02, last: 2026-02-01}]}}",
            "before it begins",
        ),
    ],
)
def test_a_bad_timetable_file_is_refused_with_its_line(tmp_path, text, said):
    file = tmp_path / "t.yaml"
    file.write_text(f"schema_version: 1\n{text}\n")
    result = run("--file", file, "--out", tmp_path / "day")
    assert isinstance(result.exception, BadInputError), result.output
    assert said in str(result.exception)


def test_an_urgent_place_is_said_to_be_left_alone_only_while_it_is(site, model):
    """One drone, an hour: it goes home for a battery and comes back, and nobody is there from when it left."""
    place = GeoPoint(29.7401, 107.2699)
    made = day_at_site(site, model, MONDAY, Budget(1), urgent=[(10 * HOUR, place, HOUR)], drone_ids=["d1"])
    stays = sorted((s.arrive_s, s.leave_s) for f in made.found.flights for s in f.stops if s.kind == "urgent")
    said = [(m.from_s, m.to_s) for m in made.found.misses if m.item_id == "urgent-1"]
    assert len(stays) > 1
    assert said[: len(stays) - 1] == [(one[1], other[0]) for one, other in pairwise(stays)]


def test_a_place_that_is_watched_by_several_calendars_is_watched_once(site, model):
    """The same hours twice, and hours that overlap: one drone is there all the time, not two."""
    calendars = {**model.calendars, "late": CalendarModel(hours=["18:00-20:00"])}
    two = [*model.watches, *model.watches, model.watches[0].model_copy(update={"calendar": "late"})]
    task = day_at_site(site, model.model_copy(update={"calendars": calendars, "watches": two}), MONDAY, Budget(1)).task
    assert [(w.item_id, w.windows) for w in task.watches] == [("ferry", ((17 * HOUR, 20 * HOUR),))]


def test_a_watch_that_hardly_lasts_from_one_relief_to_the_next_says_so(site, model):
    long = model.model_copy(update={"overlap_s": 600.0, "default_interval_min": None, "items": {}})
    made = day_at_site(site, long, SUNDAY, Budget(1))
    (miss,) = made.found.misses
    assert "being relieved twice 1200 s, a battery lasts" in miss.why


def test_an_urgent_mission_leaves_a_little_later_where_it_would_meet_one_that_lands(site):
    """From the dock at once it would climb beside another drone that comes down there."""
    asked = TimetableModel.model_validate(
        {"schema_version": 1, "hours": "08:00-10:00", "swap_min": 5, "default_interval_min": 15.0}
    )
    place = next(p.position for p in site.points if p.place_id == "dam")
    met, late = [], []
    for at in range(31235, 31255, 5):
        made = day_at_site(site, asked, MONDAY, Budget(1, seed=0), urgent=[(float(at), place, 600.0)])
        met += [f for found in made.findings for f in found if f.code == "separation"]
        late += [f.depart_s - at for f in made.found.flights if f.kind == "urgent" and f.depart_s >= at]
        assert complaints(site, made) == []
    assert met == []
    assert 0.0 < max(late) <= 120.0

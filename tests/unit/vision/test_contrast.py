# SPDX-License-Identifier: AGPL-3.0-or-later
"""The contrast prediction: the sun against spherical geometry, balances that close, hours that everybody knows."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dronectl.cli.vision import vision_app
from dronectl.errors import BadInputError
from vision.contrast import (
    GROUNDS,
    SIGMA,
    Advice,
    Weather,
    advise,
    person_c,
    predict,
    restore,
    sun_elevation_deg,
    sun_w_m2,
)

CHINA = timezone(timedelta(hours=8))
APP = typer.Typer()
APP.add_typer(vision_app, name="vision")
RUNNER = CliRunner()


@given(st.floats(-65, 65), st.floats(-180, 180))
def test_the_highest_sun_of_the_longest_days(latitude, longitude):
    # spherical geometry: at noon of a solstice the sun stands 90 - |latitude -+ 23.44| high
    for month, tilt in ((6, 23.44), (12, -23.44)):
        day = datetime(2026, month, 21, tzinfo=UTC)
        highest = max(sun_elevation_deg(day + timedelta(minutes=2 * k), latitude, longitude) for k in range(720))
        assert highest == pytest.approx(90 - abs(latitude - tilt), abs=0.5)


@given(st.floats(-60, 60))
def test_day_and_night_are_equal_at_the_equinox(latitude):
    day = datetime(2026, 3, 20, tzinfo=UTC)
    up = sum(sun_elevation_deg(day + timedelta(minutes=5 * k), latitude, 0.0) > 0 for k in range(288))
    assert up / 12 == pytest.approx(12.0, abs=0.3)


@given(st.floats(-90, 90), st.floats(0, 1))
def test_sunshine_is_between_none_and_the_solar_constant(elevation, cloud):
    power = float(sun_w_m2(elevation, cloud))
    assert 0.0 <= power <= 1361.0 * max(0.0, math.sin(math.radians(elevation)))
    assert power <= float(sun_w_m2(elevation, 0.0))


@given(
    st.floats(-30, 45),
    st.floats(-30, 70),
    st.floats(150, 450),
    st.floats(0, 1050),
    st.floats(0, 15),
    st.floats(0.03, 0.4),
)
def test_a_bodys_heat_balance_closes(air, ground, sky, sun, wind, insulation):
    one = np.ones(1)
    t = float(
        person_c(air * one, ground * one, sky * one, sun * one, wind * one, insulation * one, 33.5, 0.65 * one)[0]
    )
    from_skin = (33.5 - t) / insulation
    to_air = max(2.38 * abs(t - air) ** 0.25, 12.1 * math.sqrt(wind)) * (t - air)
    around = 0.7 * sky + 0.3 * SIGMA * (ground + 273.15) ** 4
    radiated = 0.97 * (SIGMA * (t + 273.15) ** 4 - around)
    gain = 1 / insulation + 12.1 * math.sqrt(wind) + 2.38 * 5 + 8.0  # W m-2 that a degree is worth, at least its order
    assert abs(from_skin + 0.65 * sun - to_air - radiated) <= 0.002 * gain * 2


@given(st.floats(300, 2500))
@settings(max_examples=8, deadline=None)
def test_ground_swings_as_a_thick_layer_heated_by_a_daily_wave(inertia):
    # conduction into a half-space (Carslaw and Jaeger 1959): amplitude A / (inertia sqrt(w)), an eighth of a day late
    w, step = 2 * math.pi / 86400, 300.0
    surface = deep = np.zeros(1)
    told = []
    for k in range(288 * 8):
        surface, deep = restore(surface, deep, np.array([100 * math.cos(w * k * step)]), np.array([inertia]), step)
        told.append(float(surface[0]))
    last = np.array(told[-288:])
    assert np.ptp(last) / 2 == pytest.approx(100 / (inertia * math.sqrt(w)), rel=0.12)
    assert int(np.argmax(last)) * step / 3600 == pytest.approx(3.0, abs=0.6)


@lru_cache
def day(weather: Weather, ground: str, month: int = 7) -> dict[int, object]:
    hours = predict(datetime(2026, month, 20, tzinfo=CHINA), 30.6, 104.1, weather, GROUNDS[ground])
    return {h.at.hour: h for h in hours}


def test_a_hot_day_rejects_thermal_and_its_last_hours_of_night_do_not():
    hours = day(Weather(25, 37, 1.5, 0.1, 55), "dry-grass")
    assert all(hours[h].advice is Advice.PHOTO and hours[h].contrast_c < 0 for h in range(11, 18))
    assert hours[5].advice is Advice.THERMAL
    assert hours[14].ground_c > 50
    assert hours[14].contrast_low_c < hours[14].contrast_c < hours[14].contrast_high_c


def test_a_cold_night_shows_people_five_to_ten_degrees_warmer():
    hours = day(Weather(0, 9, 2, 0.2, 70), "grass", month=1)
    assert all(4 <= hours[h].contrast_c <= 10 and hours[h].advice is Advice.THERMAL for h in (0, 2, 4, 6, 22))


def test_what_everybody_knows_about_ground():
    clear = Weather(18, 30, 2.0, 0.0, 50)
    noon = {name: day(clear, name)[14].ground_c for name in ("asphalt", "dry-grass", "grass", "soil-wet")}
    assert noon["asphalt"] > noon["grass"] + 8
    assert noon["dry-grass"] > noon["grass"]
    night = {name: day(clear, name)[4].ground_c for name in ("asphalt", "dry-grass", "rock")}
    assert night["rock"] > night["dry-grass"]
    assert night["asphalt"] > night["dry-grass"]
    overcast, windy = day(Weather(18, 30, 2.0, 1.0, 50), "asphalt"), day(Weather(18, 30, 9.0, 0.0, 50), "asphalt")
    assert overcast[14].ground_c < noon["asphalt"] - 8
    assert windy[14].ground_c < noon["asphalt"] - 5
    assert overcast[4].ground_c > day(clear, "asphalt")[4].ground_c - 5


def test_without_sun_wind_and_swing_ground_and_air_settle_together():
    # a closed cloud radiates as the air does: nothing can drive the ground away from it
    hours = predict(datetime(2026, 12, 1, tzinfo=UTC), 80.0, 0.0, Weather(5, 5, 1.0, 1.0, 90), GROUNDS["rock"])
    assert max(h.sun_w_m2 for h in hours) == 0.0
    assert all(abs(h.ground_c - 5.0) < 0.3 for h in hours)


@given(
    st.floats(-15, 30), st.floats(0, 15), st.floats(0, 12), st.floats(0, 1), st.floats(10, 100),
    st.sampled_from(sorted(GROUNDS)), st.floats(-60, 60), st.integers(1, 12),
)  # fmt: skip
@settings(max_examples=5, deadline=None)
def test_any_weather_gives_temperatures_of_this_world_and_the_same_again(
    low, swing, wind, cloud, wet, ground, latitude, month
):
    weather, start = Weather(low, low + swing, wind, cloud, wet), datetime(2026, month, 15, tzinfo=UTC)
    hours = predict(start, latitude, 10.0, weather, GROUNDS[ground], hours=12)
    assert len(hours) == 12
    for h in hours:
        assert low - 25 < h.ground_c < 95
        assert low - 15 < h.person_c < 80
        assert h.contrast_low_c <= h.contrast_high_c
        assert h.advice is advise(h.contrast_c, h.contrast_low_c, h.clutter_c, h.sun_deg)
    assert hours == predict(start, latitude, 10.0, weather, GROUNDS[ground], hours=12)


def test_advice_in_the_dark_is_never_a_photo():
    assert advise(8.0, 5.0, 1.0, -20.0) is Advice.THERMAL
    assert advise(2.0, 0.5, 1.0, 30.0) is Advice.BOTH
    assert advise(2.0, 0.5, 1.0, -5.0) is Advice.DOUBTFUL
    assert advise(-9.0, -12.0, 1.0, 30.0) is Advice.PHOTO
    assert advise(-9.0, -12.0, 1.0, -5.0) is Advice.NEITHER


def test_hours_go_on_through_the_change_to_summer_time():
    start = datetime(2026, 3, 29, tzinfo=ZoneInfo("Europe/Berlin"))
    hours = predict(start, 52.5, 13.4, Weather(2, 12), GROUNDS["grass"], hours=5)
    assert [h.at.hour for h in hours] == [0, 1, 3, 4, 5]


def command(*arguments: str):
    return RUNNER.invoke(APP, ["vision", "advise", *arguments], catch_exceptions=False)


def test_the_command_for_people_and_for_machines():
    given_day = ("--air", "25..37", "--ground", "dry-grass", "--cloud", "0.1", "--date", "2026-07-20")
    text = command(*given_day)
    assert text.exit_code == 0
    assert command("--air", "-9..-2", "--date", "2026-01-20").exit_code == 0
    assert "photo sweep" in text.stdout
    report = json.loads(command(*given_day, "--at", "30.6,104.1", "--zone", "Asia/Shanghai", "--json").stdout)
    assert [h["at"][11:13] for h in report["hours"]] == [f"{h:02d}" for h in range(24)]
    assert sum(w["hours"] for w in report["windows"]) == 24
    assert report["hours"][14]["contrast_c"] < 0


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--air", "37"), "LOW..HIGH"),
        (("--air", "37..25"), "low <= high"),
        (("--air", "5..9", "--ground", "lava"), "there are grass"),
        (("--air", "5..9", "--date", "yesterday"), "YYYY-MM-DD"),
        (("--air", "5..9", "--at", "91,0"), "latitude is"),
        (("--air", "5..9", "--at", "here"), "LATITUDE,LONGITUDE"),
        (("--air", "5..9", "--zone", "Mars/Base"), "no such time zone"),
        (("--air", "5..9", "--cloud", "3"), "a share"),
        (("--air", "5..9", "--wind", "-1"), "wind"),
    ],
)
def test_the_command_refuses_what_cannot_be(arguments, what):
    with pytest.raises(BadInputError, match=what):
        command(*arguments)

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The simulator's control door: every line gets an answer, whatever it says."""

from __future__ import annotations

import json

import pytest

from missions.terrain import FlatTerrain
from sim.config import parse
from sim.control import obey
from sim.runner import Runner

DOCUMENT = {
    "schema_version": 1,
    "origin": {"latitude_deg": 29.74, "longitude_deg": 107.27},
    "terrain": {"flat_amsl_m": 250.0},
    "vehicles": [
        {
            "vehicle_id": "d1",
            "system_id": 1,
            "home": {"latitude_deg": 29.74, "longitude_deg": 107.27},
            "target_host": "127.0.0.1",
            "target_port": 9,
        }
    ],
}


@pytest.fixture
def runner() -> Runner:
    return Runner(parse(json.dumps(DOCUMENT).encode()), FlatTerrain(250.0))


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"\xff",
        b"[" * 60_000,
        b"[]",
        b'{"cut": "d1", "restore": "d1"}',
        b'{"cut": "d9"}',
        b'{"cut": []}',
        b'{"cut": {}}',
        b'{"faults": {"drop": NaN}}',
        b'{"faults": {"drop": 2}}',
        b'{"battery": 1}',
        b'{"battery": {"d1": null}}',
        b'{"battery": {"d1": NaN}}',
        b'{"battery": {"d1": 1e999}}',
        b'{"battery": {"d1": 1' + b"0" * 400 + b"}}",
        b'{"astray": 1}',
        b'{"astray": {"d9": 1}}',
        b'{"astray": {"d1": -1}}',
        b'{"astray": {"d1": NaN}}',
        b'{"astray": {"d1": "far"}}',
        b'{"fly": 1}',
    ],
    ids=lambda line: repr(line[:24]),
)
def test_what_cannot_be_obeyed_is_answered(runner, line):
    before = runner.vehicles["d1"].autopilot.vehicle.battery.fraction
    answer = obey(line, runner, lambda: None)
    assert answer["ok"] is False
    assert answer["error"]
    assert runner.vehicles["d1"].autopilot.vehicle.battery.fraction == before


def test_what_is_ordered_is_done(runner):
    ended = []
    assert obey(b'{"battery": {"d1": 0.25}}', runner, lambda: None)["ok"]
    assert obey(b'{"cut": "d1"}', runner, lambda: None)["ok"]
    told = obey(b'{"status": true}', runner, lambda: None)["status"]["vehicles"]["d1"]
    assert (told["battery_fraction"], told["cut"]) == (0.25, True)
    assert obey(b'{"quit": true}', runner, lambda: ended.append(True))["ok"]
    assert ended == [True]


def test_a_vehicle_goes_astray_until_it_is_told_otherwise(runner):
    core = runner.vehicles["d1"].autopilot.core
    assert obey(b'{"astray": {"d1": 1.6}}', runner, lambda: None)["ok"]
    assert core.astray is not None
    assert core.astray.speed_m_s == 1.6
    assert obey(b'{"astray": {"d1": null}}', runner, lambda: None)["ok"]
    assert core.astray is None

# SPDX-License-Identifier: AGPL-3.0-or-later
"""Broker, service and subscriber killed with SIGKILL: no alert lost, none acted on twice. The bench, small."""

import sys
from pathlib import Path

import pytest

from dronectl.bus.broker import find_mosquitto

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import bench_alerts

NO_MOSQUITTO = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", [pytest.param("mosquitto", marks=NO_MOSQUITTO), "amqtt"])
async def test_nothing_lost_and_nothing_done_twice(tmp_path, kind):
    outcome = await bench_alerts.play(
        tmp_path, 40, broker_kills=1, service_kills=1, subscriber_kills=1, kind=kind, timeout_s=300.0
    )
    assert outcome.kills == {"broker": 1, "service": 1, "subscriber": 1}
    assert (outcome.alerts, outcome.lost, outcome.double, outcome.open_messages) == (40, 0, 0, 0)
    assert outcome.lines >= 40
    # the judge itself: a line taken away or said twice, and it says so
    log = tmp_path / "dispatch.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[1:]))
    assert (await bench_alerts.compare(tmp_path, 40, {}, 0.0)).lost == 1
    log.write_bytes(b"".join([*lines, lines[0]]))
    assert (await bench_alerts.compare(tmp_path, 40, {}, 0.0)).double > 0
    log.write_bytes(b"".join(lines))
    assert (await bench_alerts.compare(tmp_path, 41, {}, 0.0)).lost == 1
    assert (await bench_alerts.compare(tmp_path, 40, {}, 0.0)).good

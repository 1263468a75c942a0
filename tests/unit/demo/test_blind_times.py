# SPDX-License-Identifier: AGPL-3.0-or-later
"""Gaps of cameras count in a report only while their drones were in the air."""

from datetime import UTC, datetime, timedelta

from dronectl.demo.gather import Run, blind_times
from dronectl.demo.watch import Flown
from dronectl.report.data import BlindTime

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def gap(camera: str, began: float, ended: float | None, reason: str = "no frames"):
    return {
        "camera_id": camera,
        "from": at(began).isoformat(timespec="milliseconds"),
        "to": None if ended is None else at(ended).isoformat(timespec="milliseconds"),
        "reason": reason,
    }


def run_with(*gaps) -> Run:
    return Run(1, 1.0, False, "MQTT", START, at(500), {}, {}, gaps)


def test_only_the_part_in_the_air_counts():
    first, second = (
        Flown(aloft={"d1": (at(100), at(200)), "d2": (at(100), at(150))}),
        Flown(aloft={"d1": (at(300), at(400))}),
    )
    run = run_with(
        gap("d1-thermal", 0, 110, "its first look is still to come"),  # until 10 s after the launch
        gap("d1-thermal", 190, 320),  # over the landing and the next launch
        gap("d2-rgb", 160, 170),  # on the ground
        gap("d2-rgb", 96, 104),  # no more than 4 s of it in the air
        gap("d1-rgb", 390, None),  # to the end
        gap("mast-1", 0, None),  # no drone's
    )
    assert blind_times(run, [first, second]) == (
        BlindTime("d1-thermal", at(100), 10.0, "its first look is still to come"),
        BlindTime("d1-thermal", at(190), 10.0, "no frames"),
        BlindTime("d1-thermal", at(300), 20.0, "no frames"),
        BlindTime("d1-rgb", at(390), 10.0, "no frames"),
    )


def test_no_gap_is_no_blind_time():
    assert blind_times(run_with(), [Flown(aloft={"d1": (at(0), at(1))})]) == ()

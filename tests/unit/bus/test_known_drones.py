# SPDX-License-Identifier: AGPL-3.0-or-later
"""A drone that leaves the site file does not stay at the broker as if it still belonged to the site."""

from __future__ import annotations

import json

import pytest

from dronectl.bus.client import Bus
from dronectl.bus.settings import BrokerAccess, BusSettings
from dronectl.operations.known_drones import FILE, take_leave


def test_a_drone_that_leaves_the_site_file_is_named_until_it_comes_back(tmp_path):
    assert take_leave(tmp_path, ["d1", "d2"]) == []
    assert take_leave(tmp_path, ["d1", "d2"]) == []
    assert take_leave(tmp_path, ["d2", "d3"]) == ["d1"]
    assert take_leave(tmp_path, ["d3"]) == ["d1", "d2"]  # the broker may have been away the last time
    assert take_leave(tmp_path, ["d1", "d3"]) == ["d2"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "\x00", '{"schema_version": 2}', '{"schema_version": 1, "drones": 5}', "[" * 100_000],
    ids=lambda content: repr(content[:12]),
)
def test_a_file_that_cannot_be_read_costs_nothing(tmp_path, content):
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    assert take_leave(tmp_path, ["d1"]) == []
    assert json.loads((tmp_path / FILE).read_text(encoding="utf-8"))["drones"] == ["d1"]


def test_names_that_are_no_drones_are_left_out(tmp_path):
    document = {"schema_version": 1, "drones": ["d1", "a/b", "#", 7, ""]}
    (tmp_path / FILE).write_text(json.dumps(document), encoding="utf-8")
    assert take_leave(tmp_path, ["d2"]) == ["d1"]


def test_a_folder_that_cannot_be_written_keeps_nobody_down(tmp_path):
    (tmp_path / FILE).mkdir()
    assert take_leave(tmp_path, ["d1"]) == []


def test_what_is_retained_of_a_drone_is_removed():
    bus = Bus(BusSettings("s", "exercise", BrokerAccess("127.0.0.1", 9), "x"))
    bus.remove_drone("d1")
    gone = {bus.topics.drone("d1", what) for what in ("state", "status")}
    assert {topic: bus._retained[topic] for topic in gone} == dict.fromkeys(gone, b"")
    assert gone <= bus._ending

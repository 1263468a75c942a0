# SPDX-License-Identifier: AGPL-3.0-or-later
"""The plan file that `dronectl fly` sends to the service."""

from __future__ import annotations

import json

import pytest

from dronectl.cli.vehicles import _read_plan, _say
from dronectl.errors import BadInputError


def test_a_byte_order_mark_is_no_fault(tmp_path):
    file = tmp_path / "a.plan"
    file.write_text(json.dumps({"fileType": "Plan"}), encoding="utf-8-sig")
    assert _read_plan(file) == {"fileType": "Plan"}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', "{", ""])
def test_what_is_no_plan_is_one_line(tmp_path, text):
    file = tmp_path / "a.plan"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError) as refused:
        _read_plan(file)
    assert str(refused.value).startswith(str(file))
    assert "\n" not in str(refused.value)


def test_what_a_vehicle_says_is_printed_as_it_is_and_steers_no_terminal(capsys):
    _say("paused 2/7 the vehicle went to hold without an order ([/pm] [red]low\x1b[2J)")
    said = capsys.readouterr().out
    assert "([/pm] [red]low" in said
    assert "\x1b" not in said

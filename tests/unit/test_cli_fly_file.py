# SPDX-License-Identifier: AGPL-3.0-or-later
"""The plan file that `dronectl fly` sends to the service."""

from __future__ import annotations

import json

import pytest

from dronectl.cli.vehicles import _read_plan
from dronectl.errors import BadInputError


def test_a_byte_order_mark_is_no_fault(tmp_path):
    file = tmp_path / "a.plan"
    file.write_text(json.dumps({"fileType": "Plan"}), encoding="utf-8-sig")
    assert _read_plan(file) == {"fileType": "Plan"}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": NaN}', '{"a": -Infinity}', "{", ""])
def test_what_is_no_plan_is_one_line(tmp_path, text):
    file = tmp_path / "a.plan"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError) as refused:
        _read_plan(file)
    assert str(refused.value).startswith(str(file))
    assert "\n" not in str(refused.value)

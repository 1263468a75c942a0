# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which vehicles the WebSocket sends again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dronectl.api.live import _differs

_views = st.fixed_dictionaries({
    "vehicle_id": st.just("d1"),
    "age_s": st.none() | st.floats(0.0, 9.0),
    "armed": st.none() | st.booleans(),
    "amsl_m": st.sampled_from((None, 1.0, 2.0)),
})  # fmt: skip


@given(st.none() | _views, _views)
def test_a_vehicle_is_sent_again_when_more_than_its_age_has_changed(
    sent: dict[str, Any] | None, now: dict[str, Any]
) -> None:
    expected = sent is None or any(sent[name] != now[name] for name in ("armed", "amsl_m"))
    view = dict(now)
    assert _differs(sent, now) == expected
    assert now == view  # it is what will be sent

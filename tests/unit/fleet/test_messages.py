# SPDX-License-Identifier: AGPL-3.0-or-later
"""Messages between service and worker: what goes in comes out, types and NaN included; foreign bytes are refused."""

from __future__ import annotations

import contextlib
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronectl.fleet.intervals import MAX_MESSAGES_PER_S, excess, wanted
from dronectl.fleet.link import FlightMode, LandedState, LinkFailure, PoseSample, VehicleAddress, VehicleState
from dronectl.fleet.messages import (
    TIMEOUT_S,
    Configure,
    FromWorker,
    Poses,
    Rates,
    Reply,
    Request,
    States,
    ToWorker,
    Verb,
)
from missions.mavlink_items import MissionItem

_encode = msgspec.msgpack.Encoder().encode
_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
_finite = st.floats(allow_nan=False, allow_infinity=False)

states = st.builds(
    VehicleState,
    vehicle_id=st.text(min_size=1),
    connected=st.booleans(),
    heard_monotonic_s=st.none() | _finite,
    mode=st.sampled_from(FlightMode),
    armed=st.none() | st.booleans(),
    landed=st.sampled_from(LandedState),
    latitude_deg=st.none() | _finite,
    mission_reached=st.none() | st.integers(0, 1000),
    last_text=st.none() | st.text(),
)


@given(st.lists(states, max_size=4), st.none() | st.sampled_from(LinkFailure))
def test_states_and_replies_survive(batch: list[VehicleState], failure: LinkFailure | None) -> None:
    message = States(tuple(batch))
    assert _from_worker(_encode(message)) == message
    reply = Reply(7, failure, "why", state=batch[0] if batch else None)
    assert _from_worker(_encode(reply)) == reply


@given(st.lists(st.floats(-1e6, 1e6), min_size=11, max_size=11))
def test_poses_survive(values: list[float]) -> None:
    message = Poses((PoseSample("d1", *values),))
    assert _from_worker(_encode(message)) == message


def test_nan_and_number_types_survive() -> None:
    item = MissionItem(0, 3, 16, 0.0, math.nan, 0.0, math.nan, 297_000_000, 1_074_000_000, 20.0)
    upload = _to_worker(_encode(Request(1, "d1", Verb.UPLOAD_MISSION, items=(item,))))
    assert isinstance(upload, Request)
    assert upload.items is not None
    (back,) = upload.items
    assert math.isnan(back.param2)
    assert math.isnan(back.param4)
    assert (back.x, back.y, back.z) == (item.x, item.y, item.z)
    for value in (2, 2.0):
        request = _to_worker(_encode(Request(2, "d1", Verb.SET_PARAM, name="A", value=value)))
        assert isinstance(request, Request)
        assert type(request.value) is type(value)


def test_configuration_survives() -> None:
    addresses = (VehicleAddress("d1", "udpin://127.0.0.1:24551", 11, "ab", pose_stream=True),)
    message = Configure(addresses, Rates(flying_hz=7.0))
    assert _to_worker(_encode(message)) == message


@given(st.binary(max_size=64))
def test_foreign_bytes_are_an_error_and_nothing_else(data: bytes) -> None:
    with contextlib.suppress(msgspec.MsgspecError):
        _from_worker(data)


def test_every_verb_has_a_time_out() -> None:
    assert set(TIMEOUT_S) | {Verb.WAIT_CONNECTED} == set(Verb)


@pytest.mark.parametrize("rate_hz", [Rates().position_hz, Rates().pose_stream_position_hz])
def test_the_wanted_messages_fit_the_budget(rate_hz: float) -> None:
    heartbeat_and_progress_hz = 3.0
    assert sum(message.rate_hz for message in wanted(rate_hz)) + heartbeat_and_progress_hz <= MAX_MESSAGES_PER_S


def test_what_is_not_wanted_is_switched_off_and_answers_are_left_alone() -> None:
    heard = {"HEARTBEAT": 2, "ATTITUDE": 100, "HIGHRES_IMU": 60, "COMMAND_ACK": 5, "BRAND_NEW_MESSAGE": 9}
    found = excess(heard, 2.0)
    assert found.switch_off == (("HIGHRES_IMU", 105),)
    assert found.unknown == ("BRAND_NEW_MESSAGE",)
    assert found.messages_per_s == 88.0


def test_message_numbers_are_those_of_mavlink() -> None:
    from pymavlink.dialects.v20 import common

    from dronectl.fleet.intervals import _IDS

    numbers = {message.msgname: number for number, message in common.mavlink_map.items()}
    known = {name: number for name, number in _IDS.items() if name in numbers}
    assert len(known) > 60
    assert known == {name: numbers[name] for name in known}
    for message in wanted(10.0):
        assert numbers[message.name] == message.message_id

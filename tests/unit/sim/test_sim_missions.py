# SPDX-License-Identifier: AGPL-3.0-or-later
"""The mission protocol of the simulated PX4: round trips, loss, cancel, refusals, parameters."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymavlink.dialects.v20 import common as mavlink
from sim_pilot import NAN, Pilot, patrol, place, square

from sim.config import FaultConfig
from sim.faults import Radio
from sim.fence import Fence
from sim.mavlink_messages import MissionItem

finite = st.floats(-1000.0, 1000.0, width=32)
items = st.lists(
    st.fixed_dictionaries(
        {
            "command": st.sampled_from([16, 19, 21, 22]),
            "frame": st.sampled_from([0, 3, 5, 6]),
            "p1": finite,
            "p2": st.one_of(finite, st.just(NAN)),
            "p4": st.one_of(finite, st.just(NAN)),
            "x": st.integers(-850_000_000, 850_000_000),
            "y": st.integers(-1_800_000_000, 1_800_000_000),
            "z": finite,
        }
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=20, deadline=None)
@given(items)
def test_what_is_read_back_is_what_was_sent(sent: list[dict[str, float]]):
    pilot = Pilot().ready()
    assert pilot.upload(sent) == 0
    back = pilot.download()
    assert len(back) == len(sent)
    for ours, theirs in zip(sent, back, strict=True):
        assert theirs.command == ours["command"]
        assert theirs.frame == {0: 5, 3: 6}.get(int(ours["frame"]), ours["frame"])
        assert (theirs.x, theirs.y, theirs.z) == (ours["x"], ours["y"], ours["z"])
        for name, key in (("param1", "p1"), ("param2", "p2"), ("param4", "p4")):
            value = getattr(theirs, name)
            assert value == ours[key] or (math.isnan(value) and math.isnan(ours[key]))


@pytest.mark.parametrize("seed", range(15))
def test_upload_survives_a_lossy_link(seed: int):
    """10 % of packets lost both ways: the vehicle asks again for what did not come."""
    pilot = Pilot(seed=str(seed)).ready()
    pilot.drop = 0.1
    plan = [*patrol(back=False), *[{"command": 16, **place(i, i), "z": 30.0} for i in range(40)]]
    assert pilot.upload(plan) == 0
    pilot.drop = 0.0
    assert [(b.command, b.x, b.y) for b in pilot.download()] == [
        (i["command"], i.get("x", 0), i.get("y", 0)) for i in plan
    ]


def test_cancelled_upload_keeps_the_old_mission():
    pilot = Pilot().ready()
    pilot.upload(patrol())
    before = [(item.command, item.x) for item in pilot.download()]
    pilot.say(mavlink.MAVLink_mission_count_message(7, 1, 3, 0))
    pilot.say(pilot.item({"command": 16, **place(9, 9), "z": 9.0}, 0))
    pilot.say(mavlink.MAVLink_mission_ack_message(7, 1, 15, 0))
    pilot.messages.clear()
    pilot.run(8.0)
    assert pilot.said("MISSION_REQUEST_INT") == []
    assert [(item.command, item.x) for item in pilot.download()] == before


def test_silent_client_is_given_up():
    pilot = Pilot().ready()
    pilot.say(mavlink.MAVLink_mission_count_message(7, 1, 3, 0))
    pilot.run(2.0)
    assert len(pilot.said("MISSION_REQUEST_INT")) >= 5
    pilot.run(5.0)
    assert pilot.last("MISSION_ACK").type == 15
    assert not pilot.autopilot.missions.uploading
    assert pilot.upload(patrol()) == 0


def test_an_upload_begins_anew_only_before_its_first_item_or_after_a_silence():
    pilot = Pilot().ready()
    pilot.say(mavlink.MAVLink_mission_count_message(7, 1, 3, 0))
    pilot.say(mavlink.MAVLink_mission_count_message(7, 1, 2, 0))  # its first request may be lost
    pilot.say(pilot.item({"command": 16, **place(9, 9), "z": 9.0}, 0))
    plan = [{"command": 16, **place(1, 1), "z": 5.0}, {"command": 16, **place(2, 2), "z": 6.0}]
    assert pilot.upload(plan) == 1
    assert pilot.texts[-1] == "WPM: REJ. CMD: Busy"
    pilot.run(6.0)
    assert pilot.upload(plan) == 0
    assert [item.z for item in pilot.download()] == [5.0, 6.0]


def test_a_download_lasts_until_its_acknowledgement_or_five_seconds_of_silence():
    pilot = Pilot().ready()
    plan = patrol()
    assert pilot.upload(plan) == 0
    assert len(pilot.download(acknowledged=False)) == len(plan)
    assert pilot.upload(plan) == 1
    assert pilot.texts[-1] == "WPM: IGN MISSION_COUNT: Busy"
    pilot.say(mavlink.MAVLink_mission_clear_all_message(7, 1, 0))
    assert pilot.texts[-1] == "WPM: IGN CLEAR CMD: Busy"
    assert len(pilot.download(acknowledged=False)) == len(plan)  # all was given: it may be asked for anew
    pilot.run(6.0)
    assert pilot.upload(plan) == 0


def test_lost_last_acknowledgement_is_said_again():
    pilot = Pilot().ready()
    plan = patrol()
    assert pilot.upload(plan) == 0
    pilot.messages.clear()
    pilot.say(pilot.item(plan[-1], len(plan) - 1))
    assert pilot.last("MISSION_ACK").type == 0


def test_clear_all_and_empty_upload():
    pilot = Pilot().ready()
    pilot.upload(patrol())
    pilot.upload(square(200.0), 1)
    pilot.say(mavlink.MAVLink_mission_clear_all_message(7, 1, 255))
    assert pilot.download() == []
    assert pilot.download(1) == []
    pilot.upload(patrol())
    assert pilot.upload([]) == 0
    assert pilot.download() == []


@pytest.mark.parametrize(
    ("items", "mission_type", "result"),
    [
        ([{"command": 18, **place(0, 0)}], 0, 3),  # loiter turns: not flown here, so refused
        ([{"command": 16, "frame": 10, **place(0, 0)}], 0, 2),  # above terrain
        ([{"command": 16, "x": 950_000_000, "y": 0}], 0, 5),
        ([{"command": 16, **place(0, 0)}], 1, 3),
        (square(50.0)[:3], 1, 5),  # a ring of four that lacks one
    ],
)
def test_what_is_refused(items: list[dict[str, float]], mission_type: int, result: int):
    pilot = Pilot().ready()
    assert pilot.upload(items, mission_type) == result
    assert pilot.autopilot.missions.plans[mission_type] == ()


def test_too_long():
    pilot = Pilot().ready()
    pilot.say(mavlink.MAVLink_mission_count_message(7, 1, 60_000, 0))
    assert pilot.last("MISSION_ACK").type == 4


def test_a_request_past_the_end():
    pilot = Pilot().ready()
    pilot.upload(patrol())
    heard = len(pilot.messages)
    pilot.say(mavlink.MAVLink_mission_request_int_message(7, 1, 0, 0))
    assert len(pilot.messages) == heard  # nobody has asked for the list
    pilot.say(mavlink.MAVLink_mission_request_list_message(7, 1, 0))
    pilot.say(mavlink.MAVLink_mission_request_int_message(7, 1, 99, 0))
    assert pilot.last("MISSION_ACK").type == 1


def test_a_second_client_is_refused_while_one_uploads():
    pilot = Pilot().ready()
    pilot.say(mavlink.MAVLink_mission_count_message(7, 1, 2, 0))
    other = mavlink.MAVLink(None, srcSystem=254, srcComponent=190)
    pilot.autopilot.receive(bytes(mavlink.MAVLink_mission_count_message(7, 1, 2, 0).pack(other)))
    pilot.listen()
    assert (pilot.last("MISSION_ACK").type, pilot.last("MISSION_ACK").target_system) == (1, 254)
    assert pilot.autopilot.missions.uploading


def test_fence_areas_against_shapely():
    from shapely.geometry import Point, Polygon

    ring = [(29.70, 107.30), (29.71, 107.305), (29.705, 107.32), (29.698, 107.315), (29.703, 107.308)]
    hole = [(29.704, 107.306), (29.706, 107.306), (29.706, 107.31), (29.704, 107.31)]

    def item(command: int, point: tuple[float, float], count: int) -> MissionItem:
        x, y = round(point[0] * 1e7), round(point[1] * 1e7)
        return MissionItem(float(count), 0, 0, 0, x, y, 0, 0, command, 1, 1, 0, 0, 1, 1)

    fence = Fence(
        (*(item(5001, point, len(ring)) for point in ring), *(item(5002, point, len(hole)) for point in hole))
    )
    inside, outside = Polygon(ring), Polygon(hole)
    counted = 0
    for i in range(60):
        for j in range(60):
            lat, lon = 29.697 + i * 0.00025, 107.299 + j * 0.0004
            point = Point(lat, lon)
            if min(inside.boundary.distance(point), outside.boundary.distance(point)) < 1e-6:
                continue  # a point on a line may fall either way
            expected = inside.contains(point) and not outside.contains(point)
            assert fence.allows(lat, lon) == expected
            counted += expected
    assert counted > 300


def test_a_place_has_to_be_inside_every_inclusion_area():
    def ring(south: float, north: float) -> list[MissionItem]:
        corners = [(south, 107.30), (south, 107.31), (north, 107.31), (north, 107.30)]
        places = [(round(lat * 1e7), round(lon * 1e7)) for lat, lon in corners]
        return [MissionItem(4.0, 0, 0, 0, x, y, 0, 0, 5001, 1, 1, 0, 0, 1, 1) for x, y in places]

    fence = Fence((*ring(29.70, 29.71), *ring(29.705, 29.72)))
    assert [fence.allows(lat, 107.305) for lat in (29.702, 29.707, 29.715)] == [False, True, False]


# Parameters ---------------------------------------------------------------------------------------------------------


def test_parameter_list_and_types():
    pilot = Pilot().ready()
    pilot.say(mavlink.MAVLink_param_request_list_message(7, 1))
    pilot.run(5.0)
    got = {message.param_id: message for message in pilot.said("PARAM_VALUE")}
    assert len(got) == pilot.last("PARAM_VALUE").param_count >= 60
    assert sorted(message.param_index for message in got.values()) == list(range(len(got)))
    assert got["NAV_DLL_ACT"].param_type == 6
    assert got["RTL_RETURN_ALT"].param_type == 9


@given(st.integers(-(2**31), 2**31 - 1))
@settings(max_examples=50, deadline=None)
def test_integers_travel_bytewise(value: int):
    pilot = Pilot()
    raw = struct.pack("<i", value)
    packet = bytearray(
        bytes(
            mavlink.MAVLink_param_set_message(7, 1, b"COM_DL_LOSS_T", 0.0, 6).pack(
                mavlink.MAVLink(None, srcSystem=255, srcComponent=190)
            )
        )
    )
    # pymavlink packs a float; a signalling NaN would not survive it, so the bytes go in by hand.
    from pymavlink.generator.mavcrc import x25crc

    packet[10:14] = raw
    crc = x25crc(bytes(packet[1:-2]))
    crc.accumulate(bytes([168]))
    packet[-2:] = struct.pack("<H", crc.crc)
    pilot.autopilot.receive(bytes(packet))
    assert pilot.autopilot.params.integer("COM_DL_LOSS_T") == value
    answer = next(p for p in pilot.autopilot.take() if p[7] == 22)
    assert answer[10:14] == raw


def test_wrong_type_and_unknown_name():
    pilot = Pilot().ready()
    pilot.set_param("NAV_DLL_ACT", 2.0)
    assert pilot.autopilot.params.integer("NAV_DLL_ACT") == 0
    pilot.set_param("NO_SUCH_ONE", 2)
    assert any("NO_SUCH_ONE" in text for text in pilot.texts)
    assert pilot.said("PARAM_VALUE") == []


# Radio --------------------------------------------------------------------------------------------------------------


def test_radio_is_seeded_and_keeps_its_shares():
    def draws(seed: int) -> list[int]:
        radio = Radio("d1", FaultConfig(drop=0.1, duplicate=0.2, delay_s=0.05, seed=seed))
        return [len(radio.deliveries()) for _ in range(4000)]

    assert draws(3) == draws(3)
    assert draws(3) != draws(4)
    assert draws(3).count(0) / 4000 == pytest.approx(0.1, abs=0.02)
    assert draws(3).count(2) / 4000 == pytest.approx(0.18, abs=0.025)


def test_cut_loses_everything():
    radio = Radio("d1", None)
    assert radio.clear
    radio.cut = True
    assert not radio.clear
    assert all(radio.deliveries() == () for _ in range(50))

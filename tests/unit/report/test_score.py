# SPDX-License-Identifier: AGPL-3.0-or-later
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from truth_cases import HERE, alert, entity, look

from dronectl.errors import BadInputError
from dronectl.report.score import ellipse_holds, is_detectable, score
from dronectl.report.truth import TrueEntity, read_truth
from missions.geo import destination


def test_a_perfect_patrol_has_no_shortfall():
    places = [destination(HERE, 40.0 * i, 100.0 + 10 * i) for i in range(5)]
    people = [entity(f"p{i}", place) for i, place in enumerate(places)]
    fire = entity("f", destination(HERE, 300, 400), "fire", looks=1)
    alerts = [alert(f"a{i}", destination(place, 10, 2)) for i, place in enumerate(places)]
    alerts.append(alert("fire", destination(HERE, 300, 402), "fire"))
    result = score([*people, fire], alerts)
    assert result.shortfalls() == []
    assert result.people_found_fraction == 1.0
    assert result.in_ellipse_fraction == 1.0


def test_one_thing_alarmed_twice_is_a_duplicate_and_a_phantom_is_false():
    result = score(
        [entity("p", HERE)],
        [alert("near", HERE), alert("again", destination(HERE, 0, 6)), alert("far", destination(HERE, 0, 60))],
    )
    assert result.found == ("p",)
    assert result.duplicate_alerts == ("again",)
    assert result.false_alerts == ("far",)


def test_an_animal_alarmed_as_a_person_is_false():
    result = score([entity("dog", HERE, "animal")], [alert("a", HERE)])
    assert result.false_alerts == ("a",)
    assert any("no seeded person" in line for line in result.shortfalls())


def test_a_hot_spot_alarm_finds_nobody_but_is_false_only_where_there_is_nothing():
    people = [entity("found", HERE), entity("missed", destination(HERE, 0, 100))]
    alerts = [
        alert("person", HERE),
        alert("again", destination(HERE, 90, 2), "hot_spot"),
        alert("hint", destination(HERE, 0, 101), "hot_spot"),
        alert("rock", destination(HERE, 0, 300), "hot_spot"),
    ]
    result = score(people, alerts)
    assert result.missed == ("missed",)
    assert result.duplicate_alerts == ("again",)
    assert result.false_alerts == ("rock",)


def test_missed_out_of_view_and_unacknowledged():
    people = [
        entity("seen", HERE),
        entity("missed", destination(HERE, 0, 100)),
        entity("never", destination(HERE, 0, 200), looks=0),
    ]
    result = score(people, [alert("a", HERE, acknowledged=False)])
    assert result.missed == ("missed",)
    assert result.out_of_view == ("never",)
    assert result.unacknowledged == ("a",)
    assert len(result.shortfalls()) == 2


def test_an_alert_without_a_place_is_false_and_harms_nothing_else():
    result = score([entity("p", HERE)], [alert("nowhere", None), alert("here", HERE)])
    assert result.found == ("p",)
    assert result.false_alerts == ("nowhere",)


def test_detectable_needs_enough_good_looks():
    assert is_detectable(entity("p", HERE, looks=3))
    assert not is_detectable(entity("p", HERE, looks=2))
    assert not is_detectable(entity("p", HERE, visible_fraction=0.3))
    assert not is_detectable(entity("p", HERE, width_px=5.0, height_px=4.0))
    assert not is_detectable(entity("p", HERE, contrast_c=1.0))
    assert not is_detectable(entity("p", HERE, camera_id="d1-rgb"))


def test_walker_is_held_against_where_it_was_at_the_exposure():
    path = [destination(HERE, 90, 1.2 * n) for n in range(20)]
    walker = TrueEntity(
        "w",
        "person",
        "walking",
        0,
        HERE.latitude_deg,
        HERE.longitude_deg,
        tuple(look(p, n) for n, p in enumerate(path)),
    )
    result = score([walker], [alert("a", path[10], last_exposure_s=10.0)])
    assert result.matches[0].distance_m < 0.1


@given(
    azimuth=st.floats(0, 179.9),
    major=st.floats(2, 30),
    ratio=st.floats(0.1, 1.0),
    angle=st.floats(0, 360),
    reach=st.floats(0, 2),
)
def test_ellipse_agrees_with_its_own_frame(azimuth, major, ratio, angle, reach):
    """Oracle: a point at a multiple of the ellipse's own parametric boundary, rotated by the compass azimuth."""
    minor = major * ratio
    along, across = reach * major * math.cos(math.radians(angle)), reach * minor * math.sin(math.radians(angle))
    a = math.radians(azimuth)
    east, north = along * math.sin(a) + across * math.cos(a), along * math.cos(a) - across * math.sin(a)
    record = alert("x", HERE, semi_major_m=major, semi_minor_m=minor, azimuth_deg=azimuth)
    if abs(reach - 1) > 1e-6:
        assert ellipse_holds(record, east, north) is (reach < 1)


def test_truth_file_with_a_torn_last_line(tmp_path):
    file = tmp_path / "truth.jsonl"
    file.write_text(
        '{"type":"scene","entities":[{"id":"p1","kind":"person","posture":"lying","cover_fraction":0.1,"latitude_deg":29.7,"longitude_deg":107.2,"amsl_m":200}]}\n'
        '{"type":"look","camera_id":"d1-thermal","vehicle_id":"d1","sequence":3,"exposure_s":4.5,"entities":[{"id":"p1","latitude_deg":29.7,"longitude_deg":107.2,"width_px":20,"height_px":6,"visible_fraction":1,"contrast_c":5}]}\n'
        '{"type":"pose","vehicle_id":"d1","time_s":1,"latitude_deg":29.7,"longitude_deg":107.2,"amsl_m":260}\n'
        '{"type":"pose","vehicle_id":"d1","ti'
    )
    truth = read_truth(file)
    file.write_bytes(b"\xff\xfe damaged\n" + file.read_bytes())
    with pytest.raises(BadInputError, match=r"truth\.jsonl:1: is not a line"):
        read_truth(file)
    assert truth.entities[0].looks[0].sequence == 3
    assert len(truth.tracks["d1"]) == 1

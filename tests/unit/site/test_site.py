# SPDX-License-Identifier: AGPL-3.0-or-later
import shutil
from pathlib import Path

import pytest
import yaml

from dronectl.errors import BadInputError
from dronectl.paths import config_dir
from dronectl.perception.masts import mast_feeds
from dronectl.site import load_site
from dronectl.site_checks import inside_fence
from missions.geo import distance_m, to_gcj02
from missions.model import Modality, Polarity

LIDU = config_dir() / "lidu" / "site.yaml"


@pytest.fixture
def changed(tmp_path):
    """Write the demonstration site with one piece of text replaced, and return the file and the line of the change."""
    shutil.copy(LIDU.parent / "terrain.npz", tmp_path)

    def change(old: str, new: str) -> tuple[Path, int]:
        text = LIDU.read_text(encoding="utf-8")
        assert text.count(old) >= 1, old
        line = text[: text.index(old)].count("\n") + 1
        file = tmp_path / "site.yaml"
        file.write_text(text.replace(old, new, 1), encoding="utf-8")
        return file, line

    return change


def refused(file: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        load_site(file)
    return str(caught.value)


def test_demonstration_site_is_whole():
    site = load_site(LIDU)
    assert len(site.drones) == 3
    assert len({d.system_id for d in site.drones}) == 3
    assert len({d.return_height_m for d in site.drones}) == 3
    assert len(site.schools) == 2
    assert site.fixed_cameras
    assert site.fence.exclusion
    assert site.points
    assert site.lines
    assert "synthetic" in site.terrain.source
    assert all(distance_m(site.docks[0].position, p.position) < 3000 for p in site.points)
    assert all(inside_fence(site.fence, site.frame, d.pad) for d in site.drones)


def test_unknown_key_names_file_line_and_field(changed):
    file, line = changed("site_id: lidu", "site_id: lidu\nspeling: 1")
    message = refused(file)
    assert message.startswith(f"{file}:{line + 1}: speling:")


@pytest.mark.parametrize(
    ("more", "field", "line"),
    [
        ("broker: {port: 24991}\nhttp: {port: 24991}", "broker.port", 1),
        ("http: {port: 24883}", "http.port", 1),
        ("broker: {port: 24880}", "broker.port", 1),
    ],
)
def test_broker_and_http_at_one_port_are_refused_by_line(changed, more, field, line):
    file, at = changed("site_id: lidu", f"site_id: lidu\n{more}")
    message = refused(file)
    assert message.startswith(f"{file}:{at + line}: {field}: ")
    assert "need a port each" in message


def test_an_external_broker_may_have_the_port_of_our_door(changed):
    external = "broker: {mode: external, url: 'mqtt://127.0.0.1:24880', port: 24880}"
    file, _ = changed("site_id: lidu", f"site_id: lidu\n{external}")
    assert load_site(file).model.http.port == 24880


def test_swapped_coordinates(changed):
    file, line = changed("position: [29.740000, 107.270000]", "position: [107.270000, 29.740000]")
    message = refused(file)
    assert f"{file}:{line}:" in message
    assert "swapped" in message


def test_self_crossing_fence_names_the_crossing(changed):
    document = yaml.safe_load(LIDU.read_text(encoding="utf-8"))
    ring = document["geofence"]["inclusion"][0]
    ring[2], ring[3] = ring[3], ring[2]
    file, _ = changed("schema_version: 1", "schema_version: 1")
    file.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
    message = refused(file)
    assert "geofence.inclusion.0" in message
    assert "crosses itself near" in message


def test_dock_outside_the_fence(changed):
    document = yaml.safe_load(LIDU.read_text(encoding="utf-8"))
    document["docks"][0]["position"] = [29.7555, 107.27]
    for drone in document["drones"]:
        del drone["pad"]
    file, _ = changed("schema_version: 1", "schema_version: 1")
    file.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
    message = refused(file)
    assert "docks.0.position: lies outside the geofence" in message


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [("system_id: 22", "system_id: 21", "drones.1.system_id"), ("- id: d2", "- id: d1", "drones.1.id")],
)
def test_drone_or_system_id_twice(changed, old, new, field):
    file, _ = changed(old, new)
    message = refused(file)
    assert f"{field}:" in message
    assert "twice" in message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "{type: thermal, port: 24603}",
            "{type: thermal, port: 24601}",
            ":72: drones.1.cameras.0.port: 127.0.0.1:24601 is ",
        ),
        ("{type: photo}", "{type: thermal, port: 24690}", ":64: drones.0.cameras.2.type: d1 has two cameras of type"),
    ],
)
def test_pictures_that_would_be_placed_by_another_cameras_pose_are_refused(changed, old, new, said):
    file, _ = changed(old, new)
    assert refused(file).startswith(f"{file}{said}")


def test_two_fixed_cameras_at_one_address_are_refused_without_showing_its_password(changed):
    file, line = changed(MAST, f"{MAST[:-1]}, {LOOK}\n  - {MAST[:-1].replace('cam-square', 'cam-two')}, {LOOK}")
    assert (
        refused(file)
        == f"{file}:{line + 1}: fixed_cameras.1.look.address: is that of cam-square; each camera needs its own"
    )


def test_a_black_hot_camera_is_a_thermal_one(changed):
    file, _ = changed("modality: thermal\n", "modality: thermal\n    polarity: black\n")
    said = {(c.modality, c.polarity) for drone in load_site(file).drones for c, _, _ in drone.cameras}
    assert said == {(Modality.THERMAL, Polarity.BLACK), (Modality.RGB, Polarity.WHITE)}
    file, line = changed("modality: rgb\n", "modality: rgb\n    polarity: black\n")
    assert f":{line + 1}: cameras.rgb.polarity: black is of thermal cameras" in refused(file)


def test_battery_levels_out_of_order_are_refused_before_the_service_starts(changed):
    file, _ = changed("battery_low: 0.30", "battery_low: 0.10")
    assert "failsafe: battery levels must rise from emergency to critical to low, not 0.08, 0.22, 0.1" in refused(file)


def test_yes_is_no_number(changed):
    file, line = changed("cruise_speed_m_s: 9.0", "cruise_speed_m_s: yes")
    assert refused(file).startswith(f"{file}:{line}: patrol.cruise_speed_m_s: a number")


def test_same_key_twice_is_refused(changed):
    file, line = changed("timezone: Asia/Shanghai", "timezone: Asia/Shanghai\ntimezone: UTC")
    assert f"{file}:{line + 1}: timezone: stands here for the second time" in refused(file)


@pytest.mark.parametrize("content", ["", "[1, 2]", "a: [", "\x00", "name: &a [*a]", "a: " + "[" * 5000])
def test_what_is_no_site_file_is_one_line(tmp_path, content):
    file = tmp_path / "site.yaml"
    file.write_text(content)
    assert str(file) in refused(file)


@pytest.mark.timeout(60)
def test_however_deep_a_file_is_nested_it_is_refused_soon(tmp_path):
    file = tmp_path / "site.yaml"
    file.write_text("a: " + "[" * 100_000, encoding="utf-8")
    assert refused(file) == f"{file}: is nested too deep for a configuration file"


def test_missing_file_and_missing_terrain(tmp_path):
    assert "cannot be read" in refused(tmp_path / "none.yaml")
    file = tmp_path / "site.yaml"
    shutil.copy(LIDU, file)
    assert "terrain.npz" in refused(file)


def test_gcj02_coordinates_are_converted(changed):
    plain = load_site(LIDU)
    text = LIDU.read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    document["reference_system"] = "gcj02"
    moved = to_gcj02(plain.points[0].position)
    document["patrol"]["points"] = [{**document["patrol"]["points"][0], "position": list(moved)}]
    document["patrol"]["lines"] = []
    for kind in ("inclusion", "exclusion"):
        rings = getattr(plain.fence, kind)
        document["geofence"][kind] = [[list(to_gcj02(p)) for p in ring] for ring in rings]
    document["docks"][0]["position"] = list(to_gcj02(plain.docks[0].position))
    for raw, drone in zip(document["drones"], plain.drones, strict=True):
        raw["pad"] = list(to_gcj02(drone.pad))
    file, _ = changed("schema_version: 1", "schema_version: 1")
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    site = load_site(file)
    assert distance_m(site.points[0].position, plain.points[0].position) < 0.01
    assert distance_m(site.docks[0].position, plain.docks[0].position) < 0.01


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("use: keep_clear  ", "use: parking  ", "closed"),
        ('hours: ["20:00-06:00"]', 'hours: ["8 to 6"]', "HH:MM-HH:MM"),
        ("    width_m: 8\n", "", "width_m"),
        ("    people: 60\n", "", "use: crowd"),
        ("[29.737180, 107.264010]\n      - [29.737360, 107.264010]", "[29.737360, 107.264010]\n      - [29.737180, 107.264010]", "crosses itself"),
        ("- id: dam-crest", "- id: gate-east", "used twice"),
        ("person: 30, default: 90", "person: 30", "default"),
        ("motionless_s: 90", "motionless_s: -1", "greater than 0"),
        ("width_m: 8", "width_m: 90", "shorter than its width"),
    ],
)  # fmt: skip
def test_areas_and_rules_that_cannot_be_meant(changed, old, new, said):
    file, _ = changed(old, new)
    message = refused(file)
    assert message.startswith(f"{file}:")
    assert said in message


MAST = "{id: cam-square, name: Market square mast, position: [29.738441, 107.270744]}"
LOOK = "look: {type: rgb, address: 'rtsp://u:p@10.0.0.9/1', every_s: 20, height_m: 8, yaw_deg: 45, pitch_deg: -30}}"


def test_a_fixed_camera_that_is_looked_at_has_a_pose_and_an_address(changed):
    file, _ = changed(MAST, f"{MAST[:-1]}, {LOOK}")
    site = load_site(file)
    (feed,) = mast_feeds(site.masts, site.terrain)
    assert (feed.camera.camera_id, feed.vehicle_id) == ("cam-square", None)
    assert (feed.address, feed.every_s) == ("rtsp://u:p@10.0.0.9/1", 20.0)
    pose = feed.fixed_pose
    at = site.masts[0].position
    ground_m = float(site.terrain.height_amsl_m([at.latitude_deg], [at.longitude_deg])[0])
    assert pose.amsl_m == pytest.approx(ground_m + 8.0)
    assert (pose.yaw_deg, pose.pitch_deg, pose.roll_deg) == (45.0, -30.0, 0.0)
    assert load_site(changed(MAST, MAST)[0]).masts == ()


@pytest.mark.parametrize(
    ("look", "message"),
    [
        (LOOK.replace("type: rgb", "type: sonar"), "there is no camera type 'sonar'"),
        (LOOK.replace("rtsp://u:p@10.0.0.9/1", "ftp://10.0.0.9/1"), "address"),
        (LOOK.replace("every_s: 20", "every_s: 0"), "every_s"),
    ],
)
def test_a_fixed_camera_that_cannot_be_looked_at_is_one_line(changed, look, message):
    file, _ = changed(MAST, f"{MAST[:-1]}, {look}")
    text = refused(file)
    assert message in text
    assert "fixed_cameras" in text

# SPDX-License-Identifier: AGPL-3.0-or-later
import asyncio
import math

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.geo import GeoPoint, LocalFrame
from missions.model import Camera as CameraModel
from missions.model import Modality
from missions.terrain import FlatTerrain
from sim.config import CameraConfig, SimConfig, parse
from sim.eyes.camera import MAX_OUTSTANDING, Camera
from sim.eyes.clock import WorldClock
from sim.eyes.gimbal import Mount
from sim.eyes.ground import make_ground
from sim.eyes.optics import Lens, View, camera_axes
from sim.eyes.render import Renderer
from sim.eyes.world import make_world
from sim.pose import TruePose
from vision.camera_model import camera_to_enu
from vision.pose import camera_pose
from vision.pose_types import BodyPose
from vision.wire import PREFIX, decode_header, decode_pixels, decode_prefix, encode_done

RING = [[29.735, 107.265], [29.735, 107.275], [29.745, 107.275], [29.745, 107.265]]
DISTORTION = (-0.08, 0.02, 0.001, -0.0015, 0.003)


def document(seed: int = 4, **scene: int) -> SimConfig:
    import json

    counts = {"people": 6, "fires": 1, "parked_vehicles": 2, "animals": 1, "rocks": 3, "trees": 12, **scene}
    camera = {
        "camera_id": "d1-thermal", "modality": "thermal", "width_px": 640, "height_px": 512, "fx_px": 758.0,
        "fy_px": 758.0, "cx_px": 319.5, "cy_px": 255.5, "rate_hz": 1.0,
    }  # fmt: skip
    vehicle = {
        "vehicle_id": "d1", "system_id": 11, "home": {"latitude_deg": 29.74, "longitude_deg": 107.27},
        "target_host": "127.0.0.1", "target_port": 24999, "cameras": [camera],
    }  # fmt: skip
    text = json.dumps(
        {
            "schema_version": 1, "seed": seed, "origin": {"latitude_deg": 29.74, "longitude_deg": 107.27},
            "terrain": {"flat_amsl_m": 200.0, "error_sigma_m": 0.0}, "vehicles": [vehicle],
            "scene": {"ring": RING, **counts},
        }
    )  # fmt: skip
    return parse(text.encode())


def lens(distortion=(0.0,) * 5) -> Lens:
    return Lens(640, 512, 758.0, 755.0, 319.5, 255.5, distortion)


def opencv_pixels(view: View, points: np.ndarray) -> np.ndarray:
    """The oracle: OpenCV's own projection with the same axes."""
    rvec, _ = cv2.Rodrigues(view.axes)
    tvec = -view.axes @ view.position
    l = view.lens  # noqa: E741
    matrix = np.array([[l.fx_px, 0, l.cx_px], [0, l.fy_px, l.cy_px], [0, 0, 1.0]])
    pixels, _ = cv2.projectPoints(points.reshape(-1, 1, 3), rvec, tvec, matrix, np.array(l.distortion))
    return pixels.reshape(-1, 2)


@settings(max_examples=60, deadline=None)
@given(
    yaw=st.floats(-180, 180),
    pitch=st.floats(-90, -25),
    roll=st.floats(-15, 15),
    height=st.floats(30, 120),
    u=st.floats(20, 620),
    v=st.floats(20, 490),
    distorted=st.booleans(),
)
def test_projection_agrees_with_opencv_and_rays_come_back(yaw, pitch, roll, height, u, v, distorted):
    view = View(
        lens(DISTORTION if distorted else (0.0,) * 5), np.array([10.0, -20.0, height]), camera_axes(yaw, pitch, roll)
    )
    ray = view.rays(np.array([u]), np.array([v]))[0]
    point = view.position + ray * 80.0
    pixels, depth = view.project(point[None, :])
    assert depth[0] > 0
    assert np.allclose(pixels[0], (u, v), atol=0.05)
    assert np.allclose(pixels, opencv_pixels(view, point[None, :]), atol=0.5)


def test_axes_are_those_of_a_camera():
    """Nadir with the nose north: the picture's up is north, its right is east. Level: forward is the yaw."""
    right, down, forward = camera_axes(0.0, -90.0, 0.0)
    assert np.allclose(forward, (0, 0, -1), atol=1e-12)
    assert np.allclose(right, (1, 0, 0))
    assert np.allclose(down, (0, -1, 0), atol=1e-12)
    assert np.allclose(camera_axes(90.0, 0.0, 0.0)[2], (1, 0, 0), atol=1e-12)
    axes = camera_axes(33.0, -50.0, 7.0)
    assert np.allclose(axes @ axes.T, np.eye(3))
    assert math.isclose(np.linalg.det(axes), 1.0)


@given(
    yaw=st.floats(-180, 180), pitch=st.floats(-20, 20), roll=st.floats(-25, 25),
    mount_yaw=st.floats(-180, 180), mount_pitch=st.floats(-90, 0), fixed=st.booleans(),
)  # fmt: skip
def test_a_camera_looks_where_its_mount_and_body_point_it(yaw, pitch, roll, mount_yaw, mount_pitch, fixed):
    """The oracle is the product's own composition of attitudes; the mount's faults are half a degree each."""
    config = document().vehicles[0].cameras[0]
    config = msgspec.structs.replace(config, stabilised=not fixed, mount_yaw_deg=mount_yaw, mount_pitch_deg=mount_pitch)
    pose = TruePose("d1", 1.0, 29.74, 107.27, 260.0, 60.0, 0.0, 0.0, 0.0, roll, pitch, yaw, None)
    axes = Mount(config, 5).view(pose, LocalFrame(GeoPoint(29.74, 107.27))).axes
    body = BodyPose(1.0, 29.74, 107.27, 260.0, 60.0, 0.0, 0.0, 0.0, roll, pitch, yaw)
    camera = CameraModel("d1", Modality.THERMAL, 640, 512, 758.0, 758.0, 319.5, 255.5, mount_pitch_deg=mount_pitch,
                         mount_yaw_deg=mount_yaw, stabilised=not fixed)  # fmt: skip
    told = camera_pose(camera, body)
    wanted = camera_to_enu(told.yaw_deg, told.pitch_deg, told.roll_deg).T
    for mine, theirs in zip(axes, wanted, strict=True):
        assert math.degrees(math.acos(min(1.0, float(mine @ theirs)))) < 4.0


def test_a_body_that_rolls_tilts_a_fixed_camera_that_looks_down():
    config = msgspec.structs.replace(document().vehicles[0].cameras[0], stabilised=False)
    pose = TruePose("d1", 1.0, 29.74, 107.27, 260.0, 60.0, 0.0, 0.0, 0.0, 20.0, 0.0, 0.0, None)
    _, _, forward = Mount(config, 5).view(pose, LocalFrame(GeoPoint(29.74, 107.27))).axes
    assert forward == pytest.approx((-math.sin(math.radians(20)), 0.0, -math.cos(math.radians(20))), abs=0.05)


@pytest.fixture(scope="module")
def world():
    config = document()
    world = make_world(config, FlatTerrain(200.0))
    return world, make_ground(world.ground.half_m, config.seed, night=True)


def over(entity, world, height=60.0, yaw=25.0, pitch=-90.0, off=(4.0, -3.0)) -> View:
    east, north = entity.place(5.0)
    position = np.array([east + off[0], north + off[1], world.ground.height_at(east, north) + height])
    return View(lens(), position, camera_axes(yaw, pitch, 0.0))


def test_a_person_appears_where_it_is(world):
    scene, look = world
    renderer = Renderer(scene, look, 1)
    for entity in scene.entities:
        if entity.kind != "person" or entity.cover_fraction > 0.2:
            continue
        view = over(entity, scene)
        picture, seen = renderer.thermal(view, 5.0)
        truth = next(s for s in seen if s.entity.entity_id == entity.entity_id)
        east, north = entity.place(5.0)
        foot = np.array([[east, north, scene.ground.height_at(east, north) + 0.3]])
        (u, v), _ = view.project(foot)[0][0], None
        patch = picture[int(v) - 25 : int(v) + 25, int(u) - 25 : int(u) + 25]
        hot = np.maximum(patch - np.median(patch) - 2.0, 0.0)
        rows, columns = np.mgrid[0 : patch.shape[0], 0 : patch.shape[1]]
        centre = np.array([(hot * columns).sum(), (hot * rows).sum()]) / hot.sum()
        found = centre + np.array([int(u) - 25, int(v) - 25])
        lean = 12.0 if entity.posture in ("standing", "walking", "sitting") else 4.0
        assert np.hypot(*(found - (u, v))) < lean, entity
        assert truth.contrast_c > 3.0
        assert truth.visible_fraction > 0.7


def test_cover_hides_its_share(world):
    scene, look = world
    renderer = Renderer(scene, look, 1)
    for entity in scene.entities:
        if entity.kind == "person":
            _, seen = renderer.thermal(over(entity, scene), 5.0)
            truth = next(s for s in seen if s.entity.entity_id == entity.entity_id)
            assert abs((1.0 - truth.visible_fraction) - entity.cover_fraction) < 0.25


def test_fire_is_hot_and_ground_is_not(world):
    scene, look = world
    fire = next(e for e in scene.entities if e.kind == "fire")
    picture, seen = Renderer(scene, look, 1).thermal(over(fire, scene), 5.0)
    assert picture.max() > 150.0
    assert -10.0 < np.median(picture) < 40.0
    assert picture.dtype == np.float32
    assert any(s.entity.kind == "fire" and s.contrast_c > 50 for s in seen)


def test_night_is_darker_than_day_and_a_fire_shines(world):
    scene, look = world
    fire = next(e for e in scene.entities if e.kind == "fire")
    picture, _ = Renderer(scene, look, 2).rgb(over(fire, scene), 5.0)
    assert picture.dtype == np.uint8
    assert picture.shape == (512, 640, 3)
    assert np.median(picture) < 60
    assert picture.max() > 180


def test_same_seed_same_world_other_seed_other_world():
    a, b, c = (make_world(document(seed), FlatTerrain(200.0)) for seed in (7, 7, 8))
    assert a.entities == b.entities
    assert np.array_equal(a.trees, b.trees)
    assert a.entities != c.entities
    picture = [
        Renderer(w, make_ground(w.ground.half_m, w.seed, night=True), 1).thermal(over(a.entities[0], w), 3.0)[0]
        for w in (a, b)
    ]
    assert np.array_equal(picture[0], picture[1])


def test_things_keep_their_distance_and_stay_in_the_ring():
    world = make_world(document(people=20, rocks=20), FlatTerrain(200.0))
    places = np.array([[e.east_m, e.north_m] for e in world.entities])
    apart = np.hypot(*(places[:, None, :] - places[None, :, :]).transpose(2, 0, 1)) + 1e9 * np.eye(len(places))
    assert apart.min() >= 11.99
    ring = world.frame.to_enu_array([p[0] for p in RING], [p[1] for p in RING]).astype(np.float32)
    assert all(cv2.pointPolygonTest(ring, tuple(map(float, p)), measureDist=False) > 0 for p in places)


def pose(time_s: float, height_m: float = 60.0) -> TruePose:
    return TruePose("d1", time_s, 29.74, 107.27, 260.0, height_m, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, None)


def thermal_camera(rate_hz: float = 2.0) -> Camera:
    return Camera(CameraConfig("c", "thermal", 64, 48, 60.0, 60.0, 31.5, 23.5, rate_hz=rate_hz), "d1", seed=3)


async def read_frame(reader):
    header = decode_header(await reader.readexactly(decode_prefix(await reader.readexactly(PREFIX.size))))
    return header, decode_pixels(header, await reader.readexactly(header.payload_bytes))


async def test_frames_come_over_the_wire_and_unanswered_ones_are_bounded():
    camera = thermal_camera()
    port = await camera.listen()
    assert camera.take(pose(0.0)) == []
    assert camera.take(pose(5.0)) == []  # nobody is connected
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        while camera._writer is None:
            await asyncio.sleep(0.01)
    pixels = np.arange(48 * 64, dtype=np.float32).reshape(48, 64)
    sent = []
    for n in range(40):
        for sequence, at in camera.take(pose(5.1 + n * 0.1)):
            assert camera.send(sequence, at.time_s, 0.0, pixels)
            sent.append(sequence)
    assert len(sent) == MAX_OUTSTANDING == camera.outstanding
    assert camera.dropped > 0
    async with asyncio.timeout(10):
        header, got = await read_frame(reader)
        assert np.array_equal(got, pixels)
        assert header.kind == "celsius"
        for sequence in sent:
            writer.write(encode_done(sequence))
        writer.write(b"garbage\n{}\n")
        while camera.outstanding:
            await asyncio.sleep(0.01)
    writer.close()
    await camera.close()


async def test_a_camera_on_the_ground_sees_nothing():
    camera = thermal_camera()
    port = await camera.listen()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        while camera._writer is None:
            await asyncio.sleep(0.01)
    for n in range(40):
        assert camera.take(pose(n * 0.1, height_m=1.0)) == []
    writer.close()
    await camera.close()


@given(seed=st.integers(0, 10_000))
def test_the_cameras_clock_is_off_by_50_to_150_ms(seed):
    camera = Camera(CameraConfig("c", "thermal", 64, 48, 60.0, 60.0, 31.5, 23.5), "d1", seed=seed)
    assert 0.05 <= abs(camera._clock_offset_s) <= 0.15


async def test_the_camera_process_serves_frames_and_writes_the_truth(tmp_path):
    import json

    import msgspec

    from dronectl.report.truth import read_truth
    from sim.rig import CameraRig

    config = msgspec.structs.replace(document(people=10), truth_file=str(tmp_path / "truth.jsonl"))
    world = make_world(config, FlatTerrain(200.0))
    person = next(e for e in world.entities if e.kind == "person" and e.speed_m_s == 0)
    at = world.frame.to_geo(person.east_m, person.north_m)
    rig = await CameraRig.start(config)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["d1-thermal"])
        async with asyncio.timeout(60):
            reading, n = asyncio.create_task(read_frame(reader)), 0
            while not reading.done():
                n += 1
                rig.pose(
                    TruePose("d1", n * 0.1, at.latitude_deg, at.longitude_deg, 260.0, 60.0, 0, 0, 0, 0, 0, 0, None)
                )
                await asyncio.sleep(0.05)
            frame = reading.result()
            while rig.lag() == 0:
                await asyncio.sleep(0.02)
            writer.write(encode_done(frame[0].sequence))
        assert frame[1].shape == (512, 640)
        writer.close()
    finally:
        await rig.close()
    assert rig._process.returncode == 0
    truth = read_truth(tmp_path / "truth.jsonl")
    assert len(truth.entities) == len(world.entities)
    seen = next(e for e in truth.entities if e.entity_id == person.entity_id)
    assert seen.looks
    assert truth.tracks["d1"]
    assert json.loads((tmp_path / "truth.jsonl").read_text(encoding="utf-8").splitlines()[0])["type"] == "scene"


async def test_two_px4_that_booted_apart_see_a_walker_at_one_place(tmp_path):
    """Their clocks count from their own boots; where somebody walks does not depend on whose clock is asked."""
    import json

    from sim.config import Px4Truth
    from sim.rig import CameraRig

    one = document(people=10)
    first = one.vehicles[0]
    other = msgspec.structs.replace(
        first,
        vehicle_id="d2",
        system_id=12,
        cameras=(msgspec.structs.replace(first.cameras[0], camera_id="d2-thermal"),),
    )
    px4 = {"d1": Px4Truth(truth_port=24997), "d2": Px4Truth(truth_port=24998)}
    config = msgspec.structs.replace(
        one, vehicles=(first, other), px4=px4, speed=2.0, truth_file=str(tmp_path / "truth.jsonl")
    )
    world = make_world(config, FlatTerrain(200.0))
    walker = next(e for e in world.entities if e.kind == "person" and e.speed_m_s > 0)
    at = world.frame.to_geo(walker.east_m, walker.north_m)
    booted_apart_s = 12.0
    rig = await CameraRig.start(config)
    try:
        async with asyncio.timeout(60):
            pairs = [await asyncio.open_connection("127.0.0.1", rig.ports[f"{v}-thermal"]) for v in ("d1", "d2")]
            reading, n = asyncio.gather(*(read_frame(reader) for reader, _ in pairs)), 0
            while not reading.done():
                n += 1
                for vehicle, ahead_s in (("d1", 0.0), ("d2", booted_apart_s)):
                    rig.pose(TruePose(vehicle, n * 0.1 + ahead_s, at.latitude_deg, at.longitude_deg, 260.0, 60.0, 0, 0, 0, 0, 0, 0, None))  # fmt: skip
                await asyncio.sleep(0.05)
            for _, writer in pairs:
                writer.close()
    finally:
        await rig.close()
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    looked = set()
    for look in (line for line in lines if line["type"] == "look"):
        for seen in (s for s in look["entities"] if s["id"] == walker.entity_id):
            looked.add(look["vehicle_id"])
            ahead_s = booted_apart_s if look["vehicle_id"] == "d2" else 0.0
            wanted = walker.place(look["exposure_s"] - ahead_s)
            found = world.frame.to_enu(GeoPoint(seen["latitude_deg"], seen["longitude_deg"]))
            assert math.dist(wanted, found) < 2.0
    assert looked == {"d1", "d2"}


def test_the_worlds_time_follows_one_that_boots_again():
    now = [100.0]
    clock = WorldClock({"a", "b"}, 4.0, lambda: now[0])
    assert clock.ahead_s("a", 10.0) == 0.0
    assert clock.ahead_s("b", 2.0) == pytest.approx(8.0)
    now[0] += 5.0
    assert clock.ahead_s("a", 30.0) == 0.0
    assert clock.ahead_s("b", 1.0) == pytest.approx(29.0)  # booted again: the world is at 30
    assert clock.ahead_s("here", 7.0) == 0.0

# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pipeline of one process: colour cameras in tiles beside thermal ones, order, and what happens when a part fails."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from missions.terrain import FlatTerrain
from tests.vision_scene import CAMERA, COLOUR_CAMERA, FRAME, GROUND_AMSL_M, ORIGIN, CameraServer, Flight, Thing
from vision.blur import BLUR_FROM_PX, blurred
from vision.detector import Detection
from vision.ellipse import mahalanobis2
from vision.engines import Engine, Tensor, load_engine
from vision.engines.base import Picture
from vision.evidence import EvidenceStore
from vision.eye import CameraEye
from vision.frame import Frame, PixelKind
from vision.geolocate import Locator
from vision.merge import merge_all
from vision.model_card import DEFAULT_MODEL, read_card
from vision.pipeline import Feed, VisionPipeline
from vision.pose import camera_pose
from vision.sighting import Kind, Sighting
from vision.thermal import HotSpotDetector
from vision.tiled import TiledDetector
from vision.tiles import TileSettings
from vision.unite import Observation
from vision.yolo import YoloDetector, load_yolo

PATIENCE_S = 100.0
PERSON = Thing(-4.0, 3.0, "person")


@pytest.fixture(scope="module")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> YoloDetector:
    """The shipped network said to be for colour: the scene's colour pictures show what is warm as bright."""
    model = tmp_path_factory.mktemp("model") / "colour.onnx"
    shutil.copyfile(DEFAULT_MODEL, model)
    card = json.loads(DEFAULT_MODEL.with_suffix(".json").read_text(encoding="utf-8"))
    model.with_suffix(".json").write_text(json.dumps(card | {"modality": "rgb", "name": "colour"}), encoding="utf-8")
    return load_yolo(model, for_tracking=True)


def locator() -> Locator:
    return Locator(FlatTerrain(GROUND_AMSL_M, vertical_error_m=2.0), ORIGIN)


def hover(camera: object, things: list[Thing], seed: int) -> Flight:
    return Flight(things, start_north_m=0.0, speed_m_s=0.0, camera=camera, seed=seed)  # type: ignore[arg-type]


def frames(flight: Flight, count: int) -> list[Frame]:
    kind = PixelKind.CELSIUS if flight.camera is CAMERA else PixelKind.BGR8
    return [
        Frame(
            flight.camera.camera_id, "d1", k, float(k), flight.render(float(k)), kind, flight.camera,
            camera_pose(flight.camera, flight.telemetry(float(k))),
        )
        for k in range(count)
    ]  # fmt: skip


def colour_eye(model: YoloDetector, evidence: Path | None, per_frame: int | None) -> CameraEye:
    tiled = TiledDetector(model, model.input_size, TileSettings(per_frame=per_frame), (0.04, 0.12))
    store = None if evidence is None else EvidenceStore(evidence)
    return CameraEye(COLOUR_CAMERA, "d1", tiled, None, locator(), store, "run")


def test_a_person_seen_by_both_cameras_is_one_incident_that_is_surer(
    colour_model: YoloDetector, tmp_path: Path
) -> None:
    thermal = CameraEye(
        CAMERA, "d1", load_yolo(DEFAULT_MODEL, for_tracking=True), HotSpotDetector(), locator(), None, "run"
    )
    colour = colour_eye(colour_model, tmp_path, None)
    told: list[tuple[Sighting, float]] = []
    for eye, camera, seed in ((thermal, CAMERA, 1), (colour, COLOUR_CAMERA, 2)):
        for frame in frames(hover(camera, [PERSON, Thing(12.0, -9.0, "person")], seed), 6):
            told += [(s, frame.exposure_s) for s in eye.look(frame).sightings]
    told.sort(key=lambda item: item[1])
    people = [i for i in merge_all(FRAME, told) if i.kind is Kind.PERSON]
    assert len(people) == 2
    for person in people:
        assert [str(m) for m in person.modalities] == ["rgb", "thermal"]
        seen = [m.sighting for m in person.members.values() if m.sighting.kind is Kind.PERSON]
        # one camera may have followed a body in two tracks
        alone = [max(s.confidence for s in seen if s.camera_id == camera) for camera in {s.camera_id for s in seen}]
        assert person.confidence == pytest.approx(min(0.99, 1 - np.prod([1 - c for c in alone])))
        assert person.confidence > max(alone)
    # nobody can be known in the pictures that were kept
    shown = [e for s, _ in told for e in s.evidence if e.role == "context"]
    assert shown
    scene = hover(COLOUR_CAMERA, [PERSON], 2).render(0.0)
    picture = cv2.imread(str(tmp_path / shown[0].path), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == scene.shape[:2]


def test_a_sighting_says_how_its_thing_moves_and_how_sure_that_is() -> None:
    eye = CameraEye(CAMERA, "d1", None, HotSpotDetector(), locator(), None, "run")
    without_pose = CameraEye(CAMERA, "d1", None, HotSpotDetector(), None, None, "run")
    told: list[Sighting] = []
    flat: list[Sighting] = []
    for k in range(6):
        things = [Thing(-8.0 + 1.2 * k, 3.0 - 0.5 * k, "fire"), Thing(6.0, -10.0, "fire")]
        frame = frames(hover(CAMERA, things, 4), k + 1)[k]
        told += eye.look(frame).sightings
        flat += without_pose.look(replace(frame, pose=None)).sightings
    last = {s.track_id: s for s in told + list(eye.finish())}
    assert len(last) == 2
    for s, true in zip(sorted(last.values(), key=_east), ([1.2, -0.5], [0.0, 0.0]), strict=True):
        v = s.velocity
        assert v is not None
        cov = np.array([[v.cov_ee_m2_s2, v.cov_en_m2_s2], [v.cov_en_m2_s2, v.cov_nn_m2_s2]])
        assert mahalanobis2(np.array([v.east_m_s, v.north_m_s]) - true, cov) < 9.21
        assert 0.0 < np.linalg.eigvalsh(cov)[0] <= np.linalg.eigvalsh(cov)[1] < 0.3**2
    assert flat
    assert all(s.velocity is None for s in flat)


def _east(s: Sighting) -> float:
    return s.place.longitude_deg if s.place is not None else 0.0


def test_what_a_tile_left_out_is_no_chance_missed(colour_model: YoloDetector) -> None:
    """With two tiles a frame a person is looked at now and then: the track must not count the other frames against it."""
    eye = colour_eye(colour_model, None, 2)
    told: list[tuple[int, Sighting]] = []
    unseen: list[float] = []
    waits: list[int] = []
    for frame in frames(hover(COLOUR_CAMERA, [PERSON], 19), 14):
        glance = eye.see(frame)
        told += [(frame.sequence + 1, s) for s in eye.judge(glance).sightings]
        assert glance.tiles is not None
        assert glance.tiles.tiles > 6
        unseen.append(glance.tiles.fraction_unseen)
        waits.append(glance.tiles.waiting_frames)
    assert 0.1 < min(unseen) <= max(unseen) < 1.0
    assert max(waits) <= 14
    assert told
    assert {s.kind for _, s in told} == {Kind.PERSON}
    assert len({s.track_id for _, s in told}) == 1
    so_far, last = told[-1]
    assert 3 <= last.looks <= last.chances < so_far


def test_everybody_large_enough_is_blurred_and_nothing_else() -> None:
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 255, (200, 300, 3), dtype=np.uint8)
    frame = Frame("c", None, 0, 0.0, pixels, PixelKind.BGR8)

    def box(x: float, side: float, kind: Kind) -> Observation:
        return Observation(x, 50.0, x + side, 50.0 + side, learned_kind=kind, learned_score=0.1)

    large, small, car = (
        box(40, 30, Kind.PERSON),
        box(120, BLUR_FROM_PX - 1, Kind.PERSON),
        box(200, 60, Kind.VEHICLE),
    )
    shown = blurred(frame, [large, small, car])
    changed = np.any(shown.pixels != pixels, axis=2)
    assert changed[50:80, 40:70].mean() > 0.95
    assert not changed[:, 80:].any()
    assert np.var(shown.pixels[50:80, 40:70].astype(float)) < 0.2 * np.var(pixels[50:80, 40:70].astype(float))
    assert np.array_equal(frame.pixels, pixels)
    assert blurred(frame, [small, car]) is frame


class Watch:
    """A pipeline over cameras on loopback."""

    def __init__(self, feeds: list[Feed], learned: object, colour: YoloDetector | None = None) -> None:
        self.told: list[Sighting] = []
        self.pipeline = VisionPipeline(
            feeds, learned, HotSpotDetector(), locator(), None, "run", self.told.append, colour=colour
        )  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def test_colour_cameras_are_looked_at_in_tiles_with_their_share(colour_model: YoloDetector) -> None:
    learned = load_yolo(DEFAULT_MODEL, for_tracking=True)
    flight = hover(CAMERA, [PERSON], 4)
    seen = hover(COLOUR_CAMERA, [PERSON], 5)
    pose = camera_pose(CAMERA, flight.telemetry(0.0))
    async with CameraServer(flight, count=8) as warm, CameraServer(seen, count=8) as bright:
        feeds = [
            Feed(camera, None, "127.0.0.1", server.port, fixed_pose=pose)
            for camera, server in ((CAMERA, warm), (COLOUR_CAMERA, bright))
        ]
        watch = Watch(feeds, learned, colour_model)
        task = asyncio.create_task(watch.pipeline.run())
        await until(lambda: warm.finished.is_set() and bright.finished.is_set())
        thermal, colour = watch.pipeline.reports()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert thermal.looked_at == colour.looked_at == 8
    assert thermal.unseen_fraction is None
    assert colour.unseen_fraction is not None
    assert 0 < colour.unseen_fraction < 1
    assert colour.sweep_frames is not None
    assert colour.not_looked_at == {}
    assert colour.attended_monotonic_s is not None
    assert {s.camera_id for s in watch.told} >= {"d1-thermal"}


@pytest.mark.parametrize("odd", [{"latitude_deg": 214.7}, {"latitude_deg": 90.0}, {"longitude_deg": math.nan}])
async def test_poses_that_are_nowhere_end_no_pipeline(odd: dict[str, float]) -> None:
    """As of a vehicle whose receiver has no fix yet, or has gone mad: its frames have no pose, others are looked at."""
    flight, calm = hover(CAMERA, [PERSON], 4), hover(replace(CAMERA, camera_id="d2-thermal"), [PERSON], 5)
    async with CameraServer(flight, count=4) as lost, CameraServer(calm, count=4) as well:
        feeds = [
            Feed(flight.camera, "d1", "127.0.0.1", lost.port), Feed(calm.camera, "d2", "127.0.0.1", well.port)
        ]  # fmt: skip
        watch = Watch(feeds, None)
        for k in range(60):
            time_s = k / 10
            pose = flight.telemetry(time_s)
            watch.pipeline.poses.add([("d1", replace(pose, **odd)), ("d2", calm.telemetry(time_s))])
        task = asyncio.create_task(watch.pipeline.run())
        await until(lambda: task.done() or (lost.finished.is_set() and well.finished.is_set()))
        assert not task.done()
        first, second = watch.pipeline.reports()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (first.looked_at, first.no_pose) == (4, 4)
    assert (second.looked_at, second.no_pose) == (4, 0)


class InPairs:
    """An engine in which the first picture of a pair waits until the second has gone through."""

    at_once = 2

    def __init__(self, engine: Engine) -> None:
        self.name, self.input_size = "pairs", engine.input_size
        self._engine, self._lock = engine, threading.Lock()
        self._waiting: threading.Event | None = None
        self.pairs = 0

    def run(self, batch: Tensor) -> Tensor:
        return self._engine.run(batch)

    def run_picture(self, picture: Picture) -> Tensor:
        answer = self._engine.run_picture(picture)
        with self._lock:
            other, self._waiting = self._waiting, threading.Event() if self._waiting is None else None
            mine = self._waiting
        if other is not None:
            self.pairs += 1
            other.set()
        elif mine is not None and not mine.wait(PATIENCE_S):
            raise TimeoutError("no second picture came")
        return answer


async def test_two_frames_of_a_camera_are_seen_at_once_and_judged_in_order() -> None:
    """Also when the later one is seen first; what is told is what one frame after the other gives."""
    flight = hover(CAMERA, [PERSON, Thing(9.0, -6.0, "rock")], 8)
    pose = camera_pose(CAMERA, flight.telemetry(0.0))
    engine = InPairs(load_engine(DEFAULT_MODEL))
    card = read_card(DEFAULT_MODEL)
    async with CameraServer(flight, count=8, ahead=2) as server:
        feed = Feed(CAMERA, None, "127.0.0.1", server.port, fixed_pose=pose)
        watch = Watch([feed], YoloDetector(engine, card, card.search_confidence))
        judged: list[int] = []
        eye = watch.pipeline.loops[0]._eye
        judge = eye.judge
        eye.judge = lambda glance, sent: judged.append(glance.frame.sequence) or judge(glance, sent)  # type: ignore[method-assign]
        task = asyncio.create_task(watch.pipeline.run())
        await until(server.finished.is_set)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert engine.pairs == 4
    assert judged == list(range(8))
    alone = CameraEye(
        CAMERA, None, YoloDetector(load_engine(DEFAULT_MODEL), card, card.search_confidence), HotSpotDetector(),
        locator(), None, "run",
    )  # fmt: skip
    same = hover(CAMERA, [PERSON, Thing(9.0, -6.0, "rock")], 8)
    told = [
        s
        for k in range(8)
        for s in alone.look(
            Frame(CAMERA.camera_id, None, k, float(k), same.render(float(k)), PixelKind.CELSIUS, CAMERA, pose)
        ).sightings
    ]
    assert told
    assert [(s.track_id, s.sequence, s.kind, s.looks) for s in watch.told] == [
        (s.track_id, s.sequence, s.kind, s.looks) for s in told
    ]


class Failing:
    """A detector whose engine fails at the n-th picture."""

    def __init__(self, at: int) -> None:
        self.name, self._left = "failing", at

    def detect(self, _frame: Frame, _gsd_m: float | None) -> list[Detection]:
        self._left -= 1
        if self._left < 0:
            raise RuntimeError("the engine has failed")
        return []


async def test_an_engine_that_fails_ends_the_pipeline_and_is_not_hidden() -> None:
    flight = hover(CAMERA, [PERSON], 6)
    async with CameraServer(flight, count=8) as server:
        watch = Watch([Feed(CAMERA, None, "127.0.0.1", server.port)], Failing(3))
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.timeout(PATIENCE_S):
                await watch.pipeline.run()
    inner = caught.value
    while isinstance(inner, ExceptionGroup):
        inner = inner.exceptions[0]  # type: ignore[assignment]
    assert "the engine has failed" in str(inner)
    assert watch.pipeline.reports()[0].looked_at == 3


def test_two_steps_give_what_one_gives() -> None:
    """Seeing ahead of judging changes nothing."""
    results = []
    for ahead in (False, True):
        eye = CameraEye(
            CAMERA, "d1", load_yolo(DEFAULT_MODEL, for_tracking=True), HotSpotDetector(), locator(), None, "run"
        )
        some = frames(replace(Flight([PERSON, Thing(6.0, 20.0, "fire")], start_north_m=-20.0)), 6)
        if ahead:
            glances = [eye.see(f) for f in some]
            results.append([s for g in glances for s in eye.judge(g).sightings])
        else:
            results.append([s for f in some for s in eye.look(f).sightings])
    assert results[0] == results[1]
    assert results[0]

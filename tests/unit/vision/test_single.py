# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.detector import Detection
from vision.errors import ModelError
from vision.examine_lines import kind_of
from vision.frame import Frame, PixelKind
from vision.lookers import Lookers
from vision.model_card import DEFAULT_MODEL
from vision.sighting import Kind
from vision.single import (
    FEATURES,
    LEARNED_FROM,
    Picture,
    SingleLook,
    Weights,
    candidates,
    crowded,
    features,
    heard,
    read_weights,
)
from vision.tone import two_tones
from vision.train.cold import ColdScene, cold_picture
from vision.train.errors import UserError
from vision.train.single import ANIMAL, NOBODY, UNSURE, Judged, figures, fit, judged
from vision.unite import Observation
from vision.yolo import load_yolo

CELSIUS = PixelKind.CELSIUS


def ground(seed: int, size: tuple[int, int] = (256, 320), noise: float = 0.08) -> np.ndarray:
    rng = np.random.default_rng(seed)
    slow = cv2.resize(rng.normal(0, 0.8, (5, 6)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.GaussianBlur(-6.0 + slow, (0, 0), 2.0) + rng.normal(0, noise, size), np.float32)


def body(pixels: np.ndarray, x: int, y: int, long: int, degrees_c: float) -> np.ndarray:
    """A body with head and legs, through a lens."""
    warm = np.zeros_like(pixels)
    cv2.ellipse(warm, (x, y), (long // 4, max(2, long // 8)), 0, 0, 360, 1.0, -1)
    cv2.circle(warm, (x + long // 3, y), max(1, long // 9), 1.2, -1)
    cv2.line(warm, (x, y), (x - long // 2, y + 2), 0.8, max(1, long // 10))
    return np.asarray(pixels + cv2.GaussianBlur(warm, (0, 0), 0.8) * degrees_c, np.float32)


def frame(pixels: np.ndarray, kind: PixelKind = CELSIUS) -> Frame:
    return Frame("t", None, 0, 0.0, pixels, kind)


@cache
def single() -> SingleLook:
    return SingleLook(Lookers(load_yolo(DEFAULT_MODEL)))


def spot_at(picture: Picture, x: float, y: float) -> Detection | None:
    return next((d for d in picture.spots() if abs(d.centre_px[0] - x) < 6 and abs(d.centre_px[1] - y) < 6), None)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 200), st.integers(40, 280), st.integers(40, 216), st.integers(12, 26))
def test_a_body_is_a_candidate_in_a_noisy_picture(seed: int, x: int, y: int, long: int) -> None:
    pixels = body(ground(seed, noise=0.5), x, y, long, 6.0)
    assert spot_at(Picture(frame(pixels), None), x, y) is not None


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 200), st.floats(20, 100), st.floats(0, 9000))
def test_features_do_not_depend_on_unit_gain_or_offset(seed: int, gain: float, offset: float) -> None:
    pixels = body(body(ground(seed), 90, 100, 20, 7.0), 220, 160, 30, 5.0)
    counts = np.round((pixels + 40.0) * gain + offset).astype(np.uint16)
    things = [Observation(78.0, 94.0, 102.0, 106.0), Observation(202.0, 152.0, 236.0, 168.0)]
    rows = [features(Picture(made, None), things) for made in (frame(pixels), frame(counts, PixelKind.RAW16))]
    assert rows[0] == pytest.approx(rows[1], abs=0.2)
    assert (rows[0][:, FEATURES.index("log_sigma")] > 2).all()


def test_a_stuck_pixel_is_nothing_and_a_cluster_is() -> None:
    pixels = ground(3)
    pixels[100, 120] += 30.0
    assert spot_at(Picture(frame(pixels), None), 120, 100) is None
    pixels[99:102, 119:122] += 30.0
    assert spot_at(Picture(frame(pixels), None), 120, 100) is not None


def test_spots_are_looked_for_once() -> None:
    """For a still they are asked for before and after the detector's second look."""
    picture = Picture(frame(body(ground(5), 150, 120, 20, 8.0)), None)
    assert len(picture.spots()) > 0
    assert picture.spots() is picture.spots()


def test_a_large_learned_box_does_not_swallow_a_person_in_it() -> None:
    picture = Picture(frame(body(ground(5), 150, 120, 20, 8.0)), None)
    hut = Detection(60.0, 40.0, 280.0, 230.0, Kind.VEHICLE, 0.05, "learned")
    assert any(t.learned_kind is None and t.longest_px < 40 for t in candidates(picture, [hut], None))
    close = Detection(138.0, 110.0, 164.0, 132.0, Kind.PERSON, 0.2, "learned")
    one = [t for t in candidates(picture, [close], None) if t.learned_kind is Kind.PERSON]
    assert len(one) == 1
    assert one[0].hot_sigma > 8


@pytest.mark.parametrize("kind", [PixelKind.CELSIUS, PixelKind.RAW16, PixelKind.GREY8])
def test_people_in_the_cold_are_found_once_each_in_every_kind_of_file(kind: PixelKind) -> None:
    pixels = body(body(ground(11, (512, 640)), 200, 150, 26, 9.0), 450, 330, 18, 8.0)
    if kind is PixelKind.RAW16:
        pixels = np.round((pixels + 60) * 30).astype(np.uint16)
    elif kind is PixelKind.GREY8:
        low, high = np.percentile(pixels, (0.5, 99.97))
        pixels = np.clip((pixels - low) * 255 / (high - low), 0, 255).astype(np.uint8)
    _, things = single().look(frame(pixels, kind), None)
    people = sorted(t.centre_px for t in things if kind_of(t)[0] is Kind.PERSON)
    assert len(things) == len(people) == 2
    assert people[0] == pytest.approx((200, 150), abs=8)
    assert people[1] == pytest.approx((450, 330), abs=8)


def crowns(seed: int) -> np.ndarray:
    """Ground on which some thirty tree crowns stand out."""
    rng = np.random.default_rng(seed)
    warm = np.zeros((512, 640), np.float32)
    for y in range(60, 480, 90):
        for x in range(50, 620, 90):
            at = (x + int(rng.integers(-15, 16)), y + int(rng.integers(-15, 16)))
            if abs(at[0] - 320) > 40 or abs(at[1] - 256) > 40:
                cv2.circle(warm, at, int(rng.integers(6, 9)), 1.0, -1)
    return np.asarray(ground(seed, (512, 640)) + cv2.GaussianBlur(warm, (0, 0), 2.5) * 3.0, np.float32)


@pytest.mark.parametrize(("seed", "long", "degrees_c"), [(4, 9, 3.0), (12, 9, 3.0), (5, 9, 3.0)])
def test_among_tree_crowns_somebody_is_told_when_detector_and_judge_agree_and_no_crown_is(
    seed: int, long: int, degrees_c: float
) -> None:
    """Crowns stand out as a town does; the learned detector alone is not sure of whom it sees between them."""
    seen = frame(body(crowns(seed), 320, 256, long, degrees_c))
    look, things = single().look(seen, None)
    picture = Picture(seen, None)
    assert crowded(picture, candidates(picture, look.found, None))
    assert [kind_of(t)[0] for t in things] == [Kind.PERSON]
    assert things[0].centre_px == pytest.approx((320, 256), abs=8)
    assert 0.3 <= things[0].learned_score < 0.42


def test_whom_the_detector_doubts_among_crowns_it_is_sure_of_from_nearer() -> None:
    """Without a judge, who is told to see nobody."""
    seen = frame(body(crowns(9), 320, 256, 11, 3.5))
    lookers = Lookers(load_yolo(DEFAULT_MODEL))
    assert not any(middle(d.centre_px) for d in lookers.look(seen, None).found)
    nobody = Weights((0.0,) * (len(FEATURES) - 1) + (-20.0,), 0.5)
    _, things = SingleLook(lookers, nobody).look(seen, None)
    assert [middle(t.centre_px) for t in things] == [True]


def middle(point: tuple[float, float]) -> bool:
    return point == pytest.approx((320, 256), abs=8)


def test_where_the_detector_is_sure_of_several_a_crowded_picture_is_left_to_it() -> None:
    pixels = body(crowns(4), 320, 256, 13, 4.0)
    for x, y in ((105, 105), (505, 285), (195, 375)):
        pixels = body(pixels, x, y, 26, 9.0)
    look, things = single().look(frame(pixels), None)
    sure = [d.confidence for d in look.found if d.confidence >= 0.42]
    assert len(sure) >= 2
    assert sorted(t.learned_score for t in things) == pytest.approx(sorted(sure))
    assert any(0.2 <= d.confidence < 0.42 for d in look.found)


def test_empty_ground_is_empty_and_what_is_too_hot_for_a_body_is_a_hot_spot() -> None:
    assert single().look(frame(ground(21, (512, 640))), None)[1] == []
    _, things = single().look(frame(body(ground(22, (512, 640)), 300, 250, 20, 80.0)), None)
    assert [kind_of(t)[0] for t in things] == [Kind.HOT_SPOT]
    assert (things[0].temperature_max_c or 0) > 45


@pytest.mark.parametrize("kind", [PixelKind.GREY8, PixelKind.CELSIUS, PixelKind.RAW16])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 2000), (2000, 1), (3, 900), (17, 1300)])
def test_strips_and_single_pixels_show_nobody(shape: tuple[int, int], kind: PixelKind) -> None:
    dtype = {PixelKind.GREY8: np.uint8, PixelKind.CELSIUS: np.float32, PixelKind.RAW16: np.uint16}[kind]
    assert single().look(frame(np.full(shape, 90, dtype), kind), None)[1] == []


def test_people_on_ground_that_the_sun_has_heated_are_people() -> None:
    pixels = body(body(ground(11, (512, 640)), 200, 150, 26, 9.0), 450, 330, 18, 8.0) + np.float32(48.0)
    _, things = single().look(frame(np.asarray(pixels, np.float32)), None)
    assert float(pixels.max()) > 45
    assert [kind_of(t)[0] for t in things] == [Kind.PERSON, Kind.PERSON]


def test_a_fire_in_the_picture_hides_nobody() -> None:
    """Its warmth is no measure for a body's, near it or far off."""
    pixels = body(body(ground(23, (512, 640)), 200, 150, 26, 7.0), 340, 250, 26, 7.0)
    flames = np.zeros_like(pixels)
    cv2.circle(flames, (362, 250), 7, 400.0, -1)
    _, things = single().look(frame(np.asarray(pixels + cv2.GaussianBlur(flames, (0, 0), 0.8), np.float32)), None)
    found = sorted((kind_of(t)[0].value, t.centre_px[0]) for t in things)
    assert [kind for kind, _ in found] == ["fire", "person", "person"]
    assert [x for _, x in found] == pytest.approx([362, 200, 340], abs=14)  # half a body


def test_weights_are_those_that_made_the_labels() -> None:
    """The fit against its own model: labels drawn with known weights give these weights again."""
    rng = np.random.default_rng(1)
    true = np.append(rng.normal(0, 1.2, len(FEATURES) - 1), -0.5)
    rows = np.column_stack([rng.normal(0, 1, (40_000, len(FEATURES) - 1)), np.ones(40_000)])
    person = np.where(rng.random(40_000) < 1 / (1 + np.exp(-rows @ true)), 0, -1)
    assert fit([Judged(rows, person, 1)]) == pytest.approx(true, abs=0.12)
    with pytest.raises(UserError, match="nothing to tell apart"):
        fit([Judged(rows, np.full(40_000, -1), 0)])


def test_people_of_whom_too_little_shows_teach_nothing_and_animals_little() -> None:
    rng = np.random.default_rng(2)
    rows = np.column_stack([rng.normal(0, 1, (4_000, len(FEATURES) - 1)), np.ones(4_000)])
    on = np.where(rows[:, 0] + rng.normal(0, 1, 4_000) > 0.5, 0, NOBODY)
    hidden = np.column_stack([np.full((500, len(FEATURES) - 1), 3.0), np.ones(500)])
    clear = fit([Judged(rows, on, 1)])
    assert fit([Judged(rows, on, 1), Judged(hidden, np.full(500, UNSURE), 1)]) == pytest.approx(clear)
    with_game, with_nobody = (fit([Judged(rows, on, 1), Judged(hidden, np.full(500, k), 0)]) for k in (ANIMAL, NOBODY))
    warm = np.append(np.full(len(FEATURES) - 1, 3.0), 1.0)
    assert warm @ clear > warm @ with_game > warm @ with_nobody


def test_in_a_larger_picture_the_same_thing_is_told_less_surely_for_there_are_more_like_it() -> None:
    sizes = {(256, 320): 1.0, (512, 640): 1.0, (1024, 1280): 0.5}
    weights = Weights((0.0,) * (len(FEATURES) - 1) + (0.4,), 0.6)
    rows = np.zeros((1, len(FEATURES)))
    rows[:, -1] = 1.0
    for size, share in sizes.items():
        score = float(weights.score(rows, Picture(frame(ground(1, size)), None).log_odds)[0])
        assert score / (1 - score) == pytest.approx(np.exp(0.4) * share, rel=0.01)


@pytest.mark.parametrize(("size", "told"), [((512, 640), True), ((1024, 1280), False)])
def test_a_faint_spot_is_told_by_how_large_its_picture_is(size: tuple[int, int], told: bool) -> None:
    pixels = ground(31, size)
    cv2.circle(pixels, (300, 250), 16, -3.0, -1)
    even = Weights((0.0,) * (len(FEATURES) - 1) + (0.45,), 0.6)  # a judge that says .61 of whatever it is shown
    look, things = SingleLook(Lookers(load_yolo(DEFAULT_MODEL)), even).look(frame(pixels), None)
    assert all(d.confidence < 0.7 for d in look.found)
    assert any(t.centre_px == pytest.approx((300, 250), abs=5) for t in things) is told


def test_whom_the_detector_is_sure_of_is_never_vetoed() -> None:
    pixels = body(body(ground(3, (512, 640)), 200, 150, 18, 9.0), 450, 330, 18, 8.0)
    pixels = body(pixels, 150, 400, 10, 2.5)
    nobody = Weights((0.0,) * (len(FEATURES) - 1) + (-20.0,), 0.5)
    look, things = SingleLook(Lookers(load_yolo(DEFAULT_MODEL)), nobody).look(frame(pixels), None)
    sure = [d for d in look.found if d.confidence >= 0.7]
    assert 0 < len(sure) < len(look.found)
    assert sorted(t.learned_score for t in things) == pytest.approx(sorted(d.confidence for d in sure))
    assert [kind_of(t)[0] for t in things] == [Kind.PERSON] * len(sure)


def test_a_model_that_knows_fire_tells_it_in_stills(tmp_path: Path) -> None:
    """The shipped network, its first class called fire."""
    model = tmp_path / "own.onnx"
    shutil.copyfile(DEFAULT_MODEL, model)
    card = json.loads(DEFAULT_MODEL.with_suffix(".json").read_text(encoding="utf-8"))
    names = ["fire", *card["classes"][1:]]
    model.with_suffix(".json").write_text(json.dumps(card | {"classes": names, "name": "own"}), encoding="utf-8")
    pixels = body(body(ground(3, (512, 640)), 200, 150, 18, 9.0), 450, 330, 18, 8.0)
    nobody = Weights((0.0,) * (len(FEATURES) - 1) + (-20.0,), 0.5)
    _, things = SingleLook(Lookers(load_yolo(model)), nobody).look(frame(pixels), None)
    assert [kind_of(t)[0] for t in things] == [Kind.FIRE, Kind.FIRE]
    assert sorted(round(t.centre_px[0]) for t in things) == pytest.approx([200, 450], abs=4)


@pytest.mark.parametrize(("name", "kind"), [("deer", Kind.ANIMAL), ("market stall", Kind.STALL)])
@pytest.mark.parametrize("gsd_m", [None, 0.3])
def test_what_else_a_model_knows_it_tells_in_stills_whatever_its_size(
    tmp_path: Path, name: str, kind: Kind, gsd_m: float | None
) -> None:
    """The shipped network, its first class called something else."""
    model = tmp_path / "own.onnx"
    shutil.copyfile(DEFAULT_MODEL, model)
    card = json.loads(DEFAULT_MODEL.with_suffix(".json").read_text(encoding="utf-8"))
    names = [name, *card["classes"][1:]]
    model.with_suffix(".json").write_text(
        json.dumps(card | {"classes": names, "name": "own", "gsd_m": {"min": 0.04, "max": 0.3}}), encoding="utf-8"
    )
    pixels = body(body(ground(3, (512, 640)), 200, 150, 18, 9.0), 450, 330, 18, 8.0)
    _, things = SingleLook(Lookers(load_yolo(model))).look(frame(pixels), gsd_m)
    assert [kind_of(t)[0] for t in things] == [kind, kind]


def test_the_judge_is_fitted_to_what_the_product_lets_it_judge() -> None:
    """Two bodies that the second look takes for one: what is crowded by the first look is left out, as in a still."""
    rng = np.random.default_rng(1)
    pixels = ground(1, (512, 640))
    for i in range(8):
        long, x, y = int(rng.integers(9, 26)), 70 + 125 * (i % 5), 80 + 150 * (i // 5)
        for beside in (-5, 5):
            pixels = body(pixels, x + beside, y + int(rng.integers(-4, 5)), long, float(rng.uniform(2, 6)))
    seen, yolo = frame(pixels), load_yolo(DEFAULT_MODEL)
    picture, tones = Picture(seen, None), two_tones(seen)
    found = yolo.detect(tones[0], None, LEARNED_FROM)
    made = ColdScene(pixels, 10.0)
    assert crowded(picture, candidates(picture, found, None))
    assert not crowded(picture, candidates(picture, heard(yolo, tones, None, found), None))
    assert judged(yolo, made, seen) is None
    alone = frame(body(ground(11, (512, 640)), 200, 150, 26, 9.0))
    one = judged(yolo, ColdScene(alone.pixels, 10.0, people=[(185.0, 140.0, 215.0, 160.0)]), alone)
    assert one is not None
    assert one.people == 1
    assert 0 in one.person


def test_figures_count_each_person_once_and_every_false_one() -> None:
    rows = np.zeros((5, len(FEATURES)))
    rows[:, -1] = (9.0, 9.0, 9.0, -9.0, 9.0)
    weights = np.append(np.zeros(len(FEATURES) - 1), 1.0)
    picture = Judged(rows, np.array([0, 0, -1, 1, -1]), 3)
    assert figures([picture], weights, 0.5) == (pytest.approx(1 / 3), 2.0)


def test_weights_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text('{"weights": {}}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"w\.json: weights for single pictures cannot be read"):
        read_weights(path)
    shipped = read_weights()
    assert shipped == Weights(shipped.values, shipped.least)
    assert 0 < shipped.least < 1


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_rendered_cold_pictures_hold_their_boxes_and_come_again(seed: int) -> None:
    image, boxes = cold_picture(np.random.default_rng(seed), 640, 512)
    assert image.shape == (512, 640)
    assert (boxes[:, 0] == 0).all()
    assert (boxes[:, 1:3] >= 0).all()
    assert (boxes[:, 3] <= 640).all()
    assert (boxes[:, 4] <= 512).all()
    assert (boxes[:, 3:] > boxes[:, 1:3]).all()
    again, same = cold_picture(np.random.default_rng(seed), 640, 512)
    assert (again == image).all()
    assert (same == boxes).all()
